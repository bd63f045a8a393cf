"""How often a model of the zoo is right, by question type, on samples that it never trained on; whole and masked."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.zoo.data import chimes, prior, sets
from chiasm.zoo.data.requests import UnknownType
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
ALL_TYPES: Final = "all types"
"""Key of a calibration over all types together."""
BINS: Final = 15
"""Of the expected calibration error, of equal width."""
_DRAWS: Final = 200

#: pictures and questions → answers, and the probability that the model gives each: list[n], float64[n]
Answers = Callable[[Sequence[Image.Image], Sequence[str]], tuple[list[str], NDArray[np.float64]]]
#: whether each answer is right, and its probability: bool[n], float64[n]
Hits = tuple[NDArray[np.bool_], NDArray[np.float64]]
#: data set → question type → share of right answers for each seed
Shares = dict[str, dict[str, list[float]]]
#: data set → question type → hits for each seed
Judged = dict[str, dict[str, list[Hits]]]
#: data set → question type → the right answers for each seed
Truths = dict[str, dict[str, list[list[str | None]]]]


@dataclass(frozen=True)
class Calibration:
    """How well the probabilities of answers say how often they are right.

    Attributes:
        n: how many answers.
        confidence: mean probability of the given answer.
        error: expected calibration error, `BINS` bins.
        floor: the error that a perfectly calibrated model of the same probabilities would show on as many answers.
    """

    n: int
    confidence: float
    error: float
    floor: float


@dataclass(frozen=True)
class Row:
    """What was measured with one amount of masking.

    Attributes:
        hidden: what was hidden.
        accuracy: share of right answers by question type, mean over the seeds.
        calibration: of all types together (`ALL_TYPES`) or of each; empty where nothing can be told.
    """

    hidden: str
    accuracy: dict[str, float]
    calibration: dict[str, Calibration]


@dataclass(frozen=True)
class Report:
    """What was measured of a model; `accuracy.json` holds it.

    Attributes:
        model: its name.
        weights: SHA-256 of the weights it was measured with.
        n: samples of each question type and seed.
        seeds: of the data.
        accuracy: data set → question type → share of right answers for each seed.
        hidden: data set → accuracy and calibration by amount of masking, over all seeds.
        hidden_n: data set → samples of each question type and seed behind its rows with something hidden.
        removal: for models of **prior**, way to remove the picture → share of changed answers for each seed.
        chance: data set → question type → share for each seed that is right without a model (`commonest`).
    """

    model: str
    weights: str
    n: int
    seeds: list[int]
    accuracy: Shares
    hidden: dict[str, list[Row]]
    hidden_n: dict[str, int]
    removal: dict[str, list[float]] = field(default_factory=dict)
    chance: Shares = field(default_factory=dict)  # files of old have none

    def as_json(self) -> str:
        """The report as JSON, numbers to six places."""
        return json.dumps(rounded(asdict(self)), indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        """What `as_json` wrote."""
        found = json.loads(text)
        hidden = {
            data: [
                Row(**(row | {"calibration": {key: Calibration(**one) for key, one in row["calibration"].items()}}))
                for row in rows
            ]
            for data, rows in found["hidden"].items()
        }
        return cls(**(found | {"hidden": hidden}))


def rounded(value: Any) -> Any:
    """Numbers to six places, in lists and dictionaries too."""
    if isinstance(value, float | np.floating):
        return round(float(value), 6)
    if isinstance(value, dict):
        return {key: rounded(one) for key, one in value.items()}
    return [rounded(one) for one in value] if isinstance(value, list | tuple) else value


def _bin_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.minimum((confidence * BINS).astype(np.int64), BINS - 1)


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> float:
    """Expected calibration error (Guo et al. 2017, eq. 3) with `BINS` bins of equal width.

    Args:
        confidence: float[n], probability of the given answer.
        right: bool[n], whether it is the right one.
    """
    gaps = np.bincount(_bin_of(confidence), weights=confidence - right, minlength=BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def calibration_floor(confidence: NDArray[np.float64], seed: int = 0) -> float:
    """Mean calibration error of a perfectly calibrated model: answers are right with just these probabilities.

    With few answers chance alone makes an error; one that is not above this floor tells of no fault.

    Args:
        confidence: float[n], probability of the given answer.
        seed: of the simulation.
    """
    ordered = np.sort(confidence)
    starts = np.flatnonzero(np.diff(_bin_of(ordered), prepend=-1))
    right = np.random.default_rng(seed).random((_DRAWS, len(ordered))) < ordered
    gaps = np.add.reduceat(ordered - right, starts, axis=1)
    return float(np.abs(gaps).sum(axis=1).mean() / len(ordered))


def calibration(right: NDArray[np.bool_], confidence: NDArray[np.float64]) -> Calibration:
    """Calibration of some answers, bool[n] and float64[n]."""
    error, floor = calibration_error(confidence, right), calibration_floor(confidence)
    return Calibration(len(right), float(confidence.mean()), error, floor)


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
        data: ``"shapes"``, ``"digits"``, ``"photos"``, ``"chimes"`` or ``"prior"``.
        kind: a question type.
        n: how many samples.
        seed: seed of the data set.

    Raises:
        UnknownName: there is no such data set or type.
        InvalidInput: ``n`` is below 1.
    """
    if n < 1:
        raise InvalidInput(f"n is {n}; to measure anything ask for at least one sample.")
    if data == "chimes":
        return chimes.samples(n, seed, [kind])
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
    raise UnknownType("'prior' has no question type", kind, ("unbiased", "expected", "against"))


