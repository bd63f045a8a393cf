"""Folders of the user's own, and the one door to every data set."""

from __future__ import annotations

import json

import datasets as hugging_face
import numpy as np
import pytest
from PIL import Image

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingDependency, UnknownName
from chiasm.zoo import SAMPLES, dataset, datasets

PICTURES = [Image.new("RGB", (8, 6), colour) for colour in ("red", "blue")]


def folder(tmp_path, *rows, name="data.jsonl"):
    for k, picture in enumerate(PICTURES):
        picture.save(tmp_path / f"{k}.png")
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


ROW = {"image": "0.png", "text": "What colour is the box?", "answer": "red"}


@pytest.mark.parametrize("name", ["data.jsonl", "metadata.jsonl", "anything.jsonl"])
def test_a_plain_folder(tmp_path, name):
    first, second = dataset(folder(tmp_path, ROW, "", ROW | {"image": "1.png", "answer": 3}, name=name))
    assert list(first.parts) == ["image", "text"]
    assert first["image"].data == tmp_path / "0.png"
    assert (first["text"].data, first.answer, second.answer) == (ROW["text"], "red", "3")
    assert (first.truth, first.masks, first.tags, first.id) == ({}, {}, {}, None)


def test_truth_and_tags_of_a_plain_folder(tmp_path):
    more = {
        "boxes": [[0, 1, 4, 5.5], [2, 2, 3, 3]],
        "words": ["colour", [19, 22]],
        "type": "colour",
        "level": 2,
        "notes": ["not", "a", "tag"],
        "id": 17,
    }
    (sample,) = dataset(folder(tmp_path, ROW | more))
    assert sample.truth["image"].tolist() == [[0, 1, 4, 5.5], [2, 2, 3, 3]]
    assert [ROW["text"][a:b] for a, b in sample.truth["text"]] == ["colour", "box"]
    assert sample.tags == {"type": "colour", "level": 2}
    assert sample.id == "17"


def test_names_that_others_use(tmp_path):
    """Hugging Face's imagefolder says file_name, data sets of questions say question."""
    (sample,) = dataset(folder(tmp_path, {"file_name": "1.png", "question": "What?"}, name="metadata.jsonl"))
    assert sample["image"].data == tmp_path / "1.png"
    assert (sample["text"].data, sample.answer) == ("What?", None)


def test_columns_may_have_any_name(tmp_path):
    row = {"img": "1.png", "prompt": "What?", "label": "a", "text": "something else", "image_id": 5}
    (sample,) = dataset(folder(tmp_path, row), image="img", text="prompt", answer="label")
    assert (sample["text"].data, sample.answer) == ("What?", "a")
    assert sample["image"].data == tmp_path / "1.png"
    assert sample.tags == {"text": "something else", "image_id": 5}


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {"img": "0.png", "text": "a"},
            r"line 2 has no 'image' or 'file_name'; its columns are img, text\..*image='NAME'",
        ),
        ({"image": "0.png", "caption": "a"}, "no 'text' or 'question'; its columns are image, caption"),
        (ROW | {"text": None}, "nothing in 'text'"),
        (ROW | {"text": 3}, "text is 3"),
        (ROW | {"image": "7.png"}, r"line 2: there is no picture .*7\.png"),
        (ROW | {"image": 7}, "the picture is 7"),
        (ROW | {"answer": ["a"]}, "the answer is"),
        (ROW | {"boxes": [0, 0, 1, 1]}, "write one"),
        (ROW | {"boxes": [[0, 0, 1]]}, "write one"),
        (ROW | {"boxes": [[5, 5, 1, 9]]}, "x1 > x0"),
        (ROW | {"boxes": [["a", 5, 1, 9]]}, "write one"),
        (ROW | {"words": ["e"]}, "stand once"),
        (ROW | {"words": ["nowhere"]}, "stand once"),
        (ROW | {"words": [[3, 99]]}, r"\[3, 99\] of words"),
        (ROW | {"masks": ["1.png"], "boxes": [[0, 0, 1, 1], [1, 1, 2, 2]]}, "1 masks"),
        ('{"image": ', "line 2 is not JSON"),
        ("[1]", "line 2 is no object"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, says):
    with pytest.raises(InvalidInput, match=says):
        dataset(folder(tmp_path, ROW, row))


def test_masks_must_be_as_large_as_their_picture(tmp_path):
    Image.new("1", (3, 3)).save(tmp_path / "mask.png")
    with pytest.raises(InvalidInput, match=r"a mask has \(3, 3\) pixels, its picture \(8, 6\)"):
        dataset(folder(tmp_path, ROW | {"masks": ["mask.png"]}))


def test_rows_behind_the_first_n_are_not_looked_at(tmp_path):
    assert len(dataset(folder(tmp_path, ROW, "broken"), n=1)) == 1


