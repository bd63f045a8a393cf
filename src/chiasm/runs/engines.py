"""Where cells are computed: in this process, in several, or on a cluster; the results are the same."""

from __future__ import annotations

import os
import platform
from collections import Counter, deque
from collections.abc import Generator, Sequence
from typing import Any, Protocol

from chiasm.core.errors import ChiasmError, InvalidInput, UnknownName
from chiasm.runs.cells import Done, Opened, Task, Work

#: name → one line; `engine` makes them
ENGINES = {
    "in-process": "one cell after another, here",
    "processes": "several processes on this machine",
    "ray": "actors of a Ray cluster, on this or many machines (extra: ray)",
}


class EngineError(ChiasmError, RuntimeError):
    """An engine cannot work at all; the message says why. What is done is in the store."""


class Engine(Protocol):
    """Computes cells."""

    def run(self, work: Work, tasks: Sequence[Task]) -> Generator[Done]:
        """Compute the cells of all tasks, each once; yields them as they are done, in any order.

        A cell that fails, or whose worker dies more often than the engine's retries, is yielded with its error. Closed
        before its end, it lets its workers go at once.

        Raises:
            EngineError: no worker can be started.
        """
        ...


def engine(name: str = "in-process", **options: Any) -> Engine:
    """An engine by name.

    Args:
        name: one of `ENGINES`.
        **options: of its class: `InProcess`, `chiasm.runs.processes.Processes`, `chiasm.runs.on_ray.OnRay`.

    Raises:
        UnknownName: there is none of that name.
        InvalidInput: an option that it does not have.
        MissingDependency: Ray is not installed.
    """
    if name not in ENGINES:
        raise UnknownName("engine", name, ENGINES)
    try:
        made: Engine = _kind(name)(**options)
    except TypeError as error:
        raise InvalidInput(f"The engine {name!r} cannot take {', '.join(options)}: {error}.") from error
    return made


def _kind(name: str) -> type[Any]:
    if name == "processes":
        from chiasm.runs.processes import Processes

        return Processes
    if name == "ray":
        from chiasm.runs.on_ray import OnRay

        return OnRay
    return InProcess


class InProcess:
    """One cell after another, in this process.

    Args:
        threads: threads of one cell's arithmetic. The last digits of a model's values depend on it, so that it is the
            same in every engine unless you say otherwise; ``None`` leaves it to the libraries.
    """

    def __init__(self, threads: int | None = 1) -> None:
        """Nothing is opened yet."""
        self._threads = threads

    def run(self, work: Work, tasks: Sequence[Task]) -> Generator[Done]:
        """See `Engine.run`."""
        from threadpoolctl import threadpool_limits

        opened = Opened(work, writer())
        queue = Queue(tasks)
        held: str | None = None
        while (task := queue.take(held)) is not None:
            held = task.group
            with threadpool_limits(self._threads):
                yield from opened.perform(task)


def writer() -> str:
    """This process, as the store calls it."""
    return f"{platform.node()}:{os.getpid()}"


class Queue:
    """Tasks that wait, by group: whoever holds a group gets more of it as long as there is any.

    Args:
        tasks: all there are.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Sort them by group, each group in the order given."""
        self._waiting: dict[str, deque[Task]] = {}
        for task in tasks:
            self._waiting.setdefault(task.group, deque()).append(task)

    def __len__(self) -> int:
        """Tasks that wait."""
        return sum(map(len, self._waiting.values()))

    def take(self, held: str | None, others: Counter[str] | None = None) -> Task | None:
        """The next task for a worker that holds a group; ``None`` if none waits.

        Args:
            held: the group that it holds.
            others: group → other workers that hold it: a group is opened where most work waits for each worker.
        """
        if held is None or not self._waiting.get(held):
            open_ = others or Counter()
            groups = [group for group, waiting in self._waiting.items() if waiting]
            held = max(groups, key=lambda g: len(self._waiting[g]) / (open_[g] + 1), default=None)
        return None if held is None else self._waiting[held].popleft()

    def put_back(self, tasks: Sequence[Task]) -> None:
        """Tasks that are to be tried again, last."""
        for task in tasks:
            self._waiting.setdefault(task.group, deque()).append(task)
