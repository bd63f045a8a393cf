"""FIxLIP: weighted Banzhaf interactions across parts, by weighted least squares.

The game is approximated by v̂(S) = β + Σ_i b_i (s_i − p) + Σ_ij b_ij (s_i − p)(s_j − p), with a term for each pair of
players of different parts, so that Σ_S p^|S| (1−p)^(n−|S|) (v(S) − v̂(S))² is least (Baniecki et al. 2025, "Explaining
Similarity in Vision-Language Encoders with Weighted Banzhaf Interactions"). The centred terms are orthogonal under that
weight, so that over all 2^n coalitions b_i and b_ij ARE the weighted Banzhaf value and interaction index of any game
(Hammer & Holzman 1992 for p = ½), whichever other pairs are left out. In FIxLIP's own form, with terms s_i and s_i s_j,
the pairs are the same and its single values are b_i − p Σ_j b_ij.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import BudgetTooSmall
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.base import Estimate
from chiasm.estimators.derivatives import Ints, across_parts
from chiasm.estimators.masks import Sample, take
from chiasm.estimators.support import MOST_ENUMERATED, check_index, ends, missing

Floats = NDArray[np.float64]

#: shares of the budget after which there is an estimate, and values for each unknown that it must have by then
_STAGES, _WORTH = (0.25, 0.5, 0.75), 1.5
#: with a cell cheaper than this share of an encoding, masks are crossed
_CHEAP = 0.05
#: smallest diagonal entry of the regression's triangle, relative to the largest
_SINGULAR = 1e-9


@dataclass
class FixLip:
    """Weighted least squares on single players and pairs across parts.

    Coalitions are drawn with each player present with probability p; each is evaluated once and weighted by how likely
    it was to be drawn at all (`chiasm.estimators.masks`), so that with all 2^n values the index is exact. Games of
    Möbius order 2 whose pairs are all across parts are exact as soon as there are more values than unknowns; with fewer
    than about twice as many, any other game is estimated badly. Pairs within a part have no value (NaN), unless one
    part has all the players.

    **Crossed masks.** Where a value is next to free once its parts are encoded (`Game.costs`), and there are two parts,
    the masks of one part are combined with all masks of the other: B values for about 2√B encodings of a part. Rows
    share their masks, so that a value tells less; but what depends on one part alone drops out of the pairs wholly.

    Standard errors: heteroscedasticity-robust with leverage correction (HC3), by masks of each part where they are
    crossed (two-way clustered), for sampling without replacement: 0 once all values are known. NaN where a value is
    fitted exactly. Where nearly all masks of one part are drawn and crossed, they are a little narrow.

    Attributes:
        name: ``"fixlip"``.
        indices: BII and WBII.
        crossed: whether masks are crossed; by default as the game's costs suggest.
    """

    name: str = "fixlip"
    indices: tuple[str, ...] = ("BII", "WBII")
    crossed: bool | None = None

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield at the budget's end, and after each quarter of it that is 1.5 values for each unknown.

        Raises:
            InvalidInput: another index than BII and WBII.
            BudgetTooSmall: fewer values than unknowns, 1 + players + pairs across parts, or values that do not tell
                the unknowns apart.
        """
        check_index(self, index)
        n = game.n
        p = float(index.name.partition(":")[2] or 0.5)
        if n == 1:
            return _alone(game)
        pairs = across_parts(game.players)
        unknowns = 1 + n + len(pairs)
        everything = n <= MOST_ENUMERATED and missing(game) <= budget
        if budget < unknowns and not everything:
            raise BudgetTooSmall(
                f"The estimator 'fixlip' needs at least {unknowns} values of the game for {index.name} of {n} players, "
                f"one for each unknown of its regression; the budget allows {budget}."
            )
        rng = np.random.default_rng([seed, n])
        sides = _sides(game)
        crossed = _cheap_by_part(game) if self.crossed is None else self.crossed
        if crossed and len(sides) == 2:
            return _crossed(game, p, 1 << n if everything else budget, sides, rng)
        return _scattered(game, p, budget, pairs, rng)


