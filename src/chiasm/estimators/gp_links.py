"""Link functions: the scale on which the surrogate lives, and the way back to the scale of the values.

A probability saturates: near 0 and 1 what is left of an effect of many players is small, so a game of probabilities has
interactions of high order that its logits do not have. The surrogate is fitted on y = logit p and the index taken of
g(y), whose values are free. From a log-probability l the logit is l − log(1 − eˡ).

A model in single precision gives 1 − p only to some 1e-7, and a saturated value is exactly 1. So the logit is taken of
a value moved off its ends, y = log((p + ε₀)/(1 − p + ε₁)), smooth and strictly monotone on all of [0, 1], and g is its
exact inverse: no value is clipped, g(y(p)) = p. Log-probabilities have no lower end (ε₀ = 0).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from chiasm.core.errors import ModelError
from chiasm.core.target import Scale

Floats = NDArray[np.float64]

#: ε₁ and ε₀. A logit near 15 in single precision carries 1e-6 of noise, which is this share of 1 − p + ε₁ at p = 1
UPPER, LOWER = 1e-5, 1e-6
#: how far beyond its end a value may lie: rounding of a model in half precision
_SLACK = 1e-3
#: nodes and weights of the expectation under a standard normal distribution
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(11)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class Link:
    """The identity: values are what the surrogate lives on.

    Attributes:
        linear: whether indices of the surrogate are indices of the game as they stand.
    """

    linear: bool = True

    def latent(self, values: Floats) -> Floats:
        """What the surrogate is fitted to."""
        return values

    def value(self, latent: Floats) -> Floats:
        """g: the way back."""
        return latent

    def slope(self, latent: Floats) -> Floats:
        """g′."""
        return np.ones_like(latent)

    def mean_slope(self, latent: Floats, sd: Floats | float) -> Floats:
        """E g′(f) for f ~ N(latent, sd²): by Stein's lemma Cov(g(f), h) = E g′(f) · Cov(f, h) for normal f, h."""
        found = np.zeros_like(latent)
        for x, w in zip(_NODES, _WEIGHTS, strict=True):
            found += w * self.slope(latent + x * sd)
        return found


@dataclass(frozen=True)
class LogProbability(Link):
    """Values are log-probabilities, l ≤ 0."""

    linear: bool = False

    def latent(self, values: Floats) -> Floats:
        """The logit, y = l − log(1 − eˡ + ε).

        Raises:
            ModelError: a log-probability above 0.
        """
        _check(values, -np.inf, 0.0, "log-probability")
        clean = np.minimum(values, 0.0)
        return np.asarray(clean - np.log(UPPER - np.expm1(clean)), np.float64)

    def value(self, latent: Floats) -> Floats:
        """g(y) = log(1 + ε) + log σ(y)."""
        return np.asarray(np.log1p(UPPER) + log_expit(latent), np.float64)

    def slope(self, latent: Floats) -> Floats:
        """g′(y) = σ(−y)."""
        return np.asarray(expit(-latent), np.float64)


@dataclass(frozen=True)
class Probability(Link):
    """Values are probabilities."""

    linear: bool = False

    def latent(self, values: Floats) -> Floats:
        """The logit, y = log((p + ε₀)/(1 − p + ε₁)).

        Raises:
            ModelError: a probability outside [0, 1].
        """
        _check(values, 0.0, 1.0, "probability")
        clean = np.clip(values, 0.0, 1.0)
        return np.asarray(np.log(clean + LOWER) - np.log(1.0 - clean + UPPER), np.float64)

    def value(self, latent: Floats) -> Floats:
        """g(y) = (1 + ε₁ + ε₀) σ(y) − ε₀."""
        return np.asarray((1.0 + UPPER + LOWER) * expit(latent) - LOWER, np.float64)

    def slope(self, latent: Floats) -> Floats:
        """g′(y) = (1 + ε₁ + ε₀) σ(y) σ(−y)."""
        return np.asarray((1.0 + UPPER + LOWER) * expit(latent) * expit(-latent), np.float64)


def _check(values: Floats, low: float, high: float, what: str) -> None:
    outside = values[(values < low - _SLACK) | (values > high + _SLACK)]
    if len(outside):
        raise ModelError(f"The game gave the {what} {outside[0]:.6g}; it cannot lie outside {low:g} … {high:g}.")


def link_of(scale: Scale) -> Link:
    """The link for games of a scale; the identity for all that are no probabilities."""
    if scale == "log_probability":
        return LogProbability()
    return Probability() if scale == "probability" else Link()
