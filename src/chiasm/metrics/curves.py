"""Insertion and deletion: what happens as players are added, or taken away, in the order of an explanation.

For one part the other parts stay present throughout; the joint curves move through all parts together. Values are those
of the target, log-probabilities turned into probabilities, unscaled (Petsiuk et al. 2018, RISE); the area under a curve
is the trapezoid over the fraction of players. SRG = AUC of insertion − AUC of deletion (Blücher et al. 2024) does not
depend on what hides the players as strongly as its two terms do.

**Evaluation collapse**: if the ranking of explainers by the curves of one part is the ranking by those of another, one
part was evaluated and not both. `collapse` compares the two over many samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput
from chiasm.metrics.base import About, Case, Floats, Score, count_distinct
from chiasm.metrics.orders import Counting, area, spread, tops

Curve = Literal["insertion", "deletion", "srg"]
_LINES: Final = {
    "insertion": "area under the target as the top players are added",
    "deletion": "area under the target as the top players are taken away",
    "srg": "area under insertion minus area under deletion",
}
_SOURCES: Final = {"insertion": "Petsiuk et al. 2018", "deletion": "Petsiuk et al. 2018", "srg": "Blücher et al. 2024"}


@dataclass(frozen=True)
class Curves:
    """Insertion, deletion, or their difference: joint, and for each part with the others present.

    Attributes:
        kind: which.
        steps: steps from no player to all.
        counting: for the joint curve, ``"part"``: the same fraction of each part; ``"joint"``: of all players, ranked
            together.
        ties: orders of tied players that are averaged.
    """

    kind: Curve = "insertion"
    steps: int = 10
    counting: Counting = "part"
    ties: int = 4

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        low, high = (-np.inf, np.inf)
        better: Literal["higher", "lower"] = "lower" if self.kind == "deletion" else "higher"
        cost = f"about {20 if self.kind == 'srg' else 10} a part and as many for the joint curve"
        return About(self.kind, _LINES[self.kind], "single", better, low, high, cost, _SOURCES[self.kind], ("game",))

    def curves(self, case: Case) -> dict[str, dict[str, Coalitions]]:
        """``"joint"`` or part → curve → coalitions ``bool[orders, steps + 1, n]``."""
        found = {"joint": self._both(tops(case, steps=self.steps, counting=self.counting, ties=self.ties))}
        if len(case.parts) > 1:
            own = tops(case, steps=self.steps, counting="part", ties=self.ties)
            for name in case.parts:
                member = case.members(name)
                both = self._both(own & member)
                found[name] = {k: c | ~member for k, c in both.items()}
        return found

    def _both(self, top: NDArray[np.bool_]) -> dict[str, Coalitions]:
        both = {"insertion": top, "deletion": ~top}
        return both if self.kind == "srg" else {self.kind: both[self.kind]}

    def coalitions(self, case: Case) -> Coalitions:
        """See `chiasm.metrics.base.Metric`."""
        flat = [c.reshape(-1, case.game.n) for curves in self.curves(case).values() for c in curves.values()]
        return np.concatenate(flat)

    def score(self, case: Case) -> Score:
        """The joint curve, then each part."""
        areas: dict[str, Floats] = {}
        for name, curves in self.curves(case).items():
            each = {kind: area(case.probabilities(c), axis=1) for kind, c in curves.items()}
            areas[name] = each["insertion"] - each["deletion"] if self.kind == "srg" else each[self.kind]
        return Score(
            {name: float(value.mean()) for name, value in areas.items()},
            error=spread(areas["joint"]),
            values_used=count_distinct(self.coalitions(case)),
        )


@dataclass(frozen=True)
class Collapse:
    """Agreement of the rankings of explainers by two scores.

    Attributes:
        tau: Kendall's τ-b between the explainers' mean scores; 1: one score says all that the other says.
        low, high: bounds of the bootstrap interval of ``tau``.
        within: mean over the samples of τ-b within a sample; NaN where every sample's scores are all tied.
        samples: how many samples.
        notes: what a reader must know.
    """

    tau: float
    low: float
    high: float
    within: float
    samples: int
    notes: tuple[str, ...] = ()


def collapse(
    first: ArrayLike,
    second: ArrayLike,
    *,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
    draws: int = 1000,
    seed: int = 0,
) -> Collapse:
    """Do two scores rank the explainers alike? For evaluation collapse: SRG of one part and SRG of another.

    Args:
        first: ``float[samples, explainers]``, e.g. SRG of the first part.
        second: the same explainers on the same samples, e.g. SRG of the second part.
        clusters: ``[samples]``: samples of one cluster (the same picture, say) are drawn together; by default each
            sample is a cluster of its own.
        level: of the percentile interval.
        draws: bootstrap draws.
        seed: of the draws.

    Raises:
        InvalidInput: not two tables of one shape with two explainers or more, or values that are no numbers.
    """
    a, b = (np.asarray(table, np.float64) for table in (first, second))
    if a.shape != b.shape or a.ndim != 2 or a.shape[0] < 1 or a.shape[1] < 2:
        raise InvalidInput(
            f"Give two tables [samples, explainers] of one shape, 2 explainers or more; got {a.shape}, {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise InvalidInput(
            "The tables hold values that are no numbers; leave such samples out of all explainers and say so."
        )
    labels = np.arange(len(a)) if clusters is None else np.asarray(clusters)
    if labels.shape != (len(a),):
        raise InvalidInput(f"There are {labels.shape} clusters for {len(a)} samples; give one for each sample.")
    members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    rng = np.random.default_rng([seed, 0xC0])
    found = []
    for _ in range(draws):
        rows = np.concatenate([members[k] for k in rng.integers(len(members), size=len(members))])
        found.append(_tau(a[rows].mean(axis=0), b[rows].mean(axis=0)))
    taus = np.array(found)[np.isfinite(found)]
    tail = (1 - level) / 2
    low, high = np.quantile(taus, [tail, 1 - tail]) if len(taus) else (np.nan, np.nan)
    within = np.array([_tau(x, y) for x, y in zip(a, b, strict=True)])
    inside = float(within[np.isfinite(within)].mean()) if np.isfinite(within).any() else float("nan")
    notes = () if len(members) > 1 else ("one cluster: the interval says nothing",)
    return Collapse(_tau(a.mean(axis=0), b.mean(axis=0)), float(low), float(high), inside, len(a), notes)


def _tau(x: Floats, y: Floats) -> float:
    result: Any = kendalltau(x, y)
    return float(result.statistic)


INSERTION: Final = Curves("insertion")
DELETION: Final = Curves("deletion")
SRG: Final = Curves("srg")