def _alone(game: Game) -> Iterator[Estimate]:
    """One player: v(1) − v(∅)."""
    bottom, top = game(ends(1))
    yield Estimate(np.array([top - bottom]), np.zeros((1, 1)), np.zeros(1), np.zeros((1, 1)))


def _sides(game: Game) -> list[slice]:
    """Where the players of each part are, without empty parts."""
    return [where for where in game.players.slices.values() if where.stop > where.start]


def _cheap_by_part(game: Game) -> bool:
    """Whether values cost next to nothing beside the encodings of the parts."""
    encode = [game.costs.encode.get(name, 0.0) for name, part in game.players.parts.items() if len(part)]
    return min(encode) > 0 and game.costs.cell <= _CHEAP * sum(encode)


@dataclass(frozen=True, eq=False)
class _Fit:
    """A weighted regression, ready for any values.

    Attributes:
        terms: ``float64[m, u]``.
        solve: ``float64[u, m]``, values → coefficients.
        leverage: of each row on its own fitted value, ``float64[m]``.
        missed: chance that the row is not in the sample, ``float64[m]``.
    """

    terms: Floats
    solve: Floats
    leverage: Floats
    missed: Floats

    @classmethod
    def of(cls, terms: Floats, sample: Sample) -> _Fit | None:
        """``None`` where the rows do not tell the terms apart."""
        from scipy.linalg import solve_triangular

        weight, missed = sample.weights()
        root = np.sqrt(weight)
        q, r = np.linalg.qr(terms * root[:, None])
        diagonal = np.abs(np.diagonal(r))
        if len(terms) < terms.shape[1] or diagonal.min() < _SINGULAR * diagonal.max():
            return None
        return cls(terms, solve_triangular(r, q.T * root), np.sum(q * q, axis=1), missed)

    def inflation(self) -> Floats:
        """(1 − π)/(1 − leverage)²: how much each row's squared residual counts in a variance; NaN where that is 0/0."""
        left = 1 - self.leverage
        with np.errstate(invalid="ignore", divide="ignore"):
            factor = np.where(left > _SINGULAR, self.missed / left**2, np.nan)
        return np.asarray(np.where(self.missed > 0, factor, 0.0), np.float64)


def _scattered(game: Game, p: float, budget: int, pairs: Ints, rng: np.random.Generator) -> Iterator[Estimate]:
    sample = take(game.n, p, budget, rng, game.known)
    unknowns = 1 + game.n + len(pairs)
    fitted = False
    for count in [*(int(share * len(sample)) for share in _STAGES), len(sample)]:
        if count < _WORTH * unknowns and count < len(sample):
            continue
        part = sample.first(count)
        values = game(part.coalitions)
        fit = _Fit.of(_terms(part.coalitions, p, pairs), part)
        if fit is not None:
            fitted = True
            yield _read(fit, values, pairs, game.n)
    if not fitted:
        raise _singular(len(sample), unknowns)


def _terms(coalitions: Coalitions, p: float, pairs: Ints) -> Floats:
    """1, s_i − p, and their products for pairs, ``float64[m, 1 + n + pairs]``."""
    x = coalitions - p
    i, j = pairs.T
    return np.concatenate([np.ones((len(x), 1)), x, x[:, i] * x[:, j]], axis=1)


def _read(fit: _Fit, values: Floats, pairs: Ints, n: int) -> Estimate:
    about = values.mean()
    found = fit.solve @ (values - about)
    left = values - about - fit.terms @ found
    error = np.sqrt(fit.solve**2 @ (fit.inflation() * left**2))
    return Estimate(
        found[1 : n + 1], _square(found[n + 1 :], pairs, n), error[1 : n + 1], _square(error[n + 1 :], pairs, n)
    )


