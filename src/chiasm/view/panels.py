"""Parts as panels. The geometry of a part's players decides how it is drawn, never the name of its modality.

Areas of a picture become a picture panel, stretches of a text become a text panel, everything else becomes bars. A
modality that wants a drawing of its own has a renderer, see `chiasm.view.renderers`; figures, which have no room for
drawings, keep the bars.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation
from chiasm.core.players import PartPlayers, Regions, Spans
from chiasm.view import findings, raster, wording
from chiasm.view.colours import Scale
from chiasm.view.numerals import percent
from chiasm.view.outlines import trace
from chiasm.view.renderers import draw_part

#: how many players of a panel have their number written beside them
NUMBERED = 3
#: … unless they are weaker than this share of the scale's limit (the strongest one always is numbered)
FAINT = 0.1
#: bars of a part without geometry; of more players only the strongest are drawn
MOST_BARS = 40
#: a text of no more stretches than this has a number on every one
FEW = 24
#: share of a picture's pixels without a player that is not worth a word
_A_FEW_PIXELS = 0.0005


#: punctuation that a line must not start with
_CLINGING = ".,;:!?…)]}»”’\"'%؟،。，？！）」』"


@dataclass(frozen=True)
class Mark:
    """One player as it is shown.

    Attributes:
        part, index: the player.
        label: its label.
        value, error: its value and standard error (NaN where unknown).
        number, error_text: the same in words.
        tint: colour on white paper.
        fill, opacity: colour to lay over a picture.
        width: length of its bar in percent of half the bar's range.
        strong: whether its number is written beside it.
    """

    part: str
    index: int
    label: str
    value: float
    error: float
    number: str
    error_text: str
    tint: str
    fill: tuple[int, int, int]
    opacity: float
    width: float
    strong: bool

    @property
    def known(self) -> bool:
        """Whether the method gave a value."""
        return not math.isnan(self.value)

    @property
    def hint(self) -> str:
        """Label, value and error in one line."""
        return f"{self.label}: {self.number} {self.error_text}".rstrip()


@dataclass(frozen=True)
class Area:
    """A player of a picture panel: its mark, outline, enclosing box and centre, in pixels of the label map."""

    mark: Mark
    path: str
    box: tuple[int, int, int, int]
    centre: tuple[float, float]


@dataclass(frozen=True)
class Stretch:
    """A piece of a text, and the player it is, if any; ``tail`` is the punctuation that must not part from it."""

    text: str
    mark: Mark | None
    tail: str = ""


@dataclass(frozen=True)
class Picture:
    """An embedded picture with the outlines of its players.

    Attributes:
        id: what other places of the page refer to it by.
        uri: ``data:`` address.
        pixels: the embedded pixels, for figures.
        size: width and height of the label map, which all coordinates are in.
        tiny: whether it is enlarged without smoothing.
        unowned: share of pixels that belong to no player.
    """

    id: str
    uri: str
    pixels: raster.Pixels
    size: tuple[int, int]
    tiny: bool
    unowned: float


@dataclass(frozen=True)
class Panel:
    """One part of the sample.

    Attributes:
        part, kind: name and modality.
        shape: ``"picture"``, ``"text"`` or ``"bars"``: the block of the template that draws it.
        marks: all players.
        picture, areas: of a picture panel.
        stretches: of a text panel: the text from start to end.
        bars: players drawn as bars: all of a part without geometry, and those of a text that own no stretch.
        left_out: players that are not drawn because there are too many.
        note: what of the part was not explained, as a sentence; empty if nothing.
        body: what the renderer of the part's modality drew in place of the shape; figures draw the shape.
    """

    part: str
    kind: str
    shape: str
    marks: tuple[Mark, ...]
    picture: Picture | None = None
    areas: tuple[Area, ...] = ()
    stretches: tuple[Stretch, ...] = ()
    bars: tuple[Mark, ...] = ()
    left_out: int = 0
    note: str = ""
    body: str | None = None

    @property
    def strongest(self) -> Mark | None:
        """The player of largest absolute value, if any value is known and not zero."""
        known = [mark for mark in self.marks if mark.known and mark.value]
        return max(known, key=lambda mark: abs(mark.value), default=None)


def strongest_first(values: NDArray[np.float64]) -> list[int]:
    """Positions by falling absolute value, unknown ones last."""
    order: list[int] = np.argsort(-np.abs(np.nan_to_num(values)), kind="stable").tolist()
    return order


def marks_of(
    part: PartPlayers, values: NDArray[np.float64], errors: NDArray[np.float64] | None, scale: Scale
) -> tuple[Mark, ...]:
    """The players of a part with values (its own, or interactions with another player), ready to be drawn."""
    first = strongest_first(values)[:NUMBERED]
    strong = {i for rank, i in enumerate(first) if abs(scale.share(float(values[i]))) > (FAINT if rank else 0)}
    return tuple(
        Mark(
            part=part.part,
            index=i,
            label=label,
            value=float(values[i]),
            error=error,
            number=scale.number(float(values[i])),
            error_text=scale.error(error),
            tint=scale.tint(float(values[i])),
            fill=scale.colour(float(values[i])),
            opacity=scale.veil(float(values[i])),
            width=round(100 * abs(scale.share(float(values[i]))), 2),
            strong=i in strong,
        )
        for i, label in enumerate(part.labels)
        for error in [float(errors[i]) if errors is not None else math.nan]
    )


def panels(explanation: Explanation, scale: Scale) -> list[Panel]:
    """A panel for every part, in order."""
    errors = explanation.standard_errors if findings.errors_shown(explanation) else None
    found = []
    for place, (name, part) in enumerate(explanation.players.parts.items()):
        marks = marks_of(part, explanation.values[name], None if errors is None else errors[name], scale)
        body = draw_part(part, marks)
        if isinstance(part.geometry, Regions) and is_picture(part, drawn=body is not None):
            panel = _picture_panel(part, part.geometry, marks, place)
        elif isinstance(part.geometry, Spans) and isinstance(part.content, str):
            panel = _text_panel(part, part.geometry, part.content, marks)
        else:
            panel = _bar_panel(part, marks)
        found.append(replace(panel, body=body))
    return [replace(panel, note=_note(panel, wording.held(explanation, panel.part))) for panel in found]


def is_picture(part: PartPlayers, *, drawn: bool = False) -> bool:
    """Whether a part can be shown as a picture with areas: its players own pixels, and its content is a picture.

    Args:
        part: the part.
        drawn: whether the part has a drawing of its own, so that two dimensions do not make it a picture in grey (they
            may be times and channels), and so that it needs no blank picture where there is no content.
    """
    if not isinstance(part.geometry, Regions) or part.geometry.label_map.ndim != 2 or not part.geometry.label_map.size:
        return False
    if part.content is None:
        return not drawn
    shape = np.shape(part.content)
    return (len(shape) == 3 and shape[2] <= 4) or (len(shape) == 2 and not drawn)


def _note(panel: Panel, held: str) -> str:
    """What of a part belongs to no player, and in which state it was."""
    if panel.picture is not None and panel.picture.unowned > _A_FEW_PIXELS:
        how = f"belongs to no explained player ({held})" if held else "belongs to no player and was always present"
        return f"{percent(panel.picture.unowned)} of the picture {how}."
    return wording.sentence(held)


def _picture_panel(part: PartPlayers, geometry: Regions, marks: tuple[Mark, ...], place: int) -> Panel:
    label_map = geometry.label_map
    height, width = label_map.shape
    shown = raster.pixels(part.content, (height, width))
    picture = Picture(
        id=f"picture-{place}",
        uri=raster.data_uri(shown),
        pixels=shown,
        size=(width, height),
        tiny=max(shown.shape[:2]) < raster.TINY,
        unowned=float((label_map < 0).mean()),
    )
    outlines = trace(label_map)
    areas = tuple(
        Area(mark, outlines[mark.index].path, outlines[mark.index].box, outlines[mark.index].centre)
        for mark in marks
        if mark.index in outlines
    )
    return Panel(part.part, part.kind, "picture", marks, picture=picture, areas=areas)


def _text_panel(part: PartPlayers, geometry: Spans, text: str, marks: tuple[Mark, ...]) -> Panel:
    stretches = tuple(_cut(text, geometry, marks))
    drawn = {stretch.mark.index for stretch in stretches if stretch.mark is not None}
    rest = tuple(mark for mark in marks if mark.index not in drawn)
    return Panel(part.part, part.kind, "text", marks, stretches=stretches, bars=rest)


def _cut(text: str, geometry: Spans, marks: tuple[Mark, ...]) -> Iterator[Stretch]:
    """The text from start to end; where players overlap, the one that starts first owns the common characters."""
    at = 0
    last: Stretch | None = None
    starts = [(int(start), int(end), i) for i, (start, end) in enumerate(geometry.bounds.tolist())]
    for start, stop, i in sorted(starts):
        begin, end = max(start, at), min(stop, len(text))
        if begin >= end:
            continue
        yield from _between(last, text[at:begin])
        last = Stretch(text[begin:end], marks[i])
        at = end
    yield from _between(last, text[at:])


def _between(last: Stretch | None, gap: str) -> Iterator[Stretch]:
    """The stretch before a gap with the punctuation that clings to it, then the rest of the gap."""
    if last is not None:
        bare = gap.lstrip(_CLINGING)
        yield replace(last, tail=gap[: len(gap) - len(bare)])
        gap = bare
    if gap:
        yield Stretch(gap, None)


def _bar_panel(part: PartPlayers, marks: tuple[Mark, ...]) -> Panel:
    kept = strongest_first(np.array([mark.value for mark in marks]))[:MOST_BARS]
    bars = tuple(marks[i] for i in sorted(kept))
    return Panel(part.part, part.kind, "bars", marks, bars=bars, left_out=len(marks) - len(bars))
