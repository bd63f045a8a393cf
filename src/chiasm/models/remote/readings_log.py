"""Readings of log-probabilities."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Final

import numpy as np

from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.target import Target
from chiasm.models.remote.logprobs import (
    Log,
    beginning,
    begins,
    given_answer,
    number,
    one_token,
    squeezed,
    top_tokens,
    written_tokens,
)
from chiasm.models.remote.reading import LETTERS, Ask, Body, Reading, Settings, Value, continued, lettered, options_of

#: how far a log-probability may be from what it was when the model wrote freely, absolute and relative
_CLOSE: Final = 0.05
#: tokens that an answer is taken apart into at most
_LONGEST: Final = 64


class LogReading(Reading):
    """Readings that have a log-probability of each answer."""

    takes_candidates: ClassVar[bool | None] = True

    @abstractmethod
    def logs(self, replies: Sequence[Body], answers: Sequence[str]) -> list[Log]:
        """A log-probability for each answer."""

    def read(self, replies: Sequence[Body], target: Target) -> Value:
        """Among the candidates, where there are any.

        What lies outside the top k counts nothing in the sum over candidates, so that the answer's share is an upper
        bound there too. Where none of them is seen, nothing is known: each has an equal share then, with a variance.
        """
        answers = self.answers(target)
        logs = self.logs(replies, answers)
        values = [value for value, _ in logs]
        unknown = bool(target.candidates) and all(far for _, far in logs)
        if unknown:
            values = [-math.log(len(values))] * len(values)
        elif target.candidates:
            total = np.logaddexp.reduce([value for k, (value, far) in enumerate(logs) if k == 0 or not far])
            values = [value - float(total) for value in values]
        if target.scale == "probability":
            values = [math.exp(value) for value in values]
        compared = logs if target.candidates else [logs[0], *logs[1:2]]
        against = values[answers.index(target.against)] if target.against is not None else 0.0
        spread = (len(values) - 1) / len(values) ** 2 if target.scale == "probability" else 1.0
        bound = not unknown and any(far for _, far in compared)
        return Value(values[0] - against, spread if unknown else 0.0, bound=bound, unknown=unknown)


class Prompt(LogReading):
    """By ``prompt_logprobs``."""

    gives = "log-probability of the given answer, from the prompt's log-probabilities; exact; a request an answer"

    def bodies(self, body: Body, target: Target) -> list[Body]:
        """The answer as the assistant's message, which the server scores."""
        asked = {"prompt_logprobs": 0, "max_tokens": 1}
        return [{**continued(body, answer), **asked} for answer in self.answers(target)]

    def logs(self, replies: Sequence[Body], answers: Sequence[str]) -> list[Log]:
        """Exact."""
        return [(given_answer(reply, answer), False) for reply, answer in zip(replies, answers, strict=True)]


class First(LogReading):
    """By ``top_logprobs`` of the first token."""

    gives = "log-probability that the first token begins the answer; outside the top k an upper bound; 1 request"

    def get_ready(self, ask: Ask, body: Body, target: Target) -> None:
        """Refuse a server without log-probabilities, and answers that begin alike."""
        (reply,) = ask(self.bodies(body, target))
        top = top_tokens(reply)
        answers = self.answers(target)
        for token in top:
            alike = [answer for answer in answers if begins(token, answer)]
            if len(alike) > 1:
                raise InvalidInput(
                    f"The answers {', '.join(map(repr, alike))} begin with the same token {token!r}, so 'first' cannot "
                    f"tell them apart; use reading='forced', 'prompt' or 'choice'."
                )

    def bodies(self, body: Body, target: Target) -> list[Body]:
        """One token."""
        del target
        return [{**body, "max_tokens": 1, "logprobs": True, "top_logprobs": self.settings.top}]

    def logs(self, replies: Sequence[Body], answers: Sequence[str]) -> list[Log]:
        """All from one answer."""
        top = top_tokens(replies[0])
        return [beginning(top, answer) for answer in answers]

    @property
    def told(self) -> list[Any]:
        """How many tokens are listed changes the bounds."""
        return [self.settings.top]


