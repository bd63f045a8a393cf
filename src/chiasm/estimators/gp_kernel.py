"""Prior of the Gaussian-process surrogate: covariance of coalitions, and its hyperparameters from data.

K(s, t) = Σ_k a_k exp(−c_k H(s, t)) + Σ_{g=p,f} a_g D_g(s) D_g(t) exp(−c_g H(s, t)) + σ² [s = t],
H(s, t) = Σ_i θ_i [s_i ≠ t_i],   D_p(s) = exp(−Σ_i h_pi s_i),   D_f(s) = exp(−Σ_i h_fi (1 − s_i)).

Each of the sum's members is a product over players, Π_i κ_ki(s_i, t_i), which is what gives closed forms to every
index (`chiasm.estimators.gp_indices`). θ_i is how much player i matters (automatic relevance determination), and the
mixture over c_k sets how fast the variance falls with the order of interaction. The exponential of a weighted Hamming
distance on {0, 1}^n is the diffusion kernel of the hypercube (Kondor & Lafferty 2002).

The two gated members live near the empty and near the full coalition (or near those of a part): a text without any word
is a thing of its own, though no single word may matter, and such a step at the end, which the index weighs as heavily
as all other sizes, is no smooth function of the distance.
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
#: which of them the gated members have
_GATED = 1
#: members: those of the mixture, and two gated ones
MEMBERS = len(SCALES) + 2
#: added to σ²: keeps the covariance of some thousand distinct coalitions positive definite in float64
_JITTER = 1e-8
#: weights of the squares of √θ, h and log a in the negative log prior (Gaussian; exponential for θ)
_PRIOR_THETA, _PRIOR_GATE, _PRIOR_AMPLITUDE = 1.0, 0.5, 0.05
#: √θ stays above 0, where its gradient vanishes and a player could never come back
_BOUNDS_ROOT, _BOUNDS_GATE = (0.02, 3.5), (0.0, 3.0)
_BOUNDS_AMPLITUDE, _BOUNDS_NOISE = (-8.0, 6.0), (-14.0, 1.0)
_START_THETA, _START_GATE, _START_NOISE = 0.1, 0.3, -8.0
#: value of the objective where it cannot be computed
_FAR = 1e10
#: how often the noise is raised where a covariance cannot be factorised
_ATTEMPTS = 10
#: the fit ends when a step gains less than this share of the log posterior
_ENOUGH = 1e-4
#: rows of a covariance that are built at once, so that the exponentials' scratch space stays small
_ROWS = 1024


@dataclass(frozen=True, eq=False)
class Members:
    """The covariance's members as products over players.

    Attributes:
        log_amplitude: ``float64[k]``.
        both, one, none: ``float64[k, n]``, log κ_ki where the player is in both coalitions, in one, in none.
    """

    log_amplitude: Floats
    both: Floats
    one: Floats
    none: Floats


@dataclass(frozen=True, eq=False)
class Kernel:
    """Hyperparameters of the covariance.

    Attributes:
        theta: ``float64[n]``, positive.
        log_amplitude: ``float64[6]``, of the mixture over `SCALES` and of the gated members.
        gates: ``float64[2, n]``, not negative: h_p of the member near the empty coalition, h_f near the full one.
        log_noise: log σ².
    """

    theta: Floats
    log_amplitude: Floats
    gates: Floats
    log_noise: float = _START_NOISE

    @classmethod
    def start(cls, n: int) -> Kernel:
        """Where the optimiser sets out for n players."""
        return cls(np.full(n, _START_THETA), np.zeros(MEMBERS), np.full((2, n), _START_GATE))

    @classmethod
    def unpack(cls, x: Floats) -> Kernel:
        """From one vector: √θ, h, log a, log σ².

        In √θ, L-BFGS needs less than half the steps that it needs in log θ, where players without effect creep to 0.
        """
        n = (len(x) - 1 - MEMBERS) // 3
        return cls(x[:n] ** 2, x[3 * n : -1], x[n : 3 * n].reshape(2, n), float(x[-1]))

    def pack(self) -> Floats:
        """To one vector, the inverse of `unpack`."""
        return np.concatenate([np.sqrt(self.theta), self.gates.ravel(), self.log_amplitude, [self.log_noise]])

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.theta)

    @property
    def noise(self) -> float:
        """What is added to the covariance's diagonal."""
        return float(np.exp(self.log_noise)) + _JITTER

    @property
    def members(self) -> Members:
        """The members one by one."""
        empty, full = self.gates
        scales = np.append(SCALES, [SCALES[_GATED]] * 2)
        both, none = np.zeros((2, MEMBERS, self.n))
        both[-2], none[-1] = -2 * empty, -2 * full
        return Members(self.log_amplitude, both, (both + none) / 2 - scales[:, None] * self.theta, none)

    def covariance(self, a: Floats, b: Floats) -> Floats:
        """Covariances without noise of coalitions given as 0/1 floats, ``[p, n]`` and ``[q, n]`` → ``[p, q]``."""
        amplitude = np.exp(self.log_amplitude)
        right = self._gated(b)
        found = np.empty((len(a), len(b)))
        for start in range(0, len(a), _ROWS):
            rows = a[start : start + _ROWS]
            mixture = _mixture(_distance(rows, b, self.theta))
            mixed = _combined(amplitude[: len(SCALES)], mixture)
            mixture[_GATED] *= self._gated(rows) * amplitude[-2:] @ right.T
            np.add(mixed, mixture[_GATED], out=found[start : start + _ROWS])
        return found

    def _gated(self, a: Floats) -> Floats:
        """D_p and D_f of coalitions ``[p, n]``, ``[p, 2]``."""
        return np.asarray(np.exp(np.stack([-(a @ self.gates[0]), (a - 1.0) @ self.gates[1]], axis=1)), np.float64)

    def variance(self, a: Floats) -> Floats:
        """K(s, s) without noise."""
        amplitude = np.exp(self.log_amplitude)
        return np.asarray(amplitude[: len(SCALES)].sum() + self._gated(a) ** 2 @ amplitude[-2:], np.float64)


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


