"""The Gaussian-process surrogate from coarse to fine: neighbours come and go together until their block matters.

Of 49 patches most do nothing, and 250 values are too few to learn that of each by itself. So players that lie next to
each other (patches, frequency bands, words of a long text) begin as blocks of up to four that every coalition takes
whole; after each batch the two blocks of largest effect are split into their players. What is estimated are the
players' own indices all the same: players of a block that was never split share its effect, with errors that say so.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, keys
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.core.players import PartPlayers, Players, Regions, Spans
from chiasm.estimators.base import Estimate
from chiasm.estimators.exact import EXACT
from chiasm.estimators.gaussian_process import Run, can_enumerate, check_budget
from chiasm.estimators.gp_choice import candidates, first_design
from chiasm.estimators.support import check_index

Blocks = NDArray[np.intp]

#: most players of a block
SIDE: Final = 4
#: a part of no more players is not put into blocks: its players are told apart soon enough
FEW: Final = 16
#: blocks that are split after each batch
_SPLIT: Final = 2


def blocks(players: Players) -> Blocks:
    """Which block each player begins in, ``intp[n]`` from 0: neighbours together, all others alone."""
    found: list[NDArray[np.intp]] = []
    start = 0
    for part in players.parts.values():
        places = positions(part) if len(part) > FEW else None
        own = np.arange(len(part), dtype=np.intp) if places is None else _halved(places)
        found.append(own + start)
        start += int(own.max(initial=-1)) + 1
    return np.concatenate(found)


def positions(part: PartPlayers) -> NDArray[np.float64] | None:
    """Where the middle of each player lies, ``float64[players, axes]``; ``None`` where players lie nowhere."""
    if isinstance(part.geometry, Spans):
        return np.asarray(part.geometry.bounds.mean(axis=1, keepdims=True), np.float64)
    if not isinstance(part.geometry, Regions):
        return None
    owner = part.geometry.label_map
    owned = owner >= 0
    count = np.maximum(np.bincount(owner[owned], minlength=len(part)), 1)
    axes = [
        np.bincount(owner[owned], weights=np.asarray(at)[owned], minlength=len(part)) / count
        for at in np.indices(owner.shape)
    ]
    return np.stack(axes, axis=1)


def _halved(places: NDArray[np.float64]) -> Blocks:
    """Blocks of at most `SIDE`: halved at the median of the longer axis again and again."""
    group = np.zeros(len(places), np.intp)
    waiting = [np.arange(len(places))]
    done = 0
    while waiting:
        members = waiting.pop()
        if len(members) <= SIDE:
            group[members] = done
            done += 1
            continue
        own = places[members]
        order = members[np.argsort(own[:, np.ptp(own, axis=0).argmax()], kind="stable")]
        waiting += [order[len(order) // 2 :], order[: len(order) // 2]]
    return group


@dataclass
class CoarseToFine:
    """`GaussianProcess` whose coalitions take blocks of neighbours whole, split where they matter.

    For few values of many players, as of a model behind an API: see the module.

    Attributes:
        name: ``"gp-coarse"``.
        indices: all.
    """

    name: str = "gp-coarse"
    indices: tuple[str, ...] = ("SII", "BII", "WBII", "STII", "FSII", "Moebius")

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield after every batch.

        Raises:
            InvalidInput: an index that is not Chiasm's, or more than 8,192 values that are not all there are.
            BudgetTooSmall: fewer than n + 2 values.
        """
        check_index(self, index)
        if can_enumerate(game, budget):
            return EXACT.run(game, index, budget, seed)
        check_budget(self.name, game, budget)
        return _CoarseRun(game, index, budget, seed).estimates()


class _CoarseRun(Run):
    """A run that knows blocks."""

    def __init__(self, game: Game, index: Index, budget: int, seed: int) -> None:
        self.group = blocks(game.players)
        self.parts = np.repeat(np.arange(len(game.players.parts)), [len(part) for part in game.players.parts.values()])
        super().__init__(game, index, budget, seed)

    def design(self, count: int) -> Coalitions:
        """The first coalitions of whole blocks."""
        number = int(self.group.max()) + 1
        return first_design(number, min(count, 2**number), self.rng)[:, self.group]

    def among(self, estimate: Estimate, count: int) -> Coalitions:
        """Split the blocks of largest effect, by single values and pairs across parts; draw coalitions of blocks."""
        across = np.abs(estimate.pair * (self.parts[:, None] != self.parts)).sum(1)
        effect = np.bincount(self.group, np.abs(estimate.single) + across)
        sizes = np.bincount(self.group)
        for block in [k for k in np.argsort(-effect, kind="stable") if sizes[k] > 1][:_SPLIT]:
            others = np.flatnonzero(self.group == block)[1:]
            self.group[others] = self.group.max() + 1 + np.arange(len(others))
        number = int(self.group.max()) + 1
        found = candidates(number, self.surrogate.measure, set(), count, self.rng)[:, self.group]
        seen = set(keys(self.coalitions))
        return found[[key not in seen for key in keys(found)]]


#: the estimator ``"gp-coarse"``
GP_COARSE = CoarseToFine()
