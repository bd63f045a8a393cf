"""The server: ``/v1/chat/completions`` and ``/v1/models`` for one model, with true log-probabilities."""

from __future__ import annotations

import hashlib
import math
import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from chiasm.core.errors import ChiasmError, InvalidInput, MissingCapability, MissingDependency
from chiasm.core.target import Target
from chiasm.models.remote.chat import sample_of

_MOST_TOKENS, _MOST_TOP, _MOST_ANSWERS = 256, 50, 32


def make_app(adapter: Any, name: str) -> Any:
    """A FastAPI application.

    Args:
        adapter: a decoder or a model that chooses among its answers, from `chiasm.load`.
        name: what the model is called.

    Raises:
        MissingCapability: a model that gives no answers.
        MissingDependency: FastAPI is not installed.
    """
    kinds: dict[str, type[Chat]] = {"decoder": Decoder, "fusion encoder": ClosedSet}
    if adapter.family not in kinds:
        raise MissingCapability(
            f"{adapter.name!r} is a {adapter.family}, which gives no answers; {' and '.join(kinds)}s are served."
        )
    try:
        from fastapi import Body, FastAPI
        from fastapi.responses import JSONResponse
    except ImportError as error:
        raise MissingDependency("fastapi", "chiasm serve", "serve") from error
    app, chat = FastAPI(title="chiasm serve"), kinds[adapter.family](adapter, name)

    def completions(body: dict[str, Any] = Body(...)) -> Any:  # noqa: B008 - FastAPI's way
        if body.get("model", name) != name:
            missing = f"There is no model {body['model']!r} here; ask for {name!r}."
            return JSONResponse({"error": {"message": missing, "type": "invalid_request_error"}}, 404)
        try:
            return chat(body)
        except ChiasmError as error:
            return JSONResponse({"error": {"message": str(error), "type": "invalid_request_error"}}, 400)

    def models() -> Any:
        return {"object": "list", "data": [{"id": name, "object": "model", "owned_by": "chiasm"}]}

    app.post("/v1/chat/completions")(completions)
    app.get("/v1/models")(models)
    return app


@dataclass(frozen=True)
class Request:
    """A chat request, checked.

    Attributes:
        content: of the user's message.
        begun: what the assistant's message says already, ``None`` without one.
        most, n, top: most tokens, answers, and likeliest tokens that are listed.
        temperature: 0 for greedy.
        seed: of sampled answers, ``None`` for any.
        logprobs, prompt_logprobs: whether they are wanted.
    """

    content: Any
    begun: str | None
    most: int
    n: int
    top: int
    temperature: float
    seed: int | None
    logprobs: bool
    prompt_logprobs: bool

    @classmethod
    def read(cls, body: dict[str, Any]) -> Request:
        """From the fields of a request.

        Raises:
            InvalidInput: a field that cannot be served.
        """
        messages = body.get("messages")
        if (
            not isinstance(messages, list)
            or not 1 <= len(messages) <= 2
            or not all(isinstance(m, dict) for m in messages)
        ):
            raise InvalidInput("Give one message of the user, and perhaps one of the assistant to be continued.")
        roles = [message.get("role") for message in messages]
        if roles not in (["user"], ["user", "assistant"]) or (len(roles) == 2) != bool(
            body.get("continue_final_message")
        ):
            raise InvalidInput(
                "A message of the assistant goes with continue_final_message; other roles are not served."
            )
        temperature, seed = body.get("temperature", 1), body.get("seed")
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not 0 <= temperature <= 100:
            raise InvalidInput(f"temperature is {temperature!r}; give a number from 0 to 100.")
        return cls(
            content=messages[0].get("content"),
            begun=str(messages[1].get("content")) if len(messages) == 2 else None,
            most=_whole(body, "max_tokens", 16, _MOST_TOKENS),
            n=_whole(body, "n", 1, _MOST_ANSWERS),
            top=_whole(body, "top_logprobs", 0, _MOST_TOP, least=0),
            temperature=float(temperature),
            seed=seed if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0 else None,
            logprobs=bool(body.get("logprobs")),
            prompt_logprobs=body.get("prompt_logprobs") is not None,
        )


@dataclass(frozen=True)
class Said:
    """What a model says to a request.

    Attributes:
        drawn: (text, finish reason, tokens with their log-probabilities) for each answer.
        prompt: tokens of the prompt.
        scored: those of the assistant's message with their log-probabilities, where they were asked for.
    """

    drawn: list[tuple[str, str, list[dict[str, Any]]]]
    prompt: int
    scored: list[dict[str, Any]] | None


