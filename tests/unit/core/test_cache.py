"""The value cache on disk: exact, atomic, shared by processes, and harmless when the file is not what it should be."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from chiasm.core import cache as module
from chiasm.core.cache import FILE, CacheError, DamagedCache, ValueCache, chosen_folder, user_folder
from chiasm.core.errors import InvalidInput
from chiasm.core.game import Game
from chiasm.core.players import Players


def games_of(n, count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, n)) < 0.5, rng.standard_normal(count) * 10.0 ** rng.integers(-300, 300, count)


def remember(folder, key, coalitions, values):
    with ValueCache(folder) as cache:
        game = cache.values(key, coalitions.shape[1])
        game.put(coalitions, values)
        game.flush()


def recall(folder, key, coalitions):
    with ValueCache(folder, create=False) as cache:
        return cache.values(key, coalitions.shape[1]).get(coalitions)


# ---- what is put in comes out


@pytest.mark.parametrize("n", [1, 7, 8, 9, 57, 300])
def test_values_come_back_exactly(tmp_path, n):
    coalitions, values = games_of(n, min(200, 2**n))
    _, first = np.unique(coalitions, axis=0, return_index=True)
    coalitions, values = coalitions[first], values[first]
    values[0] = -0.0
    remember(tmp_path, "a", coalitions, values)
    again = recall(tmp_path, "a", coalitions[::-1])[::-1]
    assert again.tobytes() == values.tobytes()


def test_what_is_not_known_is_nan(tmp_path):
    remember(tmp_path, "a", np.eye(3, dtype=bool), np.arange(3.0))
    asked = np.array([[1, 1, 0], [0, 1, 0]], bool)
    assert np.array_equal(recall(tmp_path, "a", asked), [np.nan, 1.0], equal_nan=True)


def test_games_share_nothing(tmp_path):
    remember(tmp_path, "a", np.eye(3, dtype=bool), np.arange(3.0))
    assert np.isnan(recall(tmp_path, "b", np.eye(3, dtype=bool))).all()


def test_the_first_value_stays(tmp_path):
    for value in (1.0, 2.0):
        remember(tmp_path, "a", np.ones((1, 3), bool), np.array([value]))
    assert recall(tmp_path, "a", np.ones((1, 3), bool)) == 1.0


def test_what_is_put_is_known_before_it_is_written(tmp_path):
    with ValueCache(tmp_path) as cache:
        game = cache.values("a", 3)
        game.put(np.eye(3, dtype=bool), np.arange(3.0))
        assert game.unwritten
        assert game.get(np.eye(3, dtype=bool)).tolist() == [0, 1, 2]
        game.flush()
        assert not game.unwritten


def test_coalitions_of_another_number_of_players_are_refused(tmp_path):
    with ValueCache(tmp_path) as cache, pytest.raises(InvalidInput, match="has 3 players"):
        cache.values("a", 3).get(np.ones((1, 4), bool))


def test_a_game_with_a_memory_calls_the_function_for_the_rest(tmp_path):
    asked = []

    def values(coalitions):
        asked.extend(map(tuple, coalitions.tolist()))
        return coalitions @ np.arange(1.0, 6)

    rows, _ = games_of(5, 40)
    for half in (rows[:10], rows):
        with ValueCache(tmp_path) as cache:
            memory = cache.values("a", 5)
            found = Game(values, Players.abstract({"a": 3, "b": 2}), memory=memory, batch_size=4)(half)
            memory.flush()
        assert found.tolist() == (half @ np.arange(1.0, 6)).tolist()
    assert sorted(asked) == sorted(set(map(tuple, rows.tolist())))


def test_a_large_batch_takes_milliseconds(tmp_path):
    coalitions, values = games_of(57, 2048)
    seconds = []
    for repeat in range(5):
        with ValueCache(tmp_path) as cache:
            game = cache.values(f"game {repeat}", 57)
            started = time.perf_counter()
            game.put(coalitions, values)
            game.get(coalitions)
            seconds.append(time.perf_counter() - started)
            game.flush()
            fresh = cache.values(f"game {repeat}", 57)
            started = time.perf_counter()
            fresh.get(coalitions)
            seconds[-1] += time.perf_counter() - started
    assert min(seconds) < 0.03  # 2 to 3 ms; a statement for each value takes 20 ms and a write for each takes seconds


# ---- processes


WRITER = """
import sys, numpy as np
from pathlib import Path
from chiasm.core import cache as module
from chiasm.core.cache import ValueCache
module._BETWEEN = module._PATIENCE = 0  # every put is a write
folder, key, seed = sys.argv[1:]
rng = np.random.default_rng(int(seed))
print("ready", flush=True)
sys.stdin.readline()
with ValueCache(Path(folder)) as cache:
    game, own = cache.values("shared", 40), cache.values(key, 40)
    for batch in range(25):
        coalitions = rng.random((64, 40)) < 0.5
        for kept in (game, own):
            kept.get(coalitions)
            kept.put(coalitions, coalitions @ np.arange(40.0))
