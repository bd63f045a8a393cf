"""One description of an explanation, shared by Python, YAML files and the command line."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.core.target import Scale, Target

if TYPE_CHECKING:
    from chiasm.core.players import PlayerId
    from chiasm.models.base import Adapter


class Described(BaseModel):
    """A description that comes from a file, a command line or a dictionary; what is wrong in it is said in words."""

    model_config = ConfigDict(extra="forbid")

    @classmethod
    def parse(
        cls, data: dict[str, Any], origin: str = "the description", options: Mapping[str, str] | None = None
    ) -> Self:
        """Check a dictionary.

        Args:
            data: field → value.
            origin: where they come from, for messages.
            options: field → what the user knows it by, where that is not its name, e.g. ``{"budget": "--budget"}``.

        Raises:
            InvalidInput: names every field that is wrong, what was given and what is allowed.
        """
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            named = options or {}
            lines = [cls._in_words(dict(e), named) for e in error.errors()]
            by_field = any(e["loc"] and e["loc"][0] not in named for e in error.errors())
            known = f" Fields: {', '.join(cls.model_fields)}." if by_field else ""
            raise InvalidInput(f"In {origin}: {'; '.join(lines)}.{known}") from error

    @classmethod
    def _in_words(cls, error: dict[str, Any], named: Mapping[str, str]) -> str:
        """One of pydantic's errors as a phrase."""
        first, *rest = map(str, error["loc"] or ("it",))
        name = ".".join([named.get(first, first), *rest])
        if error["type"] == "missing":
            return f"{name} is missing"
        if error["type"] == "extra_forbidden":
            close = difflib.get_close_matches(first, cls.model_fields, n=1)
            return f"there is no field {name!r}" + (f", did you mean {close[0]!r}?" if close else "")
        return f"{name}: {error['msg']} (got {error['input']!r})"

    @classmethod
    def read(cls, path: str | Path) -> dict[str, Any]:
        """The raw fields of a YAML file, to be merged with others and then given to `parse`.

        Raises:
            InvalidInput: no such file, not UTF-8, not YAML, or not a table of fields.
        """
        try:
            data = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InvalidInput(f"There is no file {str(path)!r}.") from error
        except IsADirectoryError as error:
            raise InvalidInput(f"{str(path)!r} is a folder; give the YAML file in it.") from error
        except UnicodeDecodeError as error:
            raise InvalidInput(
                f"{str(path)!r} is not UTF-8 text (byte {error.start}: {error.reason}); save it as UTF-8."
            ) from error
        except yaml.YAMLError as error:
            raise InvalidInput(f"{str(path)!r} is not YAML: {error}") from error
        if not isinstance(data, dict):
            raise InvalidInput(f"{str(path)!r} must hold fields such as 'model: zoo:llava-shapes'.")
        return data


class ExplainSpec(Described):
    """Everything that ``chiasm explain`` can be told.

    Fields that are left out get what suits the model. ``players``, ``maskers``: by part's name, or as a text such as
    ``"grid:7x7,words"``. ``fixed``: ``"text"`` or ``"text:3"`` → held present (true) or absent (false). ``cache``:
    false or ``"off"``, the folder of a value cache, or true for the user's own. ``out`` and ``candidates``: a list, or
    a text for a list of one. ``base_url`` and ``remote``: of a model behind an API (``openai:NAME``), see
    `chiasm.models.remote.adapter.RemoteAdapter`. ``method``: one, or several as ``"gp,lime"`` or a list.
    """

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
    budget: int | str | None = None
    tolerance: float | str | None = None
    seed: int = 0
    batch_size: int | None = Field(default=None, gt=0)
    device: str | None = None
    dtype: str | None = None
    max_new_tokens: int | None = Field(default=None, gt=0)
    base_url: str | None = None
    remote: dict[str, Any] = {}
    cache: bool | str = True
    out: list[str] = []

    @field_validator("out", "candidates", mode="before")
    @classmethod
    def _list_of_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("method", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return ",".join(value) if isinstance(value, list) and all(isinstance(v, str) for v in value) else value

    @field_validator("budget", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        """A number that the command line gave as text."""
        return int(value) if isinstance(value, str) and value.strip().isdecimal() else value

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
