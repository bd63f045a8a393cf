"""Data sets as folders: what is written is what is read back, and nothing of the user's is ever lost."""

from __future__ import annotations

import json
from pathlib import Path

import datasets as hugging_face
import numpy as np
import pytest
from PIL import ExifTags, Image
from scipy.io import wavfile

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.modalities.audio_reading import read_sound
from chiasm.modalities.image_reading import read_image
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
    assert [row["id"] for row in rows] == [f"shapes-0-relation-00000{k}" for k in range(3)]
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
        ({"text": "a", "image": PICTURE, "tags": {"x": float("nan")}}, "tag 'x' is nan, a float; a tag is .* finite"),
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


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"answer": 3}, "the answer is 3; it must be a text"),
        ({"answer": "\ud800"}, "half a character"),
        ({"id": 7}, "the id is 7"),
        ({"text": "a \udcfc"}, "half a character"),
        ({"tags": {"x": [1, 2]}}, r"tag 'x' is \[1, 2\], a list"),
        ({"tags": {"x": None}}, "tag 'x' is None"),
        ({"tags": {"x": np.datetime64("2026-01-01")}}, "a datetime64"),
        ({"tags": {"x": 2**63}}, "64 bits"),
        ({"tags": {3: "x"}}, "the name of a tag is 3"),
        ({"truth": {"image": [[0, 0, 10, 3]]}}, r"the box \[0, 0, 10, 3\] is not in its picture, which has 8 × 6"),
        ({"truth": {"image": [[-3, 0, 2, 3]]}}, "is not in its picture"),
        ({"truth": {"image": [[0.0, 0.0, np.nan, 3.0]]}}, "finite"),
        ({"truth": {"image": [[4, 0, 2, 3]]}}, "x1 > x0"),
        ({"truth": {"image": [0, 0, 2, 3]}}, "write one"),
        ({"truth": {"image": np.ones((6, 8), dtype=bool)}}, "write one"),
        ({"truth": {"text": [[0, 2]]}}, r"\[0, 2\] of words is no place in 'a'"),
        ({"truth": {"text": [[0.0, 1.0]]}}, r"character spans int\[k, 2\]"),
        ({"masks": {"image": np.ones((1, 8, 6), dtype=bool)}}, r"give masks bool\[k, 6, 8\]"),
        ({"masks": {"text": np.ones((1, 1), dtype=bool)}}, "the text 'text' has masks"),
        ({"image": np.zeros((0, 4, 3), dtype=np.uint8)}, r"an array uint8\[0, 4, 3\]"),
        ({"image": np.zeros((4, 4, 2), dtype=np.uint8)}, r"an array uint8\[4, 4, 2\]"),
        ({"image": 3}, "the picture is 3, a int"),
        ({"image": "~no-such-user/a.png"}, "a home that is not known"),
        ({"image": __file__}, r"test_export\.py' is not a picture"),
        ({"image": Path(__file__).parent}, "is a folder"),
    ],
)
def test_what_would_not_come_back_is_refused_before_anything_is_written(fields, says, form, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.TemporaryDirectory", None)  # nothing may be begun
    good = cx.Sample(image=PICTURE, text="a")
    with pytest.raises(InvalidInput, match=f"Sample 1.*{says}"):
        cx.export([good, cx.Sample(**{"image": PICTURE, "text": "a"} | fields)], tmp_path / "a" / "out", format=form)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["_type", "a\0b"])
def test_a_tag_that_a_column_cannot_be_called_is_refused(name, tmp_path):
    samples = [cx.Sample(image=PICTURE, text="a", tags={name: "x"})]
    with pytest.raises(InvalidInput, match=r"rename"):
        cx.export(samples, tmp_path / "a" / "out", format="datasets")
    assert list(tmp_path.iterdir()) == []
    cx.export(samples, tmp_path / "out")
    assert cx.dataset(tmp_path / "out")[0].tags == {name: "x"}


@pytest.mark.parametrize("form", FORMATS)
def test_pictures_that_lie_on_their_side_come_back_upright(form, tmp_path):
    """Boxes and masks are of the picture as it is looked at, whichever way the camera was held."""
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    PICTURE.save(tmp_path / "a.png", exif=turned)
    upright = read_image(tmp_path / "a.png")
    assert upright.shape == (8, 6, 3)
    truth = {"image": np.array([[1.0, 2.0, 5.0, 8.0]])}
    mask = np.arange(48).reshape(1, 8, 6) % 3 == 0
    pictures = (tmp_path / "a.png", Image.open(tmp_path / "a.png"))
    samples = [cx.Sample(image=picture, text="a", truth=truth, masks={"image": mask}) for picture in pictures]
    cx.export(samples, tmp_path / "out", format=form)
    for again in cx.dataset(tmp_path / "out"):
        assert np.array_equal(read_image(again["image"].data), upright)
        assert np.array_equal(again.masks["image"], mask)
        assert np.array_equal(again.truth["image"], truth["image"])
    lying = cx.Sample(image=pictures[0], text="a", masks={"image": mask.reshape(1, 6, 8)})
    with pytest.raises(InvalidInput, match=r"give masks bool\[k, 8, 6\]"):
        cx.export([lying], tmp_path / "lying", format=form)


