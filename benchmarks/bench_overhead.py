"""What a benchmark costs beside its models: the share of CPU time that is neither passes nor explainers nor metrics.

    OMP_NUM_THREADS=1 python benchmarks/bench_overhead.py            # 4 samples of each data set and model of the zoo
    OMP_NUM_THREADS=1 python benchmarks/bench_overhead.py --n 20

Everything counts, from reading the spec to the last file: data sets, keys of cells, digests, the value cache, saving
explanations, Parquet. Loading the models and importing libraries does not: it is paid once, whatever is computed.
"""

from __future__ import annotations

import argparse
import importlib
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chiasm.bench import work
from chiasm.bench.run import benchmark
from chiasm.bench.spec import BenchSpec

#: seconds of CPU by what they went to
spent: dict[str, float] = {}
_running: list[str] = []


def timed(what: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, its CPU time added up; what is called from another timed one counts there."""

    def run(*args: Any, **kwargs: Any) -> Any:
        if _running:
            return function(*args, **kwargs)
        _running.append(what)
        started = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            spent[what] = spent.get(what, 0.0) + time.process_time() - started
            _running.pop()

    return run


class Timed:
    """An explainer or a metric whose work is timed; everything else is its own."""

    def __init__(self, inner: Any, what: str) -> None:
        self._inner, self._what = inner, what

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return timed(self._what, found) if name in ("explain", "score", "coalitions") else found


def instrument() -> None:
    """Put clocks on what is not overhead."""
    make_explainer, make_metric, game = work.make_explainer, work.make_metric, work.Game.__call__
    work.make_explainer = lambda key: Timed(make_explainer(key), "explainers")
    work.make_metric = lambda key: Timed(make_metric(key), "metrics")
    work.make_game = timed("predictions", work.make_game)
    work.Game.__call__ = timed("values of the game", game)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=4, help="samples of each data set")
    arguments = parser.parse_args()
    spec = BenchSpec.read("vlm-synergy-zoo")
    few = [one.model_copy(update={"n": arguments.n}) for one in spec.datasets]
    spec = spec.model_copy(update={"datasets": few, "engine": BenchSpec.model_fields["engine"].default})
    one = spec.model_copy(update={"datasets": [few[0].model_copy(update={"n": 1})]})
    for module in ("pyarrow.parquet", "duckdb", "pandas"):
        importlib.import_module(module)
    with tempfile.TemporaryDirectory() as folder:
        benchmark(one, Path(folder) / "warm")  # imports, and everything that is compiled at its first use
        work.BenchWork._load = timed("loading", work.BenchWork._load)  # noqa: SLF001 - a clock on it
        instrument()
        started = time.process_time()
        found = benchmark(spec, Path(folder) / "run")
        total = time.process_time() - started - spent.pop("loading")
        cells = found.status()["done"].sum()
    useful = sum(spent.values())
    print(f"{cells} cells, {total:.1f} s of CPU, models' loading left out")
    for what, seconds in sorted(spent.items(), key=lambda item: -item[1]):
        print(f"  {what:20} {seconds:6.1f} s  {seconds / total:6.1%}")
    print(f"  {'everything else':20} {total - useful:6.1f} s  {(total - useful) / total:6.1%}  (the goal: at most 5 %)")


if __name__ == "__main__":
    main()
