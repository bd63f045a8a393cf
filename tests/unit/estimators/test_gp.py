"""The Gaussian-process estimator: protocol, budget, accuracy and the truth of its errors."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import index
from chiasm.core.players import Players
from chiasm.estimators import estimators
from chiasm.estimators.estimate import estimate
from chiasm.estimators.gaussian_process import GP
from chiasm.estimators.permutation import PERMUTATION
from chiasm.testing import check_estimator
from chiasm.testing.games import BilinearSigmoid, SparsePolynomial, additive, bilinear_sigmoid, dummy_pair, game_of

PARTS = {"image": 7, "text": 5}
ACROSS = (slice(0, 7), slice(7, 12))


def last(known, budget=200, seed=0, *, name="SII", estimator=GP, parts=None):
    game = game_of(known, parts or PARTS)
    *_, found = estimator.run(game, index(name), budget, seed)
    return found, game


def error(found, known, name="SII"):
    wanted = known.exact(name)[1][ACROSS]
    return float(((found.pair[ACROSS] - wanted) ** 2).sum() / (wanted**2).sum())


def test_it_conforms():
    check_estimator(GP, repeats=1, indices=("SII",))  # all indices take a minute


def test_it_is_registered():
    assert estimators.get("gp") is GP


def test_the_budget_is_spent_to_the_last_value_and_never_exceeded():
    known = bilinear_sigmoid(12)
    for budget in (14, 47, 48, 50, 97, 151):
        _, game = last(known, budget)
        assert game.counts.computed == budget


def test_it_yields_after_every_batch_and_asks_in_batches():
    sizes = []

    def values(coalitions):
        sizes.append(len(coalitions))
        return bilinear_sigmoid(12).values(coalitions)

    game = Game(values, Players.abstract(PARTS), batch_size=1000)
    found = list(GP.run(game, index("SII"), 256, 0))
    assert sizes == [64] + [32] * 6
    assert len(found) == 7


def test_small_games_end_exact():
    known = bilinear_sigmoid(6)
    found, _ = last(known, 64, parts={"a": 3, "b": 3})
    np.testing.assert_allclose(found.pair, known.exact("SII")[1], atol=1e-12)
    assert not found.pair_errors.any()


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others():
    known = bilinear_sigmoid(12)
    one, two, other = (last(known, 100, seed)[0].pair for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_a_second_run_on_the_same_game_costs_nothing_and_agrees():
    known = bilinear_sigmoid(12)
    game = game_of(known, PARTS)
    *_, first = GP.run(game, index("SII"), 100, 0)
    spent = game.counts.computed
    *_, second, _ = GP.run(game, index("SII"), 100, 0)
    assert game.counts.computed <= spent + 2  # the two ends are known now, so that two more are asked for in the end
    apart = np.triu_indices(12, 1)  # hyperparameters are fitted again for a last estimate
    off = np.abs(first.pair - second.pair)[apart]
    assert (off <= 2 * np.hypot(first.pair_errors, second.pair_errors)[apart]).mean() > 0.95


@pytest.mark.parametrize("name", ["SII", "BII", "WBII:0.7", "STII", "FSII"])
def test_it_is_closer_than_random_orders_by_far(name):
    known = bilinear_sigmoid(12, seed=2)
    found, _ = last(known, 256, name=name)
    assert error(found, known, name) < 0.3
    if name != "FSII":
        peer, _ = last(known, 256, name=name, estimator=PERMUTATION)
        wanted = known.exact(name)[1][ACROSS]
        off = float(((np.nan_to_num(peer.pair[ACROSS]) - wanted) ** 2).sum() / (wanted**2).sum())
        assert error(found, known, name) < off / 3


def test_more_values_are_closer():
    known = bilinear_sigmoid(12, seed=3)
    far, near = (error(last(known, budget)[0], known) for budget in (64, 256))
    assert near < far / 3


def test_most_intervals_hold_the_truth():
    inside = []
    for seed in range(6):
        known = bilinear_sigmoid(12, seed=seed)
        found, _ = last(known, 160, seed)
        wanted_single, wanted_pair = known.exact("SII")
        inside.append((np.abs(found.pair - wanted_pair) <= 1.96 * found.pair_errors)[ACROSS].mean())
        inside.append((np.abs(found.single - wanted_single) <= 1.96 * found.single_errors).mean())
    assert np.mean(inside) > 0.88


def test_players_without_effect_get_next_to_nothing():
    known = dummy_pair(12, seed=1)
    found, _ = last(known, 256)
    assert np.abs(found.single[-2:]).max() < 0.02 * np.abs(found.single).max()
    assert np.abs(found.pair[-2:]).max() < 0.02 * np.abs(found.pair).max()


def test_a_constant_and_an_additive_game():
    constant = SparsePolynomial(12, {(): 3.0})
    found, _ = last(constant, 64)
    assert np.abs(found.pair).max() < 1e-9
    known = additive(12)
    found, _ = last(known, 64)
    np.testing.assert_allclose(found.single, known.exact("SII")[0], atol=0.02)


@pytest.mark.parametrize("parts", [{"a": 12}, {"a": 4, "b": 4, "c": 4}, {"a": 11, "b": 1}])
def test_any_number_of_parts(parts):
    known = bilinear_sigmoid(12, seed=1)
    found, game = last(known, 256, parts=parts)
    wanted = known.exact("SII")[1]
    assert ((found.pair - wanted) ** 2).sum() < 0.3 * (wanted**2).sum()
    assert game.counts.computed == 256


def test_values_of_whole_parts_that_are_known_are_used_for_free():
    known = bilinear_sigmoid(12, seed=1)
    found = estimate(known.values, PARTS, method="gp", budget=100, seed=0)
    assert found.provenance.computed == 100
    assert found.pair_errors is not None
    assert set(found.part_values) == {(), ("image",), ("text",), ("image", "text")}


def test_fixed_players_leave_a_smaller_game():
    known = bilinear_sigmoid(12, seed=1)
    found = estimate(known.values, PARTS, method="gp-bii", budget=80, fixed={("image", 0): True, ("text", 4): False})
    assert found.pair.shape == (10, 10)
    assert found.provenance.index == "BII"


def test_many_players_stay_affordable():
    rng = np.random.default_rng(0)
    terms = {(int(i), int(j)): float(rng.normal()) for i, j in rng.integers([0, 80], [80, 100], (15, 2))}
    found, game = last(SparsePolynomial(100, terms), 120, parts={"image": 80, "text": 20})
    assert found.pair.shape == (100, 100)
    assert game.counts.computed == 120
    assert np.isfinite(found.pair_errors).all()


def test_budgets_that_cannot_serve_are_refused():
    known = BilinearSigmoid(0.0, np.zeros(12), np.zeros((12, 12)))
    with pytest.raises(BudgetTooSmall, match="at least 14"):
        last(known, 13)
    with pytest.raises(InvalidInput, match="at most 8,192"):
        last(SparsePolynomial(40, {(0, 1): 1.0}), 9000, parts={"a": 40})
