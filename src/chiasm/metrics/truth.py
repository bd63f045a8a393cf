"""From the planted truth of a sample to shares of players."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.core.players import Players
from chiasm.metrics.base import Floats
from chiasm.modalities import modalities
from chiasm.models.base import Prepared


def planted(prepared: Prepared, players: Players) -> dict[str, Floats]:
    """Part → share of each player that the planted truth covers, ``float64[players]`` in [0, 1].

    Masks are taken where the sample has them, else boxes or spans. Parts without truth, with an empty one (nothing was
    planted there) or without players are left out.

    Args:
        prepared: the sample as the model sees it.
        players: the players that are judged.
    """
    sample, found = prepared.sample, {}
    for name in {**sample.truth, **sample.masks}:
        truth = _of_part(sample.truth.get(name), sample.masks.get(name))
        if truth is None or name not in players.parts or not len(players[name]):
            continue
        part = players[name]
        shares = modalities.get(part.kind).overlap(part, truth, prepared.contexts[name].placement)
        if shares.any():
            found[name] = shares
    return found


def _of_part(truth: NDArray[np.generic] | None, masks: NDArray[np.bool_] | None) -> NDArray[np.generic] | None:
    if masks is not None:
        union = np.asarray(masks.any(axis=0))
        return union if len(masks) else None
    return truth if truth is not None and truth.size else None
