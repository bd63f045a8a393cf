"""What a benchmark is: one page of YAML, or the same in Python."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.target import Scale

#: names of specs that ship with the package, each with a line on it
READY: Final = {
    "smoke": "one small model, two data sets, four explainers: a minute",
    "vlm-synergy": "the published grid: 8 explainers and chance × 3 vision-language models × 3 data sets",
    "vlm-synergy-zoo": "the same grid on what ships with the package: runs anywhere",
}

Choice = dict[str, str] | str | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSpec(_Part):
    """A model.

    Attributes:
        load: what `chiasm.load` takes: ``zoo:NAME``, a folder, a hub id, ``openai:NAME``.
        name: what it is called in tables; ``load`` unless given.
        options: further arguments of `chiasm.load`: ``dtype``, ``device``, ``max_new_tokens`` …
    """

    load: str = Field(min_length=1)
    name: str = ""
    options: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return self.name or self.load


class DatasetSpec(_Part):
    """A data set.

    Attributes:
        load: a name that ``chiasm list datasets`` shows, a folder, or a file.
        name: what it is called in tables; ``load`` unless given.
        split: of a data set that has several.
        n: how many samples, the first ones; all if left out, where the set has an end.
        seed: of a generated data set.
        types: question types of a generated data set.
        options: further arguments of the data set.
    """

    load: str = Field(min_length=1)
    name: str = ""
    split: str | None = None
    n: int | None = Field(default=None, gt=0)
    seed: int | None = Field(default=None, ge=0)
    types: list[str] | None = None
    options: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return self.name or self.load


class ExplainerSpec(_Part):
    """An explainer.

    Attributes:
        method: a name that ``chiasm list explainers`` shows.
        name: what it is called in tables; ``method`` unless given.
        options: arguments of its class, such as ``steps`` of integrated gradients.
        index: of a method that can give several.
        budget: its own, instead of the benchmark's.
    """

    method: str = Field(min_length=1)
    name: str = ""
    options: dict[str, Any] = {}
    index: str = "SII"
    budget: int | str | None = None

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return self.name or self.method


class MetricSpec(_Part):
    """A metric.

    Attributes:
        metric: a name that ``chiasm list metrics`` shows.
        name: what it is called in tables; ``metric`` unless given.
        options: of the metric, such as ``steps`` of F_syn.
    """

    metric: str = Field(min_length=1)
    name: str = ""
    options: dict[str, Any] = {}

    @property
    def label(self) -> str:
        """What it is called in tables."""
        return self.name or self.metric


class EngineSpec(_Part):
    """Where it is computed.

    Attributes:
        name: ``in-process``, ``processes`` or ``ray``.
        options: of the engine: ``workers``, ``threads``, ``timeout``, ``retries``; of Ray ``address``, ``gpus`` …
    """

    name: str = "in-process"
    options: dict[str, Any] = {}


def _named(field: str) -> BeforeValidator:
    """A text for a table of one field, ``"chefer"`` for ``{"method": "chefer"}``."""
    return BeforeValidator(lambda value: {field: value} if isinstance(value, str) else value)


class BenchSpec(BaseModel):
    """A benchmark: every explainer on every sample of every data set for every model, judged by every metric.

    Attributes:
        name: of the benchmark, for titles.
        models, datasets, explainers, metrics: names, or tables of the fields of `ModelSpec`, `DatasetSpec`,
            `ExplainerSpec`, `MetricSpec`.
        controls: whether an oracle and its reverse are judged as well, on samples with planted truth.
        players: how parts are cut, by name or as ``"grid:7x7,words"``.
        maskers: how absent players are hidden.
        scale: of the target, the model's own answer; by default what suits the model.
        seeds: of explainers; every method runs with each.
        budget: distinct values, or a time or passes, of each method that asks for values.
        batch_size: samples in one call of a model.
        engine: where it is computed.
        cache: whether values are remembered in the run's folder, or a folder for them; so a metric that is added later
            costs no pass that was paid before.
        explanations: whether the explanations are kept in the run's folder.
    """

    model_config = ConfigDict(extra="forbid")

    name: str = "benchmark"
    models: list[Annotated[ModelSpec, _named("load")]] = Field(min_length=1)
    datasets: list[Annotated[DatasetSpec, _named("load")]] = Field(min_length=1)
    explainers: list[Annotated[ExplainerSpec, _named("method")]] = Field(min_length=1)
    metrics: list[Annotated[MetricSpec, _named("metric")]] = Field(min_length=1)
    controls: bool = True
    players: Choice = None
    maskers: Choice = None
    scale: Scale | None = None
    seeds: list[Annotated[int, Field(ge=0)]] = Field(default=[0], min_length=1)
    budget: int | str | None = None
    batch_size: int | None = Field(default=None, gt=0)
    engine: Annotated[EngineSpec, _named("name")] = EngineSpec()
    cache: bool | str = True
    explanations: bool = True

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for field in ("models", "datasets", "explainers", "metrics"):
            labels = [one.label for one in getattr(self, field)]
            if twice := sorted({label for label in labels if labels.count(label) > 1}):
                raise ValueError(f"{field}: {twice[0]!r} stands there twice; give one of them another name")
        if len(set(self.seeds)) != len(self.seeds):
            raise ValueError(f"seeds: {self.seeds} holds one twice")
        return self

    @classmethod
    def parse(cls, data: Mapping[str, Any] | BenchSpec, origin: str = "the benchmark") -> BenchSpec:
        """Check a dictionary.

        Raises:
            InvalidInput: names every field that is wrong, what was given and what is allowed.
        """
        if isinstance(data, BenchSpec):
            return data
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            lines = [_in_words(dict(e)) for e in error.errors()]
            raise InvalidInput(f"In {origin}: {'; '.join(lines)}. Fields: {', '.join(cls.model_fields)}.") from error

    @classmethod
    def read(cls, name: str | Path) -> BenchSpec:
        """A YAML file, or a spec that ships (`READY`).

        Raises:
            InvalidInput: no such file, or not of this form.
            UnknownName: neither a file nor the name of a ready spec.
        """
        if str(name) in READY:
            text = files("chiasm.bench").joinpath("specs", f"{name}.yaml").read_text(encoding="utf-8")
            return cls.parse(yaml.safe_load(text), f"the spec {str(name)!r}")
        path = Path(name)
        if path.suffix not in (".yaml", ".yml") and not path.exists():
            raise UnknownName("benchmark (or YAML file)", str(name), READY)
        return cls.parse(_table(path), str(path))

    @property
    def dump(self) -> dict[str, Any]:
        """The spec in JSON types, without what is as by default."""
        return self.model_dump(mode="json", exclude_defaults=True)


_OWNERS: Final[dict[str, type[BaseModel]]] = {
    "models": ModelSpec,
    "datasets": DatasetSpec,
    "explainers": ExplainerSpec,
    "metrics": MetricSpec,
}


def _table(path: Path) -> dict[str, Any]:
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error.strerror}; give a YAML file.") from error
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{str(path)!r} is not UTF-8 text; save it as UTF-8.") from error
    except yaml.YAMLError as error:
        raise InvalidInput(f"{str(path)!r} is not YAML: {error}") from error
    if not isinstance(data, dict):
        raise InvalidInput(f"{str(path)!r} must hold fields such as 'models: [zoo:llava-shapes]'.")
    return data


def _in_words(error: dict[str, Any]) -> str:
    """One of pydantic's errors as a phrase."""
    where = [str(step) for step in error["loc"]]
    name = ".".join(where)
    if error["type"] == "missing":
        return f"{name} is missing"
    if error["type"] == "extra_forbidden":
        owner = _OWNERS.get(where[0], EngineSpec) if len(where) > 1 else BenchSpec
        close = difflib.get_close_matches(where[-1], owner.model_fields, n=1)
        return f"there is no field {name!r}" + (f", did you mean {close[0]!r}?" if close else "")
    message = error["msg"].removeprefix("Value error, ")
    return message if not name else f"{name}: {message} (got {error['input']!r})"
