"""Requests to a server of the OpenAI chat API: safe, patient, counted, and never paid for twice.

One connection a request: an answer that comes late or twice can never be taken for that of the next request.
"""

from __future__ import annotations

import json
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx

from chiasm.core.content import digest
from chiasm.core.errors import BudgetSpent, InvalidInput, ModelError

#: statuses after which the same request may well succeed
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_WAIT = 120.0
_FILE = "chiasm-answers.sqlite"


class Key:
    """An API key that is never shown, copied to a file or pickled.

    Args:
        secret: the key.

    Raises:
        InvalidInput: it cannot stand in a header. The message does not hold it.
    """

    def __init__(self, secret: str) -> None:
        """Check the characters."""
        if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
            raise InvalidInput("The API key is empty or holds spaces or unprintable characters; check where it is set.")
        self._secret = secret

    def __repr__(self) -> str:
        """Nothing of the key."""
        return "Key(***)"

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled."""
        raise TypeError("An API key is never pickled.")

    def header(self) -> str:
        """The value of the Authorization header."""
        return f"Bearer {self._secret}"

    def hide(self, thing: Any) -> Any:
        """Whatever a server said, without the key: some repeat it in their errors."""
        if isinstance(thing, str):
            return thing.replace(self._secret, "***")
        if isinstance(thing, list):
            return [self.hide(item) for item in thing]
        if isinstance(thing, dict):
            return {self.hide(name): self.hide(item) for name, item in thing.items()}
        return thing


def find_key(host: str, key_env: str | None, key_file: str | Path | None) -> Key | None:
    """The key for a server, from the environment or a file that nobody else may read.

    ``OPENAI_API_KEY`` goes to api.openai.com alone; any other server gets ``CHIASM_API_KEY``, unless another variable
    or file is named.

    Raises:
        InvalidInput: a variable that is not set, or a file that others may read.
    """
    if key_file is not None:
        path = Path(key_file).expanduser()
        try:
            mode = path.stat().st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise InvalidInput(f"Others may read the key file {str(path)!r}; run: chmod 600 {path}")
            return Key(path.read_text(encoding="utf-8").strip())
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(f"The key file {str(path)!r} cannot be read: {type(error).__name__}.") from None
    name = key_env or ("OPENAI_API_KEY" if host == "api.openai.com" else "CHIASM_API_KEY")
    secret = os.environ.get(name, "").strip()
    if not secret and (key_env or host == "api.openai.com"):
        raise InvalidInput(f"The environment variable {name} holds no API key; set it, or name a file by key_file.")
    return Key(secret) if secret else None


def check_url(url: str, *, allow_http: bool) -> str:
    """A base URL without its last slash.

    Raises:
        InvalidInput: another scheme than https (http to this machine, or where it is allowed), a user, a query.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidInput("The base URL must begin with https:// (or http:// for this machine) and name a host.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InvalidInput(
            "The base URL holds a user, a query or a fragment; keys come from the environment or a file."
        )
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not allow_http:
        raise InvalidInput(
            f"http:// to {parts.hostname!r} would send pictures and key readable by anybody on the way; use https://, "
            f"or say allow_http=True."
        )
    return url.rstrip("/")


class Answers:
    """Answers of servers on disk, each written the moment it arrives; in memory alone without a folder."""

    def __init__(self, folder: Path | None) -> None:
        """Open or make the file, readable by its owner alone."""
        self._known: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._db: sqlite3.Connection | None = None
        if folder is not None:
            try:
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                path = folder / _FILE
                os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
                self._db = sqlite3.connect(path, timeout=10.0, isolation_level=None, check_same_thread=False)
                self._db.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
            except (OSError, sqlite3.Error) as error:
                raise ModelError(
                    f"Answers cannot be remembered in {str(folder)!r} ({error}), so they would be paid for twice. Give "
                    f"another folder, or cache=False."
                ) from error

    def get(self, key: str) -> Any:
        """An answer, or ``None``."""
        with self._lock:
            if key not in self._known and self._db is not None:
                row = self._db.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
                if row is not None:
                    self._known[key] = json.loads(row[0])
            return self._known.get(key)

    def put(self, key: str, answer: Any) -> None:
        """Remember an answer."""
        with self._lock:
            self._known[key] = answer
            if self._db is not None:
                self._db.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(answer)))


@dataclass(frozen=True)
class Manners:
    """How a server is treated.

    Attributes:
        concurrency: requests on the way at once.
        per_minute: most requests a minute; ``None`` for any.
        timeout: seconds that one request may take in all.
        retries: further tries of a request that failed.
        pause: seconds before the second try; doubled before each further one, unless the server says how long to wait.
        max_requests: hard cap on requests sent, further tries included; ``None`` for none.
        max_bytes: longest response.
    """

    concurrency: int = 4
    per_minute: float | None = None
    timeout: float = 120.0
    retries: int = 6
    pause: float = 0.5
    max_requests: int | None = None
    max_bytes: int = 8 << 20


