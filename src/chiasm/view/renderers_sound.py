"""Sounds: the waveform, or the spectrogram where players are cells of it, every player tinted; and a way to listen."""

from __future__ import annotations

import base64
import io
import wave
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from chiasm.core.players import PartPlayers, Regions, Spans
from chiasm.modalities.audio_reading import RATE
from chiasm.modalities.audio_spectrum import spectrum
from chiasm.view import raster
from chiasm.view.outlines import trace
from chiasm.view.panels import Mark

#: size of the drawing, as wide as pictures are
WIDTH, HEIGHT, AXIS = 1000, 260, 46
#: columns of the waveform's outline
_COLUMNS: Final = 500
#: seconds of sound that a page holds; longer ones are drawn and cannot be heard
_HEARD: Final = 30
#: decibels below the loudest cell that a spectrogram shows
_RANGE: Final = 60.0
_STEPS: Final = (0.05, 0.1, 0.2, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600)

_RECT: Final = Markup(
    '<rect class="player{unknown}" data-part="{part}" data-index="{index}" data-at="{x} {y}"{value} '
    'x="{left}" y="0" width="{width}" height="{height}"{fill}><title>{hint}</title></rect>'
)
_PATH: Final = Markup(
    '<path class="player{unknown}" data-part="{part}" data-index="{index}" data-at="{x} {y}"{value} '
    'd="{path}" transform="{transform}"{fill}><title>{hint}</title></path>'
)


def draw(part: PartPlayers, marks: Sequence[Mark]) -> Markup | None:
    """The drawing; ``None`` where there is no sound to draw (see `chiasm.view.renderers`)."""
    sound = part.content
    if not isinstance(sound, np.ndarray) or sound.ndim != 1 or not sound.size:
        return None
    if isinstance(part.geometry, Spans):
        areas, behind, over = _stretches(part.geometry, marks, len(sound)), Markup(""), _waveform(sound)
    elif isinstance(part.geometry, Regions) and part.geometry.label_map.ndim == 2:
        areas, behind, over = _cells(part.geometry, marks), _spectrogram(sound), Markup("")
    else:
        return None
    numbers = Markup("").join(
        Markup('<text class="value" x="{}" y="{}">{}</text>').format(_plain(x), _plain(y), mark.number)
        for mark, (x, y), _ in areas
        if mark.strong
    )
    strongest = max((mark for mark in marks if mark.known and mark.value), key=lambda m: abs(m.value), default=None)
    told = f"{part.part}: the sound over time, each player tinted" + (
        f"; strongest: {strongest.hint}" if strongest else ""
    )
    drawing = Markup(
        '<svg class="picture" role="img" aria-label="{}" viewBox="0 0 {} {}">{}<g class="areas">{}</g>{}{}{}</svg>'
    ).format(
        told,
        WIDTH,
        HEIGHT + AXIS,
        behind,
        Markup("").join(shape for _, _, shape in areas),
        over,
        numbers,
        _axis(len(sound) / RATE),
    )
    return drawing + _listen(sound, part.part)


_Area = tuple[Mark, tuple[float, float], Markup]


def _stretches(geometry: Spans, marks: Sequence[Mark], length: int) -> list[_Area]:
    found = []
    for mark, (start, end) in zip(marks, geometry.bounds.tolist(), strict=True):
        left, right = WIDTH * start / length, WIDTH * end / length
        middle = (left + right) / 2
        shape = _RECT.format(
            **_attributes(mark, middle, HEIGHT / 2), left=_plain(left), width=_plain(right - left), height=HEIGHT
        )
        found.append((mark, (middle, HEIGHT * 0.12), shape))
    return found


def _cells(geometry: Regions, marks: Sequence[Mark]) -> list[_Area]:
    """Cells as areas of the drawing, low frequencies at the bottom."""
    bins, frames = geometry.label_map.shape
    outlines = trace(np.ascontiguousarray(geometry.label_map[::-1]))
    across, down = WIDTH / frames, HEIGHT / bins
    found = []
    for mark in marks:
        if mark.index not in outlines:
            continue
        one = outlines[mark.index]
        x, y = one.centre[0] * across, one.centre[1] * down
        scale = f"scale({_plain(across, 5)} {_plain(down, 5)})"
        shape = _PATH.format(**_attributes(mark, x, y), path=one.path, transform=scale)
        found.append((mark, (x, y), shape))
    return found


