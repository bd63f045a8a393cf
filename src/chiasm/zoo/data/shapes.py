"""The **shapes** data set: questions about coloured shapes, with the pixels and words that decide the answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.sample import Sample
from chiasm.zoo.data.questions import KINDS, Question, ask
from chiasm.zoo.data.scenes import Scene, draw_scene, render

_STREAM: Final = 0x5A9E5
"""Keeps the random numbers of the data set apart from those of training, whatever the seeds."""


def scene_and_question(index: int, seed: int, types: Sequence[str] | None = None) -> tuple[Scene, Question]:
    """Scene and question number ``index`` of the data set, before rendering.

    Args:
        index: place in the data set, from 0.
        seed: seed of the data set.
        types: question types to choose from; all of `KINDS` if ``None``.
    """
    kinds = _checked(types)
    rng = np.random.default_rng(np.random.SeedSequence([_STREAM, seed, index]))
    kind = kinds[int(rng.integers(len(kinds)))]
    while True:
        scene = draw_scene(rng)
        question = ask(scene, kind, rng)
        if question is not None:
            return scene, question


def samples(n: int, seed: int, types: Sequence[str] | None = None) -> list[Sample]:
    """The first ``n`` samples of the shapes data set with that seed.

    Sample k depends on ``seed``, ``types`` and k alone, not on ``n``.

    Args:
        n: how many samples.
        seed: seed of the data set, not negative. The zoo's models never trained on these pictures, whatever the seed.
        types: question types to draw from: ``"colour"``, ``"shape"``, ``"existence"``, ``"counting"``; all if ``None``.

    Returns:
        Samples with the parts ``image`` (RGB picture of 256 × 256 pixels) and ``text``. ``truth["image"]`` holds the
        boxes of the objects that decide (none for an existence question answered "no"), ``truth["text"]`` the
        spans of the words that decide. Tags: ``type``, ``objects``, and ``hard`` for existence.

    Raises:
        UnknownName: a type is not one of those above.
        InvalidInput: ``n`` or ``seed`` is negative, or ``types`` is empty.
    """
    if n < 0 or seed < 0:
        raise InvalidInput(f"n and seed must not be negative; got n={n}, seed={seed}.")
    return [_sample(index, seed, types) for index in range(n)]


def _checked(types: Sequence[str] | None) -> tuple[str, ...]:
    if types is None:
        return KINDS
    for name in types:
        if name not in KINDS:
            raise UnknownName("question type", name, KINDS)
    if not types:
        raise InvalidInput(f"types is empty; leave it out, or choose from {', '.join(KINDS)}.")
    return tuple(types)


def _sample(index: int, seed: int, types: Sequence[str] | None) -> Sample:
    scene, question = scene_and_question(index, seed, types)
    tags: dict[str, str | int | float | bool] = {"type": question.kind, "objects": len(scene.items)}
    if question.kind == "existence":
        tags["hard"] = question.hard
    return Sample(
        image=render(scene),
        text=question.text,
        answer=question.answer,
        truth={
            "image": np.array([scene.items[i].box for i in question.items], dtype=np.float64).reshape(-1, 4),
            "text": np.array(question.words, dtype=np.int64).reshape(-1, 2),
        },
        tags=tags,
        id=f"shapes-{seed}-{index:06d}",
    )
