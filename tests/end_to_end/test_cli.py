"""The command line: reading of options, errors in words, what is printed and written. Models are stood in for."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
import rich.console
from PIL import Image
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "view"))

import samples

import chiasm
import chiasm.explainers.run_spec as running
import chiasm.models.doctor
import chiasm.models.hub
from chiasm.cli import doctor as doctor_command
from chiasm.cli import view as view_command
from chiasm.cli.main import app, run
from chiasm.cli.progress import Bar
from chiasm.cli.summary import show
from chiasm.cli.terminal import safe
from chiasm.core.errors import ChiasmError
from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.modalities import modalities
from chiasm.models.base import Check

RUNNER = CliRunner()
ENTRY = "from chiasm.cli.main import run; run()"


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The real command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", ENTRY, *arguments],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "COLUMNS": "100", **environment},
        check=False,
    )


@pytest.fixture
def ran(monkeypatch, tmp_path):
    """Stands in for the model: keeps the description, reports progress, writes the files in a folder of its own."""
    seen = []
    monkeypatch.chdir(tmp_path)
    for name in ("photo.jpg", "a.png"):
        Image.fromarray(samples.drawing(32)).save(name)

    def run_spec(spec, progress=None):
        seen.append(spec)
        progress(0, spec.budget, "loading")
        progress(512, 1024, "explaining")
        explanation = samples.shapes()
        for name in spec.out:
            running.write(explanation, Path(name))
        return explanation

    monkeypatch.setattr(running, "run_spec", run_spec)
    return seen


BASIC = ["explain", "-m", "zoo:llava-shapes", "-i", "photo.jpg", "-t", "What is it?"]


# ---- explain


def test_every_option_reaches_the_description(ran, tmp_path):
    out = [str(tmp_path / "a.html"), str(tmp_path / "a.json")]
    result = RUNNER.invoke(
        app,
        [
            *BASIC, "--part", "text2=Why?", "--answer", "red", "--against", "blue", "--token", "0", "--scale", "logit",
            "--candidate", "x", "--candidate", "y", "--method", "exact", "--index", "BII", "--players",
            "grid:2x2,words", "--masker", "image=constant:0,0,0,text=pad", "--fix", "text:1=present", "--budget", "64",
            "--tolerance", "5%", "--seed", "7", "--batch-size", "8", "--device", "cpu", "--dtype", "float32",
            "--max-new-tokens", "9", "--cache", "values", "--out", out[0], "-o", out[1],
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert ran[0].model_dump() == {
        "model": "zoo:llava-shapes",
        "parts": {"image": "photo.jpg", "text": "What is it?", "text2": "Why?"},
        "answer": "red",
        "against": "blue",
        "token": 0,
        "scale": "logit",
        "candidates": ["x", "y"],
        "method": "exact",
        "index": "BII",
        "players": "grid:2x2,words",
        "maskers": "image=constant:0,0,0,text=pad",
        "fixed": {"text:1": True},
        "budget": 64,
        "tolerance": "5%",
        "seed": 7,
        "batch_size": 8,
        "device": "cpu",
        "dtype": "float32",
        "max_new_tokens": 9,
        "base_url": None,
        "remote": {},
        "cache": "values",
        "out": out,
    }
    assert Explanation.load(out[1]).prediction.answer == "red"


def test_options_of_an_api_reach_the_description_and_no_local_model(ran):
    options = ["--base-url", "http://localhost:1/v1", "--remote", "max_requests=3", "--remote", "reading=first"]
    assert RUNNER.invoke(app, ["explain", "-m", "openai:m", *BASIC[3:], *options]).exit_code == 0
    assert ran[0].base_url == "http://localhost:1/v1"
    assert ran[0].remote == {"max_requests": 3, "reading": "first"}
    result = RUNNER.invoke(app, [*BASIC, *options])
    assert result.exit_code == 2
    assert "no model behind an API" in result.output
    assert len(ran) == 1


def test_what_is_left_out_is_left_to_the_description(ran):
    assert RUNNER.invoke(app, BASIC).exit_code == 0
    assert ran[0].model_dump(exclude_defaults=True) == {
        "model": "zoo:llava-shapes",
        "parts": {"image": "photo.jpg", "text": "What is it?"},
    }


def test_a_description_file_and_the_command_line(ran, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text(
        "model: zoo:llava-shapes\nparts: {image: a.png, text: Q}\nbudget: 64\nplayers: {image: 'grid:2x2'}\n"
    )
    assert RUNNER.invoke(app, ["explain", "--spec", str(file), "--budget", "128", "-t", "R"]).exit_code == 0
    assert (ran[0].budget, ran[0].parts, ran[0].players) == (
        128,
        {"image": "a.png", "text": "R"},
        {"image": "grid:2x2"},
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["explain"], "Missing: --model, --image/--text (or --part NAME=VALUE)."),
        (["explain", "-t", "Q"], "Missing: --model."),
        (["explain", "-m", "x"], "Missing: --image/--text (or --part NAME=VALUE)."),
        (["explain", "-m", "x", "-i", "no.jpg"], "no.jpg"),
        ([*BASIC, "--scale", "foo"], "'foo'"),
        ([*BASIC, "--players", "a,b,c"], "'a,b,c' names 3 segmenters for 2 parts (image, text)"),
        ([*BASIC, "--players", "images=grid:2x2"], "Did you mean 'image'?"),
        ([*BASIC, "--masker", "blur:8,text=pad"], "mixes maskers with and without a part's name"),
        ([*BASIC, "--fix", "txt=present"], "Did you mean 'text'?"),
        ([*BASIC, "--out", "page.gif"], "'page.gif'"),
        ([*BASIC, "--method", "permutatoin"], "Did you mean 'permutation'?"),
        ([*BASIC, "--method", "svarm-iq-fsii"], "cannot estimate FSII"),
        ([*BASIC, "--index", "SI"], "Unknown index 'SI'"),
        ([*BASIC, "--masker", "blurr:8"], "'blurr:8'"),
        ([*BASIC, "--masker", "text=atention"], "'atention'"),
        ([*BASIC, "--players", "grid:7"], "'grid:7' names no grid"),
        ([*BASIC, "--players", "grid:7x7,wrods"], "'wrods'"),
        ([*BASIC, "--dtype", "float8"], "Unknown dtype 'float8'"),
        ([*BASIC, "--seed", "-1"], "The seed is -1"),
        ([*BASIC, "--answer", "red", "--against", "red"], "contrast of 'red' with itself"),
        ([*BASIC, "--max-new-tokens", "0"], "--max-new-tokens: Input should be greater than 0 (got 0)"),
        ([*BASIC, "--out", "page.JSON"], "write .json in small letters, 'page.json'"),
        ([*BASIC, "--out", "nowhere/page.html"], "'nowhere' does not exist"),
        ([*BASIC, "--spec", "nowhere.yaml"], "no file 'nowhere.yaml'"),
        ([*BASIC, "--budget", "0"], "The budget is 0; it must be at least 1"),
        ([*BASIC, "--budget", "5 apples"], "The budget is '5 apples'; give a number of values (512), a time ('30s'"),
        ([*BASIC, "--tolerance", "close"], "The tolerance is 'close'; give a half-width"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_loaded(ran, options, message):
    result = RUNNER.invoke(app, options, env={"COLUMNS": "400"})
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""
    assert ran == []


def test_what_is_printed(ran, tmp_path):
    page = str(tmp_path / "page.html")
    text = RUNNER.invoke(app, [*BASIC, "-o", page], env={"COLUMNS": "200"}).stdout.replace("\u00a0", " ")
    assert text.startswith("The model answered “red” (98 %).\n")
    for line in (
        r"Other answers: blue 1 %",
        r"image alone +│█+ +\+1\.09",
        r"only image and text together +│█+ +\+0\.83",
        r"Strongest in image \(of 16 players\)",
        r"patch 2,3 +█+│ +−0\.38 +± 0\.02",
        r"circle +│█+ +\+0\.61 +± 0\.02",
        r"patch 2,1 +circle +\+0\.74 +± 0\.02 +work together",
        r"1,023 values computed in 12\.4 s",
        r"image by blur:8, text by attention",
        rf"Wrote {re.escape(page)}",
    ):
        assert re.search(line, text), line
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", text)


def test_a_folder_named_like_the_output_is_refused_before_anything_is_computed(ran, tmp_path):
    (tmp_path / "page.html").mkdir()
    (tmp_path / "x.npz").mkdir()
    for name, folder in (("page.html", "page.html"), ("x.json", "x.npz")):
        result = RUNNER.invoke(app, [*BASIC, "-o", name], env={"COLUMNS": "400"})
        assert (result.exit_code, f"'{folder}' is a folder" in result.stderr) == (2, True)
    assert ran == []


def test_endings_may_be_written_large(ran, tmp_path):
    assert RUNNER.invoke(app, [*BASIC, "-o", "page.HTML", "-q"]).stdout == "page.HTML\n"
    assert "The model answered" in (tmp_path / "page.HTML").read_text()


def test_what_is_wrong_in_a_file_is_named_by_its_field_and_on_the_line_by_its_option(ran, tmp_path):
    file = tmp_path / "job.yaml"
    file.write_text("model: zoo:llava-shapes\nparts: {image: a.png}\nbugdet: 64\n")
    result = RUNNER.invoke(app, ["explain", "--spec", "job.yaml", "--batch-size", "0"], env={"COLUMNS": "900"})
    assert result.exit_code == 2
    assert "there is no field 'bugdet', did you mean 'budget'?" in result.stderr
    assert "--batch-size: Input should be" in result.stderr
    assert "Fields: model, parts" in result.stderr
    alone = RUNNER.invoke(app, [*BASIC, "--batch-size", "0"], env={"COLUMNS": "900"})
    assert "Fields:" not in alone.stderr
    file.write_text("budget: 4\n")
    lacking = RUNNER.invoke(app, ["explain", "--spec", "job.yaml"], env={"COLUMNS": "900"})
    assert "Missing in 'job.yaml' and on the command line: --model, --image" in lacking.stderr


def shown(explanation, width=160):
    """What a terminal shows of an explanation."""
    console = rich.console.Console(width=width, record=True, file=open(os.devnull, "w"), highlight=False)  # noqa: PTH123, SIM115
    show(explanation, console)
    return " ".join(console.export_text().replace("\u00a0", " ").split())


def test_exact_values_are_said_once_to_be_exact():
    e = samples.shapes(provenance=samples.provenance(method="exact", notes=["method: exact, because it fits"]))
    e.single_errors[:] = 0
    e.pair_errors[:] = 0
    text = shown(e)
    assert "±" not in text
    assert text.count("exact: no sampling error") == 1
    assert "Method: exact, because it fits." in text
    assert "Caution" not in text


def test_values_without_errors_come_with_a_caution():
    text = shown(samples.odd()["no errors"])
    assert text.count("Caution: This method gives no standard errors") == 1
    assert "seem to work together" in text
    assert "Caution" not in shown(samples.shapes())


def test_what_combinations_give_is_said_in_words_that_are_true():
    both = {(): -3.0, ("image",): -4.0, ("text",): -2.0, ("image", "text"): -1.0}
    text = shown(samples.shapes(part_values=both))
    assert "image and text: together more than what each gives alone adds up to." in text
    assert "synergy" not in text
    assert "in nats (natural logarithm of a probability)." in text


def test_two_pictures_are_told_apart_in_pairs():
    assert re.search(r"image2 patch \d,\d", shown(samples.odd()["two pictures"]))


def test_quiet_prints_the_paths_alone(ran, tmp_path):
    page = str(tmp_path / "page.html")
    result = RUNNER.invoke(app, [*BASIC, "-o", page, "--quiet"])
    assert result.stdout == f"{page}\n"
    assert result.stderr == ""


@pytest.mark.parametrize("width", [30, 80, 200])
@pytest.mark.parametrize("name", ["shapes", *samples.odd()])
def test_every_explanation_fits_every_terminal(name, width):
    explanation = {"shapes": samples.shapes(), **samples.odd()}[name]
    console = rich.console.Console(width=width, record=True, file=open(os.devnull, "w"), highlight=False)  # noqa: PTH123, SIM115
    show(explanation, console)
    text = console.export_text()
    assert max(map(len, text.splitlines())) <= width
    assert "nan" not in text


def test_texts_cannot_steer_the_terminal():
    assert safe("a\x1b[31mb\r\nc\u2028d") == "a [31mb  c d"


def test_progress_is_shown_on_terminals_only(monkeypatch):
    for terminal in (True, False):
        console = rich.console.Console(force_terminal=terminal, width=100, record=True, file=open(os.devnull, "w"))  # noqa: PTH123, SIM115
        monkeypatch.setattr("chiasm.cli.progress.stderr", lambda console=console: console)
        with Bar() as bar:
            bar(0, None, "loading zoo:x")
            bar(512, 1024, "explaining")
            time.sleep(0.15)
        text = console.export_text()
        assert ("512/1024 values" in text) is terminal
        assert ("explaining" in text) is terminal


# ---- view, list, doctor


def test_view_turns_a_saved_explanation_into_a_page(tmp_path, monkeypatch):
    file = samples.shapes().save(tmp_path / "car.json")
    result = RUNNER.invoke(app, ["view", str(file)])
    assert result.stdout == f"{tmp_path / 'car.html'}\n"
    assert "The model answered" in (tmp_path / "car.html").read_text()
    opened = []
    monkeypatch.setattr(view_command.webbrowser, "open", opened.append)
    result = RUNNER.invoke(app, ["view", str(file), "--out", str(tmp_path / "car.svg"), "--open"])
    assert result.exit_code == 0
    assert opened == [(tmp_path / "car.svg").as_uri()]


def test_view_compares_several_files_and_makes_a_gallery_of_a_folder(tmp_path):
    files = [samples.shapes().save(tmp_path / f"{name}.json") for name in ("gp", "lime")]
    result = RUNNER.invoke(app, ["view", *map(str, files)])
    assert result.stdout == f"{tmp_path / 'comparison.html'}\n"
    assert 'data-method="lime"' in (tmp_path / "comparison.html").read_text()
    (tmp_path / "other.json").write_text('{"some": "thing"}')
    result = RUNNER.invoke(app, ["view", str(tmp_path)])
    assert result.stdout == f"{tmp_path / 'gallery.html'}\n"
    gallery = (tmp_path / "gallery.html").read_text()
    assert '"href":"pages/gp.html"' in gallery
    assert gallery.count('"id":') == 2
    assert "The model answered" in (tmp_path / "pages" / "lime.html").read_text()


def test_a_damaged_explanation_has_its_card_and_stops_no_gallery(tmp_path):
    samples.shapes().save(tmp_path / "good.json")
    (tmp_path / "bad.json").write_text('{"schema": "chiasm.explanation", "version": [1, 0]}')
    assert RUNNER.invoke(app, ["view", str(tmp_path)]).exit_code == 0
    gallery = (tmp_path / "gallery.html").read_text()
    assert '"href":"pages/good.html"' in gallery
    assert "bad.json' is damaged" in gallery


def test_view_refuses_in_words(tmp_path):
    (tmp_path / "b.html").mkdir()
    samples.shapes().save(tmp_path / "b.json")
    assert "it is a folder" in RUNNER.invoke(app, ["view", str(tmp_path / "b.json")], env={"COLUMNS": "400"}).stderr
    (tmp_path / "c.html").write_text("<p>")
    refused = RUNNER.invoke(app, ["view", str(tmp_path / "c.html")], env={"COLUMNS": "400"}).stderr
    assert "Give the .json file that chiasm explain --out FILE.json" in refused
    assert "There is no file" in RUNNER.invoke(app, ["view", str(tmp_path / "no.json")]).stderr
    result = RUNNER.invoke(app, ["view", "a.json", "--out", "a.gif"], env={"COLUMNS": "400"})
    assert (result.exit_code, "'a.gif': the name must end in" in result.stderr) == (2, True)
    (tmp_path / "empty").mkdir()
    wide = {"COLUMNS": "400"}
    assert "no saved explanation in" in RUNNER.invoke(app, ["view", str(tmp_path / "empty")], env=wide).stderr
    both = RUNNER.invoke(app, ["view", str(tmp_path / "empty"), str(tmp_path / "b.json")], env=wide)
    assert "give one folder, or files of one prediction" in both.stderr


@pytest.mark.parametrize(
    ("what", "names"),
    [
        ("models", {"zoo:llava-shapes", "llava", "clip", "vilt"}),
        ("estimators", {"exact", "permutation"}),
        ("indices", {"SII", "BII", "WBII:p"}),
        ("segmenters", {"words", "slic:N"}),
        ("maskers", {"inpaint", "attention"}),
        ("views", {"html", "picture"}),
    ],
)
def test_lists(what, names):
    rows = json.loads(RUNNER.invoke(app, ["list", what, "--json"]).stdout)
    assert names <= {row["name"] for row in rows}
    assert all(isinstance(value, str) for row in rows for value in row.values())
    text = RUNNER.invoke(app, ["list", what], env={"COLUMNS": "120"}).stdout
    assert all(name in text for name in names)


def test_lists_say_what_names_mean_and_which_is_the_default(monkeypatch):
    lines = {"mean": "its mean colour", "grey": "grey"}
    monkeypatch.setattr(type(modalities.get("image")), "maskers", lines, raising=False)
    told = {"delete": "cut out", "attention": "not attended to; the default where the model can"}
    monkeypatch.setattr(type(modalities.get("text")), "maskers", told, raising=False)
    rows = json.loads(RUNNER.invoke(app, ["list", "maskers", "--json"]).stdout)
    assert {row["name"]: row["summary"] for row in rows if row["kind"] in {"image", "text"}} == {
        "mean": "its mean colour (default: mean, where the model prefers no other)",
        "grey": "grey",
        "delete": "cut out (default: delete, where the model prefers no other)",
        "attention": "not attended to; the default where the model can",
    }


def test_a_list_that_does_not_exist_names_those_that_do():
    result = RUNNER.invoke(app, ["list", "bogus"])
    assert result.exit_code == 2
    assert "estimators" in result.stderr


class Patient:
    """An adapter that only says what it is."""

    family = "decoder"
    kinds = ("image", "text")


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (None, 0), (False, 1)])
def test_doctor_prints_a_table_and_fails_when_a_check_fails(monkeypatch, ok, code):
    monkeypatch.setattr(chiasm.models.hub, "load", lambda name, **options: Patient())
    checks = [Check("the full coalition", ok=True, detail="equal"), Check("masking", ok, "[bold]as found[/bold]")]
    monkeypatch.setattr(chiasm.models.doctor, "examine", lambda adapter, sample: checks)
    result = RUNNER.invoke(app, ["doctor", "some/model", "--device", "cpu"])
    assert result.exit_code == code, result.output
    assert "some/model (decoder)" in result.stdout
    assert "[bold]as found[/bold]" in result.stdout
    assert ("FAILED" in result.stdout) is (ok is False)
    assert ("1 not applicable" in result.stdout) is (ok is None)


def test_doctor_fills_up_the_sample_with_what_is_missing():
    sample = doctor_command.sample_for(Patient(), "some/model", {"text": "Why?"})
    assert {name: part.kind for name, part in sample.parts.items()} == {"image": "image", "text": "text"}
    assert sample["text"].data == "Why?"
    assert sample["image"].data.size == (224, 224)
    own = doctor_command.sample_for(Patient(), "zoo:llava-shapes", {})
    assert own.truth


# ---- the command as a whole


def test_errors_are_words_unless_debugging(ran, monkeypatch):
    def fail(spec, progress=None):
        raise ChiasmError("The model [red]sneezed[/red]; give it a rest.")

    monkeypatch.setattr(running, "run_spec", fail)
    monkeypatch.delenv("CHIASM_DEBUG", raising=False)
    result = RUNNER.invoke(app, BASIC)
    assert (result.exit_code, result.stderr) == (2, "Error: The model [red]sneezed[/red]; give it a rest.\n")
    for options, environment in ((["--debug"], {}), ([], {"CHIASM_DEBUG": "1"})):
        result = RUNNER.invoke(app, [*options, *BASIC], env=environment)
        assert isinstance(result.exception, ChiasmError)


def test_files_that_cannot_be_written_are_said_in_words(ran, monkeypatch):
    def fail(spec, progress=None):
        raise PermissionError(13, "Permission denied", "page.html")

    monkeypatch.setattr(running, "run_spec", fail)
    result = RUNNER.invoke(app, BASIC)
    assert (result.exit_code, "Permission denied: 'page.html'" in result.stderr) == (2, True)


def test_interruption_ends_with_130(ran, monkeypatch):
    def interrupt(spec, progress=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "run_spec", interrupt)
    monkeypatch.setattr(sys, "argv", ["chiasm", *BASIC])
    with pytest.raises(SystemExit) as end:
        run()
    assert end.value.code == 130


def test_version_and_exit_codes_of_the_real_command(tmp_path):
    assert command("--version").stdout == f"chiasm {chiasm.__version__}\n"
    wrong = command("view", str(tmp_path / "no.json"))
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr.startswith("Error: There is no file")
    assert "Traceback" in command("view", str(tmp_path / "no.json"), CHIASM_DEBUG="1").stderr


def test_a_terminal_without_unicode_gets_plain_letters():
    plain = command("list", "indices", PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert plain.returncode == 0
    assert "M?bius" in plain.stdout
    assert "\x1b" not in plain.stdout


def test_help_is_quick_and_imports_nothing_heavy():
    code = (
        "import sys, runpy\n"
        "from chiasm.cli.main import app\n"
        "app(['--help'], standalone_mode=False)\n"
        "heavy = {'numpy', 'torch', 'transformers', 'matplotlib', 'pydantic', 'PIL', 'jinja2'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for name in ("explain", "view", "doctor", "list"):
        assert name in done.stdout
    took = []
    for _ in range(5):
        start = time.perf_counter()
        command("--help")
        took.append(time.perf_counter() - start)
        if min(took) <= 0.5:
            break
    assert min(took) <= 0.5


def test_abstract_games_can_be_shown_too(tmp_path):
    players = chiasm.Players.abstract({"a": 2, "b": 2})
    game = Game(lambda rows: rows.sum(1) + rows[:, 0] * rows[:, 3], players)
    e = samples.abstract({"a": 2, "b": 2}, part_values=game.part_values())
    file = e.save(tmp_path / "game.json")
    assert RUNNER.invoke(app, ["view", str(file)]).exit_code == 0
