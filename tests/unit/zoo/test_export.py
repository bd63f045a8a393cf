"""Data sets as folders: what is written is what is read back, and nothing of the user's is ever lost."""

from __future__ import annotations

import json
from pathlib import Path

import datasets as hugging_face
import numpy as np
import pytest
from PIL import Image

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.zoo.data.export import JSONL

FORMATS = ("jsonl", "datasets")
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 8, 3), dtype=np.uint8))


def pixels(sample, name="image"):
    data = sample[name].data
    return np.asarray(Image.open(data) if isinstance(data, Path) else data)


def same(a, b):
    """Everything that a sample holds, with its types."""
    assert [(name, part.kind) for name, part in a.parts.items()] == [(name, p.kind) for name, p in b.parts.items()]
    assert (a.answer, a.id, a.tags) == (b.answer, b.id, b.tags)
    assert {name: type(value) for name, value in a.tags.items()} == {n: type(value) for n, value in b.tags.items()}
    for name, part in a.parts.items():
        if part.kind == "text":
            assert part.data == b[name].data
        else:
            assert pixels(a, name).dtype == pixels(b, name).dtype
            assert np.array_equal(pixels(a, name), pixels(b, name))
    for mine, other in ((a.truth, b.truth), (a.masks, b.masks)):
        assert mine.keys() == other.keys()
        for name, value in mine.items():
            assert (value.dtype, value.shape) == (other[name].dtype, other[name].shape)
            assert np.array_equal(value, other[name])


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("name", ["shapes", "digits", "photos", "prior", "captions"])
def test_the_round_trip_is_exact(name, form, tmp_path):
    samples = cx.dataset(name, n=12, seed=3)
    assert cx.export(samples, tmp_path / "out", format=form) == tmp_path / "out"
    again = cx.dataset(tmp_path / "out")
    assert len(again) == 12
    for a, b in zip(samples, again, strict=True):
        same(a, b)


@pytest.mark.parametrize("form", FORMATS)
def test_unusual_samples_survive(form, tmp_path):
    samples = [
        cx.Sample(image=PICTURE, text='A "quoted"\nline, ünï', answer=None),
        cx.Sample(image=PICTURE.convert("L"), text="", answer="", tags={"a": 0.1, "b": True, "c": 3, "d": "x"}),
        cx.Sample(
            text="text first",
            image=np.asarray(PICTURE),
            text2="and a second",
            image2=PICTURE,
            truth={"image2": [[0.1, 0.2, 3.3, 4.7]], "text2": [[0, 3]], "image": np.zeros((0, 4)), "text": [[5, 10]]},
            masks={"image2": np.arange(48).reshape(1, 6, 8) % 3 == 0},
            id="x",
        ),
    ]
    samples[2].truth["image2"] = samples[2].truth["image2"].astype(np.float64)
    cx.export(samples, tmp_path / "out", format=form)
    for a, b in zip(samples, cx.dataset(tmp_path / "out"), strict=True):
        same(a, b)


@pytest.mark.parametrize("form", FORMATS)
def test_picture_files_are_kept_as_they_are(form, tmp_path):
    PICTURE.save(tmp_path / "a.JPG", quality=40)
    cx.export([cx.Sample(image=tmp_path / "a.JPG", text="b")], tmp_path / "out", format=form)
    (again,) = cx.dataset(str(tmp_path / "out"))
    assert np.array_equal(pixels(again), np.asarray(Image.open(tmp_path / "a.JPG")))


def test_pictures_of_a_lossy_origin_are_written_without_loss(tmp_path):
    PICTURE.save(tmp_path / "a.jpg", quality=40)
    opened = Image.open(tmp_path / "a.jpg")
    for form in FORMATS:
        cx.export([cx.Sample(image=opened, text="b")], tmp_path / form, format=form)
        assert np.array_equal(pixels(cx.dataset(tmp_path / form)[0]), np.asarray(opened))


def test_the_jsonl_folder_is_plain(tmp_path):
    cx.export(cx.dataset("shapes", 3, 0, ["relation"]), tmp_path / "out")
    rows = [json.loads(line) for line in (tmp_path / "out" / JSONL).read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"shapes-0-00000{k}" for k in range(3)]
    assert len(rows[0]["boxes"]) == len(rows[0]["masks"]) == 2
    assert rows[0]["text"][slice(*rows[0]["words"][0])] in rows[0]["text"]
    mask = Image.open(tmp_path / "out" / rows[0]["masks"][1])
    assert (mask.mode, mask.size) == ("1", (256, 256))
    assert Image.open(tmp_path / "out" / rows[0]["image"]).format == "PNG"


def test_the_hugging_face_folder_is_read_by_the_library(tmp_path):
    cx.export(cx.dataset("shapes", 4, 0, ["existence"]), tmp_path / "out", format="datasets")
    table = hugging_face.load_from_disk(str(tmp_path / "out"))
    assert isinstance(table.features["image"], hugging_face.Image)
    assert table[0]["image"].size == (256, 256)
    assert set(table["answer"]) <= {"yes", "no"}
    assert not hugging_face.are_progress_bars_disabled(), "what the user has set is left as it was"


