"""``chiasm bench compare``: do two explainers differ, and by how much?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console

    from chiasm.statistics.comparing import Pair


def compare(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a run.")],
    first: Annotated[str, typer.Argument(metavar="A", help="An explainer of the run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    *,
    metric: Annotated[
        str | None, typer.Option(metavar="M,N", help="Metrics; by default those that the spec names.")
    ] = None,
) -> None:
    """Compare two explainers, sample by sample: by model and data set, and all samples with models averaged.

    The interval is a bootstrap by sample; p is Wilcoxon's signed-rank test, corrected for the rows of a table (Holm);
    needed: samples that would show a difference of that size.

    Example: chiasm bench compare smoke chefer rollout --metric f_syn
    """
    from chiasm.bench.report import shared
    from chiasm.bench.run import Benchmark
    from chiasm.cli.terminal import stdout
    from chiasm.core.errors import InvalidInput, UnknownName

    if first == second:
        raise InvalidInput(f"{first!r} is compared with itself; name two explainers.")
    found = Benchmark.open(folder)
    names = [one.label for one in found.spec.metrics] if metric is None else [m.strip() for m in metric.split(",")]
    scores = found.scores
    for what, column, wanted in (("explainer", "explainer", [first, second]), ("metric", "metric", names)):
        there = set(scores[column])
        for name in wanted:
            if name not in there:
                raise UnknownName(f"{what} of this run", name, there)
    scores = scores[scores["explainer"].isin([first, second])]
    for name in names:
        show(name, rows(shared(scores, name)), (first, second), stdout())


def rows(table: pd.DataFrame) -> list[tuple[str, str, int, Pair | None]]:
    """``(model, data set, samples, the pair)`` for each model and data set, then for all with models averaged."""
    from chiasm.statistics.comparing import compare as of_samples

    parts = [(str(model), str(name), part) for (model, name), part in table.groupby(["model", "dataset"])]
    if len(parts) > 1:
        models = table.index.get_level_values("model").nunique()
        by_sample = table.groupby(["dataset", "sample"])
        everywhere = by_sample.mean()[by_sample.size() == models]  # a sample that every model has
        parts.append(("all", "all", everywhere))
    return [
        (model, name, len(part), of_samples(part).pairs[0] if len(part) > 1 else None) for model, name, part in parts
    ]


def show(metric: str, found: list[tuple[str, str, int, Pair | None]], names: tuple[str, str], console: Console) -> None:
    """One metric as a table."""
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe
    from chiasm.statistics.bootstrap import holm

    corrected = iter(holm([pair.p_value for *_, pair in found if pair is not None]))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(Text(safe(metric)), no_wrap=True)
    for title in ("n", f"{names[0]} − {names[1]}", "[95 %]", "p", "needed"):
        table.add_column(Text(safe(title)), justify="right")
    for model, name, n, pair in found:
        line = [safe("all, models averaged" if model == "all" else f"{model}, {name}"), f"{n:,}"]
        line += ["", "", "", ""] if pair is None else _figures(pair, names[0], float(next(corrected)))
        table.add_row(*(Text(cell) for cell in line))
    console.print(table)
    console.print()


def _figures(pair: Pair, first: str, p_value: float) -> list[str]:
    """Difference of the first less the second, however the pair is ordered."""
    sign, estimate = (1 if pair.first == first else -1), pair.difference
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    told: Any = "never differ" if pair.needed is None else f"{pair.needed:,}"
    return [f"{sign * estimate.value:+.3f}", f"[{low:+.2f}, {high:+.2f}]", f"{p_value:.2g}", told]
