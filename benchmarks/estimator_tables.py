"""Tables of all 2^n values of real questions put to zoo models: games whose every index is known.

One file a game, in log-probability of the model's own answer, which is right (an explanation of a wrong answer is
another study). Development games may be looked at while estimators are tuned; held-out games come from another seed of
the data sets and were looked at once, at the end.

    python benchmarks/estimator_tables.py --tables tables --models zoo:llava-shapes zoo:qwen-shapes

Building goes on where it stopped; a game of 14 players takes a few seconds.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from exact_games import check, exact_values

TABLES = Path(tempfile.gettempdir(), "chiasm-estimator-tables")
MODELS = ("zoo:llava-shapes", "zoo:qwen-shapes", "zoo:idefics-shapes")
SEEDS = {"development": 1001, "held-out": 2002}
KINDS = (
    *(("shapes", kind) for kind in ("colour", "shape", "size", "existence", "counting", "relation", "comparison")),
    *(("digits", kind) for kind in ("naming", "place", "larger", "sum", "parity")),
)
GRIDS = ((2, 2), (2, 3), (2, 4), (3, 3), (2, 5), (3, 4))
PLAYERS, MORE_PLAYERS = (13, 15), (16, 18)
"""Least and most players of most games, and of a few."""
LEAST_RANGE = 0.05
"""Games whose log-probabilities all lie within this are questions without an effect, and left out."""
MOST_SAMPLES = 60


@dataclass(frozen=True)
class Plan:
    """A game to be built."""

    split: str
    model: str
    data: str
    kind: str
    players: tuple[int, int]

    @property
    def stem(self) -> str:
        """Name of its file, without ending."""
        model = Path(self.model.removeprefix("zoo:")).name.partition("-")[0]
        return f"{self.split}_{model}_{self.data}-{self.kind}_{self.players[0]}"


def plans(models: Sequence[str]) -> Iterator[Plan]:
    """Held-out: every kind on every model, and a few larger games. Development: every kind once, on models in turn."""
    for number, (data, kind) in enumerate(KINDS):
        yield Plan("development", models[number % len(models)], data, kind, PLAYERS)
    for (number, (data, kind)), (which, model) in itertools.product(enumerate(KINDS), enumerate(models)):
        larger = number % 6 == 2 * which % 6
        yield Plan("held-out", model, data, kind, MORE_PLAYERS if larger else PLAYERS)


def build(plan: Plan, model: Any, folder: Path) -> str:
    """Build one table, on the first sample that the model answers rightly and that has as many players as wanted."""
    from chiasm.models.games import make_game
    from chiasm.zoo import dataset

    started = time.process_time()
    for number, sample in enumerate(dataset(plan.data, n=MOST_SAMPLES, seed=SEEDS[plan.split], types=[plan.kind])):
        words = len(make_game(model, sample, players={"image": "grid:2x2"}).game.players.parts["text"])
        low, high = plan.players
        fits = [grid for grid in GRIDS if low <= grid[0] * grid[1] + words <= high]
        if not fits:
            continue
        grid = fits[-1] if plan.players == PLAYERS else fits[0]
        match = make_game(model, sample, players={"image": f"grid:{grid[0]}x{grid[1]}"})
        if match.prediction.answer != sample.answer:
            continue
        rng = np.random.default_rng(0)
        if np.ptp(match.game(rng.random((48, match.game.n)) < rng.random((48, 1)))) < LEAST_RANGE:
            continue
        table = exact_values(match, model.forward)
        off = check(match, table)
        sizes = (grid[0] * grid[1], words)
        file = folder / f"{plan.stem}.npz"
        np.savez(file.with_suffix(".part.npz"), values=table.astype(np.float32), sizes=sizes, sample=number)
        file.with_suffix(".part.npz").replace(file)
        return (
            f"{plan.stem}: {sizes[0]} + {words} players, sample {number}, {time.process_time() - started:.0f} s, "
            f"off the game by at most {off:.1e}, p from {np.exp(table.min()):.1e} to {np.exp(table.max()):.5f}: "
            f"{sample['text'].data}"
        )
    return f"{plan.stem}: no sample of {MOST_SAMPLES} has so many players, a right answer and an effect"


def build_all(folder: Path, models: Sequence[str] = MODELS) -> None:
    """Build all tables that are missing."""
    import chiasm

    folder.mkdir(parents=True, exist_ok=True)
    missing = [plan for plan in plans(models) if not (folder / f"{plan.stem}.npz").exists()]
    for name in models:
        mine = [plan for plan in missing if plan.model == name]
        model = chiasm.load(name) if mine else None
        for plan in mine:
            print(build(plan, model, folder), flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    given = parser.parse_args(arguments)
    build_all(given.tables, given.models)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
