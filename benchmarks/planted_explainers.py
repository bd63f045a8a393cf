"""Do explainers prefer the object that decides? ``python benchmarks/planted_explainers.py llava-shapes vilt-shapes``.

Questions on colour, shape and size that the model answers right, the text held, patches 3 × 3. *Prefers*: the patches
on the deciding object have a larger mean value than the others (a coin: half of the samples). *First*: the patch of
largest value is one of them. Prints a table for each model; a method that refuses a model is named with its reason.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import chiasm as cx
from chiasm.core.errors import MissingCapability
from chiasm.explainers import explainers
from chiasm.explainers.explain import explain_all
from chiasm.models.base import Adapter

TYPES = ("colour", "shape", "size")
#: share of a patch that the object must cover for the patch to be on it
COVERED = 0.1


def on_object(explanation: cx.Explanation, sample: cx.Sample) -> NDArray[np.bool_]:
    """Which patches lie on the deciding object, ``bool[patches]``."""
    labels = explanation.players["image"].geometry.label_map
    mask = np.asarray(Image.fromarray(sample.masks["image"].any(axis=0)).resize(labels.shape[::-1]))
    return np.array([mask[labels == patch].mean() for patch in range(labels.max() + 1)]) > COVERED


def explained(
    model: Adapter, methods: Sequence[str], options: argparse.Namespace
) -> Iterator[tuple[NDArray[np.bool_], dict[str, cx.Explanation]]]:
    """For each sample that counts: the patches on the object, and the explanation by each method."""
    found = 0
    for sample in cx.dataset("shapes", 20 * options.n, seed=options.seed, types=list(TYPES)):
        if found == options.n:
            return
        made = explain_all(
            model, sample, list(methods), players={"image": options.grid}, fixed={"text": True}, budget=options.budget
        )
        first = next(iter(made.values()))
        inside = on_object(first, sample)
        if first.prediction is None or first.prediction.answer != sample.answer:
            continue
        if 1 <= inside.sum() <= len(inside) // 2:
            found += 1
            yield inside, made


def serving(model: Adapter, methods: Sequence[str], options: argparse.Namespace) -> tuple[list[str], dict[str, str]]:
    """The methods that serve a model, and why the others do not."""
    (sample,) = cx.dataset("shapes", 1, seed=options.seed, types=list(TYPES))
    refused = {}
    for name in methods:
        try:
            explain_all(model, sample, [name], players={"image": options.grid}, fixed={"text": True}, budget=64)
        except MissingCapability as error:
            refused[name] = str(error)
    return [name for name in methods if name not in refused], refused


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="names of the zoo that answer questions")
    parser.add_argument("--methods", nargs="+", default=[name for name in explainers if name != "exclip"])
    parser.add_argument("--n", type=int, default=30, help="samples that the model answers right")
    parser.add_argument("--grid", default="grid:3x3")
    parser.add_argument("--budget", type=int, default=128, help="values of the methods that need some")
    parser.add_argument("--seed", type=int, default=500)
    options = parser.parse_args(arguments)
    for name in options.models:
        model = cx.load(f"zoo:{name}")
        methods, refused = serving(model, options.methods, options)
        prefers, first, chance, n = dict.fromkeys(methods, 0), dict.fromkeys(methods, 0), 0.0, 0
        for inside, made in explained(model, methods, options):
            n, chance = n + 1, chance + float(inside.mean())
            for method, explanation in made.items():
                values = explanation.values["image"]
                prefers[method] += int(values[inside].mean() > values[~inside].mean())
                first[method] += int(inside[values.argmax()])
        print(
            f"\n{name}, {n} samples (chance: prefers {n / 2:.0f}, first {chance:.1f})\n\n| method | prefers | first |"
        )
        print("|---|--:|--:|")
        for method in methods:
            print(f"| `{method}` | {prefers[method]} | {first[method]} |", flush=True)
        for method, why in refused.items():
            print(f"`{method}` refuses: {why}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
