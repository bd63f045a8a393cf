"""Strata and comparisons: planted differences are found, what is equal is not, and pairs count as pairs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from chiasm.audits.strata import columns, strata
from chiasm.audits.summary import compare, summarise
from chiasm.audits.table import Table
from chiasm.core.errors import InvalidInput, UnknownName


def row(kind: str, image: str, text: str, both: str, **more: Any) -> dict[str, Any]:
    return {
        "parts": ["image", "text"],
        "values": [0.1, 0.2, 0.3, 0.9],
        "answers": ["?", image, text, both],
        "reference": "red",
        "background": None,
        "tags": {"type": kind},
        "sizes": {"image": 16, "text": len(kind)},
        **more,
    }


def blind(kind: str, share: float, n: int, seed: int) -> list[dict[str, Any]]:
    """Samples of which a share is answered from the text alone."""
    told = np.random.default_rng(seed).random(n) < share
    return [row(kind, "?", "red" if one else "blue", "red") for one in told]


def test_a_planted_difference_between_strata_is_found_and_none_where_there_is_none() -> None:
    table = Table(blind("colour", 0.9, 60, 0) + blind("count", 0.2, 60, 1) + blind("shape", 0.2, 60, 2))
    found = summarise(table, ["type"], replicates=1000)
    by = {(one.measure.name, one.stratum.level): one for one in found.contrasts}
    colour = by["image_reliance", "colour"]
    assert colour.estimate.value == pytest.approx(0.1, abs=0.12)
    assert colour.difference.value < -0.5
    assert colour.difference.high < 0
    assert colour.p_value < 0.05
    assert by["image_share", "colour"].p_value == pytest.approx(1.0)
    rest = found["image_reliance"].value * 180 - colour.estimate.value * 60
    assert colour.difference.value == pytest.approx(colour.estimate.value - rest / 120)


def test_false_alarms_are_rare() -> None:
    alarms = 0
    for seed in range(20):
        table = Table(blind("a", 0.5, 40, seed) + blind("b", 0.5, 40, 1000 + seed))
        alarms += any(one.p_value < 0.05 for one in summarise(table, ["type"], 300, seed).contrasts)
    assert alarms <= 3


def test_strata_by_default_are_columns_with_a_few_groups_of_enough_samples() -> None:
    rows = [
        row(
            "even" if k % 2 else "odd",
            "x",
            "y",
            "red" if k % 3 else "blue",
            tags={"type": str(k % 2), "number": k, "id": str(k)},
        )
        for k in range(60)
    ]
    table = Table(rows)
    found = {(one.column, one.level): len(one.rows) for one in strata(table)}
    assert found["type", "0"] == found["type", "1"] == 30
    assert found["correct", "wrong"] == 20
    assert found["answer", "blue"] == 20
    assert len([level for column, level in found if column == "number"]) == 3  # bands
    assert not any(column in {"id", "reference", "image_length"} for column, _ in found)
    assert "id" in columns(table)
    with pytest.raises(UnknownName, match="type"):
        strata(table, ["typ"])


def test_two_models_are_compared_sample_by_sample() -> None:
    rng = np.random.default_rng(0)
    told = rng.random(200) < 0.5
    better = told | (rng.random(200) < 0.15)
    first = Table([row("a", "?", "red" if one else "blue", "red") for one in told])
    second = Table([row("a", "?", "red" if one else "blue", "red") for one in better])
    changes = {one.measure.name: one for one in compare(first, second)}
    prior = changes["text_prior"]
    assert prior.difference.value == pytest.approx(prior.second.value - prior.first.value)
    assert prior.p_value < 0.02
    unpaired = np.sqrt(2 * 0.25 / 200) * 1.96
    assert prior.difference.high - prior.difference.low < 1.6 * unpaired  # pairs take the samples' own chance out
    assert changes["image_share"].p_value == pytest.approx(1.0)


def test_tables_of_other_samples_cannot_be_compared() -> None:
    with pytest.raises(InvalidInput, match="same samples"):
        compare(Table(blind("a", 0.5, 10, 0)), Table(blind("a", 0.5, 11, 0)))
