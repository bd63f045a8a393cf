"""Do explanations find what was planted? ``python benchmarks/planted.py llava-shapes``.

For correctly answered questions whose deciding object and words are known: is the strongest image player on the object,
and is (deciding word, patch on the object) among the three strongest cross-modal pairs?
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import comb, sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.estimators.estimate import explain_game
from chiasm.modalities import modalities
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame, make_game
from chiasm.models.hub import load
from chiasm.zoo import dataset

TYPES: Final = ("colour", "shape", "existence")
COVERED: Final = 0.05
"""A player is on the truth if the truth covers at least this share of it."""


@dataclass(frozen=True)
class Hits:
    """What one explanation found.

    Attributes:
        region: the image player that supports the answer most (largest value) is on a deciding object.
        region_by_size: the same for the largest absolute value, for or against the answer.
        word: the text player that supports the answer most is a deciding word.
        pair: (deciding word, patch on a deciding object) is among the three strongest cross-modal pairs.
        first: the same for the strongest pair alone.
    """

    region: bool
    region_by_size: bool
    word: bool
    pair: bool
    first: bool


def on_truth(match: ModelGame) -> dict[str, NDArray[np.bool_]]:
    """Part → ``bool[players]``: which players lie on the planted truth."""
    sample, found = match.prepared.sample, {}
    for name, truth in sample.truth.items():
        players = match.game.players[name]
        placement = match.prepared.contexts[name].placement
        found[name] = modalities.get(players.kind).overlap(players, truth, placement) >= COVERED
    return found


def hits(explanation: Explanation, planted: dict[str, NDArray[np.bool_]]) -> Hits:
    """Hold an explanation of an image and a text against the planted truth."""
    pairs = [
        all(planted[part][index] for part, index in pair.players)
        for pair in explanation.top_pairs(3, ("image", "text"))
    ]
    return Hits(
        region=bool(planted["image"][explanation.values["image"].argmax()]),
        region_by_size=bool(planted["image"][np.abs(explanation.values["image"]).argmax()]),
        word=bool(planted["text"][explanation.values["text"].argmax()]),
        pair=any(pairs),
        first=pairs[0],
    )


def right(model: Adapter, kind: str, n: int, seed: int) -> Iterator[Sample]:
    """The first n samples of a type that have a planted object and that the model answers rightly.

    Raises:
        SystemExit: the model is so often wrong that 20 n samples do not hold n such.
    """
    found = 0
    for sample in dataset("shapes", 20 * n, seed, [kind]):
        if not len(sample.truth["image"]):
            continue  # "Is there a …?" - "no": nothing is there to be found
        prepared = model.prepare(sample)
        _, prediction = model.resolve(prepared, model.default_target)
        if prediction.answer == sample.answer:
            found += 1
            yield sample
            if found == n:
                return
    raise SystemExit(f"The model answers fewer than {n} of {20 * n} {kind} questions rightly.")


def by_chance(planted: dict[str, NDArray[np.bool_]]) -> dict[str, float]:
    """Probability of each hit for an explanation that is a random order of players and of pairs."""
    image, text = float(planted["image"].mean()), float(planted["text"].mean())
    pairs = planted["image"].size * planted["text"].size
    good = int(planted["image"].sum() * planted["text"].sum())
    none = comb(pairs - good, 3) / comb(pairs, 3)
    return {"region": image, "region_by_size": image, "word": text, "pair": 1 - none, "first": good / pairs}


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.96
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


def measure(
    model: Adapter, kind: str, n: int, *, target: Target, players: str, method: str, budget: int | None, seed: int
) -> dict[str, Any]:
    """Shares of hits over n correctly answered samples of one question type, and the shares that chance gives."""
    rows: list[Hits] = []
    chances: list[dict[str, float]] = []
    began = time.monotonic()
    for sample in right(model, kind, n, seed):
        match = make_game(model, sample, players=players, target=target)
        explanation = explain_game(match.game, index="SII", method=method, budget=budget, seed=0)
        planted = on_truth(match)
        rows.append(hits(explanation, planted))
        chances.append(by_chance(planted))
    names = list(Hits.__dataclass_fields__)
    return {
        "shares": {name: float(np.mean([getattr(row, name) for row in rows])) for name in names},
        "chance": {name: float(np.mean([chance[name] for chance in chances])) for name in names},
        "n": len(rows),
        "seconds": round(time.monotonic() - began, 1),
    }


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results as a Markdown table: share [95 % interval] (chance)."""
    lines = [
        "| question | n | supporting patch | largest patch (±) | supporting word | pair in top 3 | pair first |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind, result in results.items():
        cells = []
        for name, share in result["shares"].items():
            low, high = wilson(share, result["n"])
            cells.append(f"{share:.2f} [{low:.2f}, {high:.2f}] ({result['chance'][name]:.2f})")
        lines.append(f"| {kind} | {result['n']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python benchmarks/planted.py", description=__doc__)
    parser.add_argument("model", nargs="?", default="llava-shapes")
    parser.add_argument("--n", type=int, default=100, help="correctly answered questions of each type")
    parser.add_argument("--scale", default="probability", choices=("probability", "log_probability"))
    parser.add_argument("--players", default="grid:3x3,words")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--budget", type=int, help="values of each game; by default what suits the number of players")
    parser.add_argument("--seed", type=int, default=2000, help="seed of the samples")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args(arguments)
    model = load(f"zoo:{options.model}")
    results = {}
    for kind in TYPES:
        results[kind] = measure(
            model,
            kind,
            options.n,
            target=Target(options.scale),
            players=options.players,
            method=options.method,
            budget=options.budget,
            seed=options.seed,
        )
        sys.stderr.write(f"{kind}: {results[kind]}\n")
    sys.stdout.write(table(results) + "\n")
    if options.json:
        options.json.write_text(json.dumps({**vars(options), "json": None, "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
