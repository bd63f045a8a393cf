"""One input of a model: named parts, any number of them, of any modality."""

from __future__ import annotations

import re
import reprlib
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


def _table(what: str, value: Any) -> dict[Any, Any]:
    """A mapping as a table of its own; nothing is an empty one."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InvalidInput(
            f"{what} of the sample is {reprlib.repr(value)}; give a table, e.g. {what}={{{_EXAMPLES[what]}}}."
        )
    return dict(value)


_EXAMPLES = {"truth": "'image': [[0, 0, 9, 9]]", "masks": "'image': masks", "tags": "'type': 'counting'"}


def _array(what: str, name: str, value: ArrayLike) -> NDArray[Any]:
    """Numbers or truth values, the rows all of one length."""
    try:
        array = np.asarray(value)
    except ValueError as error:  # numpy's word for rows of several lengths
        raise InvalidInput(
            f"{what} of part {name!r} is {reprlib.repr(value)}: its rows differ in length; give equal ones."
        ) from error
    if array.dtype.kind not in "biuf":
        raise InvalidInput(
            f"{what} of part {name!r} is {reprlib.repr(value)}; give numbers: boxes [[x0, y0, x1, y1], …] or spans "
            f"[[start, end], …], or masks of True and False."
        )
    if array.ndim == 0:
        raise InvalidInput(f"{what} of part {name!r} is {reprlib.repr(value)}; give a list with a row for each place.")
    return array


def _checked_masks(name: str, value: ArrayLike) -> NDArray[np.bool_]:
    masks = _array("masks", name, value)
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
        InvalidInput: there is no part, or a part is ``None``; truth, masks or tags are no tables; truth is no array of
            numbers; or masks are not boolean, have no extent, or are not as many as the rows of ``truth``.
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
        self.truth: dict[str, NDArray[Any]] = {
            name: _array("truth", name, value) for name, value in _table("truth", truth).items()
        }
        self.masks: dict[str, NDArray[np.bool_]] = {
            name: _checked_masks(name, value) for name, value in _table("masks", masks).items()
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
        self.tags: dict[str, Tag] = _table("tags", tags)
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
