"""Data of one's own → samples: a file of rows with what it names, or a Hugging Face data set."""

from __future__ import annotations

import difflib
import io
import itertools
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample, Tag
from chiasm.zoo.data import fields
from chiasm.zoo.data.arguments import whole_number
from chiasm.zoo.data.fields import PART, field, is_part
from chiasm.zoo.data.rows import Cell, Row, rows_of

OPTIONS: Final = ("image", "text", "answer", "split")
"""What `read` may be told about a folder."""

_COLUMNS: Final = {"image": ("image", "file_name"), "text": ("text", "question"), "answer": ("answer",)}
"""Field of a sample → the names of its column, unless the reader is told another."""


def read(
    place: Path,
    n: int | None = None,
    *,
    image: str | None = None,
    text: str | None = None,
    answer: str | None = None,
    split: str | None = None,
) -> list[Sample]:
    """The samples of a file or a folder.

    Each row has a picture (``image``, or ``file_name`` as Hugging Face's imagefolder names it) and a text (``text`` or
    ``question``), and may have ``answer``, ``boxes`` (float[k, 4]: x0, y0, x1, y1 in pixels of the upright picture),
    ``words`` (character spans [start, end] or words that stand once in the text), ``masks``, ``id`` and ``tags``. A
    column named after another modality (``audio``, ``tabular2``) is a part as well, in the place of picture or text if
    these are not there: the path of a file, or whatever that modality reads. Every other field must be a text, a finite
    number or a truth value, and becomes a tag. What is named by its path is read when a model needs it.

    Args:
        place: a file ``*.jsonl`` (UTF-8), ``*.csv`` or ``*.parquet``; or a folder with ``data.jsonl``,
            ``metadata.jsonl``, one other such file, Parquet files, or what ``save_to_disk`` wrote. Paths in a file
            are from its folder on.
        n: how many samples, the first ones; all if ``None``.
        image: name of the picture's column, if it is another.
        text: name of the text's column, if it is another.
        answer: name of the answer's column, if it is another.
        split: which split to read of a data set that has several.

    Raises:
        InvalidInput: no data is found, a column is missing or named twice, or a row cannot be used; the message names
            the row.
        MissingDependency: the folder is a Hugging Face data set and ``datasets`` is not installed.
    """
    count = None if n is None else whole_number("n", n)
    named = {"image": image, "text": text, "answer": answer}
    _check_names({**named, "split": split})
    folder = place if place.is_dir() else place.parent
    rows, is_table = rows_of(place, split)
    if is_table:
        rows = _without_nested(rows, [name for name in named.values() if name is not None])
    samples = [_sample(row, where, named, folder) for where, row in itertools.islice(rows, count)]
    if not samples and count != 0:
        raise InvalidInput(f"The data in {str(place)!r} is empty; it needs a row for each sample.")
    return samples


def _check_names(options: Mapping[str, str | None]) -> None:
    """Each option is a name, and no two name one column."""
    users: dict[str, str] = {}
    for what, name in options.items():
        if name is None:
            continue
        if not isinstance(name, str):
            raise InvalidInput(f"{what}={name!r} is a {type(name).__name__}; give a name, as a text.")
        if what != "split" and users.setdefault(name, what) != what:
            raise InvalidInput(
                f"The column {name!r} is named twice, as {users[name]} and as {what}; each needs its own column."
            )


def _without_nested(rows: Iterator[tuple[str, Row]], named: Sequence[str]) -> Iterator[tuple[str, Row]]:
    """Rows without the lists and tables that stand for nothing here: many data sets of the hub have some."""
    for where, row in rows:
        parts = [name for name in row if is_part(name)] + ["image", "text"]
        ours = {*named, *parts, "answer", "parts", "tags"}
        ours |= {field(name, what) for name in parts for what in ("boxes", "masks", "words", "times")}
        nested = [name for name, value in row.items() if isinstance(value, list | dict) and name not in ours]
        for name in nested:  # Python shows each warning once
            warnings.warn(f"The column {name!r} is left out: it is none of {_KNOWN}, and no tag.", stacklevel=2)
        yield where, {name: value for name, value in row.items() if name not in nested}


def _sample(row: Row, where: str, named: Mapping[str, str | None], folder: Path) -> Sample:
    """One row as a sample; what is taken from it step by step leaves the fields that become tags."""
    left = {name: value for name, value in row.items() if value is not None}
    others = any(is_part(name) and not PART.fullmatch(name) for name in left)
    columns = {what: _column(what, column, row, left, where, others=others) for what, column in named.items()}
    taken = {what: left.pop(column) for what, column in columns.items() if column is not None}
    answer = _answer(taken.pop("answer", None), where)
    given = taken | {name: left.pop(name) for name in list(left) if is_part(name) and name not in taken}
    told = isinstance(left.get("parts"), list)
    # models read the parts in order; those that take several were trained on questions that come last
    order = left.pop("parts") if told else sorted(given, key=lambda name: name.startswith("text"))
    if sorted(map(str, order)) != sorted(given):
        raise InvalidInput(f"{where}: parts is {order!r}; it must list {', '.join(given)} in their order.")
    parts: dict[str, Any] = {}
    truth: dict[str, NDArray[Any]] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    for name in order:
        if name.startswith("text"):
            parts[name] = fields.text(given[name], name, where)
            if (words := left.pop(field(name, "words"), None)) is not None:
                truth[name] = fields.spans(words, parts[name], where)
            continue
        if not PART.fullmatch(name):
            parts[name] = _file_or_value(given[name], folder)
            if name.startswith("audio") and (times := left.pop(field(name, "times"), None)) is not None:
                truth[name] = fields.times(times, where)
            continue
        parts[name] = _picture(given[name], where, folder)
        places, files = (left.pop(field(name, what), None) for what in ("boxes", "masks"))
        if places is None and files is None:
            fields.check_picture(parts[name], where)
            continue
        size = fields.upright_size(parts[name], where)
        if places is not None:
            truth[name] = fields.boxes(places, size, where)
        if files is not None:
            masks[name] = _masks(files, size, where, folder)
    name = left.pop("id", None)
    return Sample(**parts, answer=answer, truth=truth, masks=masks, tags=_tags(left, where), id=_id(name, where))


