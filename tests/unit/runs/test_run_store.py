"""The store: what is written is read once, whatever happens to the writer."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from works import TABLES, Squares, tasks

from chiasm.core.errors import InvalidInput, SchemaError
from chiasm.core.explanation import Explanation
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.runs import parts
from chiasm.runs.carry_out import carry_out, missing
from chiasm.runs.cells import Cell, Done
from chiasm.runs.engines import InProcess
from chiasm.runs.store import Store


def done(x: int, **more) -> Done:
    return Done(Cell({"x": x}, "g"), {"squares": [{"x": x, "square": x**2}]}, **more)


def test_rows_come_back_as_they_were(tmp_path):
    store = Store(tmp_path / "run", TABLES, {"who": "me"})
    store.add(Done(Cell({"x": 3, "b": [1, "é"]}, "g"), {"squares": [{"x": 3, "square": float("nan"), "error": "e"}]}))
    store.flush()
    again = Store(tmp_path / "run")
    row = again.table("squares").iloc[0]
    assert (row["x"], row["error"], np.isnan(row["square"])) == (3, "e", True)
    cell = again.table("cells").iloc[0]
    assert json.loads(cell["key"]) == {"x": 3, "b": [1, "é"]}
    assert row["cell"] == cell["cell"] == Cell({"b": [1, "é"], "x": 3}, "other").fingerprint
    assert again.about == {"who": "me"}
    assert again.done() == {cell["cell"]}


def test_an_empty_store_has_its_tables(tmp_path):
    store = Store(tmp_path / "run", TABLES)
    assert list(store.table("squares")) == ["cell", "line", "x", "square", "error"]
    assert store.done() == set()


def test_rows_of_a_cell_that_is_not_done_are_not_read(tmp_path):
    """A writer that is killed between the rows and the cell's line."""
    store = Store(tmp_path / "run", TABLES)
    store.add(done(1))
    store.add(done(2))
    store.flush()
    for file in (tmp_path / "run/results/cells").glob("*"):
        file.unlink()
    assert len(store.table("squares")) == 0
    store.add(done(1))
    assert store.table("squares")["x"].tolist() == [1]


def test_two_attempts_at_a_cell_are_read_as_one(tmp_path):
    one, two = Store(tmp_path / "run", TABLES), Store(tmp_path / "run", TABLES)
    for store in (one, two):
        for x in range(5):
            store.add(done(x))
        store.flush()
    assert sorted(one.table("squares")["x"]) == list(range(5))
    one.compact()
    assert sorted(two.table("squares")["x"]) == list(range(5))


def test_a_result_counts_more_than_a_failure(tmp_path):
    store = Store(tmp_path / "run", TABLES)
    store.add(Done(Cell({"x": 1}, "g"), {"squares": [{"x": 1, "error": "E: no"}]}, error="E: no"))
    store.flush()
    assert store.done(failed=False) == set()
    store.add(done(1))
    assert store.table("squares")["square"].tolist() == [1.0]
    store.add(Done(Cell({"x": 1}, "g"), {}, error="E: later"))
    assert store.query("SELECT error FROM cells")["error"].isna().all()


def test_a_crash_while_files_are_made_one(tmp_path):
    """Rows that stand in the large file and in the small ones are read once."""
    store = Store(tmp_path / "run", TABLES)
    for x in range(4):
        store.add(done(x))
        store.flush()
    folder = tmp_path / "run/results/squares"
    kept = {path: path.read_bytes() for path in folder.glob("*.parquet")}
    store.compact()
    assert len(list(folder.glob("*.parquet"))) == 1
    for path, data in kept.items():
        path.write_bytes(data)
    assert sorted(store.table("squares")["x"]) == list(range(4))


def test_half_written_files_are_not_read_and_swept_away(tmp_path):
    store = Store(tmp_path / "run", TABLES)
    store.add(done(1))
    store.flush()
    half = tmp_path / "run/results/squares/.part-1.parquet.abc"
    half.write_bytes(b"PAR1 half")
    os.utime(half, (1, 1))
    assert len(store.table("squares")) == 1
    store.compact()
    assert not half.exists()


