"""Videos: a strip of frames, every player tinted on each frame that it is in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from markupsafe import Markup

from chiasm.core.players import PartPlayers, Regions
from chiasm.view import raster
from chiasm.view.outlines import trace
from chiasm.view.panels import Mark

#: width of the drawing, as wide as pictures are, and room between frames
WIDTH, GAP = 1000, 12
#: frames in a row, and frames that are drawn; of more, as many evenly spread ones
_ROW: Final = 4
_MOST: Final = 16


def draw(part: PartPlayers, marks: Sequence[Mark]) -> Markup | None:
    """The drawing; ``None`` where there is no video to draw (see `chiasm.view.renderers`)."""
    clip, where = part.content, part.geometry
    if not isinstance(clip, np.ndarray) or clip.ndim != 4 or not isinstance(where, Regions):
        return None
    count, high, wide = clip.shape[:3]
    shown = np.unique(np.linspace(0, count - 1, min(count, _MOST)).round().astype(int)).tolist()
    columns = min(_ROW, len(shown))
    side = (WIDTH - GAP * (columns - 1)) / columns
    tall = side * high / wide + 26
    pieces = [
        _frame(part, marks, frame, at=(k % columns * (side + GAP), k // columns * tall), side=side)
        for k, frame in enumerate(shown)
    ]
    rows = -(-len(shown) // columns)
    strongest = max((mark for mark in marks if mark.known and mark.value), key=lambda m: abs(m.value), default=None)
    told = f"{part.part}: frames of the video, each player tinted"
    drawing = Markup(
        '<svg class="picture" role="img" aria-label="{}" viewBox="0 0 {} {}">{}<g class="areas">{}</g>{}</svg>'
    ).format(
        told + (f"; strongest: {strongest.hint}" if strongest else ""),
        WIDTH,
        _plain(rows * tall),
        Markup("").join(behind for behind, _, _ in pieces),
        Markup("").join(areas for _, areas, _ in pieces),
        Markup("").join(over for _, _, over in pieces),
    )
    if len(shown) < count:
        drawing += Markup('<p class="soft">{} of {} frames are drawn.</p>').format(len(shown), count)
    return drawing


def _frame(
    part: PartPlayers, marks: Sequence[Mark], number: int, *, at: tuple[float, float], side: float
) -> tuple[Markup, Markup, Markup]:
    """The grey frame, its players, and its number with those of the strongest."""
    if not isinstance(part.geometry, Regions):
        return Markup(""), Markup(""), Markup("")
    picture, label_map = part.content[number], part.geometry.label_map[number]
    high, wide = picture.shape[:2]
    scale = side / wide
    uri = raster.data_uri(raster.faded(raster.pixels(picture, (high, wide))))
    behind = Markup('<image x="{}" y="{}" width="{}" height="{}" preserveAspectRatio="none" href="{}"/>').format(
        _plain(at[0]), _plain(at[1]), _plain(side), _plain(high * scale), uri
    )
    outlines = trace(np.ascontiguousarray(label_map))
    areas, over = (
        [],
        [
            Markup('<text x="{}" y="{}" font-size="18" fill="currentColor">frame {}</text>').format(
                _plain(at[0]), _plain(at[1] + high * scale + 19), number
            )
        ],
    )
    for mark in marks:
        if mark.index not in outlines:
            continue
        one = outlines[mark.index]
        x, y = at[0] + one.centre[0] * scale, at[1] + one.centre[1] * scale
        colour = Markup(' fill="rgb{}" fill-opacity="{}"').format(mark.fill, mark.opacity) if mark.known else Markup("")
        areas.append(
            Markup(
                '<path class="player{}" data-part="{}" data-index="{}" data-at="{} {}"{} d="{}" '
                'transform="translate({} {}) scale({})"{}><title>{}</title></path>'
            ).format(
                "" if mark.known else " unknown",
                mark.part,
                mark.index,
                _plain(x),
                _plain(y),
                Markup(' data-value="{}"').format(mark.value) if mark.known else "",
                one.path,
                _plain(at[0]),
                _plain(at[1]),
                f"{scale:.5f}",
                colour,
                mark.hint,
            )
        )
        if mark.strong:
            over.append(Markup('<text class="value" x="{}" y="{}">{}</text>').format(_plain(x), _plain(y), mark.number))
    return behind, Markup("").join(areas), Markup("").join(over)


def _plain(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")
