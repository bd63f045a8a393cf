"""Intervals by the bootstrap, clustered by sample, of anything that is a function of sums over samples.

Shares, means, ratios of sums, cooperation of parts, information in bits: all of them are functions of sums of columns
over samples. So one set of resamples serves every figure of an audit: resampled sums are one matrix product, and the
figures of two strata or of two models, computed from the same resamples, may be subtracted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, norm, t

from chiasm.core.errors import InvalidInput

Floats = NDArray[np.float64]
#: sums of k columns ``float64[..., k]`` → a figure ``float64[...]``, NaN where it is not defined
Figure = Callable[[Floats], Floats]

LEVEL: Final = 0.95
#: numbers of drawn counts that are held at once
HELD: Final = 4_000_000
#: fewest resamples whose ends can be an interval's
LEAST_REPLICATES: Final = 100


@dataclass(frozen=True, eq=False)
class Estimate:
    """A figure with its uncertainty.

    Attributes:
        value: the figure.
        low, high: ends of the 95 % interval; NaN where too few resamples have the figure.
        n: clusters (samples) that it rests on.
        replicates: the figure of each resample, ``float64[B]``.
    """

    value: float
    low: float
    high: float
    n: int
    replicates: Floats

    @property
    def p_value(self) -> float:
        """Two-sided probability of what is no nearer to 0, were the truth 0: Student's t with the resamples' error.

        Counting resamples beyond 0 could not go below 2 / B, too much to survive a correction for many figures. Where
        all resamples are equal, and not 0, the sign of every sample is the same: the sign test's 2 / 2ⁿ.
        """
        there = self.replicates[np.isfinite(self.replicates)]
        if len(there) < 2 or self.n < 2 or not np.isfinite(self.value):
            return float("nan")
        error = float(there.std(ddof=1))
        if error <= 1e-12 * abs(self.value):
            return min(1.0, 2.0 * 0.5**self.n) if self.value else 1.0
        return float(2 * t.sf(abs(self.value) / error, self.n - 1))


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums of columns over some rows of a data set, as it is, in every resample, and of each cluster alone.

    Sums over two sets of rows may be added, subtracted and put side by side: the resamples are the same.

    Attributes:
        whole: ``float64[k]``.
        drawn: ``float64[B, k]``.
        clusters: numbers of the clusters that these rows are of, ``int[c]``.
        each: sums of each of these clusters, ``float64[c, k]``.
    """

    whole: Floats
    drawn: Floats
    clusters: NDArray[np.intp]
    each: Floats

    def rest_of(self, all_rows: Sums) -> Sums:
        """The sums over the other rows of those that are given."""
        each = all_rows.each.copy()
        each[np.searchsorted(all_rows.clusters, self.clusters)] -= self.each
        return Sums(all_rows.whole - self.whole, all_rows.drawn - self.drawn, all_rows.clusters, each)

    def beside(self, other: Sums) -> Sums:
        """Columns of these sums, then those of the other."""
        clusters = np.union1d(self.clusters, other.clusters)
        each = np.zeros((len(clusters), len(self.whole) + len(other.whole)))
        each[np.searchsorted(clusters, self.clusters), : len(self.whole)] = self.each
        each[np.searchsorted(clusters, other.clusters), len(self.whole) :] = other.each
        whole = np.concatenate([self.whole, other.whole])
        return Sums(whole, np.concatenate([self.drawn, other.drawn], axis=1), clusters, each)

    def fewer(self, replicates: int | None) -> Sums:
        """The same with the first so many resamples; ``None`` for all."""
        return self if replicates is None else replace(self, drawn=self.drawn[:replicates])

    def estimate(self, figure: Figure, *, share: bool = False) -> Estimate:
        """A figure with its interval, bias-corrected and accelerated (Efron 1987).

        Args:
            figure: of sums of the columns.
            share: the figure is a share, sum of the first column over sum of the second, both counts. Where all or none
                of the samples have it, resamples know no doubt: the exact (Clopper-Pearson) interval is given.
        """
        value, drawn = float(figure(self.whole)), figure(self.drawn)
        used = int((np.abs(self.each) > 0).any(axis=1).sum())
        if share and value in {0.0, 1.0}:
            exact = binomtest(round(value * used), used).proportion_ci(LEVEL, "exact")
            return Estimate(value, float(exact.low), float(exact.high), used, drawn)
        low, high = _ends(value, drawn, figure(self.whole - self.each))
        return Estimate(value, low, high, used, drawn)


