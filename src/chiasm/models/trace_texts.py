"""Tokens and players of a text: shares of characters, and which tokens a coalition hides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.core.players import PartPlayers, Spans
from chiasm.modalities.alignment import token_players


def bounds_of(players: PartPlayers) -> NDArray[np.int64]:
    """Start and end of each player in characters, ``int64[players, 2]``.

    Raises:
        InvalidInput: the players are no stretches of a text.
    """
    if len(players) == 0:
        return np.zeros((0, 2), np.int64)
    if not isinstance(players.geometry, Spans):
        raise InvalidInput(f"The players of part {players.part!r} are no stretches of its text; cut it into words.")
    return players.geometry.bounds


def character_cover(spans: NDArray[np.int64], players: PartPlayers) -> NDArray[np.float64]:
    """The share of each token's characters that each player owns, white space not counted.

    Args:
        spans: ``int64[tokens, 2]``: characters of each token in the part's text.
        players: of the part.

    Returns:
        ``float64[players, tokens]``; a token of white space alone is nobody's.
    """
    solid = np.array([not char.isspace() for char in str(players.content)], float)
    before = np.concatenate([[0.0], np.cumsum(solid)])
    bounds = bounds_of(players)
    low = np.maximum(bounds[:, None, 0], spans[None, :, 0])
    high = np.maximum(np.minimum(bounds[:, None, 1], spans[None, :, 1]), low)
    own = before[high] - before[low]
    size = before[spans[:, 1]] - before[spans[:, 0]]
    found: NDArray[np.float64] = own / np.maximum(size, 1)
    return found


def hidden_rows(spans: NDArray[np.int64], players: PartPlayers, present: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which tokens of a part a coalition hides, ``bool[tokens]``: those whose owner is absent."""
    owners = token_players(spans, bounds_of(players), str(players.content)).owners
    return np.append(~present, np.False_)[owners]
