"""Files of one's own: CSV and Parquet give the samples that JSONL gives, and parts of any modality are read."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.modalities import modalities
from chiasm.zoo import dataset
from chiasm.zoo.data import rows

ROWS = [
    {"image": "0.png", "text": "What colour, and where?", "answer": "red", "type": "colour", "level": 2, "weight": 0.5},
    {"image": "1.png", "text": "How many?", "answer": "3", "id": "second", "type": "counting", "level": 1},
]


@pytest.fixture
def pictures(tmp_path):
    for k, colour in enumerate(("red", "blue")):
        Image.new("RGB", (8, 6), colour).save(tmp_path / f"{k}.png")
    return tmp_path


def write(folder, ending):
    file = folder / f"mine{ending}"
    if ending == ".jsonl":
        file.write_text("\n".join(map(json.dumps, ROWS)), encoding="utf-8")
    elif ending == ".parquet":
        pd.DataFrame(ROWS).to_parquet(file)
    else:
        with file.open("w", newline="", encoding="utf-8") as lines:
            writer = csv.DictWriter(lines, [*ROWS[0], "id"])
            writer.writeheader()
            writer.writerows(ROWS)
    return file


@pytest.mark.parametrize("ending", rows.ENDINGS)
@pytest.mark.parametrize("whole_folder", [False, True])
def test_every_kind_of_file_gives_the_same_samples(pictures, ending, whole_folder):
    file = write(pictures, ending)
    first, second = dataset(pictures if whole_folder else file)
    assert first["image"].data == pictures / "0.png"
    assert first["text"].data == "What colour, and where?"
    assert (first.answer, second.answer, second.id) == ("red", "3", "second")
    assert first.tags == {"type": "colour", "level": 2, "weight": 0.5}
    assert second.tags == {"type": "counting", "level": 1}
    assert len(dataset(file, n=1)) == 1


def test_columns_may_have_other_names(pictures):
    (pictures / "mine.csv").write_text("photo,ask,says\n0.png,12,7\n", encoding="utf-8-sig")
    (sample,) = dataset(pictures / "mine.csv", image="photo", text="ask", answer="says")
    assert (sample["image"].data, sample["text"].data, sample.answer) == (pictures / "0.png", "12", "7")


def test_pictures_within_parquet_and_files_of_one_table(pictures):
    stored = io.BytesIO()
    Image.new("RGB", (5, 4), (9, 8, 7)).save(stored, "PNG")
    row = {"image": {"bytes": stored.getvalue(), "path": None}, "question": "What?"}
    for place in range(2):
        pd.DataFrame([row | {"number": place}] * 70).to_parquet(pictures / f"part-{place}.parquet")
    samples = dataset(pictures)
    assert [sample.tags["number"] for sample in samples] == [0] * 70 + [1] * 70
    assert np.asarray(samples[-1]["image"].data)[0, 0].tolist() == [9, 8, 7]


def test_parts_of_any_modality_are_read(pictures, monkeypatch):
    monkeypatch.setattr(modalities, "_entries", {**modalities.entries(), "smell": modalities.entries()["text"]})
    (pictures / "rose.smell").write_text("a rose", encoding="utf-8")
    file = pictures / "mine.csv"
    file.write_text("smell,smell2,answer\nrose.smell,like rain,yes\n", encoding="utf-8")
    (sample,) = dataset(file)
    assert {name: part.kind for name, part in sample.parts.items()} == {"smell": "smell", "smell2": "smell"}
    assert (sample["smell"].data, sample["smell2"].data) == (pictures / "rose.smell", "like rain")
    file.write_text("smell,odour,answer\nrose.smell,like rain,yes\n", encoding="utf-8")
    assert dataset(file)[0].tags == {"odour": "like rain"}


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"image,text,text\n0.png,x,y\n", "each column needs a name of its own"),
        ("a.csv", b"image,text\n0.png,what colour, and where\n", "line 2 has 3 cells and the heading 2"),
        ("a.csv", b"image,text\n0.png,\xff\n", "cannot be read: .* Save it as CSV in UTF-8"),
        ("a.csv", b"image,text\n", "is empty"),
        ("a.csv", b"image,ask\n0.png,What?\n", "line 2 has no 'text' or 'question'"),
        ("a.parquet", b"image", "a.parquet cannot be read as Parquet"),
        ("a.xlsx", b"", "ends in .jsonl, .csv, .parquet, or a folder"),
    ],
)
def test_files_that_cannot_be_used_are_refused(pictures, name, content, says):
    (pictures / name).write_bytes(content)
    with pytest.raises(InvalidInput, match=says):
        dataset(pictures / name)


def test_a_file_has_no_splits(pictures):
    with pytest.raises(InvalidInput, match="has no splits"):
        dataset(write(pictures, ".csv"), split="train")
