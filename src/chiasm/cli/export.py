"""``chiasm export``: a data set as a folder that other programs read."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from chiasm.cli.parsing import parse_options, parse_types


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
    from chiasm.zoo import dataset, option_kinds
    from chiasm.zoo.data.export import check_place, export

    check_place(out, force=force)  # before the pictures are drawn, which may take long
    samples = dataset(name, n, seed, parse_types(types), **parse_options(option, option_kinds(name)))
    typer.echo(str(export(samples, out, form.value, force=force)))
