"""Crossed designs: closed forms against brute force, unbiased sampling, grids within the budget."""

from __future__ import annotations

import itertools
from math import prod

import numpy as np
import pytest

from chiasm.core import indices
from chiasm.core.coalitions import all_coalitions, distinct, keys
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Costs, Game
from chiasm.core.players import Players
from chiasm.estimators.crossed import CROSSED, grid_coalitions, spread_masks
from chiasm.estimators.crossed_indices import errors, means
from chiasm.estimators.crossed_sampling import CROSSED_SAMPLING, grid_estimate
from chiasm.estimators.crossed_surrogate import Grid, Side, objective, start
from chiasm.estimators.gp_indices import measures
from chiasm.estimators.nested import coalitions_per_mask, dearest, nested_coalitions
from chiasm.estimators.spending import grid_budget, grid_shape, passes
from chiasm.testing import check_estimator
from chiasm.testing.games import SparsePolynomial, bilinear_sigmoid, game_of, sparse_polynomial

ALL = ["SII", "BII", "WBII:0.3", "STII", "FSII", "Moebius"]


def last(estimator, game, name="SII", budget=400, seed=0):
    *_, found = estimator.run(game, indices.index(name), budget, seed)
    return found


def random_grid(sizes, counts, seed=0):
    """A surrogate with random hyperparameters on random values."""
    rng = np.random.default_rng(seed)
    masks = [spread_masks(n, m, np.zeros((0, n), bool), rng).astype(float) for n, m in zip(sizes, counts, strict=True)]
    sides = [Side(rng.uniform(0.05, 1.0, n), rng.uniform(0.2, 1.5, 5), 0.01) for n in sizes]
    return Grid(sides, masks, rng.normal(size=[len(own) for own in masks]) * 3 + 1)


def every_covariance(grid):
    """K(all coalitions, grid) and K(all, all) by brute force; the first part's players are the lowest bits."""
    every = [all_coalitions(masks.shape[1]).astype(float) for masks in grid.masks]
    cross, own = np.ones((1, 1)), np.ones((1, 1))
    for p in range(len(every)):  # the grid's last part runs fastest, the table's first
        cross = np.einsum("ab,cd->cabd", cross, grid.sides[p].covariance(every[p], grid.masks[p]))
        cross = cross.reshape(cross.shape[0] * cross.shape[1], -1)
        own = np.kron(grid.sides[p].covariance(every[p], every[p]), own)
    return cross, own


def functionals(n, name):
    """Every single and pair value of an index as weights of the table, ``[n + n*n, 2**n]``."""
    columns = []
    for unit in np.eye(1 << n):
        single, pair = indices.exact(unit, indices.index(name))
        columns.append(np.concatenate([single, pair.ravel()]))
    return np.array(columns).T


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("sizes", [(3, 3), (2, 2, 2)])
def test_indices_are_those_of_the_surrogate_and_errors_those_of_its_posterior(name, sizes):
    grid = random_grid(sizes, [5, 6] if len(sizes) == 2 else [3, 4, 4])
    n = sum(sizes)
    cross, own = every_covariance(grid)
    inverse = np.ones((1, 1))
    for one in grid.inverses:
        inverse = np.kron(inverse, one)
    weights = functionals(n, name)
    z = grid.z.ravel()
    expected = weights @ (cross @ inverse @ z) * grid.scale
    spread = np.einsum("fa,ab,fb->f", weights, own - cross @ inverse @ cross.T, weights)
    one, two = measures(indices.index(name), n)
    single, pair = means(grid, one, two)
    np.testing.assert_allclose(single, expected[:n], atol=1e-9)
    np.testing.assert_allclose(pair.ravel(), expected[n:], atol=1e-9)
    single_errors, pair_errors = errors(grid, one, two)
    np.testing.assert_allclose(single_errors, np.sqrt(np.maximum(spread[:n], 0)) * grid.scale, atol=1e-5)
    np.testing.assert_allclose(pair_errors.ravel(), np.sqrt(np.maximum(spread[n:], 0)) * grid.scale, atol=1e-5)


