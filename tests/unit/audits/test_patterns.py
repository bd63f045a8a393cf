"""Maps and groups of interactions: planted ones are found, and where there are none, none are told."""

from __future__ import annotations

import numpy as np
import pytest

import chiasm as cx
from chiasm.audits.patterns import maps, patterns
from chiasm.audits.record import Plan, record
from chiasm.audits.sorts import between
from chiasm.audits.table import Table
from chiasm.core.players import Players


def row(sums, answer="red"):
    return {
        "parts": ["image", "text"],
        "values": [0.0, 0.0, 0.0, 1.0],
        "answers": ["?", "?", "?", answer],
        "reference": "red",
        "background": None,
        "between": [["image", "text", a, b, value] for (a, b), value in sums.items()],
    }


def table(rows):
    return Table(rows, names=[f"s{k}" for k in range(len(rows))])


def test_sums_by_sort_are_those_of_the_block():
    across = np.zeros((5, 5))
    across[:3, 3:] = [[1, 2], [3, 4], [5, 6]]
    players = Players.abstract({"a": 3, "b": 2})
    found = between(across + across.T, players, {"a": ["x", "y", "x"], "b": ["u", "v"]})
    assert {tuple(one[:4]): one[4] for one in found} == {
        ("a", "b", "x", "u"): 6.0,
        ("a", "b", "x", "v"): 8.0,
        ("a", "b", "y", "u"): 3.0,
        ("a", "b", "y", "v"): 4.0,
    }


def test_a_map_is_the_mean_over_samples_that_have_both_sorts():
    rows = [row({("left", "colour"): 1.0 + k % 2, ("right", "number"): 0.0}) for k in range(12)]
    rows += [row({("left", "number"): 9.0, ("right", "place"): 1.0})] * 9
    (found,) = maps(table(rows))
    assert (found.parts, found.rows, found.columns) == (("image", "text"), ("left", "right"), ("colour", "number"))
    assert found.values[0, 0] == pytest.approx(1.5)
    assert np.isnan(found.values[[0, 1], [1, 0]]).all(), "nine samples are too few; none has both"
    assert found.values[1, 1] == 0.0
    assert found.counts.tolist() == [[12, 9], [0, 12]]


def test_two_planted_patterns_are_told_apart_with_their_samples():
    rng = np.random.default_rng(0)
    one = [row({("left", "colour"): 5 + rng.random(), ("right", "number"): rng.random() / 5}) for _ in range(40)]
    two = [
        row({("left", "colour"): rng.random() / 5, ("right", "number"): 5 + rng.random()}, "blue") for _ in range(20)
    ]
    found = patterns(table(one + two))
    assert [round(one.share, 2) for one in found] == [0.67, 0.33]
    assert [one.right for one in found] == [1.0, 0.0]
    assert found[0].marks[0][0] in {"left (image) with colour (text)", "right (image) with number (text)"}
    assert {int(name[1:]) < 40 for name in found[0].samples} == {True}
    assert {int(name[1:]) >= 40 for name in found[1].samples} == {True}


def test_no_structure_is_no_pattern():
    rng = np.random.default_rng(1)
    keys = [(a, b) for a in ("left", "right", "top") for b in ("colour", "number", "other")]
    rows = [row(dict(zip(keys, rng.normal(size=9), strict=True))) for _ in range(80)]
    assert patterns(table(rows)) == []
    assert patterns(table([row({("left", "colour"): 1.0})] * 80)) == []
    assert patterns(table(rows[:20])) == []


def test_skew_is_no_group():
    """Positive and skewed values without groups lie in corners; k-means parts them well."""
    told = 0
    for seed in range(10):
        rng = np.random.default_rng(seed)
        rows = [
            row({("left", "colour"): rng.exponential(), ("right", "number"): rng.exponential()}) for _ in range(100)
        ]
        told += bool(patterns(table(rows)))
    assert told <= 2  # of ten at a level of 1 in 20


def test_records_hold_what_maps_need():
    model = cx.FunctionModel(
        lambda batch: [float(("red" in s["text"]) * ("b" in s["text2"])) for s in batch], ("text",)
    )
    sample = cx.Sample(text="is it red", text2="a b")
    found = record(model, [sample], 0, Plan(budget=64, method="exact"))["between"]
    sums = {(one, two): value for _, _, one, two, value in found}
    assert sum(sums.values()) == pytest.approx(1.0)
    assert max(sums, key=sums.get)[0] == "colour"
