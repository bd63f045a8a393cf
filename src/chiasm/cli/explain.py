"""``chiasm explain``: predict, explain, write."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from chiasm.cli.parsing import joined, merge, parse_fixed, parse_options, parse_parts
from chiasm.core.errors import InvalidInput

#: fields of a description whose option has another name
_OPTIONS = {"parts": "--part", "candidates": "--candidate", "maskers": "--masker", "fixed": "--fix"}
_INPUT, _TARGET, _METHOD, _RUN = "What goes in", "What is explained", "How", "Running and writing"

Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="zoo:NAME, a folder, an id on the Hugging Face hub, or python:FILE.py:NAME.",
        rich_help_panel=_INPUT,
    ),
]
Images = Annotated[
    list[str] | None,
    typer.Option(
        "--image", "-i", metavar="FILE", help="A picture; a second one is part image2.", rich_help_panel=_INPUT
    ),
]
Texts = Annotated[
    list[str] | None,
    typer.Option("--text", "-t", metavar="TEXT", help="A question or caption.", rich_help_panel=_INPUT),
]
PartsGiven = Annotated[
    list[str] | None,
    typer.Option("--part", metavar="NAME=VALUE", help="Any other part, by name.", rich_help_panel=_INPUT),
]
SpecFile = Annotated[
    Path | None,
    typer.Option(
        "--spec", metavar="FILE.yaml", help="These options as YAML; the command line wins.", rich_help_panel=_INPUT
    ),
]
Answer = Annotated[
    str | None, typer.Option(help="The answer to explain, in place of the model's own.", rich_help_panel=_TARGET)
]
Against = Annotated[str | None, typer.Option(help="Explain the answer rather than this one.", rich_help_panel=_TARGET)]
Token = Annotated[int | None, typer.Option(help="Explain one token of the answer, from 0.", rich_help_panel=_TARGET)]
ScaleGiven = Annotated[
    str | None,
    typer.Option(
        "--scale",
        metavar="SCALE",
        help="log_probability, probability, logit, similarity or value.",
        rich_help_panel=_TARGET,
    ),
]
Candidates = Annotated[
    list[str] | None,
    typer.Option("--candidate", metavar="TEXT", help="One of the answers to choose among.", rich_help_panel=_TARGET),
]
Method = Annotated[
    str | None,
    typer.Option(
        metavar="NAME[,NAME]",
        help="Method, or auto; several are shown side by side. See: chiasm list explainers.",
        rich_help_panel=_METHOD,
    ),
]
IndexGiven = Annotated[
    str | None, typer.Option("--index", help="SII, BII, … See: chiasm list indices.", rich_help_panel=_METHOD)
]
PlayersGiven = Annotated[
    list[str] | None,
    typer.Option(
        "--players",
        help="How parts are cut, in their order: grid:7x7,words; or by name: image=grid:7x7,text=words; repeatable.",
        rich_help_panel=_METHOD,
    ),
]
MaskersGiven = Annotated[
    list[str] | None,
    typer.Option(
        "--masker",
        help="How absent players are hidden, in the same form: blur:8,attention.",
        rich_help_panel=_METHOD,
    ),
]
FixedGiven = Annotated[
    list[str] | None,
    typer.Option(
        "--fix",
        metavar="PLAYER=STATE",
        help="Hold a part (text=present) or a player (text:3=absent) while the others are explained.",
        rich_help_panel=_METHOD,
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        metavar="VALUES|TIME|PASSES",
        help="What it may cost: values of the game (512), a time (30s, 5min) or model passes ('400 passes').",
        rich_help_panel=_METHOD,
    ),
]
Tolerance = Annotated[
    str | None,
    typer.Option(
        metavar="WIDTH|SHARE|TOP",
        help="Stop earlier: pairs within ±0.02, within 5% of the whole effect, or the top3 told from the rest.",
        rich_help_panel=_METHOD,
    ),
]
Seed = Annotated[int | None, typer.Option(help="Seed of the estimator.", rich_help_panel=_METHOD)]
BatchSize = Annotated[int | None, typer.Option(help="Most coalitions in one model call.", rich_help_panel=_RUN)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …", rich_help_panel=_RUN)]
Dtype = Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or auto.", rich_help_panel=_RUN)]
MaxNewTokens = Annotated[int | None, typer.Option(help="Longest answer of the model, in tokens.", rich_help_panel=_RUN)]
BaseUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="Server of a model openai:NAME, e.g. https://host/v1.", rich_help_panel=_RUN),
]
Remote = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUE",
        help="For openai:NAME: reading=first, max_requests=300, concurrency=8, key_env=MY_KEY …",
        rich_help_panel=_RUN,
    ),
]
Cache = Annotated[
    str | None,
    typer.Option(
        metavar="FOLDER",
        help="Where values are remembered, so that an interrupted run goes on; off for nowhere. See: chiasm cache.",
        rich_help_panel=_RUN,
    ),
]
Out = Annotated[
    list[str] | None,
    typer.Option(
        "--out", "-o", metavar="FILE", help=".html, .json, .png, .svg or .pdf; repeatable.", rich_help_panel=_RUN
    ),
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run",
        help="For openai:NAME: send a request or two, say what the run would cost at most, and stop.",
        rich_help_panel=_RUN,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print the written paths only.", rich_help_panel=_RUN)]


def explain(
    *,
    model: Model = None,
    image: Images = None,
    text: Texts = None,
    part: PartsGiven = None,
    spec: SpecFile = None,
    answer: Answer = None,
    against: Against = None,
    token: Token = None,
    scale: ScaleGiven = None,
    candidate: Candidates = None,
    method: Method = None,
    index: IndexGiven = None,
    players: PlayersGiven = None,
    masker: MaskersGiven = None,
    fix: FixedGiven = None,
    budget: Budget = None,
    tolerance: Tolerance = None,
    seed: Seed = None,
    batch_size: BatchSize = None,
    device: Device = None,
    dtype: Dtype = None,
    max_new_tokens: MaxNewTokens = None,
    base_url: BaseUrl = None,
    remote: Remote = None,
    cache: Cache = None,
    out: Out = None,
    dry_run: DryRun = False,
    quiet: Quiet = False,
) -> None:
    """Explain one prediction: which players of each part mattered, and which worked together.

    Example: chiasm explain -m zoo:llava-shapes -i photo.jpg -t "What colour is the circle?" -o page.html
    """
    line = {
        "model": model,
        "parts": parse_parts(image, text, part),
        "answer": answer,
        "against": against,
        "token": token,
        "scale": scale,
        "candidates": candidate,
        "method": method,
        "index": index,
        "players": joined(players),
        "maskers": joined(masker),
        "fixed": parse_fixed(fix),
        "budget": budget,
        "tolerance": tolerance,
        "seed": seed,
        "batch_size": batch_size,
        "device": device,
        "dtype": dtype,
        "max_new_tokens": max_new_tokens,
        "base_url": base_url,
        "remote": parse_options(remote, {}, "--remote"),
        "cache": cache,
        "out": out,
    }
    _run(line, spec, dry_run=dry_run, quiet=quiet)


def _run(line: dict[str, Any], file: Path | None, *, dry_run: bool, quiet: bool) -> None:
    # every check that needs no model comes before the imports and the model, which take seconds to load
    from chiasm.explainers.spec import ExplainSpec

    fields = merge(ExplainSpec.read(file) if file is not None else {}, line)
    missing(fields, file)
    origin = f"{str(file)!r} and the command line" if file else "the command line"
    options = {
        name: _OPTIONS.get(name, f"--{name.replace('_', '-')}")
        for name, value in line.items()
        if value not in (None, [], {})
    }
    described = ExplainSpec.parse(fields, origin, options)
    from chiasm.explainers.methods import method_names
    from chiasm.explainers.run_spec import bill, check, files_of, run_methods, run_spec

    if dry_run:
        typer.echo(bill(described))
        return
    check(described)
    methods = method_names(described.method)
    written = [str(path) for name in described.out for path in files_of(name, methods)]
    from chiasm.cli.progress import Bar
    from chiasm.cli.summary import show, show_all
    from chiasm.cli.terminal import stdout
    from chiasm.core.cache import chosen_folder

    try:
        with Bar(quiet=quiet) as bar:
            if len(methods) == 1:
                found = {methods[0]: run_spec(described, progress=bar)}
            else:
                found = run_methods(described, progress=bar)
    except KeyboardInterrupt:
        if chosen_folder(described.cache) is not None:
            typer.echo("Stopped. The same command goes on from the values that were computed so far.", err=True)
        raise
    if quiet:
        for path in described.out if len(methods) == 1 else written:
            typer.echo(path)
    elif len(methods) == 1:
        show(found[methods[0]], stdout(), described.out)
    else:
        show_all(found, stdout(), written)


def missing(fields: dict[str, Any], file: Path | None) -> None:
    """Refuse a description without a model or a part, by the names of the options.

    Raises:
        InvalidInput: the message names what is missing.
    """
    lacking = [
        option
        for name, option in (("model", "--model"), ("parts", "--image/--text (or --part NAME=VALUE)"))
        if not fields.get(name)
    ]
    if lacking:
        place = f" in {str(file)!r} and on the command line" if file else ""
        example = 'chiasm explain -m zoo:llava-shapes -i photo.jpg -t "What colour is the circle?" -o page.html'
        raise InvalidInput(f"Missing{place}: {', '.join(lacking)}. For example: {example}")
