"""Answers of servers on disk, so that none is paid for twice."""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chiasm.core.errors import ModelError

#: name of the file in the cache's folder
FILE = "chiasm-answers.sqlite"
#: seconds to wait for another process
_WAIT = 10.0
_TABLES = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY, server TEXT NOT NULL, model TEXT NOT NULL, answer TEXT NOT NULL, written REAL NOT NULL
)
"""


@dataclass(frozen=True)
class Remembered:
    """What is remembered of one model of a server.

    Attributes:
        server, model: which.
        answers: how many.
        size: bytes of their text.
        used: when the last one was written, seconds since 1970.
    """

    server: str
    model: str
    answers: int
    size: int
    used: float


class Answers:
    """Answers of servers, each written the moment it arrives; in memory alone without a folder.

    Args:
        folder: of the file, which is readable by its owner alone; ``None`` for none.

    Raises:
        ModelError: the file cannot be used.
    """

    def __init__(self, folder: Path | None) -> None:
        """Open or make the file."""
        self._known: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        self.path = None if folder is None else folder / FILE
        if folder is not None and self.path is not None:
            with self._typed():
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600))
                self._db = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None, check_same_thread=False)
                self._db.execute(_TABLES)

    @contextmanager
    def _typed(self) -> Iterator[None]:
        """Errors of the file in words; a damaged answer counts as one."""
        try:
            yield
        except (OSError, sqlite3.Error, json.JSONDecodeError) as error:
            raise ModelError(
                f"Answers cannot be remembered in {str(self.path)!r} ({error}), so they would be paid for twice. Give "
                f"another folder, remove the file, or say cache=False."
            ) from error

    def get(self, key: str) -> Any:
        """An answer, or ``None``."""
        with self._lock, self._typed():
            if key not in self._known and self._db is not None:
                row = self._db.execute("SELECT answer FROM replies WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    self._known[key] = json.loads(row[0])
            return self._known.get(key)

    def put(self, key: str, answer: Any, server: str, model: str) -> None:
        """Remember an answer."""
        with self._lock, self._typed():
            self._known[key] = answer
            if self._db is not None:
                row = (key, server, model, json.dumps(answer), time.time())
                self._db.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?, ?, ?)", row)

    def summary(self) -> list[Remembered]:
        """What the file holds, the model asked last first."""
        if self._db is None:
            return []
        with self._lock, self._typed():
            rows = self._db.execute(
                "SELECT server, model, COUNT(*), SUM(LENGTH(answer)), MAX(written) FROM replies GROUP BY server, model "
                "ORDER BY MAX(written) DESC"
            ).fetchall()
        return [Remembered(*row) for row in rows]

    def forget(self, before: float | None = None) -> int:
        """Remove the answers of models that were last asked before a time, or all; how many were removed."""
        if self._db is None:
            return 0
        gone = [one for one in self.summary() if before is None or one.used < before]
        with self._lock, self._typed():
            for one in gone:
                self._db.execute("DELETE FROM replies WHERE server = ? AND model = ?", (one.server, one.model))
            if gone:
                self._db.execute("VACUUM")
        self._known.clear()
        return sum(one.answers for one in gone)

    def close(self) -> None:
        """Close the file."""
        if self._db is not None:
            self._db.close()
