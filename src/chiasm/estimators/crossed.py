"""Crossed designs: every chosen mask of one part with every chosen mask of the others.

Where encoding a part costs much and joining encoded parts next to nothing, as in a dual encoder, m_1 + m_2 passes give
m_1·m_2 values. The values lie on a grid, and a Gaussian process whose covariance is a product over parts takes them
all in at the price of the parts alone (`chiasm.estimators.crossed_surrogate`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, all_coalitions, keys, of_size
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.base import Estimate
from chiasm.estimators.crossed_indices import ERROR_NODES, errors, means
from chiasm.estimators.crossed_surrogate import Grid, Side, along, fit, standardise, start
from chiasm.estimators.exact import EXACT
from chiasm.estimators.gp_indices import measures
from chiasm.estimators.spending import grid_shape
from chiasm.estimators.support import MOST_ENUMERATED, check_index, missing

Floats = NDArray[np.float64]

#: masks of each part, in shares of the final grid's, after which there is an estimate
_STAGES = (0.5, 0.71, 1.0)
#: fewest masks of a part (or all it has)
_LEAST = 4
#: most masks of a part: the time grows with their cube
_MOST = 2048
#: steps of the optimiser at the first stage and later, and masks of a part that it sees at most
_STEPS_FIRST, _STEPS_LATER, _FITTED_ON = 60, 30, 256


@dataclass
class Crossed:
    """Gaussian process on a full grid of masks.

    Serves every index with standard errors, posterior standard deviations times the root mean square of the
    standardised residuals of masks that came new to the grid (at least 1). Like those of ``gp`` they are model-based.

    A budget counts values, and the grid has at most that many; how many masks of each part that is follows from what
    encoding them costs (`chiasm.estimators.spending.grid_shape`). Where values are not free once the parts are
    encoded, scattered coalitions (``gp``) tell more for each value.

    Attributes:
        name: ``"crossed"``.
        indices: all.
    """

    name: str = "crossed"
    indices: tuple[str, ...] = ("SII", "BII", "WBII", "STII", "FSII", "Moebius")

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield for a grid of a quarter of the budget, of half of it and of all of it.

        Raises:
            InvalidInput: an index that is not Chiasm's, or a game of one part.
            BudgetTooSmall: fewer values than four masks of each part make.
        """
        check_index(self, index)
        if game.n <= MOST_ENUMERATED and 2**game.n <= budget + game.counts.computed and missing(game) <= budget:
            return EXACT.run(game, index, budget, seed)
        parts = crossed_parts(game, self.name)
        sizes = [len(game.players[part]) for part in parts]
        needed = prod(min(_LEAST, 1 << size) for size in sizes)
        if budget < needed:
            raise BudgetTooSmall(
                f"The estimator {self.name!r} needs at least {needed} values, a grid of {_LEAST} masks of each part; "
                f"the budget allows {budget}."
            )
        return _Run(game, index, parts, shape_of(game, parts, budget, _LEAST, _MOST), seed).estimates()


def crossed_parts(game: Game, name: str) -> list[str]:
    """The parts of a game that have free players.

    Raises:
        InvalidInput: fewer than two.
    """
    parts = [part for part, own in game.players.parts.items() if len(own)]
    if len(parts) < 2:
        raise InvalidInput(
            f"The estimator {name!r} crosses the masks of two parts or more, and only {', '.join(parts)} has players "
            f"to explain; use 'gp'."
        )
    return parts


def shape_of(game: Game, parts: Sequence[str], budget: int, least: int, most: int) -> list[int]:
    """Masks of each part for a grid within a budget, no fewer than ``least`` where there are as many."""
    sizes = [len(game.players[part]) for part in parts]
    shape = grid_shape(budget, sizes, [game.costs.encode.get(part, 0.0) + game.costs.cell for part in parts])
    shape = [min(most, max(m, min(least, 1 << size))) for m, size in zip(shape, sizes, strict=True)]
    while prod(shape) > budget:  # raising one part to the least number of masks takes some from the largest
        shape[int(np.argmax(shape))] -= 1
    return shape


def spread_masks(n: int, count: int, known: Coalitions, rng: np.random.Generator) -> Coalitions:
    """New masks of a part: the two ends, then sizes uniform between them, with their complements.

    Args:
        n: players of the part.
        count: how many masks there should be, the known ones included.
        known: ``bool[masks, n]``.
        rng: where they are drawn from.

    Returns:
        ``bool[≤ count, n]``: the known masks and the new ones.
    """
    if count >= 1 << min(n, 30):
        every = all_coalitions(n)
        old = set(keys(known))
        return np.concatenate([known, every[[key not in old for key in keys(every)]]])
    rows, seen = list(known), set(keys(known))
    ends = [np.zeros(n, bool), np.ones(n, bool)]
    while len(rows) < count:
        if ends:
            batch = np.stack([ends.pop()])
        else:
            drawn = of_size(rng.integers(1, max(n, 2), 1), n, rng)
            batch = np.concatenate([drawn, ~drawn])
        for row, key in zip(batch, keys(batch), strict=True):
            if key not in seen and len(rows) < count:
                seen.add(key)
                rows.append(row)
    return np.array(rows, bool).reshape(-1, n)


