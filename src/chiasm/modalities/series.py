"""The modality of time series: content is channel → ``float64[time]``, players are stretches, channels, or both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities import series_segmenters
from chiasm.modalities.base import ContentMasker, Context, Placement, TokenMasker
from chiasm.modalities.series_reading import Series, as_array, read_series
from chiasm.modalities.series_segmenters import Stretches, series_segmenter

__all__ = ["SERIES", "Fill", "SeriesModality", "Stretches"]

KNOWN: Final[dict[str, str]] = {
    "mean": "the channel's mean",
    "zero": "0",
    "linear": "a straight line between the present numbers on both sides; the nearest one at the ends",
    "noise:SEED": "normal numbers with the channel's mean and spread, the same for the same seed",
    "series:PATH": "another series of the same channels and length",
}
"""Name → what stands where a player is absent."""
_STREAM: Final = 0x5E41E5
_THIRDS: Final = ("beginning", "middle", "end")

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fill:
    """A masker that puts other numbers where players are absent.

    Attributes:
        name: the masker as it was asked for.
        fill: numbers ``float64[time, channels]`` and which of them are shown → numbers for the others.
    """

    name: str
    fill: Callable[[Array, NDArray[np.bool_]], Array]

    def apply(self, content: Series, players: PartPlayers, present: NDArray[np.bool_]) -> list[Series]:
        """See `chiasm.modalities.base.ContentMasker`.

        Raises:
            InvalidInput: players, content and coalitions do not fit together.
        """
        values = as_array(content)
        label_map = _owners(players, values.shape)
        present = np.asarray(present, bool)
        if present.ndim != 2 or present.shape[1] != len(players):
            raise InvalidInput(f"present has shape {present.shape}; it must be (batch, {len(players)}).")
        shown = np.concatenate([present, np.ones((len(present), 1), bool)], axis=1)[:, label_map]
        found = []
        for one in shown:
            masked = values if one.all() else np.where(one, values, self.fill(values, one))
            found.append({name: masked[:, k].copy() for k, name in enumerate(content)})
        return found


def _owners(players: PartPlayers, shape: tuple[int, ...]) -> NDArray[np.int32]:
    where = players.geometry
    if not isinstance(where, Regions) or where.label_map.shape != shape:
        raise InvalidInput(f"The players of part {players.part!r} are not cut on a series of {shape[0]} × {shape[1]}.")
    return where.label_map


def _mean(values: Array, shown: NDArray[np.bool_]) -> Array:
    del shown
    return np.broadcast_to(values.mean(axis=0), values.shape)


def _zero(values: Array, shown: NDArray[np.bool_]) -> Array:
    del shown
    return np.zeros_like(values)


def _linear(values: Array, shown: NDArray[np.bool_]) -> Array:
    found = np.empty_like(values)
    when = np.arange(len(values))
    for k in range(values.shape[1]):
        seen = shown[:, k]
        found[:, k] = np.interp(when, when[seen], values[seen, k]) if seen.any() else values[:, k].mean()
    return found


def _noise(values: Array, shown: NDArray[np.bool_], *, seed: int) -> Array:
    del shown
    drawn = np.random.default_rng([_STREAM, seed]).standard_normal(values.shape)
    return np.asarray(values.mean(axis=0) + values.std(axis=0) * drawn, np.float64)


def _other(values: Array, shown: NDArray[np.bool_], *, other: Array) -> Array:
    del shown
    if other.shape != values.shape:
        raise InvalidInput(f"The other series is {other.shape} and this one {values.shape}; give one of that form.")
    return other


def series_masker(spec: Any) -> ContentMasker:
    """The masker that a word such as ``"linear"`` stands for; an object that is one already is given back.

    Raises:
        UnknownName: no masker has that name.
        InvalidInput: the name is right and its argument is not, or the masker is one of tokens.
    """
    if isinstance(spec, TokenMasker):
        raise InvalidInput(f"The masker {spec.name!r} hides tokens of a text; a series takes {', '.join(KNOWN)}.")
    if isinstance(spec, ContentMasker) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no masker of series; give one of {', '.join(KNOWN)}.")
    spec = spec.strip()
    name, colon, argument = spec.partition(":")
    plain = {"mean": _mean, "zero": _zero, "linear": _linear}
    if name in plain and not colon:
        return Fill(spec, plain[name])
    if name == "noise":
        if colon and not argument.isdecimal():
            raise InvalidInput(f"{spec!r}: the seed {argument!r} is no whole number from 0 on.")
        return Fill(spec, partial(_noise, seed=int(argument or 0)))
    if name == "series" and argument:
        return Fill(spec, partial(_other, other=as_array(read_series(argument))))
    if name in plain or name == "series":
        raise InvalidInput(f"The masker {spec!r} cannot be used; write one of {', '.join(KNOWN)}.")
    raise UnknownName("series masker", spec, KNOWN)


@dataclass(frozen=True)
class SeriesModality:
    """Time series: stretches, channels, cells; means, zeros, straight lines, noise."""

    kind: str = "series"
    default_segmenter: str = "segments:8"
    default_masker: str = "mean"

    @property
    def segmenters(self) -> dict[str, str]:
        """Name of each way to cut → what it does, in a line."""
        return dict(series_segmenters.KNOWN)

    @property
    def maskers(self) -> dict[str, str]:
        """Name of each masker → what it does, in a line."""
        return dict(KNOWN)

    def read(self, data: Any) -> Series:
        """An array, table or file → channel → ``float64[time]``; see `chiasm.modalities.series_reading.read_series`.

        Raises:
            InvalidInput: what cannot be read, with the reason.
        """
        return read_series(data)

    def segment(self, part: str, content: Series, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a series into players.

        Args:
            part: name of the part.
            content: channel → ``float64[time]``.
            segmenter: ``"segments:8"``, ``"channels"``, ``"cells:4"``, or an object with ``cut``.
            context: what the model's adapter knows of the part.

        Raises:
            UnknownName: no such segmenter.
            InvalidInput: the segmenter does not fit the series.
        """
        labels, label_map = series_segmenter(segmenter).cut(content, context)
        return PartPlayers(part, self.kind, labels, Regions(label_map), content)

    def masker(self, spec: Any) -> ContentMasker:
        """The masker for a name of `maskers`, or an object that is one.

        Raises:
            UnknownName: no such masker.
            InvalidInput: its argument cannot be used.
        """
        return series_masker(spec)

    def sorts(self, players: PartPlayers, lexicon: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """In which third of time the middle of each player lies."""
        del lexicon  # has words alone
        where = players.geometry
        if not isinstance(where, Regions):
            return list(players.labels)
        length = where.label_map.shape[0]
        middles = [np.nonzero(where.label_map == k)[0].mean() / length for k in range(len(players))]
        return [_THIRDS[min(2, int(3 * middle))] for middle in middles]

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """The share of each player's own numbers that the truth covers.

        Args:
            players: of a series.
            truth: stretches ``int[k, 2]`` of steps, end exclusive, of all channels; or a mask ``bool[time, channels]``.
            placement: of pictures alone.

        Returns:
            ``float64[players]`` in [0, 1].

        Raises:
            InvalidInput: truth of another form, or outside of the series.
        """
        del placement
        if not isinstance(players.geometry, Regions):
            raise InvalidInput(f"The players of part {players.part!r} are no parts of a series.")
        label_map, truth = players.geometry.label_map, np.asarray(truth)
        hit = np.zeros(label_map.shape, bool)
        if truth.dtype == np.bool_ and truth.shape == label_map.shape:
            hit = truth
        elif truth.size == 0 or (truth.ndim == 2 and truth.shape[1] == 2 and np.issubdtype(truth.dtype, np.integer)):
            for start, stop in truth.reshape(-1, 2).tolist():
                if not 0 <= start <= stop <= len(label_map):
                    raise InvalidInput(
                        f"The truth {truth.tolist()} does not lie in a series of {len(label_map)} steps."
                    )
                hit[start:stop] = True
        else:
            raise InvalidInput(
                f"The truth of a series is {truth.dtype}{list(truth.shape)}; give stretches int[k, 2] or a mask "
                f"bool{list(label_map.shape)}."
            )
        owned = label_map >= 0
        size = np.bincount(label_map[owned], minlength=len(players))
        inside = np.bincount(label_map[owned & hit], minlength=len(players))
        return np.asarray(inside / np.maximum(size, 1), np.float64)


SERIES: Final = SeriesModality()
