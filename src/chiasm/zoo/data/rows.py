"""Rows of a user's data: JSONL, CSV and Parquet files, Hugging Face data sets; each row with words for its place."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.zoo.data import fields
from chiasm.zoo.data.export import JSONL

Row = dict[str, Any]


class Cell(str):
    """A cell of a CSV file, where all is text: a number where it stands for a tag."""

    __slots__ = ()

    def as_tag(self) -> str | int | float:
        """The number that it writes, if it writes a finite one, else the text."""
        for kind in (int, float):
            try:
                found = kind(self)
            except ValueError:
                continue
            if math.isfinite(found):
                return found
        return str(self)


ENDINGS: Final = (".jsonl", ".csv", ".parquet")
"""Files that can be read."""
_FILES: Final = (JSONL, "metadata.jsonl")
_TABLE, _TABLES = "dataset_info.json", "dataset_dict.json"
_UTF_16: Final = (b"\xff\xfe", b"\xfe\xff")
_BATCH: Final = 64
"""Rows of a Parquet file that are read at a time."""


def rows_of(place: Path, split: str | None) -> tuple[Iterator[tuple[str, Row]], bool]:
    """The rows of a file or a folder.

    Returns:
        Row by row the words for its place and its fields; and whether it is a table, which may have columns of lists
        that mean nothing here (in a file that was written by hand they are mistakes).

    Raises:
        InvalidInput: it holds no data that can be read, or has not that split.
        MissingDependency: it is a Hugging Face data set and ``datasets`` is not installed.
    """
    if (place / _TABLE).is_file() or (place / _TABLES).is_file():
        return _table_rows(place, split), True
    if split is not None:
        raise InvalidInput(f"split={split!r}: {str(place)!r} has no splits; leave it out.")
    files = _files_of(place) if place.is_dir() else [place]
    ending = files[0].suffix.lower()
    if ending not in ENDINGS:
        raise InvalidInput(
            f"{str(place)!r} is a file that cannot be read as data; give one that ends in {', '.join(ENDINGS)}, or a "
            f"folder."
        )
    read = {".jsonl": _lines, ".csv": _csv_rows, ".parquet": _parquet_rows}[ending]
    return itertools.chain.from_iterable(map(read, files)), ending == ".parquet"


def _files_of(folder: Path) -> list[Path]:
    """The folder's one file of data, or the Parquet files that a table was cut into."""
    files = [folder / name for name in _FILES if (folder / name).is_file()][:1]
    for ending in ENDINGS:
        files = files or sorted(folder.glob(f"*{ending}"))
    if not files or (len(files) > 1 and files[0].suffix != ".parquet"):
        several = f"several files of data: {', '.join(file.name for file in files)}; name one of them"
        raise InvalidInput(
            f"The folder {str(folder)!r} has {several if files else 'no data'}. It needs {' or '.join(_FILES)}, one "
            f"other file *.jsonl or *.csv, Parquet files, or what save_to_disk of a Hugging Face data set writes."
        )
    return files


def _lines(file: Path) -> Iterator[tuple[str, Row]]:
    with file.open("rb") as lines:  # decoded line by line, so that the line that is not UTF-8 can be named
        for number, line in enumerate(lines, 1):
            where = f"{file.name}, line {number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"), object_pairs_hook=_once)
            except UnicodeDecodeError as error:
                found = "UTF-16" if number == 1 and line.startswith(_UTF_16) else "Latin-1 or Windows-1252"
                raise InvalidInput(
                    f"{where} is not in UTF-8 (byte 0x{line[error.start]:02x}); the file seems to be in {found}: save "
                    f"it as UTF-8, e.g. iconv -f {found.partition(' ')[0]} -t UTF-8."
                ) from error
            except InvalidInput as error:
                raise InvalidInput(f"{where}: {error}") from error
            except ValueError as error:
                raise InvalidInput(f"{where} is not JSON: {error}.") from error
            if not isinstance(row, dict):
                raise InvalidInput(f"{where} is no object; write fields, e.g. {{'image': 'a.png', 'text': '…'}}.")
            yield where, row


def _once(pairs: list[tuple[str, Any]]) -> Row:
    """An object whose fields have each a name of their own."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"the field {twice!r} stands there twice; leave one of them out.")
    return row


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
    for number in range(len(table)):
        where = f"row {number}"
        with fields.decoding("in a column", where):
            row = table[number]
        yield where, {**row, **{k: f.int2str(row[k]) for k, f in classes.items() if row[k] is not None}}


def _csv_rows(file: Path) -> Iterator[tuple[str, Row]]:
    """Rows of a table in UTF-8 with a heading; an empty cell is nothing, and a number where tags stand is one."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            table = csv.reader(lines)
            names = next(table, [])
            if len(set(names)) < len(names) or "" in names:
                raise InvalidInput(f"{file.name}: its heading is {names}; each column needs a name of its own.")
            for cells in table:
                where = f"{file.name}, line {table.line_num}"
                if len(cells) > len(names):
                    raise InvalidInput(
                        f"{where} has {len(cells)} cells and the heading {len(names)}; put a text with a comma in "
                        f"quotation marks."
                    )
                if any(cells):
                    yield where, {name: Cell(cell) for name, cell in zip(names, cells, strict=False) if cell}
    except (UnicodeDecodeError, csv.Error) as error:
        raise InvalidInput(f"{file.name} cannot be read: {error}. Save it as CSV in UTF-8.") from error


def _parquet_rows(file: Path) -> Iterator[tuple[str, Row]]:
    import pyarrow as pa
    from pyarrow import parquet

    number = 0
    try:
        with parquet.ParquetFile(file) as table:
            for batch in table.iter_batches(_BATCH):
                for row in batch.to_pylist():
                    yield f"{file.name}, row {number}", row
                    number += 1
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{file.name} cannot be read as Parquet: {error}.") from error
