"""``chiasm audit``: what a model takes from each part over a whole data set."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.explain import BaseUrl, Device, Dtype, Remote
from chiasm.cli.parsing import parse_options
from chiasm.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chiasm.audits.run import Audit
    from chiasm.runs.carry_out import Tally

_ENDINGS = (".html", ".json", ".md")


Model = Annotated[str, typer.Option("--model", "-m", help="As for chiasm explain.")]
Data = Annotated[str, typer.Option("--data", "-d", metavar="NAME", help="A data set (chiasm list datasets) or folder.")]
Backgrounds = Annotated[
    int, typer.Option(min=0, help="Other samples that absent parts are drawn from, for InterSHAP as published.")
]
By = Annotated[str | None, typer.Option(metavar="A,B", help="Columns to group by; by default all that can be.")]
FailIf = Annotated[
    list[str] | None,
    typer.Option(metavar="CONDITION", help="Exit with 3 if it holds, e.g. 'image_reliance<0.2'; repeatable."),
]
Folder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="Where records are kept; the same folder goes on. Default: none.")
]
Options = Annotated[
    list[str] | None,
    typer.Option(
        "--option",
        metavar="NAME=VALUE",
        help="Of the data set, e.g. folder=COPY or language=0.8; repeatable.",
    ),
]
Out = Annotated[list[Path] | None, typer.Option("--out", "-o", metavar="FILE", help=".html, .json or .md; repeatable.")]


def audit(
    *,
    model: Model,
    data: Data,
    against: Annotated[str | None, typer.Option(help="Another model, compared on the same samples.")] = None,
    n: Annotated[int | None, typer.Option("--samples", "-n", min=1, help="The first N samples.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of a generated data set, of estimators and draws.")] = 0,
    option: Options = None,
    players: Annotated[str | None, typer.Option(help="As for chiasm explain, e.g. grid:4x4,words.")] = None,
    masker: Annotated[str | None, typer.Option(help="As for chiasm explain, e.g. image=blur:8.")] = None,
    budget: Annotated[int, typer.Option(min=0, help="Values a sample for pairs of units; 0: whole parts alone.")] = 0,
    method: Annotated[str, typer.Option(help="Estimator of the pairs.")] = "auto",
    backgrounds: Backgrounds = 0,
    by: By = None,
    fail_if: FailIf = None,
    folder: Folder = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes.")] = 1,
    device: Device = None,
    dtype: Dtype = None,
    base_url: BaseUrl = None,
    remote: Remote = None,
    out: Out = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no table.")] = False,
) -> None:
    """Does the model use each part, where do parts work together, and is it right for those reasons?

    Example: chiasm audit -m zoo:prior-grounded -d zoo:prior -n 200 --fail-if "image_reliance<0.2" -o audit.html
    """
    from chiasm.audits.limits import Limit
    from chiasm.audits.record import Plan
    from chiasm.audits.report import write
    from chiasm.audits.run import audit as run
    from chiasm.cli.progress import Bar
    from chiasm.cli.terminal import stdout

    limits = [Limit.parse(text) for text in fail_if or ()]
    _check_out(out or ())
    served = {"base_url": base_url, **parse_options(remote, {}, "--remote")}
    model_options = _model_options([model, *([] if against is None else [against])], served, device, dtype)
    plan = Plan(players=players, maskers=masker, method=method, budget=budget, backgrounds=backgrounds, seed=seed)
    with tempfile.TemporaryDirectory() as scratch, Bar(quiet=quiet) as bar:
        found = run(
            model,
            data,
            against=against,
            n=n,
            data_seed=_seed_of(data, seed),
            data_options=parse_options(option, {}),
            model_options=model_options,
            plan=plan,
            folder=folder or Path(scratch) / "audit",
            by=None if by is None else [name.strip() for name in by.split(",") if name.strip()],
            workers=workers,
            progress=lambda tally, _done: bar(tally.before + tally.done, tally.cells, _so_far(tally)),
        )
        bar(0, None, "working out figures and intervals")
        _ = found.findings, found.changes  # while the folder is there
        written = [write(found, path) for path in out or ()]
    if not quiet:
        _show(found, stdout())
    for path in written:
        typer.echo(str(path))
    _judge(found, limits)


def _model_options(
    models: Sequence[str], served: dict[str, Any], device: str | None, dtype: str | None
) -> dict[str, Any]:
    """Arguments of `chiasm.load` that the options name.

    Raises:
        InvalidInput: options of a server for a model that is none, or of weights for one that is behind a server.
    """
    given = {name: value for name, value in served.items() if value is not None}
    local = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    for name in models:
        remote = name.startswith("openai:")
        if wrong := local if remote else given:
            which = "is behind a server" if remote else "is no model behind an API (openai:NAME)"
            raise InvalidInput(f"{name!r} {which}; leave {', '.join(wrong)} out.")
    return given | local


def _check_out(paths: Sequence[Path]) -> None:
    """Refuse what could not be written, before anything is computed."""
    for path in paths:
        if path.suffix not in _ENDINGS or not path.parent.is_dir():
            raise InvalidInput(f"Cannot write {str(path)!r}: the name must end in {', '.join(_ENDINGS)}, in a folder.")


def _so_far(tally: Tally) -> str:
    return f"samples, {tally.failed} failed" if tally.failed else "samples"


def _seed_of(data: str, seed: int) -> int | None:
    """The seed goes to generated data sets alone."""
    from chiasm.zoo import datasets

    return seed if data.removeprefix("zoo:") in datasets else None


def _show(found: Audit, console: Any) -> None:
    """Findings, then figures."""
    from rich.table import Table
    from rich.text import Text

    from chiasm.audits.findings import told
    from chiasm.cli.terminal import safe

    for finding in found.findings[:12]:
        console.print(Text(f"• {safe(finding.sentence)}"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in ("figure", "value [95 %]", "samples", "what it is"):
        table.add_column(heading)
    for one in found.summary.figures:
        value = told(one.estimate, one.measure.unit)
        table.add_row(Text(one.measure.name), Text(value), Text(str(one.estimate.n)), Text(safe(one.measure.line)))
    console.print(table)
    if len(failed := found.failed):
        console.print(Text(f"{len(failed)} samples failed, the first: {safe(failed['error'].iloc[0])}", style="red"))


def _judge(found: Audit, limits: list[Any]) -> None:
    """Say which conditions hold, and exit with 3 if one does."""
    from chiasm.audits.findings import told

    units = {one.measure.name: one.measure.unit for one in found.summary.figures}
    held = False
    for limit in limits:
        holds, estimate = limit.holds(found.summary)
        held |= holds
        word = "FAIL" if holds else "ok"
        typer.echo(f"{word}: {limit.text} ({limit.figure} is {told(estimate, units[limit.figure])})", err=holds)
    if held:
        raise typer.Exit(3)
