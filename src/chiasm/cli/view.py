"""``chiasm view``: a saved explanation as a page or a figure."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer


def view(
    file: Annotated[Path, typer.Argument(metavar="FILE.json", help="What chiasm explain --out FILE.json wrote.")],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help=".html, .png, .svg or .pdf; by default FILE.html."),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Turn a saved explanation into a page (or a figure) and print its path."""
    from chiasm.core.errors import InvalidInput
    from chiasm.core.explanation import Explanation
    from chiasm.core.registry import views

    path = out if out is not None else file.with_suffix(".html")
    kind = {".html": "html", ".png": "picture", ".svg": "picture", ".pdf": "picture"}.get(path.suffix.lower())
    if kind is None:
        raise InvalidInput(f"Cannot write {str(path)!r}: the name must end in .html, .png, .svg or .pdf.")
    if path.is_dir():
        raise InvalidInput(f"Cannot write {str(path)!r}: it is a folder; choose another name.")
    written = views.get(kind)(Explanation.load(file), path)
    typer.echo(str(written))
    if open_it:
        webbrowser.open(Path(written).resolve().as_uri())
