"""A closed model behind the OpenAI chat API: values from what the server gives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from chiasm.core.cache import CacheChoice, chosen_folder
from chiasm.core.coalitions import Coalitions
from chiasm.core.content import digest
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.explanation import Prediction
from chiasm.core.game import Costs
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Scale, Target
from chiasm.modalities import modalities
from chiasm.modalities.base import Context, Masker
from chiasm.models.base import Adapter, Prepared
from chiasm.models.function import content_masks
from chiasm.models.remote.chat import content_of
from chiasm.models.remote.readings import READINGS, bound_outside, first_tokens, given_answer, likeness, plain
from chiasm.models.remote.wire import Answers, Manners, Server, check_url, find_key

_OPENAI = "https://api.openai.com/v1"
_SCALES: dict[str, tuple[Scale, ...]] = {
    "prompt": ("log_probability", "probability"),
    "first": ("log_probability", "probability"),
}
_SCALES["samples"], _SCALES["similarity"] = ("probability",), ("similarity",)
#: coalitions of one call for each request on the way
_PER_WORKER = 4


class RemoteAdapter(Adapter):
    """A model behind an API. Nothing is known of it but what it answers.

    Pictures are masked at their own resolution, since the server's is unknown, and sent as PNG.

    Args:
        name: ``"openai:MODEL"``, or ``"openai:MODEL@https://host/v1"``.
        base_url: of the server; OpenAI's own by default.
        reading: one of `READINGS`.
        samples: answers that are drawn for a value of the reading ``samples``.
        top: first tokens that are asked for.
        max_tokens: longest answer.
        seed: sent with every request.
        key_env: environment variable of the key (`find_key`).
        key_file: file of the key.
        allow_http: let pictures and key travel unencrypted.
        cache: where answers are remembered, so that none is paid for twice; your own folder by default.
        extra: further fields of every request.
        **manners: fields of `Manners`: ``concurrency``, ``max_requests`` …

    Raises:
        InvalidInput: an option that cannot be used.
        UnknownName: no such reading.
    """

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        reading: str = "prompt",
        samples: int = 8,
        top: int = 20,
        max_tokens: int = 16,
        seed: int = 0,
        key_env: str | None = None,
        key_file: str | Path | None = None,
        allow_http: bool = False,
        cache: CacheChoice = True,
        extra: Mapping[str, Any] | None = None,
        **manners: Any,
    ) -> None:
        """Nothing is sent yet."""
        model, _, behind = name.removeprefix("openai:").partition("@http")
        super().__init__(f"openai:{model}")
        if reading not in READINGS:
            raise UnknownName("reading", reading, READINGS)
        known = {field.name for field in fields(Manners)}
        if unknown := sorted(set(manners) - known):
            raise InvalidInput(f"Unknown options {unknown} for a model behind an API; it takes {', '.join(known)} …")
        if not model or samples < 1 or top < 1 or max_tokens < 1:
            raise InvalidInput("A model behind an API needs a name, and samples, top and max_tokens of at least 1.")
        url = check_url(base_url or (f"http{behind}" if behind else _OPENAI), allow_http=allow_http)
        key = find_key(urlsplit(url).hostname or "", key_env, key_file)
        self.server = Server(url, key, Manners(**manners), Answers(chosen_folder(cache)))
        self.family, self.kinds = "remote", ("image", "text")
        self.default_maskers = {"image": "mean", "text": "delete"}
        self.default_target = Target(scale=_SCALES[reading][0])
        self.model, self.reading, self.samples, self.top = model, reading, samples, top
        self._common = {"model": model, "max_tokens": max_tokens, "seed": seed, "temperature": 0, **(extra or {})}

    @property
    def fingerprint(self) -> str:
        """Server, model, settings, and what the server says of itself as far as it has answered."""
        return digest([self.server.base_url, self._common, self.reading, self.samples, self.server.identity])

    @property
    def requests_per_value(self) -> int:
        """Requests that a value costs (of one answer; a contrast may cost twice as many)."""
        return self.samples if self.reading == "samples" else 1

    def prepare(self, sample: Sample) -> Prepared:
        """Read the parts at their own size."""
        for name, part in sample.parts.items():
            if part.kind not in self.kinds:
                raise InvalidInput(f"Part {name!r} is of kind {part.kind!r}; a chat API takes image and text.")
        contents = {name: modalities.get(part.kind).read(part.data) for name, part in sample.parts.items()}
        order = tuple((name, part.kind) for name, part in sample.parts.items())
        return Prepared(sample, contents, {name: Context() for name in contents}, order)

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """Ask for the model's own answer.

        Raises:
            InvalidInput: a scale that the reading does not have, or a token or candidates.
            MissingCapability: the server gives no log-probabilities and the reading needs them.
        """
        if target.scale not in _SCALES[self.reading]:
            raise InvalidInput(
                f"The reading {self.reading!r} gives {' or '.join(_SCALES[self.reading])}, not {target.scale}; choose "
                f"another scale or another of the readings {', '.join(READINGS)}."
            )
        if target.token is not None or target.candidates:
            raise InvalidInput("A model behind an API has no single tokens or candidates; leave them out.")
        body = self._body(content_of(prepared.state, prepared.contents))
        if self.reading in ("prompt", "first"):
            body |= {"logprobs": True, "top_logprobs": self.top}
        (reply,) = self.server.ask_all([body])
        choice = reply["choices"][0]
        own = (choice["message"]["content"] or "").strip()
        if target.answer is None and not own:
            raise InvalidInput("The model's own answer to this sample is empty; give an answer to explain.")
        resolved = target.with_answer(target.answer or own)
        if self.reading == "first":
            first_tokens(reply)  # refuses a server that gives none
        chance = _chance(choice)
        complete = choice.get("finish_reason") != "length"
        same = resolved.answer == own
        return resolved, Prediction(own, chance, (), resolved.answer, chance if same else None, complete)

    def values(
        self,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> RemoteValues:
        """The value function of a resolved target."""
        return RemoteValues(self, prepared, players, maskers, target, batch_size)

    def notes(self, prepared: Prepared) -> list[str]:
        """What the values are."""
        del prepared
        return [f"values by the reading {self.reading!r}: {READINGS[self.reading]}"]

    def ask(self, contents: Sequence[list[dict[str, Any]]], target: Target) -> NDArray[np.float64]:
        """Values of a target on some messages, ``float64[messages]``."""
        answers = [target.answer or ""] + ([target.against] if target.against is not None else [])
        bodies = [body for content in contents for body in self._bodies(content, answers)]
        replies = self.server.ask_all(bodies)
        each = len(bodies) // max(len(contents), 1)
        found = []
        for place in range(len(contents)):
            own = replies[place * each : (place + 1) * each]
            read = [self._read(own, k, answer, target) for k, answer in enumerate(answers)]
            found.append(read[0] - sum(read[1:]))
        return np.array(found, np.float64)

    def _body(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._common, "messages": [{"role": "user", "content": content}]}

    def _bodies(self, content: list[dict[str, Any]], answers: Sequence[str]) -> list[dict[str, Any]]:
        """The requests behind one value."""
        body = self._body(content)
        if self.reading == "prompt":
            asked = {"prompt_logprobs": 0, "max_tokens": 1, "add_generation_prompt": False}
            said = [{"role": "assistant", "content": answer} for answer in answers]
            return [
                {**body, **asked, "continue_final_message": True, "messages": [*body["messages"], one]} for one in said
            ]
        if self.reading == "first":
            return [{**body, "max_tokens": 1, "logprobs": True, "top_logprobs": self.top}]
        if self.reading == "samples":
            seed = int(self._common["seed"])
            return [{**body, "temperature": 1, "seed": seed + k} for k in range(self.samples)]
        return [body]

    def _read(self, replies: Sequence[dict[str, Any]], which: int, answer: str, target: Target) -> float:
        if self.reading == "prompt":
            value = given_answer(replies[which], answer)
        elif self.reading == "first":
            top = first_tokens(replies[0])
            found = [v for token, v in top.items() if token.strip() and answer.strip().startswith(token.strip())]
            value = min(0.0, float(np.logaddexp.reduce(found))) if found else bound_outside(top)
        else:
            texts = [reply["choices"][0]["message"]["content"] for reply in replies]
            scores = [likeness(text, answer) for text in texts]
            if self.reading == "samples":
                scores = [float(plain(text) == plain(answer)) for text in texts]
            return math.fsum(scores) / len(scores)
        return math.exp(value) if target.scale == "probability" else value


class RemoteValues:
    """The value function of a model behind an API.

    Attributes:
        batch_size: coalitions of one call.
        costs: the requests of a value.
    """

    def __init__(  # noqa: PLR0917 - as Adapter.values
        self,
        adapter: RemoteAdapter,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
        batch_size: int | None,
    ) -> None:
        """Check the maskers."""
        self.batch_size = batch_size or _PER_WORKER * adapter.server.manners.concurrency
        self.costs = Costs({}, float(adapter.requests_per_value))
        self._adapter, self._order, self._players, self._target = adapter, prepared.state, players, target
        self._masks = {part: content_masks(prepared, players, part, maskers[part]) for part in prepared.contents}

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``."""
        present = self._players.split(coalitions)
        shown = {part: memory(present[part]) for part, memory in self._masks.items()}
        rows = [{part: items[row] for part, items in shown.items()} for row in range(len(coalitions))]
        return self._adapter.ask([content_of(self._order, row) for row in rows], self._target)


def _chance(choice: dict[str, Any]) -> float | None:
    """Probability of a generated answer, where its tokens have log-probabilities."""
    try:
        return min(1.0, math.exp(math.fsum(float(one["logprob"]) for one in choice["logprobs"]["content"])))
    except (LookupError, TypeError, ValueError):
        return None
