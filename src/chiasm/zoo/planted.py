"""Do explanations find what was planted? ``python -m chiasm.zoo.planted llava-shapes``.

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
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation
from chiasm.core.sample import Sample
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
        region: the image player of largest absolute value is on a deciding object.
        word: the text player of largest absolute value is a deciding word.
        pair: (deciding word, patch on a deciding object) is among the three strongest cross-modal pairs.
        first: the same for the strongest pair alone.
    """

    region: bool
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
        region=bool(planted["image"][explanation.top(1, "image")[0].player[1]]),
        word=bool(planted["text"][explanation.top(1, "text")[0].player[1]]),
        pair=any(pairs),
        first=pairs[0],
    )


def right(model: Adapter, kind: str, n: int, seed: int) -> Iterator[Sample]:
    """The first n samples of a type that have a planted object and that the model answers rightly."""
    asked = found = 0
    block = 50
    while found < n:
        for sample in dataset("shapes", asked + block, seed, [kind])[asked:]:
            asked += 1
            if not len(sample.truth["image"]):
                continue  # "Is there a …?" – "no": nothing is there to be found
            prepared = model.prepare(sample)
            _, prediction = model.resolve(prepared, model.default_target)
            if prediction.answer == sample.answer:
                found += 1
                yield sample
                if found == n:
                    return


def measure(
    model: Adapter, kind: str, n: int, *, players: str, method: str, budget: int, seed: int
) -> dict[str, float]:
    """Shares of hits over n correctly answered samples of one question type."""
    rows: list[Hits] = []
    began = time.monotonic()
    for sample in right(model, kind, n, seed):
        match = make_game(model, sample, players=players)
        explanation = explain_game(match.game, index="SII", method=method, budget=budget, seed=0)
        rows.append(hits(explanation, on_truth(match)))
    shares = {name: float(np.mean([getattr(row, name) for row in rows])) for name in Hits.__dataclass_fields__}
    return {**shares, "n": len(rows), "seconds": round(time.monotonic() - began, 1)}


def table(results: dict[str, dict[str, float]]) -> str:
    """The results as a Markdown table."""
    lines = [
        "| question | n | strongest patch on object | strongest word decides | pair in top 3 | pair first | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for kind, r in results.items():
        shares = " | ".join(f"{r[name]:.2f}" for name in ("region", "word", "pair", "first"))
        lines.append(f"| {kind} | {r['n']:.0f} | {shares} | {r['seconds']:.0f} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.planted", description=__doc__)
    parser.add_argument("model", nargs="?", default="llava-shapes")
    parser.add_argument("--n", type=int, default=100, help="correctly answered questions of each type")
    parser.add_argument("--players", default="grid:4x4,words")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--budget", type=int, default=1024)
    parser.add_argument("--seed", type=int, default=2000, help="seed of the samples")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args(arguments)
    model = load(f"zoo:{options.model}")
    results = {}
    for kind in TYPES:
        results[kind] = measure(
            model, kind, options.n,
            players=options.players, method=options.method, budget=options.budget, seed=options.seed,
        )  # fmt: skip
        sys.stderr.write(f"{kind}: {results[kind]}\n")
    sys.stdout.write(table(results) + "\n")
    if options.json:
        options.json.write_text(json.dumps({**vars(options), "json": None, "results": results}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