@pytest.mark.parametrize("sizes", [(4, 3), (3, 2, 2)])
def test_gradient(sizes):
    rng = np.random.default_rng(1)
    grid = random_grid(sizes, [7, 6, 4][: len(sizes)])
    x = np.concatenate([start(n) for n in sizes])
    x = x + 0.2 * rng.normal(size=len(x))
    borders = np.cumsum([n + 6 for n in sizes])[:-1]
    _, gradient = objective(x, borders, grid.masks, grid.z)
    step = 1e-5
    for k, direction in enumerate(np.eye(len(x)) * step):
        up, down = (objective(x + s * direction, borders, grid.masks, grid.z)[0] for s in (1, -1))
        assert gradient[k] == pytest.approx((up - down) / (2 * step), rel=1e-4, abs=1e-4)


def test_residuals_of_a_slice_are_those_of_leaving_it_out():
    grid = random_grid((4, 3), [7, 6])
    k = [side.covariance(m, m) + side.noise * np.eye(len(m)) for side, m in zip(grid.sides, grid.masks, strict=True)]
    rest = np.arange(7) != 2
    weights = np.linalg.solve(k[0][np.ix_(rest, rest)], k[0][rest, 2])
    residual = grid.z[2] - weights @ grid.z[rest]
    variance = k[0][2, 2] - weights @ k[0][rest, 2]
    assert grid.left_out()[2] == pytest.approx(residual @ np.linalg.solve(k[1], residual) / variance / 6)


@pytest.mark.parametrize("name", ALL)
def test_the_grid_of_all_masks_is_exact(name):
    known = bilinear_sigmoid(8, 3)
    game = game_of(known, {"a": 5, "b": 3})
    run = CROSSED.run(game, indices.index(name), 255, 0)  # one less than enumeration takes
    *_, found = run
    single, pair = known.exact(name)
    assert np.abs(found.pair - pair).max() < 0.05 * np.abs(pair).max()
    assert np.abs(found.single - single).max() < 0.05 * np.abs(single).max()
    every = [all_coalitions(k) for k in (5, 3)]
    values = known.values(grid_coalitions(game, ["a", "b"], every)).reshape(32, 8)
    sides = [Side.unpack(start(k)) for k in (5, 3)]
    whole = Grid(sides, [own.astype(float) for own in every], values)
    single_found, pair_found = means(whole, *measures(indices.index(name), 8))
    np.testing.assert_allclose(pair_found, pair, atol=0.02 * np.abs(pair).max())
    np.testing.assert_allclose(single_found, single, atol=0.02 * np.abs(single).max())


def test_both_keep_the_protocol_and_are_calibrated():
    for estimator in (CROSSED, CROSSED_SAMPLING):
        check_estimator(estimator, repeats=2, indices=["SII"])


class Towers:
    """A dual encoder: vectors of two parts and their product."""

    def __init__(self, sizes, seed=0):
        rng = np.random.default_rng(seed)
        self.sizes, self.costs = sizes, Costs({"a": 0.9, "b": 0.1}, 1e-4)
        self.layers = [(0.25 * rng.normal(size=(n, 12)), rng.normal(size=(12, 6))) for n in sizes]
        self.seen = [set(), set()]

    def __call__(self, coalitions):
        halves = coalitions[:, : self.sizes[0]], coalitions[:, self.sizes[0] :]
        for seen, half in zip(self.seen, halves, strict=True):
            seen.update(keys(half))
        vectors = [
            np.tanh((half - 0.5) @ inner) @ outer for half, (inner, outer) in zip(halves, self.layers, strict=True)
        ]
        vectors = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in vectors]
        return (vectors[0] * vectors[1]).sum(1)


@pytest.mark.parametrize("estimator", [CROSSED, CROSSED_SAMPLING])
def test_few_masks_of_the_dear_part(estimator):
    towers = Towers((9, 7))
    game = Game(towers, Players.abstract({"a": 9, "b": 7}))
    budget = 2000
    found = last(estimator, game, budget=budget)
    assert game.counts.computed <= budget
    dear, cheap = (len(seen) for seen in towers.seen)
    assert dear < cheap
    table = towers(all_coalitions(16))
    _, pair = indices.exact(table, indices.index("SII"))
    block = np.s_[:9, 9:]
    error = ((found.pair - pair)[block] ** 2).sum() / (pair[block] ** 2).sum()
    if estimator is CROSSED:
        assert dear + cheap < 110
        assert error < 0.2  # a rough game: whole rows of it are fresh numbers
        inside = np.abs(found.pair - pair)[block] <= 1.96 * found.pair_errors[block]
        assert 0.8 <= inside.mean() <= 1
    else:
        assert error < 1.5


