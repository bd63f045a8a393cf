"""Training batches for a decoder: many questions packed behind one picture.

A packed row is ``<user> <image>×P  question answer </s>  question answer </s> …``. Every question sees the picture
and itself alone (`decoders.answer_logits` builds that mask from the segments), and its positions restart after the
picture, so that a packed row equals its questions asked one by one. The picture is encoded once for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.zoo.data.questions import DRILL, KINDS, Question, ask
from chiasm.zoo.data.scenes import MOST, Family, Scene
from chiasm.zoo.data.words import ASSISTANT, END, IMAGE, PAD, USER, VOCABULARY
from chiasm.zoo.recipes.hiding import choose, text_tokens
from chiasm.zoo.recipes.pictures import Batch, Mix, generator, object_labels, picture_row, ramp, stack, training_scene

TYPES: Final = (*KINDS["shapes"], *KINDS["digits"], DRILL)
"""All types of question, in the order of the ``kinds`` of a batch."""

_WEIGHTS: Final = {
    "colour": (0.8, 0.6),
    "shape": (0.8, 0.6),
    "size": (0.6, 0.8),
    "existence": (0.9, 0.9),
    "counting": (1.0, 2.2),
    "relation": (2.5, 2.2),
    "comparison": (1.5, 2.5),
    DRILL: (1.5, 0.5),
    "naming": (1.5, 1.2),
    "place": (0.8, 0.6),
    "larger": (0.8, 1.2),
    "sum": (0.6, 1.5),
    "parity": (0.8, 1.0),
}
"""How often each type is asked in the first and in the last part of training, relative to others of its family."""


_FILL: Final = {"ids": VOCABULARY[PAD], "positions": 0, "segments": -1, "hidden": False}
"""Padding of the lists over tokens."""


def draw_questions(
    scene: Scene, family: Family, count: int, weights: dict[str, float], rng: np.random.Generator
) -> list[Question]:
    """Random questions about a scene, their types drawn by weight."""
    kinds = (*KINDS[family], DRILL) if family == "shapes" else KINDS[family]
    shares = {kind: weights[kind] for kind in kinds if weights.get(kind)}
    questions: list[Question] = []
    while len(questions) < count:
        question = ask(scene, choose(rng, shares), rng)
        if question is not None:
            questions.append(question)
    return questions


def spoken(text: str, rng: np.random.Generator, *, masked: bool) -> tuple[list[int], list[bool]]:
    """A question as training sees it: its tokens, perhaps some hidden, and for each whether no other may look at it."""
    # Whoever types "color" should not meet an unknown word, so training sees it now and then.
    text = text.replace("colour", "color") if rng.random() < 0.2 else text
    return text_tokens(text, rng, masked=masked)


def _named_tokens(question: Question) -> list[tuple[int, int]]:
    """For each mention the number of its token in the question, and the object."""
    ends = [match.end() for match in re.finditer(r"\w+|[^\w\s]", question.text)]
    return [(ends.index(question.words[word][1]), item) for word, item in question.mentions]


def pack_row(
    questions: list[Question], prefix: list[int], hidden_share: float, rng: np.random.Generator
) -> dict[str, list[Any]]:
    """One packed row of questions about the same picture.

    Returns:
        Lists over tokens: ``ids``, ``positions``, ``segments`` (0 the prefix, k the k-th question), ``hidden`` (no
        token may look at it). Lists over questions: ``asked`` (indices of the two tokens that predict the answer
        and the end), ``labels`` (what they should predict), ``kinds``, ``whole`` (no word is hidden). And ``named``:
        (index of a token, index of the object that is fully named by it), in questions of which no word is hidden.
    """
    start = len(prefix)
    row: dict[str, list[Any]] = {
        "ids": list(prefix),
        "positions": list(range(start)),
        "segments": [0] * start,
        "hidden": [False] * start,
    }
    row |= {"asked": [], "labels": [], "kinds": [], "whole": [], "named": []}
    assistant, end = VOCABULARY[ASSISTANT], VOCABULARY[END]
    for number, question in enumerate(questions, start=1):
        masked = rng.random() < hidden_share
        tokens, hidden = spoken(question.text, rng, masked=masked)
        answer = VOCABULARY[question.answer]
        if not masked:
            row["named"] += [[len(row["ids"]) + place, item] for place, item in _named_tokens(question)]
        last = len(row["ids"]) + len(tokens)
        row["ids"] += [*tokens, assistant, answer, end]
        row["positions"] += range(start, start + len(tokens) + 3)
        row["segments"] += [number] * (len(tokens) + 3)
        row["hidden"] += [*hidden, False, False, False]
        row["asked"].append([last, last + 1])
        row["labels"].append([answer, end])
        row["kinds"].append(TYPES.index(question.kind))
        row["whole"].append(not masked)
    return row


def picture_prefix(grid: int) -> list[int]:
    """Tokens before the first question: ``<user>`` and one token for each of grid² patches."""
    return [VOCABULARY[USER]] + [VOCABULARY[IMAGE]] * grid**2


def pad_rows(
    rows: list[dict[str, list[Any]]],
    fill: dict[str, Any] = _FILL,
    whole: Sequence[str] = ("asked", "labels", "kinds", "whole"),
) -> Batch:
    """Packed rows as arrays.

    Args:
        rows: all with as many questions.
        fill: names of the lists over tokens; what they are padded with at the right, to a common length.
        whole: names of the lists over questions, which are taken as they are.
    """
    length = max(len(row["ids"]) for row in rows)
    batch = {
        name: np.array([row[name] + [value] * (length - len(row[name])) for row in rows])
        for name, value in fill.items()
    }
    return batch | {name: np.array([row[name] for row in rows]) for name in whole}


def named_objects(rows: list[dict[str, list[Any]]], scenes: list[Scene], masked: list[bool]) -> Batch:
    """What the tokens that name an object should know of it; none where parts of the picture are hidden.

    Returns:
        ``named_at`` int64[k, 2] (row and token), ``named_colour`` and ``named_form`` int64[k] as in `patch_truth`, and
        ``named_place`` float32[k, 3].
    """
    found = [
        (number, token, scene.items[item])
        for number, (row, scene, hide) in enumerate(zip(rows, scenes, masked, strict=True))
        for token, item in row["named"]
        if not hide
    ]
    labels = [object_labels(item) for _, _, item in found]
    return {
        "named_at": np.array([(row, token) for row, token, _ in found], dtype=np.int64).reshape(-1, 2),
        "named_colour": np.array([colour for colour, _, _ in labels], dtype=np.int64),
        "named_form": np.array([form for _, form, _ in labels], dtype=np.int64),
        "named_place": np.array([place for _, _, place in labels], dtype=np.float32).reshape(-1, 3),
    }


def packed_batch(scenes: list[Scene], pictures: list[dict[str, NDArray[Any]]], rows: list[dict[str, Any]]) -> Batch:
    """Scenes, their `pictures.picture_row` and their `pack_row` as a batch."""
    masked = [bool(picture["masked"]) for picture in pictures]
    return stack(pictures) | pad_rows(rows) | named_objects(rows, scenes, masked)


@dataclass(frozen=True)
class AskedBatches:
    """Random pictures with random questions, and the course that training takes through them.

    The beginning is easy (two or three objects, nothing hidden); masking then grows to its full share, and the slow
    types of question weigh more from the middle.

    Attributes:
        side: width and height in pixels of the resized picture.
        grid: patches across and down that are labelled.
        seed: seed of training.
        steps: length of the phase.
        pictures: pictures in a batch.
        questions: questions for each picture.
        mix: what scenes are drawn; ``hidden`` is the final share of masked pictures and of masked questions.
    """

    side: int
    grid: int
    seed: int
    steps: int
    pictures: int = 24
    questions: int = 12
    mix: Mix = Mix()  # noqa: RUF009 - frozen

    def hidden_share(self, fraction: float) -> float:
        """Share of masked pictures, and of masked questions, after that part of the course."""
        return self.mix.hidden * ramp(fraction, 0.2, 0.4)

    def draw(
        self, rng: np.random.Generator, fraction: float
    ) -> Iterator[tuple[Scene, dict[str, NDArray[Any]], list[Question]]]:
        """The pictures of one batch after that part of the course: the scene, its `picture_row`, its questions."""
        share, late = self.hidden_share(fraction), ramp(fraction, 0.3, 0.5)
        mix = replace(self.mix, most=3 if fraction < 0.1 else MOST)
        weights = {kind: first + (last - first) * late for kind, (first, last) in _WEIGHTS.items()}
        for _ in range(self.pictures):
            scene, family = training_scene(rng, mix)
            picture = picture_row(scene, self.side, self.grid, share, rng)
            yield scene, picture, draw_questions(scene, family, self.questions, weights, rng)


@dataclass(frozen=True)
class PackedBatches(AskedBatches):
    """Batches of pictures with packed questions, to train a whole decoder; one image token for each patch."""

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng, fraction = generator(self.seed, 1, step), step / self.steps
        prefix, share = picture_prefix(self.grid), self.hidden_share(fraction)
        scenes, pictures, rows = [], [], []
        for scene, picture, questions in self.draw(rng, fraction):
            scenes.append(scene)
            pictures.append(picture)
            rows.append(pack_row(questions, prefix, share, rng))
        return packed_batch(scenes, pictures, rows)
