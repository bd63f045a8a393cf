"""CLIP and SigLIP: training sees what the processors make, the losses ask for the right thing, what is saved loads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from transformers import AutoProcessor

import chiasm
from chiasm.core.errors import InvalidInput
from chiasm.models import doctor
from chiasm.zoo.accuracy import ALL_TYPES
from chiasm.zoo.caption_accuracy import Compared, caption_accuracy, caption_rows, compare, load, similarities
from chiasm.zoo.data.captions import NEGATIVES, samples, scene_and_captions
from chiasm.zoo.data.scenes import draw_scene, render
from chiasm.zoo.data.words import END, MASK, PAD, VOCABULARY
from chiasm.zoo.recipes import captioned, clip, contrastive, siglip, training
from chiasm.zoo.recipes.building import SIDE, scaled
from chiasm.zoo.recipes.pictures import generator, shrink

RECIPES = {"clip": clip, "siglip": siglip}
CPU = torch.device("cpu")


@pytest.fixture(scope="module", params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


@pytest.fixture(scope="module")
def fresh(recipe):
    return recipe.plan(0, 0.001)


def small(plan, joint, pictures=4):
    """The plan with few steps and few pictures."""
    text, tower, last = plan.phases
    for phase, steps in ((text, 1), (tower, 1), (last, joint)):
        phase.steps = steps
    text.batches = dataclasses.replace(text.batches, captions=8)
    tower.batches = dataclasses.replace(tower.batches, pictures=pictures, steps=1)
    last.batches = dataclasses.replace(last.batches, pictures=pictures, steps=joint)
    return plan


def tensors(batch):
    return {name: torch.from_numpy(array) for name, array in batch.items()}


def test_the_models_are_small(fresh):
    assert 1.0e6 < sum(weight.numel() for weight in fresh.model.parameters()) < 1.2e6


def test_training_tokens_are_those_of_the_processor(fresh):
    rng = np.random.default_rng(0)
    padded = fresh.phases[2].batches.padded
    for k in range(60):
        _, _, true, others = scene_and_captions(k, 4)
        for sentence in (true, *others.values()):
            ids, attended = captioned.caption_tokens(sentence, rng, masked=False)
            found = fresh.processor(text=[sentence.text], padding="max_length" if padded else False)
            assert all(attended)
            if padded:
                assert "attention_mask" not in found, "SigLIP attends to its padding"
                ids = ids + [VOCABULARY[PAD]] * (padded - len(ids))
            else:
                assert list(found["attention_mask"][0]) == [1] * len(ids)
            assert list(found["input_ids"][0]) == ids
            assert len(found["input_ids"][0]) <= captioned.TOKENS


def test_batches_pad_as_the_processor_does(fresh):
    batch = fresh.phases[2].batches(0)  # nothing is masked yet
    attended = batch["attended"]
    lengths = (batch["ids"] == VOCABULARY[END]).argmax(axis=1) + 1
    if fresh.phases[2].batches.padded:
        assert attended.all()
        assert attended.shape[1] == captioned.TOKENS
    else:
        assert np.array_equal(attended, np.arange(attended.shape[1]) < lengths[:, None])
    assert (batch["ids"][np.arange(batch["ids"].shape[1]) >= lengths[:, None]] == VOCABULARY[PAD]).all()


def test_training_pixels_are_those_of_the_processor(fresh):
    picture = render(draw_scene(np.random.default_rng(1), photo=True))
    ours = scaled(torch.from_numpy(shrink(picture, SIDE))[None])
    theirs = fresh.processor(images=[picture], return_tensors="pt")["pixel_values"]
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_training_similarities_are_those_of_the_model(fresh):
    """The logits that training works on are the ones that the library's own forward pass gives."""
    scene, _, true, others = scene_and_captions(0, 0)
    texts = [true.text, *(o.text for o in others.values())]
    padded = fresh.phases[2].batches.padded
    inputs = fresh.processor(
        text=texts, images=[render(scene)], padding="max_length" if padded else True, return_tensors="pt"
    )
    rng = np.random.default_rng(0)
    rows = captioned._caption_rows(scene, true, {"owner": 0, "true": 0}, 0.0, rng)
    for row, sentence in zip(rows, (true, *others.values()), strict=True):
        row["ids"] = captioned.caption_tokens(sentence, rng, masked=False)[0]
    batch = tensors(captioned.text_arrays(rows, captioned.statements(scene)[None], padded))
    with torch.no_grad():
        vectors = RECIPES[fresh.name.split("-")[0]].see(fresh.model, inputs["pixel_values"])[1]
        cosines = contrastive.similarities(vectors, contrastive.text_vectors(fresh.model, batch))
        logits = cosines * fresh.model.logit_scale.exp() + getattr(fresh.model, "logit_bias", 0.0)
        assert torch.allclose(logits, fresh.model(**inputs).logits_per_image, atol=1e-4)


