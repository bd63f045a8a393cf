"""Means over few independent samples, with standard errors that are honest about how few they are.

Two or three samples leave a variance that is mostly noise: by chance they agree, and an error of 0 claims that the
mean is exact. Moderated variances (Smyth 2004, "Linear models and empirical Bayes methods for assessing differential
expression in microarray experiments") lend strength from the other entries of the same kind:

    s̃² = (d0·s0² + d·s²)/(d0 + d)

s² is the entry's own variance with d degrees of freedom, s0² the pooled variance of its kind and d0 how many degrees
of freedom that is worth. Smyth estimates d0 from log s²; here many variances are exactly 0 (their logarithm is not
finite), so d0 is fixed (`_PRIOR`). The mean's distance from the truth in units of s̃ then has about Student's t
distribution with d0 + d degrees of freedom. The errors returned are s̃/√samples times the ratio of its 97.5 %
quantile to the normal one, meant to let twice the error cover about 95 % at any number of samples.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: degrees of freedom that the pooled variance counts for; `test_two_errors_cover_the_truth_at_scarce_budgets` watches
#: what it leads to
_PRIOR = 4.0
#: degrees of freedom that the pooled variance of all entries must have: with less it may be 0 by chance too
_LEAST = 18
#: quantile of the normal and the t distribution whose ratio widens errors
_QUANTILE = 0.975


class Means:
    """Weighted means over independent samples, with moderated standard errors; entry by entry.

    The variance of Σy/Σc over samples (y: a sum over c observations) is that of a ratio, s²·Σc²/(Σc)² with
    s² = Σ(y − c·mean)²/Σc² · R/(R−1), R the samples with c > 0. Sums are kept about the first observation, so that
    large constant values cost no digits.

    Args:
        kinds: the kind of each entry, whole numbers from 0: variances are pooled within a kind.
    """

    def __init__(self, kinds: NDArray[np.int64]) -> None:
        """Start without samples."""
        size = len(kinds)
        self._kinds = kinds
        self._shift = np.zeros(size)
        self._c, self._y, self._cc, self._cy, self._yy = (np.zeros(size) for _ in range(5))
        self._samples = np.zeros(size, np.int64)

    def add(self, sums: Floats, counts: NDArray[np.integer[Any]]) -> None:
        """Take one sample: the sum of ``counts`` observations for each entry."""
        seen = counts > 0
        new = seen & (self._samples == 0)
        self._shift[new] = sums[new] / counts[new]
        y = sums - self._shift * counts
        self._c += counts
        self._y += y
        self._cc += counts * counts
        self._cy += counts * y
        self._yy += y * y
        self._samples += seen

    def mean(self) -> Floats:
        """Means; NaN without a sample."""
        with np.errstate(invalid="ignore"):
            return self._shift + self._y / self._c

    def error(self) -> Floats:
        """Standard errors of the means.

        An entry with one sample has no variance of its own and takes the pooled one of its kind. NaN without a sample,
        and everywhere while all entries together have too few samples to pool. 0 only where the samples of every entry
        agree.
        """
        from scipy.special import ndtri, stdtrit  # takes a while to import

        own = np.maximum(self._samples - 1.0, 0.0)
        with np.errstate(invalid="ignore", divide="ignore"):
            about = self._y / self._c
            spread = np.maximum(self._yy - 2 * about * self._cy + about**2 * self._cc, 0.0)
            # own·s², which is 0 with one sample: then only rounding is left in the spread
            total = np.where(own > 0, spread * self._samples / self._cc, 0.0)
            variance = (_PRIOR * self._pooled(total, own) + total) / (_PRIOR + own)
            samples = np.arange(own.max() + 1)  # few, where entries may be a million
            widened = stdtrit(_PRIOR + samples, _QUANTILE) / ndtri(_QUANTILE)
            return np.asarray(widened[own.astype(np.int64)] * np.sqrt(variance * self._cc) / self._c, np.float64)

    def _pooled(self, total: Floats, own: Floats) -> Floats:
        """s0² of each entry: the variance of its kind, itself moderated by that of all entries."""
        if own.sum() < _LEAST:
            return np.full(len(own), np.nan)
        overall = total.sum() / own.sum()
        pooled = (_PRIOR * overall + np.bincount(self._kinds, total)) / (_PRIOR + np.bincount(self._kinds, own))
        return np.asarray(pooled[self._kinds], np.float64)
