"""One description of an audit, shared by YAML files and the command line."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from chiasm.audits.record import Plan
from chiasm.core.errors import InvalidInput
from chiasm.explainers.spec import Described


class AuditSpec(Described):
    """Everything that ``chiasm audit`` can be told.

    ``data``: what `chiasm.dataset` takes; ``options``: its further arguments. ``by``, ``fail_if``, ``out``: a list, or
    a text for a list of one. ``base_url`` and ``remote``: of a model behind an API. ``pages``: samples that get a page
    of their own. The others are those of `chiasm.audits.record.Plan` and `chiasm.audits.run.audit`.
    """

    model: str
    data: str
    against: str | None = None
    samples: int | None = Field(default=None, gt=0)
    seed: int = 0
    options: dict[str, Any] = Field(default_factory=dict)
    players: dict[str, str] | str | None = None
    maskers: dict[str, str] | str | None = None
    budget: int = Field(default=0, ge=0)
    method: str = "auto"
    backgrounds: int = Field(default=0, ge=0)
    mixtures: int = Field(default=0, ge=0)
    influence: bool = False
    lexicon: dict[str, list[str]] | None = None
    by: list[str] | None = None
    clusters: str | None = None
    fail_if: list[str] = Field(default_factory=list)
    folder: str | None = None
    workers: int = Field(default=1, gt=0)
    device: str | None = None
    dtype: str | None = None
    base_url: str | None = None
    remote: dict[str, Any] = Field(default_factory=dict)
    pages: int = Field(default=0, ge=0)
    out: list[str] = Field(default_factory=list)

    @field_validator("out", "fail_if", mode="before")
    @classmethod
    def _list_of_one(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @field_validator("by", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value

    @property
    def plan(self) -> Plan:
        """What is asked of every sample.

        Raises:
            InvalidInput: what cannot be asked.
        """
        return Plan(
            players=self.players,
            maskers=self.maskers,
            method=self.method,
            budget=self.budget,
            backgrounds=self.backgrounds,
            mixtures=self.mixtures,
            influence=self.influence,
            lexicon=self.lexicon,
            seed=self.seed,
        )

    @property
    def models(self) -> list[str]:
        """The model, and the one that it is held against."""
        return [self.model, *([] if self.against is None else [self.against])]

    @property
    def model_options(self) -> dict[str, Any]:
        """Arguments of `chiasm.load`.

        Raises:
            InvalidInput: options of a server for a model that is none, or of weights for one that is behind a server.
        """
        given = {**({} if self.base_url is None else {"base_url": self.base_url}), **self.remote}
        local = {name: value for name, value in (("device", self.device), ("dtype", self.dtype)) if value is not None}
        for name in self.models:
            remote = name.startswith("openai:")
            if wrong := local if remote else given:
                which = "is behind a server" if remote else "is no model behind an API (openai:NAME)"
                raise InvalidInput(f"{name!r} {which}; leave {', '.join(wrong)} out.")
        return given | local
