"""Twins and growth in numbers: ``python -m chiasm.zoo.prior_report``.

Which of the models trained on the **prior** data set look at the picture, and since when.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import ChiasmError, ModelError
from chiasm.core.sample import Sample
from chiasm.modalities.image_maskers import BLUR_RADIUS, GREY, gaussian_blur, mean_colour
from chiasm.zoo import answers
from chiasm.zoo.accuracy import PER_TYPE, SEEDS, Answers
from chiasm.zoo.catalog import WEIGHTS
from chiasm.zoo.data import prior
from chiasm.zoo.table import cell, markdown

TWINS: Final = {"prior-shortcut": (0.0, 0.1), "prior-grounded": (0.6, 1.0)}
"""Twin → least and largest share of answers to biased questions that removing the picture may change: their bar."""
GROWTH: Final = "prior-growth-"
"""What the names of the checkpoints begin with; the step follows."""
Removal = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
REMOVALS: Final[dict[str, Removal]] = {
    "mean": mean_colour,
    "grey": lambda picture: np.full_like(picture, GREY),
    "blur": lambda picture: gaussian_blur(picture, BLUR_RADIUS),
}
"""What stands in the place of the whole picture: the baselines of the maskers of those names."""
BAR_REMOVAL: Final = "mean"
"""The removal by which the bar of the twins is set; what a model answers to another baseline is another number."""
NOTE: Final = (
    f'The bar of the twins is set by "{BAR_REMOVAL}", the whole picture filled with its mean colour: at most '
    f"{TWINS['prior-shortcut'][1]:.0%} of the answers of prior-shortcut may change, and at least "
    f"{TWINS['prior-grounded'][0]:.0%} of those of prior-grounded must. Other removals leave other arbitrary answers: "
    f"their numbers differ, and no bar is set by them."
)

Answer = Callable[[Sequence[Sample]], list[str]]
Shares = dict[str, list[float]]
"""Column → share for each seed of the data."""


def without_image(sample: Sample, masker: str = "mean") -> Sample:
    """The sample with its whole picture replaced, in one of the ways of `REMOVALS`."""
    picture = REMOVALS[masker](np.asarray(sample["image"].data))
    return Sample(image=picture, text=sample["text"].data, answer=sample.answer)


def answerer(give: Answers) -> Answer:
    """Samples → answers, of a model that takes pictures and questions."""
    from PIL import Image

    def answer(samples: Sequence[Sample]) -> list[str]:
        pictures = [Image.fromarray(np.asarray(sample["image"].data)) for sample in samples]
        return give(pictures, [sample["text"].data for sample in samples])[0]

    return answer


def loaded(folder: Path) -> Answer:
    """Samples → answers of the model in a folder."""
    return answerer(partial(answers.decoder_answers, *answers.load(folder)))


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else float("nan")


def _right(given: Sequence[str], samples: Sequence[Sample]) -> NDArray[np.bool_]:
    return np.array([a == sample.answer for a, sample in zip(given, samples, strict=True)])


def _expected(given: Sequence[str], samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Whether each answer is the one that language leads to expect, whatever the picture shows."""
    return np.array([a == prior.CANONICAL[str(s.tags["shape"])] for a, s in zip(given, samples, strict=True)])


def removal(answer: Answer, n: int, seeds: Sequence[int] = SEEDS) -> Shares:
    """How often removing the picture changes the right answers of one model to biased questions.

    Args:
        answer: of the model.
        n: questions for each seed.
        seeds: of the data.

    Returns:
        One of `REMOVALS` → share of changed answers for each seed, of those that are right with the picture; seeds
        without a right answer are left out.
    """
    shares: Shares = {masker: [] for masker in REMOVALS}
    for seed in seeds:
        biased = prior.samples(n, seed, language=1.0)
        given = answer(biased)
        right = _right(given, biased)
        for masker, several in shares.items():
            if right.any():
                several.append(_share(_changed(answer, given, biased, masker)[right]))
    return shares


def _changed(answer: Answer, given: Sequence[str], samples: Sequence[Sample], masker: str) -> NDArray[np.bool_]:
    blind = answer([without_image(sample, masker) for sample in samples])
    return np.array([a != b for a, b in zip(given, blind, strict=True)])


def _append(shares: Shares, found: Mapping[str, float]) -> None:
    for column, share in found.items():
        shares.setdefault(column, []).append(share)


