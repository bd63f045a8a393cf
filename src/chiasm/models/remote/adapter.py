"""A closed model behind the OpenAI chat API: values from what the server gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from chiasm.core.cache import CacheChoice, chosen_folder
from chiasm.core.coalitions import Coalitions, keys
from chiasm.core.content import digest
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Prediction
from chiasm.core.game import Costs
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.modalities.base import Context, Masker
from chiasm.models.base import Adapter, Prepared
from chiasm.models.function import content_masks
from chiasm.models.games import ModelGame
from chiasm.models.remote.chat import content_of, shrunk
from chiasm.models.remote.keys import check_url, find_key
from chiasm.models.remote.likeness import Measure
from chiasm.models.remote.logprobs import chance
from chiasm.models.remote.memory import Answers
from chiasm.models.remote.prices import Bill, read_price
from chiasm.models.remote.reading import Settings, Value, texts
from chiasm.models.remote.readings import READINGS, reading_of
from chiasm.models.remote.wire import Manners, Server

_OPENAI = "https://api.openai.com/v1"
#: coalitions of one call for each request on the way
_PER_WORKER = 4
#: answers that are drawn for a value, where readings draw any
_SAMPLES = {"samples": 8, "votes": 8}
#: the most that two log-probabilities of one request differ by through rounding
_ROUNDING = 1e-6


class RemoteAdapter(Adapter):
    """A model behind an API. Nothing is known of it but what it answers.

    Pictures are masked at their own resolution, since the server's is unknown, and sent as PNG.

    Args:
        name: ``"openai:MODEL"``, or ``"openai:MODEL@https://host/v1"``.
        base_url: of the server; OpenAI's own by default.
        reading: one of `chiasm.models.remote.readings.READINGS`.
        samples: answers that are drawn for a value; 8 for the readings ``samples`` and ``votes``, else 1.
        measure: of the reading ``similarity``: a name in `chiasm.models.remote.likeness.measures`, or a function of
            the model's text and the answer.
        top: tokens whose log-probabilities are asked for.
        max_tokens: longest answer.
        image_size: longest side in pixels that pictures are brought to before they are masked and sent.
        seed: sent with every request.
        check: ask once more for the first answer, to see whether the server repeats itself.
        prices: YAML file of prices, or what it holds, see `chiasm.models.remote.prices.read_price`.
        key_env: environment variable of the key (`find_key`).
        key_file: file of the key.
        allow_http: let pictures and key travel unencrypted.
        cache: where answers are remembered, so that none is paid for twice; your own folder by default.
        extra: further fields of every request.
        **manners: fields of `Manners`: ``concurrency``, ``max_requests``, ``max_cost`` …

    Raises:
        InvalidInput: an option that cannot be used.
        UnknownName: no such reading or measure.
    """

    own_memory = True

    def __init__(
        self,
        name: str,
        *,
        base_url: str | None = None,
        reading: str = "prompt",
        samples: int | None = None,
        measure: str | Measure = "letters",
        top: int = 20,
        max_tokens: int = 16,
        image_size: int | None = None,
        seed: int = 0,
        check: bool = True,
        prices: str | Path | Mapping[str, Any] | None = None,
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
        known = {field.name for field in fields(Manners)}
        if unknown := sorted(set(manners) - known):
            raise InvalidInput(f"Unknown options {unknown} for a model behind an API; it takes {', '.join(known)} …")
        if not model:
            raise InvalidInput("A model behind an API needs a name: openai:MODEL.")
        samples = _SAMPLES.get(reading, 1) if samples is None else samples
        for option, value in (("samples", samples), ("top", top), ("max_tokens", max_tokens)):
            _whole(option, value, 1)
        _whole("seed", seed, 0)
        if image_size is not None:
            _whole("image_size", image_size, 8)
        url = check_url(base_url or (f"http{behind}" if behind else _OPENAI), allow_http=allow_http)
        self.reading = reading_of(reading, Settings(samples, top, seed, measure))
        price = None if prices is None else read_price(prices, model)
        polite = Manners(**manners)
        key = find_key(urlsplit(url).hostname or "", key_env, key_file)
        self.server = Server(url, key, polite, Answers(chosen_folder(cache)), price)
        self.family, self.kinds = "remote", ("image", "text")
        self.capabilities = frozenset({"values", "answers"})
        self.default_maskers = {"image": "mean", "text": "delete"}
        self.default_target = Target(scale=self.reading.scales[0])
        self.model, self.reading_name, self.image_size, self._check = model, reading, image_size, check
        self._common = {"model": model, "max_tokens": max_tokens, "seed": seed, "temperature": 0, **(extra or {})}
        self._unsteady = ""

    @property
    def fingerprint(self) -> str:
        """Server, model and settings; what the server says of itself stands in the notes, as it comes with answers."""
        told = [self.server.base_url, self._common, self.reading_name, self.reading.told, self.image_size]
        return digest(told)

    def requests_per_value(self, target: Target) -> int:
        """Requests that a value of a resolved target costs."""
        return len(self.reading.bodies(self._body([]), target))

    def prepare(self, sample: Sample) -> Prepared:
        """Read the parts, at their own size or at ``image_size``."""
        for name, part in sample.parts.items():
            if part.kind not in self.kinds:
                raise InvalidInput(f"Part {name!r} is of kind {part.kind!r}; a chat API takes image and text.")
        contents = {name: modalities.get(part.kind).read(part.data) for name, part in sample.parts.items()}
        contexts = {name: Context() for name in contents}
        order = tuple((name, part.kind) for name, part in sample.parts.items())
        if self.image_size is not None:
            for name in (name for name, kind in order if kind == "image"):
                contents[name], contexts[name] = shrunk(contents[name], self.image_size)
        return Prepared(sample, contents, contexts, order)

    def resolve(self, prepared: Prepared, target: Target) -> tuple[Target, Prediction]:
        """Ask for the model's own answer.

        Raises:
            InvalidInput: a scale that the reading does not have, a token, or candidates too many or too few.
            MissingCapability: the server does not give what the reading needs.
        """
        self._refuse(target)
        body = self._body(content_of(prepared.state, prepared.contents))
        logs = {"logprobs": True, "top_logprobs": self.reading.settings.top}
        free = body if self.reading.of_text else {**body, **logs}
        (reply,) = self.server.ask_all([free])
        prediction = _prediction(reply)
        if target.answer is None and not prediction.answer:
            raise InvalidInput("The model's own answer to this sample is empty; give an answer to explain.")
        resolved = target.with_answer(target.answer or prediction.answer)
        self.reading.get_ready(self.server.ask_all, body, resolved)
        if self._check and not self.reading.drawn:
            self._see_whether_steady(free, reply)
        own, probability, complete = prediction.answer, prediction.probability, prediction.complete
        same = probability if resolved.answer == own else None
        return resolved, Prediction(own, probability, (), resolved.answer, same, complete)

    def _refuse(self, target: Target) -> None:
        reading, name = self.reading, self.reading_name
        if target.scale not in reading.scales:
            raise InvalidInput(
                f"The reading {name!r} gives {' or '.join(reading.scales)}, not {target.scale}; choose another scale "
                f"or another of the readings {', '.join(READINGS)}."
            )
        if target.token is not None:
            raise InvalidInput("A model behind an API has no single tokens; leave 'token' out.")
        if target.candidates and reading.takes_candidates is False:
            raise InvalidInput(f"The reading {name!r} has no candidates; leave them out, or use 'votes' or 'choice'.")
        if not target.candidates and reading.takes_candidates is None:
            raise InvalidInput(f"The reading {name!r} is a choice; give the other answers as candidates.")
        if target.candidates and target.against is not None and target.against not in target.candidates:
            raise InvalidInput(f"'against' ({target.against!r}) must be one of the candidates.")

    def _see_whether_steady(self, body: dict[str, Any], reply: dict[str, Any]) -> None:
        """Ask for the same once more; what differs stands in the notes."""
        (again,) = self.server.ask_all([body], again=1)
        one, other = texts([reply])[0], texts([again])[0]
        if one != other:
            self._unsteady = (
                f"the server answered the same request twice, at temperature 0 and with one seed, and differently: "
                f"{one!r} and {other!r}; values carry noise that no standard error here knows of"
            )
            return
        first, second = chance(reply), chance(again)
        if first is not None and second is not None and abs(first - second) > _ROUNDING * max(first, second):
            self._unsteady = (
                f"the server gave its own answer {first:.6g} and then {second:.6g} for the same request; values carry "
                f"noise of that size"
            )

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

    def answers(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> list[Prediction]:
        """What the model answers to masked samples, one request each."""
        bodies = [self._body(content) for content in Masked(prepared, players, maskers)(coalitions)]
        if not self.reading.of_text:
            bodies = [{**body, "logprobs": True, "top_logprobs": self.reading.settings.top} for body in bodies]
        return [_prediction(reply) for reply in self.server.ask_all(bodies)]

    def notes(self, prepared: Prepared) -> list[str]:
        """What the values are."""
        del prepared
        reading = self.reading
        return [f"values by the reading {self.reading_name!r}: {reading.gives}; variance: {reading.variance}"]

    def bill(self, match: ModelGame, values: int) -> Bill:
        """What so many values of a game will cost at most; one of them, the whole sample's, is asked for."""
        bodies = self.reading.bodies(
            self._body(content_of(match.prepared.state, match.prepared.contents)), match.target
        )
        (reply,) = self.server.ask_all(bodies[:1])
        usage = reply.get("usage")
        prompt = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        asked_after = (
            len(match.game.all_players.parts) + 1
        )  # what it answers without a part, without the strongest pair
        requests = self.server.sent + self.server.remembered + values * len(bodies) + asked_after
        longest = max(int(body["max_tokens"]) for body in bodies)
        if not isinstance(prompt, int) or isinstance(prompt, bool):
            return Bill(requests, None, None, self.server.price)
        return Bill(requests, requests * prompt, requests * longest, self.server.price)

    def ask(self, contents: Sequence[list[dict[str, Any]]], target: Target) -> list[Value]:
        """Values of a target on some messages."""
        each = [self.reading.bodies(self._body(content), target) for content in contents]
        replies = iter(self.server.ask_all([body for bodies in each for body in bodies]))
        return [self.reading.read([next(replies) for _ in bodies], target) for bodies in each]

    def _body(self, content: list[dict[str, Any]]) -> dict[str, Any]:
        return {**self._common, "messages": [{"role": "user", "content": content}]}

    def said_of_the_run(self) -> list[str]:
        """What became known while values were asked for."""
        return [*([self._unsteady] if self._unsteady else []), self.server.told()]