def _square(values: Floats, pairs: Ints, n: int) -> Floats:
    """Symmetric matrix with a zero diagonal; NaN for pairs without a term."""
    i, j = pairs.T
    square = np.full((n, n), np.nan)
    np.fill_diagonal(square, 0.0)
    square[i, j] = square[j, i] = values
    return square


def _singular(count: int, unknowns: int) -> BudgetTooSmall:
    return BudgetTooSmall(
        f"The {count} values that were drawn do not tell the {unknowns} unknowns of 'fixlip' apart; raise the budget "
        f"(with p near 0 or 1 many more values are needed)."
    )


def _crossed(game: Game, p: float, budget: int, sides: list[slice], rng: np.random.Generator) -> Iterator[Estimate]:
    """A grid of masks; the regression on it is the product of one regression for each part."""
    sizes = [where.stop - where.start for where in sides]
    samples = [take(n, p, count, rng) for n, count in zip(sizes, _grid(budget, sizes), strict=True)]
    unknowns = (sizes[0] + 1) * (sizes[1] + 1)
    fitted = False
    for share in (*_STAGES, 1.0):
        if share * budget < _WORTH * unknowns and share < 1:
            continue
        grid = zip(samples, _grid(int(share * budget), sizes), strict=True)
        rows, columns = (sample.first(count) for sample, count in grid)
        values = game(_cells(game.n, sides, rows.coalitions, columns.coalitions)).reshape(len(rows), len(columns))
        fits = [_Fit.of(np.insert(part.coalitions - p, 0, 1.0, axis=1), part) for part in (rows, columns)]
        if fits[0] is not None and fits[1] is not None:
            fitted = True
            yield _read_grid(fits[0], fits[1], values, sides, game.n)
    if not fitted:
        raise _singular(len(samples[0]) * len(samples[1]), unknowns)


def _grid(budget: int, sizes: list[int]) -> tuple[int, int]:
    """Masks of each part, their product within the budget: as many for each unknown of either part, if there are."""
    (least_0, least_1), (most_0, most_1) = (n + 1 for n in sizes), (1 << n for n in sizes)
    first = min(max(isqrt(budget * least_0 // least_1), least_0), most_0, budget // least_1)
    second = min(budget // first, most_1)
    return min(budget // second, most_0), second


def _cells(n: int, sides: list[slice], rows: Coalitions, columns: Coalitions) -> Coalitions:
    """Every row's mask with every column's, ``bool[rows·columns, n]``."""
    cells = np.zeros((len(rows), len(columns), n), bool)
    cells[:, :, sides[0]] = rows[:, None]
    cells[:, :, sides[1]] = columns[None]
    return cells.reshape(-1, n)


def _read_grid(rows: _Fit, columns: _Fit, values: Floats, sides: list[slice], n: int) -> Estimate:
    """Coefficients of the product of both parts' terms, with two-way clustered variances."""
    about = values.mean()
    found = rows.solve @ (values - about) @ columns.solve.T
    left = values - about - rows.terms @ found @ columns.terms.T
    by_row = rows.solve**2 @ (rows.inflation()[:, None] * (left @ columns.solve.T) ** 2)
    by_column = ((rows.solve @ left) ** 2 * columns.inflation()) @ columns.solve.T**2
    cell = rows.inflation()[:, None] * left**2 * columns.inflation()
    twice = rows.solve**2 @ cell @ columns.solve.T**2
    variance = np.maximum(by_row + by_column - twice, np.maximum(by_row, by_column))
    single, pair = np.zeros((2, n)), np.full((2, n, n), np.nan)
    for k, grid in enumerate((found, np.sqrt(variance))):
        single[k, sides[0]], single[k, sides[1]] = grid[1:, 0], grid[0, 1:]
        pair[k, sides[0], sides[1]] = grid[1:, 1:]
        pair[k, sides[1], sides[0]] = grid[1:, 1:].T
        np.fill_diagonal(pair[k], 0.0)
    return Estimate(single[0], pair[0], single[1], pair[1])


#: the estimator ``"fixlip"``
FIXLIP = FixLip()