def compare_twins(twins: Mapping[str, Answer], n: int, seeds: Sequence[int] = SEEDS) -> dict[str, Shares]:
    """How often removing the picture changes answers, where every twin is right with it.

    The questions are biased: language predicts all their answers (strength 1). Their answers count where all models
    give the right one while they see the picture.

    Args:
        twins: name → its answers.
        n: questions for each seed.
        seeds: of the data.

    Returns:
        For each twin the accuracy on biased questions and on free ones (strength 0), the share of expected answers
        where the picture contradicts them, and the share of changed answers for each of `REMOVALS`.
    """
    shares: dict[str, Shares] = {name: {} for name in twins}
    for seed in seeds:
        biased, free = (prior.samples(n, seed, language=strength) for strength in (1.0, 0.0))
        against = [sample for sample in free if not sample.tags["canonical"]]
        given = {name: answer(biased) for name, answer in twins.items()}
        both = np.logical_and.reduce([_right(a, biased) for a in given.values()])
        for name, answer in twins.items():
            found = {
                "right, biased": _share(_right(given[name], biased)),
                "right, free": _share(_right(answer(free), free)),
                "expected against the picture": _share(_expected(answer(against), against)),
            }
            for masker in REMOVALS:
                found[f"changed by {masker}"] = _share(_changed(answer, given[name], biased, masker)[both])
            _append(shares[name], found)
    return shares


def follow_growth(checkpoints: Mapping[str, Answer], n: int, seeds: Sequence[int] = SEEDS) -> dict[str, Shares]:
    """What each checkpoint answers to free questions (strength 0), with the picture and with its mean colour alone.

    Args:
        checkpoints: name → its answers.
        n: questions for each seed.
        seeds: of the data.

    Returns:
        For each checkpoint the accuracy and the share of expected answers, both with and without the picture, and the
        share of answers that removing the picture changes.
    """
    shares: dict[str, Shares] = {name: {} for name in checkpoints}
    for seed in seeds:
        free = prior.samples(n, seed, language=0.0)
        bare = [without_image(sample) for sample in free]
        for name, answer in checkpoints.items():
            seen, blind = answer(free), answer(bare)
            found = {
                "right": _share(_right(seen, free)),
                "expected": _share(_expected(seen, free)),
                "right without": _share(_right(blind, free)),
                "expected without": _share(_expected(blind, free)),
                "changed": _share(np.array([a != b for a, b in zip(seen, blind, strict=True)])),
            }
            _append(shares[name], found)
    return shares


def as_table(shares: Mapping[str, Shares]) -> str:
    """Models down, columns across, in per cent."""
    columns = list(next(iter(shares.values())))
    return markdown(["model", *columns], [[name, *(cell(found[c]) for c in columns)] for name, found in shares.items()])


def checkpoints_in(root: Path) -> dict[str, Path]:
    """Name → folder of the checkpoints along the training, by step; folders of other names are passed over."""
    steps = {path: path.name.removeprefix(GROWTH) for path in root.glob(f"{GROWTH}*/")}
    numbers = {path: int(step) for path, step in steps.items() if step.isdecimal() and _holds_model(path)}
    return {path.name: path for path in sorted(numbers, key=lambda path: numbers[path])}


def _holds_model(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file()


def report(root: Path, n: int, seeds: Sequence[int]) -> str:
    """Both tables as Markdown.

    Args:
        root: where the models' folders lie.
        n: questions for each seed.
        seeds: of the data.

    Raises:
        ModelError: a twin is not there.
        InvalidInput: ``n`` is below 1, or a seed is negative.
    """
    for name in TWINS:
        if not _holds_model(root / name):
            raise ModelError(
                f"The weights of {name!r} are not in {root / name}. Name the folder that holds the twins by --root, or "
                f"run: python -m chiasm.zoo.train {name} --out {root / name}"
            )
    growth = checkpoints_in(root)
    note = f"{n} questions for each of the data's seeds {', '.join(map(str, seeds))}; per cent"
    found = compare_twins({name: loaded(root / name) for name in TWINS}, n, seeds)
    pieces = [f"**Twins** ({note})", as_table(found), NOTE]
    if growth:
        found = follow_growth({name: loaded(folder) for name, folder in growth.items()}, n, seeds)
        pieces += [f"**Growth** ({note}; the picture removed by its mean colour)", as_table(found)]
    return "\n\n".join(pieces)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print both tables."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.prior_report", description=__doc__)
    parser.add_argument("--root", type=Path, default=WEIGHTS, help="where the models' folders lie")
    parser.add_argument("--n", type=int, default=PER_TYPE, help="questions for each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds of the data")
    options: Any = parser.parse_args(arguments)
    try:
        sys.stdout.write(report(options.root, options.n, options.seeds) + "\n")
    except ChiasmError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
