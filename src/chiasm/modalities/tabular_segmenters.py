"""Rows of tables → players: columns, families of one-hot columns, named groups."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.modalities.base import Context
from chiasm.modalities.tabular_reading import Row

KNOWN: Final[dict[str, str]] = {
    "columns": "every column",
    "families": "every column, those of a one-hot family (job_nurse, job_teacher: one is 1, the others 0) together",
    "families:A+B": "the same, of the families A and B alone",
    "groups:a+b,c": "given columns together; the others are always present",
    "groups:a+b,rest": "the same; the others are one player",
}
"""Name → what it does."""

_FAMILY: Final = re.compile(r"(.+?)[_=].+", re.DOTALL)
Cut = tuple[tuple[str, ...], NDArray[np.int32]]


@runtime_checkable
class RowSegmenter(Protocol):
    """Anything that cuts a row into players; pass your own in place of a name."""

    def cut(self, content: Row, context: Context) -> Cut:
        """Labels of the players, and ``int32[columns]``: the player of each column, −1 where there is none."""
        ...


def tabular_segmenter(spec: Any) -> RowSegmenter:
    """The segmenter that a word stands for; an object that is one already is given back, a mapping is `Groups`.

    Raises:
        UnknownName: no segmenter has that name.
        InvalidInput: the name is right and its argument is not.
    """
    if isinstance(spec, Mapping):
        return Groups(spec)
    if isinstance(spec, RowSegmenter) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no segmenter of rows; give one of {', '.join(KNOWN)}, or Groups.")
    name, colon, argument = spec.strip().partition(":")
    name = name.lower()
    if name == "columns" and not colon:
        return Columns()
    if name == "families":
        families = tuple(piece.strip() for piece in argument.split("+") if piece.strip())
        if colon and not families:
            raise InvalidInput(f"{spec!r} names no family; write e.g. 'families:job+city', or 'families'.")
        return Families(families or None)
    if name == "groups":
        return _groups(spec, argument)
    if name == "columns":
        raise InvalidInput(f"The segmenter 'columns' takes no argument; {spec!r} has one. Write 'columns'.")
    raise UnknownName("tabular segmenter", spec, KNOWN)


def _groups(spec: str, argument: str) -> Groups:
    groups = [[name.strip() for name in piece.split("+") if name.strip()] for piece in argument.split(",")]
    rest: Literal["present", "player"] = "present"
    if groups and groups[-1] == ["rest"]:
        groups, rest = groups[:-1], "player"
    if not groups or not all(groups):
        raise InvalidInput(f"{spec!r} names no groups; write e.g. 'groups:age+income,job' or 'groups:age+income,rest'.")
    _refuse_twice([name for group in groups for name in group])
    return Groups({" + ".join(group): group for group in groups}, rest)


def _refuse_twice(columns: list[str]) -> None:
    twice = next((column for column in columns if columns.count(column) > 1), None)
    if twice is not None:
        raise InvalidInput(f"Column {twice!r} stands twice in the groups; a column belongs to one.")


@dataclass(frozen=True)
class Columns:
    """Every column is a player."""

    def cut(self, content: Row, context: Context) -> Cut:
        """Labels and label map."""
        del context
        return tuple(content), np.arange(len(content), dtype=np.int32)


@dataclass(frozen=True)
class Families:
    """Every column is a player, but columns that code one choice are one together.

    Such a family is two columns or more whose names have a beginning in common, up to the first ``_`` or ``=``
    (``job_nurse``, ``job_teacher``), whose values are all 0 or 1, exactly one of them 1 in this row. To hide them one
    by one would show the model rows that cannot be: nobody has two jobs.

    Attributes:
        names: beginnings that are families, whatever their values; ``None``: found by the rule.

    Raises:
        InvalidInput: a family that is named has no column.
    """

    names: Sequence[str] | None = None

    def cut(self, content: Row, context: Context) -> Cut:
        """Labels and label map; a family stands where its first column does, under its beginning and its choice."""
        del context
        families: dict[str, list[str]] = {}
        for column in content:
            if head := self._head(column):
                families.setdefault(head, []).append(column)
        missing = [name for name in self.names or () if name not in families]
        if missing:
            raise InvalidInput(
                f"There is no family {missing[0]!r}: no column begins with it and '_' or '=', of {', '.join(content)}."
            )
        whole = {
            _label(head, columns, content): columns
            for head, columns in families.items()
            if self.names is not None or _one_hot([content[column] for column in columns])
        }
        within = {column for columns in whole.values() for column in columns}
        alone = {column: [column] for column in content if column not in within}
        return _mapped(content, _in_order(content, {**alone, **whole}))

    def _head(self, column: str) -> str | None:
        """The family that a column's name speaks of."""
        if self.names is not None:
            return next((name for name in self.names if column.startswith((f"{name}_", f"{name}="))), None)
        found = _FAMILY.fullmatch(column)
        return found[1] if found else None


def _one_hot(values: list[float | str]) -> bool:
    return len(values) > 1 and sorted(values, key=str) == [0.0] * (len(values) - 1) + [1.0]


def _label(head: str, columns: list[str], content: Row) -> str:
    """``job=nurse`` where one column is 1, else the family's name."""
    chosen = [column[len(head) + 1 :] for column in columns if content[column] == 1]
    return f"{head}={chosen[0]}" if len(chosen) == 1 else head


def _in_order(content: Row, groups: dict[str, list[str]]) -> dict[str, list[str]]:
    place = {column: at for at, column in enumerate(content)}
    return dict(sorted(groups.items(), key=lambda item: place[item[1][0]]))


@dataclass(frozen=True)
class Groups:
    """Given groups of columns as players, e.g. ``Groups({"person": ["age", "sex"], "money": ["income"]})``.

    Attributes:
        groups: label → columns.
        rest: other columns are always ``"present"``, or are one more ``"player"``, called ``"rest"``.

    Raises:
        InvalidInput: no group, an empty one, or a column in two of them.
    """

    groups: Mapping[str, Sequence[str]]
    rest: Literal["present", "player"] = "present"

    def __post_init__(self) -> None:
        """Check the groups, and freeze what was given."""
        if self.rest not in {"present", "player"}:
            raise InvalidInput(f"rest is {self.rest!r}; it is 'present' or 'player'.")
        groups = {str(name): ([one] if isinstance(one, str) else list(one)) for name, one in self.groups.items()}
        empty = next((name for name, columns in groups.items() if not columns), None)
        if not groups or empty is not None:
            raise InvalidInput(f"{'There is no group' if not groups else f'Group {empty!r} has no column'}; give some.")
        _refuse_twice([column for columns in groups.values() for column in columns])
        object.__setattr__(self, "groups", groups)

    def cut(self, content: Row, context: Context) -> Cut:
        """Labels and label map.

        Raises:
            UnknownName: a column that the row lacks.
        """
        del context
        groups = {name: list(columns) for name, columns in self.groups.items()}
        grouped = {column for columns in groups.values() for column in columns}
        for column in grouped:
            if column not in content:
                raise UnknownName("column", column, content)
        others = [column for column in content if column not in grouped]
        if self.rest == "player" and others:
            if "rest" in groups:
                raise InvalidInput("A group is called 'rest', as the player of the other columns is; rename it.")
            groups["rest"] = others
        return _mapped(content, groups)


def _mapped(content: Row, groups: Mapping[str, Sequence[str]]) -> Cut:
    owner = {column: k for k, columns in enumerate(groups.values()) for column in columns}
    return tuple(groups), np.array([owner.get(column, -1) for column in content], np.int32)