def test_estimates_get_closer_as_the_grid_grows():
    towers = Towers((8, 6), seed=4)
    _, pair = indices.exact(towers(all_coalitions(14)), indices.index("SII"))
    game = Game(towers, Players.abstract({"a": 8, "b": 6}))
    found = list(CROSSED.run(game, indices.index("SII"), 1500, 0))
    assert len(found) == 3
    off = [((one.pair - pair)[:8, 8:] ** 2).sum() for one in found]
    assert off[2] < off[0]


def test_three_parts_and_fixed_players():
    known = sparse_polynomial(12, 5)
    game = Game(known.values, Players.abstract({"a": 5, "b": 4, "c": 3}), fixed={("a", 0): True})
    single, pair = indices.exact(game(all_coalitions(11)), indices.index("SII"))
    fresh = Game(known.values, Players.abstract({"a": 5, "b": 4, "c": 3}), fixed={("a", 0): True})
    found = last(CROSSED, fresh, budget=1200)
    assert fresh.counts.computed <= 1200
    across = np.ones((11, 11), bool)
    for own in fresh.players.slices.values():
        across[own, own] = False
    assert ((found.pair - pair)[across] ** 2).sum() < 0.05 * (pair[across] ** 2).sum()
    assert ((found.single - single) ** 2).sum() < 0.05 * (single**2).sum()


@pytest.mark.parametrize("estimator", [CROSSED, CROSSED_SAMPLING])
def test_what_cannot_be_crossed_is_refused_in_words(estimator):
    with pytest.raises(InvalidInput, match="two parts or more"):
        last(estimator, game_of(sparse_polynomial(12, 0)))
    with pytest.raises(BudgetTooSmall, match="needs at least"):
        last(estimator, game_of(sparse_polynomial(12, 0), {"a": 6, "b": 6}), budget=9)


@pytest.mark.parametrize("sizes", [(3, 3), (2, 2, 2)])
@pytest.mark.parametrize("q", [0.3, 0.5])
def test_sampling_is_unbiased_at_every_node(sizes, q):
    """A game with terms within parts, across two and across all; means over grids against exact ones."""
    n = sum(sizes)
    rng = np.random.default_rng(2)
    terms = {who: float(rng.normal()) for k in (1, 2, 3) for who in itertools.combinations(range(n), k)}
    known = SparsePolynomial(n, terms | {(): 5.0})
    parts = {f"p{k}": size for k, size in enumerate(sizes)}
    game = game_of(known, parts)
    draws = [grid_estimate(game, list(parts), [4] * len(sizes), q, rng) for _ in range(3000)]
    for found, expected in zip(zip(*draws, strict=True), known.exact(f"WBII:{q}"), strict=True):
        table = np.array(found)
        mean, error = table.mean(0), table.std(0) / np.sqrt(len(table))
        where = ~np.eye(n, dtype=bool) if expected.ndim == 2 else np.ones(n, bool)
        z = (mean - expected)[where] / error[where]
        assert np.abs(z).max() < 4.2
        assert np.sqrt((z**2).mean()) < 1.6


@pytest.mark.parametrize("name", ["SII", "FSII", "STII", "BII"])
def test_sampling_is_unbiased_for_every_index(name):
    known = sparse_polynomial(10, 3)
    single, pair = known.exact(name)
    found = [last(CROSSED_SAMPLING, game_of(known, {"a": 5, "b": 5}), name, 900, seed) for seed in range(60)]
    for values, expected in (([f.pair for f in found], pair), ([f.single for f in found], single)):
        table = np.array(values)
        error = np.maximum(table.std(0) / np.sqrt(len(table)), 1e-9)
        z = (table.mean(0) - expected) / error
        assert np.abs(z).max() < 5
        assert np.sqrt((z**2).mean()) < 1.5


def test_what_one_part_does_alone_leaves_no_trace_in_pairs_across():
    rng = np.random.default_rng(0)
    tables = rng.normal(size=(2, 16)) * 10

    def values(coalitions):
        numbers = coalitions.reshape(-1, 2, 4) @ (1 << np.arange(4))
        return tables[0][numbers[:, 0]] + tables[1][numbers[:, 1]]

    game = Game(values, Players.abstract({"a": 4, "b": 4}))
    _, pair = grid_estimate(game, ["a", "b"], [6, 6], 0.4, rng)
    np.testing.assert_allclose(pair[:4, 4:], 0, atol=1e-12)


