"""What requests cost: a price table of the user's, an estimate before a run, and a cap that holds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from chiasm.core.errors import InvalidInput

_MILLION = 1e6
_FIELDS = ("input", "output", "request")


@dataclass(frozen=True)
class Price:
    """What a model costs.

    Attributes:
        currency: as the table names it.
        input, output: of a million tokens of the prompt, and of the answer.
        request: of each request beside its tokens.
    """

    currency: str
    input: float
    output: float
    request: float = 0.0

    def of(self, prompt: float, completion: float, requests: float = 1.0) -> float:
        """The price of some tokens and requests."""
        return (prompt * self.input + completion * self.output) / _MILLION + requests * self.request

    def say(self, amount: float) -> str:
        """An amount in words."""
        digits = 2 if amount >= 1 or amount == 0 else 2 - math.floor(math.log10(amount))
        return f"{amount:.{digits}f} {self.currency}"


def read_price(table: str | Path | Mapping[str, Any], model: str) -> Price:
    """The price of a model in a table.

    Args:
        table: a YAML file, or what it holds: ``currency``, and ``models``: name → ``input`` and ``output`` (of a
            million tokens each), and perhaps ``request`` (of each).
        model: as the server knows it.

    Raises:
        InvalidInput: the file cannot be read, the model is not in it, or a price is no number of at least 0.
    """
    place = "the price table" if isinstance(table, Mapping) else repr(str(table))
    data: Any = table
    if not isinstance(table, Mapping):
        try:
            data = yaml.safe_load(Path(table).expanduser().read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise InvalidInput(f"The price table {place} cannot be read: {error}") from error
    listed = data.get("models") if isinstance(data, Mapping) else None
    if not isinstance(listed, Mapping):
        raise InvalidInput(
            f"In {place} there is no table 'models'; write e.g. models: {{{model}: {{input: 2.5, output: 10}}}}."
        )
    if model not in listed:
        raise InvalidInput(
            f"In {place} there is no price of {model!r}; it has {', '.join(map(str, listed)) or 'none'}."
        )
    own = listed[model]
    if not isinstance(own, Mapping) or not {"input", "output"} <= set(own) <= set(_FIELDS):
        raise InvalidInput(f"In {place} the price of {model!r} is {own!r}; give input, output and perhaps request.")
    for name, value in own.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise InvalidInput(f"In {place} {name} of {model!r} is {value!r}; give a number of at least 0.")
    return Price(str(data.get("currency", "USD")), **{name: float(value) for name, value in own.items()})


@dataclass(frozen=True)
class Bill:
    """What a run will cost at most.

    Attributes:
        requests: all of them, if none were remembered and none failed.
        prompt, completion: tokens, if every prompt is as long as that of the whole sample and every answer as long as
            it may be; ``None`` where the server does not count them.
        price: of the model, where it is known.
    """

    requests: int
    prompt: int | None
    completion: int | None
    price: Price | None

    @property
    def cost(self) -> float | None:
        """In the price's currency; ``None`` where prices or tokens are unknown."""
        if self.price is None or self.prompt is None or self.completion is None:
            return None
        return self.price.of(self.prompt, self.completion, self.requests)

    def describe(self) -> str:
        """In one sentence."""
        said = [f"{self.requests:,} requests"]
        if self.prompt is not None and self.completion is not None:
            said.append(f"{self.prompt:,} prompt tokens and {self.completion:,} answer tokens")
        else:
            said.append("tokens unknown (the server does not count them)")
        if self.cost is not None and self.price is not None:
            said.append(self.price.say(self.cost))
        elif self.price is None:
            said.append("cost unknown (no price table)")
        return "at most " + ", ".join(said)
