"""Training batches for a decoder: many questions packed behind one picture.

A packed row is ``<user> <image>×P  question answer </s>  question answer </s> …``. Every question sees the picture
and itself alone (`attention_mask` builds that mask from the segments), and its positions restart after the picture,
so that a packed row equals its questions asked one by one. The picture is encoded once for all of them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from chiasm.zoo.data.questions import DRILL, KINDS, Question, ask
from chiasm.zoo.data.scenes import MOST, Family, Scene
from chiasm.zoo.data.words import ASSISTANT, END, IMAGE, MASK, PAD, USER, VOCABULARY, token_words
from chiasm.zoo.recipes.hiding import hide_words
from chiasm.zoo.recipes.pictures import Batch, Mix, generator, object_labels, picture_row, ramp, stack, training_scene

TYPES: Final = (*KINDS["shapes"], *KINDS["digits"], DRILL)
"""All types of question, in the order of the ``kinds`` of a batch."""

Weights = dict[str, tuple[float, float]]

WEIGHTS: Final[Weights] = {
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


def draw_questions(
    scene: Scene, family: Family, count: int, weights: dict[str, float], rng: np.random.Generator
) -> list[Question]:
    """Random questions about a scene, their types drawn by weight."""
    kinds = [kind for kind in (*KINDS[family], DRILL) if weights.get(kind) and (kind != DRILL or family == "shapes")]
    edges = np.cumsum([weights[kind] for kind in kinds])
    questions: list[Question] = []
    while len(questions) < count:
        kind = kinds[int(np.searchsorted(edges, rng.random() * edges[-1], side="right"))]
        question = ask(scene, kind, rng)
        if question is not None:
            questions.append(question)
    return questions


def spoken(text: str, rng: np.random.Generator, *, masked: bool) -> tuple[list[int], list[bool]]:
    """A question as training sees it: its tokens, perhaps some hidden, and for each whether no other may look at it."""
    # Whoever types "color" should not meet an unknown word, so training sees it now and then.
    text = text.replace("colour", "color") if rng.random() < 0.2 else text
    words = [list(word) for word in token_words(text)]
    if masked:
        return hide_words(words, VOCABULARY[MASK], rng)
    tokens = [token for word in words for token in word]
    return tokens, [False] * len(tokens)


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


def pad_rows(rows: list[dict[str, list[Any]]]) -> Batch:
    """Packed rows as arrays, padded at the right to a common length."""
    length = max(len(row["ids"]) for row in rows)
    fill: dict[str, Any] = {"ids": VOCABULARY[PAD], "positions": 0, "segments": -1, "hidden": False}
    batch = {
        name: np.array([row[name] + [value] * (length - len(row[name])) for row in rows])
        for name, value in fill.items()
    }
    return batch | {name: np.array([row[name] for row in rows]) for name in ("asked", "labels", "kinds", "whole")}


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


@dataclass(frozen=True)
class PackedBatches:
    """Batches of pictures with packed questions, to train the whole model.

    The beginning is easy (two or three objects, nothing hidden); masking then grows to its full share, and the slow
    types of question weigh more from the middle.

    Attributes:
        side: width and height in pixels of the resized picture.
        grid: image tokens across and down.
        seed: seed of training.
        steps: length of the phase.
        pictures: pictures in a batch.
        questions: questions for each picture.
        mix: what scenes are drawn; ``hidden`` is the final share of masked pictures and of masked questions.
        weights: how often each type of question is asked.
    """

    side: int
    grid: int
    seed: int
    steps: int
    pictures: int = 24
    questions: int = 12
    mix: Mix = Mix()  # noqa: RUF009 - frozen
    weights: Weights = field(default_factory=lambda: WEIGHTS)

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = generator(self.seed, 1, step)
        fraction = step / self.steps
        share, late = self.mix.hidden * ramp(fraction, 0.2, 0.4), ramp(fraction, 0.3, 0.5)
        mix = replace(self.mix, most=3 if fraction < 0.1 else MOST)
        weights = {kind: first + (last - first) * late for kind, (first, last) in self.weights.items()}
        prefix = [VOCABULARY[USER]] + [VOCABULARY[IMAGE]] * self.grid**2
        scenes, pictures, rows = [], [], []
        for _ in range(self.pictures):
            scene, family = training_scene(rng, mix)
            scenes.append(scene)
            pictures.append(picture_row(scene, self.side, self.grid, share, rng))
            rows.append(pack_row(draw_questions(scene, family, self.questions, weights, rng), prefix, share, rng))
        masked = [bool(picture["masked"]) for picture in pictures]
        return stack(pictures) | pad_rows(rows) | named_objects(rows, scenes, masked)
