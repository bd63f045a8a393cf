"""Do explanations agree? Rank correlations and overlap of the top players, of single values and of pairs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import kendalltau

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.metrics.base import About, Case, Floats, Score, nothing, pair_places
from chiasm.metrics.fidelity import rank_correlation
from chiasm.metrics.orders import tie_groups

TOP: Final = 0.2
"""Share of the players that are the top, unless a number is given."""


def agreement(first: Explanation, second: Explanation, *, top: int | None = None) -> dict[str, float]:
    """How far two explanations of the same players agree.

    Args:
        first: an explanation.
        second: another one.
        top: how many players (and pairs) count as the top; by default a fifth of them, at least one.

    Returns:
        ``Spearman``, ``Kendall`` (τ-b) and ``top overlap`` (expected share of the top that both have) of all single
        values, ``Spearman, PART`` for each part of two players or more, and the first three of the pairs across parts
        (``… of pairs``) where both have them. A constant side correlates with nothing: 0.

    Raises:
        InvalidInput: other numbers of players.
    """
    sizes = [{name: len(part) for name, part in e.players.parts.items()} for e in (first, second)]
    if sizes[0] != sizes[1]:
        raise InvalidInput(f"The explanations have the players {sizes[0]} and {sizes[1]}; compare those of one cut.")
    found = _compare(first.single, second.single, top, "")
    for name, values in first.values.items():
        if len(values) > 1:
            found[f"Spearman, {name}"] = rank_correlation(values, second.values[name])
    if first.pair is not None and second.pair is not None:
        places = pair_places(first)
        x, y = first.pair[places], second.pair[places]
        both = np.isfinite(x) & np.isfinite(y)
        if both.any():
            found |= _compare(x[both], y[both], top, " of pairs")
    return found


def _compare(x: Floats, y: Floats, top: int | None, suffix: str) -> dict[str, float]:
    tau: Any = kendalltau(x, y).statistic if len(x) > 1 else 0.0
    k = max(1, round(TOP * len(x))) if top is None else min(top, len(x))
    return {
        f"Spearman{suffix}": rank_correlation(x, y),
        f"Kendall{suffix}": float(np.nan_to_num(tau)),
        f"top overlap{suffix}": float(among_top(x, k) @ among_top(y, k) / k),
    }


def among_top(values: Floats, k: int) -> Floats:
    """Probability of each value to be among the k largest, over all orders of ties: ``float64[n]``, sum k."""
    groups = tie_groups(values)
    last = int(np.sort(groups)[k - 1])
    sure, tied = groups < last, groups == last
    return np.asarray(sure + tied * ((k - sure.sum()) / tied.sum()), np.float64)


def matrix(explanations: Mapping[str, Explanation], what: str = "Spearman") -> Floats:
    """One measure of `agreement` between all explanations, ``float64[k, k]``; NaN where two do not have it."""
    each = list(explanations.values())
    found = np.eye(len(each))
    for i, a in enumerate(each):
        for j in range(i):
            found[i, j] = found[j, i] = agreement(a, each[j]).get(what, np.nan)
    return found


@dataclass(frozen=True)
class Agreement:
    """Mean agreement with the other explanations of the sample, controls left out."""

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "mean Spearman correlation with the other explanations of the sample (agreement is not truth)"
        return About("agreement", line, "both", "neither", -1, 1, "none", "Krishna et al. 2022", ("others",))

    def coalitions(self, case: Case) -> Coalitions:
        """None."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """Means of all that `agreement` measures.

        Raises:
            MissingCapability: there is no other explanation.
        """
        if not case.others:
            raise MissingCapability("Agreement needs a second explanation of the same sample.")
        each = [agreement(case.explanation, other) for other in case.others.values()]
        names = dict.fromkeys(name for found in each for name in found)
        return Score({name: float(np.mean([f[name] for f in each if name in f])) for name in names})


AGREEMENT: Final = Agreement()
