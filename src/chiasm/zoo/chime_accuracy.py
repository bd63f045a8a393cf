"""How good models of three parts are on **chimes**: asked as anybody would ask them, by `chiasm.load`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chiasm.models.hub import load
from chiasm.zoo.accuracy import Shares, Truths
from chiasm.zoo.data import chimes

CHIMES: Final = "chimes"


def measured(
    folder: Path,
    kinds: Sequence[str],
    n: int,
    seeds: Sequence[int],
    *,
    device: str = "cpu",
    truths: Truths | None = None,
) -> Shares:
    """Share of right answers by question type and seed.

    Args:
        folder: of the weights.
        kinds: question types.
        n: samples of each type and seed.
        seeds: of the data.
        device: where the model goes.
        truths: takes the right answers, for the level of chance.

    Raises:
        InvalidInput, ModelError: the folder holds no model that can be asked.
    """
    model = load(folder, device=device)
    found: dict[str, list[float]] = {}
    for kind in kinds:
        for seed in seeds:
            drawn = chimes.samples(n, seed, [kind])
            if truths is not None:
                truths.setdefault(CHIMES, {}).setdefault(kind, []).append([sample.answer for sample in drawn])
            told = [model.resolve(model.prepare(sample), model.default_target)[1].answer for sample in drawn]
            right = [answer == sample.answer for answer, sample in zip(told, drawn, strict=True)]
            found.setdefault(kind, []).append(sum(right) / n)
    return {CHIMES: found}
