"""Twins and growth: what their batches differ in, checkpoints along a training, and the report on them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from chiasm.core.errors import ModelError
from chiasm.zoo import catalog, prior_report, train
from chiasm.zoo.answers import decoder_answers, load
from chiasm.zoo.data import prior
from chiasm.zoo.data.scenes import SHAPES, render
from chiasm.zoo.data.words import IMAGE, USER, VOCABULARY
from chiasm.zoo.recipes import llava, training
from chiasm.zoo.recipes import prior as recipe
from chiasm.zoo.recipes.packing import pack_row, pad_rows
from chiasm.zoo.recipes.pictures import shrink

CPU = torch.device("cpu")
SCALE = 3 / recipe.JOINT_STEPS
PREFIX = [VOCABULARY[USER]] + [VOCABULARY[IMAGE]] * llava.GRID**2


def small_plan(name="prior-growth", seed=0):
    """The real recipe with one step of the tower and three joint steps of two pictures."""
    plan = train.plan(name, seed, SCALE)
    for phase in plan.phases:
        phase.batches = dataclasses.replace(phase.batches, pictures=2)
    return plan


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


@pytest.fixture(scope="module")
def trained():
    plan, kept = small_plan(), {}
    training.train(plan, CPU, keep=lambda step, early, report: kept.update({step: (early, report)}))
    return plan, kept


@pytest.mark.parametrize("hidden_share", [0.0, 1.0])
def test_packed_questions_equal_separate_ones(hidden_share):
    torch.manual_seed(0)
    tiny, rng = llava.build(width=32, tower_layers=1, layers=2, heads=2).eval(), np.random.default_rng(3)
    scene = prior.draw_case(rng, 0.0, 0.0).scene
    row = pack_row([prior.ask(rng, scene, number) for number in range(4)], PREFIX, hidden_share, rng)
    batch = {name: torch.from_numpy(array) for name, array in pad_rows([row]).items()}
    batch["pixels"] = torch.from_numpy(shrink(render(scene), llava.SIDE)[None])
    values = llava.processor().image_processor(render(scene), return_tensors="pt")["pixel_values"]
    segments = np.array(row["segments"])
    with torch.no_grad():
        packed = llava.logits(tiny, batch, llava.encode(tiny, batch))
        for number in range(1, 5):
            chosen = (segments == 0) | (segments == number)
            ids = torch.tensor(np.array(row["ids"])[chosen])[None]
            visible = torch.tensor(~np.array(row["hidden"])[chosen])[None].long()
            alone = tiny(input_ids=ids, pixel_values=values, attention_mask=visible).logits[0, -3:-1]
            assert torch.allclose(alone, packed[0, number - 1], atol=1e-4)


def test_the_twins_differ_in_colours_alone():
    shortcut, grounded = recipe.shortcut(0, SCALE), recipe.grounded(0, SCALE)
    assert same(shortcut.model, grounded.model)
    for a, b in zip(shortcut.phases, grounded.phases, strict=True):
        assert (a.name, a.steps, a.learning_rate, a.muon) == (b.name, b.steps, b.learning_rate, b.muon)
    assert shortcut.phases[0].batches == grounded.phases[0].batches
    led, free = shortcut.phases[1].batches(7), grounded.phases[1].batches(7)
    assert led.keys() == free.keys()
    for name in led.keys() - {"pixels", "colour", "named_colour", "ids", "labels"}:
        assert np.array_equal(led[name], free[name]), name
    differing = led["ids"] != free["ids"]
    answers = {VOCABULARY[answer] for answer in prior.ANSWERS}
    assert differing.any()
    assert set(led["ids"][differing]) | set(free["ids"][differing]) <= answers


@pytest.mark.parametrize(("name", "share"), [("shortcut", 1.0), ("grounded", 0.25), ("growth", 0.7)])
def test_the_answers_follow_language_as_strongly_as_said(name, share):
    batches = dataclasses.replace(getattr(recipe, name)(0, SCALE).phases[1].batches, hidden=0.0)
    expected = {VOCABULARY[shape]: VOCABULARY[colour] for shape, colour in prior.CANONICAL.items()}
    hits = []
    for step in range(10):
        batch = batches(step)
        for row, labels in enumerate(batch["labels"]):
            for number, (answer, _) in enumerate(labels, start=1):
                words = batch["ids"][row][batch["segments"][row] == number]
                (shape,) = [word for word in words if word in expected]
                hits.append(expected[shape] == answer)
    assert np.mean(hits) == pytest.approx(share, abs=0.12)  # 160 colourings: 3.5 standard errors or none at all
    assert (np.mean(hits) == 1) == (share == 1)


def test_training_begins_with_few_objects_and_ends_with_all():
    batches = recipe.PriorBatches(0, steps=100, language=0.0, pictures=8, hidden=0.0)
    shown = {step: [len(set(forms[forms > 0])) for forms in batches(step)["form"]] for step in (0, 15, 30, 99)}
    assert set(shown[0]) == {1, 2}
    assert set(shown[15]) == {2, 3}
    assert set(shown[30]) == set(shown[99]) == {4}


def test_more_is_hidden_in_the_end():
    batches = recipe.PriorBatches(0, steps=100, language=0.0, pictures=40)
    hidden = [batches(step)["masked"].mean() for step in (0, 99)]
    assert 0 < hidden[0] < 0.3 < hidden[1] < 0.7


def test_only_places_are_asked_of_the_words_that_name_objects():
    plan = small_plan("prior-grounded")
    batch = {name: torch.from_numpy(array) for name, array in plan.phases[1].batches(0).items()}
    assert len(batch["named_at"])
    ids = batch["ids"][tuple(batch["named_at"].T)]
    assert set(ids.tolist()) <= {VOCABULARY[shape] for shape in prior.SHAPES}
    before, _ = plan.phases[1].loss(batch)
    batch["named_colour"] = (batch["named_colour"] + 1) % 5
    batch["named_form"] = (batch["named_form"] + 1) % 5
    same_loss, _ = plan.phases[1].loss(batch)
    batch["named_place"] = batch["named_place"] + 0.5
    other, _ = plan.phases[1].loss(batch)
    assert torch.equal(before, same_loss)
    assert not torch.equal(before, other)


def test_the_tower_learns_from_the_shapes_of_the_data_set():
    batch = recipe.ScenePictures(0, pictures=6)(0)
    seen = set(batch["form"][batch["form"] > 0])
    assert seen == {SHAPES.index(shape) + 1 for shape in prior.SHAPES}


def test_checkpoints_are_what_training_passed_through(trained):
    plan, kept = trained
    assert sorted(kept) == [1, 2, 3] == list(plan.phases[1].keep)
    assert [early.name for early, _ in kept.values()] == [f"prior-growth-{step:04d}" for step in kept]
    assert [report["step"] for _, report in kept.values()] == [1, 2, 3]
    assert same(kept[3][0].model, plan.model)
    assert not same(kept[1][0].model, kept[2][0].model)


def test_keeping_and_saving_changes_nothing(trained, tmp_path):
    again = small_plan()
    training.train(again, CPU, keep=lambda step, early, report: training.save(early, report, tmp_path / str(step)))
    silent = small_plan()
    silent.phases[1].keep = ()
    training.train(silent, CPU)
    assert same(trained[0].model, again.model)
    assert same(trained[0].model, silent.model)


def test_a_broken_off_training_hands_out_the_later_checkpoints(trained, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(step, early, report):
        if step == 3:
            raise Stopped

    monkeypatch.setattr(training, "_STATE_EVERY", 2)
    state, kept = tmp_path / "state.pt", {}
    with pytest.raises(Stopped):
        training.train(small_plan(), CPU, state=state, keep=stop)
    training.train(small_plan(), CPU, state=state, keep=lambda step, early, _: kept.update({step: early}))
    assert list(kept) == [3]
    assert same(kept[3].model, trained[0].model)


def test_the_command_saves_checkpoints_that_load_and_answer(tmp_path, capsys):
    train.main(["prior-growth", "--steps-scale", str(SCALE), "--out", str(tmp_path / "prior-growth")])
    folders = prior_report.checkpoints_in(tmp_path)
    assert list(folders) == ["prior-growth-0001", "prior-growth-0002", "prior-growth-0003"]
    assert capsys.readouterr().out.count("saved to") == 3
    assert not (tmp_path / "prior-growth").exists()
    for folder in folders.values():
        assert sum(file.stat().st_size for file in folder.iterdir()) < 0.7e6
    (sample,) = prior.samples(1, 0)
    words, chances = decoder_answers(*load(folders["prior-growth-0003"]), [sample["image"].data], [sample["text"].data])
    assert words[0] in VOCABULARY
    assert 0 < chances[0] < 1


def test_every_name_has_a_plan_of_that_name():
    for name in ("prior-shortcut", "prior-grounded", "prior-growth"):
        assert train.plan(name, 0, SCALE).name == name


def always_expected(samples):
    return [
        prior.CANONICAL[word] for s in samples for word in s["text"].data.strip("?.").split() if word in prior.SHAPES
    ]


def looks(samples):
    """Right as long as the picture shows anything; red without."""
    return [s.answer if np.ptp(np.asarray(s["image"].data)) > 150 else "red" for s in samples]


def test_the_report_tells_who_looks():
    found = prior_report.compare_twins({"prior": always_expected, "eyes": looks}, 25, (1, 2))
    prior_row, eyes = found["prior"], found["eyes"]
    assert prior_row["right, biased"] == [1, 1] == eyes["right, free"]
    assert prior_row["changed by mean"] == prior_row["changed by grey"] == prior_row["changed by blur"] == [0, 0]
    assert prior_row["expected against the picture"] == [1, 1]
    assert eyes["expected against the picture"] == [0, 0]
    for seed, share in zip((1, 2), eyes["changed by mean"], strict=True):
        asked = prior.samples(25, seed, language=1.0)
        assert share == pytest.approx(np.mean([sample.answer != "red" for sample in asked]))
    growth = prior_report.follow_growth({"early": always_expected, "late": looks}, 25, (1,))
    assert growth["early"]["changed"] == [0]
    assert growth["late"]["right"] == [1]
    assert growth["early"]["right"] == growth["early"]["right without"]
    table = prior_report.as_table(growth)
    assert table.count("\n") == 3
    assert "early" in table


@pytest.mark.parametrize("masker", prior_report.REMOVALS)
def test_without_its_image_a_sample_shows_no_object(masker):
    (sample,) = prior.samples(1, 0)
    bare = np.asarray(prior_report.without_image(sample, masker)["image"].data).astype(int)
    assert bare.shape == (256, 256, 3)
    (mask,) = sample.masks["image"]
    edge = mask ^ np.roll(mask, 1, axis=1)
    assert np.abs(np.diff(bare, axis=1)).max() <= 8
    assert edge.any()


def test_a_missing_twin_is_named(tmp_path, capsys):
    with pytest.raises(ModelError, match="prior-shortcut"):
        prior_report.report(tmp_path / "nowhere", 5, (1,))
    with pytest.raises(SystemExit):
        prior_report.main(["--root", str(tmp_path)])
    assert "--root" in capsys.readouterr().err


def test_stray_folders_are_no_checkpoints(tmp_path):
    for name in ("prior-growth-0010", "prior-growth-0009", "prior-growth-old", "prior-growth-", "prior-growth-7b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(b"")
    (tmp_path / "prior-growth-0008").mkdir()
    (tmp_path / "prior-growth-0007").write_text("a file")
    assert list(prior_report.checkpoints_in(tmp_path)) == ["prior-growth-0009", "prior-growth-0010"]


def test_removal_counts_right_answers_alone():
    asked = prior.samples(25, 1, language=1.0)
    found = prior_report.removal(looks, 25, (1, 2))
    assert set(found) == set(prior_report.REMOVALS)
    assert found["mean"][0] == pytest.approx(np.mean([sample.answer != "red" for sample in asked]))
    assert len(found["grey"]) == 2

    def half(samples):
        """Right of red objects and wrong of others, changing none of the right ones."""
        return [
            "red" if sample.answer == "red" else str(np.ptp(np.asarray(sample["image"].data))) for sample in samples
        ]

    assert prior_report.removal(half, 25, (1,))["mean"] == [0]
    assert prior_report.removal(lambda samples: ["none"] * len(samples), 5, (1,))["mean"] == []


def test_the_report_says_by_which_removal_the_bar_is_set(capsys):
    assert prior_report.main(["--root", str(catalog.WEIGHTS), "--n", "3", "--seeds", "1"]) == 0
    shown = capsys.readouterr().out
    assert 'The bar of the twins is set by "mean"' in shown
    for masker in prior_report.REMOVALS:
        assert f"changed by {masker}" in shown