class Forced(LogReading):
    """Token by token: the beginning of the answer is put into the model's mouth, and the next token is looked up."""

    gives = (
        "log-probability of the given answer, token by token behind its own beginning; a token outside the top k "
        "counts with an upper bound; a request for each token"
    )

    def __init__(self, settings: Settings) -> None:
        """No answer has been taken apart yet."""
        super().__init__(settings)
        self._tokens: dict[str, tuple[str, ...]] = {}

    @property
    def told(self) -> list[Any]:
        """How many tokens are listed changes the bounds."""
        return [self.settings.top]

    def get_ready(self, ask: Ask, body: Body, target: Target) -> None:
        """Take the answers apart into tokens, and see that the server goes on with a message that was begun.

        Raises:
            MissingCapability: it does not, or an answer's tokens are not to be seen.
        """
        (free,) = ask([{**body, "logprobs": True, "top_logprobs": self.settings.top}])
        top_tokens(free)
        own = written_tokens(free)
        for answer in self.answers(target):
            spelt = _spelling(own, answer)
            self._tokens[answer] = spelt or self._apart(ask, body, answer)
        first = self.answers(target)[0]
        if len(_spelling(own, first)) > 1:
            self._check(ask, body, first, free)

    def _check(self, ask: Ask, body: Body, answer: str, free: Body) -> None:
        """Behind its own first token the model must say what it said when it wrote freely."""
        spelt = self._tokens[answer]
        (reply,) = ask([self._next(body, answer, spelt[:1])])
        said = number(free["choices"][0]["logprobs"]["content"][1]["logprob"])
        value, far = one_token(top_tokens(reply), spelt[1])
        if far or abs(value - said) > _CLOSE + _CLOSE * abs(said):
            raise MissingCapability(
                f"Behind its own beginning {spelt[0]!r} the server does not go on as it did by itself, so it does not "
                f"continue a message of the assistant; use reading='first' (the first token alone) or 'samples'."
            )

    def _apart(self, ask: Ask, body: Body, answer: str) -> tuple[str, ...]:
        tokens: list[str] = []
        while (rest := squeezed(answer).removeprefix(squeezed("".join(tokens)))) and len(tokens) < _LONGEST:
            (reply,) = ask([self._next(body, answer, tokens)])
            fits = [token for token in top_tokens(reply) if begins(token, rest)]
            if not fits:
                raise MissingCapability(
                    f"No token that goes on with {rest!r} is among the {self.settings.top} likeliest, so {answer!r} "
                    f"cannot be taken apart into tokens; ask for more by top=…, or use reading='prompt' or 'samples'."
                )
            tokens.append(max(fits, key=lambda token: len(squeezed(token))))
        return tuple(tokens)

    def _next(self, body: Body, answer: str, before: Sequence[str]) -> Body:
        begun = _cut(answer, len(squeezed("".join(before))))
        asked = continued(body, begun) if begun else body
        return {**asked, "max_tokens": 1, "logprobs": True, "top_logprobs": self.settings.top}

    def bodies(self, body: Body, target: Target) -> list[Body]:
        """One for each token of each answer."""
        spelt = {answer: self._tokens[answer] for answer in self.answers(target)}
        return [self._next(body, answer, tokens[:k]) for answer, tokens in spelt.items() for k in range(len(tokens))]

    def logs(self, replies: Sequence[Body], answers: Sequence[str]) -> list[Log]:
        """Sums over the tokens."""
        found, place = [], 0
        for answer in answers:
            tokens = self._tokens[answer]
            own = [one_token(top_tokens(replies[place + k]), token) for k, token in enumerate(tokens)]
            found.append((math.fsum(value for value, _ in own), any(far for _, far in own)))
            place += len(tokens)
        return found


class Choice(LogReading):
    """Forced choice: the candidates as lettered options behind the question."""

    gives = "probability of the answer's letter among lettered options that are added to the question; 1 request"
    takes_candidates = None

    def get_ready(self, ask: Ask, body: Body, target: Target) -> None:
        """Refuse a server without log-probabilities, and a model that names none of the letters.

        Raises:
            ModelError: it names none.
        """
        if self.read(ask(self.bodies(body, target)), target).unknown:
            raise ModelError(
                f"None of the letters of the options is among the {self.settings.top} likeliest tokens on the whole "
                f"sample; ask for more by top=…, or use reading='votes' or 'first'."
            )

    def bodies(self, body: Body, target: Target) -> list[Body]:
        """One token: a letter."""
        asked = {"max_tokens": 1, "logprobs": True, "top_logprobs": self.settings.top}
        return [{**lettered(body, options_of(self.answers(target))), **asked}]

    def logs(self, replies: Sequence[Body], answers: Sequence[str]) -> list[Log]:
        """The letters' log-probabilities."""
        top, options = top_tokens(replies[0]), options_of(answers)
        return [one_token(top, LETTERS[options.index(answer)]) for answer in answers]

    @property
    def told(self) -> list[Any]:
        """How many tokens are listed changes the bounds."""
        return [self.settings.top]


def _spelling(tokens: Sequence[str], answer: str) -> tuple[str, ...]:
    """The first tokens that spell an answer, white space aside, or none."""
    text = ""
    for k, token in enumerate(tokens):
        text += token
        if squeezed(text) == squeezed(answer):
            return tuple(tokens[: k + 1])
    return ()


def _cut(answer: str, count: int) -> str:
    """The beginning of an answer that has so many characters that are no white space."""
    answer = answer.strip()
    for end in range(len(answer) + 1):
        if len(squeezed(answer[:end])) == count:
            return answer[:end]
    return answer
