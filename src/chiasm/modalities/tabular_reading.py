"""Rows of tables from wherever the user has them → column to number or text; and tables that rows are compared with."""

from __future__ import annotations

import csv
import json
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput

#: a row of a table: column → number (NaN where it is missing) or text
Row = dict[str, float | str]
#: a table: column → ``float64[rows]`` (NaN where missing) or texts ``str[rows]`` (empty where missing)
Table = dict[str, NDArray[Any]]

_TAKES: Final = (
    "a table of column to value ({'age': 31, 'job': 'nurse'}), a pandas Series, a file .json or .csv with one row, or "
    "the text 'age=31,job=nurse'"
)
#: endings that are files, and not texts of columns
_FILES: Final = (".csv", ".json", ".parquet")


def read_row(data: Any) -> Row:
    """Read a row.

    Truth values and numpy's numbers become floats; ``None``, NaN and pandas' missing values become NaN; everything else
    must be a text. In texts and ``.csv`` files what looks like a number is one, and what is empty is missing.

    Args:
        data: a mapping, a pandas Series or DataFrame of one row, the path of a ``.json``, ``.csv`` or ``.parquet`` file
            of one row, or a text ``"age=31,job=nurse"``.

    Returns:
        Column → number or text, in the order given; a copy of its own.

    Raises:
        InvalidInput: something else, no column, several rows, a column that stands twice, or a value that is no finite
            number and no text.
    """
    if isinstance(data, str | Path):
        text = str(data)
        return _from_file(Path(text)) if text.lower().endswith(_FILES) else _from_text(text)
    if hasattr(data, "iloc") and hasattr(data, "columns"):  # a pandas DataFrame
        if len(data) != 1:
            raise InvalidInput(f"The row is a DataFrame of {len(data)} rows; give one, e.g. table.iloc[0].")
        data = data.iloc[0]
    if hasattr(data, "index") and hasattr(data, "to_dict"):  # a pandas Series
        _refuse_twice([str(name) for name in data.index], "the Series")
        data = data.to_dict()
    if not isinstance(data, Mapping):
        raise InvalidInput(f"The row is a {type(data).__name__} ({str(data)[:60]!r}); give {_TAKES}.")
    row = {str(name): _value(str(name), value) for name, value in data.items()}
    if len(row) != len(data):
        raise InvalidInput("Two columns of the row have one name; names must differ as texts.")
    return _filled(row)


def _filled(row: Row) -> Row:
    if not row:
        raise InvalidInput(f"The row has no column; give {_TAKES}.")
    return row


def _value(name: str, value: Any) -> float | str:
    if isinstance(value, str):
        return str(value)  # numpy's texts are a kind of text
    if value is None or type(value).__name__ in {"NAType", "NaTType"}:
        return math.nan
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isinf(number):
            raise InvalidInput(
                f"Column {name!r} of the row is {value}; give a finite number, or None where it is missing."
            )
        return number
    raise InvalidInput(
        f"Column {name!r} of the row is {str(value)[:60]!r}, a {type(value).__name__}; give a number or a text."
    )


def _parsed(name: str, text: str) -> float | str:
    """What stands in a text file: a number where it looks like one, missing where nothing stands."""
    text = text.strip()
    if not text:
        return math.nan
    try:
        number = float(text)
    except ValueError:
        return text
    return _value(name, number)


def _refuse_twice(names: Sequence[str], where: str) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"Column {twice[0]!r} stands twice in {where}; columns must differ.")


def _from_text(text: str) -> Row:
    pairs = [piece.partition("=") for piece in text.split(",")]
    if not all(equals and name.strip() for name, equals, _ in pairs):
        raise InvalidInput(f"{text[:80]!r} is no row and no file; give {_TAKES}.")
    names = [name.strip() for name, _, _ in pairs]
    _refuse_twice(names, repr(text[:80]))
    return {name: _parsed(name, value) for name, (_, _, value) in zip(names, pairs, strict=True)}


def _from_file(path: Path) -> Row:
    if path.suffix.lower() == ".json":
        data = _json(path)
        rows = data if isinstance(data, list) else [data]
        if len(rows) != 1 or not isinstance(rows[0], dict):
            raise InvalidInput(f'{str(path)!r} holds {len(rows)} rows; a part is one row: {{"age": 31, …}}.')
        return read_row(rows[0])
    table = read_table(path)
    count = len(next(iter(table.values())))
    if count != 1:
        raise InvalidInput(f"{str(path)!r} holds {count} rows; a part is one row. Keep the row that you mean.")
    row = {name: column[0].item() for name, column in table.items()}
    return {name: math.nan if value == "" else value for name, value in row.items()}


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {str(path)!r}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{str(path)!r} cannot be read as JSON: {error}.") from error


