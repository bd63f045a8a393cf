"""Names → things, with lazy imports, entry points and errors that list what exists.

A thing is registered either as the object itself or as the string ``"module:attribute"``, which is imported
when first asked for, so that listing names stays instant. Other packages add things by an entry point in the
registry's group and need not touch this package.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar, cast

from chiasm.core.errors import InvalidInput, UnknownName

T = TypeVar("T")


@dataclass
class Entry:
    """One registered name.

    Attributes:
        target: the object, or ``"module:attribute"``.
        summary: one line for ``chiasm list``.
        info: further columns for ``chiasm list``.
    """

    target: Any
    summary: str = ""
    info: dict[str, str] = field(default_factory=dict)


class Registry(Generic[T]):
    """A table of names of one kind.

    Args:
        what: the noun for error messages, e.g. ``"estimator"``.
        group: entry-point group that third-party packages may use, or ``None``.
    """

    def __init__(self, what: str, group: str | None = None) -> None:
        """Start empty; entry points are read at the first look-up."""
        self.what = what
        self.group = group
        self._entries: dict[str, Entry] = {}
        self._scanned = group is None

    def register(self, name: str, target: T | str, summary: str = "", **info: str) -> None:
        """Add a name.

        Raises:
            InvalidInput: the name is taken by something else.
        """
        old = self._entries.get(name)
        if old is not None and old.target != target:
            raise InvalidInput(f"The {self.what} name {name!r} is already registered; choose another name.")
        self._entries[name] = Entry(target, summary, dict(info))

    def get(self, name: str) -> T:
        """The thing behind a name.

        Raises:
            UnknownName: nothing is registered under that name.
        """
        self._scan()
        if name not in self._entries:
            raise UnknownName(self.what, name, self._entries)
        entry = self._entries[name]
        if isinstance(entry.target, str):
            module, _, attribute = entry.target.partition(":")
            entry.target = getattr(importlib.import_module(module), attribute)
        return cast("T", entry.target)

    def entries(self) -> dict[str, Entry]:
        """All names with their entries, sorted; nothing is imported."""
        self._scan()
        return dict(sorted(self._entries.items()))

    def __contains__(self, name: object) -> bool:
        """Whether the name is registered."""
        self._scan()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """The names, sorted."""
        return iter(self.entries())

    def _scan(self) -> None:
        if self._scanned or self.group is None:
            return
        self._scanned = True
        for point in entry_points(group=self.group):
            origin = point.dist.name if point.dist is not None else "?"
            self._entries.setdefault(point.name, Entry(point.value, f"from {origin}"))


#: Turns an explanation into something to look at. Filled by ``chiasm.view``; here so that
#: ``Explanation.to_html`` can find it without ``core`` importing ``view``.
views: Registry[Any] = Registry("view")
views.register("html", "chiasm.view.html:write_html", "self-contained page")
views.register("comparison", "chiasm.view.comparison:write_comparison", "several methods on one page")
views.register("audit", "chiasm.view.audit:write_audit", "report of an audit")
views.register("leaderboard", "chiasm.view.leaderboard:write_leaderboard", "leader board of a benchmark")
views.register("folder", "chiasm.view.folder:write_folder", "gallery of a folder of explanations")
views.register("picture", "chiasm.view.figure:write_picture", "figure as a PNG, SVG or PDF file")
views.register("figure", "chiasm.view.figure:draw", "matplotlib figure")
views.register("notebook", "chiasm.view.notebook:show", "page in a notebook cell")