def hits(answers: Answers, samples: Sequence[Sample]) -> Hits:
    """Whether each answer is the right one, bool[n], and its probability, float64[n]."""
    given, confidence = answers(
        [sample["image"].data for sample in samples], [sample["text"].data for sample in samples]
    )
    return np.array([answer == sample.answer for answer, sample in zip(given, samples, strict=True)]), confidence


def judge(
    models: Mapping[str, tuple[Answers, Mapping[str, Sequence[str]]]],
    n: int = PER_TYPE,
    seeds: Sequence[int] = SEEDS,
    tell: Callable[[str], None] = lambda _: None,
    truths: Truths | None = None,
) -> dict[str, Judged]:
    """Hits of several models by question type, all on the same samples, each drawn once.

    Args:
        models: name → how it answers, and data set → question types.
        n: samples of each type and seed.
        seeds: seeds of the data.
        tell: is told what is being measured.
        truths: takes the right answers, for `commonest`.

    Returns:
        Name → hits.

    Raises:
        UnknownName: there is no such data set or type.
        InvalidInput: ``n`` is below 1.
    """
    found: dict[str, Judged] = {name: {data: {} for data in types} for name, (_, types) in models.items()}
    asked = dict.fromkeys((data, kind) for _, types in models.values() for data in types for kind in types[data])
    for data, kind in asked:
        tell(f"{data}: {kind}")
        for seed in seeds:
            samples = draw(data, kind, n, seed)
            if truths is not None:
                truths.setdefault(data, {}).setdefault(kind, []).append([sample.answer for sample in samples])
            for name, (answers, types) in models.items():
                if kind in types.get(data, ()):
                    found[name][data].setdefault(kind, []).append(hits(answers, samples))
    return found


def shares(judged: Judged) -> Shares:
    """Share of right answers by data set, question type and seed."""
    return {
        data: {kind: [float(right.mean()) for right, _ in several] for kind, several in kinds.items()}
        for data, kinds in judged.items()
    }


def commonest(truths: Truths) -> Shares:
    """What always the same answer scores: the commonest one of a question type over all seeds; the level of chance."""
    found: Shares = {}
    for data, kinds in truths.items():
        for kind, several in kinds.items():
            best, _ = Counter(answer for answers in several for answer in answers).most_common(1)[0]
            found.setdefault(data, {})[kind] = [answers.count(best) / len(answers) for answers in several]
    return found


def amounts() -> list[tuple[str, float, float]]:
    """Each amount of masking: what it is called, how much of the image and how much of the text it hides."""
    return [
        (NOTHING_HIDDEN, 0.0, 0.0),
        *((f"{fraction:.0%} of the image", fraction, 0.0) for fraction in FRACTIONS),
        *((f"{fraction:.0%} of the words", 0.0, fraction) for fraction in FRACTIONS),
    ]


def row(hidden: str, found: Mapping[str, Sequence[Hits]], *, by_type: bool = False) -> Row:
    """Accuracy and calibration with one amount of masking.

    Args:
        hidden: what was hidden.
        found: question type → hits for each seed.
        by_type: whether each type has a calibration of its own, for types whose faults would cancel out.
    """
    joined = {kind: (_joined(several, 0), _joined(several, 1)) for kind, several in found.items()}
    groups = joined if by_type else {ALL_TYPES: (_joined(joined.values(), 0), _joined(joined.values(), 1))}
    accuracy = {kind: float(np.mean([right.mean() for right, _ in several])) for kind, several in found.items()}
    return Row(hidden, accuracy, {name: calibration(*one) for name, one in groups.items()})


def _joined(several: Iterable[Hits], which: int) -> NDArray[Any]:
    return np.concatenate([one[which] for one in several])


def masked(
    answers: Answers, data: str, kinds: Sequence[str], n: int, seeds: Sequence[int] = SEEDS
) -> dict[str, dict[str, list[Hits]]]:
    """Hits with parts hidden.

    Args:
        answers: how the model answers.
        data: the data set.
        kinds: question types.
        n: samples of each type and seed.
        seeds: of the samples, and for what is hidden.

    Returns:
        Each of `amounts` but the first → question type → hits for each seed.
    """
    found: dict[str, dict[str, list[Hits]]] = {}
    for seed in seeds:
        samples = {kind: draw(data, kind, n, seed) for kind in kinds}
        for name, of_image, of_text in amounts()[1:]:
            rng = np.random.default_rng(seed)
            for kind, several in samples.items():
                hidden = [_hide(sample, of_image, of_text, rng) for sample in several]
                found.setdefault(name, {}).setdefault(kind, []).append(hits(answers, hidden))
    return found


def _hide(sample: Sample, of_image: float, of_text: float, rng: np.random.Generator) -> Sample:
    picture, text = sample["image"].data, sample["text"].data
    if of_image:
        picture = hide_image(picture, of_image, rng)
    if of_text:
        text = hide_text(text, of_text, rng)
    return Sample(image=picture, text=text, answer=sample.answer)
