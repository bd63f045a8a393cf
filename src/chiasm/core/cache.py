"""Values of games on disk: an interrupted run goes on where it was, and processes share what they computed.

One SQLite file holds the values of many games, each under a key that the caller makes from everything that can change
a value (`chiasm.core.content.digest`). A row is a batch: the coalitions packed to bits, the values as float64, and a
checksum of both, so that a damaged row is left out and never read as a value.

Writing is atomic and safe among processes: SQLite's rollback journal, which unlike its write-ahead log also works where
the file may only be read and on network drives. A write waits for the disk, so batches are written together, at most
twice a second and for at most a twentieth of the time: a process that is interrupted loses nothing, one that is killed
outright what it computed since the last write.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, keys
from chiasm.core.errors import ChiasmError, InvalidInput

#: the environment variable that names the folder, or switches the cache off
ENVIRONMENT = "CHIASM_CACHE"
#: name of the file in the cache's folder
FILE = "chiasm-values.sqlite"
#: words that switch the cache off, or on in the user's own folder
_OFF, _ON = frozenset({"off", "no", "none", "false", "0"}), frozenset({"on", "yes", "true", "1"})
#: "Chsm" as SQLite's application id, and the number of the tables' layout
_APPLICATION, _LAYOUT = 0x4368736D, 1
#: seconds to wait for another process
_WAIT = 10.0
#: seconds between writes, and how many times as long as the last write took
_BETWEEN, _PATIENCE = 0.5, 20

_TABLES = """
CREATE TABLE IF NOT EXISTS games (
    key TEXT PRIMARY KEY, players INTEGER NOT NULL, about TEXT NOT NULL, created REAL NOT NULL, used REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS batches (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    game TEXT NOT NULL, coalitions BLOB NOT NULL, vals BLOB NOT NULL, checksum BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS batches_of_game ON batches (game, id);
"""

#: a folder, ``True`` or ``"on"`` for the user's own, ``False``, ``None`` or ``"off"`` for none
CacheChoice = bool | str | Path | None


class CacheError(ChiasmError, RuntimeError):
    """The value cache cannot be used; the message says which file and why. No value depends on it."""


class DamagedCache(CacheError):
    """What is in the file cannot be read, by us or anybody else."""


def user_folder() -> Path | None:
    """The folder of the user's cache: as ``CHIASM_CACHE`` says (``None`` for ``off``), or where the system keeps such
    things: ``$XDG_CACHE_HOME/chiasm``, ``~/.cache/chiasm``; on macOS ``~/Library/Caches/chiasm``; on Windows
    ``%LOCALAPPDATA%/chiasm/Cache``.
    """
    said = os.environ.get(ENVIRONMENT, "").strip()
    if said and said.lower() not in _ON:
        return None if said.lower() in _OFF else Path(said).expanduser()
    if (xdg := os.environ.get("XDG_CACHE_HOME", "")) and Path(
        xdg
    ).is_absolute():  # the convention: ignore relative ones
        return Path(xdg) / "chiasm"
    if (local := os.environ.get("LOCALAPPDATA", "")) and sys.platform == "win32":
        return Path(local) / "chiasm" / "Cache"
    try:
        home = Path.home()
    except RuntimeError:  # a service without a home
        return None
    return home / "Library" / "Caches" / "chiasm" if sys.platform == "darwin" else home / ".cache" / "chiasm"


def chosen_folder(choice: CacheChoice) -> Path | None:
    """The folder that a choice stands for, or ``None`` for no cache.

    Raises:
        InvalidInput: neither a folder nor a yes or no.
    """
    if isinstance(choice, str) and choice.strip().lower() in _OFF | _ON:
        choice = choice.strip().lower() in _ON
    if isinstance(choice, bool) or choice is None:
        return user_folder() if choice else None
    if not isinstance(choice, str | Path) or not str(choice).strip():
        raise InvalidInput(f"The cache is {choice!r}; give a folder, True for your own cache, or False for none.")
    return Path(choice).expanduser()


@dataclass(frozen=True)
class CachedGame:
    """What the cache holds of one game.

    Attributes:
        key: digest of everything that its values depend on.
        about: what it was, in words, for people: ``model``, ``target``, ``players`` …
        values: how many values; what two processes computed at the same time counts twice.
        size: bytes.
        created, used: seconds since 1970.
    """

    key: str
    about: dict[str, Any]
    values: int
    size: int
    created: float
    used: float


class ValueCache:
    """The values of many games in one file.

    Args:
        folder: where the file is; both are made if need be.
        create: ``False``: do not make them; then a file that is not there is an error.

    Raises:
        DamagedCache: the file is damaged.
        CacheError: it cannot be opened, or a newer Chiasm or another program wrote it.
    """

    def __init__(self, folder: Path, *, create: bool = True) -> None:
        """Open the file."""
        self.path = folder / FILE
        if create:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # answers of models are nobody else's business
            except OSError as error:
                raise CacheError(f"The folder {str(folder)!r} of the value cache cannot be made: {error}.") from error
        elif not self.path.is_file():
            raise CacheError(f"There is no value cache {str(self.path)!r}.")
        with self._in_words():
            self._db = sqlite3.connect(self.path, timeout=_WAIT, isolation_level=None)
        opened = False
        try:
            self._prepare()
            opened = True
        finally:
            if not opened:
                self._db.close()

    def _prepare(self) -> None:
        """Make the tables in a new file; refuse a file that is something else."""
        with self._in_words():
            self._db.execute("PRAGMA synchronous = NORMAL")
            layout = self._pragma("user_version")
            (tables,) = self._db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
            if layout == 0 and tables == 0:
                with self._writing():
                    for statement in _TABLES.split(";"):  # executescript would commit
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
                    self._db.execute(f"PRAGMA user_version = {_LAYOUT}")
                layout = _LAYOUT
            if self._pragma("application_id") != _APPLICATION:
                raise CacheError(f"{str(self.path)!r} is a file of another program.")
        if layout > _LAYOUT:
            raise CacheError(f"The value cache {str(self.path)!r} was written by a newer Chiasm; update this one.")

    def _pragma(self, name: str) -> int:
        return int(self._db.execute(f"PRAGMA {name}").fetchone()[0])

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self.close()

    def close(self) -> None:
        """Close the file; what its games still hold back is not written (`CachedValues.flush` does that)."""
        self._db.close()

    def values(self, key: str, players: int, about: Mapping[str, Any] | None = None) -> CachedValues:
        """The values of one game.

        Args:
            key: digest of everything that can change a value.
            players: number of all players, the fixed ones included.
            about: what to show people, JSON types.
        """
        return CachedValues(self, key, players, dict(about or {}))

    def games(self) -> list[CachedGame]:
        """What there is, the game used last first.

        Raises:
            CacheError: the file cannot be read.
        """
        with self._in_words():
            found = self._db.execute(
                "SELECT g.key, g.about, COALESCE(SUM(LENGTH(b.vals)), 0) / 8,"
                " COALESCE(SUM(LENGTH(b.vals) + LENGTH(b.coalitions)), 0), g.created, g.used"
                " FROM games g LEFT JOIN batches b ON b.game = g.key GROUP BY g.key ORDER BY g.used DESC, g.key"
            ).fetchall()
        return [CachedGame(key, _read(about), *numbers) for key, about, *numbers in found]

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self.path.stat().st_size

    def remove(self, games: list[CachedGame]) -> None:
        """Remove games with their values and give the space back.

        Raises:
            CacheError: the file cannot be written.
        """
        with self._writing():
            for table, column in (("batches", "game"), ("games", "key")):
                self._db.executemany(f"DELETE FROM {table} WHERE {column} = ?", [(game.key,) for game in games])  # noqa: S608
        with suppress(CacheError), self._in_words():  # a reader is at work, or no room: the pages are free all the same
            self._db.execute("VACUUM")

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction: all of it is in the file afterwards, or nothing."""
        with self._in_words():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")

    @contextmanager
    def _in_words(self) -> Iterator[None]:
        """Errors of SQLite as errors for people."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            kind = DamagedCache if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB) else CacheError
            raise kind(f"The value cache {str(self.path)!r} {_REASONS.get(code, f'fails: {error}')}.") from error


_REASONS = {
    sqlite3.SQLITE_BUSY: f"was locked by another process for {_WAIT:.0f} s",
    sqlite3.SQLITE_READONLY: "may only be read",
    sqlite3.SQLITE_FULL: "has no room left on its disk",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened or made",
    sqlite3.SQLITE_CORRUPT: "is damaged; `chiasm cache clear --all` makes a new one",
    sqlite3.SQLITE_NOTADB: "is damaged; `chiasm cache clear --all` makes a new one",
}


class CachedValues:
    """The values of one game in a cache: a `chiasm.core.game.Memory`.

    Made by `ValueCache.values`. What other processes add is seen at the next `get`. Of two values for one coalition the
    one that was written first is taken: they differ in rounding at most.

    Attributes:
        damaged: rows that were left out because their checksum is wrong.
    """

    def __init__(self, cache: ValueCache, key: str, players: int, about: dict[str, Any]) -> None:
        """Nothing is read or written yet."""
        self.damaged = 0
        self._cache, self._key, self._about = cache, key, json.dumps(about, ensure_ascii=False)
        self._players, self._width = players, (players + 7) // 8
        self._known: dict[bytes, float] = {}
        self._seen = 0  # the last row that was read
        self._unwritten: list[tuple[bytes, bytes]] = []
        self._next_write = time.monotonic() + _BETWEEN

    def get(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``, NaN where nothing is known.

        Raises:
            CacheError: the file cannot be read.
            InvalidInput: coalitions of another number of players.
        """
        self._check(coalitions)
        self._catch_up()
        return np.array([self._known.get(name, np.nan) for name in keys(coalitions)], np.float64)

    def put(self, coalitions: Coalitions, values: NDArray[np.float64]) -> None:
        """Remember values. They are written now if the last write was a while ago, else by a later call or `flush`.

        Raises:
            CacheError: the file cannot be written; nothing is lost from it, and a later call tries again.
            InvalidInput: coalitions of another number of players.
        """
        self._check(coalitions)
        names = keys(coalitions)
        for name, value in zip(names, values.tolist(), strict=True):
            self._known.setdefault(name, value)
        self._unwritten.append((b"".join(names), np.asarray(values, "<f8").tobytes()))
        if time.monotonic() >= self._next_write:
            self.flush()

    def flush(self) -> None:
        """Write what is held back, and that the game was used now. A game without values is not written.

        Raises:
            CacheError: the file cannot be written.
        """
        if not self._known:
            return
        coalitions = b"".join(names for names, _ in self._unwritten)
        values = b"".join(numbers for _, numbers in self._unwritten)
        now, started = time.time(), time.monotonic()
        with self._cache._writing() as db:  # noqa: SLF001 - the two are one thing
            # The game's row every time: somebody may have cleared the cache meanwhile.
            db.execute(
                "INSERT INTO games VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET used = excluded.used",
                (self._key, self._players, self._about, now, now),
            )
            if values:
                db.execute(
                    "INSERT INTO batches (game, coalitions, vals, checksum) VALUES (?, ?, ?, ?)",
                    (self._key, coalitions, values, self._checksum(coalitions, values)),
                )
        self._unwritten.clear()
        done = time.monotonic()
        self._next_write = done + max(_BETWEEN, _PATIENCE * (done - started))

    @property
    def unwritten(self) -> bool:
        """Whether values are held back."""
        return bool(self._unwritten)

    def _check(self, coalitions: Coalitions) -> None:
        if coalitions.ndim != 2 or coalitions.shape[1] != self._players:
            raise InvalidInput(f"Coalitions have shape {coalitions.shape}; the game has {self._players} players.")

    def _catch_up(self) -> None:
        """Read the rows that were added since the last time."""
        with self._cache._in_words():  # noqa: SLF001
            rows = self._cache._db.execute(  # noqa: SLF001
                "SELECT id, coalitions, vals, checksum FROM batches WHERE game = ? AND id > ? ORDER BY id",
                (self._key, self._seen),
            ).fetchall()
        for row, coalitions, values, checksum in rows:
            self._seen = row
            blobs = isinstance(coalitions, bytes) and isinstance(values, bytes)
            if not blobs or checksum != self._checksum(coalitions, values):
                self.damaged += 1
                continue
            width = self._width
            names = (coalitions[k : k + width] for k in range(0, len(coalitions), width))
            for name, value in zip(names, np.frombuffer(values, "<f8").tolist(), strict=True):
                self._known.setdefault(name, value)

    def _checksum(self, coalitions: bytes, values: bytes) -> bytes:
        hashed = hashlib.blake2b(self._key.encode(), digest_size=8)
        hashed.update(len(coalitions).to_bytes(8, "little") + coalitions)
        hashed.update(values)
        return hashed.digest()


def _read(about: str) -> dict[str, Any]:
    """What was said of a game; nothing where it cannot be read."""
    with suppress(ValueError):
        found = json.loads(about)
        if isinstance(found, dict):
            return found
    return {}
