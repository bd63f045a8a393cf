"""``chiasm audit``: what a model takes from each part over a whole data set."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.explain import BaseUrl, Device, Dtype, Remote
from chiasm.cli.parsing import joined, merge, parse_options
from chiasm.core.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chiasm.audits.run import Audit
    from chiasm.audits.spec import AuditSpec
    from chiasm.runs.carry_out import Tally

_ENDINGS = (".html", ".json", ".md")


Model = Annotated[str | None, typer.Option("--model", "-m", help="As for chiasm explain.")]
Data = Annotated[
    str | None,
    typer.Option("--data", "-d", metavar="NAME", help="As chiasm list datasets shows, or a file or folder of yours."),
]
SpecFile = Annotated[
    Path | None, typer.Option("--spec", metavar="FILE.yaml", help="These options as YAML; the command line wins.")
]
Against = Annotated[str | None, typer.Option(help="Another model, compared on the same samples.")]
Samples = Annotated[int | None, typer.Option("--samples", "-n", min=1, help="The first N samples.")]
Seed = Annotated[int | None, typer.Option(help="Seed of a generated data set, of estimators and draws.")]
PlayersGiven = Annotated[
    list[str] | None, typer.Option("--players", help="As for chiasm explain, e.g. grid:4x4,words.")
]
MaskerGiven = Annotated[list[str] | None, typer.Option("--masker", help="As for chiasm explain, e.g. image=blur:8.")]
Budget = Annotated[int | None, typer.Option(min=0, help="Values a sample for pairs of units; 0: whole parts alone.")]
Method = Annotated[str | None, typer.Option(help="Estimator of the pairs.")]
Backgrounds = Annotated[
    int | None, typer.Option(min=0, help="Other samples that absent parts are drawn from, for InterSHAP as published.")
]
Mixtures = Annotated[
    int | None,
    typer.Option(
        min=0, help="Samples whose parts are mixed with one another, for EMAP: N samples of P parts are N^P answers."
    ),
]
Influence = Annotated[
    bool,
    typer.Option("--influence", help="Explain anew with each part away: who bends whose explanation. Needs --budget."),
]
By = Annotated[str | None, typer.Option(metavar="A,B", help="Columns to group by; by default all that can be.")]
Clusters = Annotated[
    str | None, typer.Option(metavar="COLUMN", help="Samples that share it (one picture) are drawn together.")
]
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
        "--option", metavar="NAME=VALUE", help="Of the data set, e.g. folder=COPY or language=0.8; repeatable."
    ),
]
Workers = Annotated[int | None, typer.Option("--workers", "-w", min=1, help="Processes.")]
Pages = Annotated[
    int | None, typer.Option(min=0, help="Explain so many of the samples behind the findings, on pages of their own.")
]
Out = Annotated[list[Path] | None, typer.Option("--out", "-o", metavar="FILE", help=".html, .json or .md; repeatable.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress and no table.")]
#: fields of a description whose option has another name
_NAMES = {"maskers": "--masker", "options": "--option"}


def audit(
    *,
    model: Model = None,
    data: Data = None,
    spec: SpecFile = None,
    against: Against = None,
    samples: Samples = None,
    seed: Seed = None,
    option: Options = None,
    players: PlayersGiven = None,
    masker: MaskerGiven = None,
    budget: Budget = None,
    method: Method = None,
    backgrounds: Backgrounds = None,
    mixtures: Mixtures = None,
    influence: Influence = False,
    by: By = None,
    clusters: Clusters = None,
    fail_if: FailIf = None,
    folder: Folder = None,
    workers: Workers = None,
    device: Device = None,
    dtype: Dtype = None,
    base_url: BaseUrl = None,
    remote: Remote = None,
    pages: Pages = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Does the model use each part, where do parts work together, and is it right for those reasons?

    Example: chiasm audit -m zoo:prior-grounded -d zoo:prior -n 200 --fail-if "image_reliance<0.2" -o audit.html
    """
    line = {
        "model": model,
        "data": data,
        "against": against,
        "samples": samples,
        "seed": seed,
        "options": parse_options(option, {}),
        "players": joined(players),
        "maskers": joined(masker),
        "budget": budget,
        "method": method,
        "backgrounds": backgrounds,
        "mixtures": mixtures,
        "influence": influence or None,
        "by": by,
        "clusters": clusters,
        "fail_if": fail_if,
        "folder": None if folder is None else str(folder),
        "workers": workers,
        "device": device,
        "dtype": dtype,
        "base_url": base_url,
        "remote": parse_options(remote, {}, "--remote"),
        "pages": pages,
        "out": [str(path) for path in out or ()],
    }
    _run(line, spec, quiet=quiet)


def _run(line: dict[str, Any], file: Path | None, *, quiet: bool) -> None:
    from chiasm.audits.limits import Limit
    from chiasm.audits.report import write
    from chiasm.audits.run import audit as run
    from chiasm.audits.spec import AuditSpec
    from chiasm.cli.progress import Bar
    from chiasm.cli.terminal import stdout

    fields = merge(AuditSpec.read(file) if file is not None else {}, line)
    origin = f"{str(file)!r} and the command line" if file else "the command line"
    given = {name: _NAMES.get(name, f"--{name.replace('_', '-')}") for name, value in line.items() if value}
    told = AuditSpec.parse(fields, origin, {"model": "--model", "data": "--data", **given})
    limits = [Limit.parse(text) for text in told.fail_if]
    outs = [Path(path) for path in told.out]
    _check_out(outs)
    with tempfile.TemporaryDirectory() as scratch, Bar(quiet=quiet) as bar:
        found = run(
            told.model,
            told.data,
            against=told.against,
            n=told.samples,
            data_seed=_seed_of(told.data, told.seed),
            data_options=told.options,
            model_options=told.model_options,
            plan=told.plan,
            folder=told.folder or Path(scratch) / "audit",
            by=told.by,
            clusters=told.clusters,
            workers=told.workers,
            progress=lambda tally, _done: bar(tally.before + tally.done, tally.cells, _so_far(tally)),
        )
        bar(0, None, "working out figures and intervals")
        _ = found.findings, found.changes  # while the folder is there
        written = [write(found, path, _pages(told, found, path, bar)) for path in outs]
    if not quiet:
        _show(found, stdout())
    for path in written:
        typer.echo(str(path))
    _judge(found, limits)


def _pages(told: AuditSpec, found: Audit, path: Path, bar: Any) -> dict[str, str]:
    """Sample → address of its page, relative to the report."""
    if path.suffix != ".html" or not told.pages:
        return {}
    from chiasm.audits.pages import write_pages
    from chiasm.audits.work import Source

    source = Source(told.data, told.samples, _seed_of(told.data, told.seed), told.options)
    folder = path.with_name(f"{path.stem}-samples")
    return write_pages(
        found, told.model, source.read(), told.plan, folder, most=told.pages, options=told.model_options, progress=bar
    )


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
