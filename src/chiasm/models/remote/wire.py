"""Requests to a server of the OpenAI chat API: safe, patient, counted, and never paid for twice.

One connection a request: an answer that comes late or twice can never be taken for that of the next request.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import httpx

from chiasm.core.content import digest
from chiasm.core.errors import BudgetSpent, InvalidInput, ModelError
from chiasm.models.remote.keys import LOOPBACK, Key
from chiasm.models.remote.memory import Answers
from chiasm.models.remote.prices import Price

#: statuses after which the same request may well succeed
_AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_LONGEST_WAIT = 120.0


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
        max_cost: hard cap on what they cost, by the price table; for requests on the way the dearest one so far is set
            aside, so that the cap can be passed by no more than the first requests that are sent together.
        max_bytes: longest response.
    """

    concurrency: int = 4
    per_minute: float | None = None
    timeout: float = 120.0
    retries: int = 6
    pause: float = 0.5
    max_requests: int | None = None
    max_cost: float | None = None
    max_bytes: int = 8 << 20

    def __post_init__(self) -> None:
        """Refuse what cannot be kept.

        Raises:
            InvalidInput: a number that is none, or out of range.
        """
        least = {"concurrency": 1, "retries": 0, "pause": 0, "max_requests": 0, "max_cost": 0, "max_bytes": 1}
        for name, value in vars(self).items():
            if value is None and name in ("per_minute", "max_requests", "max_cost"):
                continue
            whole = name in ("concurrency", "retries", "max_requests", "max_bytes")
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise InvalidInput(f"{name} is {value!r}; give a {'whole ' if whole else ''}number.")
            if not value >= least.get(name, 1e-9) or value == float("inf"):
                raise InvalidInput(f"{name} is {value!r}; give at least {least.get(name, 'a little more than 0')}.")


class _Failed(Exception):
    """A try that may succeed later; with the seconds that the server asks to wait, and whether there was no server."""

    def __init__(self, why: str, wait: float | None = None, *, unreachable: bool = False) -> None:
        super().__init__(why)
        self.wait, self.unreachable = wait, unreachable


