"""An explanation as one matplotlib figure for a paper. No pyplot: nothing opens, and any backend will do."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpecFromSubplotSpec

from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.storage import write_atomic
from chiasm.view import figure_panels, findings, wording
from chiasm.view.colours import Scale
from chiasm.view.numerals import count, shorten
from chiasm.view.pairs import Matrix, matrices, pair_scale
from chiasm.view.panels import Panel, panels

FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
WIDTH = 10.5
DPI = 160
#: panels of parts in one row
PER_ROW = 3
#: matrices that fit a figure
MOST_MATRICES = 3


def draw(explanation: Explanation) -> Any:
    """A figure of an explanation: what came from where, every part, and the matrix of each pair of parts.

    Returns:
        ``matplotlib.figure.Figure``.
    """
    scale = Scale.of(explanation.single)
    of_pairs = pair_scale(explanation)
    drawn = panels(explanation, scale)
    blocks = matrices(explanation, of_pairs)[:MOST_MATRICES]
    heights = _heights(explanation, drawn, blocks)
    figure = Figure(figsize=(WIDTH, 0.9 + sum(height for _, height in heights)), layout="constrained")
    figure.suptitle(figure_panels.plain(_title(explanation)), fontsize=13, fontweight="bold", x=0.01, ha="left")
    figure.supxlabel(figure_panels.plain(_caption(explanation)), fontsize=7.5, color="#525a64", x=0.01, ha="left")
    rows = figure.add_gridspec(len(heights), 1, height_ratios=[height for _, height in heights])
    for place, (what, _) in enumerate(heights):
        if what == "shares":
            figure_panels.draw_shares(figure.add_subplot(rows[place]), explanation)
        elif isinstance(what, Matrix):
            figure_panels.draw_matrix(
                figure, figure.add_subplot(rows[place]), what, of_pairs, wording.with_unit(explanation, "interaction")
            )
        else:
            _draw_parts(
                figure, rows[place].subgridspec(1, len(what)), what, scale, wording.with_unit(explanation, "value")
            )
    return figure


def write_picture(explanation: Explanation, path: str | Path) -> Path:
    """Write the figure, atomically; the ending chooses the format: ``.png``, ``.svg`` or ``.pdf``.

    Raises:
        InvalidInput: another ending, or the folder does not exist.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput(f"Cannot write a figure as {path.name!r}: the name must end in {', '.join(FORMATS)}.")
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # labels may hold characters that the font lacks: they become boxes, which is all that can be done
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        draw(explanation).savefig(buffer, format=kind, dpi=DPI)
    write_atomic(path, buffer.getvalue())
    return path


#: the same under the name of its commonest format
write_png = write_picture


def _title(explanation: Explanation) -> str:
    title = wording.title(explanation)
    other = wording.other_answer(explanation)
    return shorten(f"{title} {other}" if other else title, 90)


def _caption(explanation: Explanation) -> str:
    made = explanation.provenance
    pieces = [shorten(f"Explained: {made.target}", 90), shorten(made.index, 20), shorten(made.method, 30)]
    if made.computed:
        pieces.append(count(made.computed, "value"))
    if findings.is_exact(explanation):
        pieces.append("no sampling error")
    elif explanation.single_errors is None and explanation.pair_errors is None:
        pieces.append("no standard errors")
    return " · ".join(pieces)


def _heights(explanation: Explanation, drawn: list[Panel], blocks: list[Matrix]) -> list[tuple[Any, float]]:
    """What stands in each row of the figure, and how many inches it needs."""
    rows: list[tuple[Any, float]] = []
    if shares := wording.shares(explanation):
        rows.append(("shares", 0.9 + 0.28 * min(len(shares), figure_panels.MOST_SHARES)))
    shown = [panel for panel in drawn if panel.marks or panel.picture or panel.stretches]
    for start in range(0, len(shown), PER_ROW):
        row = shown[start : start + PER_ROW]
        rows.append((row, max(_panel_height(panel, len(row)) for panel in row)))
    rows += [(block, 1.1 + 0.22 * min(len(block.rows), figure_panels.MOST_LINES)) for block in blocks]
    return rows


def _panel_height(panel: Panel, beside: int) -> float:
    if panel.picture is not None:
        width, height = panel.picture.size
        return float(np.clip((WIDTH - 1.5) / beside * height / width, 1.5, 5.0)) + 0.5
    return 0.9 + 0.22 * min(len(panel.marks), figure_panels.MOST_LINES)


def _draw_parts(figure: Any, grid: GridSpecFromSubplotSpec, row: list[Panel], scale: Scale, label: str) -> None:
    for place, panel in enumerate(row):
        axes = figure.add_subplot(grid[0, place])
        if panel.picture is not None:
            figure_panels.draw_picture(axes, panel)
            figure_panels.add_colours(figure, axes, scale, label)
        else:
            figure_panels.draw_bars(axes, panel, scale)
