"""What the two fusion models share: questions packed for an encoder, and heads that say what a word refers to.

A packed row is ``<user> question </s>  <user> question </s> …``: one picture, many questions, each token with the
number of its question. Who may look at whom is the recipe's business. An answer is read at the question's own first
token (ViLT) or written by a decoder that looks at the question's tokens (BLIP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor, nn

from chiasm.zoo.data.phrases import ANSWERS, PLURALS
from chiasm.zoo.data.questions import Question
from chiasm.zoo.data.scenes import COLOURS, DIGITS, MOST, SHAPES, SIDE, Scene
from chiasm.zoo.data.words import END, PAD, USER, VOCABULARY, tokenizer
from chiasm.zoo.recipes.packing import TYPES, WEIGHTS, Weights, draw_questions, spoken
from chiasm.zoo.recipes.pictures import FORMS, IGNORED, Batch, Mix, generator, picture_row, ramp, stack, training_scene
from chiasm.zoo.recipes.training import Measures

LONGEST: Final = 40
"""Positions that the text has, first and last token included."""

_COUNTS: Final = MOST + 1
_COLOUR_OF: Final = {VOCABULARY[colour]: colour for colour in COLOURS}
_FORM_OF: Final = {VOCABULARY[form]: form for form in (*SHAPES, *DIGITS)} | {
    VOCABULARY[plural]: shape for shape, plural in PLURALS.items()
}
_ANY_FORM: Final = frozenset(VOCABULARY[word] for word in ("object", "objects", "digit"))
_PLACE_WEIGHT: Final = 4.0


def question_tokenizer(start: str | None = None) -> Any:
    """The zoo's tokenizer as an encoder wants it: ``<user>`` before the text, ``</s>`` behind it, padding on the right.

    Args:
        start: the token with which a decoder begins; none if ``None``.
    """
    from tokenizers import processors

    made = tokenizer()
    ends = [(USER, VOCABULARY[USER]), (END, VOCABULARY[END])]
    made.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{USER} $A {END}", pair=f"{USER} $A {END} $B {END}", special_tokens=ends
    )
    made.padding_side = "right"  # the pooler reads the first column
    made.model_max_length = LONGEST
    made.cls_token, made.sep_token = USER, END
    if start is not None:
        made.bos_token = start
    return made


def referents(tokens: list[int], hidden: list[bool], scene: Scene) -> dict[int, tuple[int, ...]]:
    """Which objects the words of a question fit, as far as the words that are left say it.

    A noun with the colour before it ("red star"), a bare noun ("stars"), a bare colour ("which digit is red").

    Args:
        tokens: of the question.
        hidden: for each token whether no other may look at it; such tokens say nothing.
        scene: what the question is about.

    Returns:
        Index of the token that completes the name → indices of the objects that fit it, perhaps none.
    """
    shown = [index for index, away in enumerate(hidden) if not away]
    found: dict[int, tuple[int, ...]] = {}
    colour, at = None, -1
    for index in shown:
        token = tokens[index]
        named = token in _FORM_OF or token in _ANY_FORM
        if colour is not None and not named:
            found[at] = _fitting(scene, colour, None)
        if token in _FORM_OF or (named and colour is not None):
            found[index] = _fitting(scene, colour, _FORM_OF.get(token))
        colour, at = _COLOUR_OF.get(token), index
    if colour is not None:
        found[at] = _fitting(scene, colour, None)
    return found


def _fitting(scene: Scene, colour: str | None, form: str | None) -> tuple[int, ...]:
    return tuple(k for k, i in enumerate(scene.items) if colour in (None, i.colour) and form in (None, i.shape))


def pack_questions(
    questions: list[Question], scene: Scene, hidden_share: float, rng: np.random.Generator
) -> dict[str, list[Any]]:
    """One packed row of questions about the same picture.

    Returns:
        Lists over tokens: ``ids``, ``positions``, ``segments`` (k the k-th question, from 1), ``hidden`` (no token may
        look at it), and what the word names: ``count`` of the objects that fit, and ``word colour``, ``word form``,
        ``word place`` of the object where exactly one fits (labels as in `patch_truth`). Lists over questions:
        ``asked`` (index of its first token), ``labels`` (index in `ANSWERS`), ``words`` (token of the answer),
        ``kinds``, ``whole`` (no word is hidden).
    """
    names = ("ids", "positions", "segments", "hidden", "count", "word colour", "word form", "word place")
    row: dict[str, list[Any]] = {name: [] for name in (*names, "asked", "labels", "words", "kinds", "whole")}
    for number, question in enumerate(questions, start=1):
        masked = rng.random() < hidden_share
        tokens, hidden = spoken(question.text, rng, masked=masked)
        tokens, hidden = [VOCABULARY[USER], *tokens, VOCABULARY[END]], [False, *hidden, False]
        row["asked"].append(len(row["ids"]))
        row["ids"] += tokens
        row["positions"] += range(len(tokens))
        row["segments"] += [number] * len(tokens)
        row["hidden"] += hidden
        fits = referents(tokens, hidden, scene)
        for index in range(len(tokens)):
            _add_word(row, scene, fits.get(index))
        row["labels"].append(ANSWERS.index(question.answer))
        row["words"].append(VOCABULARY[question.answer])
        row["kinds"].append(TYPES.index(question.kind))
        row["whole"].append(not masked)
    return row


def _add_word(row: dict[str, list[Any]], scene: Scene, fits: tuple[int, ...] | None) -> None:
    row["count"].append(IGNORED if fits is None else min(len(fits), _COUNTS - 1))
    item = scene.items[fits[0]] if fits is not None and len(fits) == 1 else None
    row["word colour"].append(IGNORED if item is None else list(COLOURS).index(item.colour) + 1)
    row["word form"].append(IGNORED if item is None else FORMS.index(item.shape) + 1)
    place = (0.0, 0.0, 0.0) if item is None else (item.x * 2 / SIDE - 1, item.y * 2 / SIDE - 1, item.radius / 40)
    row["word place"].append(place)


def pad_questions(rows: list[dict[str, list[Any]]]) -> Batch:
    """Packed rows as arrays, padded at the right to a common length; padding has segment -1."""
    length = max(len(row["ids"]) for row in rows)
    fill: dict[str, Any] = {"ids": VOCABULARY[PAD], "positions": 0, "segments": -1, "hidden": True}
    fill |= {"count": IGNORED, "word colour": IGNORED, "word form": IGNORED, "word place": (0.0, 0.0, 0.0)}
    batch = {
        name: np.array([row[name] + [value] * (length - len(row[name])) for row in rows])
        for name, value in fill.items()
    }
    batch["word place"] = batch["word place"].astype(np.float32)
    whole = ("asked", "labels", "words", "kinds", "whole")
    return batch | {name: np.array([row[name] for row in rows]) for name in whole}


@dataclass(frozen=True)
class QuestionBatches:
    """Batches of pictures with packed questions, for an encoder of questions.

    The same course as in `chiasm.zoo.recipes.packing.PackedBatches`: easy at first, masking from a fifth on, the slow
    types of question weigh more from the middle.

    Attributes:
        side: width and height in pixels of the resized picture.
        grid: patches across and down.
        seed: seed of training.
        steps: length of the phase.
        phase: number of the phase, so that no two see the same pictures.
        pictures: pictures in a batch.
        questions: questions for each picture.
        mix: what scenes are drawn; at the end ``hidden`` is the share of masked pictures and of masked questions.
        weights: how often each type of question is asked.
        grown: the course is over: everything is as at its end.
        leak_from: share of the phase after which every other picture has ``leak`` 1 instead of 0: the number of the
            question that the picture may look at. Only ViLT asks for it.
    """

    side: int
    grid: int
    seed: int
    steps: int
    phase: int = 1
    pictures: int = 24
    questions: int = 12
    mix: Mix = Mix()  # noqa: RUF009 - frozen
    weights: Weights = field(default_factory=lambda: WEIGHTS)
    grown: bool = False
    leak_from: float = 1.0

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = generator(self.seed, self.phase, step)
        fraction = 1.0 if self.grown else step / self.steps
        share, late = self.mix.hidden * ramp(fraction, 0.2, 0.4), ramp(fraction, 0.3, 0.5)
        mix = replace(self.mix, most=3 if fraction < 0.1 else MOST)
        weights = {kind: first + (last - first) * late for kind, (first, last) in self.weights.items()}
        pictures, rows = [], []
        for _ in range(self.pictures):
            scene, family = training_scene(rng, mix)
            pictures.append(picture_row(scene, self.side, self.grid, share, rng))
            rows.append(pack_questions(draw_questions(scene, family, self.questions, weights, rng), scene, share, rng))
        leak = np.arange(self.pictures) % 2 * int(step >= self.leak_from * self.steps)
        return stack(pictures) | pad_questions(rows) | {"leak": leak}


def word_heads(width: int, layers: int = 2) -> Any:
    """Heads that read from a word how many objects fit it, and of a single one its colour, form and place.

    Args:
        width: of the words' states.
        layers: how many layers are read, each by heads of its own.
    """
    return nn.ModuleList(
        nn.ModuleDict(
            {
                "count": nn.Linear(width, _COUNTS),
                "word colour": nn.Linear(width, len(COLOURS) + 1),
                "word form": nn.Linear(width, len(FORMS) + 1),
                "word place": nn.Linear(width, 3),
            }
        )
        for _ in range(layers)
    )


def word_loss(heads: Any, batch: dict[str, Tensor], states: Sequence[Tensor]) -> tuple[Tensor, Measures]:
    """Cross-entropy of count, colour and form and squared error of the place, over the words that name something.

    It teaches words to look up what they stand for, long before an answer could.

    Args:
        heads: from `word_heads`.
        batch: with the labels of `pack_questions`.
        states: float[batch, tokens, width] of the question's tokens, behind each layer that is read.

    Returns:
        The mean over the layers, and measures of the last.
    """
    loss = torch.zeros((), device=batch["count"].device)
    measures: Measures = {}
    single = batch["word form"] != IGNORED
    singles = single.sum().clamp(min=1)
    for head, state in zip(heads, states, strict=True):
        for name in ("count", "word colour", "word form"):
            named = batch[name] != IGNORED
            logits, labels = head[name](state[named]).float(), batch[name][named]
            cases = named.sum()
            loss = loss + F.cross_entropy(logits, labels, reduction="sum") / cases.clamp(min=1)
            measures[name] = ((logits.argmax(-1) == labels).sum(), cases)
        error = (head["word place"](state[single]).float() - batch["word place"][single]).square().mean(-1).sum()
        measures["word place error"] = (error.detach(), singles)
        loss = loss + _PLACE_WEIGHT * error / singles
    return loss / len(states), measures


def blocked(allowed: Tensor) -> Tensor:
    """Additive mask float[batch, 1, rows, columns] from bool[batch, rows, columns].

    Under autocast it has the precision of the scores that it is added to: a float32 mask would make the whole softmax
    float32, which costs a third of a step.
    """
    kind = allowed.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    mask = torch.zeros(allowed.shape, device=allowed.device, dtype=dtype)
    return mask.masked_fill(~allowed, torch.finfo(dtype).min)[:, None]
