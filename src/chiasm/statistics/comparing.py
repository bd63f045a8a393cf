"""Which of several methods differ, by how much, and which cannot be told apart: paired over samples that all share.

Tables have a row a sample and a column a method, of one metric, without gaps.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import friedmanchisquare, kendalltau, rankdata, wilcoxon

from chiasm.core.errors import InvalidInput
from chiasm.statistics.bootstrap import Bootstrap, Estimate, Floats, holm, mean_of, ratio

if TYPE_CHECKING:
    import pandas as pd

#: corrected p-values below which two methods differ
SURE: Final = 0.05
#: with which the samples that are needed would show a difference
POWER: Final = 0.8


@dataclass(frozen=True, eq=False)
class Pair:
    """Two methods on the same samples.

    Attributes:
        first, second: names.
        difference: mean of first less second, with its interval.
        p_value: Wilcoxon's signed-rank test, corrected for all pairs (Holm); 1 where they never differ.
        rank_biserial: of the signed ranks, −1 … 1: by how much the samples that favour the first outweigh the others.
        d: mean difference over its standard deviation (Cohen's d_z); 0 where they never differ.
        needed: samples (clusters, where rows are clustered) that would tell them apart with probability `POWER` at the
            uncorrected level `SURE`, were the truth as found; ``None`` where they do not differ at all.
    """

    first: str
    second: str
    difference: Estimate
    p_value: float
    rank_biserial: float
    d: float
    needed: int | None


@dataclass(frozen=True, eq=False)
class Comparison:
    """All methods of one metric.

    Attributes:
        n: samples.
        means: method → mean score, best first.
        ranks: method → mean rank over samples (1 is best), in the same order.
        friedman: p-value of "all methods are alike"; NaN for fewer than three methods.
        pairs: all pairs.
        groups: names of methods, best first, that cannot be told apart among each other; the largest such groups.
    """

    n: int
    means: dict[str, Estimate]
    ranks: dict[str, Estimate]
    friedman: float
    pairs: tuple[Pair, ...]
    groups: tuple[tuple[str, ...], ...]

    def pair(self, first: str, second: str) -> Pair:
        """Two methods, in either order.

        Raises:
            KeyError: no such pair.
        """
        for one in self.pairs:
            if {one.first, one.second} == {first, second}:
                return one
        raise KeyError((first, second))


def compare(
    table: pd.DataFrame,
    *,
    higher: bool = True,
    clusters: ArrayLike | None = None,
    replicates: int = 2000,
    seed: int = 0,
) -> Comparison:
    """Compare methods on one metric.

    Args:
        table: a row a sample, a column a method, finite.
        higher: whether more is better.
        clusters: what samples are drawn by (several models on one sample); by default each by itself. Intervals draw
            whole clusters; tests and effect sizes take the mean of each, since rows of one cluster are no independent
            witnesses.
        replicates: resamples.
        seed: of them.

    Raises:
        InvalidInput: fewer than two methods, samples or clusters, or gaps.
    """
    values = table.to_numpy(np.float64)
    if values.ndim != 2 or min(values.shape) < 2 or not np.isfinite(values).all():
        raise InvalidInput(
            f"The table has {values.shape[0]} samples of {values.shape[1]} methods and "
            f"{int((~np.isfinite(values)).sum())} gaps; compare two methods or more on samples that all of them have."
        )
    order = np.argsort(-values.mean(axis=0) if higher else values.mean(axis=0), kind="stable")
    values, names = values[:, order], [str(table.columns[k]) for k in order]
    draws = Bootstrap(np.arange(len(values)) if clusters is None else clusters, replicates, seed)
    units = values if clusters is None else _cluster_means(values, clusters)
    ranks = rankdata(-values if higher else values, axis=1)
    couples = list(itertools.combinations(range(len(names)), 2))
    wanted: list[tuple[ArrayLike, NDArray[np.intp] | None]] = [
        *((mean_of(column), None) for column in values.T),
        *((mean_of(column), None) for column in ranks.T),
        *((mean_of(values[:, a] - values[:, b]), None) for a, b in couples),
    ]
    found = [one.estimate(ratio) for one in draws.sums(wanted)]
    k = len(names)
    p_values = holm([_wilcoxon(units[:, a], units[:, b]) for a, b in couples])
    pairs = tuple(
        _pair(names[a], names[b], units[:, a] - units[:, b], found[2 * k + place], float(p))
        for place, ((a, b), p) in enumerate(zip(couples, p_values, strict=True))
    )
    return Comparison(
        n=len(values),
        means=dict(zip(names, found[:k], strict=True)),
        ranks=dict(zip(names, found[k : 2 * k], strict=True)),
        friedman=_friedman(units),
        pairs=pairs,
        groups=groups(names, {frozenset((one.first, one.second)) for one in pairs if one.p_value < SURE}),
    )


def _cluster_means(values: Floats, clusters: ArrayLike) -> Floats:
    """A row a cluster: the mean of its rows."""
    names, place = np.unique(np.asarray(clusters), return_inverse=True)
    if len(names) < 2:
        raise InvalidInput(f"All {len(values)} samples are one cluster ({names[0]!r}); compare over two or more.")
    sums = np.zeros((len(names), values.shape[1]))
    np.add.at(sums, place, values)
    return sums / np.bincount(place)[:, None]


def _wilcoxon(a: Floats, b: Floats) -> float:
    """Two-sided, with ties of zero split (Pratt); 1 where nothing differs."""
    off = _clean(a - b)
    if not off.any():
        return 1.0
    found: Any = wilcoxon(off, zero_method="pratt")
    return float(found.pvalue)


def _clean(off: Floats) -> Floats:
    """Differences, with what rounding left made 0."""
    return np.where(np.abs(off) <= 1e-12 * np.abs(off).max(initial=1e-300), 0.0, off)


def _friedman(values: Floats) -> float:
    if values.shape[1] < 3:
        return float("nan")
    if (values == values[:, :1]).all():
        return 1.0
    found: Any = friedmanchisquare(*values.T)
    return float(found.pvalue)


def _pair(first: str, second: str, off: Floats, difference: Estimate, p_value: float) -> Pair:
    off = _clean(off)
    ranks = rankdata(np.abs(off[off != 0]))
    signed = float((np.sign(off[off != 0]) * ranks).sum() / ranks.sum()) if len(ranks) else 0.0
    spread = float(off.std(ddof=1))
    d = float(off.mean()) / spread if spread > 0 else (float(np.sign(off.mean())) * np.inf if off.any() else 0.0)
    return Pair(first, second, difference, p_value, signed, d, needed(d))


def needed(d: float) -> int | None:
    """Samples with which a paired t-test would find a standardised difference d; ``None`` for none."""
    from statsmodels.stats.power import TTestPower

    if d == 0:
        return None
    if abs(d) > 10:  # the solver need not look
        return 2
    return int(np.ceil(float(TTestPower().solve_power(abs(d), None, SURE, POWER))))


def groups(names: list[str], apart: set[frozenset[str]]) -> tuple[tuple[str, ...], ...]:
    """Runs of methods, in their order, of which no two are told apart; only those that no longer run holds.

    Args:
        names: best first.
        apart: pairs that differ.
    """
    found: list[tuple[int, int]] = []
    for start in range(len(names)):
        stop = start + 1
        while stop < len(names) and all(frozenset((names[k], names[stop])) not in apart for k in range(start, stop)):
            stop += 1
        if not found or stop > found[-1][1]:
            found.append((start, stop))
    return tuple(tuple(names[start:stop]) for start, stop in found)


def rank_agreement(
    first: pd.DataFrame,
    second: pd.DataFrame,
    *,
    replicates: int = 1000,
    seed: int = 0,
    clusters: ArrayLike | None = None,
) -> Estimate:
    """Kendall's τ between the rankings of the same methods by two metrics, with an interval over samples.

    Between scores of one part and of another, τ near 1 says that both rank alike; near 0 or below that they contradict
    each other (evaluation collapse).

    Args:
        first: a row a sample, a column a method.
        second: the same samples and methods by another metric, higher meaning the same.
        replicates: resamples.
        seed: of them.
        clusters: what samples are drawn by.

    Raises:
        InvalidInput: the tables do not match, or hold gaps.
    """
    a, b = first.to_numpy(np.float64), second.to_numpy(np.float64)
    if a.shape != b.shape or list(first.columns) != list(second.columns) or not np.isfinite([a, b]).all():
        raise InvalidInput(f"Tables of {a.shape} and {b.shape} cannot be ranked together; give the same, without gaps.")
    k = a.shape[1]

    def figure(sums: Floats) -> Floats:
        flat = sums.reshape(-1, 2 * k)
        taus = [float(kendalltau(row[:k], row[k:]).statistic) for row in flat]
        return np.array(taus).reshape(sums.shape[:-1])

    draws = Bootstrap(np.arange(len(a)) if clusters is None else clusters, replicates, seed)
    return draws.estimate(np.concatenate([a, b], axis=1), figure)


@dataclass(frozen=True)
class Effect:
    """A fixed effect of a mixed model: a method against the reference."""

    method: str
    value: float
    error: float
    p_value: float


@dataclass(frozen=True)
class Mixed:
    """A mixed model over models, data sets and samples.

    Attributes:
        reference: the method that the others are held against.
        effects: of the others; p-values corrected (Holm).
        spread: standard deviations of the random intercepts of settings (model × data set) and of samples, and of the
            rest.
    """

    reference: str
    effects: tuple[Effect, ...]
    spread: dict[str, float]


def mixed(scores: pd.DataFrame, reference: str) -> Mixed:
    """Methods fixed; settings and the samples within them random.

    Args:
        scores: long form with the columns ``setting``, ``sample``, ``method``, ``value``; without gaps.
        reference: the method that the others are held against.

    Raises:
        InvalidInput: columns are missing, or there is no such method or only one setting.
    """
    import warnings

    import statsmodels.formula.api as smf

    lacking = {"setting", "sample", "method", "value"} - set(scores.columns)
    if lacking or reference not in set(scores["method"]) or scores["setting"].nunique() < 2:
        raise InvalidInput(
            f"A mixed model needs the columns setting, sample, method and value (missing: {sorted(lacking)}), two "
            f"settings or more, and the reference {reference!r} among the methods."
        )
    others = sorted(set(scores["method"]) - {reference})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a variance at its lower bound of 0 is a result
        fitted = smf.mixedlm(
            f"value ~ C(method, Treatment({reference!r}))",
            scores,
            groups="setting",
            re_formula="1",
            vc_formula={"sample": "0 + C(sample)"},
        ).fit()
    names = [f"C(method, Treatment({reference!r}))[T.{name}]" for name in others]
    p_values = holm([float(fitted.pvalues[name]) for name in names])
    effects = tuple(
        Effect(method, float(fitted.params[name]), float(fitted.bse[name]), float(p))
        for method, name, p in zip(others, names, p_values, strict=True)
    )
    spread = {
        "setting": float(np.sqrt(fitted.cov_re.iloc[0, 0])),
        "sample": float(np.sqrt(fitted.vcomp[0])),
        "rest": float(np.sqrt(fitted.scale)),
    }
    return Mixed(reference, effects, spread)
