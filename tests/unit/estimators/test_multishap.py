"""MultiSHAP's estimator with correct weights, and the derivatives that it draws."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.indices import index
from chiasm.estimators import estimators
from chiasm.estimators.derivatives import Derivatives, across_parts, size_law
from chiasm.testing import check_estimator
from chiasm.testing.games import additive, bilinear_sigmoid, game_of, sparse_polynomial, unanimity

MULTISHAP = estimators.get("multishap")
SII = index("SII")


def last(known, parts, budget, seed=0):
    *_, found = MULTISHAP.run(game_of(known, parts), SII, budget, seed)
    return found


def across(sizes):
    """Where pairs of different parts are, above the diagonal."""
    part = np.repeat(np.arange(len(sizes)), sizes)
    return np.triu(part[:, None] != part, 1)


def test_it_conforms():
    check_estimator(MULTISHAP, repeats=2)


@pytest.mark.parametrize(("n", "published"), [(4, 0.44), (12, 8.46)])
def test_a_pure_pair_is_exactly_one(n, published):
    """The published weight of every coalition of the exact form is 1/(n−1)²; the right ones sum to 1."""
    assert 2 ** (n - 2) / (n - 1) ** 2 == pytest.approx(published, abs=0.005)
    found = last(unanimity(n, (0, n - 1)), {"a": n // 2, "b": n - n // 2}, 4 * n * n)
    assert found.pair[0, n - 1] == found.pair[n - 1, 0] == 1
    others = across([n // 2, n - n // 2])
    others[0, n - 1] = False
    assert not found.pair[others].any()
    assert not found.pair_errors[across([n // 2, n - n // 2])].any()


def test_additive_games_have_their_weights_and_no_error():
    known = additive(9, seed=4)
    found = last(known, {"a": 5, "b": 4}, 200)
    np.testing.assert_allclose(found.single, known.exact("SII")[0], atol=1e-12)
    assert np.nanmax(np.abs(found.pair)) < 1e-12
    assert found.single_errors.max() < 1e-12


def test_one_draw_is_unbiased_for_pairs_and_single_players():
    """Four values for each pair: means over many seeds, compared in standard errors of those means."""
    known, parts = bilinear_sigmoid(6, seed=3), {"a": 2, "b": 3, "c": 1}
    where = across([2, 3, 1])
    runs = [next(iter(MULTISHAP.run(game_of(known, parts), SII, 4 * where.sum(), seed))) for seed in range(400)]
    single, pair = known.exact("SII")
    for values, truth in (
        (np.array([r.single for r in runs]), single),
        (np.array([r.pair[where] for r in runs]), pair[where]),
    ):
        z = (values.mean(0) - truth) / (values.std(0, ddof=1) / np.sqrt(len(runs)))
        assert np.abs(z).max() < 4
        assert np.sqrt(np.mean(z**2)) < 1.6  # wrong weights by size put it beyond 5


def test_a_game_of_three_has_half_for_each_of_its_pairs():
    known = unanimity(8, (0, 4, 7))
    runs = [last(known, {"a": 3, "b": 3, "c": 2}, 200, seed=seed) for seed in range(60)]
    pair, single = np.mean([r.pair for r in runs], axis=0), np.mean([r.single for r in runs], axis=0)
    assert pair[[0, 0, 4], [4, 7, 7]] == pytest.approx([0.5] * 3, abs=0.06)
    assert single[[0, 4, 7]] == pytest.approx([1 / 3] * 3, abs=0.04)
    assert not pair[[1, 0, 5], [5, 3, 6]].any()


def test_pairs_within_a_part_are_unknown_unless_there_is_one_part():
    found = last(sparse_polynomial(7), {"a": 4, "b": 3}, 60)
    within = ~across([4, 3]) & ~across([4, 3]).T & ~np.eye(7, dtype=bool)
    assert np.isnan(found.pair[within]).all()
    assert np.isnan(found.pair_errors[within]).all()
    assert not np.isnan(found.pair[~within]).any()
    assert not np.isnan(last(sparse_polynomial(5), {"a": 5}, 40).pair).any()


@pytest.mark.parametrize("budget", [300, 800])
@pytest.mark.parametrize("make", [bilinear_sigmoid, sparse_polynomial])
def test_two_errors_cover_the_truth(make, budget):
    """A little wide, as the sizes of a pair's draws are spread evenly; never narrow."""
    covered = {"pair": [], "single": []}
    where = across([6, 6])
    for seed in range(20):
        known = make(12, seed)
        found, (single, pair) = last(known, {"a": 6, "b": 6}, budget, seed), known.exact("SII")
        covered["pair"] += (np.abs(found.pair - pair) <= 2 * found.pair_errors)[where].tolist()
        covered["single"] += (np.abs(found.single - single) <= 2 * found.single_errors).tolist()
    for inside in covered.values():
        assert 0.93 <= np.mean(inside) <= 0.998


