"""``chiasm bench report``: the leader boards of a run, on the terminal, as a page, Markdown or CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from chiasm.bench.report import Board, Difference, Report

#: samples behind a page unless told otherwise: some 100 kB and a tenth of a second each
SAMPLES: Final = 90


def report(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The folder of a run, finished or not.")],
    *,
    metric: Annotated[
        str | None, typer.Option(metavar="M,N", help="Metrics; by default those that the spec names.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Another run: what differs on the samples that both have.")
    ] = None,
    out: Annotated[
        list[Path] | None, typer.Option("--out", "-o", metavar="FILE", help=".html, .md or .csv; repeatable.")
    ] = None,
    samples: Annotated[
        int,
        typer.Option(
            min=0, metavar="N", help="How many samples a page links to, in a gallery of their own beside it; 0: none."
        ),
    ] = SAMPLES,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write files, show nothing.")] = False,
) -> None:
    """Means and ranks with intervals, which explainers cannot be told apart, by model and data set.

    Example: chiasm bench report zoo --out board.html --out board.md
    """
    from chiasm.bench.gallery import write_run
    from chiasm.bench.leaderboard import ENDINGS, write
    from chiasm.bench.report import compare_runs
    from chiasm.bench.report import report as work_out
    from chiasm.bench.run import Benchmark
    from chiasm.cli.terminal import stdout
    from chiasm.core.errors import InvalidInput

    for path in out or ():
        if path.suffix not in ENDINGS or not path.parent.is_dir():
            raise InvalidInput(f"Cannot write {str(path)!r}: the name must end in {', '.join(ENDINGS)}, in a folder.")
    run = Benchmark.open(folder)
    if against is not None:
        show_differences(compare_runs(run, Benchmark.open(against)), stdout())
        return
    found = work_out(run, None if metric is None else [name.strip() for name in metric.split(",")])
    if not quiet:
        show(found, stdout())
    for path in out or ():
        gallery = None
        if path.suffix == ".html" and samples:
            gallery = write_run(folder, path.with_name(f"{path.stem}-samples.html"), most=samples).name
        typer.echo(str(write(found, path, gallery)))


def show(found: Report, console: Console) -> None:
    """The overall boards, then the collapse."""
    from rich.text import Text

    from chiasm.bench.leaderboard import told
    from chiasm.bench.report import OVERALL

    for board in found.boards:
        if board.scope == OVERALL:
            _show_board(board, console)
    for one in found.collapse:
        line = f"{one.metric}: ranking by {one.parts[0]} against {one.parts[1]}, Kendall's τ {told(one.agreement)}"
        console.print(Text(line))


def _show_board(board: Board, console: Console) -> None:
    from rich.table import Table
    from rich.text import Text

    from chiasm.bench.leaderboard import letters, told
    from chiasm.cli.terminal import safe

    tied, found = letters(board), board.comparison
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column(Text(safe(f"{board.metric} {'↑' if board.higher else '↓'}, n = {found.n:,}")), no_wrap=True)
    for heading in ("mean [95 %]", "mean rank", "tied"):
        table.add_column(heading, justify="right" if heading != "tied" else "left")
    for name, mean in found.means.items():
        table.add_row(Text(safe(name)), Text(told(mean)), Text(f"{found.ranks[name].value:.2f}"), Text(tied[name]))
    for name, value in board.controls.items():
        table.add_row(Text(name), Text(f"{value:.3f}"), "", "", style="dim")
    console.print(table)
    console.print()


def show_differences(found: list[Difference], console: Console) -> None:
    """What differs between two runs, the surest first."""
    from rich.table import Table
    from rich.text import Text

    from chiasm.bench.leaderboard import told
    from chiasm.cli.terminal import safe

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("metric", "explainer", "first", "second", "second − first [95 %]", "p (Holm)"):
        table.add_column(heading, justify="left" if heading in ("metric", "explainer") else "right")
    for one in sorted(found, key=lambda one: one.p_value):
        numbers = [f"{one.first:.3f}", f"{one.second:.3f}", told(one.difference), f"{one.p_value:.2g}"]
        table.add_row(Text(safe(one.metric)), Text(safe(one.explainer)), *(Text(number) for number in numbers))
    console.print(table)
