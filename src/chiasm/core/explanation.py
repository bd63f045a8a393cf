"""The result of an explainer: values of players and pairs, how sure they are, and where they come from."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.players import PlayerId, Players
from chiasm.core.registry import views

if TYPE_CHECKING:
    from chiasm.core.provenance import Provenance

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Prediction:
    """What the model answered on the whole sample.

    Attributes:
        answer: the model's own answer (or the answer that was asked for, if it has none of its own).
        probability: its probability in [0, 1], or ``None`` for models without probabilities.
        alternatives: other answers with their probabilities, best first.
        explained: the answer that the target speaks of.
        explained_probability: its probability.
        complete: ``False`` where the model's own answer was cut at the adapter's length limit.
    """

    answer: str
    probability: float | None = None
    alternatives: tuple[tuple[str, float], ...] = ()
    explained: str | None = None
    explained_probability: float | None = None
    complete: bool = True


@dataclass(frozen=True)
class WhatIf:
    """What the model answers when something of the sample is hidden.

    Attributes:
        removed: the parts (by name) or players (part, index) that were hidden.
        answer: the model's own answer then; ``""`` where it has nothing to say.
        probability: of that answer, or ``None`` for models without probabilities.
    """

    removed: tuple[str | PlayerId, ...]
    answer: str
    probability: float | None = None


class TopPlayer(NamedTuple):
    """A player with its value; the standard error is NaN where the method has none."""

    player: PlayerId
    label: str
    value: float
    error: float


class TopPair(NamedTuple):
    """A pair of players with its interaction; the standard error is NaN where the method has none."""

    players: tuple[PlayerId, PlayerId]
    labels: tuple[str, str]
    value: float
    error: float


class PairBlocks(Mapping[tuple[str, str], Floats]):
    """Pair values by parts: ``blocks["image", "text"]`` is ``float64[players of image, players of text]``.

    Args:
        matrix: ``float64[n, n]``, symmetric; NaN where the method gives no value.
        players: the players of rows and columns.
    """

    def __init__(self, matrix: Floats, players: Players) -> None:
        """Keep the matrix; blocks are views of it."""
        self.matrix = matrix
        self._players = players

    def __getitem__(self, parts: tuple[str, str]) -> Floats:
        """The block of two parts (or of one part with itself)."""
        if not isinstance(parts, tuple) or len(parts) != 2:
            raise InvalidInput(f"Ask for a pair of parts, e.g. interactions['a', 'b']; got {parts!r}.")
        rows, columns = parts
        self._players[rows], self._players[columns]  # raises for unknown parts
        return self.matrix[self._players.slices[rows], self._players.slices[columns]]

    def __contains__(self, parts: object) -> bool:
        """Whether both names are parts."""
        return isinstance(parts, tuple) and len(parts) == 2 and all(name in self._players.parts for name in parts)

    def get(self, parts: tuple[str, str], default: Any = None) -> Any:
        """The block, or ``default`` where a name is no part."""
        return self[parts] if parts in self else default  # noqa: SIM401 - this is get

    def __iter__(self) -> Any:
        """All pairs of different parts, in order, then each part with itself."""
        names = list(self._players.parts)
        return itertools.chain(itertools.combinations(names, 2), ((name, name) for name in names))

    def __len__(self) -> int:
        """Number of blocks."""
        p = len(self._players.parts)
        return p * (p + 1) // 2


@dataclass(eq=False, repr=False)
class Explanation:
    """Values per player and, where the method has them, per pair of players. Values are raw: no clipping, no scaling.

    Attributes:
        players: the players that were explained.
        single: ``float64[n]``, all players side by side; see ``values`` for the same by part.
        provenance: index, method, target, budget, versions …
        single_errors: standard errors of ``single``, or ``None`` where the method has none.
        pair: ``float64[n, n]``, symmetric, zero diagonal; NaN where the method gives no value; ``None`` without pairs.
        pair_errors: standard errors of ``pair``, or ``None``.
        part_values: value of the game for every coalition of whole parts (empty dict for white-box methods).
        prediction: the model's answer, or ``None`` for abstract games.
        what_if: what the model answers without each part and without the strongest pair; empty for models that write
            no answers.
    """

    players: Players
    single: Floats
    provenance: Provenance
    single_errors: Floats | None = None
    pair: Floats | None = None
    pair_errors: Floats | None = None
    part_values: dict[tuple[str, ...], float] = field(default_factory=dict)
    prediction: Prediction | None = None
    what_if: tuple[WhatIf, ...] = ()

    def __post_init__(self) -> None:
        """Check shapes, so that no view or metric has to."""
        n = len(self.players)
        wanted = {"single": (n,), "single_errors": (n,), "pair": (n, n), "pair_errors": (n, n)}
        for name, shape in wanted.items():
            array = getattr(self, name)
            if array is not None and array.shape != shape:
                raise InvalidInput(f"{name} has shape {array.shape}; {n} players need {shape}.")

    def __repr__(self) -> str:
        """What was explained, how, and the strongest findings; never the arrays."""
        p = self.provenance
        answer = f"{self.prediction.answer!r}, " if self.prediction is not None else ""
        players = ", ".join(f"{f.label} {f.value:+.3g}" for f in self.top(3))
        pairs = ""
        if self.pair is not None:
            pairs = "; pairs: " + ", ".join(f"{' × '.join(f.labels)} {f.value:+.3g}" for f in self.top_pairs(3))
        return f"Explanation({answer}{p.method} {p.index} of {p.target}, {self.players}; top: {players}{pairs})"

    @property
    def values(self) -> dict[str, Floats]:
        """Part → ``float64[players of the part]``."""
        return {name: self.single[where] for name, where in self.players.slices.items()}

    @property
    def standard_errors(self) -> dict[str, Floats] | None:
        """Part → standard errors of ``values``, or ``None`` where the method has none."""
        if self.single_errors is None:
            return None
        return {name: self.single_errors[where] for name, where in self.players.slices.items()}

    @property
    def interactions(self) -> PairBlocks:
        """Pair values by parts.

        Raises:
            MissingCapability: the method gives single players only.
        """
        return self._blocks(self.pair, "values for pairs")

    @property
    def interaction_errors(self) -> PairBlocks:
        """Standard errors of the pair values by parts.

        Raises:
            MissingCapability: the method gives none.
        """
        return self._blocks(self.pair_errors, "standard errors for pairs")

    def _blocks(self, matrix: Floats | None, what: str) -> PairBlocks:
        if matrix is None:
            raise MissingCapability(f"The method {self.provenance.method!r} gives no {what}.")
        return PairBlocks(matrix, self.players)

    @property
    def empty(self) -> float | None:
        """Value of the game with every player absent."""
        return self.part_values.get(())

    @property
    def full(self) -> float | None:
        """Value of the game with every player present."""
        return max(self.part_values.items(), key=lambda item: len(item[0]))[1] if self.part_values else None

    @property
    def efficiency_gap(self) -> float | None:
        """Σ single values − (v(N) − v(∅)); 0 for exact Shapley values. ``None`` where the index is not efficient."""
        if self.provenance.index != "SII" or self.full is None or self.empty is None:
            return None
        return float(self.single.sum() - (self.full - self.empty))

    @property
    def contributions(self) -> dict[tuple[str, ...], float]:
        """What each part gives alone and what only combinations of parts give; they sum to v(N) − v(∅).

        These are the Möbius coefficients of the game whose players are the whole parts. A combination below zero
        gives less than the sum of what its parts give alone: redundancy (either already gives it), saturation, or
        one part suppressing the other.
        """
        found: dict[tuple[str, ...], float] = {}
        for parts in sorted((p for p in self.part_values if p), key=len):
            inner = (found[sub] for k in range(1, len(parts)) for sub in itertools.combinations(parts, k))
            found[parts] = self.part_values[parts] - self.part_values[()] - sum(inner)
        return found

    def top(self, k: int = 5, part: str | None = None) -> list[TopPlayer]:
        """The k players of largest absolute value (of largest value, where values have no sign), of one part or of all.

        Raises:
            UnknownName: no such part.
        """
        if part is not None:
            _ = self.players[part]
        ids = [player for player in self.players if part is None or player[0] == part]
        size = np.abs(self.single) if self.provenance.signed else self.single
        rows = sorted(ids, key=lambda player: -size[self.players.position(player)])[:k]
        errors = self.single_errors
        return [
            TopPlayer(
                p, self.players.label(p), float(self.single[at]), float(errors[at]) if errors is not None else np.nan
            )
            for p in rows
            for at in [self.players.position(p)]
        ]

    def top_pairs(self, k: int = 5, parts: tuple[str, str] | None = None) -> list[TopPair]:
        """The k pairs of largest absolute interaction.

        Args:
            k: how many.
            parts: only pairs between these two parts; by default all pairs of players of different parts (of the
                same part, if there is only one).

        Raises:
            UnknownName: no such part.
            MissingCapability: the method gives single players only.
        """
        for name in parts or ():
            _ = self.players[name]
        matrix = self.interactions.matrix
        ids = list(self.players)
        single_part = len({player[0] for player in ids}) == 1

        def wanted(a: PlayerId, b: PlayerId) -> bool:
            if parts is not None:
                return (a[0], b[0]) == parts or (b[0], a[0]) == parts
            return single_part or a[0] != b[0]

        pairs = [
            (i, j)
            for i, j in itertools.combinations(range(len(ids)), 2)
            if wanted(ids[i], ids[j]) and not np.isnan(matrix[i, j])
        ]
        pairs.sort(key=lambda ij: -abs(matrix[ij]))
        errors = self.pair_errors
        return [
            TopPair(
                (ids[i], ids[j]),
                (self.players.label(ids[i]), self.players.label(ids[j])),
                float(matrix[i, j]),
                float(errors[i, j]) if errors is not None else float("nan"),
            )
            for i, j in pairs[:k]
        ]

    def save(self, path: str | Path) -> Path:
        """Write ``path`` (JSON) and, beside it, its arrays (npz). Both are written atomically.

        Raises:
            InvalidInput: the name does not end in ``.json``.
        """
        from chiasm.core.storage import save

        return save(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Explanation:
        """Read what `save` wrote; the round trip is exact.

        Raises:
            SchemaError: not a file of this kind, or of a newer major format.
        """
        from chiasm.core.storage import load

        return load(Path(path))

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained page."""
        return Path(views.get("html")(self, Path(path)))

    def plot(self) -> Any:
        """A matplotlib figure."""
        return views.get("figure")(self)

    def show(self) -> Any:
        """The page inside a notebook cell."""
        return views.get("notebook")(self)

    def to_shapiq(self) -> Any:
        """The same values as shapiq's ``InteractionValues`` (needs the extra ``shapiq``)."""
        from chiasm.core.exchange import to_shapiq

        return to_shapiq(self)
