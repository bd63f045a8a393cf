"""Folders of the user's own, and the one door to every data set."""

from __future__ import annotations

import json

import datasets as hugging_face
import numpy as np
import pytest
from PIL import ExifTags, Image

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingDependency, UnknownName
from chiasm.core.registry import Entry
from chiasm.zoo import SAMPLES, dataset, datasets, option_kinds
from chiasm.zoo.data import sets

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
        "notes": None,
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
        (ROW | {"masks": ["white.png"], "boxes": [[0, 0, 1, 1], [1, 1, 2, 2]]}, "1 masks"),
        (ROW | {"masks": ["dark.png"]}, r"go up to 1 only; .* white \(255\)"),
        (ROW | {"masks": ["data.jsonl"]}, r"line 2: 'data\.jsonl' is not a picture"),
        (ROW | {"boxes": [[0, 0, 90, 5]]}, r"\[0, 0, 90, 5\] is not in its picture, which has 8 × 6 pixels"),
        (ROW | {"boxes": [[-9, 0, 3, 5]]}, "is not in its picture"),
        (ROW | {"boxes": [["0", "0", "1", "1"]]}, "write one"),
        ('{"image": "0.png", "text": "a", "boxes": [[0, 0, Infinity, 5]]}', "finite"),
        ('{"image": "0.png", "text": "a", "boxes": [[0, 0, NaN, 5]]}', "finite"),
        ('{"image": "0.png", "text": "a", "level": NaN}', "line 2: the tag 'level' is nan"),
        ('{"image": "0.png", "text": "a", "answer": NaN}', "line 2: the answer is nan"),
        ('{"image": "0.png", "text": "a", "text": "b"}', "line 2: the field 'text' stands there twice"),
        (ROW | {"text": "a\ud800"}, "line 2: text is .*half a character"),
        (ROW | {"words": [[True, 5]]}, "of words is no place"),
        (ROW | {"image": "data.jsonl"}, r"line 2: .*data\.jsonl' is not a picture that Pillow reads"),
        (ROW | {"image": "."}, "line 2: .* is a folder"),
        (ROW | {"image": "a" * 5000}, "line 2: the picture .* cannot be read"),
        (ROW | {"image": "~no-such-user/a.png"}, "line 2: .* a home that is not known"),
        (ROW | {"id": [1]}, r"the id is \[1\]"),
        (ROW | {"tags": ["a"]}, r"line 2: tags is \['a'\]; write a table"),
        (ROW | {"tags": "colour"}, "tags is 'colour'; write a table"),
        (ROW | {"tags": {"x": [1]}}, r"tag 'x' is \[1\], a list"),
        (ROW | {"type": "a", "tags": {"type": "b"}}, "'type' is a field and stands in tags too"),
        (ROW | {"question": "Which?"}, "line 2 has both 'text' and 'question'; say which is the text: text='NAME'"),
        (ROW | {"file_name": "1.png"}, "has both 'image' and 'file_name'"),
        (ROW | {"word": ["box"]}, r"the field 'word' is \['box'\]; .* Mend its name, or leave it out"),
        (ROW | {"image2_boxes": [[0, 0, 1, 1]]}, "the field 'image2_boxes'"),
        (ROW | {"bbox": {"x": 1}}, "the field 'bbox' is"),
        ('{"image": ', "line 2 is not JSON"),
        ("[1]", "line 2 is no object"),
    ],
)
def test_rows_that_cannot_be_used_are_named(tmp_path, row, says):
    Image.new("L", (8, 6), 255).save(tmp_path / "white.png")
    Image.new("L", (8, 6), 1).save(tmp_path / "dark.png")
    with pytest.raises(InvalidInput, match=says):
        dataset(folder(tmp_path, ROW, row))


def test_a_clash_of_columns_is_settled_by_name(tmp_path):
    (sample,) = dataset(folder(tmp_path, ROW | {"question": "Which?"}), text="question")
    assert (sample["text"].data, sample.tags) == ("Which?", {"text": ROW["text"]})


def test_boxes_may_reach_over_the_border_by_a_rounding(tmp_path):
    (sample,) = dataset(folder(tmp_path, ROW | {"boxes": [[-0.5, 0, 8.4, 6]]}))
    assert sample.truth["image"].tolist() == [[-0.5, 0, 8.4, 6]]


