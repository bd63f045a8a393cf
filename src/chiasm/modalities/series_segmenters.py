"""Ways to cut a series: stretches of time, channels, or both."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.modalities.base import Context
from chiasm.modalities.series_reading import Series

KNOWN: Final[dict[str, str]] = {
    "segments:N": "N stretches of equal length, all channels together (8 without a number)",
    "channels": "every channel, all time together",
    "cells:N": "N stretches of every channel by itself",
}
"""Name → how a series is cut."""

_SEGMENTS: Final = 8


@runtime_checkable
class SeriesSegmenter(Protocol):
    """An object that cuts a series."""

    def cut(self, content: Series, context: Context) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """Labels, and the owner of each number, ``int32[time, channels]``, −1 for none."""
        ...


def series_segmenter(spec: Any) -> SeriesSegmenter:
    """The segmenter that a word such as ``"segments:8"`` stands for; an object that is one is given back.

    Raises:
        UnknownName: no segmenter has that name.
        InvalidInput: its argument cannot be used.
    """
    if isinstance(spec, SeriesSegmenter) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no way to cut a series; give one of {', '.join(KNOWN)}.")
    name, colon, argument = spec.strip().partition(":")
    if name not in {"segments", "channels", "cells"}:
        raise UnknownName("way to cut a series", spec, KNOWN)
    if name == "channels":
        if colon:
            raise InvalidInput(f"'channels' takes no argument; {spec!r} has one.")
        return Stretches(1, apart=True)
    if colon and (not argument.isdecimal() or not 1 <= int(argument) <= 4096):
        raise InvalidInput(f"{spec!r}: {argument!r} is no number of 1 to 4,096.")
    return Stretches(int(argument) if colon else _SEGMENTS, apart=name == "cells")


@dataclass(frozen=True)
class Stretches:
    """Stretches of equal length, of all channels together or of each by itself.

    Attributes:
        count: how many stretches.
        apart: whether channels are players of their own.
    """

    count: int
    apart: bool = False

    def cut(self, content: Series, context: Context) -> tuple[tuple[str, ...], NDArray[np.int32]]:
        """See `SeriesSegmenter`.

        Raises:
            InvalidInput: fewer steps of time than stretches.
        """
        del context
        names, length = list(content), len(next(iter(content.values())))
        if length < self.count:
            raise InvalidInput(f"A series of {length} steps has no {self.count} stretches; ask for fewer.")
        edges = np.linspace(0, length, self.count + 1).round().astype(int)
        when = np.repeat(np.arange(self.count), np.diff(edges))
        times = [f"{start}–{stop - 1}" for start, stop in itertools.pairwise(edges)]
        if not self.apart:
            return tuple(times), np.repeat(when[:, None], len(names), axis=1).astype(np.int32)
        label_map = (when[:, None] + self.count * np.arange(len(names))).astype(np.int32)
        if self.count == 1:
            return tuple(names), label_map
        return tuple(f"{name} {time}" for name in names for time in times), label_map
