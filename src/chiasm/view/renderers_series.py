"""Time series: a line for each channel, every player tinted behind it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from chiasm.core.players import PartPlayers, Regions
from chiasm.view.numerals import shorten
from chiasm.view.panels import Mark

#: size of the drawing, as wide as pictures are; each channel has a strip
WIDTH, STRIP, AXIS = 1000, 150, 46
#: points of a line; longer series are thinned to the least and the most of each column
_POINTS: Final = 500
#: channels that are drawn; more would be too small to read
_MOST: Final = 12


def draw(part: PartPlayers, marks: Sequence[Mark]) -> Markup | None:
    """The drawing; ``None`` where there is no series to draw (see `chiasm.view.renderers`)."""
    content, where = part.content, part.geometry
    if not isinstance(content, Mapping) or not isinstance(where, Regions) or where.label_map.ndim != 2:
        return None
    names = list(content)[:_MOST]
    label_map = where.label_map[:, : len(names)]
    height = STRIP * len(names)
    numbers: dict[int, Markup] = {}
    shapes: list[Markup] = []
    for index, channel, start, stop in _runs(label_map):
        mark = marks[index]
        left, right = WIDTH * start / len(label_map), WIDTH * stop / len(label_map)
        shapes.append(_rect(mark, left, channel * STRIP, right - left, STRIP))
        if mark.strong and index not in numbers:
            numbers[index] = Markup('<text class="value" x="{}" y="{}">{}</text>').format(
                _plain((left + right) / 2), _plain(channel * STRIP + 34), mark.number
            )
    lines = Markup("").join(_line(name, np.asarray(content[name]), k * STRIP) for k, name in enumerate(names))
    strongest = max((mark for mark in marks if mark.known and mark.value), key=lambda m: abs(m.value), default=None)
    told = f"{part.part}: the series over time, each player tinted"
    drawing = Markup(
        '<svg class="picture" role="img" aria-label="{}" viewBox="0 0 {} {}"><g class="areas">{}</g>{}{}{}</svg>'
    ).format(
        told + (f"; strongest: {strongest.hint}" if strongest else ""),
        WIDTH,
        height + AXIS,
        Markup("").join(shapes),
        lines,
        Markup("").join(numbers.values()),
        _axis(len(label_map), height),
    )
    if len(content) > _MOST:
        drawing += Markup('<p class="soft">{} of {} channels are drawn.</p>').format(_MOST, len(content))
    return drawing


def _runs(label_map: NDArray[np.int32]) -> Iterator[tuple[int, int, int, int]]:
    """Player, channel, first step and step after the last of each stretch that one player owns."""
    for channel in range(label_map.shape[1]):
        column = label_map[:, channel]
        edges = np.flatnonzero(np.diff(column)) + 1
        for start, stop in zip([0, *edges.tolist()], [*edges.tolist(), len(column)], strict=True):
            if column[start] >= 0:
                yield int(column[start]), channel, start, stop


def _rect(mark: Mark, left: float, top: float, width: float, height: float) -> Markup:
    colour = Markup(' fill="rgb{}" fill-opacity="{}"').format(mark.fill, mark.opacity) if mark.known else Markup("")
    return Markup(
        '<rect class="player{unknown}" data-part="{part}" data-index="{index}" data-at="{x} {y}"{value} x="{left}" '
        'y="{top}" width="{width}" height="{height}"{fill}><title>{hint}</title></rect>'
    ).format(
        unknown="" if mark.known else " unknown",
        part=mark.part,
        index=mark.index,
        x=_plain(left + width / 2),
        y=_plain(top + height / 2),
        value=Markup(' data-value="{}"').format(mark.value) if mark.known else "",
        left=_plain(left),
        top=_plain(top),
        width=_plain(width),
        height=_plain(height),
        fill=colour,
        hint=mark.hint,
    )


def _line(name: str, values: NDArray[np.float64], top: int) -> Markup:
    """One channel with its name, its least and its most."""
    low, high = float(values.min()), float(values.max())
    count = min(_POINTS, len(values))
    edges = np.linspace(0, len(values), count + 1).astype(int)[:-1]
    pairs = np.stack([np.minimum.reduceat(values, edges), np.maximum.reduceat(values, edges)], axis=1)
    drawn = pairs.ravel() if count < len(values) else values
    x = (np.arange(len(drawn)) + 0.5) * WIDTH / len(drawn)
    y = top + STRIP * (0.88 - 0.66 * (drawn - low) / ((high - low) or 1.0))
    path = "M" + "L".join(f"{_plain(a)} {_plain(b)}" for a, b in zip(x, y, strict=True))
    return Markup(
        '<path d="{}" fill="none" stroke="currentColor" stroke-width="2.5" pointer-events="none"/>'
        '<path d="M0 {}h{}" stroke="currentColor" stroke-opacity=".25" pointer-events="none"/>'
        '<text x="8" y="{}" font-size="22" fill="currentColor" pointer-events="none">{} '
        '<tspan fill-opacity=".65">{:.4g} to {:.4g}</tspan></text>'
    ).format(path, top + STRIP, WIDTH, top + 24, shorten(name, 40), low, high)


def _axis(steps: int, top: int) -> Markup:
    """The numbers of the first, middle and last steps."""
    ticks = [
        Markup('<text x="{}" y="{}" text-anchor="{}" font-size="24" fill="currentColor">{}</text>').format(
            x, top + 34, anchor, text
        )
        for x, anchor, text in (
            (0, "start", "step 0"),
            (WIDTH // 2, "middle", f"{(steps - 1) // 2}"),
            (WIDTH, "end", f"{steps - 1}"),
        )
    ]
    return Markup("<g>{}</g>").format(Markup("").join(ticks))


def _plain(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")
