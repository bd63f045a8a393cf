"""Which players come first: orders by value, ties, and the top fractions of each part.

Ties. Players of equal value have no order, and to take them by their index would favour whatever is written first (the
upper left corner, the first word). A score that needs an order is therefore the mean over several random orders of the
tied players, drawn in pairs that are each other's reverse; its spread is the score's standard error. Without ties there
is one order and no spread. Values count as equal if they differ by no more than rounding, `ROUNDING` of the largest.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.metrics.base import Case, Floats

#: ``"part"``: the same fraction of each part; ``"joint"``: a fraction of all players, ranked together
Counting = Literal["part", "joint"]
ROUNDING: Final = 1e-9
"""Values that differ by less than this share of the largest absolute value are equal."""


def tie_groups(values: Floats) -> NDArray[np.int64]:
    """Rank of each value among the distinct ones, ``int64[n]``: 0 for the largest; equal values have equal ranks."""
    if not len(values):
        return np.zeros(0, np.int64)
    order = np.argsort(-values, kind="stable")
    falls = -np.diff(values[order]) > ROUNDING * np.abs(values).max()
    groups = np.empty(len(values), np.int64)
    groups[order] = np.concatenate([[0], np.cumsum(falls)])
    return groups


def ranks(values: Floats, seed: int, count: int) -> NDArray[np.int64]:
    """Places in descending order, 0 for the first: ``int64[1, n]`` without ties, ``int64[count, n]`` with ties.

    Args:
        values: ``float64[n]``.
        seed: of the random orders of tied players.
        count: how many orders, made even.
    """
    groups = tie_groups(values)
    if len(np.unique(groups)) == len(values):
        return groups[None]
    rng = np.random.default_rng([seed, len(values), 0x71E5])
    found = []
    for _ in range((count + 1) // 2):
        noise = rng.random(len(values))
        found += [np.argsort(np.lexsort((sign * noise, groups))) for sign in (1, -1)]
    return np.array(found, np.int64)


def part_ranks(case: Case, seed: int, count: int) -> NDArray[np.int64]:
    """Place of each player within its part, ``int64[orders, n]``."""
    values = case.explanation.values
    each = [ranks(values[name], seed + k, count) for k, name in enumerate(case.parts)]
    orders = max(len(r) for r in each)
    return np.concatenate([np.broadcast_to(r, (orders, r.shape[1])) for r in each], axis=1)


def top_counts(n: int, steps: int) -> NDArray[np.int64]:
    """How many of n players are the top 0, 1/steps, …, 1: rounded to the nearest, halves up; ``int64[steps + 1]``."""
    return np.floor(n * np.arange(steps + 1) / steps + 0.5 + 1e-9).astype(np.int64)


def tops(case: Case, *, steps: int, counting: Counting, ties: int) -> NDArray[np.bool_]:
    """The players that are among the top fractions 0, 1/steps, …, 1: ``bool[orders, steps + 1, n]``.

    Args:
        case: the explanation; signed values count: a player that speaks against the target comes last.
        steps: number of steps from nothing to everything.
        counting: see `Counting`.
        ties: how many orders where there are ties.

    Raises:
        InvalidInput: no steps, orders or such counting.
    """
    if steps < 1 or ties < 1 or counting not in ("part", "joint"):
        raise InvalidInput(
            f"Give steps ≥ 1, ties ≥ 1 and counting 'part' or 'joint'; got {steps}, {ties}, {counting!r}."
        )
    if counting == "joint":
        place = ranks(case.explanation.single, case.seed, ties)
        return np.asarray(place[:, None] < top_counts(case.game.n, steps)[None, :, None], bool)
    place = part_ranks(case, case.seed, ties)
    most = np.zeros((steps + 1, case.game.n), np.int64)
    for name in case.parts:
        where = case.game.players.slices[name]
        most[:, where] = top_counts(where.stop - where.start, steps)[:, None]
    return np.asarray(place[:, None] < most[None], bool)


def area(values: Floats, axis: int = -1) -> Floats:
    """Trapezoid over the fractions 0 … 1, ``float64[..., steps + 1, ...]`` → without that axis."""
    moved = np.moveaxis(values, axis, -1)
    return np.asarray((moved[..., 1:] + moved[..., :-1]).mean(axis=-1) / 2, np.float64)


def spread(values: Floats) -> float | None:
    """Standard error of the mean over tie orders, ``float64[orders]``, which come in pairs; ``None`` for one order."""
    if len(values) < 2:
        return None
    pairs = values.reshape(-1, 2).mean(axis=1) if len(values) % 2 == 0 and len(values) > 2 else values
    return float(pairs.std(ddof=1) / np.sqrt(len(pairs)))
