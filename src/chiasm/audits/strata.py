"""Strata of a data set: groups of samples by a column of the data, the answer, its truth, or length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.audits.table import Table
from chiasm.core.errors import UnknownName

#: fewest samples of a stratum, and most strata of a column
FEWEST: Final = 10
MOST: Final = 12
#: bands that a column of many numbers is cut into
BANDS: Final = 3


@dataclass(frozen=True, eq=False)
class Stratum:
    """Samples that share something.

    Attributes:
        column: what they are grouped by, e.g. ``"type"``.
        level: what they share, e.g. ``"counting"``.
        rows: which they are, ``int[n]``.
    """

    column: str
    level: str
    rows: NDArray[np.intp]


def columns(table: Table) -> dict[str, list[Any]]:
    """Everything that samples can be grouped by: name → a value for each row, ``None`` where it has none."""
    tags = dict.fromkeys(name for row in table.rows for name in row.get("tags", {}))
    found: dict[str, list[Any]] = {name: [row.get("tags", {}).get(name) for row in table.rows] for name in tags}
    if table.right is not None:
        found["correct"] = [None if np.isnan(one) else ("right" if one else "wrong") for one in table.right[:, -1]]
    if any(row["reference"] is not None for row in table.rows):
        found["reference"] = [row["reference"] for row in table.rows]
    if table.answers is not None:
        found["answer"] = table.answers[:, -1].tolist()
    for part in table.parts:
        found[f"{part}_length"] = [row.get("sizes", {}).get(part) for row in table.rows]
    return found


def strata(table: Table, wanted: Sequence[str] | None = None) -> list[Stratum]:
    """The strata of a table.

    Args:
        table: the rows.
        wanted: columns to group by; by default all that have 2 to `MOST` groups of `FEWEST` samples or more. A column
            of more different numbers than that is cut into `BANDS` of about equal size.

    Returns:
        In the order of the columns, groups by size.

    Raises:
        UnknownName: no such column.
    """
    known = columns(table)
    for name in wanted or ():
        if name not in known:
            raise UnknownName("column of the data", name, known)
    found: list[Stratum] = []
    for name in known if wanted is None else wanted:
        groups = list(_groups(name, known[name]))
        if wanted is not None or 2 <= len(groups) <= MOST:
            found += groups
    return found


def _groups(name: str, values: Sequence[Any]) -> Iterator[Stratum]:
    there = [value for value in values if value is not None]
    if len(set(there)) > MOST and all(isinstance(value, int | float) for value in there):
        values = _banded(values)
    rows: dict[str, list[int]] = {}
    for k, value in enumerate(values):
        if value is not None:
            rows.setdefault(_level(value), []).append(k)
    for level, members in sorted(rows.items(), key=lambda item: -len(item[1])):
        if FEWEST <= len(members) < len(values):
            yield Stratum(name, level, np.array(members, np.intp))


def _banded(values: Sequence[Any]) -> list[str | None]:
    """Numbers as bands of about equal size, named by their ends."""
    there = np.array([value for value in values if value is not None], np.float64)
    edges = np.unique(np.quantile(there, np.linspace(0, 1, BANDS + 1)))
    found: list[str | None] = []
    for value in values:
        if value is None:
            found.append(None)
            continue
        band = int(np.clip(np.searchsorted(edges, value, side="right") - 1, 0, len(edges) - 2))
        found.append(f"{edges[band]:.4g} to {edges[band + 1]:.4g}")
    return found


def _level(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)
