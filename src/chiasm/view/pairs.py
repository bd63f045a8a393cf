"""Pairs of players: the table of the strongest, the matrix of each pair of parts, and where one player looks."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation, TopPair
from chiasm.core.players import PlayerId
from chiasm.view import findings
from chiasm.view.colours import Scale
from chiasm.view.panels import Area, Mark, Panel, marks_of, strongest_first

Floats = NDArray[np.float64]

#: rows of the table of pairs
TABLE = 12
#: a longer side of a matrix shows its strongest players only
MOST_ROWS = 60
MOST_COLUMNS = 60
#: a matrix of no more cells has its numbers written in
NUMBERED_CELLS = 200
#: players for which a picture shows where they look
LOOKS = 3


@dataclass(frozen=True)
class PairRow:
    """One line of the table of pairs; ``labels`` name their part where two parts are drawn alike."""

    pair: TopPair
    labels: tuple[str, str]
    number: str
    error: str
    reading: str
    tint: str


@dataclass(frozen=True)
class Cell:
    """One cell of a matrix; ``value`` is NaN where the method gives none."""

    value: float
    number: str
    tint: str

    @property
    def known(self) -> bool:
        """Whether the method gave a value."""
        return not math.isnan(self.value)


@dataclass(frozen=True)
class Matrix:
    """Interactions between the players of two parts (or of one part with itself).

    Attributes:
        row_part, column_part: the parts.
        rows, columns: shown players as (index within the part, label).
        cells: row by row.
        numbered: whether numbers are written into the cells.
        note: what was left out, in words; empty if nothing.
    """

    row_part: str
    column_part: str
    rows: tuple[tuple[int, str], ...]
    columns: tuple[tuple[int, str], ...]
    cells: tuple[tuple[Cell, ...], ...]
    numbered: bool
    note: str


@dataclass(frozen=True)
class Look:
    """A picture tinted by its players' interactions with one player of another part.

    Attributes:
        panel: the picture's panel.
        player: who looks.
        label: its label.
        areas: the picture's players with their interactions.
        strongest: the strongest of them, if any is not zero.
    """

    panel: Panel
    player: PlayerId
    label: str
    areas: tuple[Area, ...]
    strongest: Mark | None


def pair_scale(explanation: Explanation) -> Scale:
    """The scale of everything that shows pairs: of different parts, or of the only part."""
    if explanation.pair is None:
        return Scale(0.0)
    return Scale.of(*(explanation.interactions[parts] for parts in _blocks(explanation)))


def _blocks(explanation: Explanation) -> list[tuple[str, str]]:
    names = [name for name, part in explanation.players.parts.items() if len(part)]
    return list(itertools.combinations(names, 2)) if len(names) > 1 else [(names[0], names[0])]


def table(explanation: Explanation, scale: Scale) -> list[PairRow]:
    """The strongest pairs."""
    exact = findings.is_exact(explanation)
    return [
        PairRow(
            pair=pair,
            labels=(findings.label(explanation, pair.players[0]), findings.label(explanation, pair.players[1])),
            number=scale.number(pair.value),
            error="" if exact else scale.error(pair.error),
            reading=findings.reading(pair, exact=exact, limit=scale.limit),
            tint=scale.tint(pair.value),
        )
        for pair in findings.strongest_pairs(explanation, TABLE)
    ]


def matrices(explanation: Explanation, scale: Scale) -> list[Matrix]:
    """A matrix for each pair of parts of which anything is known; the part with more players gives the rows."""
    if explanation.pair is None:
        return []
    found = []
    for first, second in _blocks(explanation):
        block = explanation.interactions[first, second]
        if block.size <= 1 and first == second:
            continue
        if first == second:
            block = block.copy()
            np.fill_diagonal(block, np.nan)
        if np.isnan(block).all():
            continue
        turned = len(explanation.players[second]) > len(explanation.players[first])
        names = (second, first) if turned else (first, second)
        found.append(_matrix(explanation, names, block.T if turned else block, scale))
    return found


def _matrix(explanation: Explanation, names: tuple[str, str], block: Floats, scale: Scale) -> Matrix:
    sizes = np.abs(np.nan_to_num(block))
    rows = sorted(strongest_first(sizes.max(1))[:MOST_ROWS])
    columns = sorted(strongest_first(sizes.max(0))[:MOST_COLUMNS])
    labels = [explanation.players[name].labels for name in names]
    notes = [
        f"the {len(shown)} strongest of {len(every)} players of {name}"
        for name, shown, every in zip(names, (rows, columns), labels, strict=True)
        if len(shown) < len(every)
    ]
    return Matrix(
        row_part=names[0],
        column_part=names[1],
        rows=tuple((i, labels[0][i]) for i in rows),
        columns=tuple((j, labels[1][j]) for j in columns),
        cells=tuple(
            tuple(Cell(v, scale.number(v), scale.tint(v)) for v in row) for row in block[np.ix_(rows, columns)].tolist()
        ),
        numbered=len(rows) * len(columns) <= NUMBERED_CELLS,
        note=f"Shown: {' and '.join(notes)}." if notes else "",
    )


def looks(explanation: Explanation, drawn: list[Panel], scale: Scale) -> list[Look]:
    """For each picture and each other part: the players that interact with it most, strongest first."""
    if explanation.pair is None or not scale.limit:
        return []
    found = []
    for panel in drawn:
        if panel.picture is None:
            continue
        others = [name for name in explanation.players.parts if name != panel.part and len(explanation.players[name])]
        for other in others:
            block = np.nan_to_num(_trusted(explanation, panel.part, other))
            strength = np.sqrt((block**2).sum(0))
            found += [
                _look(explanation, panel, (other, j), scale) for j in strongest_first(strength)[:LOOKS] if strength[j]
            ]
    return found


def _trusted(explanation: Explanation, first: str, second: str) -> Floats:
    """The interactions of two parts; those that their standard errors do not tell from zero are left out."""
    block = explanation.interactions[first, second]
    if explanation.pair_errors is None or findings.is_exact(explanation):
        return block
    errors = explanation.interaction_errors[first, second]
    return np.where(np.abs(block) > findings.CONFIDENT * errors, block, np.nan)  # an unknown error fails too


def _look(explanation: Explanation, panel: Panel, player: PlayerId, scale: Scale) -> Look:
    part = explanation.players[panel.part]
    values = explanation.interactions[panel.part, player[0]][:, player[1]]
    errors = None
    if explanation.pair_errors is not None and not findings.is_exact(explanation):
        errors = explanation.interaction_errors[panel.part, player[0]][:, player[1]]
    marks = marks_of(part, values, errors, scale)
    areas = tuple(Area(marks[area.mark.index], area.path, area.box, area.centre) for area in panel.areas)
    known = [mark for mark in marks if mark.known and mark.value]
    if errors is not None:
        known = [mark for mark in known if findings.is_clear(mark.value, mark.error)]
    return Look(
        panel=panel,
        player=player,
        label=findings.label(explanation, player),
        areas=areas,
        strongest=max(known, key=lambda mark: abs(mark.value), default=None),
    )
