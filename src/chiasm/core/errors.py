"""Errors for people: the bad value, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ChiasmError(Exception):
    """Base of every error that Chiasm raises on purpose."""


class InvalidInput(ChiasmError, ValueError):
    """A value given by the user cannot be used; the message names the value and the remedy."""


class UnknownName(ChiasmError, LookupError):
    """A name that no registry, part or file answers to.

    Args:
        what: the kind of thing that was looked up, e.g. ``"estimator"``.
        name: the name as given.
        known: the names that exist.
    """

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        """Build the message, with a suggestion when a known name is close."""
        names = sorted(known)
        close = difflib.get_close_matches(name, names, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        super().__init__(f"Unknown {what} {name!r}.{hint} Known: {', '.join(names) or 'none'}.")
        self.what, self.name, self.known = what, name, names


class MissingCapability(ChiasmError):
    """A model adapter lacks what a method needs."""


class MissingDependency(ChiasmError, ImportError):
    """An optional package is not installed.

    Args:
        package: the package that is missing.
        purpose: what needed it, to end the sentence "… is needed for".
        extra: the extra of Chiasm that installs it.
    """

    def __init__(self, package: str, purpose: str, extra: str | None = None) -> None:
        """Build the message with the command that installs the package."""
        target = f"'chiasm[{extra}]'" if extra else package
        super().__init__(f"{package} is needed for {purpose} and is not installed. Run: pip install {target}")
        self.package = package


class BudgetTooSmall(ChiasmError, ValueError):
    """The budget cannot give one estimate; the message says the least that can."""


class SchemaError(ChiasmError, ValueError):
    """A saved file is not of a format that this version reads."""


class ModelError(ChiasmError, RuntimeError):
    """A model or its processor behaves in a way that would make the explanation false."""


class BudgetSpent(ChiasmError, RuntimeError):
    """A value function may give no more values; the estimate so far is the last."""