def test_passes_count_each_distinct_mask_once():
    players = Players.abstract({"a": 2, "b": 3})
    coalitions = np.array([[1, 0, 1, 1, 0], [1, 0, 0, 0, 0], [1, 0, 1, 1, 0], [0, 0, 0, 0, 0]], bool)
    assert passes(Costs({"a": 0.7, "b": 0.2}, 0.1), players, coalitions) == pytest.approx(2 * 0.7 + 2 * 0.2 + 3 * 0.1)
    assert passes(Costs(), players, coalitions) == 3
    assert passes(Costs({"a": 1.0}, 0.0), players, coalitions[:0]) == 0


@pytest.mark.parametrize("budget", [4, 16, 100, 333, 1000, 5000, 200_000])
@pytest.mark.parametrize("sizes", [(9, 7), (49, 8), (196, 20), (2, 2), (6, 3, 4)])
def test_grids_stay_within_the_budget_and_the_masks_there_are(budget, sizes):
    for prices in ([0.9, 0.1, 0.05], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]):
        shape = grid_shape(budget, sizes, prices[: len(sizes)])
        assert prod(shape) <= budget or max(shape) == 1
        assert all(1 <= m <= 1 << size for m, size in zip(shape, sizes, strict=True))
        if budget >= 100 and max(shape) < 4:
            assert sizes == (2, 2)


@pytest.mark.parametrize("costs", [Costs({"a": 0.9, "b": 0.1}, 1e-4), Costs({"a": 0.9}, 0.1), Costs()])
@pytest.mark.parametrize("allowed", [3.0, 40.0, 300.0])
def test_a_budget_in_passes_is_spent_and_not_exceeded(costs, allowed):
    towers = Towers((9, 7))
    towers.costs = costs
    game = Game(towers, Players.abstract({"a": 9, "b": 7}))
    budget = grid_budget(allowed, game.players, costs)
    shape = grid_shape(budget, [9, 7], [costs.encode.get(part, 0.0) + costs.cell for part in "ab"])
    masks = [all_coalitions(n)[:m] for n, m in zip((9, 7), shape, strict=True)]
    spent = passes(costs, game.players, grid_coalitions(game, ["a", "b"], masks))
    assert 0.7 * allowed - 1 <= spent <= allowed + 1e-9
    assert grid_budget(0.01, game.players, costs) == 0


def test_the_cheap_part_gets_more_masks():
    dear, cheap = grid_shape(2500, [10, 10], [0.9, 0.1])
    assert cheap / dear == pytest.approx(3, rel=0.1)
    assert grid_shape(2500, [10, 10], [1, 1]) == [50, 50]
    assert grid_shape(400, [10, 2], [1, 1]) == [100, 4]


def test_masks_are_distinct_spread_and_keep_the_known_ones():
    rng = np.random.default_rng(0)
    first = spread_masks(9, 12, np.zeros((0, 9), bool), rng)
    assert first[:2].sum() == 9
    more = spread_masks(9, 40, first, rng)
    np.testing.assert_array_equal(more[:12], first)
    assert len(distinct(more)[0]) == 40
    assert np.bincount(more.sum(1), minlength=10)[1:9].min() >= 1
    assert len(distinct(spread_masks(3, 99, first[:3, :3], rng))[0]) == 8


def test_nested_designs_share_the_masks_of_the_dear_part():
    players = Players.abstract({"a": 9, "b": 7})
    found = nested_coalitions(players, "a", 20, 6, 1)
    assert len(distinct(found)[0]) == len(found) > 105
    masks = found[:, :9]
    assert len(distinct(masks)[0]) == 20
    changes = (masks[1:] != masks[:-1]).any(1).sum()
    assert changes == 19  # those of a mask stand side by side
    assert len(distinct(found[:, 9:])[0]) > 60  # and differ from those of other masks
    costs = Costs({"a": 0.9, "b": 0.0}, 0.1)
    assert passes(costs, players, found) == pytest.approx(20 * 0.9 + len(found) * 0.1)
    with pytest.raises(InvalidInput):
        nested_coalitions(players, "a", 0, 6, 1)


def test_the_dearest_part_and_how_many_share_its_masks():
    assert dearest(Costs({"a": 0.1, "b": 0.6}, 0.3)) == "b"
    assert dearest(Costs({"a": 0.1}, 0.9)) is None
    assert dearest(Costs()) is None
    assert coalitions_per_mask(Costs({"a": 0.8}, 0.05), "a") == 4
    assert coalitions_per_mask(Costs({"a": 0.8}, 0.05), "a", ratio=4) == 8
    assert coalitions_per_mask(Costs(), "a") == 1
