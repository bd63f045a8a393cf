"""``chiasm cache`` and ``chiasm explain --cache``: what is remembered, shown, resumed and cleared."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import chiasm as cx
import chiasm.explainers.run_spec as running
from chiasm.cli.main import app
from chiasm.core import cache as storage
from chiasm.core.cache import FILE, ValueCache

RUNNER = CliRunner()
ENTRY = "from chiasm.cli.main import run; run()"
WIDE = {"COLUMNS": "300"}
DAY = 86_400


def fill(folder, monkeypatch, games):
    """Games by key: number of values, days since the last use."""
    now = time.time()
    with ValueCache(folder) as cache:
        for key, (count, days) in games.items():
            with monkeypatch.context() as patch:
                patch.setattr(storage.time, "time", lambda days=days: now - days * DAY)
                about = {
                    "model": f"zoo:{key}",
                    "target": f"logit of '{key}\x1b[31m'",
                    "players": {"image": 9, "text": 5},
                }
                game = cache.values(key, 14, about)
                game.put(np.random.default_rng(0).random((count, 14)) < 0.5, np.zeros(count))
                game.flush()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    fill(tmp_path, monkeypatch, {"old": (4000, 40), "newer": (3000, 20), "new": (2000, 0)})
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path))
    return tmp_path


def left(folder):
    with ValueCache(folder, create=False) as cache:
        return [game.key for game in cache.games()]


def chiasm(*arguments):
    return RUNNER.invoke(app, list(arguments), env=WIDE)


# ---- show


def test_the_table(folder):
    text = chiasm("cache", "show").stdout
    lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines()]
    assert lines[0] == ["model", "explained", "players", "values", "size", "used"]
    assert lines[1] == ["zoo:new", "logit of 'new [31m'", "9 image + 5 text", "2,000", "20 kB", "just now"]
    assert lines[3] == ["zoo:old", "logit of 'old [31m'", "9 image + 5 text", "4,000", "40 kB", "40 d ago"]
    assert re.fullmatch(rf"3 games with 9,000 values, \d+ kB, in {re.escape(str(folder / FILE))}", text.splitlines()[4])
    assert "\x1b" not in text


def test_the_object_for_programs(folder):
    data = json.loads(chiasm("cache", "show", "--json").stdout)
    assert data["path"] == str(folder / FILE)
    assert data["bytes"] == (folder / FILE).stat().st_size
    assert [game["key"] for game in data["games"]] == ["new", "newer", "old"]
    first = data["games"][0]
    assert (first["model"], first["values"], first["bytes"]) == ("zoo:new", 2000, 2000 * 10)
    assert first["players"] == {"image": 9, "text": 5}
    assert time.strptime(first["used"], "%Y-%m-%dT%H:%M:%SZ")


def test_nothing_is_shown_and_made_where_nothing_is(tmp_path):
    result = chiasm("cache", "show", "--cache", str(tmp_path / "new"))
    assert result.stdout == f"0 games with 0 values, 0 B, in {tmp_path / 'new' / FILE}\n"
    assert json.loads(chiasm("cache", "show", "--json", "--cache", str(tmp_path / "new")).stdout)["games"] == []
    assert chiasm("cache", "clear", "--all", "--cache", str(tmp_path / "new")).exit_code == 0
    assert list(tmp_path.iterdir()) == []


def test_a_cache_that_is_off_is_said_to_be():
    for arguments in (["show"], ["clear", "--all"]):
        result = chiasm("cache", *arguments)
        assert (result.exit_code, "switched off (CHIASM_CACHE=off)" in result.stderr) == (2, True)


def test_a_damaged_file_is_said_in_words(tmp_path):
    (tmp_path / FILE).write_bytes(b"garbage" * 999)
    result = chiasm("cache", "show", "--cache", str(tmp_path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert "is damaged; `chiasm cache clear --all` makes a new one" in result.stderr


# ---- clear


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["--all"], []),
        (["--older-than", "30d"], ["new", "newer"]),
        (["--older-than", "24h"], ["new"]),
        (["--older-than", "2.5w"], ["new"]),
        (["--older-than", "8w"], ["new", "newer", "old"]),
        (["--down-to", "60KB"], ["new", "newer"]),
        (["--down-to", "0.02mb"], ["new"]),
        (["--down-to", "1GB"], ["new", "newer", "old"]),
        (["--down-to", "0KB"], []),
    ],
)
def test_what_is_cleared(folder, options, kept):
    before = (folder / FILE).stat().st_size
    result = chiasm("cache", "clear", *options)
    assert result.exit_code == 0
    assert left(folder) == kept
    gone = [count for key, count in (("old", 4000), ("newer", 3000), ("new", 2000)) if key not in kept]
    games = "1 game" if len(gone) == 1 else f"{len(gone)} games"
    assert result.stdout == f"Removed {games} with {sum(gone):,} values from {folder / FILE}.\n"
    assert ((folder / FILE).stat().st_size < before) is bool(gone)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "one of --all, --older-than 30d and --down-to 500MB"),
        (["--all", "--older-than", "3d"], "one of --all"),
        (["--older-than", "30"], "--older-than '30': write a number and one of m, h, d, w, e.g. 30d"),
        (["--older-than", "30 years"], "'30 years'"),
        (["--older-than=-3d"], "'-3d'"),
        (["--down-to", "3"], "one of KB, MB, GB, e.g. 500MB"),
    ],
)
def test_what_cannot_be_cleared_is_refused(folder, options, message):
    result = chiasm("cache", "clear", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert left(folder) == ["new", "newer", "old"]


def test_clearing_all_removes_a_damaged_file_and_the_rest_leaves_it(tmp_path):
    (tmp_path / FILE).write_bytes(b"garbage" * 999)
    assert chiasm("cache", "clear", "--older-than", "1d", "--cache", str(tmp_path)).exit_code == 2
    result = chiasm("cache", "clear", "--all", "--cache", str(tmp_path))
    assert (result.exit_code, result.stdout) == (0, f"Removed {tmp_path / FILE}, which was damaged.\n")
    assert list(tmp_path.iterdir()) == []


def test_clearing_all_spares_the_file_of_another_program(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as db:
        db.execute("CREATE TABLE precious (x)")
    result = chiasm("cache", "clear", "--all", "--cache", str(tmp_path))
    assert (result.exit_code, "a file of another program" in result.stderr) == (2, True)
    assert (tmp_path / FILE).is_file()


def test_help_names_the_commands():
    assert {"show", "clear"} <= set(chiasm("cache", "--help").stdout.split())
    assert chiasm("cache", "show", "-h").exit_code == 0


def test_showing_needs_no_heavy_library(tmp_path):
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom chiasm.cli.main import app\n"
        f"assert CliRunner().invoke(app, ['cache', 'show', '--cache', {str(tmp_path)!r}]).exit_code == 0\n"
        "print([m for m in ('torch', 'transformers', 'scipy', 'matplotlib') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---- explain: an interrupted command goes on


class Stops:
    """A model that is interrupted in its n-th call."""

    def __init__(self, at=None):
        self.at, self.calls, self.computed = at, 0, 0

    def __call__(self, samples):
        self.calls += 1
        if self.calls == self.at:
            raise KeyboardInterrupt
        self.computed += len(samples)
        return [float(s["image"].std()) + len(s["text"]) * float(s["image"].mean()) for s in samples]


@pytest.fixture
def explain(tmp_path, monkeypatch):
    """Runs ``chiasm explain`` on a function that stands in for a model."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save("photo.png")

    def command(f, *options):
        monkeypatch.setattr(running, "load", lambda *_, **__: cx.FunctionModel(f, fingerprint="1"))
        basic = ["-m", "toy", "-i", "photo.png", "-t", "is it red or blue", "--players", "grid:3x3,words", "--scale"]
        return chiasm("explain", *basic, "value", "--budget", "500", "--batch-size", "32", "-o", "e.json", *options)

    return command


