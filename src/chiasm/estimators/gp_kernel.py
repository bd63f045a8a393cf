"""Prior of the Gaussian-process surrogate: covariance of coalitions, and its hyperparameters from data.

K(s, t) = D(s) D(t) Σ_k a_k exp(−c_k Σ_i θ_i [s_i ≠ t_i]) + σ² [s = t],   D(s) = exp(−Σ_i g_i (1 − s_i)).

Each of the sum's members is a product over players, Π_i κ_ki(s_i, t_i), which is what gives closed forms to every
index (`chiasm.estimators.gp_indices`). θ_i is how much player i matters (automatic relevance determination), the
mixture over c_k sets how fast the variance falls with the order of interaction, and the gates g_i let absent players
shrink the spread of values. The exponential of a weighted Hamming distance on {0, 1}^n is the diffusion kernel of the
hypercube (Kondor & Lafferty 2002).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from chiasm.core.errors import ModelError

Floats = NDArray[np.float64]

#: c_k; each is a whole power of exp(−c_0 H), so that one exponential serves all (`_mixture`)
SCALES = np.array([0.1, 0.3, 1.0, 3.0])
#: added to σ²: keeps the covariance of some thousand distinct coalitions positive definite in float64
_JITTER = 1e-8
#: weights of the squares of √θ, g and log a in the negative log prior (Gaussian; exponential for θ)
_PRIOR_THETA, _PRIOR_GATE, _PRIOR_AMPLITUDE = 1.0, 2.0, 0.05
#: √θ stays above 0, where its gradient vanishes and a player could never come back
_BOUNDS_ROOT, _BOUNDS_AMPLITUDE, _BOUNDS_NOISE = (0.02, 3.5), (-8.0, 6.0), (-14.0, 1.0)
#: largest |g_i|, and largest Σ|g_i|: D² may span e^16 before float64 fails to factorise the covariance
_MOST_GATE, _MOST_GATES = 2.0, 8.0
_START_THETA, _START_NOISE = 0.1, -8.0
#: value of the objective where it cannot be computed
_FAR = 1e10
#: how often the noise is raised where a covariance cannot be factorised
_ATTEMPTS = 10
#: the fit ends when a step gains less than this share of the log posterior
_ENOUGH = 1e-4
#: rows of a covariance that are built at once, so that the exponentials' scratch space stays small
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Kernel:
    """Hyperparameters of the covariance.

    Attributes:
        theta: ``float64[n]``, positive.
        log_amplitude: ``float64[4]``, of the mixture over `SCALES`.
        gate: ``float64[n]``.
        log_noise: log σ².
    """

    theta: Floats
    log_amplitude: Floats
    gate: Floats
    log_noise: float = _START_NOISE

    @classmethod
    def start(cls, n: int) -> Kernel:
        """Where the optimiser sets out for n players."""
        return cls(np.full(n, _START_THETA), np.zeros(len(SCALES)), np.zeros(n))

    @classmethod
    def unpack(cls, x: Floats) -> Kernel:
        """From one vector: √θ, g, log a, log σ².

        In √θ, L-BFGS needs less than half the steps that it needs in log θ, where players without effect creep to 0.
        """
        n = (len(x) - 1 - len(SCALES)) // 2
        return cls(x[:n] ** 2, x[2 * n : -1], x[n : 2 * n], float(x[-1]))

    def pack(self) -> Floats:
        """To one vector, the inverse of `unpack`."""
        return np.concatenate([np.sqrt(self.theta), self.gate, self.log_amplitude, [self.log_noise]])

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.theta)

    @property
    def noise(self) -> float:
        """What is added to the covariance's diagonal."""
        return float(np.exp(self.log_noise)) + _JITTER

    def covariance(self, a: Floats, b: Floats) -> Floats:
        """Covariances without noise of coalitions given as 0/1 floats, ``[p, n]`` and ``[q, n]`` → ``[p, q]``."""
        amplitude = np.exp(self.log_amplitude)
        right = self.gates(b)
        found = np.empty((len(a), len(b)))
        for start in range(0, len(a), _ROWS):
            rows = a[start : start + _ROWS]
            mixed = _combined(amplitude, _mixture(_distance(rows, b, self.theta)))
            mixed *= self.gates(rows)[:, None]
            np.multiply(mixed, right, out=found[start : start + _ROWS])
        return found

    def gates(self, a: Floats) -> Floats:
        """D(s) of coalitions ``[p, n]``."""
        return np.asarray(np.exp((a - 1.0) @ self.gate), np.float64)

    def variance(self, a: Floats) -> Floats:
        """K(s, s) without noise."""
        return np.asarray(self.gates(a) ** 2 * np.exp(self.log_amplitude).sum(), np.float64)


