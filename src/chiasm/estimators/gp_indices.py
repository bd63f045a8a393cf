"""Indices of the Gaussian-process surrogate in closed form: posterior means and standard errors.

An index is an integral over the rate q at which the other players are present, φ_ij = ∫ E_{S~Bernoulli(q)}[Δ_ij(S)]
dμ(q), and the same with ∂_i for single players. Under the expectation a product kernel stays a product. With nodes q
and weights w of μ, members k of the kernel's mixture and a coalition t,

    c_i = q κ_ki(1, t_i) + (1 − q) κ_ki(0, t_i),   d_i = κ_ki(1, t_i) − κ_ki(0, t_i),   u_i = d_i / c_i,
    Cov(φ_ij, f(t)) = Σ_{k,q} w_q a_k [Π_l c_l] u_i u_j,

and the posterior mean is that, weighted by α. The integrand is a polynomial of degree n − 2 in q (times the measure's
density), so that Gauss-Legendre nodes make the integral exact.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.core.indices import Index
from chiasm.estimators.gp_kernel import Kernel, Posterior

Floats = NDArray[np.float64]
Pairs = tuple[NDArray[np.intp], NDArray[np.intp]]

#: index → densities on [0, 1] for single players and pairs; a number is a point mass there
_MEASURES: dict[str, tuple[float | Callable[[Floats], Floats], float | Callable[[Floats], Floats]]] = {
    "SII": (np.ones_like, np.ones_like),
    "BII": (0.5, 0.5),
    "STII": (0.0, lambda q: 2 * (1 - q)),
    # single: the coefficient of a(W) in Tsai et al. 2023, theorem 19, is −2(w − 2)/(w(w + 1)) = 4/w − 6/(w + 1)
    "FSII": (lambda q: 4 - 6 * q, lambda q: 6 * q * (1 - q)),
    "Moebius": (0.0, 0.0),
}
#: columns of covariances that are held at once
_COLUMNS = 2048
#: nodes of standard errors, exact for games of Möbius order 30
_NODES = 16


@dataclass(frozen=True, eq=False)
class Measure:
    """Nodes q in [0, 1] and weights of an index's measure; the weights may be negative (FSII of single players)."""

    q: Floats
    w: Floats


