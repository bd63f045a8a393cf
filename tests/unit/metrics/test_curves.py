import numpy as np
import pytest
from metric_help import TWO, case, descending, game

from chiasm.core.errors import InvalidInput
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.metrics.curves import Curves, collapse
from chiasm.testing.games import bilinear_sigmoid

KINDS = ("insertion", "deletion", "srg")


def test_closed_form_of_an_additive_part():
    """Weights 4, 2, 1, 1 in this order; four steps: insertion 0 4 6 7 8, deletion 8 4 2 1 0."""
    played = game({(0,): 4.0, (1,): 2.0, (2,): 1.0, (3,): 1.0}, {"a": 4})
    one = case(played, descending(4))
    assert Curves("insertion", steps=4).score(one).value == pytest.approx((0 / 2 + 4 + 6 + 7 + 8 / 2) / 4)
    assert Curves("deletion", steps=4).score(one).value == pytest.approx((8 / 2 + 4 + 2 + 1 + 0 / 2) / 4)
    assert Curves("srg", steps=4).score(one).value == pytest.approx(21 / 4 - 11 / 4)


def test_a_part_moves_while_the_others_stay_present():
    """AND of a's best and b's only player: by a alone it is a step at once, deletion of b a step at k = ½."""
    one = case(game({(0, 4): 1.0}, {"a": 4, "b": 1}), [4, 3, 2, 1, 1])
    found = Curves("insertion", steps=4).score(one).values
    assert found["a"] == pytest.approx((0 + 1 + 1 + 1 + 0.5) / 4)
    assert found["b"] == pytest.approx((0 + 0 + 1 + 1 + 0.5) / 4)
    assert found["joint"] == pytest.approx((0 + 0 + 1 + 1 + 0.5) / 4)
    gone = Curves("deletion", steps=4).score(one).values
    assert gone["a"] == pytest.approx(0.5 / 4)
    assert gone["b"] == pytest.approx((0.5 + 1) / 4)


def test_the_reverse_explanation_swaps_insertion_and_deletion():
    """The bottom k of a ranking are what its top n − k leave; exact where the steps divide the parts."""
    played = Game(bilinear_sigmoid(6, 2).values, Players.abstract({"a": 4, "b": 2}))
    single = np.random.default_rng(0).normal(size=6)
    forth, back = ({k: Curves(k, steps=2).score(case(played, sign * single)) for k in KINDS} for sign in (1, -1))
    for name in ("joint", "a", "b"):
        assert back["insertion"].values[name] == pytest.approx(forth["deletion"].values[name])
        assert back["srg"].values[name] == pytest.approx(-forth["srg"].values[name])
        difference = forth["insertion"].values[name] - forth["deletion"].values[name]
        assert forth["srg"].values[name] == pytest.approx(difference)
        assert abs(difference) > 1e-3


def test_ties_are_averaged_and_have_a_spread():
    one = case(game({(0, 7): 1.0}, {"a": 5, "b": 5}), np.zeros(10))
    found = Curves("insertion", ties=200).score(one)
    assert found.value == pytest.approx(1 / 3, abs=0.05)
    assert found.error is not None
    assert found.error > 0


def test_one_word_and_one_patch():
    found = Curves("srg").score(case(game({(0, 1): 1.0}, TWO), [1.0, 2.0]))
    assert found.value == pytest.approx(0.55 - 0.45)


def test_collapse_of_equal_and_opposite_rankings():
    rng = np.random.default_rng(0)
    truth = np.arange(5) + 0.2 * rng.normal(size=(40, 5))
    same, opposite = collapse(truth, 3 * truth + 1), collapse(truth, -truth)
    assert (same.tau, same.within, opposite.tau) == pytest.approx((1, 1, -1))
    assert (same.low, same.high) == pytest.approx((1, 1))
    unrelated = collapse(rng.normal(size=(40, 6)), rng.normal(size=(40, 6)), seed=1)
    assert unrelated.low < 0 < unrelated.high
    assert abs(unrelated.within) < 0.3


def test_clusters_widen_the_interval():
    """Ten copies of each sample are no more samples than one of each."""
    rng = np.random.default_rng(3)
    a, b = rng.normal(size=(8, 6)) + np.arange(6) / 3, rng.normal(size=(8, 6)) + np.arange(6) / 3
    plain = collapse(np.repeat(a, 10, 0), np.repeat(b, 10, 0))
    clustered = collapse(np.repeat(a, 10, 0), np.repeat(b, 10, 0), clusters=np.repeat(np.arange(8), 10))
    assert clustered.high - clustered.low > 1.3 * (plain.high - plain.low)
    assert clustered.tau == plain.tau


def test_collapse_refuses():
    good = np.ones((3, 4))
    bad = [np.ones((3, 3)), np.full((3, 4), np.nan), np.ones(4)]
    for other in bad:
        with pytest.raises(InvalidInput):
            collapse(good, other)
    with pytest.raises(InvalidInput, match="clusters"):
        collapse(good, good, clusters=[1, 2])
