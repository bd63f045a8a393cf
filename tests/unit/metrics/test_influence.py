import numpy as np
import pytest
from metric_help import EIGHT, case, descending, game, told

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.estimate import explain_game
from chiasm.metrics.again import Again
from chiasm.metrics.base import Case
from chiasm.metrics.influence import Influence, influence, relative_l1
from chiasm.testing.games import bilinear_sigmoid


def with_again(played, method="exact", **how):
    explanation = explain_game(played, method=method, **how)
    return Case(explanation, played, again=Again(explanation, played, {}))


def test_relative_l1():
    assert relative_l1(np.array([1.0, 0]), np.array([0, 1.0])) == 1
    assert relative_l1(np.array([2.0]), np.array([-1.0])) == 1
    assert relative_l1(np.array([1.0, 2]), np.array([1.0, 2])) == 0
    assert relative_l1(np.zeros(2), np.zeros(2)) == 0
    assert relative_l1(np.array([1.0]), np.array([3.0])) == pytest.approx(0.5)


def test_parts_that_do_not_interact_do_not_influence_each_other():
    found = Influence().score(with_again(game({(0, 1): 1.0, (2,): 2.0, (5,): 1.0, (6, 7): -1.0}, EIGHT)))
    assert found.value == pytest.approx(0, abs=1e-12)
    assert (found.values["a → b"], found.values["b → a"]) == pytest.approx((0, 0), abs=1e-12)


def test_influence_by_hand():
    """v = s0·s5 + s6: without a, player 5 falls from ½ to 0; E_b = (½, 1, 0) and then (0, 1, 0)."""
    found = Influence().score(with_again(game({(0, 5): 1.0, (6,): 1.0}, EIGHT)))
    assert found.values["a → b"] == pytest.approx(0.5 / 2.5)
    assert found.values["b → a"] == pytest.approx(1)  # nothing is left of a
    assert found.values["noise, a"] == found.values["noise, b"] == 0


def test_noise_of_seeds_is_the_null():
    known = bilinear_sigmoid(8, 1)
    played = Game(known.values, Players.abstract(EIGHT))
    found = Influence().score(with_again(played, "permutation", budget=60))
    assert found.values["noise, a"] > 0.01
    raw = np.mean([found.values["a → b"] - found.values["noise, b"], found.values["b → a"] - found.values["noise, a"]])
    assert found.value == pytest.approx(raw)


def test_it_shares_the_game():
    one = with_again(game({(0, 5): 1.0}, EIGHT))
    before = one.game.counts.computed
    assert Influence().score(one).values_used == 0  # every value of a part alone was known
    assert one.game.counts.computed == before


def test_refusals():
    with pytest.raises(MissingCapability):
        Influence().score(case(game({(0, 5): 1.0}, EIGHT), descending(8)))
    with pytest.raises(InvalidInput):
        influence(lambda fixed, seed: told(Players.abstract(EIGHT), descending(8)), ("a",))
    unknown = told(game({}, EIGHT).players, descending(8))
    with pytest.raises(MissingCapability, match="by hand"):
        Again(unknown, game({}, EIGHT), {})(seed=1)