def test_folders_without_one_data_file_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="has no JSONL file"):
        dataset(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        folder(tmp_path, ROW, name=name)
    with pytest.raises(InvalidInput, match=r"several JSONL files: a\.jsonl, b\.jsonl"):
        dataset(tmp_path)
    folder(tmp_path, ROW)
    assert len(dataset(tmp_path)) == 1


# ---- folders of Hugging Face data sets


@pytest.fixture
def saved(tmp_path):
    features = hugging_face.Features(
        picture=hugging_face.Image(),
        question=hugging_face.Value("string"),
        answer=hugging_face.ClassLabel(names=["no", "yes"]),
        kind=hugging_face.Value("string"),
    )
    rows = {"picture": PICTURES, "question": ["A?", "B?"], "answer": [1, 0], "kind": ["x", None]}
    table = hugging_face.Dataset.from_dict(rows, features=features)
    table.save_to_disk(str(tmp_path / "one"))
    hugging_face.DatasetDict(train=table, test=table.select([1])).save_to_disk(str(tmp_path / "two"))
    return tmp_path


def test_a_data_set_of_hugging_face(saved):
    first, second = dataset(saved / "one", image="picture")
    assert np.array_equal(np.asarray(first["image"].data), np.asarray(PICTURES[0]))
    assert (first["text"].data, first.answer, second.answer) == ("A?", "yes", "no")
    assert (first.tags, second.tags) == ({"kind": "x"}, {})


def test_missing_columns_are_listed(saved):
    says = r"row 0 has no 'image' or 'file_name'; its columns are picture, question, answer, kind\. .*image='NAME'"
    with pytest.raises(InvalidInput, match=says):
        dataset(saved / "one")
    with pytest.raises(InvalidInput, match="no 'reply'"):
        dataset(saved / "one", image="picture", answer="reply")


def test_a_split_is_named(saved):
    with pytest.raises(InvalidInput, match=r"several splits; name one: split='…', of train, test"):
        dataset(saved / "two", image="picture")
    with pytest.raises(InvalidInput, match="no split 'validation'"):
        dataset(saved / "two", image="picture", split="validation")
    (only,) = dataset(saved / "two", image="picture", split="test")
    assert only["text"].data == "B?"
    with pytest.raises(InvalidInput, match="no splits"):
        dataset(saved / "one", image="picture", split="test")


def test_without_the_library_the_extra_is_named(saved, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingDependency, match=r"chiasm\[data\]"):
        dataset(saved / "one")


# ---- the door


@pytest.mark.parametrize("name", list(datasets))
def test_every_data_set_is_reached_with_and_without_its_prefix(name):
    plain, prefixed = dataset(name, 2, 1), dataset(f"zoo:{name}", n=2, seed=1)
    assert [s.id for s in plain] == [s.id for s in prefixed] == [f"{name}-1-00000{k}" for k in range(2)]
    assert len(dataset(name)) == SAMPLES == 200


def test_options_reach_the_data_set():
    assert all(s.tags["canonical"] for s in dataset("prior", 30, language=1.0))
    assert not all(s.tags["canonical"] for s in dataset("prior", 30))


@pytest.mark.parametrize(
    ("arguments", "options", "error", "says"),
    [
        (("shape",), {}, UnknownName, "Did you mean 'shapes'"),
        (("zoo:shape",), {}, UnknownName, "data set or folder 'zoo:shape'"),
        (("shapes", 1, 0, ["color"]), {}, UnknownName, "color"),
        (("shapes", -1), {}, InvalidInput, "negative"),
        (("shapes", 1), {"language": 1.0}, InvalidInput, "does not know the option language; it takes none"),
        (("prior", 1), {"lang": 1.0}, InvalidInput, "option lang; it takes language, image"),
        (("prior", 1), {"language": "much"}, InvalidInput, "language='much' .* must be a number"),
        (("prior", 1, 0, ["colour"]), {}, InvalidInput, "no question types"),
        (("./no-such",), {}, InvalidInput, "no folder './no-such'"),
        (("a/b",), {}, InvalidInput, "no folder 'a/b'"),
    ],
)
def test_requests_that_cannot_be_met_say_why(arguments, options, error, says):
    with pytest.raises(error, match=says):
        dataset(*arguments, **options)


def test_what_is_for_generated_data_is_refused_for_folders(tmp_path):
    folder(tmp_path, ROW)
    for options in ({"seed": 0}, {"types": ["colour"]}):
        with pytest.raises(InvalidInput, match="generated"):
            dataset(tmp_path, **options)
    with pytest.raises(InvalidInput, match="option column; it takes image, text, answer, split"):
        dataset(tmp_path, column="a")
    with pytest.raises(InvalidInput, match="negative"):
        dataset(tmp_path, -1)
    with pytest.raises(InvalidInput, match="no splits"):
        dataset(tmp_path, split="train")


def test_a_name_wins_over_a_folder(tmp_path, monkeypatch):
    (tmp_path / "shapes").mkdir()
    folder(tmp_path / "shapes", ROW)
    monkeypatch.chdir(tmp_path)
    assert dataset("shapes", 1)[0].id == "shapes-0-000000"
    assert dataset("./shapes")[0].answer == "red"
    assert cx.dataset is dataset
