"""MultiSHAP's estimator with correct weights: each pair by itself, four values a draw, nothing shared.

MultiSHAP (github.com/WGLab/MultiSHAP) estimates the Shapley interaction index of every pair across parts by itself,
stratified by the size of the context. Its released code weighs each of the 2^(n−2) coalitions of the exact form by
1/(n−1)², so that a pure pair has .44 (n = 4) or 8.46 (n = 12) in place of 1, and its sampler confuses patch 3 with
token 3. Here sizes follow the index's own law, SII_ij = Σ_s 1/(n−1) · E_{|S|=s}[Δ_ij(S)] (Grabisch & Roubens 1999), so
that every draw is unbiased.

It is a reference: what other estimators share between pairs, it asks for again and again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import BudgetTooSmall
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.base import Estimate
from chiasm.estimators.derivatives import Derivatives, Ints, across_parts, rounds, size_law
from chiasm.estimators.moderated import Means
from chiasm.estimators.support import MOST_ENUMERATED, Purse, check_index, ends, missing

Floats = NDArray[np.float64]

#: values of one draw
_VALUES = 4
#: as for 'permutation': when nearly all values of a small game are remembered, stop after this many budgets of requests
_REPEATS = 4


@dataclass
class MultiShap:
    """Stratified Monte Carlo of each pair across parts; unbiased for SII, single values the Shapley values.

    Pairs within a part are not estimated (NaN), unless one part has all the players. Single values come from the same
    draws: of the four values v(S), v(S+i), v(S+j), v(S+ij) with |S| = s,
    (n−1−s)/n · [v(S+i) − v(S)] + (s+1)/n · [v(S+ij) − v(S+j)] is an unbiased draw of the Shapley value of i, as the two
    contexts together have uniform size and uniform members given their size.

    Standard errors are those of the mean over draws, moderated as those of 'permutation' are
    (`chiasm.estimators.moderated`). As the sizes of a pair's draws are spread more evenly than chance would, they are a
    little wide.

    Attributes:
        name: ``"multishap"``.
        indices: SII.
    """

    name: str = "multishap"
    indices: tuple[str, ...] = ("SII",)

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield once every pair has had one draw, and after every batch of draws from there on.

        Raises:
            InvalidInput: another index than SII.
            BudgetTooSmall: fewer new values than four for each pair, and fewer than all 2^n.
        """
        check_index(self, index)
        n = game.n
        needed = _VALUES * len(across_parts(game.players)) if n > 1 else 2
        if budget < needed and not (n <= MOST_ENUMERATED and missing(game) <= budget):
            raise BudgetTooSmall(
                f"The estimator 'multishap' needs at least {needed} values of the game for {index.name} of {n} "
                f"players, four for each pair; the budget allows {budget}."
            )
        return self._sample(game, index, budget, seed) if n > 1 else _alone(game)

    def _sample(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        rng, purse = np.random.default_rng([seed, game.n]), Purse(game, budget)
        pairs = across_parts(game.players)
        draws = Derivatives(pairs, game.n, size_law(index, 2, game.n - 2), rng)
        sums = _Sums(game, pairs)
        enough = game.n <= MOST_ENUMERATED and missing(game) <= budget
        most_asked = game.counts.requested + _REPEATS * budget
        met = False
        while True:
            for which in rounds(len(pairs), max(1, game.values_per_call // _VALUES), rng):
                affordable = len(which) if enough else min(len(which), purse.left // _VALUES)
                if not affordable or (met and game.counts.requested >= most_asked):
                    return
                corners, sizes = draws.draw(which[:affordable])
                values = game(corners.reshape(-1, game.n)).reshape(-1, _VALUES)
                sums.add(which[:affordable], values, sizes)
                if met:
                    yield sums.estimate()
            if not met:
                yield sums.estimate()
            met = True


def _alone(game: Game) -> Iterator[Estimate]:
    """One player: v(1) − v(∅)."""
    bottom, top = game(ends(1))
    yield Estimate(np.array([top - bottom]), np.zeros((1, 1)), np.zeros(1), np.zeros((1, 1)))


class _Sums:
    """Draws so far, of pairs and of single players.

    Args:
        game: whose players they are.
        pairs: positions, ``int64[pairs, 2]``.
    """

    def __init__(self, game: Game, pairs: Ints) -> None:
        """Start without draws; variances are pooled over single values of a part and over pairs of two parts."""
        self._n, self._pairs = game.n, pairs
        parts = game.players.parts.values()
        part = np.repeat(np.arange(len(parts)), [len(p) for p in parts])
        self._single = Means(part)
        self._pair = Means(part[pairs[:, 0]] * len(parts) + part[pairs[:, 1]])

    def add(self, which: Ints, values: Floats, sizes: Ints) -> None:
        """Take draws.

        Args:
            which: pairs, no one twice.
            values: v(S), v(S+i), v(S+j), v(S+ij) of each, ``float64[draws, 4]``.
            sizes: |S|.
        """
        n = self._n
        none, i, j, both = values.T
        y, c = np.zeros(len(self._pairs)), np.zeros(len(self._pairs), np.int64)
        y[which], c[which] = both - i - j + none, 1
        self._pair.add(y, c)
        low, high = (n - 1 - sizes) / n, (sizes + 1) / n
        gains = np.stack([low * (i - none) + high * (both - j), low * (j - none) + high * (both - i)], axis=1)
        for players, gain in zip(self._pairs[which], gains, strict=True):  # one by one: each draw is a sample
            y, c = np.zeros(n), np.zeros(n, np.int64)
            y[players], c[players] = gain, 1
            self._single.add(y, c)

    def estimate(self) -> Estimate:
        """Means and errors so far."""
        return Estimate(
            self._single.mean(), self._square(self._pair.mean()), self._single.error(), self._square(self._pair.error())
        )

    def _square(self, values: Floats) -> Floats:
        """Symmetric matrix with a zero diagonal; NaN for pairs that are not asked for."""
        i, j = self._pairs.T
        square = np.full((self._n, self._n), np.nan)
        np.fill_diagonal(square, 0.0)
        square[i, j] = square[j, i] = values
        return square


#: the estimator ``"multishap"``
MULTISHAP = MultiShap()
