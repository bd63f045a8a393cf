"""Random orders of the players: unbiased, with standard errors, for single players and pairs.

The orders are drawn in families that share their values: players are seated in a circle at random and arcs of the
circle are evaluated (`chiasm.estimators.arcs` says why that is unbiased and what it saves). Each seating is one
independent sample; standard errors come from the spread between seatings.

Sources: permutation sampling of Shapley values, Castro, Gómez & Tejada 2009; of interactions by players next to each
other in an order, Tsai, Yeh & Ravikumar 2023 and shapiq's ``PermutationSamplingSII``. The circle is Chiasm's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import BudgetTooSmall
from chiasm.core.game import Game
from chiasm.core.indices import Index, SizeWeight
from chiasm.estimators.arcs import Arcs, arcs, cost
from chiasm.estimators.base import Estimate
from chiasm.estimators.support import MOST_ENUMERATED, Purse, check_index, ends, missing, new_among

Floats = NDArray[np.float64]

#: seatings that a budget is spread over at least: fewer would use each value better (longer stretches of the circle
#: share more) but leave standard errors that are themselves mostly noise
_SEATINGS = 4
#: when a small game is asked again and again, nearly all values are remembered and a budget would never run out:
#: stop after this many values asked for, in units of the budget
_REPEATS = 4


class _Means:
    """Weighted means over independent samples, with standard errors; entry by entry.

    The error of Σy/Σc over samples (y: a sum over c observations) is that of a ratio, √(Σ(y − c·mean)²)/Σc·√(R/(R−1)),
    R the samples with c > 0. Sums are kept about the first observation, so that large constant values cost no digits.
    """

    def __init__(self, size: int) -> None:
        """Start without samples."""
        self._shift = np.zeros(size)
        self._c, self._y, self._cc, self._cy, self._yy = (np.zeros(size) for _ in range(5))
        self._samples = np.zeros(size, np.int64)

    def add(self, sums: Floats, counts: NDArray[np.integer[Any]]) -> None:
        """Take one sample: the sum of ``counts`` observations for each entry."""
        seen = counts > 0
        new = seen & (self._samples == 0)
        self._shift[new] = sums[new] / counts[new]
        y = sums - self._shift * counts
        self._c += counts
        self._y += y
        self._cc += counts * counts
        self._cy += counts * y
        self._yy += y * y
        self._samples += seen

    def mean(self) -> Floats:
        """Means; NaN without a sample."""
        with np.errstate(invalid="ignore"):
            return self._shift + self._y / self._c

    def error(self) -> Floats:
        """Standard errors of the means; NaN with fewer than two samples."""
        with np.errstate(invalid="ignore", divide="ignore"):
            about = self._y / self._c
            spread = self._yy - 2 * about * self._cy + about**2 * self._cc
            bessel = np.where(self._samples > 1, self._samples / (self._samples - 1.0), np.nan)
            return np.asarray(np.sqrt(np.maximum(spread, 0.0) * bessel) / self._c, np.float64)


def _importance(weight: SizeWeight, others: int) -> Floats:
    """Weight of a size under an index, relative to a uniform size and a uniform coalition of that size."""
    return np.array([weight(s, others) * comb(others, s) * (others + 1) for s in range(others + 1)], np.float64)


def _only_empty(weight: SizeWeight, others: int) -> bool:
    return not any(weight(s, others) for s in range(1, others + 1))


@dataclass
class Permutation:
    """Random orders, in families that share values.

    Unbiased for SII (uniform weights); for the other indices each difference is weighted by its size. STII's single
    values and all of Moebius are differences at the empty coalition: they are computed, not sampled. FSII's single
    values are no average of marginal contributions, so it is refused.

    Exact by construction: single SII values sum to v(N) − v(∅), and a player that never changes a value gets 0.
    A pair has NaN until it is met, and NaN for its error until it is met in two seatings; n players need about
    n²/2 values to meet every pair once. A seating of the whole circle takes n(n−1) values. From fewer than about ten
    seatings the errors are themselves uncertain: they are right in the mean of their squares, but the truth lies more
    than two errors away in some 8 % (six seatings) to 14 % (four) of the cases instead of 5 %.

    Attributes:
        name: ``"permutation"``.
        indices: see above.
    """

    name: str = "permutation"
    indices: tuple[str, ...] = ("SII", "BII", "WBII", "STII", "Moebius")

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield after every step of about ``game.values_per_call`` values.

        Raises:
            InvalidInput: FSII.
            BudgetTooSmall: fewer new values than one order with all its differences needs.
        """
        check_index(self, index, "Its single values come from a regression, not from marginal contributions.")
        n = game.n
        if _only_empty(index.pair, n):
            return self._at_empty(game, budget)
        return self._sample(game, index, budget, seed, self._prepare(game, index, budget))

    def _prepare(self, game: Game, index: Index, budget: int) -> Coalitions:
        """What is evaluated before any order: the two ends, and single players where their values are computed."""
        n = game.n
        first = ends(n)
        if n > 1 and index.single is not None and _only_empty(index.single, n - 1):
            first = np.concatenate([first, np.eye(n, dtype=bool)])
        needed = new_among(game, first) + (cost(n, min(2, n)) if n > 1 else 0)
        if budget < needed and not _all_allowed(game, budget):
            raise BudgetTooSmall(
                f"The estimator 'permutation' needs at least {needed} new values of the game for {index.name} of "
                f"{n} players; the budget allows {budget}."
            )
        return first

    def _sample(self, game: Game, index: Index, budget: int, seed: int, first: Coalitions) -> Iterator[Estimate]:
        n, purse, rng = game.n, Purse(game, budget), np.random.default_rng(seed)
        free = _all_allowed(game, budget)  # then seatings cost nothing in the end, and only the number of them is bound
        bottom, top, *alone = game(first)
        if n == 1:
            single = np.array([top - bottom])
            yield Estimate(single, np.zeros((1, 1)), np.zeros(1), np.zeros((1, 1)))
            return
        sums = _Sums(n, index, None if not alone else np.array(alone) - bottom)
        most_asked = game.counts.requested + _REPEATS * budget
        stretch = 2 * n if free else _stretch(n, purse.left)
        while game.counts.requested < most_asked and (h := stretch if free else _affordable(n, stretch, purse.left)):
            room = game.values_per_call if free else min(game.values_per_call, purse.left)
            together = max(1, room // cost(n, h))
            seatings = [(arcs(n, h, int(rng.integers(2))), rng.permutation(n)) for _ in range(together)]
            values = game(np.concatenate([design.seats[:, np.argsort(who)] for design, who in seatings]))
            start = 0
            for design, who in seatings:
                stop = start + len(design.seats)
                sums.add(design, who, values[start:stop])
                start = stop
            yield sums.estimate()

    def _at_empty(self, game: Game, budget: int) -> Iterator[Estimate]:
        """Moebius: nothing to sample. Pairs beyond the budget stay NaN."""
        n, purse = game.n, Purse(game, budget)
        first = np.concatenate([np.zeros((1, n), bool), np.eye(n, dtype=bool)])
        needed = new_among(game, first)
        if budget < needed:
            raise BudgetTooSmall(f"Möbius coefficients of {n} players need {needed} new values; {budget} are allowed.")
        return self._pairs_at_empty(game, purse, first)

    @staticmethod
    def _pairs_at_empty(game: Game, purse: Purse, first: Coalitions) -> Iterator[Estimate]:
        n = game.n
        bottom, *alone = game(first)
        single = np.array(alone) - bottom
        pair = np.full((n, n), np.nan)
        np.fill_diagonal(pair, 0.0)
        i, j = np.triu_indices(n, 1)
        eye = np.eye(n, dtype=bool)
        done = 0
        while True:
            yield Estimate(single, pair.copy(), np.zeros(n), np.where(np.isnan(pair), np.nan, 0.0))
            if not (step := min(game.values_per_call, purse.left, len(i) - done)):
                return
            a, b = i[done : done + step], j[done : done + step]
            pair[a, b] = pair[b, a] = game(eye[a] | eye[b]) - single[a] - single[b] - bottom
            done += step


def _all_allowed(game: Game, budget: int) -> bool:
    """Whether the budget reaches for all 2^n values."""
    if game.n > MOST_ENUMERATED or (1 << game.n) > budget + game.counts.computed:
        return False
    return missing(game) <= budget


def _stretch(n: int, left: int) -> int:
    """How much of a circle each seating evaluates: all of it, or as much as leaves `_SEATINGS` seatings."""
    if left >= _SEATINGS * cost(n, 2 * n):
        return 2 * n
    half_sets = 2 * left // (n - 1)
    return int(min(n, max(min(2, n), half_sets // _SEATINGS - 2)))


def _affordable(n: int, stretch: int, left: int) -> int:
    """The largest stretch up to the wanted one that surely fits; 0 where none does.

    Whether its values happen to be remembered plays no part: that would favour seatings that repeat what was seen.
    """
    sizes = [2 * n] if stretch == 2 * n else []
    return next((h for h in [*sizes, *range(min(stretch, n), 0, -1)] if cost(n, h) <= left), 0)


class _Sums:
    """Sums over seatings for single players and pairs.

    Args:
        n: number of players, at least 2.
        index: the quantity wanted.
        alone: single values where they are computed; ``None`` where they are sampled.
    """

    def __init__(self, n: int, index: Index, alone: Floats | None) -> None:
        """Start without samples."""
        self._n, self._alone = n, alone
        self._single_weight = _importance(index.single, n - 1) if index.single is not None else np.zeros(n)
        self._pair_weight = _importance(index.pair, n - 2)
        if index.efficient:  # the weights are 1 up to rounding, which efficiency need not suffer
            self._single_weight[:] = self._pair_weight[:] = 1.0
        self._single, self._pair = _Means(n), _Means(n * n)

    def add(self, design: Arcs, who: NDArray[np.int64], values: Floats) -> None:
        """Take one seating: the player on each seat and the values of the design's coalitions."""
        n = self._n
        if self._alone is None:
            gains = (values[design.with_] - values[design.without]) * self._single_weight[design.size]
            sums = np.bincount(who[design.seat], gains, n).astype(np.float64)
            self._single.add(sums, np.full(n, design.orders))
        both, one, other, none = values[design.corners]
        differences = (both - one - other + none) * self._pair_weight[design.pair_size]
        a, b = who[design.pair_seats]
        cell = np.minimum(a, b) * n + np.maximum(a, b)
        sums = np.bincount(cell, differences, n * n).astype(np.float64)
        self._pair.add(sums, np.bincount(cell, minlength=n * n))

    def estimate(self) -> Estimate:
        """Means and errors so far."""
        single, error = self._alone, np.zeros(self._n)
        if single is None:
            single, error = self._single.mean(), self._single.error()
        return Estimate(single, self._square(self._pair.mean()), error, self._square(self._pair.error()))

    def _square(self, upper: Floats) -> Floats:
        """Symmetric matrix with a zero diagonal from entries above the diagonal."""
        square = upper.reshape(self._n, self._n)
        above = np.triu(np.ones((self._n, self._n), bool), 1)
        full = np.where(above, square, 0.0)
        return np.where(above | above.T, full + full.T, 0.0)


#: the estimator ``"permutation"``
PERMUTATION = Permutation()