class Chat(ABC):
    """Answers chat requests, one at a time.

    Served fields: ``messages`` (one of the user; a last one of the assistant with ``continue_final_message`` is scored
    or continued), ``max_tokens``, ``temperature``, ``n``, ``seed``, ``logprobs``, ``top_logprobs``, and vLLM's
    ``prompt_logprobs`` (for the assistant's message, the prompt before it is null).
    """

    def __init__(self, adapter: Any, name: str) -> None:
        """Nothing is computed yet."""
        self.adapter, self.name, self._lock = adapter, name, threading.Lock()
        self.fingerprint = "chiasm-" + hashlib.sha256(adapter.fingerprint.encode()).hexdigest()[:12]

    def __call__(self, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request.

        Raises:
            InvalidInput: a field that cannot be served.
        """
        request = Request.read(body)
        with self._lock:
            said = self.say(request, self.adapter.prepare(sample_of(request.content)))
        choices = [
            {
                "index": k,
                "message": {"role": "assistant", "content": text},
                "finish_reason": reason,
                "logprobs": {"content": tokens} if request.logprobs else None,
            }
            for k, (text, reason, tokens) in enumerate(said.drawn)
        ]
        written = sum(len(tokens) for _, _, tokens in said.drawn)
        usage = {"prompt_tokens": said.prompt, "completion_tokens": written, "total_tokens": said.prompt + written}
        found = {"id": f"chatcmpl-{time.time_ns()}", "object": "chat.completion", "created": int(time.time())}
        found |= {"model": self.name, "system_fingerprint": self.fingerprint, "choices": choices, "usage": usage}
        if said.scored is not None:
            found["prompt_logprobs"] = [None] * (said.prompt - len(said.scored)) + said.scored
        return found

    @abstractmethod
    def say(self, request: Request, prepared: Any) -> Said:
        """What the model says to a checked request on a prepared sample."""


class ClosedSet(Chat):
    """Of a model that chooses among its answers (ViLT, BLIP): each answer is one token, at temperature 0."""

    def say(self, request: Request, prepared: Any) -> Said:
        """The likeliest answer; the assistant's message is scored and never continued.

        Raises:
            InvalidInput: a temperature, or a message to be continued.
        """
        if request.temperature > 0:
            raise InvalidInput(f"{self.name!r} chooses among its answers and is served at temperature 0.")
        if request.begun is not None and not request.prompt_logprobs:
            raise InvalidInput(
                f"{self.name!r} gives whole answers; a begun one is scored (prompt_logprobs), not continued."
            )
        target = Target("probability", answer=request.begun)
        _, prediction = self.adapter.resolve(prepared, target)
        listed = [(prediction.answer, prediction.probability), *prediction.alternatives]
        chances = [{"token": text, "logprob": _log(chance)} for text, chance in listed]
        drawn = (prediction.answer, "stop", [{**chances[0], "top_logprobs": chances[: request.top]}])
        scored = None
        if request.begun is not None:
            value = {"logprob": _log(prediction.explained_probability), "decoded_token": request.begun}
            scored = [{"0": value}]
        return Said([drawn] * request.n, 1 + len(scored or ()), scored)


class Decoder(Chat):
    """Of a model that writes token by token."""

    def say(self, request: Request, prepared: Any) -> Said:
        """Greedy or sampled answers, and the log-probabilities of a message that was begun."""
        row = prepared.state.whole()
        start: tuple[int, ...] = ()
        if request.begun is not None:
            ways = self.adapter.answerer.ways(prepared.state.prompt.text, request.begun)
            start = self.adapter.answerer.spell(row, ways)
        rng = np.random.default_rng(request.seed)
        drawn = [
            self._answer(row, list(start), request.most, request.temperature, request.top, rng)
            for _ in range(request.n)
        ]
        scored = self._scores(row, start) if request.prompt_logprobs and start else None
        return Said(drawn, len(prepared.state.prompt.ids) + len(start), scored)

    def _chances(self, row: Any, ids: list[int]) -> Any:
        return self.adapter.forward.logits([row], ids, 1)[0, -1].double().log_softmax(-1).cpu().numpy()

    def _text(self, token: int) -> str:
        return str(self.adapter.tokenizer.decode([token]))

    def _answer(  # noqa: PLR0917 - private
        self, row: Any, ids: list[int], most: int, temperature: float, top: int, rng: np.random.Generator
    ) -> tuple[str, str, list[dict[str, Any]]]:
        answerer, first, reason = self.adapter.answerer, len(ids), "length"
        tokens: list[dict[str, Any]] = []
        while len(ids) - first < most:
            chances = self._chances(row, ids)
            allowed = chances.copy()
            allowed[[k for k in answerer.placeholders if k < len(allowed)]] = -np.inf
            if temperature > 0:
                weights = np.exp((allowed - allowed.max()) / temperature)
                token = int(rng.choice(len(weights), p=weights / weights.sum()))
            else:
                token = int(allowed.argmax())
            best = [int(k) for k in np.argsort(-chances, kind="stable")[:top]]
            listed = [{"token": self._text(k), "logprob": float(chances[k])} for k in best]
            if token in answerer.ends:
                reason = "stop"
                if not tokens:  # of an answer that ends at once the end is listed, so that other tokens can be seen
                    tokens.append(
                        {"token": self._text(token), "logprob": float(chances[token]), "top_logprobs": listed}
                    )
                break
            ids.append(token)
            tokens.append({"token": self._text(token), "logprob": float(chances[token]), "top_logprobs": listed})
        text = self.adapter.tokenizer.decode(ids[first:], skip_special_tokens=True).strip()
        return str(text), reason, tokens

    def _scores(self, row: Any, ids: tuple[int, ...]) -> list[dict[str, Any]]:
        logits = self.adapter.forward.logits([row], ids[:-1], len(ids))[0].double().log_softmax(-1)
        return [
            {str(token): {"logprob": max(float(logits[k, token]), -1e4), "decoded_token": self._text(token)}}
            for k, token in enumerate(ids)
        ]


def _whole(body: dict[str, Any], field: str, usual: int, most: int, least: int = 1) -> int:
    value = body.get(field)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(f"{field} is {value!r}; give a whole number from {least} to {most}.")
    return value


def _log(chance: float | None) -> float:
    return math.log(max(chance or 0.0, 1e-300))
