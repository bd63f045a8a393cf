"""Data sets of the field: a card for each says where it is, what its columns mean, and when an answer is right.

Pictures and questions are read by Hugging Face ``datasets``, from the hub or from a copy on disk (``folder=``: what
``save_to_disk`` wrote, or Parquet files). Field names are those of the copies that the cards name.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from chiasm.core.errors import InvalidInput, MissingDependency, UnknownName
from chiasm.core.sample import Sample

#: whether an answer is right
Judge = Callable[[str, str], bool]
Row = Mapping[str, Any]

_ARTICLES: Final = re.compile(r"\b(a|an|the)\b")
_NUMBERS: Final = dict(
    zip(
        ["none", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"],
        ["0", "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10"],
        strict=True,
    )
)


def plain(answer: str) -> str:
    """An answer without case, punctuation and articles, numbers as digits (after the VQA evaluation)."""
    words = _ARTICLES.sub(" ", re.sub(r"[^\w\s'-]", " ", answer.casefold())).split()
    return " ".join(_NUMBERS.get(word, word) for word in words)


def same_words(answer: str, reference: str) -> bool:
    """Equal but for case, punctuation, articles, and numbers as words."""
    return plain(answer) == plain(reference)


def same_verdict(answer: str, reference: str) -> bool:
    """The same yes or no, told by the first word."""
    return plain(answer).split(" ")[0] == plain(reference)


def same_letter(answer: str, reference: str) -> bool:
    """The same letter of a choice: ``"B"``, ``"(B)"``, ``"B: a cat"``, ``"The answer is (B)."``."""
    told, wanted = _letter(answer), _letter(reference)
    return wanted is not None and told == wanted


def _letter(text: str) -> str | None:
    """The letter that an answer tells; the articles of "A cat" and "I see" are none."""
    alone = re.fullmatch(r"\s*\(?([A-Za-z])\)?[.:]?\s*", text)
    found = alone or re.match(r"\s*\(?([A-Z])\)?[.:,)]", text) or re.search(r"\(([A-Z])\)|\b([A-Z])\s*[.)]?\s*$", text)
    return next((group.upper() for group in found.groups() if group), None) if found else None


@dataclass(frozen=True)
class Card:
    """One data set.

    Attributes:
        name: as in specs.
        hub: its id on the hub.
        config: the configuration there, if it has several.
        split: the one that is read unless another is asked for.
        image, question, answer: columns.
        tags: columns to group by.
        id: column that names a sample; ``""`` for its number.
        prompt: row → what the model is asked; by default the question.
        judge: when an answer is right.
        licence: of the data, as its authors state it.
        note: what a user must know.
    """

    name: str
    hub: str
    config: str | None = None
    split: str = "test"
    image: str = "image"
    question: str = "question"
    answer: str = "answer"
    tags: tuple[str, ...] = ()
    id: str = ""
    prompt: Callable[[Row], str] | None = field(default=None, repr=False)
    judge: Judge = field(default=same_words, repr=False)
    licence: str = "see its authors"
    note: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that must be there."""
        return (self.image, self.question, self.answer)


def _with_hint(hint: str) -> Callable[[Row], str]:
    return lambda row: f"{row['question']}\n{hint}"


def _choices(row: Row) -> str:
    """CV-Bench's own prompt where it is there, else the question with its choices."""
    asked = row.get("prompt")
    if not asked:
        lines = [f"({letter}) {choice}" for letter, choice in zip("ABCDEF", row["choices"], strict=False)]
        asked = "\n".join([str(row["question"]), *lines])
    return f"{asked}\n{_LETTER}"


_SHORT: Final = "Answer the question using a single word or phrase."
_LETTER: Final = "Answer with the letter of the option alone."