def test_many_small_files_become_one(tmp_path, monkeypatch):
    monkeypatch.setattr("chiasm.runs.store._MANY", 10)
    store = Store(tmp_path / "run", TABLES)
    for x in range(25):
        store.add(done(x))
        store.flush()
    files = list((tmp_path / "run/results/cells").glob("*"))
    assert len(files) == 2 + 5
    assert sorted(store.table("squares")["x"]) == list(range(25))


def test_many_large_files_become_one(tmp_path, monkeypatch):
    monkeypatch.setattr("chiasm.runs.parts._PACKS", 3)
    store = Store(tmp_path / "run", TABLES)
    for x in range(8):
        store.add(done(x))
        store.flush()
        if x % 2:
            store.compact()
    assert len(list((tmp_path / "run/results/cells").glob("*"))) == 1
    assert sorted(store.table("squares")["x"]) == list(range(8))


def test_readers_and_writers_at_once(tmp_path, monkeypatch):
    """A reader never sees a row twice or an error while two writers write and make files one."""
    monkeypatch.setattr("chiasm.runs.store._MANY", 3)
    Store(tmp_path / "run", TABLES)
    failures: list[BaseException] = []

    def write(first: int) -> None:
        store = Store(tmp_path / "run")
        try:
            for x in range(first, first + 30):
                store.add(done(x))
                store.flush()
        except BaseException as error:
            failures.append(error)
            raise

    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 100)]
    for thread in writers:
        thread.start()
    reader = Store(tmp_path / "run")
    while any(thread.is_alive() for thread in writers):
        seen = reader.table("squares")["x"]
        assert seen.is_unique
    assert failures == []
    assert sorted(reader.table("squares")["x"]) == [*range(30), *range(100, 130)]


def test_explanations_are_kept_in_files(tmp_path):
    store = Store(tmp_path / "run", TABLES)
    players = Players.abstract({"a": 2, "b": 1})
    explanation = Explanation(players, np.array([1.0, 2.0, 0.1 + 0.2]), Provenance("m", "SV"))
    store.add(Done(Cell({"x": 1}, "g"), explanations={"a name: of any/form": explanation}))
    store.flush()
    assert np.array_equal(store.explanation("a name: of any/form").single, explanation.single)
    with pytest.raises(InvalidInput, match="no file"):
        store.explanation("another")


def test_small_cells_are_written_together_and_long_ones_at_once(tmp_path, monkeypatch):
    store = Store(tmp_path / "run", TABLES)
    clock = [0.0]
    monkeypatch.setattr("chiasm.runs.store.time.monotonic", lambda: clock[0])
    store._next_write = 0.0
    real = parts.write
    monkeypatch.setattr("chiasm.runs.parts.write", lambda *a: (clock.__setitem__(0, clock[0] + 0.01), real(*a))[1])
    cells = tmp_path / "run/results/cells"
    store.add(done(0))
    assert len(list(cells.glob("*"))) == 1  # the first at once: it took 0.02
    for x in range(1, 11):
        clock[0] += 0.01
        store.add(done(x))
    assert len(list(cells.glob("*"))) == 1  # less than 20 times that has passed
    clock[0] += 1.0
    store.add(done(99))
    assert len(list(cells.glob("*"))) == 2
    assert len(store.table("squares")) == 12


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda f: Store(f / "none"), "no run in"),
        (lambda f: Store(f / "run", {"other": {"x": "whole"}}), "other tables"),
        (lambda f: Store(f, TABLES), "holds something else"),
        (lambda f: Store(f / "new", {"cells": {}}), "cannot be kept"),
        (lambda f: Store(f / "new", {"a": {"x": "int"}}), "choose of string, float"),
        (lambda f: Store(f / "run").table("what"), "squares, cells"),
        (lambda f: Store(f / "run").query("SELEC 1"), "cannot be answered"),
        (lambda f: Store(f / "run").query("SELECT a FROM cells"), "cannot be answered"),
    ],
)
def test_wrong_use_is_told(tmp_path, make, match):
    Store(tmp_path / "run", TABLES)
    with pytest.raises(InvalidInput, match=match):
        make(tmp_path)


