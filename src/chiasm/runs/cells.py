"""The unit of long work: a cell, whose result is a function of its key and of nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final, Protocol

from chiasm.core.content import digest
from chiasm.core.errors import ChiasmError
from chiasm.core.explanation import Explanation

#: table → rows, each a mapping column → value
Rows = Mapping[str, Sequence[Mapping[str, Any]]]

#: What ends a cell and not the run. Methods and models are other people's code and may raise any of Python's errors;
#: what is not among these (an interruption, an exit) ends the run, which can be resumed.
FAILURES: Final = (
    ChiasmError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    MemoryError,
    NameError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True, eq=False)
class Cell:
    """One piece of work.

    Attributes:
        key: everything that the result depends on, in JSON types: names, options, seeds, fingerprints of model, data
            and code. Two cells of one key have one result.
        group: what must be at hand to compute it (the model); cells of one group go to workers that hold it already.
    """

    key: Mapping[str, Any]
    group: str

    @cached_property
    def fingerprint(self) -> str:
        """Digest of the key: the cell's address in a store."""
        return digest(self.key)


@dataclass(frozen=True, eq=False)
class Task:
    """Cells of one group that are computed together, since they share something (the values of one sample's game).

    Attributes:
        cells: at least one.
        attempts: how often it was tried before.
    """

    cells: tuple[Cell, ...]
    attempts: int = 0

    @property
    def group(self) -> str:
        """The group of its cells."""
        return self.cells[0].group

    def without(self, done: set[str]) -> Task | None:
        """The same without the cells of these fingerprints; ``None`` if nothing is left."""
        left = tuple(cell for cell in self.cells if cell.fingerprint not in done)
        return replace(self, cells=left) if left else None

    def alone(self) -> list[Task]:
        """Each cell as a task, tried once more: the cell that ends a worker takes no other with it."""
        return [Task((cell,), self.attempts + 1) for cell in self.cells]


@dataclass(frozen=True, eq=False)
class Done:
    """A cell that has been computed or has failed.

    Attributes:
        cell: which.
        rows: what it adds to each table.
        explanations: name → explanation to be kept in files.
        error: why there is no result, as ``Type: words``; ``None`` if there is one.
        seconds: wall time.
        attempts: how often it was tried.
        worker: who computed it.
    """

    cell: Cell
    rows: Rows = field(default_factory=dict)
    explanations: Mapping[str, Explanation] = field(default_factory=dict)
    error: str | None = None
    seconds: float = 0.0
    attempts: int = 1
    worker: str = ""


#: computes the cells of a task with what a group has at hand, yielding each as soon as it is done
Holder = Callable[[Task], Iterable[Done]]


class Work(Protocol):
    """What is to be done with cells; picklable, since it goes to other processes and machines."""

    def open(self, group: str) -> Holder:
        """Get at hand what the cells of a group need, such as a model; done once a worker and group."""
        ...

    def failed(self, cell: Cell, error: str) -> Rows:
        """The rows that say that a cell failed, so that it does not vanish from the tables."""
        ...


def attempt(work: Work, cell: Cell, compute: Callable[[], Done]) -> Done:
    """What a computation gives, or that it failed, with its error and the time it took."""
    started = time.perf_counter()
    try:
        done = compute()
    except FAILURES as error:
        return failure(work, cell, in_words(error), time.perf_counter() - started)
    return replace(done, seconds=time.perf_counter() - started)


def failure(work: Work, cell: Cell, error: str, seconds: float = 0.0) -> Done:
    """A cell that failed."""
    return Done(cell, work.failed(cell, error), error=error, seconds=seconds)


def in_words(error: BaseException) -> str:
    """``"BudgetTooSmall: …"``: the type and the message."""
    return f"{type(error).__name__}: {error}".strip().removesuffix(":")


class Opened:
    """What a worker holds: one group at a time, opened when a task first needs it.

    Args:
        work: what is done.
        worker: how it is called in the store.
        ready: called with the group when one was opened.
    """

    def __init__(self, work: Work, worker: str, ready: Callable[[str], None] = lambda _: None) -> None:
        """Hold nothing."""
        self._work, self._worker, self._ready = work, worker, ready
        self._group: str | None = None
        self._holder: Holder | None = None
        self._refused: dict[str, str] = {}

    def perform(self, task: Task) -> Iterator[Done]:
        """Every cell of a task, done or failed. A group that cannot be opened fails each of its cells."""
        left = {cell.fingerprint: cell for cell in task.cells}
        error = self._open(task.group)
        if self._holder is not None:
            try:
                for done in self._holder(task):
                    left.pop(done.cell.fingerprint, None)
                    yield self._signed(done, task)
            except FAILURES as raised:  # outside of any one cell: what all of them share could not be made
                error = in_words(raised)
        for cell in left.values():
            missing = error or "ModelError: the work gave no result for this cell"
            yield self._signed(failure(self._work, cell, missing), task)

    def _signed(self, done: Done, task: Task) -> Done:
        return replace(done, worker=self._worker, attempts=task.attempts + 1)

    def _open(self, group: str) -> str:
        """Hold a group; why it cannot be held, or ``""``."""
        if group == self._group:
            return ""
        self._group, self._holder = None, None  # before the next is opened: two models may not fit the memory
        if group not in self._refused:
            try:
                self._holder = self._work.open(group)
            except FAILURES as raised:
                self._refused[group] = in_words(raised)
            else:
                self._group = group
                self._ready(group)
        return self._refused.get(group, "")