def test_boxes_and_masks_are_of_the_upright_picture(tmp_path):
    """A photograph taken upright is stored lying, with its turn in the EXIF data; models see it upright."""
    folder(tmp_path, ROW | {"image": "turned.jpg", "masks": ["mask.png", "turned.png"], "boxes": [[0, 0, 6, 8]] * 2})
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    PICTURES[0].save(tmp_path / "turned.jpg", exif=turned)
    Image.new("1", (6, 8), 1).save(tmp_path / "mask.png")
    lying = Image.new("1", (8, 6))
    lying.putpixel((0, 0), 1)
    lying.save(tmp_path / "turned.png", exif=turned)
    (sample,) = dataset(tmp_path)
    assert sample.masks["image"].shape == (2, 8, 6)
    assert sample.masks["image"][0].all()
    assert np.argwhere(sample.masks["image"][1]).tolist() == [[0, 5]], "a quarter turn clockwise"
    folder(tmp_path, ROW | {"image": "turned.jpg", "boxes": [[0, 0, 8, 6]]})
    with pytest.raises(InvalidInput, match="6 × 8 pixels"):
        dataset(tmp_path)


def test_pictures_may_lie_at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "data").mkdir()
    folder(tmp_path / "data", ROW | {"image": "~/data/1.png"})
    assert dataset("~/data")[0]["image"].data == tmp_path / "data" / "1.png"


@pytest.mark.parametrize(
    ("encoding", "says"),
    [
        ("latin-1", r"line 2 is not in UTF-8 \(byte 0xfc\); .* Latin-1 or Windows-1252: .* iconv -f Latin-1 -t UTF-8"),
        ("utf-16", r"line 1 is not in UTF-8 .* UTF-16: .*iconv -f UTF-16"),
    ],
)
def test_other_encodings_are_named(encoding, says, tmp_path):
    folder(tmp_path)
    lines = [json.dumps(ROW), json.dumps(ROW | {"text": "grün"}, ensure_ascii=False)]
    (tmp_path / "data.jsonl").write_text("\n".join(lines), encoding=encoding)
    with pytest.raises(InvalidInput, match=says):
        dataset(tmp_path)


def test_a_byte_order_mark_is_let_pass(tmp_path):
    folder(tmp_path)
    text = json.dumps(ROW | {"text": "grün\u2028\x85"}, ensure_ascii=False)
    (tmp_path / "data.jsonl").write_text(f"{text}\r\n{text}\r\n", encoding="utf-8-sig")
    assert [s["text"].data for s in dataset(tmp_path)] == ["grün\u2028\x85"] * 2


@pytest.mark.parametrize("rows", [(), ("", " ")])
def test_an_empty_file_is_refused(rows, tmp_path):
    with pytest.raises(InvalidInput, match="is empty"):
        dataset(folder(tmp_path, *rows))
    assert dataset(tmp_path, n=0) == []


def test_masks_must_be_as_large_as_their_picture(tmp_path):
    Image.new("1", (3, 3)).save(tmp_path / "mask.png")
    with pytest.raises(InvalidInput, match=r"a mask has \(3, 3\) pixels, its picture \(8, 6\)"):
        dataset(folder(tmp_path, ROW | {"masks": ["mask.png"]}))


def test_rows_behind_the_first_n_are_not_looked_at(tmp_path):
    assert len(dataset(folder(tmp_path, ROW, "broken"), n=1)) == 1


def test_folders_without_one_data_file_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"has no data\. It needs data\.jsonl"):
        dataset(tmp_path)
    for name in ("a.jsonl", "b.jsonl"):
        folder(tmp_path, ROW, name=name)
    with pytest.raises(InvalidInput, match=r"several files of data: a\.jsonl, b\.jsonl; name one"):
        dataset(tmp_path)
    assert len(dataset(tmp_path / "b.jsonl")) == 1
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


def test_bytes_that_are_no_picture_are_refused(tmp_path):
    rows = {"image": [{"bytes": b"no picture", "path": None}], "text": ["A?"]}
    features = hugging_face.Features(image=hugging_face.Image(), text=hugging_face.Value("string"))
    hugging_face.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "a"))
    plain = {**rows, "image": [{"bytes": b"no picture"}]}
    hugging_face.Dataset.from_dict(plain).save_to_disk(str(tmp_path / "b"))
    for name in "ab":
        with pytest.raises(InvalidInput, match=r"row 0: .*in a column is not a picture"):
            dataset(tmp_path / name)


