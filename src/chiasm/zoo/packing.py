"""Training batches for a vision-language model, in numpy: many questions packed behind one image.

A packed row is ``<user> <image>×P  question answer </s>  question answer </s> …``. Every question sees the image
and itself alone (`attention_mask` builds that mask from the segments), and its positions restart after the image,
so that a packed row equals its questions asked one by one. The image is encoded once for all of them.

A batch depends on the seed and its step number alone, so any number of workers makes the same data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.zoo.hiding import draw_cells, hide_cells, hide_words
from chiasm.zoo.questions import KINDS, Question, ask
from chiasm.zoo.scenes import COLOURS, MOST, SHAPES, SIDE, Scene, draw_scene, render
from chiasm.zoo.words import ASSISTANT, END, IMAGE, MASK, PAD, USER, VOCABULARY, token_words

Batch = dict[str, NDArray[Any]]

IGNORED: Final = -100
"""Label of what no loss should look at."""

_STREAM: Final = 0x7AA1
"""Keeps the random numbers of training apart from those of the data sets."""

_NAMES: Final = list(COLOURS)


@dataclass(frozen=True)
class Geometry:
    """What the model makes of a picture.

    Attributes:
        side: width and height in pixels of the resized picture.
        grid: patches across and down.
    """

    side: int
    grid: int

    @property
    def prefix(self) -> list[int]:
        """Token ids before a question."""
        return [VOCABULARY[USER]] + [VOCABULARY[IMAGE]] * self.grid**2


def shrink(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    """The picture as the image processor resizes it: uint8[side, side, 3]."""
    return np.array(picture.resize((side, side), Image.Resampling.BICUBIC))


def patch_truth(scene: Scene, grid: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each patch what lies at its middle.

    Returns:
        Colour and shape, int64[grid²], 0 for background; and the centre of the object, or of the patch where there
        is none, float32[grid², 2] in -1 … 1.
    """
    colour = np.zeros((grid, grid), dtype=np.int64)
    shape = np.zeros((grid, grid), dtype=np.int64)
    middle = (np.arange(grid) + 0.5) * SIDE / grid
    centre = np.stack(np.meshgrid(middle, middle), axis=-1)
    for item in scene.items:
        over = (abs(middle[None, :] - item.x) < item.radius) & (abs(middle[:, None] - item.y) < item.radius)
        colour[over] = _NAMES.index(item.colour) + 1
        shape[over] = SHAPES.index(item.shape) + 1
        centre[over] = (item.x, item.y)
    flat = (centre.reshape(-1, 2) * 2 / SIDE - 1).astype(np.float32)
    return colour.ravel(), shape.ravel(), flat