CARDS: Final[dict[str, Card]] = {
    card.name: card
    for card in (
        Card(
            "pope",
            "lmms-lab/POPE",
            tags=("category",),
            id="question_id",
            prompt=_with_hint(_SHORT),
            judge=same_verdict,
            note="objects that are there and objects that are not; pictures of COCO",
        ),
        Card(
            "repope",
            "lmms-lab/POPE",
            tags=("category",),
            id="question_id",
            prompt=_with_hint(_SHORT),
            judge=same_verdict,
            note="POPE with corrected answers, ambiguous questions left out: give annotations=FOLDER, the files "
            "coco_repope_*.json of YanNeu/RePOPE",
        ),
        Card(
            "cv-bench",
            "nyu-visionx/CV-Bench",
            tags=("type", "task", "source"),
            id="idx",
            prompt=_choices,
            judge=same_letter,
            licence="apache-2.0",
            note="counting, relation, depth and distance, by letter",
        ),
        Card(
            "mmstar",
            "Lin-Chen/MMStar",
            split="val",
            tags=("category", "l2_category"),
            id="index",
            prompt=_with_hint(_LETTER),
            judge=same_letter,
            note="questions that need their picture, by letter",
        ),
        Card(
            "vqav2",
            "lmms-lab/VQAv2",
            split="validation",
            answer="multiple_choice_answer",
            tags=("question_type", "answer_type"),
            id="question_id",
            prompt=_with_hint(_SHORT),
            licence="CC-BY-4.0",
            note="judged by the most frequent of ten answers, not by their consensus",
        ),
        Card(
            "gqa",
            "lmms-lab/GQA",
            "testdev_balanced_instructions",
            split="testdev",
            image="imageId",
            id="id",
            prompt=_with_hint(_SHORT),
            note="questions and pictures are two tables, joined by imageId",
        ),
    )
}
"""Name → card."""

_GQA_PICTURES: Final = "testdev_balanced_images"


def card(name: str) -> Card:
    """The card of that name.

    Raises:
        UnknownName: there is none.
    """
    if name not in CARDS:
        raise UnknownName("data set", name, CARDS)
    return CARDS[name]


def load(
    name: str,
    n: int | None = None,
    split: str | None = None,
    *,
    folder: str | Path | None = None,
    annotations: str | Path | None = None,
    every: int = 1,
) -> list[Sample]:
    """Samples of a data set that has a card.

    Args:
        name: of the card.
        n: how many samples, the first ones; all if ``None``.
        split: another than the card's.
        folder: a copy on disk, instead of the hub.
        annotations: for **repope**: the folder of its corrected answers.
        every: take each so-manieth row, since rows are often sorted by kind.

    Raises:
        UnknownName: there is no such card.
        InvalidInput: the data cannot be had (no network, no such split), a column is missing, or a picture is empty.
        MissingDependency: ``datasets`` is not installed.
    """
    chosen = card(name)
    if (annotations is not None) != (name == "repope"):
        raise InvalidInput(
            "repope needs annotations=FOLDER, the files coco_repope_*.json of its repository; no other set takes it."
        )
    if every < 1 or (n is not None and n < 1):
        raise InvalidInput(f"n={n!r} and every={every!r} must be at least 1.")
    rows = _rows(chosen, chosen.config, split or chosen.split, folder)
    if name == "gqa":
        rows = _with_pictures(rows, _rows(chosen, _GQA_PICTURES, split or chosen.split, folder))
    if annotations is not None:
        rows = _corrected(rows, Path(annotations))
    found = list(
        itertools.islice((_sample(chosen, row, k) for k, row in enumerate(itertools.islice(rows, 0, None, every))), n)
    )
    if not found:
        raise InvalidInput(f"The data set {name!r} has no row; is {folder or chosen.hub!r} what the card means?")
    return found


