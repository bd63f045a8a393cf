"""Indices of the surrogate on a grid in closed form: posterior means and standard errors.

Under a node q of an index's measure the functionals of an index are products over parts: for a pair of players of two
parts, each part gives the covariance of its derivative with its masks; a part without a player at hand gives that of
its mean. With the factors c, d, u of `chiasm.estimators.gp_indices` these are, for one member of the kernel's mixture,

    mean: Π_l c_l,    derivative by i: [Π_l c_l] u_i,    by i and j: [Π_l c_l] u_i u_j.

The posterior variance of a functional Σ_q w_q ⊗_p f_pq is Σ_qq′ w_q w_q′ [Π_p κ_p(q, q′) − Π_p f_pqᵀ K_p⁻¹ f_pq′],
κ_p being its prior covariance.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.estimators.crossed_surrogate import SCALES, Grid, Side, along
from chiasm.estimators.gp_indices import Measure

Floats = NDArray[np.float64]

#: nodes at which standard errors are integrated
ERROR_NODES = 8
#: pairs within a part whose standard errors are computed at once
_PAIRS = 512


@dataclass(frozen=True, eq=False)
class Functionals:
    """Covariances of one part's functionals with its masks at some nodes.

    Attributes:
        products: ``float64[Q, 4, m]``, a_k Π_l c_l.
        u: ``float64[Q, 4, m, n]``.
        constant: the kernel's constant, which the mean has and the derivatives have not.
    """

    products: Floats
    u: Floats
    constant: float

    @classmethod
    def of(cls, side: Side, masks: Floats, q: Floats) -> Functionals:
        """Tables for masks given as 0/1 floats ``[m, n]``."""
        differ = np.exp(-SCALES[:, None] * side.theta)[None]  # [1, k, n]
        q = q[:, None, None]
        c_in, c_out = q + (1 - q) * differ, q * differ + (1 - q)
        log_out, log_gain = np.log(c_out), np.log(c_in) - np.log(c_out)
        products = np.exp(log_out.sum(2)[..., None] + log_gain @ masks.T) * side.amplitude[1:, None]
        u_in, u_out = (1 - differ) / c_in, (differ - 1) / c_out
        u = u_out[:, :, None, :] + masks * (u_in - u_out)[:, :, None, :]
        return cls(products, u, float(side.amplitude[0]))

    def mean(self) -> Floats:
        """``float64[Q, m]``."""
        return np.asarray(self.constant + self.products.sum(1), np.float64)

    def single(self) -> Floats:
        """``float64[Q, m, n]``."""
        return np.asarray((self.products[..., None] * self.u).sum(1), np.float64)

    def pairs(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> Floats:
        """``float64[Q, m, pairs]``."""
        found = np.zeros((*self.products.shape[::2], len(i)))
        for k in range(len(SCALES)):
            found += self.products[:, k, :, None] * self.u[:, k][..., i] * self.u[:, k][..., j]
        return found

    def paired_mean(self, weights: Floats) -> Floats:
        """Σ_q Σ_b weights_qb [pairs of mask b at node q], ``float64[n, n]``, the diagonal without meaning."""
        p = self.products * weights[:, None, :]
        flat = self.u.reshape(-1, self.u.shape[-1])
        return np.asarray((flat * p.ravel()[:, None]).T @ flat, np.float64)


@dataclass(frozen=True, eq=False)
class Priors:
    """Prior covariances of one part's functionals between nodes: the same functional at q and at q′.

    Attributes:
        products: ``float64[Q, Q, 4]``, a_k Π_l F_l.
        ratio: ``float64[Q, Q, 4, n]``, D_l / F_l.
        constant: the kernel's constant.
    """

    products: Floats
    ratio: Floats
    constant: float

    @classmethod
    def of(cls, side: Side, q: Floats) -> Priors:
        """Tables for nodes."""
        e = np.exp(-SCALES[:, None] * side.theta)
        a, b = q[:, None, None, None], q[None, :, None, None]
        f = a * b + (1 - a) * (1 - b) + e * (a * (1 - b) + (1 - a) * b)
        return cls(np.exp(np.log(f).sum(3)) * side.amplitude[1:], 2 * (1 - e) / f, float(side.amplitude[0]))

    def mean(self) -> Floats:
        """``float64[Q, Q]``."""
        return np.asarray(self.constant + self.products.sum(2), np.float64)

    def single(self) -> Floats:
        """``float64[Q, Q, n]``."""
        return np.asarray((self.products[..., None] * self.ratio).sum(2), np.float64)

    def pairs(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> Floats:
        """``float64[Q, Q, pairs]``."""
        return np.asarray((self.products[..., None] * self.ratio[..., i] * self.ratio[..., j]).sum(2), np.float64)


def means(grid: Grid, one: Measure, two: Measure) -> tuple[Floats, Floats]:
    """Posterior means of single players ``float64[n]`` and pairs ``float64[n, n]``, the parts side by side.

    Args:
        grid: the surrogate.
        one: the index's measure for single players.
        two: its measure for pairs.
    """
    n = sum(masks.shape[1] for masks in grid.masks)
    slices = _slices(grid)
    single, pair = np.zeros(n), np.zeros((n, n))
    parts = range(len(slices))
    found = [Functionals.of(side, masks, one.q) for side, masks in zip(grid.sides, grid.masks, strict=True)]
    averages = [f.mean() for f in found]
    for p in parts:
        left = _contracted(grid.alpha, averages, [p])  # [Q, m_p]
        single[slices[p]] = np.einsum("q,qb,qbi->i", one.w, left, found[p].single())
    found = [Functionals.of(side, masks, two.q) for side, masks in zip(grid.sides, grid.masks, strict=True)]
    averages, singles = [f.mean() for f in found], [f.single() for f in found]
    for p in parts:
        left = _contracted(grid.alpha, averages, [p])
        pair[slices[p], slices[p]] = found[p].paired_mean(left * two.w[:, None])
    for a, b in itertools.combinations(parts, 2):
        table = _contracted(grid.alpha, averages, [a, b])  # [Q, m_a, m_b]
        block = sum(w * (x.T @ t @ y) for w, x, t, y in zip(two.w, singles[a], table, singles[b], strict=True))
        pair[slices[a], slices[b]], pair[slices[b], slices[a]] = block, np.transpose(block)
    np.fill_diagonal(pair, 0.0)
    return single * grid.scale, (pair + pair.T) / 2 * grid.scale


def _contracted(alpha: Floats, averages: Sequence[Floats], kept: Sequence[int]) -> Floats:
    """The weights of the grid summed over all parts but some with their means, ``float64[Q, masks of those parts]``."""
    found = []
    for q in range(len(averages[0])):
        rows = [None if p in kept else averages[p][q][None] for p in range(alpha.ndim)]
        found.append(along(alpha, rows).reshape([alpha.shape[p] for p in kept]))
    return np.stack(found)


def _slices(grid: Grid) -> list[slice]:
    borders = np.cumsum([0, *(masks.shape[1] for masks in grid.masks)])
    return [slice(int(a), int(b)) for a, b in itertools.pairwise(borders)]


def errors(grid: Grid, one: Measure, two: Measure) -> tuple[Floats, Floats]:
    """Posterior standard deviations of single players ``float64[n]`` and pairs ``float64[n, n]``.

    Args:
        grid: the surrogate.
        one: the index's measure for single players, of few nodes: the time grows with their square.
        two: its measure for pairs, likewise.
    """
    slices = _slices(grid)
    n = slices[-1].stop
    single, pair = np.zeros(n), np.zeros((n, n))
    known = [_Known.of(grid, p, one.q) for p in range(len(slices))]
    for p, where in enumerate(slices):
        prior, found = _product([k.mean for k in known], [p])
        own = known[p].single
        single[where] = _integral(one, prior[..., None] * own[0] - found[..., None] * own[1])
    known = [_Known.of(grid, p, two.q) for p in range(len(slices))]
    for p, where in enumerate(slices):
        prior, found = _product([k.mean for k in known], [p])
        i, j = np.triu_indices(where.stop - where.start, 1)
        for at in range(0, len(i), _PAIRS):
            some = slice(at, at + _PAIRS)
            own = known[p].pairs(i[some], j[some])
            spread = _integral(two, prior[..., None] * own[0] - found[..., None] * own[1])
            a, b = where.start + i[some], where.start + j[some]
            pair[a, b] = pair[b, a] = spread
    for a, b in itertools.combinations(range(len(slices)), 2):
        prior, found = _product([k.mean for k in known], [a, b])
        (wide_a, seen_a), (wide_b, seen_b) = known[a].single, known[b].single
        weights = np.outer(two.w, two.w)
        block = np.einsum("qr,qri,qrj->ij", weights * prior, wide_a, wide_b, optimize=True)
        block -= np.einsum("qr,qri,qrj->ij", weights * found, seen_a, seen_b, optimize=True)
        pair[slices[a], slices[b]], pair[slices[b], slices[a]] = block, block.T
    return grid.scale * np.sqrt(np.maximum(single, 0.0)), grid.scale * np.sqrt(np.maximum(pair, 0.0))


def _integral(measure: Measure, between: Floats) -> Floats:
    return np.asarray(np.einsum("q,r,qri->i", measure.w, measure.w, between, optimize=True), np.float64)


def _product(means_of: Sequence[tuple[Floats, Floats]], left_out: Sequence[int]) -> tuple[Floats, Floats]:
    """Products over all parts but some of the means' covariances, prior and explained, ``float64[Q, Q]``."""
    prior, found = np.ones_like(means_of[0][0]), np.ones_like(means_of[0][0])
    for p, (wide, seen) in enumerate(means_of):
        if p not in left_out:
            prior, found = prior * wide, found * seen
    return prior, found


