"""``chiasm export`` and ``chiasm list datasets``, as typed."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

import chiasm as cx
from chiasm.cli.main import app
from chiasm.cli.parsing import parse_options
from chiasm.zoo import datasets
from chiasm.zoo.data.cards import CARDS
from chiasm.zoo.data.phrases import PHRASES

RUNNER = CliRunner()


def export(*arguments):
    return RUNNER.invoke(app, ["export", *map(str, arguments)])


@pytest.mark.parametrize("form", ["jsonl", "datasets"])
def test_what_is_exported_is_the_data_set(form, tmp_path):
    out = tmp_path / "out"
    result = export("zoo:shapes", "--n", 6, "--seed", 2, "--types", "colour,size", "--format", form, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip() == str(out)
    wanted = cx.dataset("shapes", 6, 2, ["colour", "size"])
    assert [(s.id, s["text"].data) for s in cx.dataset(out)] == [(s.id, s["text"].data) for s in wanted]


def test_types_may_be_repeated_and_options_passed_on(tmp_path):
    assert export("digits", "--n", 20, "--types", "sum", "--types", "parity", "-o", tmp_path / "a").exit_code == 0
    assert {s.tags["type"] for s in cx.dataset(tmp_path / "a")} == {"sum", "parity"}
    options = ["--option", "language=1", "--option", "image=0.5"]
    assert export("prior", "--n", 3, *options, "-o", tmp_path / "b").exit_code == 0
    assert all(s.tags["language"] == 1.0 and s.tags["image"] == 0.5 for s in cx.dataset(tmp_path / "b"))


def test_a_comma_at_the_end_of_types_is_let_pass(tmp_path):
    result = export("digits", "--n", 4, "--types", "sum, parity,", "-o", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert {s.tags["type"] for s in cx.dataset(tmp_path / "a")} == {"sum", "parity"}


def test_an_empty_folder_may_be_the_one_that_one_stands_in(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = export("shapes", "--n", 2, "--out", ".")
    assert (result.exit_code, result.stdout.strip()) == (0, ".")
    assert (tmp_path / "data.jsonl").is_file()
    assert [s.id for s in cx.dataset(".")] == [s.id for s in cx.dataset("shapes", 2)]


def test_a_column_may_be_called_by_a_number(tmp_path):
    (tmp_path / "mine").mkdir()
    cx.dataset("shapes", 1)[0]["image"].data.save(tmp_path / "mine" / "a.png")
    (tmp_path / "mine" / "data.jsonl").write_text(json.dumps({"image": "a.png", "2": "What is it?"}))
    result = export(tmp_path / "mine", "--option", "text=2", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert cx.dataset(tmp_path / "out")[0]["text"].data == "What is it?"


def test_options_are_read_as_what_they_take():
    given = ["bars=3", "share=1", "title=7", "log=true", "any=4", "other=0.5", "name_=x"]
    kinds = {"bars": {"int"}, "share": {"float"}, "title": {"str", "None"}, "log": {"bool"}, "any": set()}
    read = parse_options(given, kinds)
    assert read == {"bars": 3, "share": 1.0, "title": "7", "log": True, "any": 4, "other": 0.5, "name_": "x"}
    assert [type(value) for value in read.values()] == [int, float, str, bool, int, float, str]
    assert parse_options(["bars=2.5"], kinds) == {"bars": "2.5"}, "for the data set to refuse"


def test_a_folder_becomes_the_other_format(tmp_path):
    export("shapes", "--n", 3, "-o", tmp_path / "a")
    assert export(tmp_path / "a", "--format", "datasets", "-o", tmp_path / "b").exit_code == 0
    assert [s.id for s in cx.dataset(tmp_path / "b")] == [s.id for s in cx.dataset("shapes", 3)]


def test_force_is_needed_to_replace(tmp_path):
    out = tmp_path / "out"
    export("shapes", "--n", 2, "-o", out)
    refused = export("digits", "--n", 2, "-o", out)
    assert refused.exit_code == 2
    assert "--force" not in refused.stdout
    assert "earlier export" in refused.stderr
    assert export("digits", "--n", 2, "-o", out, "--force").exit_code == 0
    assert cx.dataset(out)[0].id.startswith("digits")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["shape"], "Did you mean 'shapes'"),
        (["shapes", "--types", "color"], "Did you mean 'colour'"),
        (["shapes", "--types", ","], "--types ',' names no type"),
        (["shapes", "--n", "-1"], "negative"),
        ([__file__], "is a file that cannot be read as data"),
        (["prior", "--option", "language"], "NAME=VALUE"),
        (["prior", "--option", "seed=3"], "NAME=VALUE"),
        (["prior", "--option", "language=a"], "must be a number"),
        (["prior", "--option", "language=1", "--option", "language=0"], "given twice"),
        (["prior", "--option", "tongue=1"], "it takes language, image"),
        (["shapes", "--n", "0"], "no samples"),
    ],
)
def test_what_cannot_be_done_is_said(arguments, says, tmp_path):
    result = export(*arguments, "--out", tmp_path / "out")
    assert result.exit_code == 2, result.output
    assert says in " ".join(result.stderr.split())
    assert list(tmp_path.iterdir()) == []


def test_data_sets_are_listed_with_types_and_phrasings():
    rows = {row["name"]: row for row in json.loads(RUNNER.invoke(app, ["list", "datasets", "--json"]).stdout)}
    assert set(rows) == {*datasets, *CARDS} >= {"shapes", "digits", "photos", "prior", "captions", "repope"}
    assert all(rows[name]["summary"].startswith(f"chiasm bench: {card.hub}") for name, card in CARDS.items())
    rows = {name: row for name, row in rows.items() if name in datasets}
    assert rows["digits"]["types"] == "naming, place, larger, sum, parity"
    assert all(row["summary"] and row["types"] and int(row["phrasings"]) > 1 for row in rows.values())
    asked = sum(len(several) for key, several in PHRASES.items() if not key.startswith("position"))
    assert (
        int(rows["shapes"]["phrasings"]) + int(rows["digits"]["phrasings"]) == asked == int(rows["photos"]["phrasings"])
    )
    text = RUNNER.invoke(app, ["list", "datasets"], env={"COLUMNS": "160"}).stdout
    assert all(name in text for name in rows)
