"""``chiasm export``: a data set as a folder that other programs read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from chiasm.core.errors import InvalidInput


class Format(StrEnum):
    """What can be written."""

    jsonl = "jsonl"
    datasets = "datasets"


def export(
    name: Annotated[str, typer.Argument(help="A data set (see: chiasm list datasets), or a folder of data.")],
    *,
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Where to; new or empty.")],
    n: Annotated[
        int | None, typer.Option(help="How many samples; 200 of a data set and all of a folder, by default.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of the data set, 0 by default.")] = None,
    types: Annotated[
        list[str] | None, typer.Option("--types", metavar="TYPE,…", help="Question types; all by default.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="What one data set alone knows: language=0.8 of prior."),
    ] = None,
    form: Annotated[
        Format, typer.Option("--format", help="Pictures with a JSONL file, or a Hugging Face data set.")
    ] = Format.jsonl,
    force: Annotated[bool, typer.Option("--force", help="Replace an earlier export.")] = False,
) -> None:
    """Write a data set, its truth included, to a folder and print its path.

    Example: chiasm export shapes --n 500 --seed 1 --types colour,counting --out shapes-500
    """
    from chiasm.zoo import dataset
    from chiasm.zoo.data.export import check_place, export

    check_place(out, force=force)  # before the pictures are drawn, which may take long
    kinds = [kind.strip() for several in types or () for kind in several.split(",")] or None
    samples = dataset(name, n, seed, kinds, **parse_options(option))
    typer.echo(str(export(samples, out, form.value, force=force)))


def parse_options(given: list[str] | None) -> dict[str, Any]:
    """``["language=0.8"]`` → ``{"language": 0.8}``; what is no number stays a text.

    Raises:
        InvalidInput: not of that form, or given twice.
    """
    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or name in ("name", "n", "seed", "types"):
            raise InvalidInput(f"--option {text!r}: write NAME=VALUE, e.g. language=0.8.")
        if name in found:
            raise InvalidInput(f"--option {name} is given twice; leave one of them out.")
        try:
            found[name] = float(value)
        except ValueError:
            found[name] = value
    return found