def objective(x: Floats, coalitions: Floats, z: Floats, own: Floats | float = 0.0) -> tuple[float, Floats]:
    """Negative log posterior of packed hyperparameters, up to a constant, and its gradient.

    −log p(z | X) = ½ zᵀK⁻¹z + ½ log |K|, whose derivative is ½ tr[(K⁻¹ − ααᵀ) ∂K], α = K⁻¹z (Rasmussen & Williams
    2006, eq. 5.9).

    Args:
        x: `Kernel.pack`.
        coalitions: 0/1 floats ``[m, n]``.
        z: standardised values ``float64[m]``.
        own: variance of each one's own noise, beside that which all share.
    """
    kernel = Kernel.unpack(x)
    plain = len(SCALES)
    amplitude = np.exp(kernel.log_amplitude)
    gated = kernel._gated(coalitions)  # noqa: SLF001 - of this module
    mixture = _mixture(_distance(coalitions, coalitions, kernel.theta))
    outer = gated * amplitude[-2:] @ gated.T
    outer *= mixture[_GATED]
    covariance = _combined(amplitude[:plain], mixture)
    covariance += outer
    solved = _gradient_matrix(covariance, kernel.noise + own, z)
    if solved is None:  # a line search went too far: it turns back from here
        return _FAR, np.zeros_like(x)
    value, g = solved
    d_noise = float(np.exp(kernel.log_noise)) * float(np.trace(g))
    d_amplitude = mixture.reshape(plain, -1) @ g.ravel()
    # what the gated members add: G ∘ exp(−c H) between D of both sides
    inner = g * mixture[_GATED]
    weighted = gated * (inner @ gated + inner.T @ gated) / 2 * amplitude[-2:]
    d_amplitude = np.concatenate([amplitude[:plain] * d_amplitude, weighted.sum(0)])
    d_gate = np.concatenate([-2 * weighted[:, 0] @ coalitions, 2 * weighted[:, 1] @ (coalitions - 1.0)])
    outer *= SCALES[_GATED]
    outer += _combined(SCALES * amplitude[:plain], mixture)
    g *= outer
    # Σ_st g_st [s_i ≠ t_i], as [s ≠ t] = s + t − 2 s t
    differing = coalitions.T @ (g.sum(0) + g.sum(1)) - 2.0 * (coalitions * (g @ coalitions)).sum(0)
    d_root = -2.0 * np.sqrt(kernel.theta) * differing
    weight = np.repeat([_PRIOR_THETA, _PRIOR_GATE, _PRIOR_AMPLITUDE, 0.0], [kernel.n, 2 * kernel.n, MEMBERS, 1])
    gradient = np.concatenate([d_root, d_gate, d_amplitude, [d_noise]])
    return value + float(weight @ x**2), gradient + 2 * weight * x


def _gradient_matrix(covariance: Floats, noise: Floats | float, z: Floats) -> tuple[float, Floats] | None:
    """−log p(z) up to a constant, and ½ (K⁻¹ − ααᵀ) with its lower triangle doubled onto one side."""
    m = len(z)
    noisy = covariance.copy().T  # the transpose lies in memory as LAPACK wants it
    noisy.flat[:: m + 1] += noise
    try:
        factor = scipy.linalg.cholesky(noisy, lower=True, overwrite_a=True, check_finite=False)
    except np.linalg.LinAlgError:
        return None
    alpha = scipy.linalg.cho_solve((factor, True), z, check_finite=False)
    value = 0.5 * float(z @ alpha) + float(np.log(np.diagonal(factor)).sum())
    g = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)[0].T
    diagonal = np.diagonal(g).copy()
    g *= 2.0  # one triangle stands for both: g is only summed against symmetric matrices
    g.flat[:: m + 1] = diagonal
    g -= alpha[:, None] * alpha
    g *= 0.5
    return value, g


def fit(kernel: Kernel, coalitions: Floats, z: Floats, iterations: int, own: Floats | float = 0.0) -> Kernel:
    """The hyperparameters of largest posterior density near a start, by L-BFGS-B.

    Args:
        kernel: where to set out.
        coalitions: 0/1 floats ``[m, n]``.
        z: standardised values.
        iterations: at most this many steps.
        own: variance of each standardised value's own noise, ``float64[m]``, beside that which all share.
    """
    n = kernel.n
    bounds = [_BOUNDS_ROOT] * n + [_BOUNDS_GATE] * (2 * n) + [_BOUNDS_AMPLITUDE] * MEMBERS + [_BOUNDS_NOISE]
    target: Callable[..., Any] = objective
    found = scipy.optimize.minimize(
        target,
        kernel.pack(),
        args=(coalitions, z, own),
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
        own: variance of each value's own noise, ``float64[m]``, e.g. of an answer that was drawn by chance.
    """

    def __init__(self, kernel: Kernel, coalitions: Floats, values: Floats, own: Floats | float = 0.0) -> None:
        """Factorise the covariance."""
        self.kernel, self.coalitions = kernel, coalitions
        self.shift, self.scale, self.z = standardise(values)
        noise = kernel.noise + own / self.scale**2
        self.factor: Floats = _factor(kernel.covariance(coalitions, coalitions), noise)
        self.alpha: Floats = scipy.linalg.cho_solve((self.factor, True), self.z, check_finite=False)

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


def _factor(covariance: Floats, noise: Floats | float) -> Floats:
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
