"""Sanity checks: an explanation must depend on what the model learnt (Adebayo et al. 2018).

**Parameter randomisation**: the model's layers lose their weights from the answer downwards, in stages, and each time
the same answer is explained again. **Label randomisation**: the same sample is explained for a twin, a model of the
same form that was trained on other labels. An explanation that stays the same was not one of the model. The score is 1
− similarity, similarity being Spearman's ρ within each part of two players or more, averaged over the parts; of pairs
across parts too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.metrics.base import About, Case, Score, nothing, pair_places, undefined
from chiasm.metrics.fidelity import rank_correlation
from chiasm.models.randomised import randomised

_ONE_PLAYER: Final = "every part has a single player: nothing is ranked"


def similarity(first: Explanation, second: Explanation) -> dict[str, float]:
    """Spearman's ρ of ``singles`` (mean over parts of two players or more) and ``pairs``; NaN where there are none."""
    each = [rank_correlation(values, second.values[name]) for name, values in first.values.items() if len(values) > 1]
    found = {"singles": float(np.mean(each)) if each else float("nan"), "pairs": float("nan")}
    if first.pair is not None and second.pair is not None:
        places = pair_places(first)
        if len(places[0]) > 1:
            found["pairs"] = rank_correlation(first.pair[places], second.pair[places])
    return found


def _distances(first: Explanation, second: Explanation, suffix: str) -> dict[str, float]:
    alike = similarity(first, second)
    return {f"{name}{suffix}": 1 - value for name, value in alike.items() if np.isfinite(value)}


@dataclass(frozen=True)
class ParameterRandomisation:
    """1 − similarity to the explanation of the model with all weights shuffled, and of stages on the way there.

    Attributes:
        stages: how many; stage k of them has the first k/stages of the layers shuffled, counted from the answer.
        seed_offset: added to the case's seed for the shuffles.
    """

    stages: int = 3
    seed_offset: int = 0

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "1 − similarity to the explanation of the same model with its weights shuffled, layer by layer"
        cost = f"{self.stages} explanations"
        return About("randomised_weights", line, "both", "higher", 0, 2, cost, "Adebayo et al. 2018", ("again",))

    def coalitions(self, case: Case) -> Coalitions:
        """None."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """Singles with all layers shuffled, then pairs, then the stages.

        Raises:
            MissingCapability: the method cannot be repeated, or the model has no torch weights.
        """
        again = case.again
        if again is None or again.adapter is None:
            raise MissingCapability("Randomised weights need a model and a method that can explain again.")
        found: dict[str, float] = {}
        for stage in range(self.stages, 0, -1):
            suffix = "" if stage == self.stages else f", {stage}/{self.stages} of the layers"
            with randomised(again.adapter, stage / self.stages, case.seed + self.seed_offset):
                found |= _distances(case.explanation, again(adapter=again.adapter), suffix)
        return Score(found) if "singles" in found else undefined("singles", _ONE_PLAYER)


@dataclass(frozen=True)
class Twin:
    """1 − similarity to the explanation of a twin that was trained on other labels."""

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "1 − similarity to the explanation of a twin model trained on other labels"
        source = "Adebayo et al. 2018"
        return About("randomised_labels", line, "both", "higher", 0, 2, "1 explanation", source, ("again", "twin"))

    def coalitions(self, case: Case) -> Coalitions:
        """None."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """Singles, then pairs.

        Raises:
            MissingCapability: no twin is given, or the method cannot be repeated.
        """
        if case.again is None or case.twin is None:
            raise MissingCapability("Randomised labels need a twin model: evaluate(…, twin='zoo:prior-shortcut').")
        found = _distances(case.explanation, case.again(adapter=case.twin), "")
        return Score(found) if "singles" in found else undefined("singles", _ONE_PLAYER)


RANDOMISED_WEIGHTS: Final = ParameterRandomisation()
RANDOMISED_LABELS: Final = Twin()
