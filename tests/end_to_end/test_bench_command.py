"""``chiasm bench``: from a page of YAML to results, by the command line."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from chiasm.bench.run import Benchmark
from chiasm.bench.tables import CONTROLS
from chiasm.cli.bench import CONTROL_NAMES
from chiasm.cli.main import app

RUNNER = CliRunner()
SPEC = {
    "name": "mine",
    "models": [{"load": "zoo:llava-shapes", "name": "llava"}],
    "datasets": [{"load": "shapes", "n": 2, "types": ["colour", "shape"]}],
    "explainers": ["chefer", "rollout", "exclip", "random"],
    "metrics": ["f_syn", "srg"],
    "players": "grid:2x2,words",
    "scale": "probability",
}


def chiasm(*arguments):
    return RUNNER.invoke(app, ["bench", *map(str, arguments)], env={"COLUMNS": "200"})


def group(leader: int) -> list[str]:
    """Processes of a group that are alive."""
    return subprocess.run(["pgrep", "-g", str(leader)], check=False, capture_output=True, text=True).stdout.split()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run that is done, and what the command said."""
    folder = tmp_path_factory.mktemp("bench")
    (folder / "mine.yaml").write_text(yaml.safe_dump(SPEC))
    return folder, chiasm("run", folder / "mine.yaml", "--out", folder / "run")


def test_a_run_says_how_far_it_is_and_what_failed(finished):
    folder, result = finished
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["model", "data", "set", "cells", "done", "failed", "accuracy"]
    assert lines[1].split() == ["llava", "shapes", "14", "14", "2", "1.000", "of", "2"]
    assert "2 × MissingCapability: " in result.stdout
    assert "exclip" in result.stdout
    assert lines[-1] == str(folder / "run")
    assert result.stderr.splitlines()[0] == "0 of 14 cells"


def test_status_and_resume(finished):
    folder, _ = finished
    told = chiasm("status", folder / "run")
    assert told.exit_code == 0
    assert told.stdout.splitlines()[1].split()[2:5] == ["14", "14", "2"]
    before = Benchmark.open(folder / "run").scores
    again = chiasm("resume", folder / "run", "--quiet")
    assert again.exit_code == 0
    assert again.stdout.strip() == str(folder / "run")
    assert Benchmark.open(folder / "run").scores.equals(before)


def test_two_workers_give_a_real_models_very_numbers(finished, tmp_path):
    folder, _ = finished
    result = chiasm("run", folder / "mine.yaml", "--workers", 2, "--out", tmp_path / "run")
    assert result.exit_code == 0, result.output
    keys = ["sample", "explainer", "seed", "metric"]
    one, two = (Benchmark.open(path).scores.set_index(keys)["value"] for path in (folder / "run", tmp_path / "run"))
    pd.testing.assert_series_equal(one.sort_index(), two.sort_index(), rtol=0, atol=0)


def test_means_of_what_is_shared(finished, tmp_path):
    """One explainer failed on both samples, so that all share none."""
    folder, _ = finished
    told = chiasm("means", folder / "run", "--csv", tmp_path / "all.csv")
    assert told.exit_code == 0
    lines = told.stdout.splitlines()
    assert lines[0].split() == ["f_syn", "·", "llava", "shapes,", "n", "=", "0"]
    assert "failed on some samples: exclip" in told.stdout
    table = pd.read_csv(tmp_path / "all.csv")
    assert set(table["explainer"]) == {"chefer", "rollout", "exclip", "random", "oracle", "reversed oracle"}
    assert "srg[image]" in set(table["metric"])
    wrong = chiasm("means", folder / "run", "--metric", "srgg")
    assert wrong.exit_code == 2
    assert "Did you mean 'srg'?" in wrong.stderr
    assert CONTROL_NAMES == CONTROLS


def test_two_explainers_compared(finished):
    folder, _ = finished
    told = chiasm("compare", folder / "run", "chefer", "random", "--metric", "srg")
    assert told.exit_code == 0
    title, row = told.stdout.splitlines()[:2]
    assert title.split()[:5] == ["srg", "n", "chefer", "−", "random"]
    means = Benchmark.open(folder / "run").scores.query("metric == 'srg'").groupby("explainer")["value"].mean()
    off = means["chefer"] - means["random"]
    assert row.split()[:4] == ["llava,", "shapes", "2", f"{off:+.3f}"]
    back = chiasm("compare", folder / "run", "random", "chefer", "--metric", "srg").stdout.splitlines()[1]
    assert back.split()[3] == f"{-off:+.3f}"
    for wrong, words in ((["chefer", "chefer"], "with itself"), (["chefer", "randon"], "Did you mean 'random'?")):
        result = chiasm("compare", folder / "run", *wrong)
        assert result.exit_code == 2
        assert words in result.stderr


def test_the_smallest_part_of_a_ready_spec(tmp_path):
    result = chiasm("validate", "smoke", "--samples", 1)
    assert result.exit_code == 0
    assert "2 samples × models, 14 cells" in result.stdout
    assert result.stdout.splitlines()[-1] == "nothing is wrong"


def test_mistakes_end_with_an_exit_code(tmp_path):
    wrong = {**SPEC, "explainers": ["cheffer"], "metrics": ["f_sin"]}
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(wrong))
    result = chiasm("validate", tmp_path / "wrong.yaml")
    assert result.exit_code == 1
    assert "problem: explainer 'cheffer': Unknown method 'cheffer'. Did you mean 'chefer'?" in result.stdout
    assert "problem: metric 'f_sin': Unknown metric 'f_sin'. Did you mean 'f_syn'?" in result.stdout
    result = chiasm("run", tmp_path / "wrong.yaml", "--out", tmp_path / "run")
    assert result.exit_code == 2
    assert "Did you mean 'chefer'?" in result.stderr
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "smok"], "Did you mean 'smoke'?"),
        (["validate", "none.yaml"], "cannot be read"),
        (["status", "nowhere"], "There is no run in 'nowhere'"),
        (["resume", "nowhere"], "There is no run in 'nowhere'"),
    ],
)
def test_errors_are_for_people(arguments, words):
    result = chiasm(*arguments)
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_run_into_another_runs_folder_is_refused(finished, tmp_path):
    folder, _ = finished
    other = {**SPEC, "players": "grid:3x3,words"}
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
    result = chiasm("run", tmp_path / "other.yaml", "--out", folder / "run")
    assert result.exit_code == 2
    assert "was made with players" in result.stderr


def test_interrupted_and_resumed(tmp_path):
    """Ctrl-C on a run with worker processes: what is done is kept, no process stays, and it goes on."""
    spec = {**SPEC, "datasets": [{"load": "shapes", "n": 400}], "explainers": ["chefer", "random"]}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(spec))
    # a shell starts what runs in the background deaf to Ctrl-C, and the tests may run there
    code = "import signal as s; s.signal(s.SIGINT, s.default_int_handler); from chiasm.cli.main import run; run()"
    command = [sys.executable, "-c", code, "bench", "run", "mine.yaml", "-w", "1"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    folder, end = tmp_path / "mine", time.monotonic() + 120
    while time.monotonic() < end and not list(folder.glob("results/cells/*.parquet")):
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Go on: chiasm bench resume mine" in said
    assert "Traceback" not in said
    done = len(Benchmark.open(folder).store.done())
    assert 0 < done < 400 * 5
    end = time.monotonic() + 20
    while time.monotonic() < end and (left := group(process.pid)):
        time.sleep(0.1)
    assert left == []