"""


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def test_two_processes_write_at_once(tmp_path):
    writers = [start(tmp_path / "new", f"own {seed}", seed) for seed in (1, 2)]
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:  # both make the folder, the file and its tables, and write into the same game
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=120)
        assert writer.returncode == 0
    for seed in (1, 2):
        rng = np.random.default_rng(seed)
        for _ in range(25):
            coalitions = rng.random((64, 40)) < 0.5
            for key in ("shared", f"own {seed}"):
                assert recall(tmp_path / "new", key, coalitions).tolist() == (coalitions @ np.arange(40.0)).tolist()


def test_what_another_process_adds_is_seen_at_once(tmp_path):
    with ValueCache(tmp_path) as one:
        game = one.values("a", 3)
        assert np.isnan(game.get(np.eye(3, dtype=bool))).all()
        remember(tmp_path, "a", np.eye(3, dtype=bool), np.arange(3.0))
        assert game.get(np.eye(3, dtype=bool)).tolist() == [0, 1, 2]


KILLED = """
import os, signal, sys, numpy as np
from pathlib import Path
from chiasm.core.cache import ValueCache
with ValueCache(Path(sys.argv[1])) as cache:
    game = cache.values("a", 3)
    game.put(np.eye(3, dtype=bool), np.arange(3.0))
    game.flush()
    cache._db.execute("PRAGMA cache_size = 2")  # so that half a transaction is in the file
    with cache._writing() as db:
        for _ in range(50):
            db.execute("INSERT INTO batches (game, coalitions, vals, checksum) VALUES ('a', '', zeroblob(9000), '')")
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_that_is_killed_while_it_writes_leaves_what_was_there(tmp_path):
    result = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert result.returncode == -signal.SIGKILL
    assert (tmp_path / f"{FILE}-journal").is_file()
    assert (tmp_path / FILE).stat().st_size > 100_000
    with ValueCache(tmp_path, create=False) as cache:
        game = cache.values("a", 3)
        assert game.get(np.eye(3, dtype=bool)).tolist() == [0, 1, 2]
        assert np.isnan(game.get(np.ones((1, 3), bool))).all()
        assert game.damaged == 0


def _interrupted(*_):
    raise KeyboardInterrupt


def test_an_interrupted_write_is_made_up_for(tmp_path, monkeypatch):
    with ValueCache(tmp_path) as cache:
        game = cache.values("a", 3)
        game.put(np.eye(3, dtype=bool), np.arange(3.0))
        with monkeypatch.context() as patch:
            patch.setattr(game, "_checksum", _interrupted)
            with pytest.raises(KeyboardInterrupt):
                game.flush()
        assert np.isnan(recall(tmp_path, "a", np.eye(3, dtype=bool))).all()
        game.flush()
        (found,) = cache.games()
        assert found.values == 3
    assert recall(tmp_path, "a", np.eye(3, dtype=bool)).tolist() == [0, 1, 2]


# ---- files that are not what they should be


@pytest.fixture
def full(tmp_path):
    remember(tmp_path, "a", *games_of(57, 2048))
    return tmp_path / FILE


def test_a_damaged_file_is_said_so(full):
    full.write_bytes(b"garbage" * 1000)
    with pytest.raises(DamagedCache, match="is damaged; `chiasm cache clear --all`"):
        ValueCache(full.parent)


