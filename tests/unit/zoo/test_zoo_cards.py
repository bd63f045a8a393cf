"""Cards read tables of the schema that the hub's copies have, written here with two or three rows each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.zoo.data.cards import CARDS, load, plain, same_letter, same_verdict, same_words

datasets = pytest.importorskip("datasets")


def picture(shade: int) -> Image.Image:
    return Image.fromarray(np.full((12, 16, 3), shade, np.uint8))


ROWS = {
    "pope": [
        {"id": "0", "question_id": "1", "question": "Is there a cat in the image?", "answer": "yes",
         "image_source": "COCO_val2014_000000000001", "image": picture(10), "category": "random"},
        {"id": "1", "question_id": "2", "question": "Is there a dog in the image?", "answer": "no",
         "image_source": "COCO_val2014_000000000001", "image": picture(10), "category": "adversarial"},
    ],
    "cv-bench": [
        {"idx": 7, "type": "2D", "task": "Count", "image": picture(20), "question": "How many cars?",
         "choices": ["1", "2"], "answer": "(B)", "prompt": "How many cars? Select from: (A) 1 (B) 2", "source": "COCO"},
        {"idx": 8, "type": "3D", "task": "Depth", "image": picture(30), "question": "Which is closer?",
         "choices": ["box", "cup"], "answer": "(A)", "prompt": "", "source": "Omni3D"},
    ],
    "mmstar": [
        {"index": 3, "question": "Which? Options: A: a, B: b", "image": picture(40), "answer": "B", "category": "math",
         "l2_category": "geometry"},
    ],
    "vqav2": [
        {"question_id": 11, "question": "What is it?", "image": picture(50), "multiple_choice_answer": "a red car",
         "question_type": "what is", "answer_type": "other"},
    ],
}  # fmt: skip


@pytest.fixture(params=["disk", "dict", "parquet"])
def copy(request: pytest.FixtureRequest, tmp_path: Path):
    """Writes rows as a copy on disk in each of the three forms."""

    def write(name: str) -> Path:
        split, folder = CARDS[name].split, tmp_path / name
        table = datasets.Dataset.from_list(ROWS[name])
        if request.param == "disk":
            table.save_to_disk(str(folder))
        elif request.param == "dict":
            datasets.DatasetDict({split: table}).save_to_disk(str(folder))
        else:
            folder.mkdir()
            table.to_parquet(str(folder / f"{split}-00000-of-00001.parquet"))
        return folder

    return write


@pytest.mark.parametrize("name", ROWS)
def test_a_copy_on_disk_gives_pictures_questions_answers_and_tags(name, copy):
    found = load(name, folder=copy(name))
    rows, card = ROWS[name], CARDS[name]
    assert len(found) == len(rows)
    for sample, row in zip(found, rows, strict=True):
        assert np.asarray(sample["image"].data).tolist() == np.asarray(row["image"]).tolist()
        assert (row.get("prompt") or row["question"]) in sample["text"].data
        assert sample.answer == row[card.answer]
        assert sample.tags == {tag: row[tag] for tag in card.tags}
        assert sample.id == f"{name}-{row[card.id]}"


def test_choices_are_written_out_where_there_is_no_prompt(tmp_path):
    datasets.Dataset.from_list(ROWS["cv-bench"]).save_to_disk(str(tmp_path / "cv"))
    first, second = load("cv-bench", folder=tmp_path / "cv")
    assert first["text"].data == "How many cars? Select from: (A) 1 (B) 2\nAnswer with the letter of the option alone."
    assert second["text"].data == "Which is closer?\n(A) box\n(B) cup\nAnswer with the letter of the option alone."


def test_repope_corrects_answers_and_leaves_out_what_it_does_not_have(tmp_path):
    datasets.Dataset.from_list(ROWS["pope"]).save_to_disk(str(tmp_path / "pope"))
    line = {
        "question_id": 1,
        "image": "COCO_val2014_000000000001.jpg",
        "text": "Is there a cat in the image?",
        "label": "no",
    }
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels" / "coco_repope_random.json").write_text(json.dumps(line) + "\n")
    (found,) = load("repope", folder=tmp_path / "pope", annotations=tmp_path / "labels")
    assert (found.answer, found.tags["category"]) == ("no", "random")
    with pytest.raises(InvalidInput, match="annotations=FOLDER"):
        load("repope", folder=tmp_path / "pope")
    with pytest.raises(InvalidInput, match="coco_repope"):
        load("repope", folder=tmp_path / "pope", annotations=tmp_path / "pope")


def test_gqa_joins_its_two_tables(tmp_path):
    questions = [{"id": "q1", "imageId": "n1", "question": "Is it red?", "answer": "yes"},
                 {"id": "q2", "imageId": "n2", "question": "Is it blue?", "answer": "no"}]  # fmt: skip
    datasets.Dataset.from_list(questions).save_to_disk(str(tmp_path / "testdev_balanced_instructions"))
    datasets.Dataset.from_list([{"id": "n1", "image": picture(60)}]).save_to_disk(
        str(tmp_path / "testdev_balanced_images")
    )
    (found,) = load("gqa", 1, folder=tmp_path)
    assert (found.id, found.answer) == ("gqa-q1", "yes")
    assert np.asarray(found["image"].data).max() == 60
    with pytest.raises(InvalidInput, match="'n2', which is not among the 1"):
        load("gqa", folder=tmp_path)


def test_some_rows_alone(tmp_path):
    datasets.Dataset.from_list([{**ROWS["mmstar"][0], "index": k} for k in range(10)]).save_to_disk(str(tmp_path / "m"))
    assert [sample.id for sample in load("mmstar", 2, folder=tmp_path / "m", every=3)] == ["mmstar-0", "mmstar-3"]


@pytest.mark.parametrize(
    ("judge", "answer", "reference", "right"),
    [
        (same_words, "The red car.", "a red car", True),
        (same_words, "two", "2", True),
        (same_words, "red", "red car", False),
        (same_verdict, "Yes, there is.", "yes", True),
        (same_verdict, "No.", "yes", False),
        (same_letter, "B", "(B)", True),
        (same_letter, "B: b", "B", True),
        (same_letter, "The answer is (B).", "B", True),
        (same_letter, "A cat", "B", False),
        (same_letter, "A cat", "A", False),
        (same_letter, "I think B", "B", True),
        (same_letter, "(B) a cat", "B", True),
        (same_letter, "b", "(B)", True),
        (same_letter, "banana", "B", False),
        (same_letter, "(A)", "(B)", False),
    ],
)
def test_answers_are_judged_as_each_set_asks(judge, answer, reference, right):
    assert judge(answer, reference) is right


def test_answers_without_what_does_not_count():
    assert plain("  The  Two cats! ") == "2 cats"


def test_what_cannot_be_read_is_refused_in_words(tmp_path, monkeypatch):
    with pytest.raises(UnknownName, match="pope"):
        load("popee")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InvalidInput, match="folder=COPY"):
        load("pope", folder=tmp_path / "empty")
    datasets.Dataset.from_list([{"question": "x", "answer": "y"}]).save_to_disk(str(tmp_path / "other"))
    with pytest.raises(InvalidInput, match="lacks image"):
        load("pope", folder=tmp_path / "other")
    with pytest.raises(InvalidInput, match="at least 1"):
        load("pope", 0, folder=tmp_path / "other")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets, "load_dataset", lambda *_, **__: (_ for _ in ()).throw(ConnectionError("offline")))
    with pytest.raises(InvalidInput, match="Without a network"):
        load("pope")