def _file_or_value(value: Any, folder: Path) -> Any:
    """What a row says of a part that is no picture and no text: a file if there is one of that name, else itself."""
    try:
        file = folder / Path(value).expanduser() if isinstance(value, str) else None
        return file if file is not None and file.is_file() else value
    except (OSError, RuntimeError, ValueError):  # no path could be so long, or of such a home
        return value


def _column(what: str, name: str | None, row: Row, left: Row, where: str, *, others: bool) -> str | None:
    """The column that holds the picture, the text or the answer.

    A row may do without an answer, and with parts of other modalities without a picture or a text.

    Raises:
        InvalidInput: there is no such column, there are two, or the row has nothing in it.
    """
    names = _COLUMNS[what] if name is None else (name,)
    found = [candidate for candidate in names if candidate in left]
    if len(found) > 1:
        raise InvalidInput(f"{where} has both {found[0]!r} and {found[1]!r}; say which is the {what}: {what}='NAME'.")
    may_lack = what == "answer" or others
    if not found and (not may_lack or (name is not None and name not in row)):
        state = "nothing in" if any(candidate in row for candidate in names) else "no"
        raise InvalidInput(
            f"{where} has {state} {' or '.join(map(repr, names))}; its columns are {', '.join(row)}. "
            f"If the {what} has another name, say {what}='NAME'."
        )
    return found[0] if found else None


def _answer(value: object, where: str) -> str | None:
    if value is None:
        return None
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return str(value)
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: the answer is {value!r}; it must be a text or a number.")
    return fields.text(value, "the answer", where)


def _id(value: object, where: str) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float):
        raise InvalidInput(f"{where}: the id is {value!r}; it must be a text or a number.")
    return fields.text(str(value), "the id", where)


def _picture(value: Any, where: str, folder: Path) -> Path | Image.Image:
    """A path as a path of the folder; a picture, or the bytes of one, as a picture, upright."""
    if isinstance(value, Image.Image):
        return value
    if isinstance(value, dict) and value.get("bytes") is not None:
        with fields.decoding("in a column", where):
            return ImageOps.exif_transpose(Image.open(io.BytesIO(value["bytes"])))
    if isinstance(value, dict):
        value = value.get("path")
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: the picture is {value!r}; it must be a path, from the folder on.")
    return folder / fields.expanded(value, where)


def _masks(value: Any, size: tuple[int, int], where: str, folder: Path) -> NDArray[np.bool_]:
    if not isinstance(value, list):
        raise InvalidInput(f"{where}: masks is {value!r}; it must list a picture for each box.")
    width, height = size
    masks = np.zeros((len(value), height, width), dtype=np.bool_)
    for mask, given in zip(masks, value, strict=True):
        source = _picture(given, where, folder)
        with fields.decoding(repr(given) if isinstance(given, str) else "in masks", where):
            opened = Image.open(source) if isinstance(source, Path) else source
            with opened:
                mask[:] = fields.mask(ImageOps.exif_transpose(opened), size, where)
    return masks


def _tags(left: Row, where: str) -> dict[str, Tag]:
    """What is left of a row: its table of tags, and the fields that nothing else takes."""
    own = left.pop("tags", {})
    if not isinstance(own, dict):
        raise InvalidInput(f"{where}: tags is {own!r}; write a table, e.g. {{'type': 'colour'}}.")
    tags = {name: value for name, value in own.items() if value is not None}
    if both := sorted(tags.keys() & left.keys()):
        raise InvalidInput(f"{where}: {both[0]!r} is a field and stands in tags too; leave one of them out.")
    for name, value in left.items():
        _warn_if_misspelt(name, where)
        if not isinstance(value, str | int | float):
            raise InvalidInput(
                f"{where}: the field {name!r} is {value!r}; a field that is none of {_KNOWN} becomes a tag, and that "
                f"is a text, a number, or true or false. Mend its name, or leave it out."
            )
    found = {name: value.as_tag() if isinstance(value, Cell) else value for name, value in {**left, **tags}.items()}
    return {name: fields.tag(name, value, where) for name, value in found.items()}


def _warn_if_misspelt(name: str, where: str) -> None:
    """Say that a field became a tag if its name is close to that of another field."""
    near = difflib.get_close_matches(name, _NAMES, n=1, cutoff=_CLOSE)
    if near and name not in _NAMES:  # without the number of the row: Python shows each warning once
        file = where.partition(",")[0] if "," in where else "The data"
        warnings.warn(
            f"{file}: the field {name!r} is taken for a tag; if {near[0]!r} is meant, mend its name.", stacklevel=2
        )


_NAMES: Final = ("image", "file_name", "text", "question", "answer", "boxes", "words", "masks", "parts", "tags")
_CLOSE: Final = 0.8
"""How like two names are (difflib) of which one may be the other misspelt: "anwser" is 0.83, "test" for text 0.75."""
_KNOWN: Final = "image, text, answer, boxes, words, masks, parts, id and tags"
