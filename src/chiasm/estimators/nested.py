"""Nested designs: some masks of the part that is dear to encode, each with a few different masks of the others.

Where a further coalition on an encoded part costs less than the encoding (a decoder that keeps the keys and values of a
picture), a full grid would still tell less for each value than coalitions that differ in all parts: nesting is between
the two.
"""

from __future__ import annotations

import numpy as np

from chiasm.core.coalitions import Coalitions, distinct, of_size
from chiasm.core.errors import InvalidInput
from chiasm.core.game import Costs
from chiasm.core.players import Players
from chiasm.estimators.crossed import spread_masks


def dearest(costs: Costs) -> str | None:
    """The part whose encoding costs most and more than a cell, or ``None`` where none does."""
    part = max(costs.encode, key=lambda name: costs.encode[name], default=None)
    return part if part is not None and costs.encode[part] > costs.cell else None


def coalitions_per_mask(costs: Costs, part: str, ratio: float = 1.0) -> int:
    """How many coalitions should share a mask of a part: √(encode/cell · within/between), at least 1.

    The optimum of two-stage sampling (Cochran 1977, Sampling Techniques, §10.6).

    Args:
        costs: of the game.
        part: the part that is encoded.
        ratio: variance of values within a mask over the variance between masks.
    """
    return max(1, round(float(np.sqrt(costs.encode.get(part, 0.0) / max(costs.cell, 1e-6) * ratio))))


def nested_coalitions(players: Players, part: str, masks: int, each: int, seed: int) -> Coalitions:
    """Coalitions on distinct masks of a part, those of a mask side by side.

    Args:
        players: of the game.
        part: the part that is encoded once for each of its masks.
        masks: how many masks, at most as many as there are.
        each: coalitions for each mask; the other parts' players in them have sizes uniform on all, in complement pairs.
        seed: the same seed gives the same coalitions.

    Returns:
        ``bool[≤ masks·each, n]``, distinct.

    Raises:
        InvalidInput: not at least one mask and one coalition for each.
    """
    if masks < 1 or each < 1:
        raise InvalidInput(f"A nested design of {masks} masks with {each} coalitions each is none; give 1 or more.")
    rng = np.random.default_rng([seed, len(players), 5])
    own = players.slices[part]
    width = own.stop - own.start
    known = spread_masks(width, masks, np.zeros((0, width), bool), rng)
    others = np.ones(len(players), bool)
    others[own] = False
    rest = int(others.sum())
    found = np.zeros((len(known), each, len(players)), bool)
    found[:, :, own] = known[:, None]
    half = (each + 1) // 2
    for block in found:
        drawn = of_size(rng.integers(0, rest + 1, half), rest, rng)
        block[:, others] = np.concatenate([drawn, ~drawn])[:each]
    flat = found.reshape(-1, len(players))
    return flat[distinct(flat)[0]]
