"""What the two fusion models share: questions packed for an encoder, and heads that say what a word refers to.

A packed row is ``<user> question </s>  <user> question </s> …``: one picture, many questions, each token with the
number of its question. Who may look at whom is the recipe's business. An answer is read at the question's own first
token (ViLT) or written by a decoder that looks at the question's tokens (BLIP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from chiasm.zoo.data.phrases import ANSWERS, PLURALS
from chiasm.zoo.data.questions import Question
from chiasm.zoo.data.scenes import COLOURS, DIGITS, MOST, SHAPES, Scene
from chiasm.zoo.data.words import END, PAD, USER, VOCABULARY, tokenizer
from chiasm.zoo.recipes.losses import (
    NAMED_PLACE,
    NAMED_WEIGHT,
    PATCH_WEIGHT,
    PLACE_WEIGHT,
    label_loss,
    patch_heads,
    patch_loss,
    place_loss,
)
from chiasm.zoo.recipes.packing import TYPES, AskedBatches, pad_rows, spoken
from chiasm.zoo.recipes.pictures import IGNORED, Batch, generator, object_labels, stack
from chiasm.zoo.recipes.training import Measures

LONGEST: Final = 40
"""Positions that the text has, first and last token included."""

_COUNTS: Final = MOST + 1
_COLOUR_OF: Final = {VOCABULARY[colour]: colour for colour in COLOURS}
_FORM_OF: Final = {VOCABULARY[form]: form for form in (*SHAPES, *DIGITS)} | {
    VOCABULARY[plural]: shape for shape, plural in PLURALS.items()
}
_ANY_FORM: Final = frozenset(VOCABULARY[word] for word in ("object", "objects", "digit"))

_FILL: Final = {
    "ids": VOCABULARY[PAD],
    "positions": 0,
    "segments": -1,
    "hidden": True,
    "count": IGNORED,
    "word colour": IGNORED,
    "word form": IGNORED,
    "word place": (0.0, 0.0, 0.0),
}
"""Padding of the lists over tokens."""


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


def _pack_questions(
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
    row: dict[str, list[Any]] = {name: [] for name in (*_FILL, "asked", "labels", "words", "kinds", "whole")}
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
    colour, form, place = IGNORED, IGNORED, (0.0, 0.0, 0.0)
    if fits is not None and len(fits) == 1:
        colour, form, place = object_labels(scene.items[fits[0]])
    row["word colour"].append(colour)
    row["word form"].append(form)
    row["word place"].append(place)


@dataclass(frozen=True)
class QuestionBatches(AskedBatches):
    """Batches of pictures with packed questions, for an encoder of questions.

    Attributes:
        phase: number of the phase, so that no two see the same pictures.
        grown: the course is over: everything is as at its end.
        leak_from: share of the phase after which every other picture has ``leak`` 1 instead of 0: the number of the
            question that the picture may look at. Only ViLT asks for it.
    """

    phase: int = 1
    grown: bool = False
    leak_from: float = 1.0

    def __call__(self, step: int) -> Batch:
        """The batch of that step; padding has segment -1."""
        rng, fraction = generator(self.seed, self.phase, step), 1.0 if self.grown else step / self.steps
        share, pictures, rows = self.hidden_share(fraction), [], []
        for scene, picture, questions in self.draw(rng, fraction):
            pictures.append(picture)
            rows.append(_pack_questions(questions, scene, share, rng))
        padded = pad_rows(rows, _FILL, ("asked", "labels", "words", "kinds", "whole"))
        padded["word place"] = padded["word place"].astype(np.float32)
        leak = np.arange(self.pictures) % 2 * int(step >= self.leak_from * self.steps)
        return stack(pictures) | padded | {"leak": leak}


def word_heads(width: int, layers: int = 2) -> Any:
    """Heads that read from a word how many objects fit it, and of a single one its colour, form and place.

    Args:
        width: of the words' states.
        layers: how many layers are read, each by heads of its own.
    """
    return nn.ModuleList(
        nn.ModuleDict(
            {"count": nn.Linear(width, _COUNTS)} | {f"word {name}": head for name, head in patch_heads(width).items()}
        )
        for _ in range(layers)
    )


def word_loss(heads: Any, batch: dict[str, Tensor], states: Sequence[Tensor]) -> tuple[Tensor, Measures]:
    """Cross-entropy of count, colour and form and squared error of the place, over the words that name something.

    It teaches words to look up what they stand for, long before an answer could.

    Args:
        heads: from `word_heads`.
        batch: with the labels of `QuestionBatches`.
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
            error, measures[name] = label_loss(head[name], state, batch[name])
            loss = loss + error
        error = (head["word place"](state[single]).float() - batch["word place"][single]).square().mean(-1).sum()
        measures["word place error"] = (error.detach(), singles)
        loss = loss + NAMED_PLACE * error / singles
    return loss / len(states), measures


def answered_loss(
    heads: Any,
    batch: dict[str, Tensor],
    answers: Tensor,
    *,
    patches: Tensor,
    words: dict[str, Tensor],
    states: Sequence[Tensor],
) -> tuple[Tensor, Measures]:
    """The whole loss of a fusion model: its answers, what patches show and where, and what words name.

    Args:
        heads: ``patch`` and ``word``.
        batch: with the labels of patches.
        answers: the loss of the answers.
        patches: features of patches, float[pictures, grid², width].
        words: with the labels of words.
        states: what `word_loss` takes.
    """
    shown, measures = patch_loss(heads["patch"], batch, patches)
    place = place_loss(heads["patch"]["place"], batch, patches)
    named, counts = word_loss(heads["word"], words, states)
    return answers + PATCH_WEIGHT * shown + PLACE_WEIGHT * place + NAMED_WEIGHT * named, measures | counts
