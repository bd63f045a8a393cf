"""Do explainers prefer the object that decides? ``python benchmarks/planted_explainers.py llava-shapes vilt-shapes``.

Questions on colour, shape and size that the model answers right, the text held, patches 3 × 3. *Prefers*: the patches
on the deciding object have a larger mean value than the others (a coin: half of the samples). *First*: the patch of
largest value is one of them. *p*: one-sided sign test, over the samples, of the method's contrast (mean on the object
less mean off it, in standard deviations of the sample's values) against that of ``random`` on the same sample, after
Holm's correction over the methods of the table. Prints a table for each model; a method that refuses a model is named
with its reason, and those that are not told from random at 5 % are listed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import binomtest
from statsmodels.stats.multitest import multipletests

import chiasm as cx
from chiasm.core.errors import MissingCapability
from chiasm.explainers import explainers
from chiasm.explainers.explain import explain_all
from chiasm.models.base import Adapter

TYPES = ("colour", "shape", "size")
#: share of a patch that the object must cover for the patch to be on it
COVERED = 0.1
CONTROL = "random"
#: exclip gives pairs of dual encoders; of one part that is left there is no interplay and nothing but occlusion in EMAP
LEFT_OUT = ("exclip", "emap", "dime", "dime-unimodal", "dime-multimodal")


@dataclass
class Tally:
    """What was counted of one method."""

    prefers: int = 0
    first: int = 0
    contrasts: list[float] = field(default_factory=list)

    def add(self, values: NDArray[np.float64], inside: NDArray[np.bool_]) -> None:
        """One sample."""
        contrast = float(values[inside].mean() - values[~inside].mean())
        self.prefers += int(contrast > 0)
        self.first += int(inside[values.argmax()])
        spread = float(values.std())
        self.contrasts.append(contrast / spread if spread > 0 else 0.0)


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
    asked = {"players": {"image": options.grid}, "fixed": {"text": True}, "budget": options.budget}
    for number, sample in enumerate(cx.dataset("shapes", 20 * options.n, seed=options.seed, types=list(TYPES))):
        if found == options.n:
            return
        looked = explain_all(model, sample, [CONTROL], seed=number, **asked)[CONTROL]
        inside = on_object(looked, sample)
        if looked.prediction is None or looked.prediction.answer != sample.answer:
            continue
        if 1 <= inside.sum() <= len(inside) // 2:
            found += 1
            yield inside, explain_all(model, sample, list(methods), seed=number, **asked)


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


def better_than(tallies: Mapping[str, Tally], control: str) -> dict[str, float]:
    """Method → p of the sign test against the control, Holm-corrected; samples where both are equal are left out."""
    names = [name for name in tallies if name != control]
    ps = []
    for name in names:
        ahead = np.array(tallies[name].contrasts) - np.array(tallies[control].contrasts)
        ps.append(binomtest(int((ahead > 0).sum()), max(int((ahead != 0).sum()), 1), alternative="greater").pvalue)
    return dict(zip(names, multipletests(ps, method="holm")[1].tolist(), strict=True)) if names else {}


def show(name: str, tallies: Mapping[str, Tally], chance: float, refused: Mapping[str, str]) -> None:
    """The table of one model."""
    n = len(tallies[CONTROL].contrasts)
    ps = better_than(tallies, CONTROL)
    print(
        f"\n{name}, {n} samples (chance: prefers {n / 2:.0f}, first {chance:.1f})\n\n| method | prefers | first | p |"
    )
    print("|---|--:|--:|--:|")
    for method, tally in tallies.items():
        print(f"| `{method}` | {tally.prefers} | {tally.first} | {f'{ps[method]:.1g}' if method in ps else '–'} |")
    level = [method for method, p in ps.items() if p >= 0.05]
    print(f"\nNot told from {CONTROL} at 5 %: {', '.join(level) or 'none'}.")
    for method, why in refused.items():
        print(f"`{method}` refuses: {why}")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", help="names of the zoo that answer questions")
    parser.add_argument("--methods", nargs="+", default=[name for name in explainers if name not in LEFT_OUT])
    parser.add_argument("--n", type=int, default=30, help="samples that the model answers right")
    parser.add_argument("--grid", default="grid:3x3")
    parser.add_argument("--budget", type=int, default=128, help="values of the methods that need some")
    parser.add_argument("--seed", type=int, default=500)
    options = parser.parse_args(arguments)
    for name in options.models:
        model = cx.load(f"zoo:{name}")
        methods, refused = serving(model, list(dict.fromkeys([*options.methods, CONTROL])), options)
        tallies, chance = {method: Tally() for method in methods}, 0.0
        for inside, made in explained(model, methods, options):
            chance += float(inside.mean())
            for method, explanation in made.items():
                tallies[method].add(explanation.values["image"], inside)
        show(name, tallies, chance, refused)
    return 0


if __name__ == "__main__":
    sys.exit(main())
