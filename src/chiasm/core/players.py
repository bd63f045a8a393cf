"""Players: the units of a sample's parts that can be present or absent.

A player is addressed by part and index, never by a bare integer that could mean a patch or a word. The players
of a part stand next to each other, so a part is a contiguous slice of a coalition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, UnknownName

#: a player: (name of its part, index within the part)
PlayerId = tuple[str, int]


@dataclass(frozen=True, eq=False)
class Regions:
    """Geometry of players that are sets of elements of a content: areas of a picture, cells of a spectrogram, columns.

    Attributes:
        label_map: ``int32`` of the extent of the content's elements; the player that owns the element, −1 where no
            player does (such an element is always present). ``[height, width]`` for the pixels of a picture,
            ``[columns]`` for a row of a table, ``[frames, height, width]`` for a video; a modality says what its
            elements are and in which order.
    """

    label_map: NDArray[np.int32]

    def subset(self, kept: Sequence[int]) -> Regions:
        """The geometry of the kept players, renumbered 0…; the others' elements become −1."""
        renumber = np.full(int(self.label_map.max(initial=-1)) + 2, -1, np.int32)
        renumber[list(kept)] = np.arange(len(kept))  # the last entry stays -1 and serves label -1
        return Regions(renumber[self.label_map])


@dataclass(frozen=True, eq=False)
class Spans:
    """Geometry of players that are stretches of a sequence (characters of a text, samples of a sound).

    Attributes:
        bounds: ``int64[players, 2]``; start (inclusive) and end (exclusive) in units of the part's content.
    """

    bounds: NDArray[np.int64]

    def subset(self, kept: Sequence[int]) -> Spans:
        """The geometry of the kept players."""
        return Spans(self.bounds[list(kept)])


Geometry = Regions | Spans


@dataclass(frozen=True, eq=False)
class PartPlayers:
    """The players of one part.

    Attributes:
        part: name of the part.
        kind: its modality.
        labels: a name for each player, unique within the part where that is possible.
        geometry: where the players are in the content, or ``None``.
        content: what the players are units of, as the model's adapter saw it, kept for views: a ``str``, an array of
            numbers (``uint8[h, w, 3]``), or a mapping of names to numbers, texts and arrays (a row of a table, a
            graph); ``None`` for abstract games.
    """

    part: str
    kind: str
    labels: tuple[str, ...]
    geometry: Geometry | None = None
    content: Any = None

    def __len__(self) -> int:
        """Number of players."""
        return len(self.labels)

    def subset(self, kept: Sequence[int]) -> PartPlayers:
        """Only the kept players, in the order given."""
        geometry = self.geometry.subset(kept) if self.geometry is not None else None
        return replace(self, labels=tuple(self.labels[i] for i in kept), geometry=geometry)


class Players:
    """The ordered players of a sample: a contiguous slice for each part.

    Args:
        parts: players of each part, in order.

    Raises:
        InvalidInput: no player at all, or two parts of one name.
    """

    def __init__(self, parts: Sequence[PartPlayers]) -> None:
        """Lay the parts side by side."""
        self.parts: dict[str, PartPlayers] = {part.part: part for part in parts}
        if len(self.parts) != len(parts):
            raise InvalidInput(f"Two parts share a name among {[part.part for part in parts]}; names must differ.")
        self.slices: dict[str, slice] = {}
        start = 0
        for name, part in self.parts.items():
            self.slices[name] = slice(start, start + len(part))
            start += len(part)
        self._n = start
        if start == 0:
            raise InvalidInput("There is no player to explain: every part is empty or fixed.")

    @classmethod
    def abstract(cls, sizes: Mapping[str, int]) -> Players:
        """Players without content, for games that are plain functions: ``{"a": 10, "b": 6}``."""
        for name, size in sizes.items():
            if not isinstance(size, int | np.integer) or size < 1:
                raise InvalidInput(f"Part {name!r} has {size!r} players; give a whole number of at least 1.")
        return cls([PartPlayers(name, name, tuple(f"{name} {i}" for i in range(k))) for name, k in sizes.items()])

    def __len__(self) -> int:
        """Number of players of all parts."""
        return self._n

    def __getitem__(self, part: str) -> PartPlayers:
        """The players of one part."""
        if part not in self.parts:
            raise UnknownName("part", part, self.parts)
        return self.parts[part]

    def __iter__(self) -> Iterator[PlayerId]:
        """All players as (part, index)."""
        for name, part in self.parts.items():
            for i in range(len(part)):
                yield name, i

    def position(self, player: PlayerId) -> int:
        """Column of a player in a coalition.

        Raises:
            UnknownName: no such part.
            InvalidInput: the part has no player of that index.
        """
        name, index = player
        count = len(self[name])
        if not 0 <= index < count:
            raise InvalidInput(f"Part {name!r} has players 0…{count - 1}; there is no player {index}.")
        return int(self.slices[name].start) + index

    def label(self, player: PlayerId) -> str:
        """Label of a player."""
        self.position(player)
        return self.parts[player[0]].labels[player[1]]

    def split(self, coalitions: NDArray[np.bool_]) -> dict[str, NDArray[np.bool_]]:
        """Coalitions ``bool[batch, n]`` → for each part ``bool[batch, players of the part]``."""
        return {name: coalitions[:, where] for name, where in self.slices.items()}

    def subset(self, free: NDArray[np.bool_]) -> Players:
        """Only the players marked free (``bool[n]``); a part that loses all its players keeps an empty slice."""
        return Players([p.subset(np.flatnonzero(free[self.slices[name]]).tolist()) for name, p in self.parts.items()])

    def __repr__(self) -> str:
        """Part names and sizes."""
        return f"Players({', '.join(f'{name}: {len(part)}' for name, part in self.parts.items())})"
