"""Interactions summed by the sorts of their units."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.players import Players

Floats = NDArray[np.float64]


def between(across: Floats, players: Players, sorts: dict[str, list[str]]) -> list[list[Any]]:
    """Sums of pair values by the sorts of both units: ``[part, part, sort, sort, sum]`` for all that there are.

    Args:
        across: pair values ``float64[n, n]``, 0 within parts.
        players: whose.
        sorts: part → the sort of each of its players.
    """
    found: list[list[Any]] = []
    for a, b in combinations([name for name in sorts if len(players[name])], 2):
        block = across[players.slices[a], players.slices[b]]
        names = [sorted(set(sorts[part])) for part in (a, b)]
        rows, columns = (
            np.array([[sort == name for sort in sorts[part]] for name in some], np.float64)
            for part, some in zip((a, b), names, strict=True)
        )
        sums = rows @ block @ columns.T
        found += [
            [a, b, one, two, float(sums[i, j])] for i, one in enumerate(names[0]) for j, two in enumerate(names[1])
        ]
    return found