def test_the_table_of_statements_agrees_with_the_captions():
    for k in range(150):
        scene, _, true, others = scene_and_captions(k, 8)
        table = captioned.statements(scene)
        for sentence, label in ((true, 1), *((other, 0) for other in others.values())):
            names = [captioned.NAMES.index(name) for name in sentence.names]
            assert table[captioned.WAYS.index(sentence.way), names[0], names[-1]] == label, sentence.text
        assert (table == -1).sum() <= 12


def test_whereabouts_are_the_centres():
    scene = draw_scene(np.random.default_rng(2), 3)
    there, where = captioned.whereabouts(scene)
    assert there.sum() == len({(item.colour, item.shape) for item in scene.items})
    for item in scene.items:
        k = captioned.NAMES.index((item.colour, item.shape))
        same = [o for o in scene.items if (o.colour, o.shape) == (item.colour, item.shape)]
        assert there[k] == 1
        assert np.allclose((where[k] + 1) * 128, np.mean([(o.x, o.y) for o in same], axis=0), atol=0.01)
    assert not where[there == 0].any()


def test_a_batch_holds_what_it_says(fresh):
    batches = dataclasses.replace(fresh.phases[2].batches, pictures=6, steps=10)
    batch = batches(9)
    assert np.array_equal(batch["pixels"], batches(9)["pixels"])
    assert (np.bincount(batch["owner"][batch["kind"] == 0]) == batches.captions).all()
    own = batch["truth"][batch["owner"], np.arange(len(batch["owner"]))]
    assert np.array_equal(own, (batch["kind"] == 0).astype(np.int8))
    assert np.array_equal(batch["true"] == np.arange(len(own)), batch["kind"] == 0)
    assert np.array_equal(batch["owner"], batch["owner"][batch["true"]])
    assert set(batch["kind"]) == set(range(len(NEGATIVES) + 1))
    assert not batch["whole"].all()
    assert batch["masked"].any()
    assert batches(0)["whole"].all()
    assert ((batch["ids"] == VOCABULARY[END]).sum(axis=1) == 1).all(), "every text keeps its end"


def test_masking_does_not_tell_the_truth(fresh):
    batches = dataclasses.replace(fresh.phases[2].batches, pictures=60, steps=10)
    batch = batches(9)
    rates = [1 - batch["whole"][batch["kind"] == kind].mean() for kind in range(len(NEGATIVES) + 1)]
    assert max(rates) - min(rates) < 0.2
    assert (batch["ids"] == VOCABULARY[MASK]).any()
    assert (~batch["attended"]).any()


def hand_made():
    """Two pictures, a true caption with one negative each; caption 0 is true of picture 1 too."""
    return tensors(
        {
            "owner": np.array([0, 0, 1, 1]),
            "true": np.array([0, 0, 2, 2]),
            "kind": np.array([0, 1, 0, 1]),
            "code": np.array([0, 1, 2, 3]),
            "truth": np.array([[1, 0, 0, -1], [1, 0, 1, 0]], dtype=np.int8),
        }
    )


def test_the_softmax_loss_asks_for_the_true_captions_alone():
    batch = hand_made()
    logits = torch.zeros(2, 4, requires_grad=True)
    contrastive.softmax_loss(logits, batch).backward()
    gradient = logits.grad
    assert (gradient[[0, 1], [0, 2]] < 0).all(), "true captions rise"
    assert (gradient[[0, 0, 1, 1], [1, 2, 1, 3]] > 0).all(), "false ones fall"
    assert gradient[0, 3] == 0, "what cannot be told is left alone"
    assert gradient[1, 0] == 0, "a caption of another picture that is true here is no negative"
    good = torch.where(batch["truth"] == 1, 20.0, -20.0)
    assert contrastive.softmax_loss(good, batch) < 1e-6


def test_a_negative_that_masking_made_equal_is_none():
    batch = hand_made() | {"code": torch.tensor([0, 0, 2, 3])}
    for loss in (contrastive.softmax_loss, contrastive.sigmoid_loss):
        logits = torch.zeros(2, 4, requires_grad=True)
        loss(logits, batch).backward()
        assert logits.grad[0, 1] == 0