def test_first_samples_alone_can_be_read(tmp_path):
    for form in FORMATS:
        cx.export(cx.dataset("shapes", 5, 0), tmp_path / form, format=form)
        assert [s.id[-1] for s in cx.dataset(tmp_path / form, n=2)] == ["0", "1"]
        assert len(cx.dataset(tmp_path / form, n=50)) == 5


def test_a_folder_that_holds_something_is_not_touched(tmp_path):
    samples = cx.dataset("shapes", 2)
    (tmp_path / "mine.txt").write_text("precious")
    for force in (False, True):
        with pytest.raises(InvalidInput, match="no export"):
            cx.export(samples, tmp_path, force=force)
    out = tmp_path / "out"
    cx.export(samples, out)
    before = sorted(p.name for p in out.rglob("*"))
    with pytest.raises(InvalidInput, match="earlier export"):
        cx.export(samples, out, format="datasets")
    (out / "notes.md").write_text("precious")
    with pytest.raises(InvalidInput, match="no export"):
        cx.export(samples, out, force=True)
    (out / "notes.md").unlink()
    assert sorted(p.name for p in out.rglob("*")) == before
    with pytest.raises(InvalidInput, match="is a file"):
        cx.export(samples, tmp_path / "mine.txt")
    assert (tmp_path / "mine.txt").read_text() == "precious"


@pytest.mark.parametrize("own", ["images/mine.png", "masks/deep/mine.png", "notes.txt"])
def test_force_spares_what_is_the_users_own(own, tmp_path):
    out = tmp_path / "set"
    cx.export(cx.dataset("shapes", 1), out)
    (out / own).parent.mkdir(parents=True, exist_ok=True)
    (out / own).write_text("mine")
    with pytest.raises(InvalidInput, match="no export of Chiasm wrote"):
        cx.export(cx.dataset("digits", 1), out, force=True)
    assert (out / own).read_text() == "mine"


def test_force_spares_a_folder_made_by_hand(tmp_path):
    """It may be laid out as an export is, for that is the layout that the docs suggest."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_text("mine")
    (tmp_path / "data.jsonl").write_text("{}")
    with pytest.raises(InvalidInput, match="no export of Chiasm wrote"):
        cx.export(cx.dataset("digits", 1), tmp_path, force=True)
    assert (tmp_path / "images" / "a.png").read_text() == "mine"


def test_force_replaces_an_earlier_export(tmp_path):
    out = tmp_path / "out"
    cx.export(cx.dataset("shapes", 3), out)
    cx.export(cx.dataset("digits", 2), out, format="datasets", force=True)
    assert [s.id for s in cx.dataset(out)] == ["digits-0-000000", "digits-0-000001"]
    assert not (out / JSONL).exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"], "nothing is left beside it"


@pytest.mark.parametrize("form", FORMATS)
def test_a_failed_export_leaves_what_was_there(form, tmp_path):
    out = tmp_path / "out"
    cx.export(cx.dataset("shapes", 2), out)
    broken = [*cx.dataset("shapes", 2, 9), cx.Sample(image=tmp_path / "no-such.png", text="x")]
    with pytest.raises(InvalidInput, match=r"no-such\.png"):
        cx.export(broken, out, format=form, force=True)
    assert [s.id for s in cx.dataset(out)] == ["shapes-0-000000", "shapes-0-000001"]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_an_empty_folder_may_be_filled_and_parents_are_made(tmp_path):
    (tmp_path / "empty").mkdir()
    for out in (tmp_path / "empty", tmp_path / "a" / "b"):
        cx.export(cx.dataset("shapes", 1), out)
        assert len(cx.dataset(out)) == 1


@pytest.mark.parametrize(
    ("sample", "says"),
    [
        ({"image": PICTURE}, "the parts image and text are needed"),
        ({"text": "a", "image": PICTURE.convert("F")}, "mode 'F'"),
        ({"text": "a", "image": np.zeros((2, 2, 3))}, "an array float64"),
        ({"text": "a", "image": PICTURE, "audio": "b.wav"}, "'audio'"),
        ({"text": "a", "image": PICTURE, "image_left": PICTURE}, "'image_left'"),
        ({"text": 3, "image": PICTURE}, "must be a text"),
        ({"text": "a", "image": PICTURE, "tags": {"x": float("nan")}}, "JSON cannot"),
    ],
)
def test_samples_that_a_folder_cannot_hold_are_refused(sample, says, tmp_path):
    with pytest.raises(InvalidInput, match=says):
        cx.export([cx.Sample(**sample)], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_a_tag_of_several_types_is_refused_where_columns_have_one(tmp_path):
    samples = [cx.Sample(image=PICTURE, text="a", tags={"x": value}) for value in (1, "one")]
    with pytest.raises(InvalidInput, match="'x' is 'one', a str"):
        cx.export(samples, tmp_path / "out", format="datasets")
    cx.export(samples, tmp_path / "out")
    assert [s.tags["x"] for s in cx.dataset(tmp_path / "out")] == [1, "one"]


def test_requests_that_cannot_be_met_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="jsonl, datasets"):
        cx.export(cx.dataset("shapes", 1), tmp_path / "out", format="csv")
    with pytest.raises(InvalidInput, match="no samples"):
        cx.export([], tmp_path / "out")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingDependency, match=r"chiasm\[data\]"):
        cx.export(cx.dataset("shapes", 1), tmp_path / "out", format="datasets")
    assert list(tmp_path.iterdir()) == []
