"""Explanations that know the truth, its reverse, or nothing: what a metric must be able to tell apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from chiasm.core.explanation import Explanation
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.metrics.base import Floats

ORACLE: Final = "oracle"
REVERSED: Final = "reversed oracle"
RANDOM: Final = "random"


def oracle(players: Players, truth: Mapping[str, Floats], *, sign: int = 1) -> Explanation:
    """Single values are the shares that the planted truth covers, pairs across parts their products.

    Args:
        players: who is explained.
        truth: part → ``float64[players]`` in [0, 1]; parts without truth have the value 0 throughout.
        sign: −1 for the reversed oracle, which ranks the planted players last.
    """
    parts = [np.asarray(truth.get(name, np.zeros(len(p))), np.float64) for name, p in players.parts.items()]
    single = np.concatenate(parts)
    return _explanation(players, ORACLE if sign > 0 else REVERSED, sign * single, sign * np.outer(single, single))


def random(players: Players, seed: int) -> Explanation:
    """Normal random values for players and pairs."""
    rng = np.random.default_rng([seed, len(players), 0x2A])
    half = np.triu(rng.normal(size=(len(players), len(players))), 1)
    return _explanation(players, RANDOM, rng.normal(size=len(players)), half + half.T, seed)


def _explanation(players: Players, method: str, single: Floats, pair: Floats, seed: int | None = None) -> Explanation:
    pair = pair + 0.0  # no negative zeros
    np.fill_diagonal(pair, 0.0)
    provenance = Provenance(method, "control", seed=seed, notes=["a control: no model was asked"])
    return Explanation(players, single + 0.0, provenance, pair=pair)


def controls(players: Players, truth: Mapping[str, Floats], *, seeds: int, seed: int) -> dict[str, Explanation]:
    """All controls that the sample allows, by name: oracle and reversed oracle where there is truth, then random ones.

    Args:
        players: who is explained.
        truth: see `oracle`; may be empty.
        seeds: how many random ones.
        seed: of the first.
    """
    found = {}
    if truth:
        found = {ORACLE: oracle(players, truth), REVERSED: oracle(players, truth, sign=-1)}
    return found | {f"{RANDOM} {k}": random(players, seed + k) for k in range(seeds)}