def test_a_file_cut_short_is_said_so(full):
    full.write_bytes(full.read_bytes()[: full.stat().st_size // 2])
    with pytest.raises(DamagedCache, match="is damaged"):
        recall(full.parent, "a", games_of(57, 2048)[0])


@pytest.mark.parametrize("column", ["vals", "coalitions"])
def test_a_damaged_row_is_left_out(full, column):
    coalitions, values = games_of(57, 2048)
    remember(full.parent, "a", ~coalitions, values)
    with sqlite3.connect(full) as db:
        (blob,) = db.execute(f"SELECT {column} FROM batches WHERE id = 1").fetchone()  # noqa: S608
        changed = bytes([blob[0], blob[1] ^ 1]) + blob[2:]
        db.execute(f"UPDATE batches SET {column} = ? WHERE id = 1", (changed,))  # noqa: S608
    with ValueCache(full.parent) as cache:
        game = cache.values("a", 57)
        found = game.get(coalitions)
        assert np.isnan(found[1:]).all() or np.isnan(found).mean() > 0.9  # a complement may be drawn too
        assert game.get(~coalitions).tobytes() == values.tobytes()
        assert game.damaged == 1


def test_a_row_of_another_game_is_left_out(full):
    with sqlite3.connect(full) as db:
        db.execute("UPDATE batches SET game = 'b'")
    assert np.isnan(recall(full.parent, "b", games_of(57, 2048)[0])).all()


def test_a_file_of_another_program_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("CREATE TABLE precious (x)")
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(CacheError, match="another program") as refusal:
        ValueCache(tmp_path)
    assert not isinstance(refusal.value, DamagedCache)  # which `clear --all` would take for leave to remove it
    assert (tmp_path / FILE).read_bytes() == before


def test_a_file_of_a_newer_version_is_left_alone(full):
    with sqlite3.connect(full) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(CacheError, match="newer Chiasm"):
        ValueCache(full.parent)


def test_a_locked_file_is_said_so(full, monkeypatch):
    monkeypatch.setattr(module, "_WAIT", 0.05)
    other = sqlite3.connect(full, isolation_level=None)
    with ValueCache(full.parent) as cache:
        game = cache.values("a", 57)
        game.put(np.zeros((1, 57), bool), np.zeros(1))
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CacheError, match="locked by another process"):
            game.get(np.zeros((1, 57), bool))
        with pytest.raises(CacheError, match="locked by another process"):
            game.flush()
        with pytest.raises(CacheError, match="locked by another process"):
            ValueCache(full.parent)
        other.execute("ROLLBACK")
        game.flush()  # nothing was lost
        assert game.get(np.zeros((1, 57), bool)) == 0
    other.close()


def test_a_file_that_may_only_be_read_is_read(full, monkeypatch):
    connect = sqlite3.connect  # file permissions do not bind root, so SQLite itself is told
    monkeypatch.setattr(sqlite3, "connect", lambda path, **more: connect(f"file:{path}?mode=ro", uri=True, **more))
    coalitions, values = games_of(57, 2048)
    with ValueCache(full.parent) as cache:
        game = cache.values("a", 57)
        assert game.get(coalitions).tobytes() == values.tobytes()
        game.put(~coalitions, values)
        with pytest.raises(CacheError, match="may only be read"):
            game.flush()


def test_a_folder_that_cannot_be_made_is_said_so(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CacheError, match="cannot be made"):
        ValueCache(tmp_path / "file" / "cache")
    (tmp_path / FILE).mkdir()
    with pytest.raises(CacheError, match="cannot be opened"):
        ValueCache(tmp_path)


def test_looking_makes_nothing(tmp_path):
    with pytest.raises(CacheError, match="There is no value cache"):
        ValueCache(tmp_path / "new", create=False)
    assert list(tmp_path.iterdir()) == []


def test_nobody_else_may_look_into_a_new_folder(tmp_path):
    ValueCache(tmp_path / "new").close()
    if os.name == "posix":
        assert (tmp_path / "new").stat().st_mode & 0o077 == 0


# ---- what there is, and removing it


def test_games_are_listed_by_their_last_use(tmp_path, monkeypatch):
    clock = iter([100.0, 200.0, 300.0])
    monkeypatch.setattr(module.time, "time", lambda: next(clock))
    with ValueCache(tmp_path) as cache:
        for key, count in (("a", 3), ("b", 5), ("a", 2)):
            game = cache.values(key, 9, {"model": f"model of {key}"})
            game.put(*games_of(9, count, seed=count))
            game.flush()
        found = [(g.key, g.about["model"], g.values, g.size, g.created, g.used) for g in cache.games()]
    assert found == [("a", "model of a", 5, 50, 100.0, 300.0), ("b", "model of b", 5, 50, 200.0, 200.0)]


def test_a_game_that_was_only_read_counts_as_used(tmp_path, monkeypatch):
    remember(tmp_path, "a", np.eye(3, dtype=bool), np.arange(3.0))
    with ValueCache(tmp_path) as cache:
        before = cache.games()[0].used
        game = cache.values("a", 3)
        game.get(np.eye(3, dtype=bool))
        monkeypatch.setattr(module.time, "time", lambda: before + 1000)
        game.flush()
        assert cache.games()[0].used == before + 1000


def test_a_game_without_values_is_not_written(tmp_path):
    with ValueCache(tmp_path) as cache:
        cache.values("a", 3).flush()
        assert cache.games() == []


def test_removing_gives_the_space_back_and_spares_the_others(tmp_path):
    for key in ("a", "b"):
        remember(tmp_path, key, *games_of(57, 20_000))
    with ValueCache(tmp_path) as cache:
        before = cache.size
        cache.remove([game for game in cache.games() if game.key == "a"])
        assert cache.size < 0.6 * before
        assert [game.key for game in cache.games()] == ["b"]
    coalitions, values = games_of(57, 20_000)
    assert np.isnan(recall(tmp_path, "a", coalitions)).all()
    assert recall(tmp_path, "b", coalitions).tobytes() == values.tobytes()


def test_a_run_goes_on_when_the_cache_is_cleared_under_it(tmp_path):
    with ValueCache(tmp_path) as run:
        game = run.values("a", 3)
        game.put(np.eye(3, dtype=bool), np.arange(3.0))
        game.flush()
        with ValueCache(tmp_path) as other:
            other.remove(other.games())
        remember(tmp_path, "b", np.ones((1, 3), bool), np.array([7.0]))  # must not come to stand where a stood
        assert np.isnan(game.get(np.ones((1, 3), bool))).all()
        game.put(np.ones((1, 3), bool), np.array([1.0]))
        game.flush()
        assert [(g.key, g.values) for g in run.games()] == [("a", 1), ("b", 1)]


# ---- where


def test_where_the_cache_is(monkeypatch):
    for name in ("CHIASM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setattr(sys, "platform", "linux")
    assert user_folder() == Path("/home/somebody/.cache/chiasm")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert user_folder() == Path("/home/somebody/.cache/chiasm")
    monkeypatch.setenv("XDG_CACHE_HOME", "/var/tmp/cache")  # noqa: S108
    assert user_folder() == Path("/var/tmp/cache/chiasm")  # noqa: S108
    monkeypatch.setenv("CHIASM_CACHE", "~/values")
    for choice in (True, "on", "true"):
        assert chosen_folder(choice) == user_folder() == Path("/home/somebody/values")
    for word in ("off", "OFF", "0", "false"):
        monkeypatch.setenv("CHIASM_CACHE", word)
        assert user_folder() is None
        assert all(chosen_folder(choice) is None for choice in (True, "on"))
        assert chosen_folder("here") == Path("here")
    for choice in (None, False, "off", "false"):
        assert chosen_folder(choice) is None


def test_no_choice_of_a_cache_is_refused():
    for choice in (3, "", "  ", ["a"]):
        with pytest.raises(InvalidInput, match="give a folder"):
            chosen_folder(choice)


def test_tests_leave_the_cache_of_the_user_alone():
    assert os.environ["CHIASM_CACHE"] == "off"
