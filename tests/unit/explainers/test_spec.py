"""Descriptions: what they take, what they refuse, and that it is refused before a model is loaded."""

from __future__ import annotations

import pytest
from PIL import Image

import chiasm.explainers.run_spec as running
from chiasm.core.errors import ChiasmError, InvalidInput
from chiasm.explainers.spec import ExplainSpec

BASIC = {"model": "zoo:llava-shapes", "parts": {"text": "What is it?"}}


def spec(**changes):
    return ExplainSpec.parse({**BASIC, **changes})


def test_a_text_stands_for_a_list_of_one():
    assert spec(out="x.json").out == ["x.json"]
    assert spec(candidates="a dog").candidates == ["a dog"]
    assert spec(out=["x.json", "x.html"]).out == ["x.json", "x.html"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bugdet": 3}, r"there is no field 'bugdet', did you mean 'budget'\?.*Fields: model, parts"),
        ({"zzz": 3}, r"there is no field 'zzz'\. Fields"),
        ({"model": None}, r"model: Input should be a valid string \(got None\)"),
        ({"max_new_tokens": 0}, r"max_new_tokens: Input should be greater than 0 \(got 0\)"),
        ({"parts": {"image": 3}}, r"parts\.image: Input should be a valid string"),
    ],
)
def test_a_wrong_field_is_named(changes, message):
    with pytest.raises(InvalidInput, match=message):
        spec(**changes)


def test_a_missing_field_is_named():
    with pytest.raises(InvalidInput, match=r"In job\.yaml: model is missing; parts is missing"):
        ExplainSpec.parse({}, "job.yaml")


def test_options_stand_for_fields_where_the_user_gave_them():
    with pytest.raises(InvalidInput, match=r"--batch-size: Input should be greater than 0 \(got 0\)\.$"):
        ExplainSpec.parse({**BASIC, "batch_size": 0}, "the command line", {"batch_size": "--batch-size"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"model: caf\xe9", r"is not UTF-8 text \(byte 10.*save it as UTF-8"),
        (b"a: [", "is not YAML"),
        (b"- a", "must hold fields"),
    ],
)
def test_files_that_cannot_be_read_are_said_so(tmp_path, content, message):
    file = tmp_path / "job.yaml"
    file.write_bytes(content)
    with pytest.raises(InvalidInput, match=message):
        ExplainSpec.read(file)


def test_a_folder_is_no_description(tmp_path):
    with pytest.raises(InvalidInput, match="is a folder"):
        ExplainSpec.read(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "exat"}, "Did you mean 'exact'"),
        ({"method": "svarm-iq", "index": "FSII"}, "cannot estimate FSII"),
        ({"budget": 0}, "The budget is 0; it must be at least 1"),
        ({"budget": "5 apples"}, "The budget is '5 apples'"),
        ({"tolerance": "close"}, "The tolerance is 'close'"),
        ({"index": "XYZ"}, "Unknown index 'XYZ'"),
        ({"players": {"text": "wrods"}}, "Did you mean 'words'"),
        ({"players": {"txt": "words"}}, "Did you mean 'text'"),
        ({"parts": {"image": "a.png"}, "players": "grid:3"}, "'grid:3' names no grid"),
        ({"parts": {"image": "a.png"}, "players": "slic:many"}, "'slic:many' names no number"),
        ({"parts": {"image": "a.png"}, "maskers": "blur:-1"}, "'blur:-1' has no radius"),
        ({"parts": {"image": "no.png"}}, r"no\.png"),
        ({"maskers": "atention"}, "Did you mean 'attention'"),
        ({"dtype": "int4"}, "Unknown dtype 'int4'"),
        ({"fixed": {"image": True}}, "Unknown part 'image'"),
        ({"out": "no/x.json"}, "does not exist"),
        ({"answer": ""}, "answer is empty"),
    ],
)
def test_cheap_checks_come_before_the_model(tmp_path, monkeypatch, changes, message):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (8, 8)).save("a.png")

    def load(*arguments, **options):
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(running, "load", load)
    with pytest.raises(ChiasmError, match=message):
        running.run_spec(spec(**changes))


def test_what_the_model_is_loaded_with(monkeypatch):
    class Loaded(Exception):
        pass

    def load(name, **options):
        raise Loaded(name, options)

    monkeypatch.setattr(running, "load", load)
    for changes, options in (
        ({}, {}),
        ({"max_new_tokens": 3, "dtype": "bfloat16"}, {"max_new_tokens": 3, "dtype": "bfloat16"}),
    ):
        with pytest.raises(Loaded) as found:
            running.run_spec(spec(**changes))
        assert found.value.args == ("zoo:llava-shapes", options)


def test_parts_of_kinds_that_are_not_known_are_left_to_the_model():
    running.check(spec(parts={"smell": "a.rose"}, players={"smell": "notes:4"}, maskers={"smell": "air"}))


def test_endings_are_read_in_any_case(tmp_path):
    running.check_output(str(tmp_path / "A.PNG"))
    with pytest.raises(InvalidInput, match="small letters"):
        running.check_output(str(tmp_path / "A.JSON"))
