"""One description of an explanation, shared by Python, YAML files and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.core.target import Scale, Target

if TYPE_CHECKING:
    from chiasm.core.players import PlayerId
    from chiasm.models.base import Adapter


class ExplainSpec(BaseModel):
    """Everything that ``chiasm explain`` can be told.

    Fields that are left out get what suits the model. ``players``, ``maskers``: by part's name, or as a text such as
    ``"grid:7x7,words"``. ``fixed``: ``"text"`` or ``"text:3"`` → held present (true) or absent (false).
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    parts: dict[str, str] = Field(min_length=1)
    answer: str | None = None
    against: str | None = None
    token: int | None = None
    scale: Scale | None = None
    candidates: list[str] = []
    method: str = "auto"
    index: str = "SII"
    players: dict[str, str] | str | None = None
    maskers: dict[str, str] | str | None = None
    fixed: dict[str, bool] = {}
    budget: int | None = Field(default=None, gt=0)
    seed: int = 0
    batch_size: int | None = Field(default=None, gt=0)
    device: str | None = None
    dtype: str | None = None
    out: list[str] = []

    @classmethod
    def parse(cls, data: dict[str, Any], origin: str = "the description") -> ExplainSpec:
        """Check a dictionary.

        Raises:
            InvalidInput: names every field that is wrong, what was given and what is allowed.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = [
                f"{'.'.join(map(str, e['loc'])) or 'it'}: {e['msg']}"
                + (f" (got {e['input']!r})" if e["type"] != "missing" else "")
                for e in error.errors()
            ]
            known = ", ".join(cls.model_fields)
            raise InvalidInput(f"In {origin}: {'; '.join(lines)}. Fields: {known}.") from error

    @classmethod
    def read(cls, path: str | Path) -> dict[str, Any]:
        """The raw fields of a YAML file, to be merged with others and then given to `parse`.

        Raises:
            InvalidInput: no such file, not YAML, or not a table of fields.
        """
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InvalidInput(f"There is no file {str(path)!r}.") from error
        except yaml.YAMLError as error:
            raise InvalidInput(f"{str(path)!r} is not YAML: {error}") from error
        if not isinstance(data, dict):
            raise InvalidInput(f"{str(path)!r} must hold fields such as 'model: zoo:llava-shapes'.")
        return data

    def sample(self) -> Sample:
        """The sample that the parts describe."""
        parts: dict[str, Any] = dict(self.parts)
        return Sample(**parts)

    def target(self, adapter: Adapter) -> Target:
        """The target, with what is left open taken from the adapter."""
        default = adapter.default_target
        return Target(
            scale=self.scale or default.scale,
            answer=self.answer,
            against=self.against,
            token=self.token,
            candidates=tuple(self.candidates),
        )

    def fixed_players(self) -> dict[str | PlayerId, bool]:
        """``"text:3"`` → ``("text", 3)``; a bare name stands for the whole part.

        Raises:
            InvalidInput: what follows the colon is not a whole number.
        """
        found: dict[str | PlayerId, bool] = {}
        for key, present in self.fixed.items():
            part, colon, number = key.rpartition(":")
            if not colon:
                found[key] = present
            elif number.isdecimal():
                found[part, int(number)] = present
            else:
                raise InvalidInput(f"Cannot fix {key!r}: write a part ('text') or a part and an index ('text:3').")
        return found