def _distance(a: Floats, b: Floats, theta: Floats) -> Floats:
    """Σ_i θ_i [s_i ≠ t_i] = θ·s + θ·t − 2 Σ_i θ_i s_i t_i."""
    weighted = a * theta
    found: Floats = (weighted @ b.T) * -2.0
    found += (a @ theta)[:, None]
    found += b @ theta
    np.maximum(found, 0.0, out=found)
    return found


def _mixture(distance: Floats) -> Floats:
    """exp(−c_k H) for c = 0.1, 0.3, 1, 3, ``[4, p, q]``: one exponential and its powers 3, 10 and 30. Uses up H."""
    found = np.empty((len(SCALES), *distance.shape))
    scratch = distance
    scratch *= -SCALES[0]
    first, third, tenth, last = found
    np.exp(scratch, out=first)
    np.multiply(first, first, out=scratch)
    np.multiply(scratch, first, out=third)
    np.multiply(third, third, out=scratch)
    scratch *= third
    np.multiply(scratch, first, out=tenth)
    np.multiply(tenth, tenth, out=scratch)
    np.multiply(scratch, tenth, out=last)
    return found


def _combined(weights: Floats, mixture: Floats) -> Floats:
    """Σ_k weights_k mixture_k."""
    found: Floats = (weights @ mixture.reshape(len(weights), -1)).reshape(mixture.shape[1:])
    return found


def objective(x: Floats, coalitions: Floats, z: Floats) -> tuple[float, Floats]:
    """Negative log posterior of packed hyperparameters, up to a constant, and its gradient.

    −log p(z | X) = ½ zᵀK⁻¹z + ½ log |K|, whose derivative is ½ tr[(K⁻¹ − ααᵀ) ∂K], α = K⁻¹z (Rasmussen & Williams
    2006, eq. 5.9).

    Args:
        x: `Kernel.pack`.
        coalitions: 0/1 floats ``[m, n]``.
        z: standardised values ``float64[m]``.
    """
    kernel = Kernel.unpack(x)
    m = len(z)
    amplitude = np.exp(kernel.log_amplitude)
    gates = kernel.gates(coalitions)
    mixture = _mixture(_distance(coalitions, coalitions, kernel.theta))
    covariance = _combined(amplitude, mixture)
    covariance *= gates[:, None]
    covariance *= gates
    noisy = covariance.copy().T  # the transpose lies in memory as LAPACK wants it
    noisy.flat[:: m + 1] += kernel.noise
    try:
        factor = scipy.linalg.cholesky(noisy, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:  # a line search went too far: it turns back from here
        return _FAR, np.zeros_like(x)
    alpha = scipy.linalg.cho_solve((factor, True), z, check_finite=False)
    value = 0.5 * float(z @ alpha) + float(np.log(np.diagonal(factor)).sum())
    g = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)[0].T
    diagonal = np.diagonal(g).copy()
    g *= 2.0  # one triangle stands for both: g is only summed against symmetric matrices
    g.flat[:: m + 1] = diagonal
    g -= alpha[:, None] * alpha
    g *= 0.5
    trace = float(np.trace(g))
    covariance *= g
    d_gate = (coalitions - 1.0).T @ (covariance.sum(0) + covariance.sum(1))
    g *= gates[:, None]
    g *= gates
    d_amplitude = amplitude * (mixture.reshape(len(SCALES), -1) @ g.ravel())
    g *= _combined(SCALES * amplitude, mixture)
    # Σ_st g_st [s_i ≠ t_i], as [s ≠ t] = s + t − 2 s t
    differing = coalitions.T @ (g.sum(0) + g.sum(1)) - 2.0 * (coalitions * (g @ coalitions)).sum(0)
    d_root = -2.0 * np.sqrt(kernel.theta) * differing
    d_noise = float(np.exp(kernel.log_noise)) * trace
    weight = np.repeat([_PRIOR_THETA, _PRIOR_GATE, _PRIOR_AMPLITUDE, 0.0], [kernel.n, kernel.n, len(SCALES), 1])
    gradient = np.concatenate([d_root, d_gate, d_amplitude, [d_noise]])
    return value + float(weight @ x**2), gradient + 2 * weight * x


