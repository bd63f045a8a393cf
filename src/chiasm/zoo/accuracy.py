"""How often a model of the zoo is right, by question type, on samples that it never trained on; whole and masked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.sample import Sample
from chiasm.zoo.data import prior, sets
from chiasm.zoo.data.words import MASK

GRID: Final = 4
"""Cells across and down that are hidden, filled with the mean colour of the picture."""
FRACTIONS: Final = (0.25, 0.5, 0.75, 1.0)
"""How much of the image, or of the words, is hidden."""
SEEDS: Final = (1000, 1001, 1002)
"""Seeds of the data that the published numbers are measured on."""
PER_TYPE: Final = 300
"""Samples of each question type and seed behind the published numbers."""
NOTHING_HIDDEN: Final = "nothing hidden"
_BINS: Final = 15

#: pictures and questions → answers, and the probability that the model gives each: list[n], float64[n]
Answers = Callable[[Sequence[Image.Image], Sequence[str]], tuple[list[str], NDArray[np.float64]]]
#: data set → question type → share of right answers for each seed
Shares = dict[str, dict[str, list[float]]]


@dataclass(frozen=True)
class Row:
    """What was measured with one amount of masking.

    Attributes:
        hidden: what was hidden.
        accuracy: share of right answers by question type; each type has as many samples as any other.
        confidence: mean probability of the given answer; ``None`` for models that give none.
        calibration_error: expected calibration error over all types, 15 bins of equal width, or ``None``.
    """

    hidden: str
    accuracy: dict[str, float]
    confidence: float | None = None
    calibration_error: float | None = None


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
    stencil = Image.fromarray(kept.reshape(GRID, GRID) * 255, "L").resize(picture.size, Image.Resampling.NEAREST)
    mean = np.asarray(picture, dtype=np.float64).mean(axis=(0, 1)).round().astype(int)
    return Image.composite(picture, Image.new("RGB", picture.size, (int(mean[0]), int(mean[1]), int(mean[2]))), stencil)


def hide_text(text: str, fraction: float, rng: np.random.Generator) -> str:
    """The question with that fraction of its words (rounded) replaced by the mask token."""
    words = text.split()
    for index in rng.permutation(len(words))[: round(fraction * len(words))]:
        words[index] = MASK
    return " ".join(words)


def draw(data: str, kind: str, n: int, seed: int) -> list[Sample]:
    """Samples of one question type, of a data set in which each has a single right answer.

    For **prior** the types are ``unbiased`` (the question tells nothing of the answer), ``expected`` (the answer is
    what the biased training data led to expect) and ``against`` (it is not).

    Args:
        data: ``"shapes"``, ``"digits"``, ``"photos"`` or ``"prior"``.
        kind: a question type.
        n: how many samples.
        seed: seed of the data set.

    Raises:
        UnknownName: there is no such data set or type.
        InvalidInput: ``n`` is below 1.
    """
    if n < 1:
        raise InvalidInput(f"n is {n}; to measure anything ask for at least one sample.")
    if data != "prior":
        return sets.samples(data, n, seed, [kind])
    if kind == "unbiased":
        return prior.samples(n, seed, language=0.0)
    if kind == "expected":
        return prior.samples(n, seed, language=1.0)
    if kind == "against":
        # About a quarter of the samples agree with the expectation by chance; twice as many always hold n that do not.
        found = (sample for sample in prior.samples(2 * n + 20, seed, language=0.0) if not sample.tags["canonical"])
        return list(islice(found, n))
    raise UnknownName("question type of 'prior'", kind, ("unbiased", "expected", "against"))


def hits(answers: Answers, samples: Sequence[Sample]) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Whether each answer is the right one, bool[n], and its probability, float64[n]."""
    given, confidence = answers(
        [sample["image"].data for sample in samples], [sample["text"].data for sample in samples]
    )
    return np.array([answer == sample.answer for answer, sample in zip(given, samples, strict=True)]), confidence


def measure(
    models: Mapping[str, tuple[Answers, Mapping[str, Sequence[str]]]],
    n: int = PER_TYPE,
    seeds: Sequence[int] = SEEDS,
    tell: Callable[[str], None] = lambda _: None,
) -> dict[str, Shares]:
    """Accuracy of several models by question type, all on the same samples, each drawn once.

    Args:
        models: name → how it answers, and data set → question types.
        n: samples of each type and seed.
        seeds: seeds of the data.
        tell: is told what is being measured.

    Returns:
        Name → shares.

    Raises:
        UnknownName: there is no such data set or type.
        InvalidInput: ``n`` is below 1.
    """
    found: dict[str, Shares] = {name: {data: {} for data in types} for name, (_, types) in models.items()}
    asked = dict.fromkeys((data, kind) for _, types in models.values() for data in types for kind in types[data])
    for data, kind in asked:
        tell(f"{data}: {kind}")
        for seed in seeds:
            samples = draw(data, kind, n, seed)
            for name, (answers, types) in models.items():
                if kind in types.get(data, ()):
                    right, _ = hits(answers, samples)
                    found[name][data].setdefault(kind, []).append(float(right.mean()))
    return found


def amounts() -> list[tuple[str, float, float]]:
    """Each amount of masking: what it is called, how much of the image and how much of the text it hides."""
    return [
        (NOTHING_HIDDEN, 0.0, 0.0),
        *((f"{fraction:.0%} of the image", fraction, 0.0) for fraction in FRACTIONS),
        *((f"{fraction:.0%} of the words", 0.0, fraction) for fraction in FRACTIONS),
    ]


def masked(answers: Answers, data: str, kinds: Sequence[str], n: int = PER_TYPE, seed: int = SEEDS[0]) -> list[Row]:
    """Accuracy and calibration by amount of masking, on samples of one seed.

    Args:
        answers: how the model answers.
        data: the data set.
        kinds: question types.
        n: samples of each type.
        seed: of the samples, and for what is hidden.

    Returns:
        One row for each of `amounts`.
    """
    samples = {kind: draw(data, kind, n, seed) for kind in kinds}
    rows = []
    for name, of_image, of_text in amounts():
        rng = np.random.default_rng(seed)
        found = {
            kind: hits(answers, [_hide(sample, of_image, of_text, rng) for sample in several])
            for kind, several in samples.items()
        }
        right = np.concatenate([one for one, _ in found.values()])
        confidence = np.concatenate([one for _, one in found.values()])
        accuracy = {kind: float(one.mean()) for kind, (one, _) in found.items()}
        rows.append(Row(name, accuracy, float(confidence.mean()), calibration_error(confidence, right)))
    return rows


def _hide(sample: Sample, of_image: float, of_text: float, rng: np.random.Generator) -> Sample:
    picture, text = sample["image"].data, sample["text"].data
    if of_image:
        picture = hide_image(picture, of_image, rng)
    if of_text:
        text = hide_text(text, of_text, rng)
    return Sample(image=picture, text=text, answer=sample.answer)
