"""``chiasm evaluate``: is a saved explanation true?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from chiasm.cli.explain import BatchSize, Device, Dtype, Images, MaskersGiven, PartsGiven, PlayersGiven, Quiet, Texts
from chiasm.cli.parsing import joined, parse_parts
from chiasm.core.errors import InvalidInput
from chiasm.core.registry import views

if TYPE_CHECKING:
    from rich.console import Console

    from chiasm.core.explanation import Explanation
    from chiasm.core.sample import Sample
    from chiasm.metrics.baselines import BaselineScores
    from chiasm.metrics.scores import Scores
    from chiasm.models.base import Adapter

AS_GIVEN: Final = "as explained"
"""Name of the baseline that is used unless others are asked for too."""
Files = Annotated[
    list[Path], typer.Argument(metavar="EXPLANATION.json…", help="What chiasm explain --out FILE.json wrote.")
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="The model; by default the one that the first explanation names.")
]
DataSet = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Take the sample, with its planted truth, from a data set or a folder of data."),
]
Row = Annotated[int, typer.Option(help="Which sample of the data set, from 0.")]
Metrics = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="Metrics to take; by default all cheap ones. See: chiasm list metrics."),
]
Controls = Annotated[bool, typer.Option(help="Score oracle, reversed oracle and random explanations as well.")]
Baselines = Annotated[
    list[str] | None,
    typer.Option("--baseline", metavar="MASKERS", help="Score once more with players hidden so (as --masker); repeat."),
]
Details = Annotated[
    bool, typer.Option("--details", help="All values of each metric: by part, of pairs, what chance gives.")
]
Twin = Annotated[str | None, typer.Option(help="A model of the same form trained on other labels.")]
Seed = Annotated[int, typer.Option(help="Seed of metrics and controls, and of a generated data set.")]
Out = Annotated[
    str | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help=".json: all scores; .html: a page with the scores under each method."
    ),
]
Cache = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="Where values are remembered; off for nowhere. See: chiasm cache."),
]


def evaluate(
    files: Files,
    *,
    model: Model = None,
    image: Images = None,
    text: Texts = None,
    part: PartsGiven = None,
    dataset: DataSet = None,
    row: Row = 0,
    metrics: Metrics = None,
    controls: Controls = True,
    players: PlayersGiven = None,
    masker: MaskersGiven = None,
    baseline: Baselines = None,
    details: Details = False,
    twin: Twin = None,
    seed: Seed = 0,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Dtype = None,
    cache: Cache = None,
    out: Out = None,
    quiet: Quiet = False,
) -> None:
    """Score explanations of one sample beside an oracle, its reverse and chance.

    Example: chiasm evaluate car.json -i car.jpg -t "What colour is the car?" --metrics f_syn,srg
    """
    _check_out(out)
    sample = _sample(parse_parts(image, text, part), dataset, row, seed)
    explanations = _read(files)
    name = model or next(iter(explanations.values())).provenance.model
    if name is None:
        raise InvalidInput("The explanation names no model; give one with --model.")
    chosen = None if metrics is None else [metric.strip() for metric in metrics.split(",") if metric.strip()]

    from chiasm.cli.progress import Bar
    from chiasm.metrics import metrics as known
    from chiasm.models.hub import load

    for metric in chosen or ():
        known.get(metric)  # a wrong name is refused before the model is loaded
    options = _given(device=device, dtype=dtype)
    hidden_by = {AS_GIVEN: joined(masker), **{name: name for name in baseline or ()}}
    with Bar(quiet=quiet) as bar:
        bar(0, None, f"loading {name}")
        found = _scored(
            load(name, **options),
            sample,
            explanations,
            hidden_by,
            metrics=chosen,
            controls=controls,
            players=joined(players),
            seed=seed,
            batch_size=batch_size,
            cache=cache,
            twin=None if twin is None else load(twin, **options),
            progress=bar,
        )
    if not quiet:
        _show_all(found, details=details)
    if out is not None:
        _write(found, explanations, Path(out))


def _scored(
    adapter: Adapter,
    sample: Sample,
    explanations: dict[str, Explanation],
    hidden_by: dict[str, str | None],
    **options: Any,
) -> BaselineScores:
    """Scores under each baseline, its maskers as ``--masker`` takes them; ``None``: as the explanations were made."""
    from chiasm.explainers.remembering import masker_objects
    from chiasm.metrics.baselines import BaselineScores
    from chiasm.metrics.evaluate import evaluate as score

    for maskers in hidden_by.values():
        masker_objects(adapter, sample, maskers)  # a wrong name is refused before anything is computed
    found = {
        name: score(adapter, sample, explanations, maskers=maskers, **options) for name, maskers in hidden_by.items()
    }
    return BaselineScores(found)


def _given(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}


def _show_all(scores: BaselineScores, *, details: bool) -> None:
    """Show the scores, and what other baselines make of them."""
    from chiasm.cli.terminal import stdout

    show(scores.by_baseline[AS_GIVEN], stdout(), details=details)
    if len(scores.by_baseline) > 1:
        show_baselines(scores, stdout())


def _write(scores: BaselineScores, explanations: dict[str, Explanation], out: Path) -> None:
    """Write ``out`` and, of other baselines, ``….baseline-1.json``, …"""
    if out.suffix == ".html":
        first = scores.by_baseline[AS_GIVEN]
        notes = [*first.notes, *first.remarks()]
        typer.echo(str(views.get("comparison")(explanations, out, first.table(), notes)))
        return
    for place, one in enumerate(scores.by_baseline.values()):
        typer.echo(str(one.save(out.with_suffix(f".baseline-{place}.json" if place else ".json"))))


def _check_out(out: str | None) -> None:
    """Refuse an output that could not be written, before anything is computed."""
    if out is not None and (Path(out).suffix not in {".json", ".html"} or not Path(out).parent.is_dir()):
        raise InvalidInput(f"Cannot write {out!r}: give a name that ends in .json or .html in a folder that exists.")


def _sample(parts: dict[str, str], dataset: str | None, row: int, seed: int) -> Sample:
    """The sample that the options describe.

    Raises:
        InvalidInput: neither parts nor a data set, both, or a data set without that row.
    """
    from chiasm.core.sample import Sample

    if (dataset is None) == (not parts):
        raise InvalidInput("Give the sample: --image and --text (or --part NAME=VALUE), or else --dataset and --row.")
    if dataset is None:
        given: dict[str, Any] = dict(parts)
        return Sample(**given)
    if row < 0:
        raise InvalidInput(f"--row is {row}; count from 0.")
    from chiasm.zoo import dataset as read
    from chiasm.zoo import datasets

    generated = dataset.removeprefix("zoo:") in datasets
    samples = read(dataset, row + 1, seed if generated else None)
    if len(samples) <= row:
        raise InvalidInput(f"{dataset!r} has {len(samples)} samples; there is no --row {row} (they count from 0).")
    return samples[row]


def _read(files: list[Path]) -> dict[str, Explanation]:
    """Explanations by the stems of their files, or by their paths where stems are alike."""
    from chiasm.core.explanation import Explanation

    stems = [file.stem for file in files]
    names = stems if len(set(stems)) == len(stems) else [str(file) for file in files]
    if len(set(names)) != len(names):
        raise InvalidInput(f"A file is given twice among {', '.join(names)}; give each once.")
    return {name: Explanation.load(file) for name, file in zip(names, files, strict=True)}


def show(scores: Scores, console: Console, *, details: bool = False) -> None:
    """A metric a line, an explanation a column: there are more metrics than a terminal is wide."""
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe

    header, rows = scores.table()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric", no_wrap=True, style="bold")
    for line in rows:
        table.add_column(safe(line[0]), justify="right", overflow="fold")
    for k, title in enumerate(header[1:], 1):
        table.add_row(Text(title), *(Text(line[k]) for line in rows))
        for name, values in scores.details(scores.metrics[k - 1]).items() if details else ():
            table.add_row(Text(f"  {safe(name)}", style="not bold"), *map(Text, values))
    console.print(Text(safe(f"{scores.about['model']}: {scores.about['target']}")))
    console.print(table)
    words = f"{scores.computed:,} values computed, {scores.requested:,} asked for, {scores.seconds:.1f} s"
    console.print(Text(words, style="dim"))
    for note in [*scores.notes, *scores.remarks()]:
        console.print(Text(f"note: {safe(note)}", style="dim"))


def show_baselines(scores: BaselineScores, console: Console) -> None:
    """What other baselines make of the scores: a metric a line, an explanation a column."""
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe
    from chiasm.metrics.scores import plain

    first = next(iter(scores.by_baseline.values()))
    shown = [row.explanation for row in first.rows if row.metric == first.metrics[0] and not row.control]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("metric", no_wrap=True, style="bold")
    for name in (*shown, "ranks agree"):
        table.add_column(safe(name), justify="right", overflow="fold")
    for metric in first.metrics:
        cells = [" → ".join(plain(value) for value in scores.values(name, metric).values()) for name in shown]
        table.add_row(Text(metric), *(Text(cell) for cell in cells), Text(plain(scores.rank_agreement(metric))))
    console.print(Text(safe(f"\nHidden in other ways: {' → '.join(scores.by_baseline)}")))
    console.print(table)
    words = "ranks agree: mean Spearman correlation of the scores of all explanations, controls among them; 1: the same"
    console.print(Text(words, style="dim"))
