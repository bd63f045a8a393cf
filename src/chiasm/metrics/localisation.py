"""Does an explanation point at what was planted?

Truth is, for each player, the share of it that the planted truth covers (`chiasm.metrics.truth`). A player is *on* the
truth if that share reaches ``covered``. Order scores take signed values: a player that speaks against the target is not
pointed at. Ties are settled by expectation: a score is its mean over all orders of the tied players, in closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import MissingCapability
from chiasm.metrics.base import About, Case, Floats, Score, nothing, pair_places, pair_values, undefined
from chiasm.metrics.orders import tie_groups

Kind = Literal["pointing_game", "energy", "relevance_mass", "relevance_rank", "iou"]
Bools = NDArray[np.bool_]

_LINES: Final[dict[str, tuple[str, str]]] = {
    "pointing_game": ("probability that the top player lies on the truth", "Zhang et al. 2018"),
    "energy": ("share of the positive values that falls on the truth", "Wang et al. 2020 (Score-CAM)"),
    "relevance_mass": ("share of the absolute values that falls on the truth", "Arras et al. 2022"),
    "relevance_rank": ("share of the top K players on the truth, K of which are on it", "Arras et al. 2022"),
    "iou": ("overlap of the top K players with the K players on the truth: shared / either", "Jaccard index"),
}


@dataclass(frozen=True)
class Localisation:
    """Localisation of single players, for each part with planted truth; the score is the mean of the parts.

    Attributes:
        kind: which.
        covered: a player is on the truth if at least this share of it is covered.
    """

    kind: Kind = "pointing_game"
    covered: float = 0.05

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line, source = _LINES[self.kind]
        return About(self.kind, line, "single", "higher", 0, 1, "none", source, ("truth",))

    def coalitions(self, case: Case) -> Coalitions:
        """None."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """The mean, each part, and what chance gives.

        Raises:
            MissingCapability: the sample has no planted truth.
        """
        found: dict[str, float] = {}
        chance: dict[str, float] = {}
        notes: list[str] = []
        for name, shares, on in _planted(case, self.covered):
            value = self._one(case.explanation.values[name], shares, on)
            if value is None:
                notes.append(f"{name}: no {'positive ' if self.kind == 'energy' else ''}values to locate; counted as 0")
            found[name] = value or 0.0
            chance[f"chance, {name}"] = float((shares if self.kind in _BY_MASS else on).mean())
        if not found:
            return undefined("mean", "no player lies on the planted truth")
        named = {"mean": float(np.mean(list(found.values()))), **found}
        if self.kind != "iou":
            named |= chance
        return Score(named, notes=tuple(notes))

    def _one(self, values: Floats, shares: Floats, on: Bools) -> float | None:
        if self.kind in _BY_MASS:
            mass = np.maximum(values, 0) if self.kind == "energy" else np.abs(values)
            return float(mass @ shares / mass.sum()) if mass.sum() > 0 else None
        if self.kind == "pointing_game":
            return float(on[tie_groups(values) == 0].mean())
        k = int(on.sum())
        if self.kind == "relevance_rank":
            return top_k(values, on, k, lambda hits: hits / k)
        return top_k(values, on, k, lambda hits: hits / (2 * k - hits))


_BY_MASS: Final = ("energy", "relevance_mass")


@dataclass(frozen=True)
class PairLocalisation:
    """Cross-modal localisation: do the top pairs join planted players of different parts?

    Average precision of the pairs, by signed value: only pairs whose players help each other are pointed at. (With one
    part alone, its own pairs.)

    Attributes:
        covered: a player is on the truth if at least this share of it is covered; a pair if both of its players are.
    """

    covered: float = 0.05

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "average precision with which the top pairs join planted players of different parts"
        return About("pair_localisation", line, "pairs", "higher", 0, 1, "none", "ours", ("truth",))

    def coalitions(self, case: Case) -> Coalitions:
        """None."""
        return nothing(case)

    def score(self, case: Case) -> Score:
        """Average precision by signed value, by absolute value, and what chance gives; whether the top pair is a hit.

        Raises:
            MissingCapability: the method gives no pairs, or the sample has no planted truth.
        """
        values = pair_values(case.explanation, "pair_localisation")
        on = np.zeros(case.game.n, bool)
        for name, _, player_on in _planted(case, self.covered):
            on[case.game.players.slices[name]] = player_on
        rows, columns = pair_places(case.explanation)
        good = on[rows] & on[columns]
        if not good.any():
            return undefined("average precision", "no pair joins planted players")
        return Score(
            {
                "average precision": average_precision(values, good),
                "by size": average_precision(np.abs(values), good),
                "top pair": float(good[tie_groups(values) == 0].mean()),
                "chance": average_precision(np.zeros(len(good)), good),
            }
        )


def _planted(case: Case, covered: float) -> Iterator[tuple[str, Floats, Bools]]:
    """Parts with planted truth that reaches some player: name, shares, which players are on it."""
    if not case.truth:
        raise MissingCapability("Localisation needs planted truth; the sample has none.")
    for name, shares in case.truth.items():
        on = np.asarray(shares) >= covered
        if on.any():
            yield name, np.asarray(shares, np.float64), on


def top_k(values: Floats, on: Bools, k: int, score: Callable[[int], float]) -> float:
    """Expected score of the number of hits among the top k, over all orders of tied players."""
    groups = tie_groups(values)
    last = int(np.sort(groups)[k - 1])
    sure = groups < last
    tied, drawn = int((groups == last).sum()), k - int(sure.sum())
    good, hits = int((on & (groups == last)).sum()), int((on & sure).sum())
    total = 0.0
    for extra in range(max(0, drawn - (tied - good)), min(drawn, good) + 1):
        chance = comb(good, extra) * comb(tied - good, drawn - extra) / comb(tied, drawn)
        total += chance * score(hits + extra)
    return total


def average_precision(values: Floats, good: Bools) -> float:
    """Average precision of a ranking by value, largest first: the mean over all orders of ties.

    Source: McSherry & Najork 2008, "Computing information retrieval performance measures efficiently in the presence
    of tied scores".

    Args:
        values: ``float64[n]``.
        good: which of them are right, at least one.
    """
    groups = tie_groups(values)
    total, before, right = 0.0, 0, 0
    for group in range(int(groups.max()) + 1):
        members = groups == group
        size, hits = int(members.sum()), int((members & good).sum())
        if hits:
            place = np.arange(size)
            earlier = place * ((hits - 1) / (size - 1)) if size > 1 else 0.0
            total += float((hits / size * (right + earlier + 1) / (before + place + 1)).sum())
        before, right = before + size, right + hits
    return total / int(good.sum())


POINTING_GAME: Final = Localisation("pointing_game")
ENERGY: Final = Localisation("energy")
RELEVANCE_MASS: Final = Localisation("relevance_mass")
RELEVANCE_RANK: Final = Localisation("relevance_rank")
IOU: Final = Localisation("iou")
PAIR_LOCALISATION: Final = PairLocalisation()