def grid_coalitions(game: Game, parts: Sequence[str], masks: Sequence[Coalitions]) -> Coalitions:
    """All combinations of masks as coalitions, the last part's mask running fastest."""
    places = np.indices([len(own) for own in masks]).reshape(len(masks), -1)
    found = np.zeros((places.shape[1], game.n), bool)
    for part, own, place in zip(parts, masks, places, strict=True):
        found[:, game.players.slices[part]] = own[place]
    return found


class _Run:
    """One run: a grid that grows."""

    def __init__(self, game: Game, index: Index, parts: list[str], shape: list[int], seed: int) -> None:
        self.game, self.index, self.parts, self.shape = game, index, parts, shape
        self.rng = np.random.default_rng([seed, game.n, 2])
        self.sizes = [len(game.players[part]) for part in parts]
        self.masks: list[Coalitions] = [np.zeros((0, size), bool) for size in self.sizes]
        self.x = [start(size) for size in self.sizes]
        self.surprise = 1.0

    def estimates(self) -> Iterator[Estimate]:
        """The estimate after each stage."""
        grid: Grid | None = None
        for stage in _STAGES:
            counts = [
                max(min(_LEAST, m), round(stage * m)) if m < 1 << min(size, 30) else m
                for m, size in zip(self.shape, self.sizes, strict=True)
            ]
            if grid is not None and counts == [len(own) for own in self.masks]:
                continue
            self.masks = [
                spread_masks(size, m, own, self.rng)
                for size, m, own in zip(self.sizes, counts, self.masks, strict=True)
            ]
            values = self.game(grid_coalitions(self.game, self.parts, self.masks))
            table = values.reshape([len(own) for own in self.masks])
            floats = [own.astype(np.float64) for own in self.masks]
            if grid is not None:
                self.surprise = surprise(grid, floats, table)
            self._fit(floats, table, _STEPS_LATER if grid is not None else _STEPS_FIRST)
            grid = Grid([Side.unpack(x) for x in self.x], floats, table)
            yield self._estimate(grid)

    def _fit(self, masks: list[Floats], table: Floats, steps: int) -> None:
        """Fit on the first masks of each part: the ends, and a fair sample."""
        z = standardise(table)[2][tuple(slice(_FITTED_ON) for _ in masks)]
        self.x = fit(self.x, [own[:_FITTED_ON] for own in masks], z, steps)

    def _estimate(self, grid: Grid) -> Estimate:
        n = self.game.n
        one, two = measures(self.index, n)
        single, pair = means(grid, one, two)
        one, two = measures(self.index, n, ERROR_NODES)
        single_errors, pair_errors = errors(grid, one, two)
        factor = float(np.sqrt(max(1.0, self.surprise)))
        return Estimate(single, pair, factor * single_errors, factor * pair_errors)


def surprise(grid: Grid, masks: Sequence[Floats], table: Floats) -> float:
    """Mean square of the standardised residuals of masks that are new in a larger grid.

    For each part, the values of its new masks on the old masks of the others; the largest of the parts' means counts.

    Args:
        grid: the surrogate of the smaller grid.
        masks: of the larger grid, the old ones first.
        table: its values.
    """
    old = [len(own) for own in grid.masks]
    found = []
    for p, side in enumerate(grid.sides):
        new = masks[p][old[p] :]
        if not len(new):
            continue
        where = tuple(slice(old[p], None) if k == p else slice(old[k]) for k in range(len(old)))
        cross = side.covariance(new, grid.masks[p])
        weights = cross @ grid.inverses[p]
        spread = np.maximum(side.variance() - (weights * cross).sum(1), side.noise)
        z = np.moveaxis((table[where] - grid.shift) / grid.scale, p, 0)
        residual = z - np.tensordot(weights, np.moveaxis(grid.z, p, 0), 1)
        others = [None, *(grid.inverses[k] for k in range(len(old)) if k != p)]
        squares = (residual * along(residual, others)).reshape(len(new), -1).mean(1)
        found.append(float(np.mean(squares / spread)))
    return max(found, default=1.0)


#: the estimator ``"crossed"``
CROSSED = Crossed()
