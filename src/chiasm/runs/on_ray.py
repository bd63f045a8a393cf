"""A Ray cluster, on this or on many machines: actors hold models, and whatever is lost with one is computed again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.runs.cells import Done, Opened, Task, Work, failure
from chiasm.runs.engines import EngineError, Queue, writer

#: seconds that the first actor may take to start
_PATIENCE: Final = 120.0
#: actors that may die, one after another, before any has begun to work
_STILLBORN: Final = 3


class OnRay:
    """Actors of a Ray cluster, each holding one model at a time.

    A task goes to an actor that holds its model if one is idle. No more tasks are under way than there are actors, so
    that nothing piles up. An actor that dies, with its process or with its machine, is replaced where there is room;
    its cells are tried again, each alone. As many actors work as the cluster has room for; the others join later.

    Args:
        workers: actors; by default as many as the cluster has room for.
        address: of a running cluster (``"auto"``, ``"ray://host:10001"``); ``None`` starts one on this machine, unless
            this process is connected already.
        cpus: processors that each actor needs of a machine.
        gpus: the same of its GPUs; parts of one are shared.
        threads: threads of each one's arithmetic, see `chiasm.runs.engines.InProcess`.
        retries: how often a cell is tried again whose actor died.

    Raises:
        MissingDependency: Ray is not installed.
        InvalidInput: numbers that make no sense.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        address: str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        threads: int = 1,
        retries: int = 2,
    ) -> None:
        """Check the numbers; the cluster is asked when there is work."""
        try:
            import ray
        except ImportError as error:
            raise MissingDependency("ray", "the engine 'ray'", "ray") from error
        if (workers is not None and workers < 1) or threads < 1 or retries < 0 or cpus < 0 or gpus < 0:
            raise InvalidInput(
                f"workers={workers}, threads={threads}, retries={retries}, cpus={cpus}, gpus={gpus}: give at least 1 "
                f"worker and thread, and nothing below 0."
            )
        self._ray, self._workers, self._address = ray, workers, address
        self._cpus, self._gpus, self._threads, self._retries = cpus, gpus, threads, retries

    def run(self, work: Work, tasks: Sequence[Task]) -> Generator[Done]:
        """See `chiasm.runs.engines.Engine.run`."""
        if not tasks:
            return
        ray, ours = self._ray, not self._ray.is_initialized()
        if ours:
            ray.init(address=self._address, log_to_driver=False, include_dashboard=False, configure_logging=False)
        try:
            yield from _Crew(self, work, Queue(tasks)).work()
        finally:
            if ours:
                ray.shutdown()

    def room(self) -> int:
        """Actors that the cluster has room for, now."""
        has = self._ray.cluster_resources()
        rooms = [int(has.get(name, 0.0) / need) for name, need in (("CPU", self._cpus), ("GPU", self._gpus)) if need]
        return max(1, min(rooms, default=1))

    def start(self, work: Any) -> Any:
        """A new actor; it waits in the cluster's queue until there is room for it."""
        threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self._threads))
        kind = self._ray.remote(
            num_cpus=self._cpus, num_gpus=self._gpus, max_restarts=0, runtime_env={"env_vars": threads}
        )(Holder)
        return kind.remote(work)


class Holder:
    """What an actor is: it holds a model and computes tasks."""

    def __init__(self, work: Work) -> None:
        """Hold nothing yet."""
        self._opened = Opened(work, writer())

    def ready(self) -> bool:
        """That it lives."""
        return True

    def perform(self, task: Task) -> list[Done]:
        """All cells of a task."""
        return list(self._opened.perform(task))


class _Crew:
    """The actors of a run, and what each is at."""

    def __init__(self, engine: OnRay, work: Work, queue: Queue) -> None:
        """Put the work where all actors find it."""
        self._engine, self._ray, self._work, self._queue = engine, engine._ray, work, queue  # noqa: SLF001
        self._shared = self._ray.put(work)
        self._wanted = engine._workers or engine.room()  # noqa: SLF001
        self._starting: dict[Any, Any] = {}  # promise of its first word → actor
        self._idle: list[Any] = []
        self._busy: dict[Any, tuple[Any, Task]] = {}  # promise of a result → actor, task
        self._group: dict[Any, str] = {}
        self._stillborn = 0

    def work(self) -> Iterator[Done]:
        """Compute everything."""
        try:
            while self._queue or self._busy:
                self._hire()
                self._hand_out()
                said, _ = self._ray.wait([*self._busy, *self._starting], num_returns=1, timeout=_PATIENCE)
                if not said and not self._busy and not self._idle:
                    raise EngineError(
                        f"No actor has started for {_PATIENCE:.0f} s: the cluster has "
                        f"{self._ray.available_resources()} to give. Ask for less (cpus, gpus), or add machines."
                    )
                for promise in said:
                    yield from self._hear(promise)
        finally:
            for actor in [*self._starting.values(), *self._idle, *(actor for actor, _ in self._busy.values())]:
                self._ray.kill(actor)

    def _hire(self) -> None:
        here = len(self._starting) + len(self._idle) + len(self._busy)
        for _ in range(min(self._wanted, len(self._queue) + len(self._busy)) - here):
            actor = self._engine.start(self._shared)
            self._starting[actor.ready.remote()] = actor

    def _hand_out(self) -> None:
        for actor in list(self._idle):
            held = Counter(group for other, group in self._group.items() if other != actor)
            task = self._queue.take(self._group.get(actor), held)
            if task is None:
                return
            self._idle.remove(actor)
            self._group[actor] = task.group
            self._busy[actor.perform.remote(task)] = (actor, task)

    def _hear(self, promise: Any) -> Iterator[Done]:
        """What a promise has become: an actor at work, results, or a death."""
        errors = self._ray.exceptions
        if (actor := self._starting.pop(promise, None)) is not None:
            try:
                self._ray.get(promise)
            except errors.RayError as error:
                self._stillborn += 1
                if self._stillborn >= _STILLBORN:
                    raise EngineError(f"{_STILLBORN} actors died before they began to work: {error}") from error
                return
            self._stillborn = 0
            self._idle.append(actor)
            return
        actor, task = self._busy.pop(promise)
        try:
            found: list[Done] = self._ray.get(promise)
        except errors.RayTaskError as error:  # not the cell's own fault: an exit, a result that cannot be sent
            self._idle.append(actor)
            yield from self._again(task, f"ended with {type(error.cause).__name__}: {error.cause}")
        except errors.RayError as error:
            self._group.pop(actor, None)
            self._ray.kill(actor)
            yield from self._again(task, f"died ({type(error).__name__})")
        else:
            self._idle.append(actor)
            yield from found

    def _again(self, task: Task, fate: str) -> Iterator[Done]:
        """Cells of a dead actor: each alone once more, or failed."""
        if task.attempts < self._engine._retries:  # noqa: SLF001
            self._queue.put_back(task.alone())
            return
        for cell in task.cells:
            died = failure(self._work, cell, f"EngineError: the actor that computed it {fate}")
            yield replace(died, attempts=task.attempts + 1)