def test_the_sigmoid_loss_judges_each_pair():
    batch = hand_made()
    logits = torch.zeros(2, 4, requires_grad=True)
    contrastive.sigmoid_loss(logits, batch).backward()
    assert torch.equal(torch.sign(logits.grad), -torch.sign(torch.tensor([[1.0, -1, -1, 0], [1, -1, 1, -1]])))
    good = torch.where(batch["truth"] == 1, 20.0, -20.0)
    assert contrastive.sigmoid_loss(good, batch) < 1e-6


def test_right_choices_are_counted_by_kind():
    batch = hand_made() | {"whole": torch.ones(4, dtype=torch.bool), "masked": torch.tensor([False, True])}
    logits = torch.tensor([[2.0, 1, 0, 0], [0, 0, 1, 2]])
    counts = {name: (int(hits), int(cases)) for name, (hits, cases) in contrastive.right_choices(logits, batch).items()}
    assert counts["colour"] == (1, 1)
    assert counts["masked"] == (0, 1)
    assert counts["swap"] == (0, 0)


def test_the_text_heads_are_asked_for_the_direction(fresh):
    """The loss on texts is least when "a left of b" reads as a pointing left and b right."""
    rows = [
        captioned._row(scene_and_captions(0, 0, ["relation"])[2], None, {"owner": 0, "true": 0}, generator(0, 0, 0),
                       masked=False)
    ]  # fmt: skip
    batch = tensors(captioned.text_arrays(rows, np.zeros((1, 5, 30, 30), dtype=np.int8), None))
    batch |= {"way": torch.tensor([1]), "first": torch.tensor([4]), "second": torch.tensor([7])}
    heads = contrastive.throw_away_heads(8, 8)
    wanted = torch.zeros(30, 2)
    wanted[4, 0], wanted[7, 0] = -1.0, 1.0
    with torch.no_grad():
        for name in ("there", "where"):
            heads[name].weight.zero_()
        heads["there"].bias.copy_(torch.where(wanted[:, 0] != 0, 20.0, -20.0))
        heads["where"].bias.copy_(wanted.flatten())
        best, measures = contrastive.text_loss(heads, batch, torch.ones(1, 8))
        heads["where"].bias.copy_(-wanted.flatten())
        worst, _ = contrastive.text_loss(heads, batch, torch.ones(1, 8))
    assert best < 1e-5
    assert worst > 1
    assert float(measures["named"][0]) == 1


def test_training_lowers_the_loss_and_is_deterministic(recipe):
    def run():
        plan = small(recipe.plan(0, 0.001), joint=12)
        one = plan.phases[2].batches(0)
        plan.phases[2].batches = lambda step: one  # the same batch again and again: it must be learnt
        losses = []
        loss = plan.phases[2].loss

        def recorded(batch):
            found = loss(batch)
            losses.append(float(found[0].detach()))
            return found

        plan.phases[2].loss = recorded
        plan.phases[2].warm_up = 2
        training.train(plan, CPU)
        return plan, losses

    plan, losses = run()
    assert losses[-1] < 0.8 * losses[0]
    again, same = run()
    assert same == losses
    assert all(torch.equal(a, b) for a, b in zip(plan.model.parameters(), again.model.parameters(), strict=True))


@pytest.fixture(scope="module")
def saved(recipe, tmp_path_factory):
    folder = tmp_path_factory.mktemp(recipe.NAME)
    plan = small(recipe.plan(0, 0.001), joint=2)
    training.save(plan, training.train(plan, CPU), folder)
    return plan, folder


def test_saved_models_pass_the_doctor(saved):
    adapter = chiasm.load(str(saved[1]))
    assert adapter.family == "dual encoder"
    assert adapter.dtype == torch.float32
    for sample in samples(2, 0):
        bad = [check for check in doctor.examine(adapter, sample) if check.ok is False]
        assert not bad


@pytest.mark.parametrize("masker", ["mask", "delete"])
def test_words_can_be_hidden_in_other_ways(saved, masker):
    adapter = chiasm.load(str(saved[1]))
    bad = [check for check in doctor.examine(adapter, samples(1, 1)[0], maskers={"text": masker}) if check.ok is False]
    assert not bad


