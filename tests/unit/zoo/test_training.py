"""Training: the same plan gives the same weights, whole or broken off, and what is saved loads as it was."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.zoo import train
from chiasm.zoo.answers import chat_inputs
from chiasm.zoo.data.scenes import draw_scene, render
from chiasm.zoo.recipes import llava, training

CPU = torch.device("cpu")


def small_plan(seed=0):
    """The real recipe with one step of the tower and three joint steps of few pictures."""
    plan = llava.plan(seed, steps_scale=3 / llava.JOINT_STEPS)
    for phase in plan.phases:
        phase.batches = dataclasses.replace(phase.batches, pictures=3)
    return plan


@pytest.fixture(scope="module")
def trained():
    plan = small_plan()
    report = training.train(plan, CPU)
    return plan, report


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


def test_training_is_deterministic_and_learns_something(trained):
    plan, _ = trained
    again = small_plan()
    fresh = llava.plan(0, 0.001).model
    training.train(again, CPU)
    assert same(plan.model, again.model)
    assert not same(plan.model, fresh)


def test_workers_make_the_same_weights(trained):
    again = small_plan()
    training.train(again, CPU, workers=1)
    assert same(trained[0].model, again.model)


def test_a_broken_off_training_goes_on_as_if_whole(trained, tmp_path):
    class Stopped(Exception):
        pass

    def stop(line):
        if "joint" in line:
            raise Stopped

    state = tmp_path / "state.pt"
    with pytest.raises(Stopped):
        training.train(small_plan(), CPU, state=state, write=stop)
    assert state.exists()
    again = small_plan(seed=0)
    training.train(again, CPU, state=state)
    assert same(trained[0].model, again.model)


@pytest.mark.parametrize("other", ["seed", "steps", "model", "unnamed"])
def test_a_state_of_another_plan_is_refused_with_both_named(other, tmp_path):
    def short(seed=0, steps=1, name="llava-shapes"):
        plan = small_plan(seed)
        plan.name, plan.phases = name, plan.phases[:1]
        plan.phases[0].steps = steps
        return plan

    state = tmp_path / "state.pt"
    training.train(short(), CPU, state=state)
    plan, words = {
        "seed": (short(seed=7), ["seed 0", "seed 7", "--seed"]),
        "steps": (short(steps=2), ["'tower': 1", "'tower': 2", "--steps-scale"]),
        "model": (short(name="other"), ["llava-shapes", "other"]),
        "unnamed": (short(), ["does not name", "--state"]),
    }[other]
    if other == "unnamed":
        content = torch.load(state, weights_only=True)
        del content["plan"]
        torch.save(content, state)
    before = [weight.detach().clone() for weight in plan.model.parameters()]
    with pytest.raises(InvalidInput) as caught:
        training.train(plan, CPU, state=state)
    assert all(word in str(caught.value) for word in words)
    assert all(torch.equal(a, b) for a, b in zip(before, plan.model.parameters(), strict=True)), "nothing was loaded"


def test_a_torch_without_muon_is_named(monkeypatch):
    monkeypatch.delattr(torch.optim, "Muon")
    with pytest.raises(MissingDependency, match=r"torch>=2\.9"):
        training.train(small_plan(), CPU)


def never(*_, **__):
    raise AssertionError("the training began")


def test_a_folder_that_cannot_take_the_model_is_refused_before_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "train", never)
    file, full, other = tmp_path / "file", tmp_path / "full", tmp_path / "other"
    file.write_text("")
    for folder in (full, other):
        folder.mkdir()
    (full / "notes.txt").write_text("mine")
    (other / "training.json").write_text('{"model": "clip-captions"}')
    cases = [(file, "is a file"), (file / "below", "is a file"), (full, "no training"), (other, "clip-captions")]
    for out, words in cases:
        with pytest.raises(SystemExit):
            train.main(["llava-shapes", "--out", str(out)])
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        train.main(["llava-shapes", "--out", str(tmp_path / "new"), "--state", str(file / "state")])
    assert "is a file" in capsys.readouterr().err
    (other / "training.json").write_text('{"model": "llava-shapes"}')
    with pytest.raises(AssertionError, match="began"):  # a folder with an earlier model of that name may be written
        train.main(["llava-shapes", "--out", str(other)])
    assert not (tmp_path / "new").exists()


def test_folders_of_checkpoints_are_looked_at_too(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training, "train", never)
    (tmp_path / "growth-0030").mkdir()
    (tmp_path / "growth-0030" / "notes.txt").write_text("mine")
    with pytest.raises(SystemExit):
        train.main(["prior-growth", "--out", str(tmp_path / "growth")])
    assert "growth-0030" in capsys.readouterr().err


@pytest.mark.skipif(os.access("/proc/1", os.W_OK), reason="everything here can be written")
def test_a_folder_without_the_right_to_write_is_refused():
    with pytest.raises(InvalidInput, match="cannot be written"):
        train.check_writable(Path("/proc/1/model"))


def test_the_report_says_how_it_came_about(trained):
    _, report = trained
    assert report["seed"] == 0
    assert report["steps"] == {"tower": 1, "joint": 3}
    assert [line["phase"] for line in report["curve"]] == ["tower", "joint"]
    assert report["versions"]["torch"] == torch.__version__
    assert 1.3e6 < report["parameters"] < 1.5e6


def test_saved_files_load_as_float32_and_answer(trained, tmp_path):
    from transformers import AutoModelForImageTextToText, AutoProcessor

    plan, report = trained
    training.save(plan, report, tmp_path)
    model = AutoModelForImageTextToText.from_pretrained(tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    assert model.dtype == torch.float32
    assert json.loads((tmp_path / "training.json").read_text())["steps"] == report["steps"]
    inputs = chat_inputs(processor, [render(draw_scene(np.random.default_rng(0)))], ["Is there a star?"])
    with torch.no_grad():
        assert torch.allclose(model(**inputs).logits, plan.model(**inputs).logits, atol=0.05)


def test_the_learning_rate_warms_up_and_falls():
    phase = training.Phase("p", 100, dict, dict, [], 1.0, warm_up=10)
    assert phase.rate(0) == pytest.approx(0.1)
    assert phase.rate(9) > 0.9
    assert phase.rate(99) < 0.03


def test_the_command_refuses_an_unknown_model(capsys):
    with pytest.raises(SystemExit):
        train.main(["llava-shape"])
    assert "llava-shapes" in capsys.readouterr().err
