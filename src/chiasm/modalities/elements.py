"""What modalities share whose content is a list of elements (columns of a row, nodes and edges of a graph)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.core.players import PartPlayers, Regions


def owners(players: PartPlayers, count: int, what: str) -> NDArray[np.int32]:
    """Which player owns each element, ``int32[count]``, −1 for none.

    Args:
        players: with one-dimensional `Regions`.
        count: of the content's elements.
        what: the elements, for messages: ``"columns"``.

    Raises:
        InvalidInput: the players are not cut on as many elements.
    """
    if not isinstance(players.geometry, Regions) or players.geometry.label_map.ndim != 1:
        raise InvalidInput(f"The players of part {players.part!r} are no sets of {what}, so they cannot be masked.")
    label_map = players.geometry.label_map
    if len(label_map) != count:
        raise InvalidInput(
            f"The players of part {players.part!r} are cut on {len(label_map)} {what}, and it has {count}."
        )
    return label_map


def shown(players: PartPlayers, present: NDArray[np.bool_], count: int, what: str) -> NDArray[np.bool_]:
    """Which elements are shown in each coalition, ``bool[batch, count]``; those of no player always are.

    Args:
        players: with one-dimensional `Regions`.
        present: ``bool[batch, players]``.
        count: of the content's elements.
        what: the elements, for messages.

    Raises:
        InvalidInput: players, content and coalitions do not fit together.
    """
    label_map = owners(players, count, what)
    present = np.asarray(present, bool)
    if present.ndim != 2 or present.shape[1] != len(players):
        raise InvalidInput(f"present has shape {present.shape}; it must be (batch, {len(players)}).")
    always = np.ones((len(present), 1), bool)
    return np.concatenate([present, always], axis=1)[:, label_map]  # -1 is the added last column


def covered(players: PartPlayers, truth: NDArray[Any], count: int, what: str) -> NDArray[np.float64]:
    """The share of each player's own elements that the truth covers, ``float64[players]``.

    Args:
        players: with one-dimensional `Regions`.
        truth: places of elements ``int[k]``, or a mask ``bool[count]``.
        count: of the content's elements.
        what: the elements, for messages.

    Raises:
        InvalidInput: truth of another form, or outside of the content.
    """
    label_map, truth = owners(players, count, what), np.asarray(truth)
    hit = np.zeros(count, bool)
    if truth.dtype == np.bool_ and truth.shape == (count,):
        hit = truth
    elif truth.ndim == 1 and (truth.size == 0 or np.issubdtype(truth.dtype, np.integer)):
        if truth.size and not 0 <= truth.min() <= truth.max() < count:
            raise InvalidInput(f"The truth {truth.tolist()} of part {players.part!r} names no {what} 0…{count - 1}.")
        hit[truth.astype(np.int64)] = True
    else:
        raise InvalidInput(
            f"The truth of part {players.part!r} is {truth.dtype}{list(truth.shape)}; give places of {what} int[k], "
            f"counted from 0, or a mask bool[{count}]."
        )
    own = label_map >= 0
    size = np.bincount(label_map[own], minlength=len(players))
    inside = np.bincount(label_map[own & hit], minlength=len(players))
    return np.asarray(inside / np.maximum(size, 1), np.float64)