class _Failed(Exception):
    """A try that may succeed later; with the seconds that the server asks to wait."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class Server:
    """A server of the chat API.

    Args:
        base_url: ends in ``/v1`` as a rule.
        key: or ``None``.
        manners: see there.
        answers: what is known already.

    Attributes:
        sent: requests sent, further tries included.
        answered: requests answered.
        tokens: prompt and completion tokens that the server counted.
        identity: model and system fingerprint of the answers so far.
    """

    def __init__(self, base_url: str, key: Key | None, manners: Manners, answers: Answers) -> None:
        """Nothing is sent yet."""
        self.base_url, self.manners, self.answers = base_url, manners, answers
        self._key, self._lock = key, threading.Lock()
        self._next = 0.0
        self.sent = self.answered = 0
        self.tokens = [0, 0]
        self.identity: str | None = None

    def ask_all(self, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """Answers to some requests, in their order; equal ones are sent once.

        Raises:
            BudgetSpent: the cap is reached; what was on its way is remembered.
            ModelError: the server refuses, fails for good, or is another model than before.
        """
        names = [digest([self.base_url, body]) for body in bodies]
        wanted = {name: body for name, body in zip(names, bodies, strict=True) if self.answers.get(name) is None}
        with ThreadPoolExecutor(self.manners.concurrency) as pool:
            coming = [pool.submit(self._ask, name, body) for name, body in wanted.items()]
        for one in coming:  # all have ended: the first error is raised when nothing is on its way any more
            one.result()
        found = [self.answers.get(name) for name in names]
        for answer in found:
            self._same(answer)
        return found

    def _same(self, answer: dict[str, Any]) -> None:
        """Refuse an answer of another model than the ones before."""
        identity = f"{answer.get('model') or ''} {answer.get('system_fingerprint') or ''}".strip()
        with self._lock:
            if self.identity is None:
                self.identity = identity
            if self.identity != identity:
                raise ModelError(
                    f"The server changed its model: answers so far came from {self.identity!r}, this one from "
                    f"{identity!r}. An explanation of both would be of neither, so the run stops. Start again with a "
                    f"new cache folder."
                )

    def _ask(self, name: str, body: dict[str, Any]) -> None:
        for attempt in range(self.manners.retries + 1):
            self._admit()
            try:
                answer = self._try(body)
            except _Failed as error:
                if attempt == self.manners.retries:
                    raise ModelError(f"The server failed {attempt + 1} times, last: {error}.") from None
                pause = error.wait if error.wait is not None else self.manners.pause * 2.0**attempt
                time.sleep(min(pause, _LONGEST_WAIT))
            else:
                with self._lock:
                    self.answered += 1
                    usage = answer.get("usage")
                    for k, field in enumerate(("prompt_tokens", "completion_tokens")):
                        count = usage.get(field) if isinstance(usage, dict) else None
                        self.tokens[k] += count if isinstance(count, int) else 0
                self.answers.put(name, answer)
                return

    def _admit(self) -> None:
        """Count a request and wait for its turn."""
        with self._lock:
            if self.manners.max_requests is not None and self.sent >= self.manners.max_requests:
                raise BudgetSpent(f"the cap of {self.manners.max_requests:,} requests is reached")
            self.sent += 1
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + (60.0 / self.manners.per_minute if self.manners.per_minute else 0.0)
        time.sleep(turn - now)

    def _try(self, body: dict[str, Any]) -> dict[str, Any]:
        """One try. Errors of the transport are said by their kind alone: their texts may hold headers."""
        headers = {"Accept-Encoding": "identity", "Connection": "close"}
        if self._key is not None:
            headers["Authorization"] = self._key.header()
        local = urlsplit(self.base_url).hostname in _LOOPBACK
        end = time.monotonic() + self.manners.timeout
        try:
            with (
                httpx.Client(timeout=self.manners.timeout, follow_redirects=False, trust_env=not local) as client,
                client.stream("POST", f"{self.base_url}/chat/completions", json=body, headers=headers) as response,
            ):
                content = self._content(response, end)
                status, asked = response.status_code, response.headers.get("retry-after")
        except httpx.HTTPError as error:
            raise _Failed(type(error).__name__) from None
        said = content.decode("utf-8", "replace")
        if status in _AGAIN and "insufficient_quota" not in said:
            raise _Failed(f"status {status}", _seconds(asked))
        if status != 200:
            shown = self._key.hide(said) if self._key is not None else said
            clean = "".join(c if c.isprintable() else " " for c in shown)[:300]
            raise ModelError(f"The server refuses the request with status {status}: {clean}")
        return self._answer(said)

    def _content(self, response: httpx.Response, end: float) -> bytes:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise ModelError("The server compresses its answer though it was asked not to; its size cannot be bounded.")
        content = b""
        for piece in response.iter_raw():
            content += piece
            if len(content) > self.manners.max_bytes:
                raise ModelError(f"The server's answer is longer than {self.manners.max_bytes:,} bytes; it is refused.")
            if time.monotonic() > end:
                raise _Failed(f"no whole answer within {self.manners.timeout:g} s")
        return content

    def _answer(self, said: str) -> dict[str, Any]:
        try:
            answer = json.loads(said)
            choices = answer["choices"]
            texts = [choice["message"]["content"] for choice in choices]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise _Failed("an answer that is not of the chat API") from None
        if not texts or not all(text is None or isinstance(text, str) for text in texts):
            raise _Failed("an answer without a text")
        clean: dict[str, Any] = answer if self._key is None else self._key.hide(answer)
        return clean


def _seconds(said: str | None) -> float | None:
    """What Retry-After asks for: seconds, or a date."""
    if not said:
        return None
    try:
        return max(0.0, float(said))
    except ValueError:
        try:
            return max(0.0, parsedate_to_datetime(said).timestamp() - time.time())
        except (ValueError, TypeError):
            return None