def read_table(data: Any) -> Table:
    """Read a table of many rows: a background.

    Args:
        data: a pandas DataFrame, a mapping of column to values, rows as mappings, or the path of a ``.csv``, ``.json``
            (a list of rows) or ``.parquet`` file.

    Returns:
        Column → ``float64[rows]`` where all values are numbers or missing, else texts.

    Raises:
        InvalidInput: something else, no row, or columns of different lengths.
    """
    if isinstance(data, str | Path):
        path = Path(data)
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError as error:
            raise InvalidInput(f"There is no file {str(path)!r}.") from error
        return dict(_table_file(path, changed))
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        _refuse_twice([str(name) for name in data.columns], "the table")
        return _checked({str(name): data[name].array for name in data.columns}, len(data.columns))
    if isinstance(data, Mapping):
        strange = next((n for n, v in data.items() if isinstance(v, str) or not isinstance(v, Iterable)), None)
        if strange is not None:
            raise InvalidInput(f"Column {strange!r} of the table is {data[strange]!r}; give a value for each row.")
        return _checked({str(name): values for name, values in data.items()}, len(data))
    if isinstance(data, Iterable):
        rows = [read_row(row) for row in data]
        names = list(rows[0]) if rows else []
        strange = next((k for k, row in enumerate(rows) if set(row) != set(names)), None)
        if strange is not None:
            raise InvalidInput(
                f"Row {strange + 1} of the table has the columns {', '.join(rows[strange])}; the first has "
                f"{', '.join(names)}. Give all rows the same columns."
            )
        return _checked({name: [row[name] for row in rows] for name in names}, len(names))
    raise InvalidInput(
        f"The table is a {type(data).__name__}; give a DataFrame, column to values, rows, or a file "
        f"({', '.join(_FILES)})."
    )


@lru_cache(maxsize=4)
def _table_file(path: Path, changed: int) -> Table:
    """A table from a file; read once, and again when the file changes."""
    del changed
    ending = path.suffix.lower()
    if ending == ".json":
        return read_table(_json(path))
    if ending not in _FILES:
        raise InvalidInput(f"{str(path)!r} is no table that can be read; its name must end in {', '.join(_FILES)}.")
    try:
        return _csv(path) if ending == ".csv" else _parquet(path)
    except (csv.Error, ValueError, OSError) as error:  # pyarrow's errors and those of decoding are kinds of these
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"{str(path)!r} cannot be read as a table: {error}.") from error


def _csv(path: Path) -> Table:
    with path.open(encoding="utf-8-sig", newline="") as file:
        head, *rows = [[cell.strip() for cell in row] for row in csv.reader(file) if row] or [[]]
    _refuse_twice(head, repr(str(path)))
    for number, row in enumerate(rows, 1):
        if len(row) != len(head):
            raise InvalidInput(f"{str(path)!r}: row {number} has {len(row)} cells and the heading {len(head)}.")
    columns = zip(*rows, strict=True) if rows else [()] * len(head)
    return _checked(
        {name: [_parsed(name, cell) for cell in column] for name, column in zip(head, columns, strict=True)}, len(head)
    )


def _parquet(path: Path) -> Table:
    import pandas as pd

    return read_table(pd.read_parquet(path))


def _checked(columns: Mapping[str, Iterable[Any]], given: int) -> Table:
    read = {name: _column(name, values) for name, values in columns.items()}
    lengths = {len(values) for values in read.values()}
    if len(columns) != given:
        raise InvalidInput("Two columns of the table have one name; names must differ.")
    if len(lengths) != 1 or not max(lengths):
        raise InvalidInput(f"The table has columns of lengths {sorted(lengths)}; give all the same, at least one row.")
    return read


def _column(name: str, values: Iterable[Any]) -> NDArray[Any]:
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind in "biuf" and kind:  # numbers already: a table may have millions of them
        numbers = np.array(values, np.float64)
        if np.isinf(numbers).any():
            raise InvalidInput(f"Column {name!r} of the table has an infinite value; give finite numbers, or NaN.")
        return numbers
    read = [_value(name, value) for value in values]
    if not any(isinstance(value, str) for value in read):
        return np.array(read, np.float64)
    # a number in a column of texts is the text that it is; what is missing is empty
    return np.array([v if isinstance(v, str) else "" if math.isnan(v) else f"{v:g}" for v in read])