def test_a_row_that_does_not_fit_is_told(tmp_path):
    store = Store(tmp_path / "run", TABLES)
    store._held = [Done(Cell({"x": 1}, "g"), {"squares": [{"y": 1}]})]
    with pytest.raises(InvalidInput, match="no column 'y'"):
        store.flush()
    store._held = [Done(Cell({"x": 1}, "g"), {"squares": [{"x": "three"}]})]
    with pytest.raises(InvalidInput, match="cannot be kept"):
        store.flush()
    store._held = []


def test_a_newer_format_is_refused(tmp_path):
    Store(tmp_path / "run", TABLES)
    file = tmp_path / "run/run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "version": 9}))
    with pytest.raises(SchemaError, match="upgrade"):
        Store(tmp_path / "run")
    file.write_text("{")
    with pytest.raises(SchemaError, match="damaged"):
        Store(tmp_path / "run")


def run_until_killed(folder: str, wanted: int) -> None:
    work = Squares(naps=dict.fromkeys(range(wanted), 0.01), fails=(7, 20))
    carry_out(Store(folder), work, tasks(wanted, groups=3, together=4), InProcess())


def test_killed_twenty_times_and_resumed_gives_the_rows_of_an_uninterrupted_run(tmp_path):
    """Kill -9 at random moments; what is there at the end is exactly what one run gives."""
    wanted, rng = 120, np.random.default_rng(5)
    whole = Store(tmp_path / "whole", TABLES)
    carry_out(whole, Squares(fails=(7, 20)), tasks(wanted, groups=3, together=4), InProcess())
    Store(tmp_path / "killed", TABLES)
    context = multiprocessing.get_context("fork")
    kills, seen = 0, 0
    for _ in range(20):
        process = context.Process(target=run_until_killed, args=(str(tmp_path / "killed"), wanted))
        process.start()
        process.join(timeout=float(rng.uniform(0.02, 0.25)))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
        now = len(Store(tmp_path / "killed").done())
        assert now >= seen  # nothing that was done is lost
        seen = now
    assert kills >= 5
    killed = Store(tmp_path / "killed")
    tally = carry_out(killed, Squares(fails=(7, 20)), tasks(wanted, groups=3, together=4), InProcess())
    assert tally.before == seen
    a, b = whole.table("squares"), killed.table("squares")
    assert a.equals(b)
    assert a["error"].notna().sum() == 2
    columns = ["cell", "work_group", "key", "error"]
    assert whole.table("cells")[columns].equals(killed.table("cells")[columns])


def test_a_second_run_computes_only_what_is_missing(tmp_path):
    store = Store(tmp_path / "run", TABLES)
    first = carry_out(store, Squares(fails=(2,)), tasks(10), InProcess())
    assert (first.before, first.done, first.failed, first.left) == (0, 10, 1, 0)
    assert first.last == "ZeroDivisionError: no square of 2"
    assert missing(store, tasks(10)) == []
    more = carry_out(store, Squares(), tasks(12), InProcess())
    assert (more.before, more.done) == (10, 2)
    again = carry_out(store, Squares(), tasks(12), InProcess(), retry_failed=True)
    assert (again.before, again.done, again.failed) == (11, 1, 0)
    assert store.table("squares")["error"].notna().sum() == 0


def test_an_interruption_keeps_what_is_done(tmp_path):
    store = Store(tmp_path / "run", TABLES)

    def stop(tally, _done):
        if tally.done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        carry_out(store, Squares(), tasks(10), InProcess(), progress=stop)
    assert len(Store(tmp_path / "run").done()) == 5


def test_memory_is_flat_over_ten_thousand_cells(tmp_path):
    """What is held after 2,000 cells is held after 10,000: results go to the disk and are let go."""
    import tracemalloc

    store, sizes = Store(tmp_path / "run", TABLES), []

    def look(tally, _done):
        if tally.done in (2000, 10_000):
            sizes.append(tracemalloc.get_traced_memory()[0])

    everything = tasks(10_000, groups=3, together=10)
    for task in everything:
        for cell in task.cells:
            _ = cell.fingerprint
    tracemalloc.start()
    started = time.process_time()
    try:
        carry_out(store, Squares(), everything, InProcess(), progress=look)
    finally:
        tracemalloc.stop()
    assert len(sizes) == 2
    assert sizes[1] - sizes[0] < 2 * 2**20
    assert time.process_time() - started < 60
    assert len(store.done()) == 10_000
