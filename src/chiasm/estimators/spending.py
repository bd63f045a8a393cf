"""What coalitions cost, in passes of the model, and how large a grid of masks should be on each side."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from chiasm.core.coalitions import Coalitions, distinct
from chiasm.core.game import Costs
from chiasm.core.players import Players


def passes(costs: Costs, players: Players, coalitions: Coalitions) -> float:
    """Cost of the values of some coalitions, none of them known before.

    Args:
        costs: of the game.
        players: of the game.
        coalitions: ``bool[batch, n]``; doubles cost nothing.

    Returns:
        Σ over parts of ``encode[part]`` · (its distinct choices of players) + ``cell`` · (distinct coalitions), in
        plain forward passes.
    """
    if not len(coalitions):
        return 0.0
    total = costs.cell * len(distinct(coalitions)[0])
    for part, own in players.split(coalitions).items():
        if costs.encode.get(part):
            total += costs.encode[part] * len(distinct(own)[0])
    return float(total)


def grid_budget(allowed: float, players: Players, costs: Costs, most: int = 1 << 20) -> int:
    """The most values that a full grid may have for so many passes (``crossed`` takes them as its budget).

    Args:
        allowed: passes.
        players: of the game.
        costs: of the game.
        most: never more values than this.

    Returns:
        Values; 0 where not even one can be paid for.
    """
    sizes = {part: len(own) for part, own in players.parts.items() if len(own)}
    prices = [costs.encode.get(part, 0.0) + costs.cell for part in sizes]

    def price(values: int) -> float:
        shape = grid_shape(values, list(sizes.values()), prices)
        return costs.cell * prod(shape) + sum(
            costs.encode.get(part, 0.0) * m for part, m in zip(sizes, shape, strict=True)
        )

    low, high = 0, most  # the price grows with the values, but for rounding
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if price(middle) <= allowed else (low, middle - 1)
    return low


def grid_shape(budget: int, sizes: Sequence[int], prices: Sequence[float]) -> list[int]:
    """How many masks of each part a grid of at most ``budget`` values should have.

    The error left by m masks of a part is taken to fall as (its players)/m, so that the price Σ price·m is lowest, at
    equal error, where m ∝ √(players/price). No part gets more than all its masks; what it leaves goes to the others.

    Args:
        budget: values.
        sizes: players of each part.
        prices: what a mask of each part costs; only their ratios count.

    Returns:
        At least one mask of each part.
    """
    most = [1 << min(size, 30) for size in sizes]
    cheapest = max(max(prices, default=0.0) * 1e-3, 1e-12)  # a part that is free gets more masks, but not all
    wish = [np.sqrt(size / max(price, cheapest)) for size, price in zip(sizes, prices, strict=True)]
    found = [0] * len(sizes)
    open_parts = list(range(len(sizes)))
    while open_parts:
        left = budget / prod(found[p] for p in range(len(sizes)) if p not in open_parts)
        scale = (left / prod(wish[p] for p in open_parts)) ** (1 / len(open_parts))
        full = [p for p in open_parts if scale * wish[p] >= most[p]]
        for p in full:
            found[p] = most[p]
        if not full:
            for p in open_parts:
                found[p] = max(1, int(scale * wish[p] + 1e-9))
            break
        open_parts = [p for p in open_parts if p not in full]
    while prod(found) > budget and max(found) > 1:  # where a share below one was raised to one
        found[int(np.argmax(found))] -= 1
    return found
