"""Triples of the Gaussian-process surrogate in closed form: the third factor of `chiasm.estimators.gp_indices`.

With c and u = d/c as there, Cov(φ_ijk, f(t)) = Σ_{member, node} w_q a [Π_l c_l] u_i u_j u_k. Nodes and weights w_q are
those of the index's measure for sets of three (`chiasm.estimators.derivatives`). The posterior mean is that, weighted
by α; the posterior variance is κ − ‖L⁻¹ Cov(f(X), φ)‖².

The coalitions are one fixed design and the link is the identity: values are taken as they come.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.derivatives import Ints
from chiasm.estimators.gp_choice import first_design
from chiasm.estimators.gp_kernel import Kernel, Posterior, fit, standardise

Floats = NDArray[np.float64]

#: densities on [0, 1] of the measures for triples; a number is a point mass
_POINTS = {"BII": 0.5, "Moebius": 0.0}
#: nodes of the measure at most (exact for games of Möbius order 2r), and triples whose covariances are held at once
_NODES, _COLUMNS = 32, 1024
#: values that hyperparameters are fitted on at most, and steps of the optimiser
_FITTED_ON, _STEPS = 512, 60


def surrogate(game: Game, budget: int, rng: np.random.Generator) -> Posterior:
    """A Gaussian process of the game, from one design of ``budget`` coalitions."""
    coalitions = first_design(game.n, budget, rng)
    values, x = game(coalitions), coalitions.astype(np.float64)
    some = np.sort(rng.permutation(len(x))[:_FITTED_ON])
    kernel = fit(Kernel.start(game.n), x[some], standardise(values)[2][some], _STEPS)
    return Posterior(kernel, x, values)


def triple_values(posterior: Posterior, index: Index, sets: Ints) -> tuple[Floats, Floats]:
    """Posterior means and standard deviations of triples.

    The standard deviations are multiplied by the root mean square of the standardised leave-one-out residuals, if that
    is above 1. They are model-based: they hold as far as the game resembles a draw of the process.

    Args:
        posterior: the surrogate.
        index: SII, BII, WBII:p, STII or FSII of top order 3, or Moebius.
        sets: positions, ``int64[k, 3]``.

    Returns:
        ``float64[k]`` each.
    """
    q, w = _measure(index, posterior.kernel.n)
    values, errors = np.empty(len(sets)), np.empty(len(sets))
    for start in range(0, len(sets), _COLUMNS):
        part = slice(start, start + _COLUMNS)
        covariance = _covariance(posterior.kernel, q, w, posterior.coalitions, sets[part])
        values[part] = posterior.scale * (posterior.alpha @ covariance)
        left = _prior(posterior.kernel, q, w, sets[part]) - (posterior.whiten(covariance) ** 2).sum(0)
        errors[part] = posterior.scale * np.sqrt(np.maximum(left, 0.0))
    return values, errors * max(1.0, float(np.sqrt(np.mean(posterior.left_out() ** 2))))


def _measure(index: Index, n: int) -> tuple[Floats, Floats]:
    """Nodes and weights of an index's measure for sets of three."""
    head, _, tail = index.name.partition(":")
    if head == "WBII" or head in _POINTS:
        return np.array([float(tail) if tail else _POINTS[head]]), np.ones(1)
    x, w = np.polynomial.legendre.leggauss(min(n // 2 + 3, _NODES))
    q = (x + 1) / 2
    density = {"SII": np.ones_like(q), "STII": 3 * (1 - q) ** 2, "FSII": 30 * (q * (1 - q)) ** 2}[head]
    return q, w / 2 * density


def _covariance(kernel: Kernel, q: Floats, w: Floats, coalitions: Floats, sets: Ints) -> Floats:
    """Prior Cov(f(t), φ), ``float64[coalitions, sets]``."""
    found = np.zeros((len(coalitions), len(sets)))
    i, j, k = sets.T
    inside = coalitions > 0
    for amplitude, both, one, none in _members(kernel):
        for node, weight in zip(q, w, strict=True):
            c_in, c_out = node * both + (1 - node) * one, node * one + (1 - node) * none
            p = amplitude * weight * np.exp(np.where(inside, np.log(c_in), np.log(c_out)).sum(1))
            u = np.where(inside, (both - one) / c_in, (one - none) / c_out)
            found += (u[:, i] * u[:, j]) * (u[:, k] * p[:, None])
    return found


def _prior(kernel: Kernel, q: Floats, w: Floats, sets: Ints) -> Floats:
    """Prior variances κ of φ, ``float64[sets]``: `chiasm.estimators.gp_indices.prior_variances` with a third factor."""
    found = np.zeros(len(sets))
    r = q[:, None]
    for amplitude, both, one, none in _members(kernel):
        for node, weight in zip(q, w, strict=True):
            f = node * r * both + (1 - node) * (1 - r) * none + one * (node * (1 - r) + (1 - node) * r)
            p = amplitude * weight * w * np.exp(np.log(f).sum(1))
            ratio = (both - 2 * one + none) / f
            found += p @ np.prod(ratio[:, sets], axis=2)
    return found


def _members(kernel: Kernel) -> Iterator[tuple[float, Floats, Floats, Floats]]:
    """Amplitude, and κ of each player in both coalitions, in one, in none, of each member of the covariance."""
    members = kernel.members
    parts = (np.exp(log) for log in (members.log_amplitude, members.both, members.one, members.none))
    yield from zip(*parts, strict=True)
