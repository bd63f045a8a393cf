"""How an explanation is spread: over parts (MM-SHAP) and over players (sparseness, complexity)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.metrics.base import About, Case, Floats, Score, nothing, pair_places, undefined

_ZERO: Final = "every value is 0"


@dataclass(frozen=True)
class Shares:
    """MM-SHAP: the share of each part in the sum of absolute values, Σ_part |φ| / Σ |φ|."""

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "share of each part in the sum of absolute values"
        source = "Parcalabescu & Frank 2023 (MM-SHAP)"
        return About("shares", line, "single", "neither", 0, 1, "none", source)

    def coalitions(self, case: Case) -> Coalitions:
        """None."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """One value for each part that has players, in their order."""
        sums = {name: float(np.abs(case.explanation.values[name]).sum()) for name in case.parts}
        whole = sum(sums.values())
        if not whole:
            return undefined(case.parts[0], _ZERO)
        return Score({name: value / whole for name, value in sums.items()})


@dataclass(frozen=True)
class Concentration:
    """On how few players (and pairs) an explanation rests.

    Attributes:
        kind: ``"sparseness"``: the Gini coefficient of absolute values, 0 where all are equal and 1 − 1/n where one
            holds everything; ``"complexity"``: the entropy of their shares over that of equal shares, 1 where all are
            equal and 0 where one holds everything.
    """

    kind: Literal["sparseness", "complexity"] = "sparseness"

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        if self.kind == "sparseness":
            line = "Gini coefficient of absolute values; says nothing of their truth"
            return About("sparseness", line, "both", "higher", 0, 1, "none", "Chalasani et al. 2020")
        line = "entropy of the shares of absolute values, over its maximum; says nothing of their truth"
        return About("complexity", line, "both", "lower", 0, 1, "none", "Bhatt et al. 2020")

    def coalitions(self, case: Case) -> Coalitions:
        """None."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """All single values; each part; pairs where there are any."""
        measure = gini if self.kind == "sparseness" else entropy
        sets = {"all": case.explanation.single, **{name: case.explanation.values[name] for name in case.parts}}
        if case.explanation.pair is not None:
            sets["pairs"] = case.explanation.pair[pair_places(case.explanation)]
        found = {name: measure(values) for name, values in sets.items()}
        if not np.isfinite(found["all"]):
            return undefined("all", _ZERO)
        return Score({name: value for name, value in found.items() if np.isfinite(value)})


def gini(values: Floats) -> float:
    """Gini coefficient of absolute values; NaN where all are 0."""
    sizes = np.sort(np.abs(values))
    n, whole = len(sizes), float(sizes.sum())
    if not whole:
        return float("nan")
    return float(((2 * np.arange(1, n + 1) - n - 1) @ sizes) / (n * whole))


def entropy(values: Floats) -> float:
    """Entropy of the shares of absolute values over log n; 0 for a single value, NaN where all are 0."""
    sizes = np.abs(values)
    whole = float(sizes.sum())
    if not whole:
        return float("nan")
    shares = sizes[sizes > 0] / whole
    return float(-(shares @ np.log(shares)) / np.log(len(values))) if len(values) > 1 else 0.0


SHARES: Final = Shares()
SPARSENESS: Final = Concentration("sparseness")
COMPLEXITY: Final = Concentration("complexity")
