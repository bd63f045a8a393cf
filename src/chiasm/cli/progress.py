"""The progress bar: values done, values per second, time left. Silent where nobody looks."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeRemainingColumn
from rich.table import Column
from rich.text import Text

from chiasm.cli.terminal import safe, stderr


class _Values(ProgressColumn):
    """``512/1024 values · 83/s``."""

    def render(self, task: Task) -> Text:
        """The text for one state."""
        if not task.completed:
            return Text("")
        total = f"/{task.total:.0f}" if task.total else ""
        speed = f" · {task.speed:.0f}/s" if task.speed else ""
        return Text(f"{task.completed:.0f}{total} values{speed}", style="progress.percentage")


class Bar:
    """A progress bar on stderr; call it with values done, budget and a note.

    Args:
        quiet: never show anything.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        """Prepare the bar; it appears on entering."""
        console = stderr()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis"), markup=False),
            BarColumn(bar_width=None, table_column=Column(ratio=1)),
            _Values(table_column=Column(no_wrap=True)),
            TimeRemainingColumn(compact=True),
            console=console,
            transient=True,
            expand=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None)

    def __enter__(self) -> Self:
        """Show it."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take it away."""
        self._progress.stop()

    def __call__(self, done: int, budget: int | None, note: str) -> None:
        """Show a state.

        Args:
            done: values computed.
            budget: values that may be computed, if there is a limit.
            note: what is going on.
        """
        self._progress.update(
            self._task, completed=done, total=budget if done else None, description=safe(note) or "explaining"
        )
