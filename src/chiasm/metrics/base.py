"""What a metric is: one explanation with the game it speaks of in, one score out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, distinct
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.core.target import Scale

if TYPE_CHECKING:
    from chiasm.metrics.again import Again

Floats = NDArray[np.float64]
#: what a metric looks at: values of single players, values of pairs, or both
Judges = Literal["single", "pairs", "both"]
#: characters of a content that an error shows
_SHOWN = 60
#: which way is better; ``"neither"`` describes and does not judge
Better = Literal["higher", "lower", "neither"]
#: what a metric needs besides the explanation: values of the game; planted truth; further explanations of the same
#: sample; a way to explain again; a second model trained on other labels
Need = Literal["game", "truth", "others", "again", "twin"]


@dataclass(frozen=True)
class About:
    """What a metric says of itself; ``chiasm list metrics`` shows it.

    Attributes:
        name: as in the registry.
        line: what it measures, one line.
        judges: values of single players, of pairs, or both.
        better: which way is better.
        low, high: the range that a score can have.
        cost: distinct values of the game, in words.
        source: paper, or "ours".
        needs: what it needs besides the explanation.
    """

    name: str
    line: str
    judges: Judges
    better: Better
    low: float
    high: float
    cost: str
    source: str
    needs: tuple[Need, ...] = ()

    @property
    def range(self) -> str:
        """The range in words, e.g. ``"0 to 1"``."""
        low = "−∞" if np.isneginf(self.low) else f"{self.low:g}"
        high = "∞" if np.isposinf(self.high) else f"{self.high:g}"
        return f"{low} to {high}".replace("-", "−")


@dataclass(frozen=True)
class Score:
    """What a metric found.

    Attributes:
        values: named values; the first one is the score, the others tell more. NaN stands for a score that has no
            meaning here, and a note then says why.
        error: standard error of the first, or ``None`` where there is none.
        notes: what a reader must know.
        values_used: distinct values of the game that the score rests on, however they were come by.
    """

    values: Mapping[str, float]
    error: float | None = None
    notes: tuple[str, ...] = ()
    values_used: int = 0

    def __post_init__(self) -> None:
        """Refuse scores that say nothing."""
        if not self.values:
            raise InvalidInput("A score needs at least one value.")
        if not np.isfinite(self.value) and not self.notes:
            raise InvalidInput(f"The score is {self.value}; a score without meaning needs a note that says why.")

    @property
    def value(self) -> float:
        """The score: the first of the values."""
        return float(next(iter(self.values.values())))


def undefined(name: str, why: str) -> Score:
    """The score of something that has none here."""
    return Score({name: float("nan")}, notes=(why,))


@dataclass(frozen=True, eq=False)
class Case:
    """One explanation to be judged, and all that may be needed for it.

    Attributes:
        explanation: what is judged.
        game: the game of the sample: the same for all metrics and explanations, so that values are shared.
        truth: part → share of each player that the planted truth covers, ``float64[players]`` in [0, 1]; parts without
            planted truth are left out.
        seed: of everything random in a metric; the same for all explanations of a sample.
        others: further explanations of the same sample, by name.
        again: explains once more, on another sample, model or seed.
        twin: another model of the same form, trained on other labels (an adapter).

    Raises:
        InvalidInput: the explanation is of other players than the game, or it or the truth holds values that are no
            numbers.
    """

    explanation: Explanation
    game: Game
    truth: Mapping[str, Floats] = field(default_factory=dict)
    seed: int = 0
    others: Mapping[str, Explanation] = field(default_factory=dict)
    again: Again | None = None
    twin: Any = None

    def __post_init__(self) -> None:
        """Check that explanation and game speak of the same."""
        check_players(self.explanation, self.game)
        check_values(self.explanation)
        for name, shares in self.truth.items():
            if not np.isfinite(shares).all():
                raise InvalidInput(
                    f"The truth of part {name!r} holds values that are no numbers; give shares in [0, 1]."
                )
            if np.shape(shares) != (len(self.game.players[name]),):
                raise InvalidInput(
                    f"The truth of part {name!r} has shape {np.shape(shares)}; give one share for each of its "
                    f"{len(self.game.players[name])} players."
                )

    @property
    def parts(self) -> list[str]:
        """Names of the parts that have players."""
        return [name for name, part in self.game.players.parts.items() if len(part)]

    def members(self, part: str) -> NDArray[np.bool_]:
        """The players of a part, ``bool[n]``."""
        found = np.zeros(self.game.n, bool)
        found[self.game.players.slices[part]] = True
        return found

    @cached_property
    def scale(self) -> Scale:
        """The scale that the explanation speaks of: its own where the game's values can be brought to it."""
        told = self.explanation.provenance.target_spec
        own = told.get("scale")
        if self.game.scale == "log_probability" and own == "probability" and told.get("against") is None:
            return "probability"
        return self.game.scale

    def values(self, coalitions: Coalitions) -> Floats:
        """Values on the scale that the explanation speaks of, in the shape of ``coalitions`` without its last axis."""
        return self._read(coalitions, as_probability=self.scale == "probability")

    def probabilities(self, coalitions: Coalitions) -> Floats:
        """The same, log-probabilities turned into probabilities; other scales as they come."""
        return self._read(coalitions, as_probability=True)

    def _read(self, coalitions: Coalitions, *, as_probability: bool) -> Floats:
        found = self.game(coalitions.reshape(-1, self.game.n)).reshape(coalitions.shape[:-1])
        return np.exp(found) if as_probability and self.game.scale == "log_probability" else found


