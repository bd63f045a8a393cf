"""Ways to cut a sound: equal segments, seconds, cells of a spectrogram, words whose times are known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import Geometry, Regions, Spans
from chiasm.modalities.audio_reading import RATE, Sound
from chiasm.modalities.audio_spectrum import BINS, frames_of
from chiasm.modalities.base import Context

KNOWN: Final[dict[str, str]] = {
    "segments:N": "N stretches of equal length (8 without a number)",
    "seconds:S": "stretches of S seconds (0.25 without a number); the last may be shorter",
    "cells:FxT": "F bands of frequencies, equal on the mel scale, × T stretches of time",
}
"""Name → how a sound is cut."""

_SEGMENTS: Final = 8
_SECONDS: Final = 0.25
#: more players than this are refused: a slip of the keyboard, not a wish
_MOST: Final = 4096


@runtime_checkable
class AudioSegmenter(Protocol):
    """An object that cuts a sound."""

    def cut(self, content: Sound, context: Context) -> tuple[tuple[str, ...], Geometry]:
        """Labels, and where each player is: `Spans` in samples, or `Regions` of bins × frames of the spectrogram."""
        ...


def audio_segmenter(spec: Any) -> AudioSegmenter:
    """The segmenter that a word such as ``"segments:8"`` stands for; an object that is one is given back.

    Raises:
        UnknownName: no segmenter has that name.
        InvalidInput: its argument cannot be used.
    """
    if isinstance(spec, AudioSegmenter) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no way to cut a sound; give one of {', '.join(KNOWN)}, or WordSpans(…).")
    name, colon, argument = spec.strip().partition(":")
    if name == "segments":
        return Segments(_whole(spec, argument) if colon else _SEGMENTS)
    if name == "seconds":
        return Seconds(_positive(spec, argument) if colon else _SECONDS)
    if name == "cells":
        bands, cross, times = argument.partition("x")
        if not cross:
            raise InvalidInput(f"{spec!r}: write bands x stretches, e.g. 'cells:4x8'.")
        return Cells(_whole(spec, bands), _whole(spec, times))
    raise UnknownName("way to cut a sound", spec, KNOWN)


def _whole(spec: str, text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MOST:
        raise InvalidInput(f"{spec!r}: {text!r} is no number of 1 to {_MOST:,}.")
    return int(text)


def _positive(spec: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = 0.0
    if not 0.001 <= found <= 3600:
        raise InvalidInput(f"{spec!r}: {text!r} is no number of seconds, 0.001 to 3600.")
    return found


def _times(bounds: Sequence[tuple[int, int]]) -> tuple[str, ...]:
    """Labels of stretches: their times in seconds, to a twentieth of the shortest."""
    shortest = min(end - start for start, end in bounds) / RATE
    edges = np.unique(bounds) / RATE
    digits = next((d for d in (1, 2, 3) if np.abs(edges.round(d) - edges).max() <= shortest / 20), 4)
    return tuple(f"{start / RATE:.{digits}f}–{end / RATE:.{digits}f} s" for start, end in bounds)


def _bounds(edges: Sequence[int]) -> tuple[tuple[str, ...], Spans]:
    pairs = list(itertools.pairwise(edges))
    return _times(pairs), Spans(np.array(pairs, np.int64))


@dataclass(frozen=True)
class Segments:
    """Stretches of equal length, to a sample."""

    count: int

    def cut(self, content: Sound, context: Context) -> tuple[tuple[str, ...], Spans]:
        """See `AudioSegmenter`.

        Raises:
            InvalidInput: fewer samples than stretches.
        """
        del context
        if len(content) < self.count:
            raise InvalidInput(
                f"A sound of {len(content)} samples cannot be cut into {self.count} stretches; ask for less."
            )
        return _bounds(np.linspace(0, len(content), self.count + 1).round().astype(int).tolist())


@dataclass(frozen=True)
class Seconds:
    """Stretches of a length."""

    seconds: float

    def cut(self, content: Sound, context: Context) -> tuple[tuple[str, ...], Spans]:
        """See `AudioSegmenter`.

        Raises:
            InvalidInput: there would be too many.
        """
        del context
        step = max(1, round(self.seconds * RATE))
        if len(content) > step * _MOST:
            raise InvalidInput(f"Stretches of {self.seconds} s would be {len(content) // step:,}; ask for longer ones.")
        edges = list(range(0, len(content), step))
        return _bounds([*edges, len(content)])


@dataclass(frozen=True)
class WordSpans:
    """Words, or other events, whose times are known, as an aligner gives them; what lies between is always present.

    Attributes:
        words: a label for each.
        bounds: ``float[words, 2]``: start and end in seconds; they do not overlap.
    """

    words: Sequence[str]
    bounds: ArrayLike

    def cut(self, content: Sound, context: Context) -> tuple[tuple[str, ...], Spans]:
        """See `AudioSegmenter`.

        Raises:
            InvalidInput: times that are no such table, overlap or lie outside of the sound.
        """
        del context
        times = np.asarray(self.bounds, np.float64)
        if times.shape != (len(self.words), 2) or not len(self.words):
            raise InvalidInput(
                f"WordSpans has {len(self.words)} words and times {times.shape}; give [start, end] for each."
            )
        spans = (times * RATE).round().astype(np.int64)
        order = np.argsort(spans[:, 0], kind="stable")
        apart = (spans[order][1:, 0] >= spans[order][:-1, 1]).all()
        if not apart or (spans[:, 0] >= spans[:, 1]).any() or spans.min() < 0 or spans.max() > len(content):
            raise InvalidInput(
                f"The times {times.tolist()} overlap, are empty, or lie outside of a sound of "
                f"{len(content) / RATE:.2f} seconds."
            )
        return tuple(map(str, self.words)), Spans(spans)


@dataclass(frozen=True)
class Cells:
    """Bands of frequencies × stretches of time, on the spectrogram of `audio_spectrum`."""

    bands: int
    times: int

    def cut(self, content: Sound, context: Context) -> tuple[tuple[str, ...], Regions]:
        """See `AudioSegmenter`.

        Raises:
            InvalidInput: more cells than the spectrogram has.
        """
        del context
        frames = frames_of(len(content))
        hertz = _mel_edges(self.bands)
        rows = np.searchsorted(hertz, np.arange(BINS) * RATE / 2 / (BINS - 1), side="right") - 1
        rows = rows.clip(0, self.bands - 1)
        columns = np.arange(frames) * self.times // frames
        if len(np.unique(rows)) < self.bands or len(np.unique(columns)) < self.times:
            raise InvalidInput(
                f"'cells:{self.bands}x{self.times}' is finer than a spectrogram of {BINS} × {frames}; ask for fewer."
            )
        label_map = (rows[:, None] * self.times + columns).astype(np.int32)
        length = len(content) / RATE
        labels = tuple(
            f"{hertz[row] / 1000:.1f}–{hertz[row + 1] / 1000:.1f} kHz, "
            f"{column * length / self.times:.2f}–{(column + 1) * length / self.times:.2f} s"
            for row in range(self.bands)
            for column in range(self.times)
        )
        return labels, Regions(label_map)


def _mel_edges(bands: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Edges of bands in hertz that are equally wide in mel, 2595 · log₁₀(1 + f/700) (O'Shaughnessy 1987)."""
    top = 2595 * np.log10(1 + RATE / 2 / 700)
    return np.asarray(700 * (10 ** (np.linspace(0, top, bands + 1) / 2595) - 1), np.float64)
