"""The rows of an audit side by side: columns that figures are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from chiasm.audits.record import Row
from chiasm.core.errors import InvalidInput
from chiasm.zoo.data.cards import Judge, same_words

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Table:
    """Rows of samples that did not fail, of one model.

    Args:
        rows: from `chiasm.audits.record.record`, with the parts of the first.
        clusters: for each row what it is drawn with; by default itself.
        judge: tells right answers.
        names, questions: of the samples, for reports; empty where they are not told.

    Raises:
        InvalidInput: no row, or rows of several parts.
    """

    rows: Sequence[Row]
    clusters: Sequence[str] = ()
    judge: Judge = field(default=same_words)
    names: Sequence[str] = ()
    questions: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Check that the rows belong together."""
        if not self.rows:
            raise InvalidInput("No sample could be audited; see the errors of the run.")
        different = {tuple(row["parts"]) for row in self.rows}
        if len(different) > 1:
            raise InvalidInput(f"The samples have different parts: {sorted(different)}; audit those of one kind.")

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the parts."""
        return tuple(self.rows[0]["parts"])

    @cached_property
    def values(self) -> Floats:
        """Values of whole parts, ``float64[rows, 2^P]``."""
        return np.array([row["values"] for row in self.rows], np.float64)

    @cached_property
    def background(self) -> Floats | None:
        """The same with absent parts from other samples, or ``None`` where some row lacks them."""
        found = [row["background"] for row in self.rows]
        return None if any(one is None for one in found) else np.array(found, np.float64)

    @cached_property
    def answers(self) -> NDArray[np.str_] | None:
        """Answers to every coalition of whole parts, ``str[rows, 2^P]``, or ``None`` for a model without answers."""
        found = [row["answers"] for row in self.rows]
        return None if any(one is None for one in found) else np.array(found)

    @cached_property
    def right(self) -> Floats | None:
        """Whether those answers are right, ``float64[rows, 2^P]``; NaN without reference, ``None`` without answers."""
        if self.answers is None or all(row["reference"] is None for row in self.rows):
            return None
        found = np.full(self.answers.shape, np.nan)
        for k, row in enumerate(self.rows):
            if row["reference"] is not None:
                found[k] = [self.judge(str(answer), row["reference"]) for answer in self.answers[k]]
        return found

    def without(self, part: int) -> int:
        """Column of the coalition of all parts but one."""
        return (1 << len(self.parts)) - 1 - (1 << part)

    def column(self, name: str) -> Floats:
        """A number of every row, NaN where a row has none (``positive``, ``negative``)."""
        return np.array([row.get(name, np.nan) for row in self.rows], np.float64)

    def own(self, part: str) -> Floats:
        """Σ|φ| of one part of every row, NaN where a row has none."""
        return np.array([row.get("own", {}).get(part, np.nan) for row in self.rows], np.float64)

    def synergy_of(self, part: str, sort: str) -> Floats:
        """Share of a sort of units of a part in the positive pair values, ``float64[rows]``.

        NaN for rows without such a unit, or without positive pair values.
        """
        found = np.full(len(self.rows), np.nan)
        for k, row in enumerate(self.rows):
            units = row.get("units", {}).get(part)
            if units is None or sort not in units["sorts"]:
                continue
            gain = np.asarray(units["positive"])
            if gain.sum() > 0:
                found[k] = gain[np.asarray(units["sorts"]) == sort].sum() / gain.sum()
        return found

    def sorts(self, part: str, least: int = 10) -> list[str]:
        """Sorts of units of a part that at least so many rows have, the most frequent first."""
        counts: dict[str, int] = {}
        for row in self.rows:
            for sort in set(row.get("units", {}).get(part, {}).get("sorts", ())):
                counts[sort] = counts.get(sort, 0) + 1
        return sorted((sort for sort, count in counts.items() if count >= least), key=lambda sort: -counts[sort])
