"""Tables as folders of Parquet files: a file is added or replaced in one step, many small ones become a large one."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from chiasm.core.errors import InvalidInput
from chiasm.core.storage import write_atomic

#: column → what it holds: ``"string"``, ``"float"``, ``"whole"`` or ``"truth"``
Schema = Mapping[str, str]

_SQL: Final = {"string": "VARCHAR", "float": "DOUBLE", "whole": "BIGINT", "truth": "BOOLEAN"}
#: temporary files of writers that were killed are removed after so many seconds
_STALE: Final = 3600.0
_SMALL, _LARGE = "part", "pack"
#: so many large files are made one as well
_PACKS: Final = 64


def check(table: str, schema: Schema) -> None:
    """Refuse a schema that cannot be kept.

    Raises:
        InvalidInput: an unknown kind of column, or a name that SQL would not take.
    """
    for column, kind in schema.items():
        if kind not in _SQL or not column.isidentifier():
            raise InvalidInput(f"Column {column!r} of table {table!r} is {kind!r}; choose of {', '.join(_SQL)}.")


def write(folder: Path, schema: Schema, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Add rows as a file of its own; columns that a row lacks are null.

    Raises:
        InvalidInput: a value that its column cannot hold, or a column that there is not.
    """
    import pyarrow as pa

    if unknown := {name for row in rows for name in row} - schema.keys():
        raise InvalidInput(f"{folder.name!r} has no column {min(unknown)!r}; it has {', '.join(schema)}.")
    try:
        table = pa.Table.from_pylist([dict(row) for row in rows], schema=_arrow(schema))
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise InvalidInput(f"A row of {folder.name!r} cannot be kept: {error}.") from error
    folder.mkdir(parents=True, exist_ok=True)
    return _put(folder, _SMALL, [table])


def _arrow(schema: Schema) -> Any:
    import pyarrow as pa

    kinds = {"string": pa.string(), "float": pa.float64(), "whole": pa.int64(), "truth": pa.bool_()}
    return pa.schema([(name, kinds[kind]) for name, kind in schema.items()])


def _put(folder: Path, kind: str, tables: Sequence[Any]) -> Path:
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    with pq.ParquetWriter(buffer, tables[0].schema, compression="zstd") as writer:
        for table in tables:
            writer.write_table(table)
    path = folder / f"{kind}-{time.time_ns():020d}-{uuid.uuid4().hex[:8]}.parquet"
    write_atomic(path, buffer.getvalue())
    return path


def files(folder: Path) -> list[Path]:
    """The files of a table, those of killed writers left out."""
    return sorted(folder.glob("*.parquet")) if folder.is_dir() else []


def compact(folder: Path) -> None:
    """Make one file of the small ones. Between its appearance and their end rows stand twice; readers take them once.

    Whoever finds that another process does the same leaves it to that one.
    """
    import pyarrow.parquet as pq

    there = files(folder)
    small = [path for path in there if path.name.startswith(_SMALL)]
    merged = there if len(there) - len(small) >= _PACKS else small
    if len(merged) > 1:
        try:
            tables = [pq.read_table(path) for path in merged]
        except FileNotFoundError:
            return
        import pyarrow as pa

        _put(folder, _LARGE, [pa.concat_tables(tables)])
        for path in merged:
            path.unlink(missing_ok=True)
    if folder.is_dir():
        _sweep(folder)


def _sweep(folder: Path) -> None:
    """Remove what killed writers left half-written."""
    for path in folder.glob(".*.parquet.*"):
        with suppress(FileNotFoundError):
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()


def view(connection: Any, name: str, folder: Path, schema: Schema) -> None:
    """A view of a table in duckdb, empty if there is no file yet."""
    found = files(folder)
    if not found:
        columns = ", ".join(f"CAST(NULL AS {_SQL[kind]}) AS {column}" for column, kind in schema.items())
        connection.execute(f"CREATE VIEW {name} AS SELECT {columns} WHERE false")
        return
    listed = ", ".join("'" + str(path).replace("'", "''") + "'" for path in found)
    connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet([{listed}])")  # noqa: S608 - our own files
