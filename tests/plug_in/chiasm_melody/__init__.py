"""Melodies as parts of a sample: a whole modality in another package, found by its entry point.

A melody is given as ``"C4 E4 G4 -"`` and held as ``int64[notes]``: semitones from C0, −1 for a rest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import numpy as np

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Regions

STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
REST = -1


def pitch(name):
    """``"C4"`` → 48, ``"-"`` → −1."""
    found = re.fullmatch(r"([A-G])(#?)(\d)", name)
    if name == "-":
        return REST
    if found is None:
        raise InvalidInput(f"{name!r} is no note; write e.g. C4, F#3, or - for a rest.")
    return STEPS[found[1]] + bool(found[2]) + 12 * int(found[3])


@dataclass(frozen=True)
class Silence:
    """Absent notes are rests."""

    name: str = "silence"

    def apply(self, content, players, present):
        present = np.asarray(present, bool)
        if present.ndim != 2 or present.shape[1] != len(players):
            raise InvalidInput(f"present has shape {present.shape}; it must be (batch, {len(players)}).")
        always = np.ones((len(present), 1), bool)
        shown = np.concatenate([present, always], axis=1)[:, players.geometry.label_map]
        return np.where(shown, content, REST)


@dataclass(frozen=True)
class Melody:
    """Notes, or bars of four notes; silence."""

    kind: str = "melody"
    default_segmenter: str = "notes"
    default_masker: str = "silence"
    segmenters: dict[str, str] = field(default_factory=lambda: {"notes": "every note", "bars": "four notes together"})
    maskers: dict[str, str] = field(default_factory=lambda: {"silence": "a rest"})

    def read(self, data):
        if isinstance(data, np.ndarray) and data.ndim == 1 and data.dtype == np.int64 and data.size:
            return data.copy()
        if not isinstance(data, str) or not data.split():
            raise InvalidInput(f"A melody is a text of notes such as 'C4 E4 G4'; got {data!r}.")
        return np.array([pitch(name) for name in data.split()], np.int64)

    def segment(self, part, content, segmenter, context):
        lengths = {"notes": 1, "bars": 4}
        if not isinstance(segmenter, str):
            raise InvalidInput(f"{segmenter!r} is no segmenter of melodies; give one of {', '.join(lengths)}.")
        if segmenter not in lengths:
            raise UnknownName("melody segmenter", segmenter, lengths)
        owner = np.arange(len(content), dtype=np.int32) // lengths[segmenter]
        labels = tuple(f"{segmenter[:-1]} {k + 1}" for k in range(int(owner[-1]) + 1))
        return PartPlayers(part, self.kind, labels, Regions(owner), content)

    def masker(self, spec):
        if isinstance(spec, Silence):
            return spec
        if not isinstance(spec, str):
            raise InvalidInput(f"{spec!r} is no masker of melodies; give 'silence'.")
        if spec != "silence":
            raise UnknownName("melody masker", spec, self.maskers)
        return Silence()

    def overlap(self, players, truth, placement):
        if truth.ndim != 1 or truth.dtype.kind not in "iu":
            raise InvalidInput(f"The truth of a melody is {truth!r}; give places of notes int[k].")
        owner = players.geometry.label_map
        hit = np.isin(np.arange(len(owner)), truth)
        return np.array([hit[owner == k].mean() for k in range(len(players))], np.float64)


MELODY = Melody()
