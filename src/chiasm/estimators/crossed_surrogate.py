"""A Gaussian-process surrogate of a game whose values lie on a grid: each mask of a part with each of the others.

The covariance is a product over parts, K((s, t), (s′, t′)) = Π_p K_p, so that on a grid its inverse is the Kronecker
product of the parts' inverses: solving takes O(Σ m_p³) for Π m_p values. Each part's kernel is

    K_p(s, s′) = a_0 + Σ_k a_k exp(−c_k Σ_i θ_i [s_i ≠ s′_i]) + σ² [s = s′],

the kernel of `chiasm.estimators.gp_kernel` with a constant, which makes the product an ANOVA: what one part does by
itself is told from what both do. An index ∫ E[Δ_ij] dμ(q) stays a product over parts under each node of its measure, so
that it has the closed forms of `chiasm.estimators.gp_indices` part by part.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: c_k
SCALES = np.array([0.1, 0.3, 1.0, 3.0])
_JITTER = 1e-8
#: weights of θ and of the squares of log a in the negative log prior
_PRIOR_THETA, _PRIOR_AMPLITUDE = 1.0, 0.05
_BOUNDS_ROOT, _BOUNDS_AMPLITUDE, _BOUNDS_NOISE = (0.02, 3.5), (-12.0, 6.0), (-16.0, 1.0)
_START_THETA, _START_NOISE = 0.1, -7.0
_FAR = 1e12


@dataclass(frozen=True, eq=False)
class Side:
    """Hyperparameters of the covariance of one part.

    Attributes:
        theta: ``float64[n]``.
        amplitude: ``float64[5]``, of the constant and of the mixture.
        noise: what is added to the diagonal.
    """

    theta: Floats
    amplitude: Floats
    noise: float

    @classmethod
    def unpack(cls, x: Floats) -> Side:
        """From √θ, log a, log σ²."""
        n = len(x) - 6
        return cls(x[:n] ** 2, np.exp(x[n:-1]), float(np.exp(x[-1])) + _JITTER)

    def mixture(self, a: Floats, b: Floats) -> Floats:
        """exp(−c_k H), ``float64[4, p, q]``, of masks given as 0/1 floats."""
        weighted = a * self.theta
        distance = np.maximum((a @ self.theta)[:, None] + b @ self.theta - 2 * (weighted @ b.T), 0.0)
        return np.asarray(np.exp(-SCALES[:, None, None] * distance), np.float64)

    def covariance(self, a: Floats, b: Floats) -> Floats:
        """Covariances without noise, ``float64[p, q]``."""
        return np.asarray(self.amplitude[0] + np.tensordot(self.amplitude[1:], self.mixture(a, b), 1), np.float64)

    def variance(self) -> float:
        """Variance of every value, the noise included."""
        return float(self.amplitude.sum()) + self.noise


def start(n: int) -> Floats:
    """Packed hyperparameters of a part of n players, before anything is known."""
    return np.concatenate([np.full(n, np.sqrt(_START_THETA)), np.zeros(1 + len(SCALES)), [_START_NOISE]])


def fit(x: Sequence[Floats], masks: Sequence[Floats], z: Floats, steps: int) -> list[Floats]:
    """Hyperparameters of largest posterior density near a start, by L-BFGS-B.

    Args:
        x: where to set out, packed, for each part.
        masks: 0/1 floats ``[m_p, n_p]`` for each part.
        z: standardised values, ``float64[m_1, …, m_P]``.
        steps: at most this many.
    """
    borders = np.cumsum([len(one) for one in x])[:-1]
    bounds = []
    for one in x:
        bounds += [_BOUNDS_ROOT] * (len(one) - 6) + [_BOUNDS_AMPLITUDE] * 5 + [_BOUNDS_NOISE]
    target: Callable[..., Any] = objective
    found = scipy.optimize.minimize(
        target,
        np.concatenate(x),
        args=(borders, masks, z),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": steps, "maxfun": 2 * steps, "maxcor": 12, "ftol": 1e-6},
    )
    return np.split(np.asarray(found.x, np.float64), borders)


def objective(x: Floats, borders: NDArray[np.intp], masks: Sequence[Floats], z: Floats) -> tuple[float, Floats]:
    """Negative log posterior of packed hyperparameters of all parts, up to a constant, and its gradient.

    With K = ⊗ K_p and M = Π m_p: −log p = ½ Σ_p (M/m_p) log |K_p| + ½ zᵀK⁻¹z. Its derivative by K_p is
    ½ (M/m_p) K_p⁻¹ − ½ A Bᵀ, with A = K⁻¹z and B = K_p⁻¹z (K_p⁻¹ along its own axis alone), unfolded along part p.
    """
    pieces = np.split(x, borders)
    sides = [Side.unpack(piece) for piece in pieces]
    tables = [side.mixture(own, own) for side, own in zip(sides, masks, strict=True)]
    inverses, value = [], 0.0
    for side, table in zip(sides, tables, strict=True):
        covariance = side.amplitude[0] + np.tensordot(side.amplitude[1:], table, 1)
        covariance.flat[:: len(covariance) + 1] += side.noise
        try:
            factor = scipy.linalg.cholesky(covariance, lower=True, check_finite=False)
        except np.linalg.LinAlgError:  # a line search went too far: it turns back from here
            return _FAR, np.zeros_like(x)
        value += z.size / len(covariance) * float(np.log(np.diagonal(factor)).sum())
        inverse = scipy.linalg.lapack.dpotri(factor, lower=1)[0]
        inverses.append(inverse + np.tril(inverse, -1).T)
    alpha = along(z, inverses)
    value += 0.5 * float((alpha * z).sum())
    gradient = []
    for p, (piece, side, table) in enumerate(zip(pieces, sides, tables, strict=True)):
        m = len(masks[p])
        beside = along(z, [inverse if k == p else None for k, inverse in enumerate(inverses)])
        a, b = (np.moveaxis(each, p, 0).reshape(m, -1) for each in (alpha, beside))
        g = 0.5 * (z.size / len(a) * inverses[p] - a @ b.T)
        gradient.append(_by_parameters(g, piece, side, masks[p], table))
        value += _PRIOR_THETA * float(side.theta.sum()) + _PRIOR_AMPLITUDE * float((piece[-6:-1] ** 2).sum())
    return value, np.concatenate(gradient)


def _by_parameters(g: Floats, piece: Floats, side: Side, masks: Floats, table: Floats) -> Floats:
    """The gradient by √θ, log a and log σ² from the gradient by the covariance, priors included."""
    d_amplitude = side.amplitude * np.concatenate([[g.sum()], np.tensordot(table, g, 2)])
    h = g * np.tensordot(SCALES * side.amplitude[1:], table, 1)
    h = (h + h.T) / 2
    differing = 2 * (masks.T @ h.sum(0)) - 2 * (masks * (h @ masks)).sum(0)
    root = piece[: len(side.theta)]
    return np.concatenate(
        [
            -2 * root * differing + 2 * _PRIOR_THETA * root,
            d_amplitude + 2 * _PRIOR_AMPLITUDE * piece[-6:-1],
            [(side.noise - _JITTER) * np.trace(g)],
        ]
    )


def along(z: Floats, matrices: Sequence[Floats | None]) -> Floats:
    """A table with a matrix applied along each axis (``None``: left as it is)."""
    for p, matrix in enumerate(matrices):
        if matrix is not None:
            z = np.moveaxis(np.tensordot(matrix, z, (1, p)), 0, p)
    return z


class Grid:
    """The surrogate given all values of a grid.

    Args:
        sides: hyperparameters of each part.
        masks: 0/1 floats ``[m_p, n_p]`` of each part, distinct rows.
        values: ``float64[m_1, …, m_P]``.
    """

    def __init__(self, sides: Sequence[Side], masks: Sequence[Floats], values: Floats) -> None:
        """Invert the parts' covariances."""
        self.sides, self.masks = list(sides), list(masks)
        self.shift, self.scale, z = standardise(values)
        self.inverses: list[Floats] = []
        for side, own in zip(sides, masks, strict=True):
            covariance = side.covariance(own, own)
            covariance.flat[:: len(own) + 1] += side.noise
            self.inverses.append(_inverse(covariance))
        self.alpha = along(z, self.inverses)
        self.z = z

    def left_out(self) -> Floats:
        """Standardised residuals of slices of the grid, each given all others: masks that were never seen.

        The residual of the slice b of part p is (K_p⁻¹ z)_b / (K_p⁻¹)_bb, with covariance (K_p⁻¹)_bb⁻¹ ⊗ the others'
        K, so that its squared length in units of that covariance is Σ α_b (K_p⁻¹z)_b / (K_p⁻¹)_bb.
        """
        scores = []
        for p, inverse in enumerate(self.inverses):
            slices = np.moveaxis(along(self.z, [inverse if k == p else None for k in range(len(self.inverses))]), p, 0)
            alphas = np.moveaxis(self.alpha, p, 0)
            m = len(inverse)
            squares = (slices.reshape(m, -1) * alphas.reshape(m, -1)).sum(1) / np.diagonal(inverse)
            scores.append(squares / (self.z.size / m))
        return np.concatenate(scores)


def _inverse(covariance: Floats) -> Floats:
    """Of a positive definite matrix; the diagonal grows until rounding lets it be one."""
    for attempt in range(10):
        noisy = covariance.copy()
        noisy.flat[:: len(noisy) + 1] += 0.0 if attempt == 0 else _JITTER * 10.0**attempt * covariance[0, 0]
        try:
            factor = scipy.linalg.cholesky(noisy, lower=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        inverse = scipy.linalg.lapack.dpotri(factor, lower=1)[0]
        return np.asarray(inverse + np.tril(inverse, -1).T, np.float64)
    return np.asarray(np.linalg.pinv(covariance), np.float64)


def standardise(values: Floats) -> tuple[float, float, Floats]:
    """Mean, standard deviation (tiny where all values are equal) and standardised values."""
    shift, scale = float(values.mean()), float(values.std())
    scale = max(scale, 1e-12 * max(1.0, abs(shift)))
    return shift, scale, (values - shift) / scale
