"""Several processes on this machine: each holds a model, and one that dies is replaced."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from chiasm.core.errors import InvalidInput
from chiasm.runs.cells import Done, Opened, Task, Work, failure
from chiasm.runs.engines import EngineError, Queue, writer

#: environment variables by which libraries of arithmetic learn how many threads they may use
_THREADS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: workers that may end, one after another, before any has begun to work
_STILLBORN: Final = 3
_READY, _OPENED, _END = "ready", "opened", "end"


class Processes:
    """Several processes on this machine.

    Args:
        workers: how many; by default as many as this process may use cores.
        threads: threads of each one's arithmetic, see `chiasm.runs.engines.InProcess`.
        retries: how often a cell is tried again whose worker died.
        timeout: seconds after which a cell counts as stuck: its worker is ended, and the cell tried again or failed.
            The time in which its model is loaded does not count.
    """

    def __init__(
        self, workers: int | None = None, threads: int = 1, retries: int = 1, timeout: float | None = None
    ) -> None:
        """Check the numbers."""
        self.workers = _cores() if workers is None else workers
        if self.workers < 1 or threads < 1 or retries < 0 or (timeout is not None and timeout <= 0):
            raise InvalidInput(
                f"workers={workers}, threads={threads}, retries={retries}, timeout={timeout}: give at least 1 worker "
                f"and thread, 0 or more retries, and a timeout above 0 or none."
            )
        self._threads, self._retries, self._timeout = threads, retries, timeout

    def run(self, work: Work, tasks: Sequence[Task]) -> Generator[Done]:
        """See `chiasm.runs.engines.Engine.run`."""
        queue = Queue(tasks)
        crew: list[_Worker] = []
        stillborn = 0
        try:
            while queue or any(worker.task for worker in crew):
                while len(crew) < min(self.workers, len(queue) + sum(worker.task is not None for worker in crew)):
                    crew.append(_Worker(work, self._threads))
                self._hand_out(queue, crew)
                for worker in self._heard_from(crew):
                    try:
                        if (done := worker.hear()) is not None:
                            yield done
                    except (EOFError, OSError):
                        crew.remove(worker)
                        stillborn = 0 if worker.ready else stillborn + 1
                        if stillborn >= _STILLBORN:
                            raise EngineError(_NO_START) from None
                        yield from self._after(worker, work, queue)
        finally:
            for worker in crew:
                worker.end()

    def _hand_out(self, queue: Queue, crew: list[_Worker]) -> None:
        for worker in crew:
            if worker.task is None:
                held = Counter(other.group for other in crew if other is not worker and other.group)
                if (task := queue.take(worker.group, held)) is not None:
                    worker.give(task, self._timeout)

    def _heard_from(self, crew: list[_Worker]) -> list[_Worker]:
        """Workers that have something to say, a death included; the stuck ones are ended."""
        now = time.monotonic()
        stuck = [worker for worker in crew if worker.task and worker.deadline < now]
        for worker in stuck:
            worker.end(f"took more than {self._timeout:g} s")
        first = min((worker.deadline for worker in crew if worker.task), default=float("inf"))
        if stuck:
            return stuck
        said = wait([worker.pipe for worker in crew], None if first == float("inf") else max(0.0, first - now))
        return [worker for worker in crew if worker.pipe in said]

    def _after(self, worker: _Worker, work: Work, queue: Queue) -> Iterator[Done]:
        """What becomes of the cells that a dead worker had: each alone once more, or failed."""
        if worker.task is None:
            return
        if worker.task.attempts < self._retries:
            queue.put_back(worker.task.alone())
            return
        for cell in worker.task.cells:
            died = failure(work, cell, f"EngineError: the process that computed it {worker.fate()}")
            yield Done(**{**vars(died), "attempts": worker.task.attempts + 1, "worker": worker.name})


_NO_START: Final = (
    f"{_STILLBORN} worker processes ended before they began to work. If you call this from a script of yours, put the "
    f"call under `if __name__ == '__main__':`, since every worker reads the script again; else see what they wrote on "
    f"the terminal, and try the engine 'in-process'."
)


def _cores() -> int:
    """Cores that this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # Linux alone tells
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


class _Worker:
    """One process as its employer sees it."""

    def __init__(self, work: Work, threads: int) -> None:
        """Start it."""
        context = multiprocessing.get_context("spawn")  # a forked process would share the threads' locks of torch
        self.pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, work), daemon=True)
        with _environment(dict.fromkeys(_THREADS, str(threads))):
            self._process.start()
        theirs.close()
        self.name = f"{writer()}/{self._process.pid}"
        self.task: Task | None = None
        self.group: str | None = None
        self.ready = False
        self.deadline = float("inf")
        self._allowed: float | None = None
        self._ended = ""

    def give(self, task: Task, seconds: float | None) -> None:
        """Hand it a task. A process that died meanwhile is noticed when it is listened to."""
        loads = not self.ready or task.group != self.group  # that time is not the cell's
        self.task, self.group, self._allowed = task, task.group, seconds
        self._begin(seconds=None if loads else seconds)
        with suppress(OSError):
            self.pipe.send(task)

    def _begin(self, seconds: float | None) -> None:
        self.deadline = float("inf") if seconds is None else time.monotonic() + seconds

    def hear(self) -> Done | None:
        """The next thing it says.

        Raises:
            EOFError, OSError: it is dead.
        """
        said = self.pipe.recv()
        if said != _READY:
            self._begin(self._allowed)
        if isinstance(said, Done) and self.task is not None:
            left = self.task.without({said.cell.fingerprint})
            self.task = left if left is not None else Task((), self.task.attempts)  # not idle until it says so
            return said
        if said == _END:
            self.task = None
        self.ready = True
        return None

    def end(self, why: str = "") -> None:
        """End it at once."""
        self._ended = why
        self._process.kill()
        self._process.join()
        self.pipe.close()

    def fate(self) -> str:
        """How it died, in words."""
        self._process.join(timeout=5)
        code = self._process.exitcode
        if self._ended or code is None:
            return self._ended or "closed its connection"
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
        return f"was killed by signal {-code}"


def _serve(pipe: Connection[Any, Any], work: Work) -> None:
    """What a worker process does: tasks in, cells out, until its employer is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the employer is interrupted and ends its workers
    opened = Opened(work, writer(), lambda _: pipe.send(_OPENED))
    with suppress(EOFError, OSError):
        pipe.send(_READY)
        while True:
            for done in opened.perform(pipe.recv()):
                pipe.send(done)
            pipe.send(_END)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Environment variables for processes that are started within."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
