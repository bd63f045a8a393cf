"""One input of a model: named parts, any number of them, of any modality."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chiasm.core.errors import InvalidInput, UnknownName

Tag = str | int | float | bool


@dataclass(frozen=True)
class Part:
    """One part of a sample.

    Attributes:
        kind: the modality of the part, e.g. ``"image"``; two parts may have the same kind.
        data: what the user gave (a path, an array, a string …); the modality reads it.
    """

    kind: str
    data: Any


def kind_of(name: str) -> str:
    """The modality a part's name speaks of: ``"image_left"`` and ``"image2"`` are of kind ``"image"``."""
    return re.split(r"[_\d]", name, maxsplit=1)[0]


def _checked_masks(name: str, masks: NDArray[Any]) -> NDArray[np.bool_]:
    if masks.dtype != np.bool_:
        raise InvalidInput(f"Masks of part {name!r} are {masks.dtype}; give booleans, e.g. coverage >= 0.5.")
    if masks.ndim < 2:
        raise InvalidInput(
            f"Masks of part {name!r} have the shape {list(masks.shape)}; give one mask for each place, bool[k, …]."
        )
    return masks


class Sample:
    """One input: named parts, with an optional reference answer and ground truth.

    Args:
        answer: reference answer, if known.
        truth: what decides the answer, for each part in the geometry of that part: boxes ``float[k, 4]``
            (x0, y0, x1, y1 in pixels of the picture as given) or character spans ``int[k, 2]``.
        masks: the same truth to the pixel or sample, for each part that has it: ``bool[k, …]``, one mask for each row
            of ``truth``, of the extent of the part; for a picture ``bool[k, height, width]``.
        tags: columns to group by, e.g. ``{"type": "counting"}``.
        id: a name for the sample in runs and reports.
        **parts: the parts in order. The kind of a part is its name up to the first digit or underscore;
            pass a `Part` to say otherwise.

    Raises:
        InvalidInput: there is no part, or a part is ``None``; or masks are not boolean, have no extent, or are not as
            many as the rows of ``truth``.
        UnknownName: truth or masks are given for a part that the sample lacks.
    """

    def __init__(
        self,
        *,
        answer: str | None = None,
        truth: Mapping[str, ArrayLike] | None = None,
        masks: Mapping[str, ArrayLike] | None = None,
        tags: Mapping[str, Tag] | None = None,
        id: str | None = None,  # noqa: A002 - the field's word
        **parts: Any,
    ) -> None:
        """Collect the parts; nothing is read yet."""
        if not parts:
            raise InvalidInput("A sample needs at least one part, e.g. Sample(image='photo.jpg', text='What is it?').")
        for name, data in parts.items():
            if data is None:
                raise InvalidInput(f"Part {name!r} of the sample is None; leave the part out or give it a value.")
        self.parts: dict[str, Part] = {
            name: data if isinstance(data, Part) else Part(kind_of(name), data) for name, data in parts.items()
        }
        self.answer = answer
        self.truth: dict[str, NDArray[Any]] = {name: np.asarray(value) for name, value in (truth or {}).items()}
        self.masks: dict[str, NDArray[np.bool_]] = {
            name: _checked_masks(name, np.asarray(value)) for name, value in (masks or {}).items()
        }
        for name in (*self.truth, *self.masks):
            if name not in self.parts:
                raise UnknownName("part", name, self.parts)
        for name in self.truth.keys() & self.masks.keys():
            truths, given = self.truth[name].shape[:1], self.masks[name].shape[:1]
            if truths != given:
                raise InvalidInput(
                    f"Part {name!r} has {given[0]} masks and truth of shape {list(self.truth[name].shape)}; "
                    f"give one mask for each row of truth."
                )
        self.tags = dict(tags or {})
        self.id = id

    def __getitem__(self, name: str) -> Part:
        """The part of that name."""
        if name not in self.parts:
            raise UnknownName("part", name, self.parts)
        return self.parts[name]

    def __repr__(self) -> str:
        """Short text for logs: names and kinds, never the data."""
        parts = ", ".join(f"{name}: {part.kind}" for name, part in self.parts.items())
        return f"Sample({parts}{f', id={self.id!r}' if self.id else ''})"
