"""``chiasm doctor``: does the adapter tell the truth about its model?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.cli.parsing import parse_parts

if TYPE_CHECKING:
    from chiasm.core.sample import Sample
    from chiasm.models.base import Adapter, Check

QUESTION = "What colour is the circle?"
_SIDE = 224


def doctor(
    model: Annotated[
        str, typer.Argument(help="zoo:NAME, a folder, an id on the Hugging Face hub, or python:FILE.py:NAME.")
    ],
    *,
    image: Annotated[list[str] | None, typer.Option("--image", "-i", metavar="FILE", help="A picture.")] = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", metavar="TEXT", help="A question.")] = None,
    part: Annotated[list[str] | None, typer.Option(metavar="NAME=VALUE", help="Any other part.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1 …")] = None,
    dtype: Annotated[str | None, typer.Option(help="float32, bfloat16, float16 or auto.")] = None,
) -> None:
    """Check a model's adapter on a sample: a drawn picture, two beeps and a question as it takes them, or yours."""
    parts = parse_parts(image, text, part)
    from chiasm.cli.terminal import stderr
    from chiasm.models.doctor import examine
    from chiasm.models.hub import load

    options = {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}
    console = stderr()
    if console.is_terminal:
        with console.status("examining"):
            adapter = load(model, **options)
            checks = examine(adapter, sample_for(adapter, model, parts))
    else:
        adapter = load(model, **options)
        checks = examine(adapter, sample_for(adapter, model, parts))
    _report(model, adapter, checks)
    if any(check.ok is False for check in checks):
        raise typer.Exit(1)


def sample_for(adapter: Adapter, model: str, parts: dict[str, str]) -> Sample:
    """The sample to examine on: what was given, filled up with what ships with the package.

    Args:
        adapter: says which kinds of parts it takes.
        model: its name; a model of the zoo gets a sample of the data it was trained on.
        parts: what was given; kinds that are given are not filled up.
    """
    from chiasm.core.sample import Sample, kind_of
    from chiasm.zoo import dataset, datasets

    trained_on = next((name for name in datasets if model.startswith("zoo:") and model.endswith(name)), None)
    if trained_on is not None and not parts:
        return dataset(trained_on, 1)[0]
    given = {kind_of(name) for name in parts}
    own: dict[str, Any] = {"image": drawing, "audio": beeps, "text": lambda: QUESTION}
    filled = {kind: own[kind]() for kind in adapter.kinds if kind in own and kind not in given}
    return Sample(**{**filled, **parts})


def drawing() -> Any:
    """A red circle and a blue square on a soft ground."""
    from PIL import Image, ImageDraw

    picture = Image.linear_gradient("L").resize((_SIDE, _SIDE)).point(lambda level: 170 + level // 4).convert("RGB")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((24, 48, 104, 128), fill=(205, 45, 45))
    pen.rectangle((132, 100, 200, 168), fill=(40, 90, 190))
    return picture


def beeps() -> Any:
    """Two beeps in a second, the second an octave higher."""
    import numpy as np

    from chiasm.modalities.audio_reading import RATE

    time = np.arange(RATE) / RATE
    loud = ((time > 0.1) & (time < 0.3)) | ((time > 0.6) & (time < 0.9))
    return (0.5 * loud * np.sin(2 * np.pi * np.where(time < 0.5, 440, 880) * time)).astype(np.float32)


def _report(model: str, adapter: Adapter, checks: Sequence[Check]) -> None:
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe, stdout

    words = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("–", "dim")}
    console = stdout()
    console.print(Text(safe(f"{model} ({adapter.family})"), style="bold"))
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("", no_wrap=True)
    table.add_column("check", overflow="fold", ratio=2)
    table.add_column("found", overflow="fold", ratio=3)
    for check in checks:
        table.add_row(Text(*words[check.ok]), Text(safe(check.name)), Text(safe(check.detail)))
    console.print(table)
    failed = sum(check.ok is False for check in checks)
    passed = sum(check.ok is True for check in checks)
    left = len(checks) - failed - passed
    tail = f", {left} not applicable" if left else ""
    console.print(Text(f"{passed} passed, {failed} failed{tail}.", style="bold red" if failed else "bold green"))
