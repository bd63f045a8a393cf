"""Passes, seconds and peak memory of every registered explainer on one model of every family.

    python benchmarks/explainers.py                                   # every family, white-box methods
    python benchmarks/explainers.py --models llava-shapes --kind all  # black-box methods too, --budget values each
    python benchmarks/explainers.py --methods gradcam,exclip

"passes" counts rows that go through the model by `Trace.run`, with a graph (+ those without); black-box methods ask the
game instead, "values". "× bare" is the explainer's time over that of as many rows, in batches of the same sizes, put
through a forward and backward pass by the inputs and nothing else (`Trace.run` and one ``autograd.grad``); the issue's
goal is 1.3 on the zoo's LLaVA. Methods whose cost is no multiple of such passes (pairs by second derivatives) have a
higher ratio by nature. Peak memory is what tracing allocations of one run adds: on a GPU the allocator's peak, on a CPU
the growth of the process's largest resident size since the method began, which shows nothing below an earlier peak.
Seconds are the least of ``--repeats``; on a CPU those of the process, on a GPU wall time.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import chiasm as cx
from chiasm.core.errors import ChiasmError, MissingCapability
from chiasm.core.game import Game
from chiasm.explainers import explainers
from chiasm.explainers.base import Subject
from chiasm.modalities import modalities
from chiasm.models.games import make_game
from chiasm.models.trace import Trace

FAMILIES = (
    "llava-shapes",
    "qwen-shapes",
    "idefics-shapes",
    "vilt-shapes",
    "blip-shapes",
    "clip-captions",
    "siglip-captions",
)


@dataclass
class Passes:
    """Rows of each `Trace.run`: with a graph, and without."""

    graph: list[int] = field(default_factory=list)
    plain: list[int] = field(default_factory=list)


@contextmanager
def counted() -> Iterator[Passes]:
    """Rows of all passes within the block."""
    found, own = Passes(), Trace.run

    def run(self: Trace, inputs: Any = None, **options: Any) -> Any:
        result = own(self, inputs, **options)
        (found.graph if options.get("grad", True) else found.plain).append(len(result.value))
        return result

    Trace.run = run  # type: ignore[method-assign]
    try:
        yield found
    finally:
        Trace.run = own  # type: ignore[method-assign]


def subject_of(adapter: Any, sample: Any, grid: str) -> Subject:
    """What `chiasm.explain` gives an explainer."""
    maskers = {
        name: modalities.get(part.kind).masker(adapter.default_maskers[part.kind])
        for name, part in sample.parts.items()
    }
    cut = {name: grid if part.kind == "image" else "words" for name, part in sample.parts.items()}
    match = make_game(adapter, sample, players=cut, maskers=maskers)
    game = Game(match.game, match.game.all_players, batch_size=match.game.batch_size)
    return Subject(game, adapter, match.prepared, maskers, match.target, match.prediction)


def clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


def peak() -> float:
    """MiB."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


def bare(trace: Trace, passes: Passes) -> float:
    """Seconds of the same rows by forward and backward passes alone."""
    whole = trace.inputs()
    started = clock()
    for rows in passes.graph:
        run = trace.run({part: tensor.expand(rows, *tensor.shape) for part, tensor in whole.items()})
        torch.autograd.grad(run.value.sum(), list(run.inputs.values()), allow_unused=True)
    for rows in passes.plain:
        trace.run({part: tensor.expand(rows, *tensor.shape) for part, tensor in whole.items()}, grad=False)
    return clock() - started


def line(adapter: Any, sample: Any, method: str, args: argparse.Namespace) -> str:
    """One row of the table."""
    explainer = explainers.get(method)
    seconds, plain = [], []
    for _ in range(args.repeats):
        subject = subject_of(adapter, sample, args.grid)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        before = peak() if not torch.cuda.is_available() else torch.cuda.memory_allocated() / 2**20
        with counted() as passes:
            started = clock()
            explainer.explain(subject, budget=args.budget, seed=0)
            seconds.append(clock() - started)
        grown = peak() - before
        values = subject.game.counts.computed
        if passes.graph or passes.plain:
            plain.append(bare(subject.trace(), passes))
    ratio = f"{np.median(np.array(seconds) / plain):6.2f}" if plain else "     –"
    count = f"{sum(passes.graph):4d} (+{sum(passes.plain):4d})"
    return f"{min(seconds):8.3f} s  {ratio} × bare  passes {count}  values {values:5d}  + {grown:7.1f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", default=",".join(FAMILIES))
    parser.add_argument("--methods", default="")
    parser.add_argument("--kind", choices=("white-box", "black-box", "all"), default="white-box")
    parser.add_argument("--grid", default="grid:4x4")
    parser.add_argument("--budget", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    methods = [name for name in args.methods.split(",") if name] or [
        name for name in explainers if args.kind in {"all", explainers.get(name).kind}
    ]
    for name in args.models.split(","):
        adapter = cx.load(f"zoo:{name}")
        sample = cx.dataset("captions" if name.endswith("captions") else "shapes", 1, seed=3)[0]
        bare(subject_of(adapter, sample, args.grid).trace(), Passes([1], [1]))  # warm
        for method in methods:
            try:
                told = line(adapter, sample, method, args)
            except MissingCapability as refusal:
                told = f"refused: {str(refusal)[:90]}"
            except ChiasmError as error:
                told = f"{type(error).__name__}: {str(error)[:90]}"
            print(f"{name:16s} {method:22s} {told}", flush=True)


if __name__ == "__main__":
    main()