def picture_row(
    scene: Scene, geometry: Geometry, hidden_share: float, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """One picture, perhaps with parts hidden, and its patch labels (none where the patch is hidden)."""
    picture = render(scene)
    colour, shape, centre = patch_truth(scene, geometry.grid)
    masked = rng.random() < hidden_share
    if masked:
        kept = draw_cells(rng, SIDE)
        picture = hide_cells(picture, kept, rng)
        step = SIDE // geometry.grid
        shown = kept.reshape(geometry.grid, step, geometry.grid, step).mean(axis=(1, 3)).ravel() > 0.5
        colour[~shown] = shape[~shown] = IGNORED
    return {
        "pixels": shrink(picture, geometry.side),
        "colour": colour,
        "shape": shape,
        "centre": centre,
        "masked": np.array(masked),
    }


def _stack(rows: list[dict[str, NDArray[Any]]]) -> Batch:
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def draw_questions(scene: Scene, count: int, weights: dict[str, float], rng: np.random.Generator) -> list[Question]:
    """Random questions about a scene, their kinds drawn by weight."""
    edges = np.cumsum([weights[kind] for kind in KINDS])
    questions: list[Question] = []
    while len(questions) < count:
        kind = KINDS[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
        question = ask(scene, kind, rng)
        if question is not None:
            questions.append(question)
    return questions


def pack_row(
    questions: list[Question], prefix: list[int], hidden_share: float, rng: np.random.Generator
) -> dict[str, list[Any]]:
    """One packed row of questions about the same picture.

    Returns:
        Lists over tokens: ``ids``, ``positions``, ``segments`` (0 the prefix, k the k-th question), ``hidden`` (no
        token may look at it). Lists over questions: ``asked`` (indices of the two tokens that predict the answer
        and the end), ``labels`` (what they should predict), ``kinds``, ``whole`` (no word is hidden).
    """
    start = len(prefix)
    row: dict[str, list[Any]] = {
        "ids": list(prefix),
        "positions": list(range(start)),
        "segments": [0] * start,
        "hidden": [False] * start,
    }
    row |= {"asked": [], "labels": [], "kinds": [], "whole": []}
    assistant, end = VOCABULARY[ASSISTANT], VOCABULARY[END]
    for number, question in enumerate(questions, start=1):
        # Whoever types "color" should not meet an unknown word, so training sees it now and then.
        text = question.text.replace("colour", "color") if rng.random() < 0.2 else question.text
        words = [list(word) for word in token_words(text)]
        masked = rng.random() < hidden_share
        if masked:
            tokens, hidden = hide_words(words, VOCABULARY[MASK], rng)
        else:
            tokens = [token for word in words for token in word]
            hidden = [False] * len(tokens)
        answer = VOCABULARY[question.answer]
        last = len(row["ids"]) + len(tokens)
        row["ids"] += [*tokens, assistant, answer, end]
        row["positions"] += range(start, start + len(tokens) + 3)
        row["segments"] += [number] * (len(tokens) + 3)
        row["hidden"] += [*hidden, False, False, False]
        row["asked"].append([last, last + 1])
        row["labels"].append([answer, end])
        row["kinds"].append(KINDS.index(question.kind))
        row["whole"].append(not masked)
    return row


def pad_rows(rows: list[dict[str, list[Any]]]) -> Batch:
    """Packed rows as arrays, padded at the right to a common length."""
    length = max(len(row["ids"]) for row in rows)
    fill: dict[str, Any] = {"ids": VOCABULARY[PAD], "positions": 0, "segments": -1, "hidden": False}
    batch = {
        name: np.array([row[name] + [value] * (length - len(row[name])) for row in rows])
        for name, value in fill.items()
    }
    return batch | {name: np.array([row[name] for row in rows]) for name in ("asked", "labels", "kinds", "whole")}


def _generator(seed: int, phase: int, step: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence([_STREAM, seed, phase, step]))


def _ramp(fraction: float, start: float, end: float) -> float:
    return min(1.0, max(0.0, (fraction - start) / (end - start)))


@dataclass(frozen=True)
class PictureBatches:
    """Batches of pictures with patch labels, to train a vision tower alone.

    Attributes:
        geometry: the model's picture size and grid.
        seed: seed of training.
        steps: length of the phase; the share of masked pictures grows along it.
        pictures: pictures in a batch.
        hidden_share: share of masked pictures at the end.
    """

    geometry: Geometry
    seed: int
    steps: int
    pictures: int = 96
    hidden_share: float = 0.3

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = _generator(self.seed, 0, step)
        share = self.hidden_share * _ramp(step / self.steps, 0.3, 0.7)
        return _stack([picture_row(draw_scene(rng), self.geometry, share, rng) for _ in range(self.pictures)])


@dataclass(frozen=True)
class PackedBatches:
    """Batches of pictures with packed questions, to train the whole model.

    The beginning is easy (two or three objects, nothing hidden); masking then grows to its full share, and counting,
    the slowest kind, weighs more from the middle.

    Attributes:
        geometry: the model's picture size and grid.
        seed: seed of training.
        steps: length of the phase.
        pictures: pictures in a batch.
        questions: questions for each picture.
        hidden_share: share of masked pictures, and of masked questions, once fully grown.
    """

    geometry: Geometry
    seed: int
    steps: int
    pictures: int = 24
    questions: int = 12
    hidden_share: float = 0.5

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = _generator(self.seed, 1, step)
        fraction = step / self.steps
        most = 3 if fraction < 0.15 else MOST
        share = self.hidden_share * _ramp(fraction, 0.15, 0.4)
        weights = {"colour": 0.8, "shape": 0.8, "existence": 0.9, "counting": 1.0 + 1.5 * _ramp(fraction, 0.4, 0.5)}
        pictures, rows = [], []
        for _ in range(self.pictures):
            scene = draw_scene(rng, most)
            pictures.append(picture_row(scene, self.geometry, share, rng))
            rows.append(pack_row(draw_questions(scene, self.questions, weights, rng), self.geometry.prefix, share, rng))
        return _stack(pictures) | pad_rows(rows)
