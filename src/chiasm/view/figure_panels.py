"""The panels of a figure: bars of shares, a tinted picture, bars of players, a matrix."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from matplotlib.patheffects import withStroke

from chiasm.core.explanation import Explanation
from chiasm.view import wording
from chiasm.view.colours import INK, LOWERS, RAISES, STRONGEST, Scale, css, mix
from chiasm.view.numerals import shorten
from chiasm.view.pairs import Matrix
from chiasm.view.panels import Panel, strongest_first
from chiasm.view.raster import faded

#: lines of a bar panel or matrix; of more players the strongest are drawn
MOST_LINES = 24
MOST_COLUMNS = 20
MOST_SHARES = 12
#: a matrix of no more cells has its numbers written in
_NUMBERED = 200
_ROOM = 0.32

COLOURS = LinearSegmentedColormap.from_list(
    "chiasm", [css(mix(LOWERS, STRONGEST)), "#ffffff", css(mix(RAISES, STRONGEST))]
).with_extremes(bad="#d8dce1")


def plain(text: str) -> str:
    """A text that matplotlib does not take for a formula."""
    return text.replace("$", r"\$")


def _name(label: str, length: int = 26) -> str:
    return plain(shorten(label, length))


def _tidy(axes: Any) -> None:
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(length=0, labelsize=8)


def add_colours(figure: Any, axes: Any, scale: Scale, label: str) -> None:
    """A colour bar beside some axes."""
    limit = scale.limit or 1.0
    bar = figure.colorbar(ScalarMappable(Normalize(-limit, limit), COLOURS), ax=axes, fraction=0.045, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=8)
    bar.outline.set_visible(False)


def draw_shares(axes: Any, explanation: Explanation) -> None:
    """What came from each part alone and from combinations, as signed bars."""
    every = wording.shares(explanation)
    kept = sorted(every, key=lambda share: -abs(share.value))[:MOST_SHARES]
    shown = [share for share in every if share in kept]
    values = np.array([share.value for share in shown])
    scale = Scale(float(np.abs(values).max(initial=0.0)))
    _horizontal(axes, [_name(share.label, 48) for share in shown], values, None, scale)
    axes.set_title("From each part alone, and only from their combination", fontsize=10, loc="left")


def _horizontal(axes: Any, labels: list[str], values: Any, errors: Any, scale: Scale) -> None:
    places = np.arange(len(values))
    colours = [css(mix(scale.colour(value), STRONGEST)) for value in values]
    known = np.nan_to_num(values)
    axes.barh(places, known, color=colours, height=0.72, xerr=errors, error_kw={"elinewidth": 0.8, "ecolor": css(INK)})
    axes.axvline(0, color=css(INK), linewidth=0.7)
    axes.set_yticks(places, labels)
    axes.set_ylim(len(values) - 0.4, -0.6)
    limit = scale.limit or 1.0
    room = _ROOM * limit  # for the numbers beside the bars
    low, high = known.min(initial=0.0), known.max(initial=0.0)
    axes.set_xlim(low - room if low < 0 else -0.01 * limit, high + room)
    for place, value in zip(places, values, strict=True):
        reach = 0.0 if errors is None or np.isnan(errors[place]) else float(errors[place])
        shift, side = (reach, "left") if not value < 0 else (-reach, "right")
        axes.annotate(
            scale.number(float(value)),
            (known[place] + shift, place),
            xytext=(3 if side == "left" else -3, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=7.5,
        )
    axes.xaxis.set_visible(False)
    axes.spines["bottom"].set_visible(False)
    _tidy(axes)


def draw_bars(axes: Any, panel: Panel, scale: Scale) -> None:
    """Players as bars, in their order; of many the strongest."""
    values = np.array([mark.value for mark in panel.marks])
    kept = sorted(strongest_first(values)[:MOST_LINES])
    title = panel.part if len(kept) == len(values) else f"{panel.part} ({len(kept)} strongest of {len(values)})"
    axes.set_title(_name(title, 48), fontsize=10, loc="left")
    if not kept:
        axes.text(0.5, 0.5, "no player of this part was explained", ha="center", va="center", fontsize=8)
        axes.set_axis_off()
        return
    errors = np.array([panel.marks[i].error for i in kept])
    labels = [_name(panel.marks[i].label) for i in kept]
    _horizontal(axes, labels, values[kept], None if np.isnan(errors).all() else errors, scale)


def draw_picture(axes: Any, panel: Panel) -> None:
    """The picture in light grey, its players tinted and outlined."""
    if panel.picture is None:
        return
    width, height = panel.picture.size
    axes.imshow(
        faded(panel.picture.pixels),
        extent=(0, width, height, 0),
        interpolation="nearest" if panel.picture.tiny else "antialiased",
    )
    for area in panel.areas:
        mark = area.mark
        axes.add_patch(
            PathPatch(
                _outline(area.path),
                facecolor=(*(c / 255 for c in mark.fill), mark.opacity) if mark.known else "none",
                edgecolor=(1, 1, 1, 0.8),
                linewidth=0.6,
                hatch=None if mark.known else "////",
            )
        )
        if mark.strong:
            axes.text(
                *area.centre,
                mark.number,
                ha="center",
                va="center",
                fontsize=8,
                fontweight="bold",
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
    axes.set_title(_name(panel.part, 48), fontsize=10, loc="left")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.set_axis_off()


def _outline(path: str) -> Outline:
    """The outlines' own path data (``M x y``, ``h``, ``v``, ``z``) as a matplotlib path."""
    points: list[tuple[float, float]] = []
    codes: list[int] = []
    x = y = 0
    for command, numbers in re.findall(r"([Mhvz])([-\d ]*)", path):
        if command == "z":
            points.append((x, y))
            codes.append(int(Outline.CLOSEPOLY))
            continue
        if command == "M":
            x, y = (int(part) for part in numbers.split())
        elif command == "h":
            x += int(numbers)
        else:
            y += int(numbers)
        points.append((x, y))
        codes.append(int(Outline.MOVETO if command == "M" else Outline.LINETO))
    return Outline(points, codes)


