"""DIME: what the parts give alone and what only their interplay gives, each explained by LIME.

Lyu et al. 2022 split a model into its unimodal contributions, which are EMAP's projection, and the rest, the multimodal
interaction, and run LIME on each. For one sample (see `chiasm.explainers.emap`) both live on one grid: masks of each
part, every combination evaluated. Row and column means give the unimodal table, the difference the multimodal one, and
one linear fit each gives players their values. As fits on the same masks are linear in the values, the two add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.game import Game
from chiasm.explainers.base import BlackBox, Floats, Found
from chiasm.explainers.lime import LinearFit, fit, perturbations, proximity


def projected(table: Floats, first: Sequence[int]) -> Floats:
    """The part of a table that adds up over its axes: Σ_axis (mean over all others) − (axes − 1)·mean.

    Args:
        table: ``float64[m_1, …, m_P]``.
        first: for each axis, the first entry that is a background; means run over backgrounds.
    """
    axes = range(table.ndim)

    def mean(kept: set[int]) -> Floats:
        cut = tuple(slice(None) if axis in kept else slice(first[axis], None) for axis in axes)
        return np.asarray(table[cut].mean(axis=tuple(a for a in axes if a not in kept), keepdims=True), np.float64)

    total = np.zeros(table.shape)
    for axis in axes:
        total = total + mean({axis})
    return np.asarray(total - (table.ndim - 1) * mean(set()), np.float64)


@dataclass(frozen=True)
class Dime(BlackBox):
    """Slopes of LIME on the unimodal and on the multimodal part of the game, added up; both stand in the provenance.

    ``provenance.extra["unimodal"]`` and ``["multimodal"]`` are lists in the order of the players. Near the whole
    sample alone is a slope of the interplay other than 0: a game's interplay has no linear part over all coalitions.
    The masks of a part are few, so the multimodal slopes are rough; there are no standard errors.

    Attributes:
        width: of LIME's kernel.
        ridge: of LIME's fit.
    """

    width: float = 0.25
    ridge: float = 1e-9

    name = "dime"
    line = "LIME of what parts give alone plus LIME of their interplay"
    cost = "a grid of masks: from Π (players of a part + 3) values"
    source = "Lyu et al. 2022, eq. 4–6"
    indices = ("DIME",)

    def default_budget(self, game: Game) -> int | None:
        """Four times the least, within 1,024 … 8,192 where that is enough."""
        least = self.least(game)
        return max(min(max(1024, 4 * least), 8192, 1 << min(game.n, 30)), least + (1 << len(game.players.parts)))

    def least(self, game: Game) -> int:
        """A determined fit in each part."""
        return prod(min(k + 3, 1 << min(k, 30)) for k in _sizes(game))

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """One grid, two fits."""
        del index
        rows = self._rows(game, budget, np.random.default_rng(seed))
        shape = tuple(len(r) for r in rows)
        masks = np.array([np.concatenate(cell) for cell in product(*rows)], bool).reshape(-1, game.n)
        table = game(masks).reshape(shape)
        # the whole part stands first among random masks and is no background; among all masks it is one of them
        unimodal = projected(table, [int(r[0].all()) for r in rows])
        rest = table - unimodal
        if np.abs(rest).max() <= 1e-12 * np.abs(table).max():
            unimodal, rest = table, np.zeros(shape)  # rounding is no interplay
        weights = proximity(masks, self.width)
        alone, interplay = (fit(masks, t.ravel(), weights, self.ridge) for t in (unimodal, rest))
        spread = float(weights @ _deviations(table, weights))
        share = float(weights @ rest.ravel() ** 2) / spread if spread > 0 else 0.0
        extra = {
            "unimodal": alone.slopes.tolist(),
            "multimodal": interplay.slopes.tolist(),
            "r2_unimodal": alone.r2,
            "r2_multimodal": interplay.r2,
        }
        note = (
            f"interplay of parts makes {share:.0%} of the variance; linear models explain {alone.r2:.0%} of what parts "
            f"give alone and {interplay.r2:.0%} of their interplay"
        )
        return Found(self._chosen(alone, interplay), notes=(note,), extra=extra)

    def _chosen(self, alone: LinearFit, interplay: LinearFit) -> Floats:
        """Which of the two is the answer; here both."""
        return alone.slopes + interplay.slopes

    @staticmethod
    def _rows(game: Game, budget: int, rng: np.random.Generator) -> list[Coalitions]:
        """Masks of each part, the whole part first, as many as the budget has room for."""
        sizes = _sizes(game)
        all_of = [1 << min(k, 30) for k in sizes]
        counts = [min(k + 3, most) for k, most in zip(sizes, all_of, strict=True)]
        grown = True
        while grown:
            grown = False
            for p in sorted(range(len(counts)), key=lambda p: counts[p] / (sizes[p] + 1)):
                if counts[p] < all_of[p] and prod(counts) // counts[p] * (counts[p] + 1) <= budget:
                    counts[p] += 1
                    grown = True
                    break
        return [perturbations(k, count, rng) for k, count in zip(sizes, counts, strict=True)]


class DimeUnimodal(Dime):
    """The unimodal half alone."""

    name = "dime-unimodal"
    line = "LIME of what the parts give alone"
    indices = ("DIME-unimodal",)

    def _chosen(self, alone: LinearFit, interplay: LinearFit) -> Floats:
        del interplay
        return alone.slopes


class DimeMultimodal(Dime):
    """The multimodal half alone."""

    name = "dime-multimodal"
    line = "LIME of the interplay of parts"
    indices = ("DIME-multimodal",)

    def _chosen(self, alone: LinearFit, interplay: LinearFit) -> Floats:
        del alone
        return interplay.slopes


def _sizes(game: Game) -> list[int]:
    """Players of each part that has any."""
    return [len(part) for part in game.players.parts.values() if len(part)]


def _deviations(table: Floats, weights: Floats) -> Floats:
    """Squared deviations from the weighted mean."""
    flat = table.ravel()
    return np.asarray((flat - weights @ flat / weights.sum()) ** 2, np.float64)


DIME, DIME_UNIMODAL, DIME_MULTIMODAL = Dime(), DimeUnimodal(), DimeMultimodal()
