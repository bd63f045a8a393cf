"""How far scores depend on what hides the players: the same explanations, one baseline after the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.metrics.evaluate import Explanations, evaluate
from chiasm.metrics.fidelity import rank_correlation
from chiasm.metrics.scores import Scores
from chiasm.models.base import Adapter
from chiasm.models.games import PartChoice


@dataclass(frozen=True)
class BaselineScores:
    """Scores under several baselines.

    Attributes:
        by_baseline: baseline → scores.
    """

    by_baseline: Mapping[str, Scores]

    def values(self, explanation: str, metric: str) -> dict[str, float]:
        """Baseline → score; NaN where there is none.

        Raises:
            UnknownName: no such explanation or metric.
        """
        found = {}
        for name, scores in self.by_baseline.items():
            score = scores.row(explanation, metric).score
            found[name] = float("nan") if score is None else score.value
        return found

    def spread(self, explanation: str, metric: str) -> float:
        """Largest minus smallest score of an explanation over the baselines."""
        found = list(self.values(explanation, metric).values())
        return float(np.nanmax(found) - np.nanmin(found)) if np.isfinite(found).any() else float("nan")

    def rank_agreement(self, metric: str) -> float:
        """Mean Spearman correlation, between two baselines, of the scores of all explanations, controls among them.

        1: the baseline does not change who is better. NaN with fewer than three explanations that have scores.
        """
        scores = list(self.by_baseline.values())
        table = np.array([[self.values(name, metric)[b] for b in self.by_baseline] for name in scores[0].explanations])
        table = table[np.isfinite(table).all(axis=1)]
        if len(table) < 3:
            return float("nan")
        k = table.shape[1]
        return float(np.mean([rank_correlation(table[:, i], table[:, j]) for i in range(k) for j in range(i)]))


def over_baselines(
    model: Adapter | str,
    sample: Sample,
    explanations: Explanations,
    baselines: Mapping[str, PartChoice],
    **options: Any,
) -> BaselineScores:
    """Evaluate explanations once for each baseline.

    Args:
        model: as in `chiasm.metrics.evaluate.evaluate`.
        sample: as there.
        explanations: as there; they stay what they are, whatever baseline they were made with.
        baselines: name → maskers, e.g. ``{"blur": {"image": "blur:8"}, "grey": {"image": "grey"}}``; a part that is not
            named keeps the masker that suits the model.
        **options: further options of `evaluate`, ``maskers`` excepted.

    Raises:
        InvalidInput: fewer than two baselines.
    """
    if len(baselines) < 2:
        raise InvalidInput(f"Give two baselines or more to compare; got {', '.join(baselines) or 'none'}.")
    found = {
        name: evaluate(model, sample, explanations, maskers=choice, **options) for name, choice in baselines.items()
    }
    return BaselineScores(found)
