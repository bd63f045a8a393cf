"""The modality of sounds: content is ``float32[samples]`` at 16,000 a second, players are stretches or cells of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.core.players import PartPlayers, Regions, Spans
from chiasm.modalities import audio_maskers, audio_segmenters
from chiasm.modalities.audio_maskers import AnotherSound, Mixed, audio_masker
from chiasm.modalities.audio_reading import RATE, Sound, read_sound
from chiasm.modalities.audio_segmenters import Cells, Seconds, Segments, WordSpans, audio_segmenter
from chiasm.modalities.audio_spectrum import HOP
from chiasm.modalities.base import ContentMasker, Context, Placement

__all__ = ["AUDIO", "RATE", "AnotherSound", "AudioModality", "Cells", "Mixed", "Seconds", "Segments", "WordSpans"]

_THIRDS: Final = ("beginning", "middle", "end")


@dataclass(frozen=True)
class AudioModality:
    """Sounds: segments, seconds, cells of a spectrogram, words; silence, noise, another sound."""

    kind: str = "audio"
    default_segmenter: str = "segments:8"
    default_masker: str = "silence"

    @property
    def segmenters(self) -> dict[str, str]:
        """Name of each way to cut → what it does, in a line."""
        return dict(audio_segmenters.KNOWN)

    @property
    def maskers(self) -> dict[str, str]:
        """Name of each masker → what it does, in a line."""
        return dict(audio_maskers.KNOWN)

    def read(self, data: Any) -> Sound:
        """A path, array, ``(array, rate)`` … → ``float32[samples]``; see `chiasm.modalities.audio_reading.read_sound`.

        Raises:
            InvalidInput: what cannot be read, with the reason.
            MissingDependency: a file that is no WAV file, without ``soundfile``.
        """
        return read_sound(data)

    def segment(self, part: str, content: Sound, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a sound into players.

        Args:
            part: name of the part.
            content: ``float32[samples]``.
            segmenter: ``"segments:8"``, ``"seconds:0.25"``, ``"cells:4x8"``, `WordSpans`, or an object with ``cut``.
            context: what the model's adapter knows of the part.

        Raises:
            UnknownName: no such segmenter.
            InvalidInput: the segmenter does not fit the sound.
        """
        labels, geometry = audio_segmenter(segmenter).cut(content, context)
        return PartPlayers(part, self.kind, labels, geometry, content)

    def masker(self, spec: Any) -> ContentMasker:
        """The masker for ``"silence"``, ``"noise:SEED"``, ``"mean:SEED"``, ``"sound:PATH"``, an `AnotherSound` or an
        object that is one.

        Raises:
            UnknownName: no such masker.
            InvalidInput: its argument cannot be used.
        """
        return audio_masker(spec)

    def sorts(self, players: PartPlayers, lexicon: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """In which third of the sound the middle of each player lies: ``"beginning"``, ``"middle"`` or ``"end"``."""
        del lexicon  # has words alone
        spans, length = _stretches(players)
        middle = spans.mean(axis=1) / max(length, 1)
        return [_THIRDS[k] for k in (3 * middle).astype(int).clip(0, 2).tolist()]

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """The share of each player's own time that the truth covers.

        Args:
            players: stretches, or cells, which have their frames' time.
            truth: ``float[k, 2]``: start and end in seconds; their union counts.
            placement: of pictures alone.

        Returns:
            ``float64[players]`` in [0, 1].

        Raises:
            InvalidInput: truth of another shape, or outside of the sound.
        """
        del placement
        spans, length = _stretches(players)
        truth = np.asarray(truth)
        if truth.size == 0:
            return np.zeros(len(players))
        if truth.ndim != 2 or truth.shape[1] != 2 or not np.issubdtype(truth.dtype, np.number):
            raise InvalidInput(
                f"The truth of a sound is {truth.dtype}{list(truth.shape)}; give start and end in seconds, float[k, 2]."
            )
        ends = (truth.astype(np.float64) * RATE).round().astype(np.int64)
        if (ends[:, 0] > ends[:, 1]).any() or ends.min() < 0 or ends.max() > length + HOP:
            raise InvalidInput(f"The truth {truth.tolist()} does not lie in a sound of {length / RATE:.2f} seconds.")
        covered = np.zeros(length + 1, np.int64)
        for start, end in ends.clip(0, length):
            covered[start:end] = 1
        total = np.concatenate([[0], np.cumsum(covered[:length])])
        hit = total[spans[:, 1]] - total[spans[:, 0]]
        return np.asarray(hit / np.maximum(spans[:, 1] - spans[:, 0], 1), np.float64)


def _stretches(players: PartPlayers) -> tuple[NDArray[np.int64], int]:
    """Start and end of each player in samples, ``int64[players, 2]``, and the length of the sound."""
    where = players.geometry
    if isinstance(where, Spans):
        bounds = where.bounds
        return bounds, len(players.content) if players.content is not None else int(bounds.max(initial=0))
    if not isinstance(where, Regions) or where.label_map.ndim != 2:
        raise InvalidInput(f"The players of part {players.part!r} are no stretches of a sound and no cells.")
    frames = where.label_map.shape[1]
    length = len(players.content) if players.content is not None else (frames - 1) * HOP
    found = np.zeros((len(players), 2), np.int64)
    for player in range(len(players)):
        own = np.flatnonzero((where.label_map == player).any(axis=0))
        found[player] = own[0] * length // frames, (own[-1] + 1) * length // frames
    return found, length


AUDIO: Final = AudioModality()
