"""Training: the same plan gives the same weights, whole or broken off, and what is saved loads as it was."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch

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
