"""How good a model of the zoo is on fresh scenes, whole and masked: ``python -m chiasm.zoo.evaluate llava-shapes``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.zoo import catalog, shapes
from chiasm.zoo.data.questions import KINDS
from chiasm.zoo.data.scenes import SIDE
from chiasm.zoo.data.words import MASK

GRID: Final = 4
"""Cells across and down that are hidden, filled with the mean colour of the picture."""

FRACTIONS: Final = (0.25, 0.5, 0.75, 1.0)
_BINS: Final = 15
_CARD: Final = ("<!-- accuracy: written by python -m chiasm.zoo.evaluate llava-shapes --card -->", "<!-- /accuracy -->")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: what was hidden.
        accuracy: share of right answers by question type, and of ``all``.
        confidence: mean probability of the given answer.
        calibration_error: expected calibration error, 15 bins of equal width.
    """

    name: str
    accuracy: dict[str, float]
    confidence: float
    calibration_error: float


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = _BINS) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3) with bins of equal width.

    Args:
        confidence: float[n], probability of the given answer.
        right: bool[n], whether it is the right one.
        bins: number of bins.
    """
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    gaps = np.bincount(which, weights=confidence - right, minlength=bins)
    return float(np.abs(gaps).sum() / len(confidence))


def hide_image(picture: Image.Image, fraction: float, rng: np.random.Generator) -> Image.Image:
    """The picture with that fraction of its cells filled with its mean colour."""
    order = rng.permutation(GRID * GRID)
    kept = np.ones(GRID * GRID, dtype=np.uint8)
    kept[order[: round(fraction * len(order))]] = 0
    stencil = Image.fromarray(kept.reshape(GRID, GRID) * 255, "L").resize((SIDE, SIDE), Image.Resampling.NEAREST)
    mean = np.asarray(picture, dtype=np.float64).mean(axis=(0, 1)).round().astype(int)
    return Image.composite(picture, Image.new("RGB", picture.size, (int(mean[0]), int(mean[1]), int(mean[2]))), stencil)


def hide_text(text: str, fraction: float, rng: np.random.Generator) -> str:
    """The question with that fraction of its words (rounded) replaced by the mask token."""
    words = text.split()
    for index in rng.permutation(len(words))[: round(fraction * len(words))]:
        words[index] = MASK
    return " ".join(words)


def load(folder: Path, device: str = "cpu") -> tuple[Any, Any]:
    """Model and processor, through the library's own automatic classes."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    return AutoModelForImageTextToText.from_pretrained(folder).to(device).eval(), AutoProcessor.from_pretrained(folder)


def answers(
    model: Any, processor: Any, pictures: Sequence[Image.Image], texts: Sequence[str], batch: int = 100
) -> tuple[list[str], NDArray[np.float64]]:
    """The most probable next token over the whole vocabulary, and its probability, for each question."""
    import torch

    words: list[str] = []
    chances: list[NDArray[np.float64]] = []
    for first in range(0, len(texts), batch):
        prompts = [
            processor.apply_chat_template(
                [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}],
                add_generation_prompt=True,
            )
            for text in texts[first : first + batch]
        ]
        inputs = processor(
            text=prompts, images=list(pictures[first : first + batch]), return_tensors="pt", padding=True
        ).to(model.device)
        with torch.inference_mode():
            chance = model(**inputs, logits_to_keep=1).logits[:, -1].double().softmax(-1).max(-1)
        words += processor.tokenizer.convert_ids_to_tokens(chance.indices.tolist())
        chances.append(chance.values.cpu().numpy())
    return words, np.concatenate(chances)


def _row(name: str, samples: Sequence[Sample], given: list[str], confidence: NDArray[np.float64]) -> Row:
    kinds = np.array([sample.tags["type"] for sample in samples])
    hits = np.array([answer == sample.answer for answer, sample in zip(given, samples, strict=True)])
    accuracy = {kind: float(hits[kinds == kind].mean()) for kind in KINDS if (kinds == kind).any()}
    accuracy["all"] = float(hits.mean())
    return Row(name, accuracy, float(confidence.mean()), calibration_error(confidence, hits))


