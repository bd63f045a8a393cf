"""The catalogue finds models, notices changed files, lists what lies in the package, and knows which types to trust."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chiasm.core.errors import InvalidInput, ModelError, UnknownName
from chiasm.zoo import catalog
from chiasm.zoo.data.questions import KINDS

NAME = "llava-shapes"


def model_in(root, name, weights=b"weights"):
    folder = root / name
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("card")
    return folder


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "MODELS", {NAME: "a model"})
    model_in(tmp_path, NAME)
    catalog.record(tmp_path)
    return tmp_path


@pytest.fixture
def family(tmp_path, monkeypatch):
    names = catalog.states("prior-growth")
    monkeypatch.setattr(catalog, "MODELS", dict.fromkeys(names, "a state"))
    for name in names:
        model_in(tmp_path, name, name.encode())
    catalog.record(tmp_path)
    return tmp_path


def test_whole_files_pass(root):
    catalog.verify(NAME, root)
    assert catalog.path(NAME, root) == root / NAME


@pytest.mark.parametrize("change", ["changed", "removed", "added"])
def test_files_unlike_the_release_fail_by_name(root, change):
    file = root / NAME / ("tokenizer.json" if change == "added" else "config.json")
    file.unlink() if change == "removed" else file.write_text("[]")
    with pytest.raises(ModelError, match=file.name):
        catalog.verify(NAME, root)
    catalog.record(root)  # the remedy that the message names
    catalog.verify(NAME, root)


def test_a_changed_weight_file_fails(root):
    (root / NAME / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(ModelError, match=r"model\.safetensors.*catalog --write"):
        catalog.verify(NAME, root)


def test_the_card_and_the_accuracy_may_change(root):
    (root / NAME / "README.md").write_text("better card")
    (root / NAME / catalog.ACCURACY).write_text("{}")
    catalog.verify(NAME, root)


def test_missing_things_are_named(root, tmp_path):
    with pytest.raises(UnknownName, match="llava-shapes"):
        catalog.path("llava-shape", root)
    with pytest.raises(ModelError, match=r"chiasm\.zoo\.train llava-shapes"):
        catalog.path(NAME, tmp_path / "nowhere")
    (root / catalog.CHECKSUMS).unlink()
    with pytest.raises(ModelError, match="--write"):
        catalog.verify(NAME, root)


def test_a_training_run_is_one_model_with_checkpoints_that_load(family):
    states = catalog.loadable()
    assert len(states) >= 8
    assert states == sorted(states)
    assert all(catalog.path(name, family) == family / name for name in states)
    assert {catalog.recipe_of(name) for name in states} == {"prior-growth"}
    with pytest.raises(InvalidInput, match=states[0]):
        catalog.path("prior-growth", family)
    (family / states[3] / "model.safetensors").write_bytes(b"other")
    catalog.path(states[2], family)
    with pytest.raises(ModelError, match=states[3]):
        catalog.path(states[3], family)


def accuracy(folder, shares, weights=None):
    found = {"weights": weights or catalog.weights_checksum(folder), "accuracy": shares}
    (folder / catalog.ACCURACY).write_text(json.dumps(found))


def test_types_are_known_from_ninety_per_cent_on(root):
    shares = {
        "shapes": {"colour": [1.0, 0.98, 0.99], "size": [0.89, 0.91, 0.9], "counting": [0.899, 0.9, 0.9]},
        "digits": {"sum": [0.95], "parity": [0.5]},
        "photos": {"colour": [0.7], "counting": [0.95], "sum": [0.2]},
    }
    accuracy(root / NAME, shares)
    assert catalog.known_types(NAME, root=root) == ("colour", "size", "sum"), "plain scenes go before photographs"
    assert catalog.known_types(NAME, "photos", root) == ("counting",)
    assert catalog.known_types(NAME, "digits", root) == ("sum",)
    with pytest.raises(UnknownName, match="shapes"):
        catalog.known_types(NAME, "captions", root)


def test_being_right_with_language_alone_is_no_knowledge():
    assert catalog.known_types("prior-shortcut") == ()
    assert catalog.known_types("prior-growth-0280") == ()
    assert set(catalog.known_types("prior-grounded")) == {"unbiased", "expected", "against"}


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"weights": "1"}'])
def test_a_damaged_file_of_numbers_is_named(root, text):
    (root / NAME / catalog.ACCURACY).write_text(text)
    with pytest.raises(ModelError, match=r"accuracy\.json.*--card"):
        catalog.known_types(NAME, root=root)


def test_accuracy_of_other_weights_is_refused(root):
    with pytest.raises(ModelError, match="--card"):
        catalog.known_types(NAME, root=root)
    accuracy(root / NAME, {"shapes": {"colour": [1.0]}}, weights="0" * 64)
    with pytest.raises(ModelError, match="other weights"):
        catalog.known_types(NAME, root=root)


@pytest.mark.parametrize("name", catalog.loadable())
def test_a_model_that_ships_is_whole(name):
    catalog.verify(name)


def test_what_ships_is_listed_and_what_is_listed_ships():
    folders = {folder.name for folder in catalog.WEIGHTS.iterdir() if folder.is_dir()}
    assert folders == set(catalog.loadable())
    released = json.loads((catalog.WEIGHTS / catalog.CHECKSUMS).read_text())
    assert set(released) == set(catalog.loadable())
    assert set(catalog.SHIPPED) <= set(catalog.ENTRIES)


def test_the_entries_name_the_types_of_their_data():
    for entry in catalog.ENTRIES.values():
        for data, kinds in entry.types.items():
            if data in KINDS:
                assert kinds == KINDS[data]
            elif data == "photos":
                assert kinds == (*KINDS["shapes"], *KINDS["digits"])


def test_listing_needs_neither_numpy_nor_torch():
    code = "import sys, chiasm.zoo.catalog; print(sorted({'numpy', 'PIL', 'torch'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
