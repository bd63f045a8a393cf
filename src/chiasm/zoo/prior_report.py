"""Twins and growth in numbers: ``python -m chiasm.zoo.prior_report``.

Which of the models trained on the **prior** data set look at the picture, and since when.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import ModelError
from chiasm.core.sample import Sample
from chiasm.modalities.image_maskers import BLUR_RADIUS, GREY, gaussian_blur, mean_colour
from chiasm.zoo import answers
from chiasm.zoo.catalog import WEIGHTS
from chiasm.zoo.data import prior
from chiasm.zoo.table import cell, markdown

TWINS: Final = ("prior-shortcut", "prior-grounded")
GROWTH: Final = "prior-growth-"
"""What the names of the checkpoints begin with; the step follows."""
Removal = Callable[[NDArray[np.uint8]], NDArray[np.uint8]]
REMOVALS: Final[dict[str, Removal]] = {
    "mean": mean_colour,
    "grey": lambda picture: np.full_like(picture, GREY),
    "blur": lambda picture: gaussian_blur(picture, BLUR_RADIUS),
}
"""What stands in the place of the whole picture: the baselines of the maskers of those names."""
SEEDS: Final = (1000, 1001, 1002)
"""Seeds of the data; the tables give the mean over them, and from which to which."""

Answer = Callable[[Sequence[Sample]], list[str]]
Shares = dict[str, list[float]]
"""Column → share for each seed of the data."""


def without_image(sample: Sample, masker: str = "mean") -> Sample:
    """The sample with its whole picture replaced, in one of the ways of `REMOVALS`."""
    picture = REMOVALS[masker](np.asarray(sample["image"].data))
    return Sample(image=picture, text=sample["text"].data, answer=sample.answer)


def answerer(folder: Path) -> Answer:
    """Samples → answers of the model in a folder."""
    from PIL import Image

    model, processor = answers.load(folder)

    def give(samples: Sequence[Sample]) -> list[str]:
        pictures = [Image.fromarray(np.asarray(sample["image"].data)) for sample in samples]
        return answers.decoder_answers(model, processor, pictures, [sample["text"].data for sample in samples])[0]

    return give


def _share(hits: NDArray[np.bool_]) -> float:
    return float(hits.mean()) if hits.size else float("nan")


def _right(given: Sequence[str], samples: Sequence[Sample]) -> NDArray[np.bool_]:
    return np.array([a == sample.answer for a, sample in zip(given, samples, strict=True)])


def _expected(given: Sequence[str], samples: Sequence[Sample]) -> NDArray[np.bool_]:
    """Whether each answer is the one that language leads to expect, whatever the picture shows."""
    return np.array([a == prior.CANONICAL[str(s.tags["shape"])] for a, s in zip(given, samples, strict=True)])


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
        bare = {masker: [without_image(sample, masker) for sample in biased] for masker in REMOVALS}
        given = {name: answer(biased) for name, answer in twins.items()}
        both = np.logical_and.reduce([_right(a, biased) for a in given.values()])
        for name, answer in twins.items():
            found = {
                "right, biased": _share(_right(given[name], biased)),
                "right, free": _share(_right(answer(free), free)),
                "expected against the picture": _share(_expected(answer(against), against)),
            }
            for masker, samples in bare.items():
                changed = np.array([a != b for a, b in zip(given[name], answer(samples), strict=True)])
                found[f"changed by {masker}"] = _share(changed[both])
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
    """Name → folder of the checkpoints along the training, by step."""
    folders = [path for path in root.glob(f"{GROWTH}*") if (path / "model.safetensors").exists()]
    return {path.name: path for path in sorted(folders, key=lambda path: int(path.name.removeprefix(GROWTH)))}


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print both tables."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.prior_report", description=__doc__)
    parser.add_argument("--root", type=Path, default=WEIGHTS, help="where the models' folders lie")
    parser.add_argument("--n", type=int, default=300, help="questions for each seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS), help="seeds of the data")
    options: Any = parser.parse_args(arguments)
    twins, growth = {name: options.root / name for name in TWINS}, checkpoints_in(options.root)
    for name, folder in twins.items():
        if not (folder / "model.safetensors").exists():
            raise ModelError(f"The weights of {name!r} are not in {folder}. Run: python -m chiasm.zoo.train {name}")
    note = f"{options.n} questions for each of the data's seeds {', '.join(map(str, options.seeds))}; per cent"
    found = compare_twins({name: answerer(folder) for name, folder in twins.items()}, options.n, options.seeds)
    sys.stdout.write(f"**Twins** ({note})\n\n{as_table(found)}\n")
    if growth:
        found = follow_growth({name: answerer(folder) for name, folder in growth.items()}, options.n, options.seeds)
        sys.stdout.write(f"\n**Growth** ({note})\n\n{as_table(found)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