def evaluate(model: Any, processor: Any, samples: Sequence[Sample], seed: int = 0) -> list[Row]:
    """Accuracy and calibration on samples of the shapes data set.

    Args:
        model: model of the zoo.
        processor: its processor.
        samples: with answers and the tag ``type``.
        seed: for what is hidden.

    Returns:
        Whole inputs first; then with cells of the image hidden, then with words hidden, by fraction.

    Raises:
        InvalidInput: there are no samples.
    """
    if not samples:
        raise InvalidInput("There are no samples to evaluate on; ask for n >= 1.")
    rng = np.random.default_rng(seed)
    pictures = [sample["image"].data for sample in samples]
    texts = [sample["text"].data for sample in samples]
    rows = [_row("nothing hidden", samples, *answers(model, processor, pictures, texts))]
    for fraction in FRACTIONS:
        masked = [hide_image(picture, fraction, rng) for picture in pictures]
        rows.append(_row(f"{fraction:.0%} of the image", samples, *answers(model, processor, masked, texts)))
    for fraction in FRACTIONS:
        cut = [hide_text(text, fraction, rng) for text in texts]
        rows.append(_row(f"{fraction:.0%} of the words", samples, *answers(model, processor, pictures, cut)))
    return rows


def table(rows: Sequence[Row]) -> str:
    """The rows as a Markdown table, which also reads well in a terminal."""
    kinds = list(rows[0].accuracy)
    width = max(len(row.name) for row in rows)
    lines = [f"| {'hidden':<{width}} | " + " | ".join([*kinds, "confidence", "calibration error"]) + " |"]
    lines.append(
        f"|{'-' * (width + 2)}|"
        + "|".join("-" * (len(k) + 1) + ":" for k in kinds)
        + "|-----------:|"
        + "-" * 18
        + ":|"
    )
    for row in rows:
        cells = [f"{row.accuracy[kind]:>{len(kind)}.3f}" for kind in kinds]
        cells += [f"{row.confidence:>10.3f}", f"{row.calibration_error:>17.3f}"]
        lines.append(f"| {row.name:<{width}} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def write_card(card: Path, text: str) -> None:
    """Replace what stands between the two marks of a model card.

    Raises:
        InvalidInput: the card has no such marks.
    """
    old = card.read_text(encoding="utf-8")
    if not all(mark in old for mark in _CARD):
        raise InvalidInput(f"{card} has no place for the table: it needs the lines {_CARD[0]!r} and {_CARD[1]!r}.")
    head, rest = old.split(_CARD[0], 1)
    _, tail = rest.split(_CARD[1], 1)
    card.write_text(f"{head}{_CARD[0]}\n{text}\n{_CARD[1]}{tail}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, evaluate, print the table."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.evaluate", description=__doc__)
    parser.add_argument("model", choices=sorted(catalog.MODELS))
    parser.add_argument("--folder", type=Path, help="a folder of weights other than the package's own")
    parser.add_argument("--n", type=int, default=1000, help="samples")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the samples")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    parser.add_argument("--card", action="store_true", help="put the table into the model card")
    options = parser.parse_args(arguments)
    folder = options.folder or catalog.path(options.model)
    model, processor = load(folder, options.device)
    rows = evaluate(model, processor, shapes.samples(options.n, options.seed), options.seed)
    text = table(rows)
    sys.stdout.write(text + "\n")
    if options.json:
        numbers = {"model": options.model, "n": options.n, "seed": options.seed, "rows": [vars(row) for row in rows]}
        options.json.write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    if options.card:
        note = f"{options.n} fresh samples, seed {options.seed}; accuracy by question type."
        write_card(folder / "README.md", f"\n{note}\n\n{text}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
