"""FIxLIP: the regression is the index, its draws are weighted rightly, its errors hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chiasm.core.coalitions import all_coalitions, keys
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Costs, Game
from chiasm.core.indices import index
from chiasm.core.players import Players
from chiasm.estimators import estimators
from chiasm.estimators.fixlip import FIXLIP, FixLip
from chiasm.estimators.masks import take
from chiasm.testing import check_estimator
from chiasm.testing.games import SparsePolynomial, bilinear_sigmoid, game_of, sparse_polynomial, unanimity

BOTH = pytest.mark.parametrize("estimator", [FixLip(crossed=False), FixLip(crossed=True)], ids=["scattered", "crossed"])
NAMES = ["BII", "WBII:0.3", "WBII:0.85"]


def last(estimator, known, parts, budget, name="BII", *, seed=0):
    game = game_of(known, parts)
    with game.allowance(budget):
        *_, found = estimator.run(game, index(name), budget, seed)
    return found


def across(*sizes):
    part = np.repeat(np.arange(len(sizes)), sizes)
    return np.triu(part[:, None] != part, 1)


@BOTH
def test_it_conforms(estimator):
    check_estimator(estimator, repeats=2)
    assert estimators.get("fixlip") is FIXLIP


@BOTH
@pytest.mark.parametrize("name", NAMES)
def test_all_values_give_the_index_itself(estimator, name):
    """Whatever other pairs and orders the game has: the projection's coefficients are the index."""
    known = bilinear_sigmoid(7, seed=5)
    found, (single, pair) = last(estimator, known, {"a": 4, "b": 3}, 2**7, name), known.exact(name)
    np.testing.assert_allclose(found.single, single, atol=1e-10)
    np.testing.assert_allclose(found.pair[across(4, 3)], pair[across(4, 3)], atol=1e-10)
    assert not found.single_errors.any()
    assert not found.pair_errors[across(4, 3)].any()


@pytest.mark.parametrize("p", [0.5, 0.3])
def test_all_values_give_the_least_squares_fit_of_the_definition(p):
    """Σ_S p^|S| (1−p)^(n−|S|) (v − v̂)² with terms 1, s_i, s_i s_j, solved as it stands."""
    known = sparse_polynomial(6, seed=2)
    s = all_coalitions(6).astype(float)
    pairs = np.argwhere(across(3, 3))
    terms = np.concatenate([np.ones((64, 1)), s, s[:, pairs[:, 0]] * s[:, pairs[:, 1]]], axis=1)
    root = np.sqrt(p ** s.sum(1) * (1 - p) ** (6 - s.sum(1)))
    wanted = np.linalg.lstsq(terms * root[:, None], known.values(s.astype(bool)) * root, rcond=None)[0]
    found = last(FIXLIP, known, {"a": 3, "b": 3}, 64, f"WBII:{p}")
    np.testing.assert_allclose(found.pair[pairs[:, 0], pairs[:, 1]], wanted[7:], atol=1e-10)
    np.testing.assert_allclose(found.single - p * np.nansum(found.pair, 1), wanted[1:7], atol=1e-10)


def pairwise(sizes, seed=0):
    """A game of order 2 with pairs across two parts only."""
    rng, (a, b) = np.random.default_rng(seed), sizes
    terms = {(i,): float(rng.normal()) for i in range(a + b)}
    terms |= {(i, a + j): float(rng.normal()) for i in range(a) for j in range(b)}
    return SparsePolynomial(a + b, terms | {(): 1e3})


@BOTH
@pytest.mark.parametrize("name", NAMES[:2])
def test_games_of_order_two_are_exact_with_more_values_than_unknowns(estimator, name):
    known = pairwise((9, 5))
    found, (single, pair) = last(estimator, known, {"a": 9, "b": 5}, 320, name), known.exact(name)
    np.testing.assert_allclose(found.single, single, atol=1e-8)
    np.testing.assert_allclose(found.pair[across(9, 5)], pair[across(9, 5)], atol=1e-8)
    assert np.nanmax(found.pair_errors) < 1e-8


def test_what_depends_on_one_part_alone_leaves_no_trace_in_crossed_masks():
    """Each mask meets all masks of the other part: pairs are exact although the game has every order within a part."""
    inner, pairs = bilinear_sigmoid(8, seed=1), pairwise((8, 4))

    def values(s):
        return 50 * inner.values(s[:, :8]) + pairs.values(s)

    game = Game(values, Players.abstract({"a": 8, "b": 4}))
    *_, found = FixLip(crossed=True).run(game, index("BII"), 130, 0)
    np.testing.assert_allclose(found.pair[:8, 8:], pairs.exact("BII")[1][:8, 8:], atol=1e-8)
    *_, scattered = FixLip(crossed=False).run(game, index("BII"), 130, 0)
    assert np.abs(scattered.pair[:8, 8:] - pairs.exact("BII")[1][:8, 8:]).max() > 1


@BOTH
@pytest.mark.parametrize(("name", "budget"), [("BII", 250), ("BII", 1500), ("WBII:0.7", 700)])
def test_two_errors_cover_the_truth(estimator, name, budget):
    covered = []
    for seed in range(16):
        for make in (bilinear_sigmoid, sparse_polynomial):
            known = make(12, seed)
            found = last(estimator, known, {"a": 7, "b": 5}, budget, name, seed=seed)
            single, pair = known.exact(name)
            covered += (np.abs(found.pair - pair) <= 2 * found.pair_errors)[across(7, 5)].tolist()
            covered += (np.abs(found.single - single) <= 2 * found.single_errors).tolist()
    assert 0.9 <= np.mean(covered) <= 0.985