class RemoteValues:
    """The value function of a model behind an API.

    Attributes:
        batch_size: coalitions of one call.
        costs: the requests of a value.
        drawn: whether they are drawn by chance; `variances` tells how far they can be trusted.
        bounds, unknown: values that were upper bounds, or of which nothing was seen.
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
        self.costs = Costs({}, float(adapter.requests_per_value(target)))
        self.drawn = adapter.reading.drawn
        self.asked = self.bounds = self.unknown = 0
        self._variances: dict[bytes, float] = {}
        self._adapter, self._target = adapter, target
        self._masked = Masked(prepared, players, maskers)

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``."""
        found = self._adapter.ask(self._masked(coalitions), self._target)
        self.asked += len(found)
        self.bounds += sum(value.bound for value in found)
        self.unknown += sum(value.unknown for value in found)
        self._variances.update(zip(keys(coalitions), (value.variance for value in found), strict=True))
        return np.array([value.value for value in found], np.float64)

    def variances(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """Variances of values that were given, ``float64[batch]``, see `chiasm.core.game.Game.variances`."""
        return np.array([self._variances.get(key, 0.0) for key in keys(coalitions)], np.float64)

    def afterwards(self) -> list[str]:
        """What the values turned out to be, for the provenance."""
        notes = self._adapter.reading.notes(self._target)
        if self.bounds:
            notes.append(
                f"{self.bounds:,} of {self.asked:,} values are upper bounds, as a token lay outside of the "
                f"{self._adapter.reading.settings.top} likeliest"
            )
        if self.unknown:
            notes.append(
                f"{self.unknown:,} of {self.asked:,} values are unknown, as no candidate was among the likeliest "
                f"tokens; an equal share was taken for each"
            )
        return [*notes, *self._adapter.said_of_the_run()]


class Masked:
    """Messages of masked samples."""

    def __init__(self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker]) -> None:
        """Check the maskers."""
        self._order, self._players = prepared.state, players
        self._masks = {part: content_masks(prepared, players, part, maskers[part]) for part in prepared.contents}

    def __call__(self, coalitions: Coalitions) -> list[list[dict[str, Any]]]:
        """``bool[batch, players]`` → the content of a message each."""
        present = self._players.split(coalitions)
        shown = {part: memory(present[part]) for part, memory in self._masks.items()}
        rows = [{part: items[row] for part, items in shown.items()} for row in range(len(coalitions))]
        return [content_of(self._order, row) for row in rows]


def _prediction(reply: dict[str, Any]) -> Prediction:
    """The model's own answer."""
    complete = reply["choices"][0].get("finish_reason") != "length"
    return Prediction(texts([reply])[0].strip(), chance(reply), complete=complete)


def _whole(option: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"{option} is {value!r}; give a whole number of at least {least}.")
