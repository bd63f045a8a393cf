"""The scalar that is explained."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

from chiasm.core.errors import InvalidInput

Scale = Literal["log_probability", "probability", "logit", "similarity", "value"]


@dataclass(frozen=True)
class Target:
    """What number a game returns.

    Attributes:
        scale: ``log_probability`` or ``probability`` of an answer under teacher forcing; ``logit`` of a class or
            of one answer token; ``similarity`` of two towers; ``value`` of a plain function.
        answer: the answer to explain; ``None`` stands for the model's own answer.
        against: explain "answer rather than against": the difference of the two on the chosen scale.
        token: index of the one token of the answer to explain; ``None`` for the whole answer.
        candidates: the answers among which a probability is taken (dual encoders); empty elsewhere.
    """

    scale: Scale = "log_probability"
    answer: str | None = None
    against: str | None = None
    token: int | None = None
    candidates: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the fields against each other."""
        if self.scale not in get_args(Scale):
            raise InvalidInput(f"Unknown target scale {self.scale!r}; choose one of {', '.join(get_args(Scale))}.")
        for name in ("answer", "against"):
            if getattr(self, name) == "":
                raise InvalidInput(f"The target's {name} is empty; leave it out for the model's own answer.")
        if self.against is not None and self.against == self.answer:
            raise InvalidInput(f"The contrast of {self.answer!r} with itself is always 0; give another 'against'.")

    def with_answer(self, answer: str) -> Target:
        """The same target with its answer filled in."""
        return replace(self, answer=answer)

    def describe(self) -> str:
        """One phrase for tables and captions."""
        what = repr(self.answer) if self.answer is not None else "the model's own answer"
        if self.scale == "value":
            return "the function's value"
        if self.token is not None:
            what = f"token {self.token} of {what}"
        if self.against is not None:
            what += f" rather than {self.against!r}"
        if self.candidates:
            what += f" among {len(self.candidates) + 1} candidates"  # it is one of them itself
        return f"{self.scale.replace('_', '-')} of {what}"