def test_columns_that_nothing_takes_are_named(tmp_path):
    rows = {"image": ["0.png"], "text": ["A?"], "objects": [["a", "b"]]}
    hugging_face.Dataset.from_dict(rows).save_to_disk(str(tmp_path / "out"))
    PICTURES[0].save(tmp_path / "out" / "0.png")
    with pytest.warns(UserWarning, match="The column 'objects' is left out"):
        (found,) = dataset(tmp_path / "out")
    assert (found["text"].data, found.tags) == ("A?", {})


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
        (("prior", 1, 0, ["shape"]), {}, UnknownName, "'prior' has no question type 'shape'"),
        (("prior", 1), {"language": True}, InvalidInput, "language=True .* must be a number"),
        (("prior", 1), {"language": None}, InvalidInput, "language=None .* must be a number"),
        ((None,), {}, InvalidInput, r"data set is None; give a name \(captions, .*\) or a folder"),
        (("",), {}, InvalidInput, "data set is ''; give a name"),
        ((3,), {}, InvalidInput, "data set is 3"),
        (("shapes", "3"), {}, InvalidInput, "n='3' is a str; give a whole number"),
        (("shapes", 2.0), {}, InvalidInput, r"n=2\.0 is a float; give a whole number, e\.g\. n=20"),
        (("shapes", True), {}, InvalidInput, "n=True is a bool"),
        (("prior", "3"), {}, InvalidInput, "n='3' is a str"),
        (("captions", 1, 1.5), {}, InvalidInput, r"seed=1\.5 is a float; give a whole number"),
        (("shapes", 1, "a"), {}, InvalidInput, "seed='a' is a str"),
        (("shapes", 1, -1), {}, InvalidInput, "seed must not be negative; got seed=-1"),
        (
            ("captions", 1, 0, "swap"),
            {},
            InvalidInput,
            r"types is the text 'swap'; give a list, e\.g\. types=\['swap'\]",
        ),
        (("shapes", 1, 0, "colour,size"), {}, InvalidInput, r"types=\['colour', 'size'\]"),
        (("shapes", 1, 0, 3), {}, InvalidInput, "types=3 is a int; give a list"),
        (("shapes", 1, 0, [3]), {}, InvalidInput, "types has 3 in it, a int"),
        (("shapes", 1, 0, []), {}, InvalidInput, "types is empty"),
        ((__file__,), {}, InvalidInput, r"is a file that cannot be read as data; give one that ends in .jsonl"),
        (("~no-such-user/data",), {}, InvalidInput, "no folder or file '~no-such-user/data'"),
        (("a" * 5000,), {}, UnknownName, "data set or folder"),
        (("./no-such",), {}, InvalidInput, "no folder or file './no-such'"),
        (("a/b",), {}, InvalidInput, "no folder or file 'a/b'"),
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
    with pytest.raises(InvalidInput, match="column 'a' is named twice, as image and as text"):
        dataset(tmp_path, image="a", text="a")
    with pytest.raises(InvalidInput, match="answer=3 is a int; give a name"):
        dataset(tmp_path, answer=3)
    for n in (True, 1.5, "2"):
        with pytest.raises(InvalidInput, match=f"n={n!r} is a "):
            dataset(tmp_path, n)


def test_types_may_come_from_a_generator_and_numbers_from_numpy():
    wanted = [s.id + s["text"].data for s in dataset("shapes", 5, 3, ["colour", "size"])]
    given = dataset("shapes", np.int64(5), np.uint8(3), (kind for kind in ("colour", "size")))
    assert [s.id + s["text"].data for s in given] == wanted
    assert {s.tags["type"] for s in sets.samples("digits", 20, 0, iter(["sum", "parity"]))} == {"sum", "parity"}


def test_types_of_a_set_have_an_order():
    """A set's own order changes from one process to the next."""
    wanted = [s["text"].data for s in dataset("shapes", 9, 0, ["colour", "counting", "shape", "size"])]
    assert [s["text"].data for s in dataset("shapes", 9, 0, {"size", "shape", "counting", "colour"})] == wanted


def test_the_one_type_of_prior_may_be_named():
    assert [s.id for s in dataset("prior", 2, 0, ["colour"])] == [s.id for s in dataset("prior", 2)]


def charts(n, seed, *, bars: int = 3, title: str | None = None, log: bool = False, other=None):
    return [(n, seed, bars, title, log, other)]


@pytest.fixture
def own(monkeypatch):
    monkeypatch.setitem(datasets._entries, "charts", Entry(charts))


@pytest.mark.usefixtures("own")
def test_options_of_other_packages_are_checked_by_what_they_take():
    assert option_kinds("charts") == {
        "bars": {"int"},
        "title": {"str", "None"},
        "log": {"bool"},
        "other": set(),
    }
    assert dataset("charts", 1, bars=4, title=None, log=True, other=[1]) == [(1, 0, 4, None, True, [1])]
    for options, says in (
        ({"bars": 4.0}, r"bars=4\.0 .* a whole number"),
        ({"bars": True}, "a whole number"),
        ({"title": 3}, "title=3 .* a text"),
        ({"log": 1}, "log=1 .* true or false"),
    ):
        with pytest.raises(InvalidInput, match=says):
            dataset("charts", 1, **options)
    with pytest.raises(InvalidInput, match="no question types"):
        dataset("charts", 1, 0, ["bar"])


def test_a_name_wins_over_a_folder(tmp_path, monkeypatch):
    (tmp_path / "shapes").mkdir()
    folder(tmp_path / "shapes", ROW)
    monkeypatch.chdir(tmp_path)
    assert dataset("shapes", 1)[0].id == "shapes-0-000000"
    assert dataset("./shapes")[0].answer == "red"
    assert cx.dataset is dataset