def _rows(chosen: Card, config: str | None, split: str, folder: str | Path | None) -> Iterator[Row]:
    """Rows of a table, read as they are needed."""
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", f"the data set {chosen.name!r}", "data") from error
    where = chosen.hub if folder is None else str(folder)
    try:
        if folder is None:
            table: Iterable[Row] = datasets.load_dataset(chosen.hub, config, split=split, streaming=True)
        else:
            table = _on_disk(datasets, Path(folder), config, split)
        yield from table
    except (OSError, ValueError, KeyError) as error:  # what datasets raises for no network, no such split, no such set
        raise InvalidInput(
            f"The data set {chosen.name!r} cannot be read from {where!r}, split {split!r}: {error}. Without a network "
            f"give folder=COPY."
        ) from error


def _on_disk(datasets: Any, folder: Path, config: str | None, split: str) -> Iterable[Row]:
    """A copy: what ``save_to_disk`` wrote (whole or by configuration), or Parquet files named by split."""
    own = folder / config if config is not None and (folder / config).is_dir() else folder
    found: Iterable[Row]
    if (own / "dataset_dict.json").is_file():
        found = datasets.load_from_disk(str(own))[split]
    elif (own / "dataset_info.json").is_file():
        found = datasets.load_from_disk(str(own))
    else:
        found = _parquet(datasets, own, split)
    return found


def _parquet(datasets: Any, folder: Path, split: str) -> Iterable[Row]:
    files = sorted(str(file) for file in folder.rglob(f"*{split}*.parquet"))
    if not files:
        raise ValueError(f"there is neither a saved data set nor a file *{split}*.parquet")
    found: Iterable[Row] = datasets.load_dataset("parquet", data_files=files, split="train")
    return found


def _sample(chosen: Card, row: Row, place: int) -> Sample:
    missing = [name for name in chosen.columns if row.get(name) is None]
    if missing:
        raise InvalidInput(
            f"Row {place} of {chosen.name!r} lacks {', '.join(missing)}; it has {', '.join(map(str, row))}. The card "
            f"is of {chosen.hub!r}: another copy may call its columns differently."
        )
    return Sample(
        image=np.asarray(row[chosen.image].convert("RGB")),
        text=chosen.prompt(row) if chosen.prompt is not None else str(row[chosen.question]),
        answer=str(row[chosen.answer]),
        tags={name: _tag(row[name]) for name in chosen.tags if row.get(name) is not None},
        id=f"{chosen.name}-{row[chosen.id] if chosen.id and row.get(chosen.id) is not None else place}",
    )


def _tag(value: Any) -> str | int | float | bool:
    return value if isinstance(value, str | int | float | bool) else str(value)


def _with_pictures(rows: Iterator[Row], pictures: Iterator[Row]) -> Iterator[Row]:
    """GQA's questions with the pictures of its other table."""
    by_id = {str(row["id"]): row["image"] for row in pictures}
    for row in rows:
        if str(row["imageId"]) not in by_id:
            raise InvalidInput(
                f"Question {row['id']!r} of GQA asks of the picture {row['imageId']!r}, which is not among the "
                f"{len(by_id)} of {_GQA_PICTURES}; is the copy whole?"
            )
        yield {**row, "imageId": by_id[str(row["imageId"])]}


def _corrected(rows: Iterator[Row], folder: Path) -> Iterator[Row]:
    """POPE's rows with RePOPE's answers, matched by kind, picture and question; the others are left out."""
    files = sorted(folder.rglob("coco_repope_*.json"))
    if not files:
        raise InvalidInput(f"There is no file coco_repope_*.json in {str(folder)!r}.")
    labels: dict[tuple[str, str, str], str] = {}
    for file in files:
        kind = file.stem.removeprefix("coco_repope_")
        for line in file.read_text(encoding="utf-8").splitlines():
            if line.strip():
                one = json.loads(line)
                labels[kind, Path(one["image"]).stem, one["text"]] = one["label"]
    for row in rows:
        key = (str(row.get("category")), Path(str(row.get("image_source"))).stem, str(row["question"]))
        if key in labels:
            yield {**row, "answer": labels[key]}
