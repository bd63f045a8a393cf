"""Training batches for models that compare pictures with texts: captions, each beside its own hard negatives."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.zoo.data.captions import CAPTIONS, MOST_CAPTIONED, NEGATIVES, Caption, caption, negatives
from chiasm.zoo.data.geometry import POSITION_GAP, lies
from chiasm.zoo.data.phrases import RELATIONS, pick
from chiasm.zoo.data.scenes import COLOURS, MOST, SHAPES, Scene
from chiasm.zoo.data.words import END, MASK, PAD, UNKNOWN, VOCABULARY, tokenizer
from chiasm.zoo.recipes.building import GRID, SIDE
from chiasm.zoo.recipes.hiding import choose, text_tokens
from chiasm.zoo.recipes.pictures import Batch, Mix, generator, object_labels, picture_row, ramp, stack, training_scene

TOKENS: Final = 20
"""Positions of the text towers; the longest caption has 14 tokens with its end."""

NAMES: Final = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
"""What an object can be: colour and shape."""
WAYS: Final = (None, "left", "right", "above", "below")
_SHARES: Final = {"one": (1.0, 0.5), "two": (1.0, 1.0), "relation": (1.0, 2.0)}
"""How often each kind of caption is drawn in the first and in the last part of training, relative to the others."""

_SENTENCES: Final = {"one": 0.15, "two": 0.25, "relation": 0.6}
"""Shares of the kinds of caption when the text tower trains alone."""

_KINDS: Final = (None, *NEGATIVES)
_COLUMNS: Final = ("owner", "true", "kind", "whole", "way", "first", "second")


def caption_tokenizer(*, attention_mask: bool) -> Any:
    """The zoo's tokenizer as text towers need it: an end token behind every text, padding at the right.

    Args:
        attention_mask: whether it returns one. SigLIP's convention is not to: padding is attended to.
    """
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    fast = tokenizer().backend_tokenizer
    end = [(END, VOCABULARY[END])]
    fast.post_processor = processors.TemplateProcessing(single=f"$A {END}", special_tokens=end)
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token=PAD,
        unk_token=UNKNOWN,
        mask_token=MASK,
        eos_token=END,
        padding_side="right",
        model_max_length=TOKENS,
        model_input_names=["input_ids", "attention_mask"] if attention_mask else ["input_ids"],
    )


def whereabouts(scene: Scene) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Which of `NAMES` are in the scene, float32[30], and their centres, float32[30, 2] in -1 … 1 (0 if absent)."""
    count = np.zeros(len(NAMES), dtype=np.float32)
    total = np.zeros((len(NAMES), 2), dtype=np.float32)
    for item in scene.items:
        k = NAMES.index((item.colour, item.shape))
        count[k] += 1
        total[k] += object_labels(item)[2][:2]
    centres = np.divide(total, np.maximum(count, 1)[:, None], dtype=np.float32)
    return np.minimum(count, 1), centres


def statements(scene: Scene) -> NDArray[np.int8]:
    """Which captions are true of the scene: int8[ways, names, names], 1 true, 0 false, -1 too close to say.

    The first index is one of `WAYS`; without a relation, both names just have to be there (twice the same name stands
    for a caption about one object).
    """
    table = np.zeros((len(WAYS), len(NAMES), len(NAMES)), dtype=np.int8)
    ids = [NAMES.index((item.colour, item.shape)) for item in scene.items]
    for a, first in zip(ids, scene.items, strict=True):
        for b, second in zip(ids, scene.items, strict=True):
            table[0, a, b] = 1
            for number, way in enumerate(WAYS[1:], start=1):
                if first is not second and lies(first, second, str(way)):
                    clear = lies(first, second, str(way), POSITION_GAP)
                    table[number, a, b] = 1 if clear or table[number, a, b] == 1 else -1
    return table


def caption_tokens(sentence: Caption, rng: np.random.Generator, *, masked: bool) -> tuple[list[int], list[bool]]:
    """Tokens of a caption with its end, perhaps some hidden, and for each whether the model may look at it."""
    tokens, hidden = text_tokens(sentence.text, rng, masked=masked)
    # A hidden token is padding, as when explainers hide it.
    tokens = [VOCABULARY[PAD] if h else token for token, h in zip(tokens, hidden, strict=True)]
    return [*tokens, VOCABULARY[END]], [*(not h for h in hidden), True]


@dataclass(frozen=True)
class SceneBatches:
    """Batches of pictures with what their patches show and what is where, to train a vision tower alone.

    Attributes:
        seed: seed of training.
        steps: length of the phase; the share of masked pictures grows along it.
        pictures: pictures in a batch.
        mix: what scenes are drawn.
    """

    seed: int
    steps: int
    pictures: int = 96
    mix: Mix = Mix(digits=0.0, hidden=0.3)  # noqa: RUF009 - frozen

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = generator(self.seed, 0, step)
        share = self.mix.hidden * ramp(step / self.steps, 0.4, 0.8)
        mix = replace(self.mix, most=MOST if step % 2 else MOST_CAPTIONED)
        return stack([scene_row(training_scene(rng, mix)[0], share, rng) for _ in range(self.pictures)])


def scene_row(scene: Scene, hidden_share: float, rng: np.random.Generator) -> dict[str, NDArray[Any]]:
    """One picture with the labels of its patches, ``there`` and ``where`` (`whereabouts`)."""
    there, where = whereabouts(scene)
    return picture_row(scene, SIDE, GRID, hidden_share, rng) | {"there": there, "where": where}