def fit(kernel: Kernel, coalitions: Floats, z: Floats, iterations: int) -> Kernel:
    """The hyperparameters of largest posterior density near a start, by L-BFGS-B.

    Args:
        kernel: where to set out.
        coalitions: 0/1 floats ``[m, n]``.
        z: standardised values.
        iterations: at most this many steps.
    """
    n = kernel.n
    most = min(_MOST_GATE, _MOST_GATES / n)
    bounds = [_BOUNDS_ROOT] * n + [(-most, most)] * n + [_BOUNDS_AMPLITUDE] * len(SCALES) + [_BOUNDS_NOISE]
    target: Callable[..., Any] = objective
    found = scipy.optimize.minimize(
        target,
        kernel.pack(),
        args=(coalitions, z),
        jac=True,
        method="L-BFGS-B",
        bounds=bounds,
        options={"maxiter": iterations, "maxfun": 2 * iterations, "maxcor": 12, "ftol": _ENOUGH},
    )
    return Kernel.unpack(np.asarray(found.x, np.float64))


class Posterior:
    """The surrogate given values of some coalitions.

    Values are standardised; `shift` and `scale` are their mean and standard deviation.

    Args:
        kernel: hyperparameters.
        coalitions: 0/1 floats ``[m, n]``, distinct rows.
        values: ``float64[m]``.
    """

    def __init__(self, kernel: Kernel, coalitions: Floats, values: Floats) -> None:
        """Factorise the covariance."""
        self.kernel, self.coalitions = kernel, coalitions
        self.shift, self.scale, z = standardise(values)
        self.factor: Floats = _factor(kernel.covariance(coalitions, coalitions), kernel.noise)
        self.alpha: Floats = scipy.linalg.cho_solve((self.factor, True), z, check_finite=False)

    def whiten(self, columns: Floats) -> Floats:
        """L⁻¹ applied to covariances with the coalitions, ``[m, k]``."""
        return np.asarray(
            scipy.linalg.solve_triangular(self.factor, columns, lower=True, check_finite=False), np.float64
        )

    def predict(self, coalitions: Floats) -> tuple[Floats, Floats]:
        """Means and standard deviations of values, the noise included."""
        cross = self.kernel.covariance(self.coalitions, coalitions)
        spread = self.kernel.variance(coalitions) + self.kernel.noise - (self.whiten(cross) ** 2).sum(0)
        return self.shift + self.scale * (self.alpha @ cross), self.scale * np.sqrt(np.maximum(spread, 0.0))

    def left_out(self) -> Floats:
        """Standardised residuals of the values, each given all others: α_i / √(K⁻¹)_ii (Rasmussen & Williams, 5.12)."""
        inverse, _ = scipy.linalg.lapack.dpotri(self.factor, lower=1)
        return np.asarray(self.alpha / np.sqrt(np.diagonal(inverse)), np.float64)


def _factor(covariance: Floats, noise: float) -> Floats:
    """Cholesky factor of the covariance with noise, and with ten times the noise where rounding asks for it."""
    for attempt in range(_ATTEMPTS):
        noisy = covariance.copy().T  # the transpose lies in memory as LAPACK wants it
        noisy.flat[:: len(noisy) + 1] += noise * 10.0**attempt
        try:
            factor: Floats = scipy.linalg.cholesky(noisy, lower=True, overwrite_a=True, check_finite=False)
        except np.linalg.LinAlgError:
            continue
        return factor
    raise ModelError("The surrogate's covariance cannot be factorised: the game's values span too many digits.")


def standardise(values: Floats) -> tuple[float, float, Floats]:
    """Mean, standard deviation (tiny where all values are equal) and standardised values."""
    shift, scale = float(values.mean()), float(values.std())
    scale = max(scale, 1e-12 * max(1.0, abs(shift)))
    return shift, scale, (values - shift) / scale
