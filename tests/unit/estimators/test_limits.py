"""Budgets in values, seconds and passes; tolerances."""

from __future__ import annotations

import time

import numpy as np
import pytest

from chiasm.core import indices
from chiasm.core.errors import InvalidInput
from chiasm.core.game import Costs, Game
from chiasm.core.players import Players
from chiasm.estimators.base import Estimate
from chiasm.estimators.choice import allowed_values, choose
from chiasm.estimators.estimate import estimate
from chiasm.estimators.limits import Budget, Tolerance, across, half_width
from chiasm.testing.games import bilinear_sigmoid


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


class Slow:
    """A game whose every value takes a hundredth of a second, by a clock that nobody waits for."""

    def __init__(self, monkeypatch, n=14):
        self.known, self.now = bilinear_sigmoid(n, seed=3), 0.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def __call__(self, coalitions):
        self.now += 0.01 * len(coalitions)
        return self.known.values(coalitions)


@pytest.mark.parametrize("method", ["permutation", "gp"])
def test_a_time_buys_as_many_values_as_it_lasts(monkeypatch, method):
    slow = Slow(monkeypatch)
    found = estimate(slow, {"a": 8, "b": 6}, budget="8s", method=method).provenance
    assert slow.now <= 8.0
    assert 500 <= found.computed <= 800  # at 100 values a second, some time left for the estimator
    assert "budget: 8 s, enough for" in found.notes[0]


def test_the_clock_stops_a_run_that_became_slower(monkeypatch):
    slow = Slow(monkeypatch)
    seen = []

    def values(coalitions):
        seen.append(len(coalitions))
        slow.now += 0.05 * len(coalitions) if sum(seen) > 300 else 0.0
        return slow(coalitions)

    found = estimate(values, {"a": 8, "b": 6}, budget="10s", method="gp").provenance
    assert any("stopped by the clock" in note for note in found.notes)
    assert slow.now < 20.0


def test_an_estimate_that_is_close_enough_ends_the_run():
    known = bilinear_sigmoid(14, seed=3)
    wide = estimate(known.values, {"a": 8, "b": 6}, method="gp", budget=2000, tolerance=0.05, seed=1)
    assert wide.provenance.computed < 2000
    assert any("stopped early: every pair's 95 % interval" in note for note in wide.provenance.notes)
    assert 1.96 * wide.pair_errors[:8, 8:].max() <= 0.05
    never = estimate(known.values, {"a": 8, "b": 6}, method="gp", budget=400, tolerance=1e-9, seed=1)
    assert never.provenance.computed == 400
    assert any("not reached within the budget" in note for note in never.provenance.notes)


class Towers:
    """Values that are nearly free once both parts are encoded."""

    costs = Costs({"a": 0.5, "b": 0.5}, cell=1e-4)

    def __init__(self):
        self.known = bilinear_sigmoid(20, seed=1)

    def __call__(self, coalitions):
        return self.known.values(coalitions)


def test_passes_are_counted_as_the_game_prices_them():
    players = Players.abstract({"a": 12, "b": 8})
    game = Game(Towers(), players)
    grid = np.array([[k >> j & 1 for j in range(20)] for k in (0, 1, 1 << 12, 1 + (1 << 12))], bool)  # 2 × 2 masks
    game(grid)
    assert game.counts.passes == pytest.approx(2 * 0.5 + 2 * 0.5 + 4e-4)
    game(grid)
    assert game.counts.passes == pytest.approx(2.0004)
    plain = Game(lambda x: x.sum(1), players)
    plain(grid)
    assert plain.counts.passes == 4


def test_passes_buy_a_grid_where_values_are_nearly_free():
    players = Players.abstract({"a": 12, "b": 8})
    assert allowed_values(Game(lambda x: x.sum(1), players), "auto", Budget(passes=50), 0) == 50
    assert allowed_values(Game(Towers(), players), "gp", Budget(passes=50), 0) == 50
    values = allowed_values(Game(Towers(), players), "auto", Budget(passes=50), 0)
    assert 1500 < values <= 2500  # about 50 masks on each side
    assert choose(20, indices.index("SII"), values, Towers.costs)[0] == "crossed"
    found = estimate(Towers(), {"a": 12, "b": 8}, budget="50 passes").provenance
    assert found.method == "crossed"
    assert 30 < found.passes <= 54  # with the values of whole parts
