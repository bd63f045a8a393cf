"""A folder of results that survives anything: Parquet files written atomically, asked in SQL.

``results/TABLE/*.parquet`` hold the rows, ``results/cells/*.parquet`` which cells are done, ``explanations/`` the
explanations. A cell counts from the moment when its line is in ``cells``, which is written after its rows; each attempt
at a cell has a name of its own, so that of a writer who was killed in between, or of two writers who computed the same
cell, exactly one set of rows is ever read. Any number of processes may read and write at once.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from chiasm.core.content import digest
from chiasm.core.errors import InvalidInput, SchemaError
from chiasm.core.explanation import Explanation
from chiasm.core.storage import load, save, write_atomic
from chiasm.runs import parts
from chiasm.runs.cells import Done
from chiasm.runs.parts import Schema

if TYPE_CHECKING:
    import pandas as pd

#: the file that says what a folder is
MANIFEST: Final = "run.json"
SCHEMA: Final = "chiasm.run"
VERSION: Final = 1
CELLS: Final = "cells"
#: columns that every row has: the cell's fingerprint, the attempt at it, and the row's line among that attempt's
_OWN: Final[Schema] = {"cell": "string", "attempt": "string", "line": "whole"}
_CELL_COLUMNS: Final[Schema] = {
    "cell": "string",
    "attempt": "string",
    "work_group": "string",
    "key": "string",
    "error": "string",
    "seconds": "float",
    "attempts": "whole",
    "worker": "string",
    "finished": "float",
}
#: a writer spends at most this part of the time on writing, as long as what is done then waits no more than so many
#: seconds and for no more than so many cells
_SHARE, _WAIT, _HELD = 0.05, 1.0, 256
#: so many small files are made one
_MANY: Final = 200

#: how often a reader looks again when files vanish under its eyes because somebody made one of them
_TRIES: Final = 5

#: of several attempts at a cell one that has a result, and of those the first
_WINNERS: Final = """
SELECT * EXCLUDE (turn) FROM (
    SELECT *, row_number() OVER (PARTITION BY cell ORDER BY (error IS NOT NULL), finished, attempt) AS turn
    FROM (SELECT DISTINCT * FROM all_cells)
) WHERE turn = 1
"""


class Store:
    """Results of cells in a folder.

    Args:
        folder: where; made if need be.
        tables: table → column → ``"string"``, ``"float"``, ``"whole"`` or ``"truth"`` (a bool); any may be missing in a
            row. ``None``: those that the folder was made with.
        about: what the run is, in JSON types; kept in ``run.json`` when the folder is made.

    Raises:
        InvalidInput: the folder is something else, holds other tables, or is not there and ``tables`` is ``None``.
        SchemaError: a newer Chiasm wrote it.
    """

    def __init__(
        self, folder: str | Path, tables: Mapping[str, Schema] | None = None, about: Mapping[str, Any] | None = None
    ) -> None:
        """Open the folder, or make it."""
        self.folder = Path(folder)
        manifest = self.folder / MANIFEST
        if not manifest.is_file():
            if tables is None:
                raise InvalidInput(f"There is no run in {str(self.folder)!r}; give the folder that it was written to.")
            self._make(tables, dict(about or {}))
        told = _manifest(manifest)
        self.about: dict[str, Any] = told["about"]
        self.tables: dict[str, Schema] = told["tables"]
        if tables is not None and {k: dict(v) for k, v in tables.items()} != self.tables:
            raise InvalidInput(f"The run in {str(self.folder)!r} holds other tables; choose another folder.")
        self._held: list[Done] = []
        self._next_write = time.monotonic()
        self._written = 0

    def _make(self, tables: Mapping[str, Schema], about: dict[str, Any]) -> None:
        for name, schema in tables.items():
            if name == CELLS or not name.isidentifier() or _OWN.keys() & schema.keys():
                raise InvalidInput(f"A table {name!r} with the columns {', '.join(schema)} cannot be kept.")
            parts.check(name, schema)
        # a run that was killed while it wrote its manifest leaves the manifest's temporary file
        names = {file.name for file in self.folder.iterdir()} if self.folder.is_dir() else set()
        if MANIFEST in names:
            return  # another process was faster
        if any(not name.startswith(f".{MANIFEST}.") for name in names):
            raise InvalidInput(f"{str(self.folder)!r} holds something else; give a new or an empty folder.")
        self.folder.mkdir(parents=True, exist_ok=True)
        told = {"schema": SCHEMA, "version": VERSION, "tables": tables, "about": about}
        write_atomic(self.folder / MANIFEST, json.dumps(told, indent=1, ensure_ascii=False).encode())

    def tell(self, about: Mapping[str, Any]) -> None:
        """Say anew what the run is, as when it grows by another method."""
        self.about = dict(about)
        told = {"schema": SCHEMA, "version": VERSION, "tables": self.tables, "about": self.about}
        write_atomic(self.folder / MANIFEST, json.dumps(told, indent=1, ensure_ascii=False).encode())

    # -- writing -----------------------------------------------------------------------------------------------------

    def add(self, done: Done) -> None:
        """Take a cell over. It is written now, unless writing would then take more than a twentieth of the time: cells
        of milliseconds are written together, up to a second later.
        """
        self._held.append(done)
        if time.monotonic() >= self._next_write or len(self._held) >= _HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held back."""
        if not self._held:
            return
        started = time.monotonic()
        rows: dict[str, list[dict[str, Any]]] = {name: [] for name in self.tables}
        cells = []
        for done in self._held:
            for name, explanation in done.explanations.items():
                self._save(name, explanation)
            name = uuid.uuid4().hex
            own = {"cell": done.cell.fingerprint, "attempt": name}
            for table, several in done.rows.items():
                rows[table] += [{**own, "line": line, **row} for line, row in enumerate(several)]
            cells.append(_cell_row(done, own))
        for table, several in rows.items():
            if several:
                parts.write(self._place(table), {**_OWN, **self.tables[table]}, several)
        parts.write(self._place(CELLS), _CELL_COLUMNS, cells)  # last: from here on they count
        self._held.clear()
        self._written += 1
        if self._written % _MANY == 0:
            self.compact()
        now = time.monotonic()
        self._next_write = now + min(_WAIT, (now - started) * (1 / _SHARE - 1))

    def compact(self) -> None:
        """Make one file of many small ones."""
        for table in (*self.tables, CELLS):
            parts.compact(self._place(table))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is held back, also after an error or an interruption."""
        self.flush()

    # -- reading -----------------------------------------------------------------------------------------------------

    def done(self, *, failed: bool = True) -> set[str]:
        """Fingerprints of the cells that are done, those that failed among them or not."""
        condition = "" if failed else " WHERE error IS NULL"
        return set(self.query(f"SELECT cell FROM cells{condition}")["cell"])  # noqa: S608 - no word of a user's

    def query(self, sql: str, parameters: Sequence[Any] | None = None) -> pd.DataFrame:
        """Ask in SQL (duckdb's). Views: every table with its ``cell``, and ``cells``.

        Raises:
            InvalidInput: what is asked is no SQL, or of no table or column that there is.
        """
        import duckdb

        self.flush()
        for left in range(_TRIES, -1, -1):
            with duckdb.connect() as connection:
                try:
                    self._views(connection)
                    return connection.execute(sql, parameters or []).df()
                except (duckdb.IOException, duckdb.HTTPException) as error:
                    if not left:  # not the files that somebody else was just making one of
                        raise SchemaError(f"The run in {str(self.folder)!r} cannot be read: {error}.") from error
                except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException) as error:
                    raise InvalidInput(f"The query cannot be answered: {error}") from error
        raise SchemaError(f"The run in {str(self.folder)!r} cannot be read.")

    def table(self, name: str) -> pd.DataFrame:
        """A whole table, in a stable order: by cell, then as the cell gave its rows."""
        if name not in (*self.tables, CELLS):
            raise InvalidInput(f"There is no table {name!r}; the run has {', '.join((*self.tables, CELLS))}.")
        order = "cell" if name == CELLS else "cell, line"
        return self.query(f"SELECT * FROM {name} ORDER BY {order}")  # noqa: S608 - a known name

    def _views(self, connection: Any) -> None:
        parts.view(connection, "all_cells", self._place(CELLS), _CELL_COLUMNS)
        connection.execute(f"CREATE TEMP TABLE winners AS {_WINNERS}")
        connection.execute("CREATE VIEW cells AS SELECT * EXCLUDE (attempt) FROM winners")
        for name, schema in self.tables.items():
            parts.view(connection, f"all_{name}", self._place(name), {**_OWN, **schema})
            connection.execute(
                f"CREATE VIEW {name} AS SELECT * EXCLUDE (attempt) FROM (SELECT DISTINCT * FROM all_{name}) "  # noqa: S608
                f"SEMI JOIN winners USING (cell, attempt)"
            )

    def explanation(self, name: str) -> Explanation:
        """An explanation that a cell has kept.

        Raises:
            InvalidInput: there is none of that name.
            SchemaError: its files are damaged.
        """
        return load(self.explanation_path(name))

    def explanation_path(self, name: str) -> Path:
        """Where an explanation is or would be kept."""
        return explanation_path(self.folder, name)

    def _save(self, name: str, explanation: Explanation) -> None:
        path = self.explanation_path(name)
        if not path.is_file():  # the same name is the same explanation
            path.parent.mkdir(parents=True, exist_ok=True)
            save(explanation, path)

    def _place(self, table: str) -> Path:
        return self.folder / "results" / table


def explanation_path(folder: Path, name: str) -> Path:
    """Where the store in a folder keeps an explanation, or would."""
    short = digest(name)
    return folder / "explanations" / short[:2] / f"{short}.json"


def _cell_row(done: Done, own: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **own,
        "work_group": done.cell.group,
        "key": json.dumps(done.cell.key, ensure_ascii=False, sort_keys=True),
        "error": done.error,
        "seconds": done.seconds,
        "attempts": done.attempts,
        "worker": done.worker,
        "finished": time.time(),
    }


def _manifest(path: Path) -> dict[str, Any]:
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(f"{str(path)!r} is damaged: {error}.") from error
    if not isinstance(told, dict) or told.get("schema") != SCHEMA:
        raise InvalidInput(f"{str(path.parent)!r} is not the folder of a run; give another.")
    if told["version"] > VERSION:
        raise SchemaError(f"{str(path)!r} has format {told['version']}; this version reads {VERSION}: upgrade chiasm.")
    return told
