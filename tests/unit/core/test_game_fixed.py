"""Fixed players are checked, and a single player may differ from the rest of its part."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, ModelError, UnknownName
from chiasm.core.game import Game
from chiasm.core.players import Players


def game(fixed, values=lambda coalitions: coalitions @ np.array([1, 2, 4, 8.0])):
    return Game(values, Players.abstract({"a": 2, "b": 2}), fixed=fixed)


@pytest.mark.parametrize("order", [1, -1])
def test_a_player_wins_over_its_part_in_any_order(order):
    fixed = dict([("a", True), (("a", 1), False)][::order])
    assert game(fixed).empty() == 1.0
    assert game(fixed).full() == 13.0


@pytest.mark.parametrize(
    ("fixed", "error"),
    [
        ({"a": "absent"}, InvalidInput),
        ({"a": 1}, InvalidInput),
        ({("a", 0.0): True}, InvalidInput),
        ({("a",): True}, InvalidInput),
        ({("a", 2): True}, InvalidInput),
        ({"c": True}, UnknownName),
    ],
)
def test_bad_fixed_is_refused(fixed, error):
    with pytest.raises(error):
        game(fixed)


def test_values_must_be_numbers():
    with pytest.raises(ModelError, match="real numbers"):
        game({}, lambda coalitions: np.array(["x"] * len(coalitions))).empty()
    with pytest.raises(InvalidInput, match=r"2\.5"):
        Game(lambda c: c.sum(1), Players.abstract({"a": 2}), batch_size=2.5)