def test_home_is_put_in_full(tmp_path, monkeypatch):
    PICTURE.save(tmp_path / "a.png")
    monkeypatch.setenv("HOME", str(tmp_path))
    cx.export([cx.Sample(image="~/a.png", text="a")], "~/out")
    assert np.array_equal(pixels(cx.dataset("~/out")[0]), np.asarray(PICTURE))


@pytest.mark.parametrize("form", FORMATS)
def test_the_folder_that_one_stands_in_can_be_filled(form, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    number = here.stat().st_ino
    for name, force in (("shapes", False), ("digits", True)):
        assert cx.export(cx.dataset(name, 1), ".", format=form, force=force) == Path()
        assert here.stat().st_ino == Path().stat().st_ino == number, "who stands in the folder would see nothing"
        assert [s.id for s in cx.dataset(".")] == [f"{name}-0-000000"]
    names = {p.name for p in here.iterdir()}
    cx.export(cx.dataset("digits", 1), tmp_path / "fresh", format=form)
    assert names == {p.name for p in (tmp_path / "fresh").iterdir()}
    assert {p.name for p in tmp_path.iterdir()} == {"here", "fresh"}


def test_a_move_that_fails_leaves_what_was_there(tmp_path, monkeypatch):
    out = tmp_path / "out"
    cx.export(cx.dataset("shapes", 2), out)
    before = {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    rename, calls = Path.rename, []

    def fails(self, target):
        calls.append(self)
        if self.name == "images" and self.parent.name == "new":
            raise OSError("no space")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OSError, match="no space"):
        cx.export(cx.dataset("digits", 1), out, force=True)
    monkeypatch.undo()
    assert len(calls) > 3, "some files had been moved"
    assert {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        (["shapes"], "Sample 0 is 'shapes', a str; make it a sample"),
        ([cx.Sample(image=PICTURE, text="a"), None], "Sample 1 is None"),
        (cx.Sample(image=PICTURE, text="a"), "give a list"),
        (None, "The samples are None; give a list"),
        (5, "The samples are 5"),
    ],
)
def test_what_is_no_sample_is_refused(samples, says, tmp_path):
    with pytest.raises(InvalidInput, match=says):
        cx.export(samples, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("folder", [None, 3, "", b"out"])
def test_what_is_no_folder_is_refused(folder):
    with pytest.raises(InvalidInput, match=r"The folder is .*; give its path"):
        cx.export([cx.Sample(image=PICTURE, text="a")], folder)


def test_requests_that_cannot_be_met_are_refused(tmp_path, monkeypatch):
    with pytest.raises(InvalidInput, match="jsonl, datasets"):
        cx.export(cx.dataset("shapes", 1), tmp_path / "out", format="csv")
    with pytest.raises(InvalidInput, match="jsonl, datasets"):
        cx.export(cx.dataset("shapes", 1), tmp_path / "out", format=["jsonl"])
    with pytest.raises(InvalidInput, match="no samples"):
        cx.export([], tmp_path / "out")
    monkeypatch.setitem(__import__("sys").modules, "datasets", None)
    with pytest.raises(MissingDependency, match=r"chiasm\[data\]"):
        cx.export(cx.dataset("shapes", 1), tmp_path / "out", format="datasets")
    assert list(tmp_path.iterdir()) == []


def beeps(**more):
    sound = np.sin(np.arange(8000, dtype=np.float32) / 5) / 2
    return cx.Sample(audio=sound, text="How many?", **{"truth": {"audio": np.array([[0.1, 0.3]])}, **more})


def test_sounds_survive_as_models_are_given_them(tmp_path):
    own = tmp_path / "own.wav"
    wavfile.write(own, 22_050, np.arange(-500, 500, dtype=np.int16))
    given = [*cx.dataset("chimes", 3, seed=1), beeps(), cx.Sample(audio=own, image=PICTURE, text="What is it?")]
    back = cx.dataset(cx.export(given, tmp_path / "out"))
    assert (tmp_path / "out" / "sounds" / "000004-audio.wav").read_bytes() == own.read_bytes()
    for sample, read in zip(given, back, strict=True):
        assert list(read.parts) == list(sample.parts)
        assert np.array_equal(read_sound(read["audio"].data), read_sound(sample["audio"].data))
        assert read.truth.keys() == sample.truth.keys()
        assert all(np.array_equal(truth, sample.truth[name]) for name, truth in read.truth.items())
        assert (read.answer, dict(read.tags)) == (sample.answer, dict(sample.tags))


@pytest.mark.parametrize(
    ("truth", "says"),
    [([[0.3, 0.1]], "start, end"), ([[0.4, 0.6]], "within the sound"), ([0.1, 0.3], "start, end")],
)
def test_times_outside_of_a_sound_are_refused(truth, says, tmp_path):
    with pytest.raises(InvalidInput, match=says):
        cx.export([beeps(truth={"audio": np.array(truth)})], tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_format_without_sounds_says_which_has_them(tmp_path):
    with pytest.raises(InvalidInput, match="use the format jsonl"):
        cx.export([beeps()], tmp_path / "out", "datasets")
    assert list(tmp_path.iterdir()) == []