def test_draws_are_weighted_by_how_likely_they_were():
    """Horvitz-Thompson sums over distinct draws are unbiased for sums over all coalitions, at any share of them."""
    n, p, rng = 5, 0.3, np.random.default_rng(0)
    all_of = all_coalitions(n)
    wanted = np.array([p ** s.sum() * (1 - p) ** (n - s.sum()) for s in all_of])
    place = {key: k for k, key in enumerate(keys(all_of))}
    for count in (3, 15, 29):
        sums = np.zeros((3000, 2**n))
        for run in sums:
            sample = take(n, p, count, rng)
            assert len(sample) == count
            weight, missed = sample.weights()
            chance = 1 - missed
            rows = [place[key] for key in keys(sample.coalitions)]
            run[rows] = wanted[rows] / chance
            np.testing.assert_allclose(weight / weight[0], run[rows] / run[rows[0]], rtol=1e-9)
        z = (sums.mean(0) - wanted) / (sums.std(0, ddof=1) / np.sqrt(len(sums)) + 1e-6)
        assert np.abs(z[wanted > 0.002]).max() < 4.5


@pytest.mark.parametrize("n", [12, 30])
def test_masks_are_distinct_and_present_at_their_rate(n):
    sample = take(n, 0.2, 600, np.random.default_rng(1))
    assert len(set(keys(sample.coalitions))) == len(sample) == 600
    assert (np.diff(sample.times) > 0).all()
    assert sample.times[-1] < sample.end
    weight, _ = sample.weights()
    assert (sample.coalitions * weight[:, None]).sum() / weight.sum() / n == pytest.approx(0.2, abs=0.02)
    fewer = sample.first(100)
    assert fewer.end == sample.times[100]


def test_what_is_remembered_costs_nothing():
    game = game_of(bilinear_sigmoid(10, 1), {"a": 5, "b": 5})
    game(all_coalitions(10)[::2])
    before = game.counts.computed
    *_, found = FIXLIP.run(game, index("BII"), 200, 0)
    assert game.counts.computed - before == 200
    alone = last(FIXLIP, bilinear_sigmoid(10, 1), {"a": 5, "b": 5}, 200)
    assert np.nanmedian(found.pair_errors) < 0.85 * np.nanmedian(alone.pair_errors)


class Counted:
    """Counts the distinct masks of each part that a game was asked for."""

    def __init__(self, known, split, costs):
        self.known, self.split, self.costs = known, split, costs
        self.seen = [set(), set()]

    def __call__(self, s):
        self.seen[0].update(keys(s[:, : self.split]))
        self.seen[1].update(keys(s[:, self.split :]))
        return self.known.values(s)


@pytest.mark.parametrize(
    ("costs", "crossed"),
    [
        (Costs({"a": 0.7, "b": 0.3}, cell=0.0), True),
        (Costs({"a": 0.7, "b": 0.3}, cell=0.01), True),
        (Costs({"a": 0.7}, cell=0.3), False),
        (Costs({"a": 0.7, "b": 0.3}, cell=0.5), False),
        (Costs(), False),
    ],
)
def test_masks_are_crossed_where_values_are_cheap_by_part(costs, crossed):
    values = Counted(sparse_polynomial(16), 10, costs)
    game = Game(values, Players.abstract({"a": 10, "b": 6}))
    estimates = list(FIXLIP.run(game, index("BII"), 1000, 0))
    assert 900 < game.counts.computed <= 1000
    assert len(estimates) > 1
    if crossed:
        assert len(values.seen[0]) + len(values.seen[1]) < 80
    else:
        assert len(values.seen[0]) > 500


def test_two_parts_are_needed_for_crossing_and_pairs_within_a_part_are_unknown():
    known = sparse_polynomial(8, 1)
    for estimator in (FixLip(crossed=True), FixLip(crossed=False)):
        three = last(estimator, known, {"a": 3, "b": 3, "c": 2}, 2**8)
        np.testing.assert_allclose(three.pair[across(3, 3, 2)], known.exact("BII")[1][across(3, 3, 2)], atol=1e-9)
        assert np.isnan(three.pair[0, 1])
        assert np.isnan(three.pair_errors[6, 7])
        one = last(estimator, known, {"a": 8}, 2**8)
        np.testing.assert_allclose(one.pair, known.exact("BII")[1], atol=1e-9)


@BOTH
def test_the_same_seed_gives_the_same_numbers(estimator):
    known = sparse_polynomial(12)
    first, again, other = (last(estimator, known, {"a": 8, "b": 4}, 300, seed=k) for k in (3, 3, 4))
    np.testing.assert_array_equal(first.pair, again.pair)
    assert not np.array_equal(first.pair, other.pair, equal_nan=True)


def test_what_it_cannot_do_is_refused():
    game = game_of(sparse_polynomial(12), {"a": 6, "b": 6})
    with pytest.raises(InvalidInput, match="cannot estimate SII"):
        FIXLIP.run(game, index("SII"), 500, 0)
    with pytest.raises(BudgetTooSmall, match="at least 49 values"):
        FIXLIP.run(game, index("BII"), 48, 0)
    with pytest.raises(BudgetTooSmall, match="do not tell the 49 unknowns"):
        list(FIXLIP.run(game, index("WBII:0.97"), 50, 0))
    (alone,) = FIXLIP.run(game_of(unanimity(1, (0,))), index("BII"), 2, 0)
    assert alone.single == [1]
    assert replace(FIXLIP, crossed=True).name == "fixlip"
