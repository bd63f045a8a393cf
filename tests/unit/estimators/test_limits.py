"""Budgets in values, seconds and passes; tolerances."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.base import Estimate
from chiasm.estimators.limits import Budget, Tolerance, across, half_width


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (512, Budget(values=512)),
        ("512", Budget(values=512)),
        (np.int64(7), Budget(values=7)),
        ("30s", Budget(seconds=30)),
        (" 1.5 min ", Budget(seconds=90)),
        ("1h", Budget(seconds=3600)),
        ("400 passes", Budget(passes=400)),
        (Budget(seconds=2), Budget(seconds=2)),
    ],
)
def test_a_budget_is_read(given, wanted):
    assert Budget.parse(given) == wanted


@pytest.mark.parametrize(
    "given", [0, -1, True, 1.5, None, "", "0s", "many", "5 apples", "1.5", "-3s", "0 passes", 2**31]
)
def test_what_is_no_budget_is_refused(given):
    with pytest.raises(InvalidInput, match="budget"):
        Budget.parse(given)


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (0.02, Tolerance(width=0.02)),
        ("0.02", Tolerance(width=0.02)),
        ("1e-3", Tolerance(width=1e-3)),
        ("5%", Tolerance(share=0.05)),
        ("top3", Tolerance(top=3)),
        (Tolerance(top=2), Tolerance(top=2)),
    ],
)
def test_a_tolerance_is_read(given, wanted):
    assert Tolerance.parse(given) == wanted


@pytest.mark.parametrize("given", [0, -0.1, True, None, "", "top", "top1.5", "top3%", "5 %%", "x", float("nan")])
def test_what_is_no_tolerance_is_refused(given):
    with pytest.raises(InvalidInput, match="tolerance"):
        Tolerance.parse(given)


def _estimate(block, errors):
    pair, spread = np.zeros((4, 4)), np.full((4, 4), 9.0)  # pairs within a part are not looked at
    pair[:2, 2:], spread[:2, 2:] = block, errors
    return Estimate(np.zeros(4), pair + pair.T, None, np.minimum(spread, spread.T))


GAME = Game(lambda x: 2.0 * x.sum(1), Players.abstract({"a": 2, "b": 2}))  # v(all) − v(none) = 8


def test_the_widest_interval_across_parts_decides():
    found = _estimate([[1.0, 0.5], [0.2, 0.1]], [[0.01, 0.01], [0.01, 0.05]])
    assert half_width(found, GAME.players) == pytest.approx(1.96 * 0.05)
    assert Tolerance(width=0.099).met(found, GAME)
    assert not Tolerance(width=0.097).met(found, GAME)
    assert Tolerance(share=0.099 / 8).met(found, GAME)
    assert not Tolerance(share=0.097 / 8).met(found, GAME)


def test_the_strongest_are_told_apart_when_intervals_do_not_overlap():
    close = _estimate([[1.0, -0.9], [0.2, 0.1]], [[0.05, 0.05], [0.05, 0.05]])
    assert not Tolerance(top=1).met(close, GAME)
    assert Tolerance(top=2).met(close, GAME)  # 0.9 − 0.098 > 0.2 + 0.098
    assert not Tolerance(top=3).met(close, GAME)
    assert Tolerance(top=4).met(close, GAME)  # there are no others


def test_without_standard_errors_no_tolerance_is_ever_met():
    found = Estimate(np.zeros(4), np.ones((4, 4)))
    assert half_width(found, GAME.players) is None
    assert not Tolerance(width=100.0).met(found, GAME)
    unknown = _estimate([[1.0, np.nan], [0.2, 0.1]], [[0.1, np.nan], [0.1, 0.1]])
    assert not Tolerance(top=1).met(unknown, GAME)


def test_with_one_part_all_pairs_are_looked_at():
    found = Estimate(np.zeros(3), np.zeros((3, 3)), None, np.full((3, 3), 0.5))
    values, errors = across(found, Players.abstract({"a": 3}))
    assert len(values) == len(errors) == 3
