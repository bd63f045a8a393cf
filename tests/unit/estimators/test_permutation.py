"""The arcs of a circle as a design, and the estimator that seats random players on it."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import bernoulli, index, taylor, uniform
from chiasm.core.players import Players
from chiasm.estimators.arcs import arcs, cost
from chiasm.estimators.permutation import PERMUTATION, _importance, _only_empty
from chiasm.testing.games import SparsePolynomial, bilinear_sigmoid, game_of, sparse_polynomial

DESIGNS = [(n, h, first) for n in range(2, 10) for h in (*range(1, n + 1), 2 * n) for first in (0, 1)]


def last(game, name="SII", budget=1000, seed=0):
    *_, found = PERMUTATION.run(game, index(name), budget, seed)
    return found


@pytest.mark.parametrize(("n", "h", "first"), DESIGNS)
def test_every_order_holds_every_seat_once_and_every_difference_is_one(n, h, first):
    design = arcs(n, h, first)
    seats, one = design.seats, np.eye(n, dtype=bool)
    assert len(np.unique(seats, axis=0)) == len(seats)
    assert design.cost <= cost(n, h)
    assert not seats[0].any()
    assert seats[1].all()
    # marginal contributions: one seat joins a coalition of the stated size; as many of each seat as there are orders
    joined = seats[design.without] | one[design.seat]
    np.testing.assert_array_equal(joined, seats[design.with_])
    np.testing.assert_array_equal(seats[design.without].sum(1), design.size)
    assert not seats[design.without, design.seat].any()
    assert (np.bincount(design.seat, minlength=n) == design.orders).all()
    # differences: S+ij, one of S+i and S+j each, S
    both, a, b, none = (seats[rows] for rows in design.corners)
    i, j = design.pair_seats
    np.testing.assert_array_equal(none | one[i] | one[j], both)
    assert (both.sum(1) == design.pair_size + 2).all()
    np.testing.assert_array_equal(a ^ b, one[i] | one[j])
    assert (a.sum(1) == none.sum(1) + 1).all()


@pytest.mark.parametrize("n", range(2, 13))
def test_the_whole_circle_is_balanced(n):
    design = arcs(n, 2 * n, 0)
    assert design.cost == cost(n, 2 * n) == n * (n - 1)
    i, j = np.sort(design.pair_seats, axis=0)
    assert len(i) == n * (n - 1)
    for pair in itertools.combinations(range(n), 2):
        here = (i == pair[0]) & (j == pair[1])
        sizes = design.pair_size[here]
        assert len(sizes) == 2
        assert sizes.sum() == n - 2  # complementary contexts
    for seat in range(n):  # each size twice
        assert (np.bincount(design.size[design.seat == seat], minlength=n) == 2).all()


@pytest.mark.parametrize("n", range(2, 13))
def test_half_a_circle_meets_every_pair_once(n):
    for first in (0, 1):
        pairs = np.sort(arcs(n, n, first).pair_seats, axis=0).T.tolist()
        assert sorted(map(tuple, pairs)) == list(itertools.combinations(range(n), 2))


@pytest.mark.parametrize("n", [5, 6])
@pytest.mark.parametrize("h", [1, 2, 3])
def test_over_all_seatings_the_design_gives_the_exact_values(n, h):
    """Unbiased: the mean over every seating and both first centres IS the index."""
    game = bilinear_sigmoid(n, seed=1)
    table = game.values(all_coalitions(n))
    bits = 1 << np.arange(n)
    single, pair, met = np.zeros(n), np.zeros((n, n)), np.zeros((n, n))
    for first in (0, 1):
        design = arcs(n, h, first)
        for who in map(np.array, itertools.permutations(range(n))):
            values = table[design.seats @ bits[who]]
            gains = values[design.with_] - values[design.without]
            np.add.at(single, who[design.seat], gains / design.orders)
            both, one, other, none = values[design.corners]
            a, b = who[design.pair_seats]
            np.add.at(pair, (a, b), both - one - other + none)
            np.add.at(met, (a, b), 1)
    pair, met = pair + pair.T, met + met.T + np.eye(n)
    wanted_single, wanted_pair = game.exact("SII")
    np.testing.assert_allclose(single / single_count(n), wanted_single, atol=1e-12)
    np.testing.assert_allclose(pair / met, wanted_pair, atol=1e-12)


def single_count(n):
    return 2 * np.prod(np.arange(1, n + 1))


@pytest.mark.parametrize("n", [2, 3, 7, 16, 33])
@pytest.mark.parametrize("extra", [0, 1, 7, 100, 1500])
def test_the_budget_is_used_and_never_exceeded(n, extra):
    budget = 2 * n + extra
    game = game_of(sparse_polynomial(n), batch_size=64)
    with game.allowance(budget):  # the game itself would refuse
        found = last(game, budget=budget)
    left = budget - game.counts.computed
    assert left >= 0
    if budget < 2**n / 2:  # beyond, every coalition may be known before the budget ends
        assert left < 2 * n
    assert np.isfinite(found.single).all()


def test_remembered_values_are_free():
    game = game_of(sparse_polynomial(12))
    game.part_values()
    before = game.counts.computed
    last(game, budget=22)  # one order with its differences, the ends being known
    assert game.counts.computed - before <= 22


@pytest.mark.parametrize("name", ["SII", "BII", "WBII:0.2", "STII", "Moebius"])
def test_too_small_a_budget_is_named(name):
    game = game_of(sparse_polynomial(9))
    with pytest.raises(BudgetTooSmall) as caught:
        PERMUTATION.run(game, index(name), 3, 0)
    assert game.counts.computed == 0
    needed = int(next(word for word in str(caught.value).split() if word.isdigit() and word != "9"))
    assert last(game_of(sparse_polynomial(9)), name, needed)
    with pytest.raises(BudgetTooSmall):
        PERMUTATION.run(game, index(name), needed - 1, 0)


def test_faith_shap_is_refused_with_the_estimators_that_serve():
    with pytest.raises(InvalidInput, match=r"cannot estimate FSII.*regression.*'exact' or .*'kernelshap-iq'"):
        PERMUTATION.run(game_of(sparse_polynomial(5)), index("FSII"), 100, 0)


@pytest.mark.parametrize("weight", [uniform, taylor, bernoulli(0.5), bernoulli(0.2)])
@pytest.mark.parametrize("others", [0, 1, 2, 7, 60])
def test_size_weights_are_those_of_the_index(weight, others):
    which = index("SII" if weight is uniform else "STII" if weight is taylor else "BII")
    wanted = [weight(s, others) * math.comb(others, s) * (others + 1) for s in range(others + 1)]
    np.testing.assert_allclose(_importance(weight, others, which), wanted, rtol=1e-9)


@pytest.mark.parametrize("name", ["SII", "BII", "WBII:0.3", "STII", "Moebius"])
def test_eleven_hundred_players(name):
    """Binomial coefficients and weights leave the range of floats here."""
    n = 1100
    which = index(name)
    assert _only_empty(which.pair) == (name == "Moebius")
    if name != "Moebius":  # a mean over uniform sizes
        assert _importance(which.pair, n - 2, which).mean() == pytest.approx(1, abs=1e-9)
    terms = {(i,): float(i % 7) for i in range(n)}
    known = SparsePolynomial(n, terms)
    found = last(game_of(known, batch_size=4096), name, 5000)
    assert np.isfinite(found.single).all()
    if name in ("SII", "STII", "Moebius"):
        np.testing.assert_allclose(found.single, list(terms.values()), atol=1e-9)
    else:
        assert found.single.mean() == pytest.approx(3, rel=0.2)
    assert np.nanmax(np.abs(found.pair)) < 1e-6


@pytest.mark.parametrize("name", ["SII", "BII", "STII"])
def test_the_mean_over_many_runs_is_the_exact_value(name):
    """No bias, at a budget that ends in part of a circle."""
    known = bilinear_sigmoid(7, 5)
    single, pair = known.exact(name)
    runs = [last(game_of(known), name, 40, seed) for seed in range(600)]
    for got, wanted in ((np.array([r.single for r in runs]), single), (np.array([r.pair for r in runs]), pair)):
        error = np.nanstd(got, axis=0) / np.sqrt((~np.isnan(got)).sum(axis=0))
        z = (np.nanmean(got, axis=0) - wanted)[error > 1e-9] / error[error > 1e-9]
        assert np.sqrt(np.mean(z**2)) < 1.5 if len(z) else True
        assert np.abs(z).max(initial=0.0) < 4.5


def test_unknown_pairs_and_errors_are_nan():
    found = last(game_of(sparse_polynomial(20)), budget=40)  # a single seating
    above = np.triu_indices(20, 1)
    assert np.isnan(found.pair[above]).any()
    assert np.isfinite(found.pair[above]).any()
    assert np.isnan(found.pair_errors[above]).all()
    assert np.isnan(found.single_errors).all()
    assert not np.diagonal(found.pair).any()
    assert not np.diagonal(found.pair_errors).any()


def test_steps_fill_a_call_and_come_early():
    game = game_of(sparse_polynomial(10), batch_size=128)
    counts = [game.counts.computed for _ in PERMUTATION.run(game, index("SII"), 600, 0)]
    assert counts[0] <= 128 + 2
    assert len(counts) >= 4
    assert counts == sorted(counts)


def test_one_and_two_players():
    one = last(Game(lambda c: 3.0 * c[:, 0] + 1, Players.abstract({"a": 1})), budget=2)
    assert one.single.tolist() == [3.0]
    assert one.pair.tolist() == [[0.0]]
    two = last(Game(lambda c: 5.0 * c.all(1), Players.abstract({"a": 2})), budget=4)
    assert two.single.tolist() == [2.5, 2.5]
    assert two.pair.tolist() == [[0.0, 5.0], [5.0, 0.0]]
    assert not two.pair_errors.any()


def test_moebius_is_computed_pair_by_pair():
    known = sparse_polynomial(30, seed=2, order=3)
    single, pair = known.exact("Moebius")
    whole = last(game_of(known), "Moebius", 1000)
    np.testing.assert_allclose(whole.single, single, atol=1e-12)
    np.testing.assert_allclose(whole.pair, pair, atol=1e-12)
    assert not whole.pair_errors.any()
    game = game_of(known)
    part = last(game, "Moebius", 131)
    assert game.counts.computed == 131
    assert np.isnan(part.pair).sum() == 2 * (30 * 29 // 2 - 100)
    assert np.nanmax(np.abs(part.pair - pair)) < 1e-12
    least = last(game_of(known), "Moebius", 31)
    assert np.isfinite(least.single).all()


def test_large_constant_values_cost_no_digits():
    known = bilinear_sigmoid(8, 1)
    plain = last(game_of(known), budget=150)
    raised = last(Game(lambda c: known.values(c) + 1e6, Players.abstract({"a": 8})), budget=150)
    np.testing.assert_allclose(raised.pair_errors, plain.pair_errors, rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(raised.single, plain.single, atol=1e-8)
