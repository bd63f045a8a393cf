"""What can be asked about a scene, in which words, and the answers."""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Final, TypeVar

import numpy as np

from chiasm.zoo.data.scenes import COLOURS, SHAPES

_T = TypeVar("_T")

PLURALS: Final = {shape: shape + ("es" if shape.endswith("s") else "s") for shape in SHAPES}
RELATIONS: Final = {
    "left of": ("left", "right"),
    "to the left of": ("left", "right"),
    "right of": ("right", "left"),
    "to the right of": ("right", "left"),
    "above": ("above", "below"),
    "below": ("below", "above"),
}
"""Words of a relation → which way it points, and the opposite."""
PLACES: Final = ("left", "right", "top", "bottom")
SIZES: Final = ("small", "large")
LARGEST_SUM: Final = 18

ANSWERS: Final = (
    *COLOURS,
    *SHAPES,
    *SIZES,
    *("yes", "no"),
    *("left", "right", "above", "below", "top", "bottom"),
    *(str(number) for number in range(LARGEST_SUM + 1)),
)
"""All answers, each a single word."""

PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "colour": (
        "What colour is the {shape}?",
        "Which colour does the {shape} have?",
        "What is the colour of the {shape}?",
        "Tell me the colour of the {shape}.",
    ),
    "shape": (
        "What shape is the {colour} object?",
        "Which shape does the {colour} object have?",
        "What is the shape of the {colour} object?",
        "Tell me the shape of the {colour} object.",
    ),
    "size": (
        "Is the {colour} {shape} small or large?",
        "What size is the {colour} {shape}?",
        "How big is the {colour} {shape}?",
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
    "relation": (
        "Is the {colour} {shape} {relation} the {colour2} {shape2}?",
        "Does the {colour} {shape} lie {relation} the {colour2} {shape2}?",
    ),
    "relation across": ("Is the {colour} {shape} {way} or {other} of the {colour2} {shape2}?",),
    "relation down": ("Is the {colour} {shape} {way} or {other} the {colour2} {shape2}?",),
    "comparison": (
        "Is the {colour} {shape} {order} than the {colour2} {shape2}?",
        "Compared with the {colour2} {shape2}, is the {colour} {shape} {order}?",
    ),
    "naming colour": (
        "Which digit is {colour}?",
        "What is the {colour} digit?",
        "Read the {colour} digit.",
    ),
    "naming place": (
        "Which digit is on the {place}?",
        "What digit can you see on the {place}?",
    ),
    "naming height": (
        "Which digit is at the {place}?",
        "What digit can you see at the {place}?",
    ),
    "place across": (
        "Is the {digit} on the {way} or on the {other}?",
        "Does the {digit} lie {way} or {other} of the middle?",
    ),
    "place down": (
        "Is the {digit} at the {way} or at the {other}?",
        "Where is the {digit}, at the {way} or at the {other}?",
    ),
    "larger": (
        "Which digit has the {order} value?",
        "What is the {order} of the numbers?",
    ),
    "sum": (
        "What is the {sum} of the numbers?",
        "What {sum} do the digits make?",
    ),
    "parity": (
        "Is the {colour} digit {parity}?",
        "Would you call the {colour} digit {parity}?",
    ),
    "position across": ("Which column is the {colour} {shape} in?",),
    "position down": ("Which row is the {colour} {shape} in?",),
}
"""Kind of question → its phrasings."""


def fill(template: str, words: dict[str, str]) -> tuple[str, tuple[tuple[int, int], ...]]:
    """The template with its words, and the spans (start, end) of those that decide.

    Of a relation one word decides: "to the left of" and "to the right of" share the rest.
    """
    text, spans = "", []
    for literal, name, _, _ in string.Formatter().parse(template):
        text += literal
        if name:
            word = RELATIONS[words[name]][0] if name == "relation" else words[name]
            start = len(text) + words[name].index(word)
            spans.append((start, start + len(word)))
            text += words[name]
    return text, tuple(spans)


def pick(rng: np.random.Generator, options: Sequence[_T]) -> _T:
    """One of the options."""
    return options[int(rng.integers(len(options)))]