def test_the_saved_processor_is_the_one_trained_with(saved):
    plan, folder = saved
    texts = ["a red star", "the blue circle is to the left of the green cross"]
    ours, theirs = (
        p(text=texts, padding="max_length") for p in (plan.processor, AutoProcessor.from_pretrained(folder))
    )
    assert {name: list(value) for name, value in ours.items()} == {name: list(value) for name, value in theirs.items()}
    assert len(theirs["input_ids"][0]) == plan.model.config.text_config.max_position_embeddings


def test_similarities_are_the_models_own(saved):
    plan, folder = saved
    scene, _, true, others = scene_and_captions(3, 5)
    texts = [true.text, *(o.text for o in others.values())]
    model = type(plan.model).from_pretrained(folder).eval()
    inputs = plan.processor(text=texts, images=[render(scene)], padding="max_length", return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits_per_image[0] - getattr(model, "logit_bias", 0.0)
        wanted = (logits / model.logit_scale.exp()).numpy()
    found = similarities(load(folder), [render(scene)], texts, [0] * len(texts))
    assert np.allclose(found, wanted, atol=1e-5)


def test_accuracy_is_counted_by_kind(saved):
    rates = caption_accuracy(load(saved[1]), 24, 5)
    assert set(rates) == {*NEGATIVES, "two-way", "all", "all chance"}
    assert rates["two-way"] == pytest.approx(np.mean([rates[kind] for kind in NEGATIVES]))


def test_points_are_given_by_group():
    kinds = np.array(["true", "colour", "shape", "true", "colour", "true", "swap"])
    owners = np.array([0, 0, 0, 1, 1, 2, 2])
    texts = np.array(
        ["a", "b", "a", "c", "d", "e", "f"]
    )  # hidden words make the first picture's shape negative its caption
    scores = np.array([0.5, 0.1, 0.5, 0.2, 0.3, 0.9, 0.1])
    found = Compared(kinds, owners, texts, scores, scale=10.0)
    rates = found.rates()
    assert rates["colour"] == 0.5
    assert rates["shape"] == 0.5
    assert rates["swap"] == 1.0
    assert rates["all"] == pytest.approx((0.5 + 0.0 + 1.0) / 3)
    assert rates["all chance"] == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)
    right, chance = found.hits(["colour", "shape", "swap"])
    assert right.tolist() == [True, False, True], "captions that hidden words made equal are no choice"
    softmax = [np.exp(10 * np.array(pair)) / np.exp(10 * np.array(pair)).sum() for pair in ([0.5, 0.1], [0.2, 0.3])]
    assert chance[:2] == pytest.approx([one.max() for one in softmax])
    assert found.hits(["swap"])[1] == pytest.approx(1 / (1 + np.exp(-8)))


def test_hidden_captions_are_a_coin_toss(saved):
    rates = caption_accuracy(load(saved[1]), 10, 5, hide_text=1.0)
    assert all(rates[kind] == 0.5 for kind in (*NEGATIVES, "two-way"))
    assert rates["all"] == pytest.approx(rates["all chance"])
    with pytest.raises(InvalidInput):
        caption_accuracy(load(saved[1]), 10, 5, hide_image=1.5)


def test_calibration_is_that_of_the_models_softmax_over_two_captions(saved):
    """The whole row again, from the logits of transformers."""
    plan, folder = saved
    model = type(plan.model).from_pretrained(folder).eval()
    chances, right = [], []
    for index in range(6):
        scene, _, true, others = scene_and_captions(index, 5)
        texts = [true.text, *(other.text for other in others.values())]
        inputs = plan.processor(text=texts, images=[render(scene)], padding="max_length", return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits_per_image[0]
        pairs = torch.stack([logits[0].expand(len(others)), logits[1:]]).softmax(0)
        chances += pairs.max(0).values.tolist()
        right += (pairs[0] > 0.5).tolist()
    loaded = load(folder)
    shares, rows = caption_rows(loaded, list(NEGATIVES), 6, (5,))
    told = rows[0].calibration[ALL_TYPES]
    assert told.n == len(chances)
    assert told.confidence == pytest.approx(np.mean(chances), abs=1e-4)
    ours, _ = compare(loaded, 6, 5).hits(list(NEGATIVES))
    assert np.mean(ours) == pytest.approx(np.mean(right), abs=1.5 / len(right))  # a tie may fall either way
    assert {kind: [share] for kind, share in rows[0].accuracy.items()} == shares


def test_hiding_the_picture_changes_the_similarities(saved):
    picture = render(scene_and_captions(0, 0)[0])
    same, other = similarities(load(saved[1]), [picture, picture.rotate(90)], ["a red star"] * 2, [0, 1])
    assert same != other