def numbers():
    e = cx.Explanation.load("e.json")
    return e, (e.single.tobytes(), e.pair.tobytes())


def test_an_interrupted_command_goes_on(explain, tmp_path, monkeypatch):
    monkeypatch.setenv("CHIASM_CACHE", str(tmp_path / "values"))
    whole = Stops()
    assert explain(whole, "--cache", "off").exit_code == 0
    assert not (tmp_path / "values").exists()
    _, expected = numbers()
    Path("e.json").unlink()
    stopped = Stops(at=7)
    result = explain(stopped)
    assert result.exit_code == 130
    assert "The same command goes on from the values that were computed so far." in result.stderr
    assert not Path("e.json").exists()
    rest = Stops()
    result = explain(rest)
    assert result.exit_code == 0
    e, found = numbers()
    assert found == expected
    values = stopped.computed - 1  # beside the values, each run calls the model once for its answer
    assert rest.computed == whole.computed - values
    assert e.provenance.computed == rest.computed - 1
    assert f"{values} of 500 values were remembered from earlier runs." in result.stdout


def test_an_interrupted_command_without_a_cache_promises_nothing(explain):
    result = explain(Stops(at=3))
    assert (result.exit_code, "goes on" in result.stderr) == (130, False)


def test_a_cache_of_the_command_line_wins_over_the_environment(explain, tmp_path):
    assert explain(Stops(), "--cache", "here").exit_code == 0
    assert (tmp_path / "here" / FILE).is_file()


