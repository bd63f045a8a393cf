"""What a reading of a server's answers is: the value of a target, its variance, and the requests it costs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from chiasm.core.errors import InvalidInput
from chiasm.core.target import Scale, Target
from chiasm.models.remote.likeness import Measure

Body = dict[str, Any]
#: sends some requests and gives their answers
Ask = Callable[[Sequence[Body]], list[Body]]

_CHANCES: Final[tuple[Scale, ...]] = ("log_probability", "probability")
LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Settings:
    """What readings can be told.

    Attributes:
        samples: answers that are drawn for one value.
        top: tokens whose log-probabilities are asked for.
        seed: of the first drawn answer.
        measure: of likeness, by name or as a function of the model's text and the answer.
    """

    samples: int
    top: int
    seed: int
    measure: str | Measure


@dataclass(frozen=True)
class Value:
    """A value as it was read.

    Attributes:
        value: on the target's scale.
        variance: of the value, as far as it was drawn by chance.
        bound: it is an upper bound (of a contrast: a difference with one) and no value.
        unknown: nothing was seen of any candidate, and the value is an equal share.
    """

    value: float
    variance: float = 0.0
    bound: bool = False
    unknown: bool = False


class Reading(ABC):
    """A way to values.

    Attributes:
        scales: of the values.
        gives: what they are, for people.
        variance: what is known of it, for people.
        takes_candidates: ``True`` if they may be given; ``None`` if they must.
        of_text: whether it needs no log-probabilities.
    """

    scales: ClassVar[tuple[Scale, ...]] = _CHANCES
    gives: ClassVar[str]
    variance: ClassVar[str] = "none but the server's own"
    takes_candidates: ClassVar[bool | None] = False
    of_text: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        """Keep the settings."""
        self.settings = settings

    @property
    def told(self) -> list[Any]:
        """What of the settings changes values."""
        return []

    @property
    def drawn(self) -> bool:
        """Whether values are drawn by chance."""
        return False

    def answers(self, target: Target) -> list[str]:
        """The answers that are compared: the explained one first."""
        rest = [*([target.against] if target.against is not None else []), *target.candidates]
        return list(dict.fromkeys([target.answer or "", *rest]))

    def get_ready(self, ask: Ask, body: Body, target: Target) -> None:
        """Learn from the whole sample what the values need, and refuse what cannot be read.

        Raises:
            MissingCapability: the server does not give what is read.
        """
        del ask, body, target

    @abstractmethod
    def bodies(self, body: Body, target: Target) -> list[Body]:
        """The requests behind one value of a resolved target."""

    @abstractmethod
    def read(self, replies: Sequence[Body], target: Target) -> Value:
        """The value, from the answers to `bodies`."""

    def notes(self, target: Target) -> list[str]:
        """What a reader of the explanation must know of this target."""
        del target
        return []


def continued(body: Body, begun: str) -> Body:
    """A request whose last message is the assistant's, to be gone on with (vLLM's fields)."""
    message = {"role": "assistant", "content": begun}
    flags = {"continue_final_message": True, "add_generation_prompt": False}
    return {**body, **flags, "messages": [*body["messages"], message]}


def lettered(body: Body, options: Sequence[str]) -> Body:
    """A request with the options behind the question."""
    lines = "\n".join(f"{letter}) {option}" for letter, option in zip(LETTERS, options, strict=False))
    text = {"type": "text", "text": f"\n{lines}\nAnswer with the letter of one option alone."}
    *before, last = body["messages"]
    return {**body, "messages": [*before, {**last, "content": [*last["content"], text]}]}


def options_of(answers: Sequence[str]) -> list[str]:
    """The answers in the order of the alphabet, so that the explained one has no place of its own.

    Raises:
        InvalidInput: fewer than two, or more than there are letters.
    """
    if not 2 <= len(answers) <= len(LETTERS):
        raise InvalidInput(f"A choice is one among 2 to {len(LETTERS)} answers; there are {len(answers)}.")
    return sorted(answers)


def texts(replies: Sequence[Body]) -> list[str]:
    """What the model wrote."""
    return [str(reply["choices"][0]["message"]["content"] or "") for reply in replies]
