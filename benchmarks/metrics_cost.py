"""What do all metrics of one explanation cost, in units of the forward passes that they need?

    python benchmarks/metrics_cost.py [--model zoo:llava-shapes] [--players grid:4x4,words] [--rounds 5]

Three ways through the same distinct values of one sample, in turn in one process on one thread, each on a fresh game:
*evaluate* scores the explanation by all metrics that need no second explanation; *alone* asks every metric by itself,
on a game of its own; *passes* asks for the distinct values in one go and scores nothing. Inside "passes", the seconds
spent in the model's own modules are told too. Goal: evaluate ≤ 1.2 × passes. Seconds are of the processor; medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from torch.nn.modules import module

import chiasm as cx
from chiasm.metrics import DEFAULT, metrics
from chiasm.metrics.base import Case, count_distinct
from chiasm.metrics.truth import planted
from chiasm.models.games import make_game


@dataclass
class Inside:
    """Seconds spent in the outermost torch modules, while it is entered."""

    seconds: float = 0.0
    depth: int = 0
    began: float = 0.0

    def __enter__(self) -> Self:
        self.hooks = (
            module.register_module_forward_pre_hook(self._enter),
            module.register_module_forward_hook(self._leave, always_call=True),
        )
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self.hooks:
            hook.remove()

    def _enter(self, *_: Any) -> None:
        self.began = time.process_time() if not self.depth else self.began
        self.depth += 1

    def _leave(self, *_: Any) -> None:
        self.depth -= 1
        if not self.depth:
            self.seconds += time.process_time() - self.began


def seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor seconds of a function, and what it gave."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def compare(
    model: Any, sample: cx.Sample, explanation: cx.Explanation, names: list[str], options: argparse.Namespace
) -> None:
    """Measure some metrics and print."""

    def game() -> Any:
        return make_game(model, sample, players=options.players)

    def case(match: Any) -> Case:
        return Case(explanation, match.game, planted(match.prepared, match.game.players))

    one = case(game())
    wanted = {name: metrics.get(name).coalitions(one) for name in names}
    needed = np.unique(np.concatenate(list(wanted.values())), axis=0)
    rounds = []
    for _ in range(options.rounds):
        whole, scores = seconds(
            lambda: cx.evaluate(model, sample, explanation, metrics=names, controls=False, players=options.players)
        )
        apart = sum(seconds(lambda name=name: metrics.get(name).score(case(game())))[0] for name in names)
        with Inside() as inside:
            passes, _ = seconds(lambda: game().game(needed))
        rounds.append((whole, apart, passes, inside.seconds))
    whole, apart, passes, own = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"values: {scores.computed} computed by evaluate, {len(needed)} distinct are needed, "
          f"{sum(count_distinct(asked) for asked in wanted.values())} if every metric asked by itself")  # fmt: skip
    print(f"seconds: evaluate {whole:.2f}, every metric alone {apart:.2f}, passes {passes:.2f} (model {own:.2f})")
    print(f"evaluate / passes: {statistics.median(a / c for a, _, c, _ in rounds):.2f} (goal: at most 1.2)")
    print(f"evaluate / seconds inside the model: {statistics.median(a / d for a, _, _, d in rounds):.2f}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="zoo:llava-shapes")
    parser.add_argument("--players", default="grid:4x4,words")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    model = cx.load(options.model)
    sample = cx.dataset("shapes", 2, 0, ["colour"])[1]
    explanation = cx.explain(model, sample, method="gp", players=options.players, budget=256)
    every = [name for name in metrics if set(metrics.get(name).about.needs) <= {"game", "truth"}]
    for title, names in (("all", every), ("default", [name for name in every if name in DEFAULT])):
        print(f"\n{title}: {', '.join(names)}")
        compare(model, sample, explanation, names, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
