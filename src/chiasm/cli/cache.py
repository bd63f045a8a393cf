"""``chiasm cache``: what is remembered of earlier runs."""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from chiasm.core.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from chiasm.core.cache import CachedGame
    from chiasm.models.remote.memory import Remembered

cache = typer.Typer(
    help="What is remembered of earlier runs: show it, clear it.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["--help", "-h"]},
)

_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_BYTES = {"KB": 10**3, "MB": 10**6, "GB": 10**9}

Folder = Annotated[
    str | None,
    typer.Option("--cache", metavar="FOLDER", help="Folder of the cache; CHIASM_CACHE or your own by default."),
]


@cache.command("show")
def show(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="For programs: an object.")] = False,
    folder: Folder = None,
) -> None:
    """List the games whose values are remembered, the one used last first."""
    from chiasm.core.cache import FILE, ValueCache

    path = _place(folder) / FILE
    games: list[CachedGame] = []
    size = 0
    if path.is_file():
        with ValueCache(path.parent, create=False) as values:
            games, size = values.games(), values.size
    remembered = _remembered(path.parent)
    if as_json:
        data = {"path": str(path), "bytes": size, "games": [_row(game) for game in games]}
        data["answers"] = [{**vars(one), "used": _iso(one.used)} for one in remembered]
        typer.echo(json.dumps(data, indent=1, ensure_ascii=False))
    else:
        _print(games, size, path)
        _print_answers(remembered, path.parent)


@cache.command("clear")
def clear(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Everything.")] = False,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="What was last used longer ago: 12h, 30d, 8w.")
    ] = None,
    down_to: Annotated[
        str | None, typer.Option(metavar="SIZE", help="What was used longest ago, until SIZE is left: 500MB, 2GB.")
    ] = None,
    folder: Folder = None,
) -> None:
    """Forget values. Nothing but time is lost: they are computed again when they are needed.

    Answers of models behind an API go by --all and --older-than, and are paid for again when they are needed.
    """
    if everything + (older_than is not None) + (down_to is not None) != 1:
        raise InvalidInput("Say what to clear: one of --all, --older-than 30d and --down-to 500MB.")
    before = None if older_than is None else time.time() - _number(older_than, _SECONDS, "--older-than", "30d")
    most = None if down_to is None else _number(down_to, _BYTES, "--down-to", "500MB")
    from chiasm.core.cache import FILE, DamagedCache, ValueCache

    path = _place(folder) / FILE
    forgotten = most is None and _forget(path.parent, before)
    if not path.is_file():
        if not forgotten:
            typer.echo(f"There is nothing in {path}.")
        return
    try:
        with ValueCache(path.parent, create=False) as values:
            games = _old(values.games(), before, most)
            values.remove(games)
    except DamagedCache:
        if not everything:
            raise
        path.unlink()  # it answers to the name of the cache, and nobody can read it
        typer.echo(f"Removed {path}, which was damaged.")
    else:
        typer.echo(f"Removed {_sum(games)} from {path}.")


def _remembered(folder: Path) -> list[Remembered]:
    """The answers of models behind an API, where there are any."""
    from chiasm.models.remote.memory import FILE, Answers

    if not (folder / FILE).is_file():
        return []
    answers = Answers(folder)
    try:
        return answers.summary()
    finally:
        answers.close()


def _forget(folder: Path, before: float | None) -> bool:
    """Remove answers of models behind an API; whether there are any to speak of."""
    from chiasm.core.errors import ModelError
    from chiasm.models.remote.memory import FILE, Answers
    from chiasm.view.numerals import count

    path = folder / FILE
    if not path.is_file():
        return False
    try:
        answers = Answers(folder)
        gone = answers.forget(before)
        answers.close()
    except ModelError:
        if before is not None:
            raise
        path.unlink()  # it answers to the name of the file of answers, and nobody can read it
        typer.echo(f"Removed {path}, which was damaged.")
    else:
        typer.echo(f"Removed {count(gone, 'answer')} from {path}.")
    return True


def _place(folder: str | None) -> Path:
    from chiasm.core.cache import ENVIRONMENT, chosen_folder

    place = chosen_folder(True if folder is None else folder)
    if place is None:
        raise InvalidInput(f"The value cache is switched off ({ENVIRONMENT}=off); name a folder: --cache FOLDER.")
    return place


def _old(games: list[CachedGame], before: float | None, most: float | None) -> list[CachedGame]:
    """The games to remove; they come with the one used last first."""
    if before is not None:
        return [game for game in games if game.used < before]
    if most is None:
        return games
    removed, total = [], 0
    for game in games:
        total += game.size
        if total > most:
            removed.append(game)
    return removed


def _number(text: str, units: dict[str, int], option: str, example: str) -> float:
    """``"30d"`` → 2592000.

    Raises:
        InvalidInput: not a number with one of the units.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", text.strip())
    by_name = {unit.lower(): factor for unit, factor in units.items()}
    if found is None or found[2].lower() not in by_name:
        raise InvalidInput(f"{option} {text!r}: write a number and one of {', '.join(units)}, e.g. {example}.")
    return float(found[1]) * by_name[found[2].lower()]


def _row(game: CachedGame) -> dict[str, Any]:
    times = {name: _iso(getattr(game, name)) for name in ("created", "used")}
    return {**game.about, "values": game.values, "bytes": game.size, **times, "key": game.key}


def _iso(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _print_answers(remembered: list[Remembered], folder: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe, stdout
    from chiasm.models.remote.memory import FILE

    if not remembered:
        return
    console = stdout()
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column, right in (("model behind an API", 0), ("server", 0), ("answers", 1), ("size", 1), ("used", 1)):
        table.add_column(column, overflow="fold", justify="right" if right else "left")
    for one in remembered:
        numbers = (f"{one.answers:,}", _size(one.size), _ago(time.time() - one.used))
        table.add_row(*(Text(safe(cell)) for cell in (one.model, one.server, *numbers)))
    console.print(table)
    console.print(Text(safe(f"in {folder / FILE}"), style="dim"), soft_wrap=True)


def _print(games: list[CachedGame], size: int, path: Path) -> None:
    from rich.table import Table
    from rich.text import Text

    from chiasm.cli.terminal import safe, stdout

    console = stdout()
    if games:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for column, right in (("model", 0), ("explained", 0), ("players", 0), ("values", 1), ("size", 1), ("used", 1)):
            table.add_column(column, overflow="fold", justify="right" if right else "left")
        for game in games:
            players = game.about.get("players")
            counts = " + ".join(f"{n} {part}" for part, n in players.items()) if isinstance(players, dict) else ""
            words = (str(game.about.get(name, "")) for name in ("model", "target"))
            numbers = (f"{game.values:,}", _size(game.size), _ago(time.time() - game.used))
            table.add_row(*(Text(safe(cell)) for cell in (*words, counts, *numbers)))
        console.print(table)
    line = f"{_sum(games)}, {_size(size)}, in {path}"
    console.print(Text(safe(line), style="dim"), soft_wrap=True)


def _sum(games: list[CachedGame]) -> str:
    from chiasm.view.numerals import count

    return f"{count(len(games), 'game')} with {count(sum(game.values for game in games), 'value')}"


def _size(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def _ago(seconds: float) -> str:
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
