"""``chiasm bench``: explainers × models × data sets × metrics, from a page of YAML to a leader board."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from chiasm.cli.bench_compare import compare
from chiasm.cli.bench_report import report

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from chiasm.bench.run import Benchmark
    from chiasm.bench.spec import BenchSpec
    from chiasm.runs.carry_out import Tally
    from chiasm.runs.cells import Done

bench = typer.Typer(
    help="Compare explainers on models and data sets: check, run, go on, report.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)

bench.command("report")(report)
bench.command("compare")(compare)

Spec = Annotated[str, typer.Argument(metavar="SPEC", help="A YAML file, or smoke, vlm-synergy, vlm-synergy-zoo.")]
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a run.")]
Out = Annotated[
    Path | None, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the run; the spec's name by default.")
]
Samples = Annotated[
    int | None, typer.Option("--samples", "-n", metavar="N", min=1, help="At most so many of each data set.")
]
Workers = Annotated[
    int | None, typer.Option("--workers", "-w", metavar="N", min=1, help="So many processes, instead of the engine.")
]
Retry = Annotated[bool, typer.Option("--retry-failed", help="Compute cells that failed once more.")]
#: explainers that are controls: `chiasm.bench.tables.CONTROLS`, not imported for a help text
CONTROL_NAMES = ("oracle", "reversed oracle")
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]


@bench.command("validate")
def validate(
    spec: Spec,
    *,
    samples: Samples = None,
    measure: Annotated[
        bool, typer.Option(help="Load the models and run one sample of each, for the time and what models refuse.")
    ] = False,
) -> None:
    """Find mistakes before anything is computed, and say what it will cost. Exit code 1 if there are any.

    Example: chiasm bench validate vlm-synergy-zoo --measure
    """
    from chiasm.bench.validate import validate as look
    from chiasm.cli.terminal import stdout

    found = look(_spec(spec, samples, None), measure=measure)
    for line in found.lines():
        stdout().print(line, markup=False, soft_wrap=True)
    if found.problems:
        raise typer.Exit(1)


@bench.command("run")
def run(
    spec: Spec,
    *,
    out: Out = None,
    samples: Samples = None,
    workers: Workers = None,
    retry_failed: Retry = False,
    quiet: Quiet = False,
) -> None:
    """Run a benchmark. What is there already is not computed again; stop it when you like.

    Example: chiasm bench run vlm-synergy-zoo --samples 20 --out zoo
    """
    from chiasm.bench.run import benchmark

    parsed = _spec(spec, samples, workers)
    folder = out or Path(parsed.name)
    _carried_out(folder, quiet, lambda told: benchmark(parsed, folder, retry_failed=retry_failed, progress=told))


@bench.command("resume")
def resume(folder: Folder, *, retry_failed: Retry = False, workers: Workers = None, quiet: Quiet = False) -> None:
    """Go on with a run by the spec that it was begun with."""
    from chiasm.bench.run import Benchmark, benchmark

    found = Benchmark.open(folder)
    found.check_resumable()
    spec = _with_workers(found.spec, workers)
    _carried_out(folder, quiet, lambda told: benchmark(spec, folder, retry_failed=retry_failed, progress=told))


@bench.command("status")
def status(folder: Folder) -> None:
    """How far a run is and what went wrong; also while it runs."""
    from chiasm.bench.run import Benchmark
    from chiasm.cli.terminal import stdout

    show_status(Benchmark.open(folder), stdout())


@bench.command("means")
def means(
    folder: Folder,
    *,
    metric: Annotated[
        str | None, typer.Option(metavar="A,B", help="Metrics to show; by default those that the spec names.")
    ] = None,
    csv: Annotated[
        Path | None, typer.Option(metavar="FILE.csv", help="Write all means, of further values too.")
    ] = None,
) -> None:
    """Mean scores over the samples that all explainers share, and how many those are; also while it runs.

    Example: chiasm bench means smoke --metric f_syn
    """
    from chiasm.bench.run import Benchmark
    from chiasm.cli.terminal import stdout
    from chiasm.core.errors import UnknownName

    found = Benchmark.open(folder)
    table = found.means
    known = list(dict.fromkeys(table["metric"]))
    wanted = [one.label for one in found.spec.metrics] if metric is None else [m.strip() for m in metric.split(",")]
    for name in wanted:
        if name not in known and metric is not None:
            raise UnknownName("metric of this run", name, known)
        show_means(table[table["metric"] == name], name, stdout())
    if csv is not None:
        table.to_csv(csv, index=False)
        typer.echo(str(csv))


def show_means(table: Any, metric: str, console: Console) -> None:
    """One metric: a table for each model, an explainer a line, a data set a column."""
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe

    for model, part in table.groupby("model", sort=False):
        shared = part[~part["explainer"].isin(CONTROL_NAMES)].groupby("dataset")["n_shared"].max()
        rows = {(row.dataset, row.explainer): row for row in part.itertuples()}
        shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        shown.add_column(Text(safe(f"{metric} · {model}")), no_wrap=True)
        for name, count in shared.items():
            shown.add_column(Text(safe(f"{name}, n = {count:,}")), justify="right")
        order = part.groupby("explainer")["mean"].mean().sort_values(ascending=False, na_position="last").index
        for explainer in order:
            line = [rows.get((name, explainer)) for name in shared.index]
            numbers = ["" if row is None or not row.n_shared else f"{row.mean:.3f}" for row in line]
            style = "dim" if explainer in CONTROL_NAMES else ""
            shown.add_row(Text(safe(explainer)), *(Text(number) for number in numbers), style=style)
        console.print(shown)
        if failed := sorted(set(part[part["n_failed"] > 0]["explainer"])):
            console.print(Text(f"failed on some samples: {safe(', '.join(failed))}", style="red"))
        console.print()


def _spec(name: str, samples: int | None, workers: int | None) -> BenchSpec:
    from chiasm.bench.spec import BenchSpec

    spec = BenchSpec.read(name)
    if samples is not None:
        fewer = [one.model_copy(update={"n": min(samples, one.n or samples)}) for one in spec.datasets]
        spec = spec.model_copy(update={"datasets": fewer})
    return _with_workers(spec, workers)


def _with_workers(spec: BenchSpec, workers: int | None) -> BenchSpec:
    """The same on so many processes (of this machine, or of the cluster that the spec names)."""
    if workers is None:
        return spec
    from chiasm.bench.spec import EngineSpec

    name = "processes" if spec.engine.name == "in-process" else spec.engine.name
    options = {**(spec.engine.options if name == spec.engine.name else {}), "workers": workers}
    return spec.model_copy(update={"engine": EngineSpec(name=name, options=options)})


def _carried_out(folder: Path, quiet: bool, go: Callable[[Any], Benchmark]) -> None:  # noqa: FBT001
    """Run with progress, then say what there is."""
    from chiasm.cli.terminal import stderr, stdout

    try:
        with _Cells(quiet=quiet) as bar:
            found = go(bar)
    except KeyboardInterrupt:
        stderr().print(f"Stopped; what is done is kept. Go on: chiasm bench resume {folder}", markup=False)
        raise
    if not quiet:
        show_status(found, stdout())
    typer.echo(str(folder))


def show_status(found: Benchmark, console: Console) -> None:
    """Cells by model and data set, accuracy beside them, then the errors."""
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe

    right = {(row.model, row.dataset): row for row in found.accuracy.itertuples()}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for title in ("model", "data set", "cells", "done", "failed", "accuracy"):
        table.add_column(title, justify="left" if title in ("model", "data set") else "right")
    for row in found.status().itertuples():
        told = right.get((row.model, row.dataset))
        share = "" if told is None or not told.n else f"{told.accuracy:.3f} of {told.n}"
        names = [Text(safe(row.model)), Text(safe(row.dataset))]
        table.add_row(*names, *(f"{n:,}" for n in (row.cells, row.done, row.failed)), share)
    console.print(table)
    errors = found.errors()
    for row in errors.head(10).itertuples():
        where = ", ".join(str(x) for x in (row.model, row.dataset, row.sample, row.explainer) if isinstance(x, str))
        console.print(Text(safe(f"{row.n:,} × {row.error} (first: {where})"), style="red"))
    if len(errors) > 10:
        console.print(f"… and {len(errors) - 10} more kinds of error", style="red")
    if len(found.store.about["made_by"]) > 1:
        console.print("note: cells were computed by several versions of the code (made_by in run.json)", style="dim")


class _Cells:
    """Progress by cells: a bar on a terminal, elsewhere a line now and then.

    Args:
        quiet: never show anything.
    """

    def __init__(self, *, quiet: bool) -> None:
        """Prepare."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        from chiasm.cli.terminal import stderr

        self._console, self._quiet, self._next = stderr(), quiet, 0.0
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        hidden = quiet or not self._console.is_terminal
        self._bar = Progress(
            *columns, TimeRemainingColumn(compact=True), console=self._console, transient=True, disable=hidden
        )
        self._task = self._bar.add_task("reading", total=None)

    def __enter__(self) -> Self:
        """Show it."""
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Take it away."""
        self._bar.stop()

    def __call__(self, tally: Tally, done: Done | None) -> None:
        """Show a state."""
        from chiasm.cli.terminal import safe

        failed = f", {tally.failed:,} failed" if tally.failed else ""
        what = "starting" if done is None else f"{done.cell.key['model']} · {done.cell.key['dataset']}{failed}"
        self._bar.update(self._task, completed=tally.before + tally.done, total=tally.cells, description=safe(what))
        if not self._quiet and not self._console.is_terminal and time.monotonic() >= self._next:
            self._next = time.monotonic() + 30.0
            speed = f", {tally.done / tally.seconds:.1f}/s" if tally.seconds else ""
            line = f"{tally.before + tally.done:,} of {tally.cells:,} cells{failed}{speed}"
            self._console.print(line, markup=False)
