"""Random orders of the players: unbiased, with standard errors, for single players and pairs.

The orders are drawn in families that share their values: players are seated in a circle at random and arcs of the
circle are evaluated (`chiasm.estimators.arcs` says why that is unbiased and what it saves). Each seating is one
independent sample; standard errors come from the spread between seatings (`chiasm.estimators.moderated`).

Sources: permutation sampling of Shapley values, Castro, Gómez & Tejada 2009; of interactions by players next to each
other in an order, Tsai, Yeh & Ravikumar 2023 and shapiq's ``PermutationSamplingSII``. The circle is Chiasm's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import lgamma, log, log1p

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import BudgetTooSmall
from chiasm.core.game import Game
from chiasm.core.indices import Index, SizeWeight, taylor, uniform
from chiasm.estimators.arcs import Arcs, arcs, cost
from chiasm.estimators.base import Estimate
from chiasm.estimators.moderated import Means
from chiasm.estimators.support import MOST_ENUMERATED, Purse, check_index, ends, family, missing, new_among

Floats = NDArray[np.float64]

#: seatings that a budget is spread over at least: fewer would use each value better (longer stretches of the circle
#: share more) but leave standard errors that are themselves mostly noise
_SEATINGS = 4
#: when a small game is asked again and again, nearly all values are remembered and a budget would never run out:
#: stop after this many values asked for, in units of the budget
_REPEATS = 4


def _importance(weight: SizeWeight, others: int, index: Index) -> Floats:
    """Weight of a size under an index, relative to a uniform size and a uniform coalition of that size.

    In logarithms: C(others, s) leaves the range of floats above about 1,000 players, and the weight of one coalition
    the range below. Where that weight is 0 for floats, it is that of a point mass p (Banzhaf), known by its name.
    """
    s = np.arange(others + 1)
    if weight is uniform:  # 1 up to rounding, which efficiency need not suffer
        return np.ones(others + 1)
    if weight is taylor:
        return 2 * (others - s + 1) / (others + 2.0)
    sets = np.array([lgamma(others + 1) - lgamma(k + 1) - lgamma(others - k + 1) for k in range(others + 1)])
    if family(index) in ("BII", "WBII"):
        p = weight(1, 1)
        one = s * log(p) + (others - s) * log1p(-p)
    else:
        with np.errstate(divide="ignore"):
            one = np.log([weight(k, others) for k in range(others + 1)])
    return np.asarray(np.exp(one + sets) * (others + 1), np.float64)


def _only_empty(weight: SizeWeight) -> bool:
    """Whether the index looks at the empty coalition alone: its measure of presence has the mean 0."""
    return weight(1, 1) == 0


@dataclass
class Permutation:
    """Random orders, in families that share values.

    Unbiased for SII (uniform weights); for the other indices each difference is weighted by its size. STII's single
    values and all of Moebius are differences at the empty coalition: they are computed, not sampled. FSII's single
    values are no average of marginal contributions, so it is refused.

    Exact by construction: single SII values sum to v(N) − v(∅), and a player that never changes a value gets 0.
    A pair has NaN until it is met; n players need about n²/2 values to meet every pair once. A seating of the whole
    circle takes n(n−1) values.

    Standard errors are moderated (`chiasm.estimators.moderated`, after Smyth 2004): each entry's variance between
    seatings is drawn towards the pooled one of its kind, the single values of a part or the pairs of two parts, and
    the error is widened as Student's t distribution asks, so that twice the error covers the truth in some 95 % of the
    entries of a game or a little more, from 1.2·n² values up (``test_two_errors_cover_the_truth_at_scarce_budgets``
    asserts 90 to 99 % for SII, up to 99.5 % for BII and STII). That holds over all entries: of the few strongest pairs,
    which vary more than the others, fewer are covered. A pair met in one seating only has its error from the pooled
    variance. Errors are NaN while too few pairs were met twice to pool, and all of them after a single seating. They
    are 0 only where no entry of the game ever varied, as in an additive game; a player or pair without influence has a
    small error, as few seatings cannot tell it from one whose influence is rare.

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
        if _only_empty(index.pair):
            return self._at_empty(game, budget)
        return self._sample(game, index, budget, seed, self._prepare(game, index, budget))

    def _prepare(self, game: Game, index: Index, budget: int) -> Coalitions:
        """What is evaluated before any order: the two ends, and single players where their values are computed."""
        n = game.n
        first = ends(n)
        if n > 1 and index.single is not None and _only_empty(index.single):
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
        part = np.repeat(np.arange(len(game.players.parts)), [len(p) for p in game.players.parts.values()])
        sums = _Sums(part, index, None if not alone else np.array(alone) - bottom)
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
        part: number of the part of each player; at least 2 players. Variances are pooled over the single values of a
            part and over the pairs of two parts.
        index: the quantity wanted.
        alone: single values where they are computed; ``None`` where they are sampled.
    """

    def __init__(self, part: NDArray[np.int64], index: Index, alone: Floats | None) -> None:
        """Start without samples."""
        n = self._n = len(part)
        self._alone = alone
        self._single_weight = _importance(index.single, n - 1, index) if index.single is not None else np.zeros(n)
        self._pair_weight = _importance(index.pair, n - 2, index)
        self._single, self._pair = Means(part), Means((part[:, None] * (part.max() + 1) + part).ravel())

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