def draw_matrix(figure: Any, axes: Any, block: Matrix, scale: Scale, label: str) -> None:
    """Interactions of the players of two parts; of many the strongest."""
    values = np.array([[cell.value for cell in row] for row in block.cells])
    sizes = np.abs(np.nan_to_num(values))
    rows = sorted(strongest_first(sizes.max(1))[:MOST_LINES])
    columns = sorted(strongest_first(sizes.max(0))[:MOST_COLUMNS])
    shown = values[np.ix_(rows, columns)]
    limit = scale.limit or 1.0
    axes.imshow(np.ma.masked_invalid(shown), cmap=COLOURS, vmin=-limit, vmax=limit, aspect="auto")
    axes.set_yticks(range(len(rows)), [_name(block.rows[i][1]) for i in rows])
    turned = len(columns) > 9
    axes.set_xticks(
        range(len(columns)),
        [_name(block.columns[j][1], 16) for j in columns],
        rotation=45 if turned else 0,
        ha="right" if turned else "center",
    )
    cut = shown.size < values.size or bool(block.note)
    title = f"Interactions of {shorten(block.row_part, 24)} and {shorten(block.column_part, 24)}"
    axes.set_title(plain(f"{title} (the strongest)" if cut else title), fontsize=10, loc="left")
    if shown.size <= _NUMBERED:
        for (i, j), value in np.ndenumerate(shown):
            axes.text(j, i, scale.number(float(value)), ha="center", va="center", fontsize=7)
    axes.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(rows)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1)
    axes.tick_params(which="minor", length=0)
    _tidy(axes)
    axes.spines["bottom"].set_visible(False)
    add_colours(figure, axes, scale, label)
