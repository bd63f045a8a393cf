"""``chiasm view``: saved explanations as a page, a comparison, a gallery or a figure; a benchmark as a gallery."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from chiasm.core.errors import InvalidInput

_PICTURES = (".png", ".svg", ".pdf")


def view(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE.json…|FOLDER",
            help="What chiasm explain --out FILE.json wrote; several of one prediction are compared; a folder of them, "
            "or of chiasm bench run, becomes a gallery.",
        ),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help=".html, .png, .svg or .pdf; by default FILE.html."),
    ] = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Turn saved explanations into a page (or a figure) and print its path."""
    written = _write(files, out)
    typer.echo(str(written))
    if open_it:
        webbrowser.open(written.resolve().as_uri())


def _write(files: list[Path], out: Path | None) -> Path:
    """Write what fits what was given.

    Raises:
        InvalidInput: what was given cannot be shown together, or not in that format.
    """
    from chiasm.core.explanation import Explanation
    from chiasm.core.registry import views

    folders = [file for file in files if file.is_dir()]
    if folders and len(files) > 1:
        raise InvalidInput(f"{str(folders[0])!r} is a folder; give one folder, or files of one prediction.")
    if folders:
        path = _path(out or folders[0] / "gallery.html", (".html",))
        if (folders[0] / "run.json").is_file():
            from chiasm.bench.gallery import write_run

            return write_run(folders[0], path)
        return Path(views.get("folder")(folders[0], path))
    if len(files) > 1:
        stems = [file.stem for file in files]
        names = stems if len(set(stems)) == len(stems) else [str(file) for file in files]
        path = _path(out or files[0].with_name("comparison.html"), (".html",))
        explanations = {name: Explanation.load(file) for name, file in zip(names, files, strict=True)}
        return Path(views.get("comparison")(explanations, path))
    path = _path(out or files[0].with_suffix(".html"), (".html", *_PICTURES))
    kind = "picture" if path.suffix.lower() in _PICTURES else "html"
    return Path(views.get(kind)(Explanation.load(files[0]), path))


def _path(path: Path, endings: tuple[str, ...]) -> Path:
    """An output that can be written.

    Raises:
        InvalidInput: it ends otherwise, or is a folder.
    """
    if path.suffix.lower() not in endings:
        raise InvalidInput(f"Cannot write {str(path)!r}: the name must end in {', '.join(endings)}.")
    if path.is_dir():
        raise InvalidInput(f"Cannot write {str(path)!r}: it is a folder; choose another name.")
    return path
