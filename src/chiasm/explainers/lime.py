"""LIME: a linear model of the players of all parts at once, fitted near the whole sample."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, all_coalitions, distinct
from chiasm.core.game import Game
from chiasm.estimators.support import MOST_ENUMERATED
from chiasm.explainers.base import BlackBox, Floats, Found

#: a residual of a coalition that the fit depends on wholly says nothing about its error
_PINNED = 1e-6
#: a draw is repeated at most so often in search of coalitions that were not drawn yet
_TRIES = 50


@dataclass(frozen=True, eq=False)
class LinearFit:
    """A weighted linear model of a game.

    Attributes:
        slopes: ``float64[n]``.
        errors: standard errors of the slopes as estimates of those that all coalitions would give (HC3), or ``None``
            where the fit leaves no residuals to judge by.
        r2: share of the weighted variance that it explains, on the coalitions it was fitted to.
        r2_left_out: the same on each coalition by the model fitted to the others; NaN where that has no meaning.
    """

    slopes: Floats
    errors: Floats | None
    r2: float
    r2_left_out: float


def proximity(coalitions: Coalitions, width: float) -> Floats:
    """LIME's weights √exp(−d²/width²), d the cosine distance to the whole (Ribeiro et al. 2016, section 3.4)."""
    distance = 1 - np.sqrt(coalitions.mean(axis=1))
    return np.asarray(np.exp(-(distance**2) / (2 * width**2)), np.float64)


def fit(coalitions: NDArray[np.bool_], values: Floats, weights: Floats, ridge: float) -> LinearFit:
    """Weighted least squares with intercept.

    Args:
        coalitions: ``bool[k, n]``, k > n.
        values: ``float64[k]``.
        weights: ``float64[k]``.
        ridge: penalty on the slopes (not on the intercept), times the sum of the weights.
    """
    w = weights / weights.sum()
    x, y = coalitions - w @ coalitions, values - w @ values
    root = np.sqrt(w)[:, None]
    inverse = np.linalg.pinv((x * root).T @ (x * root) + ridge * np.eye(x.shape[1]), hermitian=True)
    slopes = inverse @ (x.T @ (w * y))
    residual = y - x @ slopes
    total = float(w @ y**2)
    r2 = 1 - float(w @ residual**2) / total if total > 0 else 1.0
    free = 1 - w * (((x @ inverse) * x).sum(axis=1) + 1)  # one minus the leverage
    if free.min() < _PINNED:
        return LinearFit(slopes, None, r2, float("nan"))
    alone = residual / free
    influence = (x * (w * alone)[:, None]) @ inverse
    left_out = 1 - float(w @ alone**2) / total if total > 0 else 1.0
    return LinearFit(slopes, np.sqrt((influence**2).sum(axis=0)), r2, left_out)


def perturbations(n: int, count: int, rng: np.random.Generator) -> Coalitions:
    """The whole sample and random ones that show each player with probability ½, all distinct, at most ``count``."""
    if n <= MOST_ENUMERATED and 1 << n <= count:
        return all_coalitions(n)
    found = np.ones((1, n), bool)
    for _ in range(_TRIES):
        found = np.vstack([found, rng.random((count - len(found), n)) < 0.5])
        found = found[distinct(found)[0]]
        if len(found) == count:
            break
    return found


@dataclass(frozen=True)
class Lime(BlackBox):
    """Slopes of a linear model of v, fitted to random coalitions of all parts with more weight near the whole sample.

    As in LIME for pictures, players are shown with probability ½; as in LIME for text, distance is the cosine one and
    the kernel's width .25. Published LIME has a ridge of 1, whatever the number of samples and the scale of v, which
    shrinks; the ridge here serves numbers alone, so that an additive game is recovered. What the linear model cannot
    say shows in R², which stands in the provenance.

    Attributes:
        width: of the kernel, in units of cosine distance.
        ridge: penalty on the slopes, times the sum of the weights.
    """

    width: float = 0.25
    ridge: float = 1e-9

    name = "lime"
    line = "local linear model of all parts together"
    cost = "the budget, in values; at least n + 2"
    source = "Ribeiro, Singh & Guestrin 2016, eq. 1–2"
    indices = ("LIME",)

    def least(self, game: Game) -> int:
        """One more than the unknowns, or all there are."""
        return min(game.n + 2, 1 << min(game.n, 30))

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """Fit and say how well it fits."""
        del index
        masks = perturbations(game.n, budget, np.random.default_rng(seed))
        found = fit(masks, game(masks), proximity(masks, self.width), self.ridge)
        every = game.n <= MOST_ENUMERATED and len(masks) == 1 << game.n
        extra = {"r2": found.r2}
        note = f"the linear model explains {found.r2:.0%} of the weighted variance it was fitted to"
        if np.isfinite(found.r2_left_out):
            extra["r2_left_out"] = found.r2_left_out
            note += f", and {found.r2_left_out:.0%} of coalitions left out of the fit"
        return Found(found.slopes, np.zeros(game.n) if every else found.errors, notes=(note,), extra=extra)


LIME = Lime()
