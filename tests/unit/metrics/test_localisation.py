import itertools

import numpy as np
import pytest
from metric_help import EIGHT, case, descending, game

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.metrics.localisation import Localisation, PairLocalisation, average_precision, top_k

A = {"a": np.array([1.0, 0.5, 0, 0, 0]), "b": np.array([0, 0, 1.0])}


def one(single, pair=None, truth=A):
    return case(game({(0, 1): 1.0}, EIGHT), single, pair, truth=truth)


def by_hand(kind, single):
    return Localisation(kind).score(one(single)).values


def test_single_players_by_hand():
    single = [3, -1, 2, 0, 0, 1, 1, 2]
    assert by_hand("pointing_game", single) == {
        "mean": 1, "a": 1, "b": 1, "chance, a": 2 / 5, "chance, b": pytest.approx(1 / 3)
    }  # fmt: skip
    assert by_hand("energy", single)["a"] == pytest.approx(3 / 5)
    assert by_hand("relevance_mass", single)["a"] == pytest.approx((3 + 0.5) / 6)
    assert by_hand("relevance_mass", single)["b"] == pytest.approx(2 / 4)
    assert by_hand("relevance_rank", single)["a"] == pytest.approx(1 / 2)
    assert by_hand("iou", single)["a"] == pytest.approx(1 / 3)
    assert by_hand("energy", single)["chance, a"] == pytest.approx(1.5 / 5)


def test_values_against_the_target_are_not_pointed_at():
    single = [-3, -2, 1, 0, 0, 0, 0, -1]
    assert by_hand("pointing_game", single)["mean"] == 0
    found = Localisation("energy").score(one([-3, -2, -1, -1, -1, 0, 0, 1]))
    assert found.values["a"] == 0
    assert "no positive values" in found.notes[0]


def test_ties_give_their_expectation():
    flat = np.zeros(8)
    assert by_hand("pointing_game", flat)["a"] == pytest.approx(2 / 5)
    assert by_hand("relevance_rank", flat)["a"] == pytest.approx(2 / 5)
    pairs = [len(set(c) & {0, 1}) for c in itertools.combinations(range(5), 2)]
    assert by_hand("iou", flat)["a"] == pytest.approx(np.mean([h / (4 - h) for h in pairs]))


@pytest.mark.parametrize("values", [[0, 0, 0, 0, 0], [2, 1, 1, 1, 0], [1, 1, 0, 0, 0], [5, 4, 3, 2, 1]])
@pytest.mark.parametrize("right", [[0], [1, 3], [0, 2, 4]])
def test_average_precision_and_top_k_are_means_over_all_orders_of_ties(values, right):
    good = np.isin(np.arange(5), right)
    precisions, hits = [], []
    for order in itertools.permutations(range(5)):
        if all(values[i] >= values[j] for i, j in itertools.pairwise(order)):
            ranked = good[list(order)]
            precisions.append((np.cumsum(ranked) / np.arange(1, 6))[ranked].mean())
            hits.append(ranked[:2].sum() ** 2)
    assert average_precision(np.array(values, float), good) == pytest.approx(np.mean(precisions))
    assert top_k(np.array(values, float), good, 2, lambda h: h**2) == pytest.approx(np.mean(hits))


def test_pairs_join_planted_players_of_different_parts():
    pair = np.zeros((8, 8))
    for i, j, value in ((0, 7, 3.0), (2, 5, 2.0), (1, 7, 1.0), (0, 1, 9.0)):  # the last is within a part
        pair[i, j] = pair[j, i] = value
    found = PairLocalisation().score(one(descending(8), pair)).values
    assert found["average precision"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["top pair"] == 1
    reverse = PairLocalisation().score(one(descending(8), -pair)).values
    assert reverse["average precision"] < 0.2 < reverse["by size"] == found["average precision"]
    assert found["chance"] == pytest.approx(average_precision(np.zeros(15), np.arange(15) < 2))


def test_what_is_not_planted_or_not_given():
    with pytest.raises(MissingCapability, match="truth"):
        Localisation().score(one(descending(8), truth={}))
    with pytest.raises(MissingCapability, match="pairs"):
        PairLocalisation().score(one(descending(8)))
    unknown = np.zeros((8, 8))
    unknown[0, 7] = unknown[7, 0] = np.nan
    with pytest.raises(MissingCapability, match="1 of 15"):
        PairLocalisation().score(one(descending(8), unknown))
    only = {"a": A["a"]}
    nothing = PairLocalisation().score(one(descending(8), np.zeros((8, 8)), truth=only))
    assert np.isnan(nothing.value)
    assert nothing.notes
    assert list(Localisation().score(one(descending(8), truth=only)).values) == ["mean", "a", "chance, a"]
    faint = {"a": np.full(5, 0.01)}
    assert np.isnan(Localisation().score(one(descending(8), truth=faint)).value)
    with pytest.raises(InvalidInput, match="share"):
        one(descending(8), truth={"a": np.ones(3)})