def _attributes(mark: Mark, x: float, y: float) -> dict[str, object]:
    colour = Markup(' fill="rgb{}" fill-opacity="{}"').format(mark.fill, mark.opacity) if mark.known else Markup("")
    return {
        "unknown": "" if mark.known else " unknown",
        "part": mark.part,
        "index": mark.index,
        "x": _plain(x),
        "y": _plain(y),
        "value": Markup(' data-value="{}"').format(mark.value) if mark.known else "",
        "fill": colour,
        "hint": mark.hint,
    }


def _waveform(sound: NDArray[np.float32]) -> Markup:
    """The outline of the loudest and the lowest samples of each column, over the tints."""
    edges = np.linspace(0, len(sound), min(_COLUMNS, len(sound)) + 1).astype(int)[:-1]
    high, low = np.maximum.reduceat(sound, edges), np.minimum.reduceat(sound, edges)
    loudest = float(max(np.abs(high).max(), np.abs(low).max(), 1e-9))
    x = (np.arange(len(edges)) + 0.5) * WIDTH / len(edges)
    middle, half = HEIGHT / 2, 0.46 * HEIGHT
    top = [f"{_plain(a)} {_plain(middle - half * b / loudest)}" for a, b in zip(x, high, strict=True)]
    bottom = [f"{_plain(a)} {_plain(middle - half * b / loudest)}" for a, b in zip(x[::-1], low[::-1], strict=True)]
    outline = "M" + "L".join([*top, *bottom]) + "Z"
    return Markup(
        '<path d="{}" fill="currentColor" fill-opacity=".55" stroke="currentColor" stroke-width="1" '
        'pointer-events="none"/>'
    ).format(outline)


def _spectrogram(sound: NDArray[np.float32]) -> Markup:
    """The spectrogram in decibels, loud is dark."""
    loud = 20 * np.log10(np.abs(spectrum(sound)) + 1e-9)
    shade = ((loud - loud.max()) / _RANGE + 1).clip(0, 1)[::-1]
    uri = raster.data_uri(raster.pixels((245 - 150 * shade).astype(np.uint8), shade.shape))
    return Markup(
        '<image width="{}" height="{}" preserveAspectRatio="none" href="{}"/>'
        '<g font-size="22" fill="#1b1f24" pointer-events="none"><text x="6" y="24">{:g} kHz</text>'
        '<text x="6" y="{}">0</text></g>'
    ).format(WIDTH, HEIGHT, uri, RATE / 2000, HEIGHT - 8)


def _axis(seconds: float) -> Markup:
    """Ticks of time under the drawing."""
    step = next((step for step in _STEPS if seconds / step <= 8), 3600)
    digits = 2 if step < 0.1 or step == 0.25 else 1 if step < 1 else 0

    def ticks() -> Iterator[Markup]:
        for k in range(int(seconds / step + 1e-9) + 1):
            x = WIDTH * k * step / seconds
            anchor = "start" if x < 30 else "end" if x > WIDTH - 30 else "middle"
            text = f"{k * step:.{digits}f}" + (" s" if k == 0 else "")
            yield Markup('<path d="M{0} {1}v8" stroke="currentColor"/><text x="{0}" y="{2}" {3}>{4}</text>').format(
                _plain(x),
                HEIGHT,
                HEIGHT + 34,
                Markup('text-anchor="{}" font-size="24" fill="currentColor"').format(anchor),
                text,
            )

    return Markup("<g>{}</g>").format(Markup("").join(ticks()))


def _listen(sound: NDArray[np.float32], name: str) -> Markup:
    """A control that plays the sound, which the page holds; a line instead where it is too long."""
    if len(sound) > _HEARD * RATE:
        return Markup('<p class="soft">Longer than {} seconds: drawn, and not held by this page.</p>').format(_HEARD)
    file = io.BytesIO()
    with wave.open(file, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(RATE)
        written.writeframes((sound.clip(-1, 1) * 32767).round().astype("<i2").tobytes())
    data = base64.b64encode(file.getvalue()).decode("ascii")
    return Markup(
        '<audio controls preload="none" style="width:100%;height:36px;margin-top:8px" aria-label="{}" '
        'src="data:audio/wav;base64,{}"></audio>'
    ).format(f"{name}: listen", data)


def _plain(number: float, digits: int = 1) -> str:
    return f"{number:.{digits}f}".rstrip("0").rstrip(".")
