"""Work for tests: cheap functions of a key, that fail, die or wait when they are told to."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from chiasm.runs.cells import Cell, Done, Rows, Task, attempt

TABLES = {"squares": {"x": "whole", "square": "float", "error": "string"}}


def tasks(n: int, groups: int = 1, together: int = 1) -> list[Task]:
    """``n`` cells in tasks of ``together``."""
    cells = [Cell({"x": x, "code": "1"}, f"g{x * groups // max(n, 1)}") for x in range(n)]
    split = [cells[k : k + together] for k in range(0, n, together)]
    return [Task(tuple(several)) for several in split]


@dataclass(frozen=True)
class Squares:
    """Squares of numbers.

    Attributes:
        fails: numbers whose cells raise.
        kills: numbers whose cells kill their process, as often as said.
        folder: where it is noted that a group was opened, and that a process was killed.
        naps: number → seconds that its cell takes.
    """

    fails: tuple[int, ...] = ()
    kills: dict[int, int] = field(default_factory=dict)
    folder: Path | None = None
    naps: dict[int, float] = field(default_factory=dict)
    refused: str = ""

    def open(self, group: str):
        if group == self.refused:
            raise OSError("no such model")
        if self.folder is not None:
            (self.folder / f"opened-{group}-{os.getpid()}-{time.time_ns()}").touch()
        return self.compute

    def compute(self, task: Task) -> Iterator[Done]:
        for cell in task.cells:
            yield attempt(self, cell, lambda cell=cell: self.one(cell))

    def one(self, cell: Cell) -> Done:
        x = cell.key["x"]
        if self.folder is not None and len(list(self.folder.glob(f"killed-{x}-*"))) < self.kills.get(x, 0):
            (self.folder / f"killed-{x}-{time.time_ns()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.naps.get(x, 0.0))
        if x in self.fails:
            raise ZeroDivisionError(f"no square of {x}")
        noise = float(np.random.default_rng(x).normal())  # a function of the key, with all its digits
        return Done(cell, {"squares": [{"x": x, "square": x * x + noise}]})

    def failed(self, cell: Cell, error: str) -> Rows:
        return {"squares": [{"x": cell.key["x"], "square": float("nan"), "error": error}]}