def measures(index: Index, n: int, most: int | None = None) -> tuple[Measure, Measure]:
    """The measures of an index for single players and for pairs.

    Args:
        index: the index.
        n: number of players.
        most: nodes at most; r nodes are exact for games of Möbius order 2r − 2. By default exact for every game.

    Raises:
        InvalidInput: an index without a known measure.
    """
    head, _, tail = index.name.partition(":")
    if head == "WBII" and tail:
        single = pair = _measure(float(tail), 1)
        return single, pair
    nodes = min(n // 2 + 2, most or n + 2)
    if index.name not in _MEASURES:
        raise InvalidInput(f"No measure is known for the index {index.name}; known: {', '.join(_MEASURES)}, WBII:p.")
    one, two = _MEASURES[index.name]
    return _measure(one, nodes), _measure(two, nodes)


def _measure(density: float | Callable[[Floats], Floats], nodes: int) -> Measure:
    if not callable(density):
        return Measure(np.array([density]), np.ones(1))
    # r nodes are exact to degree 2r − 1; up to n − 1 of the product and 2 of the density
    x, w = np.polynomial.legendre.leggauss(nodes)
    q = (x + 1) / 2
    return Measure(q, w / 2 * density(q))


@dataclass(frozen=True, eq=False)
class Tilt:
    """Slopes of a link on coalitions as a sum of products, g′(f(S)) ≈ Σ_r weight_r Π_{i∈S} γ_ri.

    A functional with such weights has closed forms like an index: player i's presence counts γ_ri times.

    Attributes:
        weight: ``float64[R]``.
        gamma: ``float64[R, n]``, positive.
    """

    weight: Floats
    gamma: Floats

    @classmethod
    def none(cls, n: int) -> Tilt:
        """Slope 1 everywhere."""
        return cls(np.ones(1), np.ones((1, n)))


@dataclass(frozen=True, eq=False)
class _Factors:
    """Kernel under a rate q, for all (term of the tilt, member of the mixture, node) together, ``M`` of them.

    Attributes:
        weight: ``float64[M]``, the tilt's weight times w_q a_k.
        log_out, log_gain: ``float64[M, n]``, log c_i for an absent player and what presence adds.
        u_out, u_gain: ``float64[M, n]``, the same for u_i.
    """

    weight: Floats
    log_out: Floats
    log_gain: Floats
    u_out: Floats
    u_gain: Floats

    @classmethod
    def of(cls, kernel: Kernel, measure: Measure, tilt: Tilt | None = None) -> _Factors:
        """Tables for a kernel, a measure and a tilt."""
        n = kernel.n
        tilt = tilt or Tilt.none(n)
        gamma = tilt.gamma[:, None, None, :]  # [r, k, q, n]
        members = kernel.members
        both, one, none = (np.exp(log)[None, :, None, :] for log in (members.both, members.one, members.none))
        q = measure.q[None, None, :, None]
        c_in, d_in = q * gamma * both + (1 - q) * one, gamma * both - one + 0 * q
        c_out, d_out = q * gamma * one + (1 - q) * none, gamma * one - none + 0 * q
        weight = (tilt.weight[:, None, None] * np.exp(members.log_amplitude)[None, :, None] * measure.w).ravel()
        u_in, u_out = (d_in / c_in).reshape(-1, n), (d_out / c_out).reshape(-1, n)
        log_in, log_out = np.log(c_in).reshape(-1, n), np.log(c_out).reshape(-1, n)
        return cls(weight, log_out, log_in - log_out, u_out, u_in - u_out)

    def products(self, coalitions: Floats) -> Floats:
        """Weight times Π_l c_l, ``float64[coalitions, M]``."""
        exponent = coalitions @ self.log_gain.T
        exponent += self.log_out.sum(1)
        return np.exp(exponent, out=exponent) * self.weight


def single_mean(kernel: Kernel, measure: Measure, coalitions: Floats, alpha: Floats) -> Floats:
    """φ_i of Σ_t α_t K(·, t), ``float64[n]``."""
    factors = _Factors.of(kernel, measure)
    p = factors.products(coalitions) * alpha[:, None]
    found = p.sum(0) @ factors.u_out + (factors.u_gain * (p.T @ coalitions)).sum(0)
    return np.asarray(found, np.float64)


def pair_mean(kernel: Kernel, measure: Measure, coalitions: Floats, alpha: Floats) -> Floats:
    """φ_ij of Σ_t α_t K(·, t), ``float64[n, n]``, symmetric with zeros on the diagonal.

    u = u_out + t·u_gain for each player, so that each node costs one product Xᵀ diag(αP) X.
    """
    factors = _Factors.of(kernel, measure)
    p = factors.products(coalitions) * alpha[:, None]
    found = np.zeros((kernel.n, kernel.n))
    for column, out, gain in zip(p.T, factors.u_out, factors.u_gain, strict=True):
        once = gain * (column @ coalitions)
        twice = (coalitions * column[:, None]).T @ coalitions
        found += column.sum() * np.outer(out, out) + np.outer(out, once) + np.outer(once, out)
        found += twice * np.outer(gain, gain)
    found = (found + found.T) / 2
    np.fill_diagonal(found, 0.0)
    return found


def single_covariance(kernel: Kernel, measure: Measure, coalitions: Floats, tilt: Tilt | None = None) -> Floats:
    """Prior Cov(f(t), φ_i), ``float64[coalitions, n]``."""
    factors = _Factors.of(kernel, measure, tilt)
    p = factors.products(coalitions)
    return np.asarray(p @ factors.u_out + coalitions * (p @ factors.u_gain), np.float64)


def pair_covariance(
    kernel: Kernel, measure: Measure, coalitions: Floats, pairs: Pairs, tilt: Tilt | None = None
) -> Floats:
    """Prior Cov(f(t), φ_ij) for pairs (i, j), ``float64[coalitions, pairs]``."""
    factors = _Factors.of(kernel, measure, tilt)
    p = factors.products(coalitions)
    i, j = pairs
    found = p @ (factors.u_out[:, i] * factors.u_out[:, j])
    found += coalitions[:, i] * (p @ (factors.u_gain[:, i] * factors.u_out[:, j]))
    found += coalitions[:, j] * (p @ (factors.u_out[:, i] * factors.u_gain[:, j]))
    found += coalitions[:, i] * coalitions[:, j] * (p @ (factors.u_gain[:, i] * factors.u_gain[:, j]))
    return np.asarray(found, np.float64)


def prior_variances(kernel: Kernel, measure: Measure, tilt: Tilt | None = None) -> tuple[Floats, Floats]:
    """Prior variances of φ_i, ``float64[n]``, and of φ_ij, ``float64[n, n]``, under one measure.

    κ_ij = Σ_k a_k ∫∫ dμ(q) dμ(q′) [Π_l F_l] (D_i/F_i)(D_j/F_j) with F_l = E κ_l(s, t) over s ~ q, t ~ q′ and
    D_l = κ_l(1, 1) − 2 κ_l(1, 0) + κ_l(0, 0); under a tilt, presence counts γ times in each argument, and the sum goes
    over all pairs of its terms.
    """
    tilt = tilt or Tilt.none(kernel.n)
    q = np.repeat(measure.q, len(measure.q))[:, None]
    r = np.tile(measure.q, len(measure.q))[:, None]
    weight = np.outer(measure.w, measure.w).ravel()
    members = kernel.members
    single, pair = np.zeros(kernel.n), np.zeros((kernel.n, kernel.n))
    terms = list(zip(tilt.weight, tilt.gamma, strict=True))
    parts = (np.exp(log) for log in (members.log_amplitude, members.both, members.one, members.none))
    for amplitude, both, cross, none in zip(*parts, strict=True):
        for (a, one), (b, two) in itertools.product(terms, terms):
            inside = q * r * one * two * both + (1 - q) * (1 - r) * none
            f = inside + cross * (q * (1 - r) * one + (1 - q) * r * two)
            ratio = (one * two * both - cross * (one + two) + none) / f
            p = a * b * amplitude * weight * np.exp(np.log(f).sum(1))
            single += p @ ratio
            pair += (ratio * p[:, None]).T @ ratio
    np.fill_diagonal(pair, 0.0)
    return single, (pair + pair.T) / 2


def means(posterior: Posterior, index: Index, alpha: Floats | None = None) -> tuple[Floats, Floats]:
    """Posterior means of all single players ``float64[n]`` and pairs ``float64[n, n]``.

    Args:
        posterior: the surrogate.
        index: the index.
        alpha: weights of the coalitions in place of the posterior's own.
    """
    one, two = measures(index, posterior.kernel.n)
    weights = posterior.alpha * posterior.scale if alpha is None else alpha
    return (
        single_mean(posterior.kernel, one, posterior.coalitions, weights),
        pair_mean(posterior.kernel, two, posterior.coalitions, weights),
    )


def errors(posterior: Posterior, index: Index, tilt: Tilt | None = None) -> tuple[Floats, Floats]:
    """Posterior standard deviations of all single players ``float64[n]`` and pairs ``float64[n, n]``.

    √(κ − ‖L⁻¹ Cov(f(X), φ)‖²), the noise of the values counted as an error of the surrogate.
    """
    kernel, n = posterior.kernel, posterior.kernel.n
    one, two = measures(index, n, _NODES)
    single, _ = prior_variances(kernel, one, tilt)
    _, pair = prior_variances(kernel, two, tilt)
    single -= (posterior.whiten(single_covariance(kernel, one, posterior.coalitions, tilt)) ** 2).sum(0)
    i, j = np.triu_indices(n, 1)
    left = pair[i, j]
    for start in range(0, len(i), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        covariance = pair_covariance(kernel, two, posterior.coalitions, (i[part], j[part]), tilt)
        left[part] -= (posterior.whiten(covariance) ** 2).sum(0)
    pair[i, j] = pair[j, i] = np.sqrt(np.maximum(left, 0.0))
    return posterior.scale * np.sqrt(np.maximum(single, 0.0)), posterior.scale * pair