class Server:
    """A server of the chat API.

    Args:
        base_url: ends in ``/v1`` as a rule.
        key: or ``None``.
        manners: see there.
        answers: what is known already.
        price: what requests cost, where it is known.

    Attributes:
        sent: requests sent, further tries included.
        answered: requests answered.
        remembered: requests that were not sent, as their answers were known.
        tokens: prompt and completion tokens that the server counted.
        spent: what they cost.
        identity: model and system fingerprint of the answers so far.
    """

    def __init__(
        self, base_url: str, key: Key | None, manners: Manners, answers: Answers, price: Price | None = None
    ) -> None:
        """Nothing is sent yet."""
        if manners.max_cost is not None and price is None:
            raise InvalidInput("max_cost needs prices; name a table: prices='prices.yaml'.")
        self.base_url, self.manners, self.answers, self.price = base_url, manners, answers, price
        self._key, self._lock = key, threading.Lock()
        self._trust = httpx.create_ssl_context()  # certificates are checked; made once, as it takes long
        self._next = 0.0
        self.sent = self.answered = self.remembered = 0
        self.tokens = [0, 0]
        self.spent = 0.0
        self._dearest, self._on_the_way = 0.0, 0
        self.identity: str | None = None

    def ask_all(self, bodies: Sequence[dict[str, Any]], again: int = 0) -> list[dict[str, Any]]:
        """Answers to some requests, in their order; equal ones are sent once.

        Args:
            bodies: the requests.
            again: a number that sets requests apart from equal ones that were sent before.

        Raises:
            BudgetSpent: a cap is reached; what was on its way is remembered.
            ModelError: the server refuses, fails for good, or is another model than before.
        """
        names = [digest([self.base_url, body, *([again] if again else [])]) for body in bodies]
        wanted = {name: body for name, body in zip(names, bodies, strict=True) if self.answers.get(name) is None}
        self.remembered += len(set(names)) - len(wanted)
        with ThreadPoolExecutor(self.manners.concurrency) as pool:
            coming = [pool.submit(self._ask, name, body) for name, body in wanted.items()]
        for one in coming:  # all have ended: the first error is raised when nothing is on its way any more
            one.result()
        found = [self.answers.get(name) for name in names]
        for answer in found:
            self._same(answer)
        return found

    def told(self) -> str:
        """What was sent and what it cost, in one sentence."""
        said = f"{self.sent:,} requests were sent and {self.answered:,} answered"
        if self.remembered:
            said += f"; {self.remembered:,} answers were remembered"
        if any(self.tokens):
            said += f"; {self.tokens[0]:,} prompt tokens and {self.tokens[1]:,} answer tokens"
        if self.price is not None:
            said += f", {self.price.say(self.spent)} by the price table"
        return f"{said}; they came from {self.identity!r}" if self.identity else said

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
                # a server that never answered is rather not there than busy: a second try is enough
                absent = error.unreachable and not self.answered and attempt > 0
                if absent or attempt == self.manners.retries:
                    raise ModelError(
                        f"The server failed {attempt + 1} times, last: {error}. See that {self.base_url} is right and "
                        f"up; the same command goes on from the answers it has."
                    ) from None
                pause = error.wait if error.wait is not None else self.manners.pause * 2.0**attempt
                time.sleep(min(pause, _LONGEST_WAIT))
            else:
                self._count(answer)
                self.answers.put(name, answer, self.base_url, str(body.get("model", "")))
                return
            finally:
                with self._lock:
                    self._on_the_way -= 1

    def _count(self, answer: dict[str, Any]) -> None:
        """Tokens and cost of an answer."""
        usage = answer.get("usage")
        counts = [usage.get(f) if isinstance(usage, dict) else None for f in ("prompt_tokens", "completion_tokens")]
        prompt, completion = (n if isinstance(n, int) and not isinstance(n, bool) and n >= 0 else 0 for n in counts)
        with self._lock:
            self.answered += 1
            self.tokens = [self.tokens[0] + prompt, self.tokens[1] + completion]
            if self.price is not None:
                cost = self.price.of(prompt, completion)
                self.spent, self._dearest = self.spent + cost, max(self._dearest, cost)

    def _admit(self) -> None:
        """Count a request and wait for its turn."""
        manners = self.manners
        with self._lock:
            if manners.max_requests is not None and self.sent >= manners.max_requests:
                raise BudgetSpent(f"the cap of {manners.max_requests:,} requests is reached; raise max_requests")
            foreseen = self.spent + (self._on_the_way + 1) * self._dearest
            if manners.max_cost is not None and self.price is not None and foreseen > manners.max_cost:
                raise BudgetSpent(f"the cap of {self.price.say(manners.max_cost)} is reached; raise max_cost")
            self.sent += 1
            self._on_the_way += 1
            now = time.monotonic()
            turn = max(self._next, now)
            self._next = turn + (60.0 / manners.per_minute if manners.per_minute else 0.0)
        time.sleep(turn - now)

    def _try(self, body: dict[str, Any]) -> dict[str, Any]:
        """One try. Errors of the transport are said by their kind alone: their texts may hold headers."""
        headers = {"Accept-Encoding": "identity", "Connection": "close"}
        if self._key is not None:
            headers["Authorization"] = self._key.header()
        local = urlsplit(self.base_url).hostname in LOOPBACK
        end = time.monotonic() + self.manners.timeout
        try:
            with (
                httpx.Client(
                    verify=self._trust, timeout=self.manners.timeout, follow_redirects=False, trust_env=not local
                ) as client,
                client.stream("POST", f"{self.base_url}/chat/completions", json=body, headers=headers) as response,
            ):
                content = self._content(response, end)
                status, asked = response.status_code, response.headers.get("retry-after")
        except httpx.HTTPError as error:
            raise _Failed(type(error).__name__, unreachable=isinstance(error, httpx.ConnectError)) from None
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
