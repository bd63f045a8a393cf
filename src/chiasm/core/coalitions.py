"""Coalitions as bit arrays: ``bool[batch, players]``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Coalitions = NDArray[np.bool_]


def all_coalitions(n: int) -> Coalitions:
    """Every coalition of n players, ``bool[2**n, n]``; row r holds player i if bit i of r is set."""
    return ((np.arange(2**n, dtype=np.int64)[:, None] >> np.arange(n)) & 1).astype(bool)


def keys(coalitions: Coalitions) -> list[bytes]:
    """One hashable key a coalition: its bits packed into bytes."""
    packed = np.packbits(np.ascontiguousarray(coalitions), axis=1)
    width = packed.shape[1]
    raw = packed.tobytes()
    return [raw[k : k + width] for k in range(0, len(raw), width)] if width else [b""] * len(coalitions)


def distinct(coalitions: Coalitions) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Distinct rows of a batch.

    Returns:
        first: rows of the first occurrences, in order of appearance.
        inverse: for each row, its position in ``first``.
    """
    seen: dict[bytes, int] = {}
    first: list[int] = []
    inverse = np.empty(len(coalitions), np.intp)
    for row, key in enumerate(keys(coalitions)):
        place = seen.setdefault(key, len(first))
        if place == len(first):
            first.append(row)
        inverse[row] = place
    return np.asarray(first, np.intp), inverse


def of_size(sizes: NDArray[np.int64], n: int, rng: np.random.Generator) -> Coalitions:
    """A uniformly drawn coalition of each given size, ``bool[len(sizes), n]``."""
    ranks = rng.random((len(sizes), n)).argsort(axis=1).argsort(axis=1)
    return np.asarray(ranks < sizes[:, None], bool)
