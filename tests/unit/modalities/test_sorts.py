"""What sort of unit a player is: word classes, and where in the picture."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from chiasm.modalities import modalities
from chiasm.modalities.base import Context, sorts_of
from chiasm.modalities.word_types import word_types


@pytest.mark.parametrize(
    ("word", "sort"),
    [
        ("What", "question word"),
        ("colour", "colour"),
        ("RED,", "colour"),
        ("isn’t", "negation"),
        ("No", "negation"),
        ("12", "number"),
        ("three?", "number"),
        ("left", "place"),
        ("bigger", "comparison"),
        ("the", "function word"),
        ("the red", "colour"),
        ("of the", "function word"),
        ("giraffe", "other"),
        ("?", "other"),
        ("赤い", "other"),
    ],
)
def test_words(word: str, sort: str) -> None:
    assert word_types([word]) == [sort]


def test_a_lexicon_of_ones_own_comes_first() -> None:
    assert word_types(["Tumour", "left", "red"], {"finding": ["tumour"], "side": ["left"]}) == [
        "finding",
        "side",
        "colour",
    ]


def test_a_repeated_word_keeps_its_sort() -> None:
    text = modalities.get("text")
    players = text.segment("text", "the red the", "words", Context())
    assert players.labels[2] != "the"  # it has a number
    assert sorts_of(text, players) == ["function word", "colour", "function word"]


def test_areas_of_a_picture() -> None:
    image = modalities.get("image")
    picture = np.zeros((60, 90, 3), np.uint8)
    assert sorts_of(image, image.segment("image", picture, "grid:3x3", Context())) == [
        *("top left", "top", "top right"),
        *("left", "middle", "right"),
        *("bottom left", "bottom", "bottom right"),
    ]
    assert sorts_of(image, image.segment("image", picture, "grid:1x1", Context())) == ["middle"]


def test_a_modality_without_sorts_names_the_players() -> None:
    assert sorts_of(SimpleNamespace(), SimpleNamespace(labels=("a", "b"))) == ["a", "b"]  # type: ignore[arg-type]
