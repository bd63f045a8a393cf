"""What the model answers without a part or a pair is what it answers to that coalition, and survives the disk."""

from __future__ import annotations

import numpy as np
import pytest

import chiasm as cx
from chiasm.core.explanation import Explanation, WhatIf
from chiasm.explainers.explain import explain_all

QUESTION = "What colour is the star?"


@pytest.fixture(scope="module")
def model():
    return cx.load("zoo:prior-grounded", device="cpu")


@pytest.fixture(scope="module")
def sample():
    return cx.dataset("zoo:prior", n=1, seed=5)[0]


def test_each_part_and_the_strongest_pair_are_hidden_once(model, sample, tmp_path):
    found = cx.explain(model, sample, method="gp", players="grid:2x2,words", budget=200)
    pair = found.top_pairs(1)[0].players
    assert [one.removed for one in found.what_if] == [("image",), ("text",), pair]
    picture = np.asarray(sample["image"].data)
    grey = np.broadcast_to(picture.reshape(-1, 3).mean(axis=0).round().astype(np.uint8), picture.shape)
    alone = model.resolve(model.prepare(cx.Sample(image=grey, text=sample["text"].data)), cx.Target())[1]
    assert found.what_if[0].answer == alone.answer
    assert found.what_if[0].probability == pytest.approx(alone.probability, abs=0.02)  # the mean is rounded here
    again = Explanation.load(found.save(tmp_path / "e.json"))
    assert again.what_if == found.what_if


def test_several_methods_share_their_questions_and_unary_ones_hide_their_strongest_player(model, sample):
    found = explain_all(model, sample, ["chefer", "occlusion"], players="grid:2x2,words")
    for explanation in found.values():
        assert explanation.what_if[2].removed == (explanation.top(1)[0].player,)
    assert found["chefer"].what_if[:2] == found["occlusion"].what_if[:2]


def test_what_is_held_fixed_stays_so(model, sample):
    found = cx.explain(model, sample, method="occlusion", players="grid:2x2,words", fixed={"text": True})
    assert [one.removed for one in found.what_if] == [(found.top(1)[0].player,)]


def test_a_model_without_answers_is_not_asked():
    found = cx.explain(
        cx.FunctionModel(lambda text: float(len(text)), batch=False),
        cx.Sample(text="one two three"),
        method="occlusion",
    )
    assert found.what_if == ()


def test_files_of_the_format_before_are_read(tmp_path):
    made = cx.estimate(lambda masks: masks.sum(axis=1).astype(float), parts={"a": 2, "b": 2})
    made.what_if = (WhatIf(("a",), "yes", 0.5), WhatIf((("a", 1), ("b", 0)), "no", None))
    path = made.save(tmp_path / "e.json")
    assert Explanation.load(path).what_if == made.what_if
    text = path.read_text(encoding="utf-8")
    old = text.replace('"what_if"', '"ignored"').replace("1,\n  1\n", "1,\n  0\n", 1)
    path.write_text(old, encoding="utf-8")
    assert Explanation.load(path).what_if == ()
