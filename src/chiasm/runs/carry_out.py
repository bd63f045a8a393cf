"""Compute what a store lacks, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

from chiasm.runs.cells import Done, Task, Work
from chiasm.runs.engines import Engine
from chiasm.runs.store import Store


@dataclass
class Tally:
    """How far a run is.

    Attributes:
        cells: all cells that are wanted.
        before: those that the store had already.
        done: those computed now, failures included.
        failed: of these, the failures.
        seconds: wall time since the start.
        last: the last error, if there was one.
    """

    cells: int
    before: int = 0
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    last: str | None = None

    @property
    def left(self) -> int:
        """Cells that are still to be computed."""
        return self.cells - self.before - self.done


def missing(store: Store, tasks: Sequence[Task], *, retry_failed: bool = False) -> list[Task]:
    """The tasks without the cells that a store has."""
    done = store.done(failed=not retry_failed)
    return [left for task in tasks if (left := task.without(done)) is not None]


def carry_out(
    store: Store,
    work: Work,
    tasks: Sequence[Task],
    engine: Engine,
    *,
    retry_failed: bool = False,
    progress: Callable[[Tally, Done | None], None] = lambda _tally, _done: None,
) -> Tally:
    """Compute the cells that a store lacks and write each as soon as it is done.

    Args:
        store: where the results are and go. Whoever is killed loses the cells in flight; the rest is done already.
        work: what is done with a cell.
        tasks: all that is wanted.
        engine: where.
        retry_failed: whether cells that failed are computed again.
        progress: called at the start, and after each cell.
    """
    started = time.monotonic()
    left = missing(store, tasks, retry_failed=retry_failed)
    wanted = sum(len(task.cells) for task in tasks)
    tally = Tally(wanted, before=wanted - sum(len(task.cells) for task in left))
    progress(tally, None)
    with store, closing(engine.run(work, left)) as computed:
        for done in computed:
            store.add(done)
            tally.done += 1
            if done.error is not None:
                tally.failed, tally.last = tally.failed + 1, done.error
            tally.seconds = time.monotonic() - started
            progress(tally, done)
    store.compact()
    return tally
