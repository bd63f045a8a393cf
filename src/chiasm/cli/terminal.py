"""What is written to a terminal: safe in pipes, narrow windows, terminals without Unicode, and with hostile texts."""

from __future__ import annotations

import codecs
import sys
import unicodedata

from rich.console import Console
from rich.text import Text

from chiasm.core.errors import ChiasmError

#: what a terminal without Unicode shows instead; a minus must never become something else
_PLAIN = {
    "−": "-",
    "–": "-",
    "±": "+/-",
    "“": '"',
    "”": '"',
    "’": "'",
    "…": "...",
    "·": "-",
    "\u202f": " ",
    "\u00a0": " ",
}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_PLAIN.get(c, "?") for c in error.object[error.start : error.end]), error.end


codecs.register_error("chiasm-plainly", _plainly)


def stdout() -> Console:
    """Where results go."""
    return _console(stderr=False)


def stderr() -> Console:
    """Where progress and errors go, so that they never end up in a pipe."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    encoding = (getattr(stream, "encoding", None) or "utf-8").lower()
    if not encoding.startswith("utf") and hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="chiasm-plainly")
    return Console(stderr=stderr, highlight=False)


def unicode(console: Console) -> bool:
    """Whether block characters can be shown."""
    return console.encoding.lower().startswith("utf")


def safe(text: str) -> str:
    """A text without control characters: an answer of a model must not be able to steer the terminal."""
    return "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text)


def say_error(error: ChiasmError | OSError) -> None:
    """An error in words on stderr."""
    lines = "\n".join(safe(line) for line in str(error).splitlines())
    stderr().print(Text.assemble(("Error: ", "bold red"), lines), soft_wrap=True)
