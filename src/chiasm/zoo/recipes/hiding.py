"""Random removal for training: a model that will be explained by removal must have seen things removed.

The labels stay as they are, so that a masked input gets the distribution of answers given what is left. Pictures are
masked as a masker would do it (cells filled with a baseline); questions lose words in the three usual ways.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from chiasm.zoo.data.words import MASK, VOCABULARY, token_words

_Choice = TypeVar("_Choice")

_FILLS: Final = {"mean": 0.45, "grey": 0.15, "black": 0.1, "blur": 0.15, "noise": 0.15}
"""What a hidden cell is filled with, and how often."""

_WAYS: Final = {"attention": 0.45, "mask": 0.35, "delete": 0.2}
"""How a word is hidden: no token may look at it, ``<mask>`` stands in its place, or it is cut out."""

_RECTANGLES: Final = 0.2
_ALL_HIDDEN: Final = 0.06


def choose(rng: np.random.Generator, shares: Mapping[_Choice, float]) -> _Choice:
    """One of the keys, drawn by its share relative to the others."""
    edges = np.cumsum(list(shares.values()))
    return list(shares)[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]


def _keep_rate(rng: np.random.Generator) -> float:
    """U(0, 1), and now and then exactly zero: the empty coalition is asked for by every explainer."""
    return 0.0 if rng.random() < _ALL_HIDDEN else float(rng.random())


def draw_cells(rng: np.random.Generator, side: int) -> NDArray[np.bool_]:
    """Which pixels stay: a random subset of the cells of a random grid, or random rectangles.

    Returns:
        bool[side, side], true where the picture stays visible.
    """
    if rng.random() < _RECTANGLES:
        inside = np.zeros((side, side), dtype=bool)
        for _ in range(rng.integers(1, 5)):
            (x0, x1), (y0, y1) = np.sort(rng.integers(0, side + 1, size=(2, 2)), axis=1)
            inside[y0:y1, x0:x1] = True
        return inside if rng.random() < 0.5 else ~inside
    rows = int(rng.integers(2, 9))
    columns = rows if rng.random() < 0.7 else int(rng.integers(2, 9))
    kept = rng.random((rows, columns)) < _keep_rate(rng)
    pixels = np.arange(side)
    return kept[(pixels * rows // side)[:, None], (pixels * columns // side)[None, :]]


def _filling(picture: Image.Image, fill: str, rng: np.random.Generator) -> Image.Image:
    if fill == "mean":
        mean = np.asarray(picture.resize((1, 1), Image.Resampling.BOX))[0, 0]
        return Image.new("RGB", picture.size, (int(mean[0]), int(mean[1]), int(mean[2])))
    if fill == "blur":
        return picture.filter(ImageFilter.BoxBlur(float(rng.uniform(12, 64))))
    if fill == "noise":
        noise = rng.integers(0, 256, size=(picture.height, picture.width, 3), dtype=np.uint8)
        return Image.fromarray(noise, "RGB")
    return Image.new("RGB", picture.size, (128, 128, 128) if fill == "grey" else (0, 0, 0))


def hide_cells(picture: Image.Image, kept: NDArray[np.bool_], rng: np.random.Generator) -> Image.Image:
    """The picture with everything but ``kept`` replaced by a random kind of filling."""
    stencil = Image.fromarray(kept.astype(np.uint8) * 255, "L")
    return Image.composite(picture, _filling(picture, choose(rng, _FILLS), rng), stencil)


def hide_words(words: list[list[int]], mask_id: int, rng: np.random.Generator) -> tuple[list[int], list[bool]]:
    """A question with random words hidden.

    Args:
        words: token ids, one list for each word (punctuation belongs to its word).
        mask_id: id of the mask token.
        rng: source of all chance.

    Returns:
        The token ids that are left, and for each whether no other token may look at it.
    """
    way, rate = choose(rng, _WAYS), _keep_rate(rng)
    if rng.random() < 0.3:  # token by token instead of word by word: the mark of the question may go alone
        words = [[token] for word in words for token in word]
    whole = rng.random() < 0.5
    tokens: list[int] = []
    hidden: list[bool] = []
    for word in words:
        kept = rng.random() < rate
        if kept or way == "attention":
            shown = word
        elif way == "mask":
            shown = [mask_id] if whole else [mask_id] * len(word)
        else:
            shown = []
        tokens += shown
        hidden += [not kept and way == "attention"] * len(shown)
    return tokens, hidden


def text_tokens(text: str, rng: np.random.Generator, *, masked: bool) -> tuple[list[int], list[bool]]:
    """Tokens of a text, random words of it hidden if ``masked``, and for each whether no other may look at it."""
    words = [list(word) for word in token_words(text)]
    if masked:
        return hide_words(words, VOCABULARY[MASK], rng)
    tokens = [token for word in words for token in word]
    return tokens, [False] * len(tokens)
