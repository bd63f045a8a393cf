"""The command ``chiasm``. Only typer is imported here: everything heavy waits until a command needs it."""

from __future__ import annotations

import os
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from chiasm.cli.audit import audit
from chiasm.cli.bench import bench
from chiasm.cli.cache import cache
from chiasm.cli.doctor import doctor
from chiasm.cli.evaluate import evaluate
from chiasm.cli.explain import explain
from chiasm.cli.export import export
from chiasm.cli.list_command import list_things
from chiasm.cli.serve import serve
from chiasm.cli.view import view
from chiasm.core.errors import ChiasmError


class Commands(TyperGroup):
    """The group of all commands; an error made for people is shown to people, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command.

        Raises:
            Exit: with code 2 after an error in words.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader of our output has gone: typer ends quietly
        except (ChiasmError, OSError) as error:
            if ctx.params.get("debug") or os.environ.get("CHIASM_DEBUG", "") not in ("", "0"):
                raise
            from chiasm.cli.terminal import say_error

            say_error(error)
            raise typer.Exit(2) from error


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("explain")(explain)
app.command("evaluate")(evaluate)
app.command("audit")(audit)
app.command("view")(view)
app.command("doctor")(doctor)
app.command("export")(export)
app.command("list")(list_things)
app.command("serve")(serve)
app.add_typer(bench, name="bench")
app.add_typer(cache, name="cache")


def _print_version(*, wanted: bool) -> None:
    if wanted:
        from chiasm import __version__

        typer.echo(f"chiasm {__version__}")
        raise typer.Exit


@app.callback()
def chiasm(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks, as CHIASM_DEBUG=1 does.")] = False,
) -> None:
    """What a multimodal model takes from each of its inputs, what only from their combination, and is that true?"""


def run() -> None:
    """Entry point. Exit codes: 0 done, 1 a check failed, 2 the input cannot be used, 130 interrupted."""
    app(prog_name="chiasm")