def test_a_cache_that_fails_is_said_and_loses_nothing(explain, tmp_path):
    (tmp_path / "file").write_text("")
    result = explain(Stops(), "--cache", "file")
    assert result.exit_code == 0
    assert "Values were not remembered: The folder 'file' of the value cache cannot be made" in result.stdout


def test_a_description_may_say_where(explain, tmp_path):
    (tmp_path / "job.yaml").write_text("cache: off\n")
    assert explain(Stops(), "--spec", "job.yaml").exit_code == 0
    (tmp_path / "job.yaml").write_text("cache: there\n")
    assert explain(Stops(), "--spec", "job.yaml").exit_code == 0
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["there"]
    (tmp_path / "job.yaml").write_text("cache: ''\n")
    result = explain(Stops(), "--spec", "job.yaml")
    assert (result.exit_code, "The cache is ''; give a folder" in result.stderr) == (2, True)


COMMAND = ["explain", "-m", "zoo:clip-captions", "-t", "a red circle and a blue square", "--players", "grid:3x3,words",
           "--budget", "400", "--method", "permutation", "--batch-size", "4", "--seed", "3"]  # fmt: skip


#: the same command, to which the user's Ctrl-C comes in the middle
STOPPED = """
import signal
from chiasm.models.dual_encoder import DualValues

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have started us with the signal ignored
calls, plain = [], DualValues.__call__

def values(self, coalitions):
    calls.append(len(coalitions))
    if len(calls) == 40:
        signal.raise_signal(signal.SIGINT)
    return plain(self, coalitions)

DualValues.__call__ = values
"""


def test_a_real_command_that_is_interrupted_goes_on(tmp_path):
    """A process, a signal, a model of the zoo."""
    pytest.importorskip("torch")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(tmp_path / "photo.png")
    environment = {**os.environ, "CHIASM_CACHE": str(tmp_path / "values")}

    def run(entry, out, **changes):
        arguments = [sys.executable, "-c", entry, *COMMAND, "-i", "photo.png", "-o", out]
        environment_now = environment | changes
        return subprocess.run(arguments, cwd=tmp_path, env=environment_now, check=False, capture_output=True)

    stopped = run(STOPPED + ENTRY, "a.json")
    assert (stopped.returncode, b"goes on" in stopped.stderr) == (130, True)
    before = known(tmp_path / "values")
    assert run(ENTRY, "b.json").returncode == run(ENTRY, "c.json", CHIASM_CACHE="off").returncode == 0
    resumed, plain = (cx.Explanation.load(tmp_path / name) for name in ("b.json", "c.json"))
    assert 100 < before < 200 < plain.provenance.computed  # 4 values a call
    assert resumed.provenance.computed == plain.provenance.computed - before
    np.testing.assert_allclose(resumed.single, plain.single, atol=1e-5)
    np.testing.assert_allclose(resumed.pair, plain.pair, atol=1e-5)


def known(folder):
    """Values in the cache by now."""
    if not (folder / FILE).is_file() or not (folder / FILE).stat().st_size:
        return 0
    with ValueCache(folder, create=False) as cache:
        return sum(game.values for game in cache.games())
