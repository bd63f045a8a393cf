"""What is said where a name of the zoo, a field or a folder is not what was meant."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings

import pytest
from PIL import Image

import chiasm as cx
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.zoo import catalog
from chiasm.zoo.data.fields import spans


def test_a_model_without_its_prefix_is_not_asked_of_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidInput, match="Did you mean 'zoo:llava-shapes'"):
        cx.load("llava-shapes")
    (tmp_path / "llava-shapes").mkdir()
    with pytest.raises(InvalidInput, match=r"config\.json"):
        cx.load("llava-shapes")  # a folder of that name is the one that is meant


def test_models_and_data_sets_are_told_apart():
    with pytest.raises(InvalidInput, match=r"'zoo:shapes' is a data set.*dataset\('shapes'\)"):
        cx.load("zoo:shapes")
    for name in ("zoo:llava-shapes", "llava-shapes"):
        with pytest.raises(InvalidInput, match=r"is a model: chiasm\.load\('zoo:llava-shapes'\)"):
            cx.dataset(name)
    with pytest.raises(InvalidInput, match="None"):
        cx.load(None)


def test_a_training_run_names_its_states():
    with pytest.raises(InvalidInput, match=r"8 models.*prior-growth-0030.*prior-growth-1000"):
        cx.load("zoo:prior-growth")
    assert all(catalog.path(name).is_dir() for name in catalog.MODELS)
    assert catalog.known_types("zoo:prior-grounded") == catalog.known_types("prior-grounded") != ()


def test_unknown_types_and_options_of_folders_are_said_plainly():
    with pytest.raises(UnknownName, match=r"^'shapes' has no question type 'colur'\. Did you mean 'colour'"):
        cx.dataset("shapes", n=1, types=["colur"])
    with pytest.raises(InvalidInput, match="split='test' is for folders"):
        cx.dataset("shapes", n=1, split="test")


def test_a_word_that_stands_twice_gives_its_places():
    with pytest.raises(InvalidInput, match=r"'star' of words stands twice in .*\[2, 6\], \[17, 21\]"):
        spans(["star"], "a star left of a star", "line 1")


@pytest.mark.parametrize(("field", "told"), [("anwser", True), ("test", False), ("colour", False)])
def test_a_misspelt_field_is_noticed(field, told, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "data.jsonl").write_text(json.dumps({"image": "a.png", "text": "what?", field: "red"}))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        (sample,) = cx.dataset(tmp_path)
    assert sample.tags == {field: "red"}
    assert [("'anwser'" in str(one.message) and "'answer'" in str(one.message)) for one in said] == [True] * told


def test_an_export_to_an_impossible_folder_names_it(tmp_path):
    sample = cx.Sample(image=Image.new("RGB", (8, 8)), text="what?")
    file = tmp_path / "file"
    file.write_text("mine")
    for place in (file / "inside", tmp_path / ("a" * 300)):
        with pytest.raises(InvalidInput) as caught:
            cx.export([sample], place)
        assert str(place) in str(caught.value)
    assert file.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_python_m_chiasm_is_the_command():
    found = subprocess.run([sys.executable, "-m", "chiasm", "list", "foo"], capture_output=True, text=True, check=False)
    assert found.returncode == 2
    assert "'foo'" in found.stderr
    assert "models" in found.stderr
    assert "Value error" not in found.stderr + found.stdout
