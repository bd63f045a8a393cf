"""Granger-style influence between parts: how an explanation of one part changes when another part is taken away.

GI(a → b) = dist(E_b(x), E_b(x with part a at its baseline)). An explainer that samples differs from itself between two
seeds; the same distance between two seeds is therefore the null that GI must exceed to mean anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.metrics.base import About, Case, Explain, Floats, Score, nothing
from chiasm.metrics.fidelity import rank_correlation


def relative_l1(x: Floats, y: Floats) -> float:
    """Σ|x − y| / (Σ|x| + Σ|y|): 0 for equal values, 1 for values of no common sign or place; 0 where all are 0."""
    whole = float(np.abs(x).sum() + np.abs(y).sum())
    return float(np.abs(x - y).sum()) / whole if whole else 0.0


def rank_distance(x: Floats, y: Floats) -> float:
    """1 − Spearman's ρ; NaN for a single value, which has no rank."""
    return 1 - rank_correlation(x, y) if len(x) > 1 else float("nan")


@dataclass(frozen=True, eq=False)
class InfluenceMatrix:
    """Who bends whose explanation; rows are the parts taken away, columns the parts whose explanation changes.

    Attributes:
        parts: names of rows and columns.
        l1: relative L1 distance, ``float64[P, P]``; the diagonal is NaN: a part that is away is not explained.
        ranks: 1 − Spearman, NaN also where a part has one player.
        null_l1, null_ranks: mean distance between two seeds, ``float64[P]``, for the columns.
        worst_l1: largest distance between two seeds, ``float64[P]``.
    """

    parts: tuple[str, ...]
    l1: Floats
    ranks: Floats
    null_l1: Floats
    null_ranks: Floats
    worst_l1: Floats

    @property
    def excess(self) -> Floats:
        """L1 distances above their null, ``float64[P, P]``."""
        return np.asarray(self.l1 - self.null_l1[None], np.float64)


def influence(explain: Explain, parts: tuple[str, ...], seeds: tuple[int, ...] = (0, 1, 2)) -> InfluenceMatrix:
    """The influence matrix of an explainer on one sample.

    Args:
        explain: called as ``explain(fixed=…, seed=…)``; ``fixed`` maps a part to ``False`` (absent) or is empty.
        parts: the parts.
        seeds: the first is that of the matrix; all pairs of them give the null.

    Raises:
        InvalidInput: fewer than two parts or seeds.
    """
    if len(parts) < 2 or len(seeds) < 2:
        raise InvalidInput(f"Influence needs two parts and two seeds or more; got {parts} and {seeds}.")
    whole = [explain(fixed={}, seed=seed).values for seed in seeds]
    size = len(parts)
    l1, ranked = np.full((size, size), np.nan), np.full((size, size), np.nan)
    for row, away in enumerate(parts):
        left = explain(fixed={away: False}, seed=seeds[0]).values
        for column, name in enumerate(parts):
            if name != away:
                l1[row, column] = relative_l1(whole[0][name], left[name])
                ranked[row, column] = rank_distance(whole[0][name], left[name])
    pairs = [(i, j) for i in range(len(seeds)) for j in range(i)]
    null = np.array([[relative_l1(whole[i][name], whole[j][name]) for name in parts] for i, j in pairs])
    null_ranks = np.array([[rank_distance(whole[i][name], whole[j][name]) for name in parts] for i, j in pairs])
    return InfluenceMatrix(parts, l1, ranked, null.mean(axis=0), null_ranks.mean(axis=0), null.max(axis=0))


@dataclass(frozen=True)
class Influence:
    """The influence matrix as a metric.

    Attributes:
        seeds: how many seeds give the null, the explanation's own among them.
    """

    seeds: int = 3

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "change of one part's explanation when another part is at its baseline, above the noise of seeds"
        cost = "an explanation for each part and each further seed"
        return About("influence", line, "single", "neither", -1, 1, cost, "after Granger 1969", ("game", "again"))

    def coalitions(self, case: Case) -> Coalitions:
        """None: what the explainer will ask for is not known before."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """Mean excess, then GI(a → b) and the null of each part.

        Raises:
            MissingCapability: the method cannot be repeated, or there is one part alone.
        """
        if case.again is None or len(case.parts) < 2:
            raise MissingCapability("Influence needs two parts and a method that can explain again.")
        again: Any = case.again
        before = again.game.counts.computed
        found = influence(again, tuple(case.parts), tuple(again.seed + k for k in range(self.seeds)))
        named = {"mean excess": float(np.nanmean(found.excess))}
        for row, a in enumerate(found.parts):
            for column, b in enumerate(found.parts):
                if a != b:
                    named[f"{a} → {b}"] = float(found.l1[row, column])
                    if np.isfinite(found.ranks[row, column]):
                        named[f"{a} → {b}, ranks"] = float(found.ranks[row, column])
        named |= {f"noise, {name}": float(value) for name, value in zip(found.parts, found.null_l1, strict=True)}
        return Score(named, values_used=again.game.counts.computed - before)


INFLUENCE: Final = Influence()