@dataclass(frozen=True)
class CaptionBatches:
    """Batches of pictures, each with several true captions and the hard negatives of each.

    Attributes:
        seed: seed of training.
        steps: length of the phase; masking grows to its full share along it.
        padded: length to which texts are padded, with padding attended to; the longest of the batch, not attended to,
            if ``None``.
        pictures: pictures in a batch.
        captions: true captions of each picture.
        mix: what scenes are drawn; ``hidden`` is the final share of masked pictures and of masked captions.
    """

    seed: int
    steps: int
    padded: int | None = None
    pictures: int = 48
    captions: int = 3
    mix: Mix = Mix(digits=0.0, hidden=0.4, most=MOST_CAPTIONED)  # noqa: RUF009 - frozen

    def __call__(self, step: int) -> Batch:
        """The batch of that step (`text_arrays` tells what it holds of the captions)."""
        rng = generator(self.seed, 1, step)
        fraction = step / self.steps
        share, late = self.mix.hidden * ramp(fraction, 0.3, 0.6), ramp(fraction, 0.2, 0.5)
        shares = {kind: first + (last - first) * late for kind, (first, last) in _SHARES.items()}
        pictures, tables = [], []
        rows: list[dict[str, Any]] = []
        for number in range(self.pictures):
            scene = training_scene(rng, self.mix)[0]
            pictures.append(scene_row(scene, share, rng))
            tables.append(statements(scene))
            drawn = 0
            while drawn < self.captions:
                true = caption(scene, rng, choose(rng, shares))
                if true is not None:
                    rows += _caption_rows(scene, true, {"owner": number, "true": len(rows)}, share, rng)
                    drawn += 1
        return stack(pictures) | text_arrays(rows, np.stack(tables), self.padded)


def _caption_rows(
    scene: Scene, true: Caption, known: dict[str, int], hidden_share: float, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """A true caption and its negatives. Each may be masked, for if only true ones were, a mask would tell the truth."""
    rows = []
    for kind, sentence in [(None, true), *negatives(scene, true, rng).items()]:
        rows.append(_row(sentence, kind, known, rng, masked=rng.random() < hidden_share))
    return rows


def _row(
    sentence: Caption, kind: str | None, known: dict[str, int], rng: np.random.Generator, *, masked: bool
) -> dict[str, Any]:
    """One caption as `text_arrays` wants it."""
    ids, attended = caption_tokens(sentence, rng, masked=masked)
    names = [NAMES.index(name) for name in sentence.names]
    row = known | {"ids": ids, "attended": attended, "kind": _KINDS.index(kind), "whole": not masked}
    return row | {"way": WAYS.index(sentence.way), "first": names[0], "second": names[-1]}


def text_arrays(rows: list[dict[str, Any]], tables: NDArray[np.int8], padded: int | None) -> Batch:
    """Captions as arrays.

    Args:
        rows: of `_row`.
        tables: of the pictures, `statements` stacked.
        padded: length to which texts are padded, with padding attended to; the longest, not attended to, if ``None``.

    Returns:
        ``ids`` int64[captions, length] and ``attended`` of that shape; int64[captions]: ``owner`` (its picture),
        ``true`` (index of the true caption that a negative belongs to, its own for a true one), ``kind`` (0 true, k
        the k-th kind of `NEGATIVES`), ``code`` (equal where the tokens are), ``way``, ``first``, ``second`` (what
        it says, as indices of `statements`) and bool ``whole``; ``truth`` int8[pictures, captions]: 1 the caption
        is true of the picture, 0 false, -1 too close to say.
    """
    length = padded or max(len(row["ids"]) for row in rows)
    ids = np.full((len(rows), length), VOCABULARY[PAD], dtype=np.int64)
    attended = np.full((len(rows), length), padded is not None)
    for k, row in enumerate(rows):
        ids[k, : len(row["ids"])] = row["ids"]
        attended[k, : len(row["ids"])] = row["attended"]
    columns = {name: np.array([row[name] for row in rows]) for name in _COLUMNS}
    code = np.unique(np.where(attended, ids, -1), axis=0, return_inverse=True)[1].reshape(-1)
    return columns | {
        "ids": ids,
        "attended": attended,
        "code": code.astype(np.int64),
        "truth": tables[:, columns["way"], columns["first"], columns["second"]],
    }


@dataclass(frozen=True)
class SentenceBatches:
    """Batches of captions of nothing: any two objects in any relation, to train a text tower alone.

    Attributes:
        seed: seed of training.
        padded: as for `CaptionBatches`.
        captions: captions in a batch.
    """

    seed: int
    padded: int | None = None
    captions: int = 384

    def __call__(self, step: int) -> Batch:
        """The batch of that step; every caption counts as true and whole, and ``truth`` says nothing."""
        rng = generator(self.seed, 2, step)
        rows = []
        for number in range(self.captions):
            kind = choose(rng, _SENTENCES)
            first, second = (NAMES[k] for k in rng.permutation(len(NAMES))[:2])
            words = {"colour": first[0], "shape": first[1]}
            if kind != "one":
                words |= {"colour2": second[0], "shape2": second[1]}
            if kind == "relation":
                words["relation"] = pick(rng, list(RELATIONS))
            sentence = Caption(kind, pick(rng, CAPTIONS[kind]), words, ())
            rows.append(_row(sentence, None, {"owner": 0, "true": number}, rng, masked=False))
        return text_arrays(rows, np.zeros((1, len(WAYS), len(NAMES), len(NAMES)), dtype=np.int8), self.padded)