class Bootstrap:
    """Resamples of the clusters of a data set.

    Args:
        clusters: for each row the cluster that it is drawn with (a sample, a picture), of any type.
        replicates: how many resamples.
        seed: of the draws; the same resamples for every figure.

    Raises:
        InvalidInput: no row, or fewer than 100 resamples.
    """

    def __init__(self, clusters: ArrayLike, replicates: int = 2000, seed: int = 0) -> None:
        """Number the clusters."""
        names, which = np.unique(np.asarray(clusters), return_inverse=True)
        self._cluster = which.ravel()
        self.n, self.replicates, self._seed = len(names), replicates, seed
        if not self.n:
            raise InvalidInput("There is no sample to draw from; an interval needs some.")
        if replicates < LEAST_REPLICATES:
            raise InvalidInput(
                f"{replicates} resamples cannot give the ends of an interval; draw {LEAST_REPLICATES} or more."
            )

    def estimate(self, columns: ArrayLike, figure: Figure, *, share: bool = False) -> Estimate:
        """One figure with its interval, see `Sums.estimate`; ``columns`` as for `sums`."""
        return self.sums([(columns, None)])[0].estimate(figure, share=share)

    def sums(self, several: Sequence[tuple[ArrayLike, NDArray[np.intp] | None]]) -> list[Sums]:
        """Sums of columns over rows. All are drawn together, which is faster than one after the other.

        Args:
            several: columns ``float64[rows, k]``, finite, and which rows count (``None``: all).

        Raises:
            InvalidInput: rows do not match the clusters, or columns are not finite.
        """
        grouped = [self._by_cluster(columns, rows) for columns, rows in several]
        drawn = [np.zeros((self.replicates, each.shape[1])) for _, each in grouped]
        rng = np.random.default_rng(self._seed)
        chance, step = np.full(self.n, 1 / self.n), max(1, HELD // self.n)
        for start in range(0, self.replicates, step):
            piece = slice(start, min(start + step, self.replicates))
            counts = rng.multinomial(self.n, chance, size=piece.stop - start).astype(np.float64)
            for (clusters, each), found in zip(grouped, drawn, strict=True):
                found[piece] = (counts if len(clusters) == self.n else counts[:, clusters]) @ each
        return [
            Sums(each.sum(axis=0), found, clusters, each)
            for (clusters, each), found in zip(grouped, drawn, strict=True)
        ]

    def _by_cluster(self, columns: ArrayLike, rows: NDArray[np.intp] | None) -> tuple[NDArray[np.intp], Floats]:
        """The clusters of these rows, in order, and their sums."""
        values = np.asarray(columns, np.float64)
        if values.ndim != 2 or len(values) != len(self._cluster):
            raise InvalidInput(f"The columns have the shape {list(values.shape)}; give a row for each of the samples.")
        if not np.isfinite(values).all():
            raise InvalidInput("The columns hold values that are not finite; weigh missing ones with 0.")
        chosen = slice(None) if rows is None else rows
        clusters, which = np.unique(self._cluster[chosen], return_inverse=True)
        each = np.zeros((len(clusters), values.shape[1]))
        np.add.at(each, which.ravel(), values[chosen])
        return clusters, each


def _ends(value: float, drawn: Floats, without: Floats) -> tuple[float, float]:
    """Ends of the BCa interval from the resampled figures and those without each cluster."""
    there = np.sort(drawn[np.isfinite(drawn)])
    if len(there) < len(drawn) / 2 or not np.isfinite(value):
        return float("nan"), float("nan")
    below = ((there < value).sum() + (there <= value).sum()) / 2 / len(there)
    bias = float(norm.ppf(np.clip(below, 1 / len(there), 1 - 1 / len(there))))
    off = without[np.isfinite(without)]
    off = off.mean() - off
    spread = float((off**2).sum() ** 1.5)
    acceleration = float((off**3).sum()) / (6 * spread) if spread > 0 else 0.0
    ends = []
    for tail in ((1 - LEVEL) / 2, (1 + LEVEL) / 2):
        z = bias + float(norm.ppf(tail))
        ends.append(float(np.quantile(there, norm.cdf(bias + z / (1 - acceleration * z)))))
    return ends[0], ends[1]


def mean_of(values: ArrayLike) -> Floats:
    """Columns whose `ratio` is the mean of what is finite: values and how many, ``float64[rows, 2]``."""
    found = np.asarray(values, np.float64)
    there = np.isfinite(found)
    return np.stack([np.where(there, found, 0.0), there.astype(np.float64)], axis=-1)


def ratio(sums: Floats) -> Floats:
    """The first of two sums over the second, NaN where that is 0."""
    top, bottom = sums[..., 0], sums[..., 1]
    found: Floats = np.divide(top, bottom, out=np.full(np.shape(top), np.nan), where=bottom != 0)
    return found


def difference(first: Figure, columns: int, second: Figure | None = None) -> Figure:
    """A figure of the first ``columns`` sums less a figure of the sums behind them, by default the same one.

    What two equal figures differ by in the last digits is 0.
    """
    other = second or first

    def between(sums: Floats) -> Floats:
        a, b = first(sums[..., :columns]), other(sums[..., columns:])
        return np.where(np.isclose(a, b, rtol=1e-12, atol=1e-15), 0.0, a - b)

    return between


def holm(p_values: Sequence[float]) -> Floats:
    """P-values corrected for their number (Holm 1979); NaN stay NaN and do not count."""
    from statsmodels.stats.multitest import multipletests

    found = np.asarray(p_values, np.float64)
    there = np.isfinite(found)
    if there.any():
        found[there] = multipletests(found[there], method="holm")[1]
    return found
