"""Indices of g(surrogate) for many players: a closed form of what is linear, and a sample of what is not.

h = g(f) is known wherever f is, for nothing but arithmetic. Its Gaussian-process regression on the coalitions of the
posterior, c, with the same covariance matrix, has its indices in closed form and is close to h; the index of h − c is
an expectation over backgrounds R drawn as the index draws them, each of which gives all differences Δ_ij at once: with
toggle factors u_b,i = κ_i(1 − R_i, t_bi)/κ_i(R_i, t_bi), the values at R, R ⊕ i and R ⊕ i ⊕ j are the entries of one
matrix product Uᵀ diag(α P) U for each member of the kernel. Rates are stratified.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
import scipy.optimize
from numpy.typing import NDArray

from chiasm.core.indices import Index
from chiasm.estimators.gp_indices import Measure, Tilt, means, measures
from chiasm.estimators.gp_kernel import Posterior
from chiasm.estimators.gp_links import Link

Floats = NDArray[np.float64]

#: backgrounds of a sample
BACKGROUNDS = 64
#: points that slopes are fitted on, terms of the fit, steps, and the pull towards equal slopes
_SLOPES, _TERMS, _STEPS, _PULL = 1500, 2, 60, 0.05


class Sampled:
    """All single and pair indices of g(posterior mean), by sampling.

    Args:
        posterior: the surrogate.
        index: the index.
        link: g.
        rng: the source of chance.
        count: backgrounds, at least 2.

    Attributes:
        single, pair: index values, ``float64[n]`` and ``float64[n, n]``.
        single_error, pair_error: standard errors of the sampling alone.
    """

    def __init__(
        self, posterior: Posterior, index: Index, link: Link, rng: np.random.Generator, count: int = BACKGROUNDS
    ) -> None:
        """Sample."""
        self._posterior, self._link = posterior, link
        h = link.value(posterior.shift + posterior.scale * posterior.z)
        self._h_shift = float(h.mean())
        regression = scipy.linalg.cho_solve((posterior.factor, True), h - self._h_shift, check_finite=False)
        self._alphas = np.stack([posterior.alpha, regression])
        one, two = measures(index, posterior.kernel.n)
        single, pair = means(posterior, index, regression)
        if np.array_equal(one.q, two.q) and np.array_equal(one.w, two.w):
            (more_single, self.single_error), (more_pair, self.pair_error) = self._mean(two, rng, count, orders=(1, 2))
        else:
            ((more_single, self.single_error),) = self._mean(one, rng, count, orders=(1,))
            ((more_pair, self.pair_error),) = self._mean(two, rng, count, orders=(2,))
        self.single: Floats = single + more_single
        self.pair: Floats = pair + (more_pair + more_pair.T) / 2  # rounding apart, it is symmetric
        self.pair_error = (self.pair_error + self.pair_error.T) / 2
        for matrix in (self.pair, self.pair_error):
            np.fill_diagonal(matrix, 0.0)

    def _mean(
        self, measure: Measure, rng: np.random.Generator, count: int, orders: tuple[int, ...]
    ) -> list[tuple[Floats, Floats]]:
        """Means of the differences of h − c over backgrounds, and their standard errors, for each order."""
        rates, signs = draw_rates(measure, count, rng)
        n = self._posterior.kernel.n
        if len(measure.q) == 1 and measure.q[0] in (0.0, 1.0):  # one background there is
            found = self._differences(np.full(n, bool(measure.q[0])), orders)
            return [(signs[0] * one, np.zeros_like(one)) for one in found]
        totals = [np.zeros((n,) * order) for order in orders]
        squares = [np.zeros((n,) * order) for order in orders]
        for q, sign in zip(rates, signs, strict=True):
            for k, one in enumerate(self._differences(rng.random(n) < q, orders)):
                totals[k] += sign * one
                squares[k] += one**2 * sign**2
        done = []
        for total, square in zip(totals, squares, strict=True):
            spread = np.maximum(square / count - (total / count) ** 2, 0.0)
            done.append((total / count, np.sqrt(spread / (count - 1))))
        return done

    def _differences(self, background: NDArray[np.bool_], orders: tuple[int, ...]) -> list[Floats]:
        """∂_i and Δ_ij of h − c at one background."""
        x, members = self._posterior.coalitions, self._posterior.kernel.members
        n = x.shape[1]
        inside = x > 0
        at, once, twice = np.zeros(2), np.zeros((2, n)), np.zeros((2, n, n))
        for k, log_amplitude in enumerate(members.log_amplitude):
            both, one, none = members.both[k], members.one[k], members.none[k]
            # log κ for players of the coalition and for the others, as they are in the background and toggled
            now_in, now_out = np.where(background, both, one), np.where(background, one, none)
            then_in, then_out = np.where(background, one, both), np.where(background, none, one)
            weight = self._alphas * np.exp(log_amplitude + now_out.sum() + x @ (now_in - now_out))
            toggled = np.where(inside, np.exp(then_in - now_in), np.exp(then_out - now_out))
            at += weight.sum(1)
            once += weight @ toggled
            if 2 in orders:
                for row in range(2):
                    twice[row] += (toggled * weight[row][:, None]).T @ toggled
        here, one_off = self._residual(at), self._residual(once)
        sign = np.where(background, 1.0, -1.0)
        found = [sign * (here - one_off)] if 1 in orders else []
        if 2 in orders:
            both_off = self._residual(twice)
            found.append(sign[:, None] * sign * (here - one_off[:, None] - one_off + both_off))
        return found

    def _residual(self, values: Floats) -> Floats:
        """The values of h − c from the two sums."""
        posterior = self._posterior
        latent = posterior.shift + posterior.scale * values[0]
        return np.asarray(self._link.value(latent) - self._h_shift - values[1], np.float64)


def draw_rates(measure: Measure, count: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Rates q drawn by |μ|, stratified, and what each counts: the sign of μ there times its mass.

    They are nodes of the measure, which are exact for every game.
    """
    mass = np.abs(measure.w)
    if len(measure.q) == 1:
        return np.full(count, measure.q[0]), np.full(count, measure.w.sum())
    places = (np.arange(count) + rng.random()) / count * mass.sum()
    which = np.searchsorted(np.cumsum(mass), places).clip(max=len(mass) - 1)
    return measure.q[which], np.sign(measure.w[which]) * mass.sum()


