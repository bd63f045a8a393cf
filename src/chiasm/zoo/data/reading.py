"""Folders of data → samples: pictures with a JSONL file, or a Hugging Face data set."""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.core.sample import Sample, Tag
from chiasm.zoo.data.export import JSONL, PART, field

OPTIONS: Final = ("image", "text", "answer", "split")
"""What `read` may be told about a folder."""

Row = dict[str, Any]

_COLUMNS: Final = {"image": ("image", "file_name"), "text": ("text", "question"), "answer": ("answer",)}
"""Field of a sample → the names of its column, unless the reader is told another."""
_FILES: Final = (JSONL, "metadata.jsonl")
_TABLE, _TABLES = "dataset_info.json", "dataset_dict.json"


def read(
    folder: Path,
    n: int | None = None,
    *,
    image: str | None = None,
    text: str | None = None,
    answer: str | None = None,
    split: str | None = None,
) -> list[Sample]:
    """The samples of a folder.

    Each row has a picture (``image``, or ``file_name`` as Hugging Face's imagefolder names it) and a text (``text`` or
    ``question``), and may have ``answer``, ``boxes`` (float[k, 4]: x0, y0, x1, y1 in pixels), ``words`` (character
    spans [start, end] or words that stand once in the text), ``masks``, ``id`` and ``tags``; every other field with a
    single value becomes a tag. A picture of a JSONL file stays a path, and is read when a model needs it.

    Args:
        folder: with ``data.jsonl``, ``metadata.jsonl``, one other JSONL file, or what ``save_to_disk`` wrote.
        n: how many samples, the first ones; all if ``None``.
        image: name of the picture's column, if it is another.
        text: name of the text's column, if it is another.
        answer: name of the answer's column, if it is another.
        split: which split to read of a data set that has several.

    Raises:
        InvalidInput: no data is found, a column is missing, or a row cannot be used; the message names the row.
        MissingDependency: the folder is a Hugging Face data set and ``datasets`` is not installed.
    """
    if n is not None and n < 0:
        raise InvalidInput(f"n must not be negative; got n={n}.")
    named = {"image": image, "text": text, "answer": answer}
    if (folder / _TABLE).is_file() or (folder / _TABLES).is_file():
        rows = _table_rows(folder, split)
    elif split is not None:
        raise InvalidInput(f"split={split!r}: the folder {str(folder)!r} has no splits; leave it out.")
    else:
        rows = _json_rows(folder)
    return [_sample(row, where, named, folder) for where, row in itertools.islice(rows, n)]


def _json_rows(folder: Path) -> Iterator[tuple[str, Row]]:
    """Rows of the folder's JSONL file, each with the words for its place."""
    files = [folder / name for name in _FILES if (folder / name).is_file()] or sorted(folder.glob("*.jsonl"))
    if not files or (len(files) > 1 and files[0].name not in _FILES):
        found = f"several JSONL files: {', '.join(file.name for file in files)}" if files else "no JSONL file"
        raise InvalidInput(
            f"The folder {str(folder)!r} has {found}; it needs {' or '.join(_FILES)}, one other file *.jsonl, or what "
            f"save_to_disk of a Hugging Face data set writes."
        )
    return _lines(files[0])


def _lines(file: Path) -> Iterator[tuple[str, Row]]:
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{file.name}, line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except json.JSONDecodeError as error:
                raise InvalidInput(f"{where} is not JSON: {error}.") from error
            if not isinstance(row, dict):
                raise InvalidInput(f"{where} is no object; write fields, e.g. {{'image': 'a.png', 'text': '…'}}.")
            yield where, row


def _table_rows(folder: Path, split: str | None) -> Iterator[tuple[str, Row]]:
    """Rows of a Hugging Face data set; numbers of classes become their names."""
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "reading a Hugging Face data set", "data") from error
    table = datasets.load_from_disk(str(folder))
    if isinstance(table, datasets.DatasetDict):
        names = list(table)
        if split not in names:
            said = "several splits" if split is None else f"no split {split!r}"
            raise InvalidInput(f"{str(folder)!r} has {said}; name one: split='…', of {', '.join(names)}.")
        table = table[split]
    elif split is not None:
        raise InvalidInput(f"split={split!r}: the data set {str(folder)!r} has no splits; leave it out.")
    classes = {name: feature for name, feature in table.features.items() if isinstance(feature, datasets.ClassLabel)}
    return (
        (f"row {number}", {**row, **{k: f.int2str(row[k]) for k, f in classes.items() if row[k] is not None}})
        for number, row in enumerate(table)
    )


