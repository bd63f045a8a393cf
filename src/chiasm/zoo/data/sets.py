"""The data sets **shapes**, **digits** and **photos**: questions about scenes, and the pixels and words that decide.

Their handwritten digits and photographs are those never trained on, and their random numbers those of no training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import UnknownName
from chiasm.core.sample import Sample, Tag
from chiasm.zoo.data.arguments import whole_number
from chiasm.zoo.data.draws import draw
from chiasm.zoo.data.questions import KINDS, Question
from chiasm.zoo.data.requests import chosen_types, sample_id
from chiasm.zoo.data.scenes import SIDE, Family, Item, Scene, mask, render

FAMILIES: Final[dict[str, tuple[Family, ...]]] = {
    "shapes": ("shapes",),
    "digits": ("digits",),
    "photos": ("shapes", "digits"),
}
"""Data set → the families of scenes it draws, each as often."""

TYPES: Final[dict[str, tuple[str, ...]]] = {
    name: tuple(kind for family in families for kind in KINDS[family]) for name, families in FAMILIES.items()
}
"""Data set → its question types."""

_ON_PHOTOGRAPHS: Final = "photos"

_STREAMS: Final = {"shapes": 0x5A9E5, "digits": 0xD1617, "photos": 0x9407}
"""Keeps the random numbers of each data set apart from those of the others and of training, whatever the seeds."""


def shapes(n: int, seed: int, types: Sequence[str] | None = None) -> list[Sample]:
    """The first ``n`` samples of **shapes**; see `samples`."""
    return samples("shapes", n, seed, types)


def digits(n: int, seed: int, types: Sequence[str] | None = None) -> list[Sample]:
    """The first ``n`` samples of **digits**; see `samples`."""
    return samples("digits", n, seed, types)


def photos(n: int, seed: int, types: Sequence[str] | None = None) -> list[Sample]:
    """The first ``n`` samples of **photos**; see `samples`."""
    return samples("photos", n, seed, types)


def samples(name: str, n: int, seed: int, types: Sequence[str] | None = None) -> list[Sample]:
    """The first ``n`` samples of a data set with that seed.

    Sample k depends on ``name``, ``seed``, ``types`` and k alone, not on ``n``. The zoo's models never trained on these
    pictures, whatever the seed, nor on any glyph or photograph in them.

    Args:
        name: ``"shapes"``, ``"digits"``, or ``"photos"``: either of these, half of the samples each, on photographs.
        n: how many samples.
        seed: seed of the data set, not negative.
        types: question types to draw from, of `TYPES`; all if ``None``.

    Returns:
        Samples with the parts ``image`` (RGB picture of 256 × 256 pixels) and ``text``. ``truth["image"]`` holds the
        boxes float64[k, 4] of the objects that decide (none for an existence question answered "no"),
        ``masks["image"]`` their pixels bool[k, 256, 256], ``truth["text"]`` the spans int64[k, 2] of the words that
        decide. Tags: ``type``, ``objects``, ``family``, and ``hard`` for existence: whether the colour and the shape
        are both there, on different objects, though not together. Each has an ``id`` that no other sample of these sets
        has: name, seed, ``types`` if given, and k.

    Raises:
        UnknownName: there is no such data set, or a type is not one of its own.
        InvalidInput: ``n`` or ``seed`` is no whole number from 0 on, or ``types`` is empty or no list of names.
    """
    count, start, kinds = whole_number("n", n), whole_number("seed", seed), _checked(name, types)
    return [_sample(name, index, start, kinds) for index in range(count)]


def scene_and_question(
    name: str, index: int, seed: int, types: Sequence[str] | None = None
) -> tuple[Scene, Question, Family]:
    """Scene, question and family of sample ``index`` of a data set, before rendering.

    Args:
        name: the data set.
        index: place in the data set, from 0.
        seed: seed of the data set.
        types: question types to choose from; all if ``None``.

    Raises:
        UnknownName: there is no such data set, or a type is not one of its own.
        InvalidInput: ``types`` is empty or no list of names.
    """
    return _drawn(name, whole_number("index", index), whole_number("seed", seed), _checked(name, types))


def _checked(name: str, types: Sequence[str] | None) -> tuple[str, ...]:
    if name not in FAMILIES:
        raise UnknownName("data set", name, FAMILIES)
    return chosen_types(f"{name!r} has no question type", types, TYPES[name])


def _drawn(name: str, index: int, seed: int, types: tuple[str, ...]) -> tuple[Scene, Question, Family]:
    rng = np.random.default_rng(np.random.SeedSequence([_STREAMS[name], seed, index]))
    families = [family for family in FAMILIES[name] if set(types) & set(KINDS[family])]
    family = families[int(rng.integers(len(families)))]
    kinds = [kind for kind in types if kind in KINDS[family]]
    kind = kinds[int(rng.integers(len(kinds)))]
    return *draw(rng, family, kind, photo=name == _ON_PHOTOGRAPHS), family


def _box(item: Item, pixels: NDArray[np.bool_]) -> tuple[float, ...]:
    """Tight box (x0, y0, x1, y1) of a shape's outline, or of a digit's pixels: its faint ink is no part of it."""
    if item.glyph is None:
        return item.box
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)


def _sample(name: str, index: int, seed: int, types: tuple[str, ...]) -> Sample:
    scene, question, family = _drawn(name, index, seed, types)
    tags: dict[str, Tag] = {"type": question.kind, "objects": len(scene.items), "family": family}
    if question.kind == "existence":
        tags["hard"] = question.hard
    deciding = [scene.items[i] for i in question.items]
    masks = np.array([mask(item) for item in deciding], dtype=np.bool_).reshape(-1, SIDE, SIDE)
    boxes = [_box(item, pixels) for item, pixels in zip(deciding, masks, strict=True)]
    truth: dict[str, NDArray[Any]] = {
        "image": np.array(boxes, dtype=np.float64).reshape(-1, 4),
        "text": np.array(question.words, dtype=np.int64).reshape(-1, 2),
    }
    return Sample(
        image=render(scene),
        text=question.text,
        answer=question.answer,
        truth=truth,
        masks={"image": masks},
        tags=tags,
        id=sample_id(name, seed, index, types=() if types == TYPES[name] else types),
    )
