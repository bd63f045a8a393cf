"""Questions about a scene, with the objects and the words that decide the answer."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from chiasm.zoo.scenes import COLOURS, MOST, SHAPES, Item, Scene

PLURALS: Final = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
ANSWERS: Final = (*COLOURS, *SHAPES, "yes", "no", *(str(count) for count in range(MOST + 1)))
HARD: Final = 0.9
"""Share of "no" questions that take colour and shape from two objects of the scene, where that is possible."""

PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "colour": (
        "What colour is the {shape}?",
        "Which colour does the {shape} have?",
        "What is the colour of the {shape}?",
    ),
    "shape": (
        "What shape is the {colour} object?",
        "Which shape does the {colour} object have?",
        "What is the shape of the {colour} object?",
    ),
    "existence": (
        "Is there a {colour} {shape}?",
        "Can you see a {colour} {shape}?",
        "Does the image show a {colour} {shape}?",
        "Is a {colour} {shape} in the image?",
    ),
    "counting colour": (
        "How many {colour} objects are there?",
        "How many {colour} objects can you see?",
        "What is the number of {colour} objects?",
    ),
    "counting shape": (
        "How many {shapes} are there?",
        "How many {shapes} can you see?",
        "What is the number of {shapes}?",
    ),
}


@dataclass(frozen=True)
class Question:
    """One question and its truth.

    Attributes:
        kind: one of `KINDS`.
        text: the question.
        answer: one of `ANSWERS`.
        words: character spans (start, end) of the words that decide, in reading order.
        items: indices of the scene's objects that decide.
        hard: for existence "no": the colour and the shape are both in the scene, on different objects.
    """

    kind: str
    text: str
    answer: str
    words: tuple[tuple[int, int], ...]
    items: tuple[int, ...]
    hard: bool = False


def _fill(template: str, words: dict[str, str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The template with its words, and where they stand."""
    text, spans = "", []
    for literal, name, _, _ in string.Formatter().parse(template):
        text += literal
        if name:
            spans.append((len(text), len(text) + len(words[name])))
            text += words[name]
    return text, tuple(spans)


def _pick(rng: np.random.Generator, options: Sequence[str]) -> str:
    return options[int(rng.integers(len(options)))]


def _where(scene: Scene, colour: str | None = None, shape: str | None = None) -> tuple[int, ...]:
    return tuple(
        index for index, item in enumerate(scene.items) if colour in (None, item.colour) and shape in (None, item.shape)
    )


def _ask_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    single = [shape for shape in SHAPES if len(_where(scene, shape=shape)) == 1]
    if not single:
        return None
    shape = _pick(rng, single)
    items = _where(scene, shape=shape)
    text, words = _fill(_pick(rng, PHRASES["colour"]), {"shape": shape})
    return Question("colour", text, scene.items[items[0]].colour, words, items)


def _ask_shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    single = [colour for colour in COLOURS if len(_where(scene, colour=colour)) == 1]
    if not single:
        return None
    colour = _pick(rng, single)
    items = _where(scene, colour=colour)
    text, words = _fill(_pick(rng, PHRASES["shape"]), {"colour": colour})
    return Question("shape", text, scene.items[items[0]].shape, words, items)


def _absent(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """A colour and a shape that no single object has together."""
    present = {(item.colour, item.shape) for item in scene.items}
    mixed = sorted({(a.colour, b.shape) for a in scene.items for b in scene.items} - present)
    if mixed and rng.random() < HARD:
        return mixed[int(rng.integers(len(mixed)))]
    others = [(colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in present]
    return others[int(rng.integers(len(others)))]


def _ask_existence(scene: Scene, rng: np.random.Generator) -> Question:
    there = rng.random() < 0.5
    if there:
        item: Item = scene.items[int(rng.integers(len(scene.items)))]
        colour, shape = item.colour, item.shape
    else:
        colour, shape = _absent(scene, rng)
    text, words = _fill(_pick(rng, PHRASES["existence"]), {"colour": colour, "shape": shape})
    hard = not there and bool(_where(scene, colour=colour)) and bool(_where(scene, shape=shape))
    return Question("existence", text, "yes" if there else "no", words, _where(scene, colour, shape), hard)


def _ask_counting(scene: Scene, rng: np.random.Generator) -> Question:
    item: Item = scene.items[int(rng.integers(len(scene.items)))]
    of_scene = rng.random() < 0.85
    if rng.random() < 0.5:
        colour = item.colour if of_scene else _pick(rng, list(COLOURS))
        items = _where(scene, colour=colour)
        text, words = _fill(_pick(rng, PHRASES["counting colour"]), {"colour": colour})
    else:
        shape = item.shape if of_scene else _pick(rng, SHAPES)
        items = _where(scene, shape=shape)
        text, words = _fill(_pick(rng, PHRASES["counting shape"]), {"shapes": PLURALS[shape]})
    return Question("counting", text, str(len(items)), words, items)


_ASKERS: Final[dict[str, Callable[[Scene, np.random.Generator], Question | None]]] = {
    "colour": _ask_colour,
    "shape": _ask_shape,
    "existence": _ask_existence,
    "counting": _ask_counting,
}
KINDS: Final = tuple(_ASKERS)
"""The types of question."""


def ask(scene: Scene, kind: str, rng: np.random.Generator) -> Question | None:
    """A random question of one kind about the scene.

    Args:
        scene: what the question is about.
        kind: one of `KINDS`.
        rng: source of all chance.

    Returns:
        The question, or ``None`` if the scene allows none of that kind (no colour or no shape is unique).
    """
    return _ASKERS[kind](scene, rng)