def test_values_are_shared_through_the_cache_alone():
    game = game_of(bilinear_sigmoid(20, 1), {"a": 10, "b": 10})
    with game.allowance(1000):
        estimates = list(MULTISHAP.run(game, SII, 1000, 0))
    assert len(estimates) > 1
    assert 900 < game.counts.computed <= 1000
    assert game.counts.requested <= 4000


def test_what_it_cannot_do_is_refused():
    game = game_of(sparse_polynomial(9), {"a": 5, "b": 4})
    with pytest.raises(InvalidInput, match="cannot estimate BII"):
        MULTISHAP.run(game, index("BII"), 500, 0)
    with pytest.raises(BudgetTooSmall, match="at least 80 values"):
        MULTISHAP.run(game, SII, 79, 0)
    (alone,) = MULTISHAP.run(game_of(unanimity(1, (0,))), SII, 2, 0)
    assert alone.single == [1]


@pytest.mark.parametrize("name", ["SII", "BII", "WBII:0.3", "STII", "FSII", "Moebius"])
@pytest.mark.parametrize("others", [0, 1, 6])
def test_size_laws_of_pairs_are_the_weights_of_the_indices(name, others):
    wanted = [comb(others, s) * index(name).pair(s, others) for s in range(others + 1)]
    np.testing.assert_allclose(size_law(index(name), 2, others), wanted, atol=1e-12)


@given(st.integers(1, 4), st.integers(0, 4), st.integers(0, 2**31 - 1))
def test_corners_belong_to_one_context_of_the_size_that_is_told(order, others, seed):
    rng, n = np.random.default_rng(seed), order + others
    sets = np.sort(np.array([rng.permutation(n)[:order] for _ in range(3)]), axis=1)
    draws = Derivatives(sets, n, size_law(SII, order, others), rng)
    corners, sizes = draws.draw(np.arange(3))
    for members, square, size in zip(sets, corners, sizes, strict=True):
        assert (square.sum(1) - square[:, members].sum(1) == size).all()
        np.testing.assert_array_equal(np.delete(square, members, 1), np.delete(square, members, 1)[[0] * len(square)])
        bits = square[:, members] @ (1 << np.arange(order))
        np.testing.assert_array_equal(bits, np.arange(2**order))
    np.testing.assert_array_equal(draws.signs, [(-1) ** (order - int(c).bit_count()) for c in range(2**order)])


def test_sizes_follow_the_law():
    law = size_law(index("FSII"), 2, 5)
    rng = np.random.default_rng(0)
    draws = Derivatives(np.array([[0, 1]]), 7, law, rng)
    sizes = np.concatenate([draws.draw(np.array([0]))[1] for _ in range(300)])
    np.testing.assert_allclose(np.bincount(sizes, minlength=6) / 300, law, atol=0.015)  # evenly: 0.03 by chance


def test_pairs_across_parts():
    players = game_of(sparse_polynomial(4), {"a": 1, "b": 2, "c": 1}).players
    assert across_parts(players).tolist() == [[0, 1], [0, 2], [0, 3], [1, 3], [2, 3]]
    assert len(across_parts(game_of(sparse_polynomial(4)).players)) == 6