@dataclass(frozen=True, eq=False)
class _Known:
    """Prior and explained covariances between nodes of one part's functionals.

    Attributes:
        mean: ``float64[Q, Q]`` twice.
        single: ``float64[Q, Q, n]`` twice.
    """

    mean: tuple[Floats, Floats]
    single: tuple[Floats, Floats]
    priors: Priors
    functionals: Functionals
    inverse: Floats

    @classmethod
    def of(cls, grid: Grid, p: int, q: Floats) -> _Known:
        inverse = grid.inverses[p]
        priors = Priors.of(grid.sides[p], q)
        functionals = Functionals.of(grid.sides[p], grid.masks[p], q)
        mean = functionals.mean()
        single = functionals.single()
        return cls(
            (priors.mean(), mean @ inverse @ mean.T),
            (priors.single(), _explained(single, inverse)),
            priors,
            functionals,
            inverse,
        )

    def pairs(self, i: NDArray[np.intp], j: NDArray[np.intp]) -> tuple[Floats, Floats]:
        """``float64[Q, Q, pairs]`` twice."""
        return self.priors.pairs(i, j), _explained(self.functionals.pairs(i, j), self.inverse)


def _explained(columns: Floats, inverse: Floats) -> Floats:
    """fᵀ K⁻¹ f′ for the same functional at two nodes, from ``float64[Q, m, k]`` to ``float64[Q, Q, k]``."""
    solved = np.matmul(inverse, columns)
    return np.asarray(np.einsum("qbi,rbi->qri", columns, solved, optimize=True), np.float64)
