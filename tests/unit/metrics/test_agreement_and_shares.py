import numpy as np
import pytest
from metric_help import EIGHT, TWO, case, descending, game, told

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.players import Players
from chiasm.metrics.agreement import Agreement, agreement, among_top, matrix
from chiasm.metrics.shares import Concentration, Shares, entropy, gini

PLAYERS = Players.abstract(EIGHT)


def test_agreement_of_equal_and_reversed_explanations():
    pair = np.add.outer(descending(8), descending(8))
    first = told(PLAYERS, descending(8), pair)
    same, reverse = agreement(first, first), agreement(first, told(PLAYERS, -descending(8), -pair))
    assert all(value == pytest.approx(1) for value in same.values())
    assert (reverse["Spearman"], reverse["Kendall"]) == pytest.approx((-1, -1))
    assert reverse["Spearman of pairs"] == pytest.approx(-1)
    assert reverse["top overlap"] == 0
    assert reverse["Spearman, b"] == pytest.approx(-1)


def test_a_constant_explanation_agrees_with_nothing():
    flat = agreement(told(PLAYERS, np.ones(8)), told(PLAYERS, descending(8)))
    assert flat["Spearman"] == flat["Kendall"] == 0
    assert flat["top overlap"] == pytest.approx(2 / 8)  # what chance gives


def test_among_top_shares_the_last_places():
    assert among_top(np.array([3.0, 1, 1, 1, 0]), 2) == pytest.approx([1, 1 / 3, 1 / 3, 1 / 3, 0])


def test_matrix_and_metric():
    given = {"x": told(PLAYERS, descending(8)), "y": told(PLAYERS, -descending(8)), "z": told(PLAYERS, descending(8))}
    assert matrix(given) == pytest.approx(np.array([[1, -1, 1], [-1, 1, -1], [1, -1, 1.0]]))
    assert np.isnan(matrix(given, "Spearman of pairs")[0, 1])
    one = case(game({(0,): 1.0}, EIGHT), descending(8), others={k: given[k] for k in "yz"})
    assert Agreement().score(one).value == pytest.approx(0)
    with pytest.raises(MissingCapability, match="second"):
        Agreement().score(case(game({(0,): 1.0}, EIGHT), descending(8)))
    with pytest.raises(InvalidInput, match="one cut"):
        agreement(told(PLAYERS, descending(8)), told(Players.abstract(TWO), [1, 2]))


def test_shares_of_parts():
    found = Shares().score(case(game({(0,): 1.0}, EIGHT), [1, -2, 0, 0, 0, -1, 0, 0]))
    assert found.values == {"a": 0.75, "b": 0.25}
    nothing = Shares().score(case(game({(0,): 1.0}, EIGHT), np.zeros(8)))
    assert np.isnan(nothing.value)
    assert nothing.notes


def test_concentration_by_hand():
    assert gini(np.ones(4)) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, -5.0])) == pytest.approx(3 / 4)
    assert gini(np.array([1.0, 3.0])) == pytest.approx(1 / 4)
    assert entropy(np.ones(4)) == pytest.approx(1)
    assert entropy(np.array([0, 0, 7.0])) == 0
    assert entropy(np.array([1.0, 1, 0, 0])) == pytest.approx(np.log(2) / np.log(4))
    assert entropy(np.array([3.0])) == 0
    pair = np.zeros((8, 8))
    pair[0, 7] = pair[7, 0] = 1.0
    one = case(game({(0,): 1.0}, EIGHT), np.ones(8), pair)
    assert Concentration("sparseness").score(one).values["pairs"] == pytest.approx(14 / 15)
    assert Concentration("complexity").score(one).values["all"] == pytest.approx(1)
