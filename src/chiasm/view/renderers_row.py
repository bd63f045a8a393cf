"""Rows of tables: a line for each player, with its columns, what they hold, a bar and a number."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from markupsafe import Markup

from chiasm.core.players import PartPlayers, Regions
from chiasm.view.numerals import shorten
from chiasm.view.panels import MOST_BARS, Mark, strongest_first

#: columns of one player, and columns of none, that are named; of more their number is told
_NAMED: Final = 6
_MISSING: Final = "missing"
#: column, value, bar, number
_COLUMNS: Final = Markup(
    '<colgroup><col style="width:30%"><col style="width:26%"><col><col style="width:6.2em"></colgroup>'
)


def draw(part: PartPlayers, marks: Sequence[Mark]) -> Markup | None:
    """A table of the row; ``None`` where there is no row to show (see `chiasm.view.renderers`)."""
    row, geometry = part.content, part.geometry
    if not isinstance(row, Mapping) or not isinstance(geometry, Regions) or geometry.label_map.shape != (len(row),):
        return None
    own: dict[int, list[str]] = {}
    for column, player in zip(row, geometry.label_map.tolist(), strict=True):
        own.setdefault(player, []).append(column)
    kept = sorted(strongest_first(np.array([mark.value for mark in marks]))[:MOST_BARS])
    lines = Markup("").join(_line(marks[k], own.get(k, []), row) for k in kept)
    drawn = Markup('<table class="bars">{}{}</table>').format(_COLUMNS, lines)
    if len(kept) < len(marks):
        drawn += Markup('<p class="soft">The {} strongest of {} players, in their order.</p>').format(
            len(kept), len(marks)
        )
    if -1 in own:
        drawn += Markup('<p class="soft" style="margin-top:8px">Not explained: {}.</p>').format(
            _several(own[-1], row, Markup(", "))
        )
    return drawn


def _line(mark: Mark, columns: list[str], row: Mapping[str, Any]) -> Markup:
    """One player: its label, what its columns hold, its bar and its number."""
    alone = columns == [mark.label]
    label, span = Markup("<bdi>{}</bdi>").format(shorten(mark.label, 90)), "" if alone else Markup(' colspan="2"')
    if not alone:
        label += Markup('<br><span class="soft">{}</span>').format(_several(columns, row, Markup(", ")))
    bar = Markup("")
    if mark.known:
        side = "left" if mark.value > 0 else "right"
        bar = Markup('<i style="{}:50%;width:{}%;background:rgb{}"></i>').format(side, mark.width / 2, mark.fill)
    return Markup(
        '<tr data-part="{part}" data-index="{index}"{value} title="{hint}">'
        '<th scope="row"{span}>{label}</th>{held}'
        '<td><div class="halves{unknown}">{bar}</div></td><td class="number">{number}</td></tr>'
    ).format(
        part=mark.part,
        index=mark.index,
        value=Markup(' data-value="{}"').format(mark.value) if mark.known else "",
        hint=mark.hint,
        span=span,
        label=label,
        held=Markup('<td style="padding-right:10px;overflow-wrap:anywhere">{}</td>').format(_value(row[columns[0]]))
        if alone
        else "",
        unknown="" if mark.known else " unknown",
        bar=bar,
        number=mark.number,
    )


def _several(columns: list[str], row: Mapping[str, Any], between: Markup) -> Markup:
    """Columns with what they hold; of many the first."""
    named = [Markup("<bdi>{}</bdi> {}").format(shorten(column, 40), _value(row[column])) for column in columns[:_NAMED]]
    if len(columns) > _NAMED:
        named.append(Markup("and {} more").format(len(columns) - _NAMED))
    return between.join(named)


def _value(value: Any) -> Markup:
    if isinstance(value, str):
        return (
            Markup("<bdi>{}</bdi>").format(shorten(value, 60)) if value else Markup('<span class="soft">empty</span>')
        )
    if math.isnan(value):
        return Markup('<span class="soft">{}</span>').format(_MISSING)
    return Markup("{}").format(f"{value:.6g}".replace("-", "−"))