def _sample(row: Row, where: str, named: Mapping[str, str | None], folder: Path) -> Sample:
    """One row as a sample; what is taken from it step by step leaves the fields that become tags."""
    left = {name: value for name, value in row.items() if value is not None}
    columns = {what: _column(what, column, row, left, where) for what, column in named.items()}
    taken = {what: left.pop(column) for what, column in columns.items() if column is not None}
    answer = _answer(taken.pop("answer", None), where)
    fields = taken | {name: left.pop(name) for name in list(left) if PART.fullmatch(name) and name not in taken}
    order = left.pop("parts") if isinstance(left.get("parts"), list) else list(fields)
    if sorted(map(str, order)) != sorted(fields):
        raise InvalidInput(f"{where}: parts is {order!r}; it must list {', '.join(fields)} in their order.")
    parts: dict[str, Any] = {}
    truth: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    for name in order:
        if name.startswith("text"):
            parts[name] = _text(fields[name], name, where)
            if (words := left.pop(field(name, "words"), None)) is not None:
                truth[name] = _spans(words, parts[name], where)
            continue
        parts[name] = _picture(fields[name], where, folder)
        if (boxes := left.pop(field(name, "boxes"), None)) is not None:
            truth[name] = _boxes(boxes, where)
        if (files := left.pop(field(name, "masks"), None)) is not None:
            masks[name] = _masks(files, parts[name], where, folder)
    name = left.pop("id", None)
    return Sample(
        **parts, answer=answer, truth=truth, masks=masks, tags=_tags(left), id=None if name is None else str(name)
    )


def _column(what: str, name: str | None, row: Row, left: Row, where: str) -> str | None:
    """The column that holds the picture, the text or the answer; a row may do without an answer.

    Raises:
        InvalidInput: there is no such column, or the row has nothing in it.
    """
    names = _COLUMNS[what] if name is None else (name,)
    found = next((candidate for candidate in names if candidate in left), None)
    if found is None and (what != "answer" or (name is not None and name not in row)):
        state = "nothing in" if any(candidate in row for candidate in names) else "no"
        raise InvalidInput(
            f"{where} has {state} {' or '.join(map(repr, names))}; its columns are {', '.join(row)}. "
            f"If the {what} has another name, say {what}='NAME'."
        )
    return found


def _answer(value: object, where: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise InvalidInput(f"{where}: the answer is {value!r}; it must be a text or a number.")


def _text(value: object, name: str, where: str) -> str:
    if isinstance(value, str):
        return value
    raise InvalidInput(f"{where}: {name} is {value!r}; it must be a text.")


def _picture(value: Any, where: str, folder: Path) -> Any:
    """A path as a path of the folder; a picture, or the bytes of one, as a picture."""
    if isinstance(value, Image.Image):
        return value
    if isinstance(value, dict) and value.get("bytes") is not None:
        return Image.open(io.BytesIO(value["bytes"]))
    if isinstance(value, dict):
        value = value.get("path")
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: the picture is {value!r}; it must be a path, from the folder on.")
    path = folder / value
    if not path.is_file():
        raise InvalidInput(f"{where}: there is no picture {str(path)!r}.")
    return path


def _boxes(value: Any, where: str) -> NDArray[np.float64]:
    try:
        boxes = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        boxes = np.array(np.nan)
    if boxes.shape == (0,):
        return boxes.reshape(0, 4)
    if boxes.shape[1:] != (4,) or not (boxes[:, 2:] > boxes[:, :2]).all():
        raise InvalidInput(
            f"{where}: boxes is {value!r}; write one [x0, y0, x1, y1] in pixels for each object, x1 > x0 and y1 > y0."
        )
    return boxes


def _spans(value: Any, text: str, where: str) -> NDArray[np.int64]:
    """Character spans as given, or of words that stand once in the text."""
    spans = []
    for word in value if isinstance(value, list) else [value]:
        found = list(re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)) if isinstance(word, str) and word else []
        ends = list(found[0].span()) if len(found) == 1 else word
        if not (
            isinstance(ends, list)
            and len(ends) == 2
            and all(isinstance(end, int) for end in ends)
            and 0 <= ends[0] < ends[1] <= len(text)
        ):
            raise InvalidInput(
                f"{where}: {word!r} of words is no place in {text!r}; write words that stand once in it, or character "
                f"spans [start, end]."
            )
        spans.append(ends)
    return np.array(spans, dtype=np.int64).reshape(-1, 2)


def _masks(value: Any, picture: Any, where: str, folder: Path) -> NDArray[np.bool_]:
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: masks is {value!r}; it must list a picture for each box.")
    width, height = _size(picture)
    masks = np.zeros((len(value), height, width), dtype=np.bool_)
    for mask, given in zip(masks, value, strict=True):
        source = _picture(given, where, folder)
        if _size(source) != (width, height):
            raise InvalidInput(f"{where}: a mask has {_size(source)} pixels, its picture {(width, height)}.")
        with Image.open(source) if isinstance(source, Path) else source as opened:
            mask[:] = np.asarray(opened.convert("L")) >= 128
    return masks


def _size(picture: Path | Image.Image) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.size
    with Image.open(picture) as opened:
        return opened.size


def _tags(left: Row) -> dict[str, Tag]:
    tags = left.pop("tags", {})
    several = {**left, **(tags if isinstance(tags, dict) else {})}
    return {name: value for name, value in several.items() if isinstance(value, str | int | float)}
