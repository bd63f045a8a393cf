"""Engines: the same numbers everywhere, and nothing lost with a worker."""

from __future__ import annotations

import os
import sys
from collections import Counter
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from works import TABLES, Squares, tasks

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.runs.carry_out import carry_out
from chiasm.runs.engines import EngineError, InProcess, Queue, engine
from chiasm.runs.processes import Processes
from chiasm.runs.store import Store


def test_the_queue_keeps_a_worker_at_its_group():
    queue = Queue(tasks(6, groups=2))
    first = queue.take(None)
    assert first.group == "g0"
    assert queue.take(None, Counter({"g0": 1})).group == "g1"  # three of g1 for nobody, two of g0 for one
    assert [queue.take("g0").group for _ in range(3)] == ["g0", "g0", "g1"]
    assert len(queue) == 1
    assert queue.take("g1").group == "g1"
    assert queue.take("g1") is None


def test_a_model_is_opened_once(tmp_path):
    run = list(InProcess().run(Squares(folder=tmp_path), tasks(12, groups=3, together=2)))
    assert len(run) == 12
    assert sorted(path.name[:9] for path in tmp_path.iterdir()) == ["opened-g0", "opened-g1", "opened-g2"]


def test_a_model_that_cannot_be_opened_fails_its_cells_and_no_others():
    run = list(InProcess().run(Squares(refused="g1"), tasks(9, groups=3)))
    assert [done.error for done in run if done.cell.group == "g1"] == ["OSError: no such model"] * 3
    assert all(done.error is None for done in run if done.cell.group != "g1")


def test_what_a_task_leaves_out_has_failed():
    class Lazy(Squares):
        def compute(self, task):
            yield from list(super().compute(task))[:1]
            if task.cells[0].key["x"]:
                raise ValueError("the rest could not be prepared")

    run = {done.cell.key["x"]: done for done in InProcess().run(Lazy(), tasks(4, together=2))}
    assert run[1].error == "ModelError: the work gave no result for this cell"
    assert run[3].error == "ValueError: the rest could not be prepared"
    assert run[3].rows["squares"][0]["error"] == run[3].error
    assert run[0].error is run[2].error is None


def test_worker_counts_give_the_same_numbers(tmp_path):
    tables = []
    for name, how in (("one", InProcess()), ("two", Processes(2)), ("three", Processes(3))):
        store = Store(tmp_path / name, TABLES)
        tally = carry_out(store, Squares(fails=(3,)), tasks(30, groups=2, together=3), how)
        assert (tally.done, tally.failed) == (30, 1)
        tables.append(store.table("squares"))
    assert tables[0].equals(tables[1])
    assert tables[0].equals(tables[2])


def test_a_worker_that_is_killed_is_replaced(tmp_path):
    """Killed once: tried again and done. Killed always: failed, with its cause, and no other cell with it."""
    work = Squares(kills={4: 1, 9: 99}, folder=tmp_path)
    run = {done.cell.key["x"]: done for done in Processes(2, retries=1).run(work, tasks(16, groups=2, together=4))}
    assert len(run) == 16
    assert run[4].error is None
    assert run[4].attempts == 2
    assert run[9].error == "EngineError: the process that computed it was killed by SIGKILL"
    assert [x for x, done in run.items() if done.error] == [9]
    assert run[0].attempts == 1


def test_a_stuck_cell_is_ended():
    work = Squares(naps={1: 60.0})
    run = {done.cell.key["x"]: done for done in Processes(1, retries=0, timeout=1.0).run(work, tasks(3))}
    assert run[1].error == "EngineError: the process that computed it took more than 1 s"
    assert [x for x, done in run.items() if done.error] == [1]


def test_workers_that_cannot_start_are_told():
    class Unknown(Squares):  # cannot be found by another process
        def __reduce__(self):
            return (exec, ("raise SystemExit(3)",))

    with pytest.raises(EngineError, match="if __name__ == '__main__'"):
        list(Processes(1).run(Unknown(), tasks(2)))


def test_workers_go_when_a_run_is_left(tmp_path):
    """An error of whoever listens ends the workers at once, not when somebody collects the garbage."""
    pids = []

    def stop(tally, done):
        if done is not None:
            pids.append(int(done.worker.split(":")[1].split("/")[0]))
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as held:  # which holds the frames, and with them the generator
        carry_out(Store(tmp_path / "run", TABLES), Squares(naps={1: 60.0}), tasks(3), Processes(1), progress=stop)
    assert held
    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


@pytest.mark.parametrize("options", [{"workers": 0}, {"retries": -1}, {"timeout": 0}, {"threads": 0}])
def test_wrong_numbers_are_refused(options):
    with pytest.raises(InvalidInput, match="give at least 1 worker"):
        engine("processes", **options)


def test_engines_by_name():
    assert isinstance(engine(), InProcess)
    assert engine("processes", workers=3).workers == 3
    with pytest.raises(UnknownName, match="in-process"):
        engine("process")
    with pytest.raises(InvalidInput, match="cannot take nodes"):
        engine("processes", nodes=3)