def slope_tilt(posterior: Posterior, index: Index, link: Link, rng: np.random.Generator) -> Tilt:
    """The sum of products that is nearest to the link's slopes on coalitions as the index draws them."""
    n = posterior.kernel.n
    rates, _ = draw_rates(measures(index, n)[1], _SLOPES, rng)
    x = (rng.random((_SLOPES, n)) < rates[:, None]).astype(np.float64)
    mean, sd = posterior.predict(x)
    slopes = link.mean_slope(mean, sd)
    return fit_tilt(x, slopes)


def fit_tilt(x: Floats, slopes: Floats, terms: int = _TERMS) -> Tilt:
    """Least squares of Σ_r exp(b_r + x·c_r) to positive slopes, lightly pulled to c = 0."""
    count, n = x.shape
    scale = float(slopes.mean())
    if scale <= 0:
        return Tilt.none(n)
    y = slopes / scale
    pull = _PULL / n

    def objective(p: Floats) -> tuple[float, Floats]:
        b, c = p[:terms], p[terms:].reshape(terms, n)
        each = np.exp(np.clip(x @ c.T + b, -30, 10))
        off = each.sum(1) - y
        slope = each * off[:, None] * (2 / count)
        gradient = np.concatenate([slope.sum(0), ((slope.T @ x) + 2 * pull * c).ravel()])
        return float((off**2).mean() + pull * (c**2).sum()), gradient

    start = np.zeros((terms, n + 1))
    start[:, 0] = np.log(1 / terms)
    lean = np.linalg.lstsq(np.c_[np.ones(count), x], np.log(np.maximum(y, 1e-3)), rcond=None)[0][1:]
    for r in range(terms):
        start[r, 1:] = lean * (1.0 - 1.2 * r)
    best = scipy.optimize.minimize(
        objective,
        np.concatenate([start[:, 0], start[:, 1:].ravel()]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-12, 4)] * terms + [(-2.5, 2.5)] * (terms * n),
        options={"maxiter": _STEPS},
    ).x
    return Tilt(scale * np.exp(best[:terms]), np.exp(best[terms:].reshape(terms, n)))