class Metric(Protocol):
    """Scores explanations.

    Attributes:
        about: what it says of itself.
    """

    @property
    def about(self) -> About: ...  # noqa: D102 - said above; a property, so that frozen dataclasses serve

    def coalitions(self, case: Case) -> Coalitions:
        """All coalitions whose values `score` will ask for, ``bool[any, n]``, duplicates allowed; none if it needs no
        values or cannot know them before. All metrics of all explanations of a sample are then asked for at once.

        Raises:
            MissingCapability: the explanation cannot be judged by this metric; the message says what is missing.
        """
        ...

    def score(self, case: Case) -> Score:
        """Judge one explanation; works without `coalitions` being called before.

        Raises:
            MissingCapability: as above.
        """
        ...


#: ``(sample or None, model or None, fixed, seed)`` → explanation; see `chiasm.metrics.again.Again`
Explain = Callable[..., Explanation]


def nothing(case: Case) -> Coalitions:
    """No coalitions: for metrics that need no values."""
    return np.zeros((0, case.game.n), bool)


def count_distinct(coalitions: Coalitions) -> int:
    """How many different coalitions there are, ``bool[..., n]``."""
    return len(distinct(coalitions.reshape(-1, coalitions.shape[-1]))[0])


def check_players(explanation: Explanation, game: Game) -> None:
    """Refuse an explanation of other players.

    Raises:
        InvalidInput: another number of players in some part, or other labels.
    """
    has = {name: part.labels for name, part in explanation.players.parts.items() if len(part)}
    needs = {name: part.labels for name, part in game.players.parts.items() if len(part)}
    if has == needs and list(has) == list(needs):
        return
    sizes = [", ".join(f"{name}: {len(labels)}" for name, labels in table.items()) for table in (has, needs)]
    what = f"({sizes[0]}) and the game has ({sizes[1]})" if sizes[0] != sizes[1] else "with other labels than the game"
    other = [
        f" Its {name} was {was.content[:_SHOWN]!r}, now it is {now.content[:_SHOWN]!r}: give its sample."
        for name, now in game.players.parts.items()
        if (was := explanation.players.parts.get(name)) is not None
        and isinstance(was.content, str)
        and isinstance(now.content, str)
        and was.content != now.content
    ]
    raise InvalidInput(
        f"The explanation by {explanation.provenance.method!r} has players {what}; "
        f"evaluate it with the players, and the fixed ones, that it was made with.{''.join(other)}"
    )


def check_values(explanation: Explanation) -> None:
    """Refuse values that are no numbers. Pairs may be unknown (NaN): whoever judges pairs says what that means.

    Raises:
        InvalidInput: the message says where.
    """
    method = explanation.provenance.method
    bad = np.flatnonzero(~np.isfinite(explanation.single))
    if len(bad):
        who = list(explanation.players)[int(bad[0])]
        raise InvalidInput(f"The explanation by {method!r} has {explanation.single[bad[0]]} as the value of {who}.")
    if explanation.pair is not None and np.isinf(explanation.pair).any():
        raise InvalidInput(f"The explanation by {method!r} has infinite values of pairs.")


def pair_places(explanation: Explanation) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and columns of the pairs that are judged, row < column: those across parts, or all if there is one part."""
    part = np.concatenate([np.full(len(p), k) for k, p in enumerate(explanation.players.parts.values())])
    rows, columns = np.triu_indices(len(part), 1)
    if len(np.unique(part)) > 1:
        across = part[rows] != part[columns]
        rows, columns = rows[across], columns[across]
    return rows, columns


def pair_values(explanation: Explanation, by: str) -> Floats:
    """The values of `pair_places`, all of them numbers.

    Raises:
        MissingCapability: the method gives no pairs, or left some without a value.
    """
    method = explanation.provenance.method
    if explanation.pair is None:
        raise MissingCapability(f"{by} judges pairs; the method {method!r} gives none.")
    found: Floats = explanation.pair[pair_places(explanation)]
    if np.isnan(found).any():
        unknown = f"{int(np.isnan(found).sum())} of {len(found)}"
        raise MissingCapability(f"{by} judges pairs; {method!r} left {unknown} without a value: raise its budget.")
    return found
