"""Unified stability: small changes of all parts should change an explanation no more than they change the target.

For each joint perturbation δ: dist(E(x+δ), E(x)) / dist(f(x+δ), f(x)). The distance of explanations is the relative L1
distance of their values (0 to 1), of singles and of pairs; that of the target is its change over the range that the
explanation distributes, |v(N) − v(∅)|, and at least ``floor``, so that an explanation that moves while the target
stands still has a large ratio and not an infinite one. Which changes are small is for each modality to say
(`chiasm.modalities.perturbations`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.core.sample import Part, Sample
from chiasm.metrics.again import Again
from chiasm.metrics.base import About, Case, Floats, Score, pair_places, undefined
from chiasm.metrics.influence import relative_l1
from chiasm.modalities import modalities
from chiasm.modalities.perturbations import Perturbation, perturbations


def perturbed(
    sample: Sample, rng: np.random.Generator, strength: float, own: Mapping[str, Mapping[str, Perturbation]]
) -> tuple[Sample, dict[str, str]]:
    """A sample with every part changed a little, and which change each part had.

    Args:
        sample: the sample.
        rng: chooses a perturbation for each part and draws it.
        strength: 1 is barely seen.
        own: kind → perturbations in place of the modality's.
    """
    parts: dict[str, Any] = {}
    told: dict[str, str] = {}
    for name, part in sample.parts.items():
        choices = own.get(part.kind) or perturbations(part.kind)
        content = modalities.get(part.kind).read(part.data)
        if choices:
            chosen = list(choices)[int(rng.integers(len(choices)))]
            content = choices[chosen](content, rng, strength)
            told[name] = chosen
        parts[name] = Part(part.kind, content)
    return Sample(answer=sample.answer, tags=sample.tags, id=sample.id, **parts), told


@dataclass(frozen=True)
class Stability:
    """Unified stability under joint small perturbations.

    Attributes:
        draws: perturbations.
        strength: 1 is barely seen.
        floor: least distance of the target.
        own: kind → name → perturbation in place of the modality's own.
    """

    draws: int = 4
    strength: float = 1.0
    floor: float = 0.05
    own: Mapping[str, Mapping[str, Perturbation]] = field(default_factory=dict)

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "change of the explanation over change of the target, under small changes of all parts at once"
        cost = f"{self.draws} explanations"
        source = "after Alvarez-Melis & Jaakkola 2018"
        return About("stability", line, "both", "lower", 0, np.inf, cost, source, ("game", "again"))

    def coalitions(self, case: Case) -> Coalitions:
        """The empty and the full one."""
        return np.array([np.zeros(case.game.n, bool), np.ones(case.game.n, bool)])

    def score(self, case: Case) -> Score:
        """Mean ratio, largest ratio, the two distances' means, and the same ratios of pairs where there are any.

        Raises:
            MissingCapability: the method cannot be repeated, or there is no model.
        """
        again = case.again
        if again is None or again.sample is None:
            raise MissingCapability("Stability needs a model and a method that can explain again.")
        empty, full = case.game(self.coalitions(case))
        span = max(abs(float(full - empty)), self.floor)
        moved: list[tuple[float, float, float]] = []  # singles, pairs, target
        sizes, left_out = again.sizes(again.sample), 0
        for draw in range(self.draws):
            rng = np.random.default_rng([case.seed, draw, 0x57AB])
            sample, _ = perturbed(again.sample, rng, self.strength, self.own)
            if again.sizes(sample) != sizes:
                left_out += 1
                continue
            other = again(sample=sample)
            target = abs(_full(other, again, sample) - float(full)) / span
            pairs = _pair_distance(case.explanation, other)
            moved.append((relative_l1(case.explanation.single, other.single), pairs, max(target, self.floor)))
        if not moved:
            return undefined("mean ratio", "every perturbation changed the number of players")
        single, pair, target_moved = (np.array(column) for column in zip(*moved, strict=True))
        return self._score(single, pair, target_moved, left_out)

    def _score(self, single: Floats, pair: Floats, target: Floats, left_out: int) -> Score:
        ratio = single / target
        named = {"mean ratio": float(ratio.mean()), "max ratio": float(ratio.max())}
        named |= {"explanation moved": float(single.mean()), "target moved": float(target.mean())}
        if np.isfinite(pair).all():
            named |= {"mean ratio of pairs": float((pair / target).mean())}
            named |= {"max ratio of pairs": float((pair / target).max())}
        error = float(ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else None
        notes = (f"{left_out} perturbations changed the number of players and were left out",) if left_out else ()
        return Score(named, error, notes)


def _full(explanation: Explanation, again: Again, sample: Sample) -> float:
    return explanation.full if explanation.full is not None else again.full(sample)


def _pair_distance(first: Explanation, second: Explanation) -> float:
    """Relative L1 distance of the pairs across parts; NaN without pairs."""
    if first.pair is None or second.pair is None:
        return float("nan")
    places = pair_places(first)
    return relative_l1(first.pair[places], second.pair[places])


STABILITY: Final = Stability()
