"""Maskers of rows: what stands where a column is absent."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.content import digest
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers
from chiasm.modalities.base import ContentMasker, TokenMasker
from chiasm.modalities.elements import shown
from chiasm.modalities.tabular_background import ROWS, Background, Conditional, Marginal, replaced
from chiasm.modalities.tabular_reading import Row, read_row

KNOWN: Final[dict[str, str]] = {
    "zero": "0 for numbers, nothing for texts: right for columns that are standardised, seldom for others",
    "missing": "a missing value (NaN), nothing for texts; the model must take it",
    "constant:C": "the number C for numbers, nothing for texts",
    "row:PATH": "another row (.json or .csv)",
    "mean:TABLE": "the mean of a table's column (.csv, .json, .parquet), or its commonest text",
    "median:TABLE": "the median of a table's column, or its commonest text",
    "marginal:TABLE": f"{ROWS} rows of a table, drawn by chance; a value is the mean over them",
    "marginal:R:TABLE": "the same with R rows",
    "conditional:TABLE": f"the {ROWS} rows of a table most alike in the present columns; a value is the mean over them",
    "conditional:K:TABLE": "the same with K rows",
}
"""Name → what stands where a column is absent."""


@runtime_checkable
class _HasBaseline(Protocol):
    """An object that gives a row for a row and so becomes a masker: `AnotherRow`, or your own."""

    @property
    def name(self) -> str: ...

    def baseline(self, content: Row) -> Row: ...


def tabular_masker(spec: Any) -> ContentMasker:
    """The masker that a word such as ``"mean:train.csv"`` stands for; an object that is one already is given back.

    Raises:
        UnknownName: no masker has that name.
        InvalidInput: the name is right and its argument is not, or the masker is one of tokens.
    """
    if isinstance(spec, TokenMasker):
        raise InvalidInput(f"The masker {spec.name!r} hides tokens of a text; a row takes {', '.join(KNOWN)}.")
    if isinstance(spec, Background):
        return spec.marginal()
    if isinstance(spec, ContentMasker) and not isinstance(spec, type):
        return spec
    if isinstance(spec, Mapping):
        spec = AnotherRow(spec)
    if isinstance(spec, _HasBaseline) and not isinstance(spec, type):
        return Fill(spec.name, spec.baseline)
    if not isinstance(spec, str):
        raise InvalidInput(
            f"{spec!r} is no masker of rows; give one of {', '.join(KNOWN)}, AnotherRow(row) or Background(table)."
        )
    spec = spec.strip()
    name, colon, argument = spec.partition(":")
    return _named(spec, name.lower(), argument.strip() if colon else None)


def _named(spec: str, name: str, argument: str | None) -> ContentMasker:
    """The masker of a name and its argument (``None`` without a colon)."""
    if name in {"zero", "missing"}:
        if argument is not None:
            raise InvalidInput(f"The masker {name!r} takes no argument; {spec!r} has one. Write {name!r}.")
        return Fill(spec, partial(_constant, 0.0 if name == "zero" else float("nan")))
    if name == "constant":
        return Fill(spec, partial(_constant, _number(spec, argument)))
    if name not in {"row", "mean", "median", "marginal", "conditional"}:
        raise UnknownName("tabular masker", spec, KNOWN)
    if not argument:
        raise InvalidInput(
            f"{spec!r} names no file; write '{name}:PATH'"
            + (", or pass AnotherRow(row)." if name == "row" else ", or pass Background(table) and what it offers.")
        )
    if name == "row":
        return Fill(spec, AnotherRow(argument).baseline)
    if name in {"mean", "median"}:
        return Fill(spec, partial(Background(argument).averages, median=name == "median"))
    if re.fullmatch(r"(\d+:)?\d+x\d+-[0-9a-f]{8}( \(seed \d+\))?", argument):
        raise InvalidInput(
            f"{spec!r} is what a background that was given as an object is called; give it again, as "
            f"maskers={{'tabular': Background(table)}} or '{name}:TABLE'."
        )
    counted = re.fullmatch(r"(\d{1,9}):(.+)", argument)
    rows, path = (int(counted[1]), counted[2]) if counted else (ROWS, argument)
    kind = Marginal if name == "marginal" else Conditional
    return kind(Background(path), rows, name=spec)


def _number(spec: str, argument: str | None) -> float:
    try:
        number = float(argument or "")
    except ValueError:
        number = float("inf")
    if not np.isfinite(number):
        raise InvalidInput(f"{spec!r} names no finite number; write e.g. 'constant:0.5', or pass AnotherRow(row).")
    return number


def _constant(number: float, content: Row) -> Row:
    return {name: "" if isinstance(value, str) else number for name, value in content.items()}


@dataclass(frozen=True, eq=False)
class Fill:
    """A masker that shows another row in place of absent columns.

    Attributes:
        name: the masker as it was asked for.
        fill: content → the other row, which has its columns; must depend on nothing else.
    """

    name: str
    fill: Callable[[Row], Row]

    def baseline(self, content: Row) -> Row:
        """What stands where every column is absent.

        Raises:
            UnknownName: the other row lacks a column.
        """
        other = self.fill(content)
        for column in content:
            if column not in other:
                raise UnknownName(f"column of the masker {self.name!r}:", column, other)
        return {column: other[column] for column in content}

    def apply(self, content: Row, players: PartPlayers, present: NDArray[np.bool_]) -> list[Row]:
        """The row for each coalition.

        Args:
            content: column → value.
            players: players with one-dimensional `Regions` on its columns.
            present: ``bool[batch, players]``.

        Raises:
            InvalidInput: players, row and coalitions do not fit together.
            UnknownName: the other row lacks a column.
        """
        keep = shown(players, present, len(content), "columns")
        return replaced(content, [self.baseline(content)] * len(keep), keep)


@dataclass(frozen=True, eq=False)
class AnotherRow:
    """Another row as the baseline.

    Attributes:
        row: anything that a part ``tabular`` may be; read at once. It may have more columns.
        name: how it stands in the provenance: the path, or a hash of the values.

    Raises:
        InvalidInput: the row cannot be read.
    """

    row: Any
    name: str = ""

    def __post_init__(self) -> None:
        """Read the row."""
        row = read_row(self.row)
        shown_as = self.row if isinstance(self.row, str) else digest(row)[:8]
        object.__setattr__(self, "name", self.name or f"row:{shown_as}")
        object.__setattr__(self, "row", row)

    def baseline(self, content: Row) -> Row:
        """The other row, whatever the content."""
        del content
        other: Row = self.row
        return other
