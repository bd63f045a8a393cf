"""The work of an audit's cells: one record a sample and model."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from chiasm.audits.record import Plan, Row, record
from chiasm.core.errors import ModelError
from chiasm.core.sample import Sample
from chiasm.models.base import Adapter
from chiasm.runs.cells import Cell, Done, Rows, Task, attempt
from chiasm.runs.parts import Schema

#: table → columns; ``row`` is the record in JSON
TABLES: Final[dict[str, Schema]] = {
    "rows": {
        "model": "string",
        "place": "whole",
        "sample": "string",
        "question": "string",
        "row": "string",
        "error": "string",
    }
}
#: samples of one task: what is sent to a worker at once
TOGETHER: Final = 8


@dataclass(frozen=True)
class Source:
    """Where samples come from, by name, so that workers can read them for themselves.

    Attributes:
        name: of a data set, or a folder.
        n: how many samples; ``None`` for what `chiasm.dataset` gives.
        seed: of a generated data set.
        options: further arguments of `chiasm.dataset`.
    """

    name: str
    n: int | None = None
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def read(self) -> Sequence[Sample]:
        """The samples.

        Raises:
            ChiasmError: there is no such data set, or it cannot be read.
        """
        from chiasm.zoo import dataset
        from chiasm.zoo.data.cards import CARDS, load

        if self.name in CARDS:
            return load(self.name, self.n, **self.options)
        return dataset(self.name, self.n, self.seed, **self.options)


@dataclass(frozen=True, eq=False)
class AuditWork:
    """See `chiasm.runs.cells.Work`; picklable.

    Attributes:
        plan: what is asked of each sample.
        source: where samples come from, or the samples.
        models: label → adapter, or what `chiasm.load` takes.
        options: arguments of `chiasm.load`.
    """

    plan: Plan
    source: Source | Sequence[Sample]
    models: Mapping[str, Adapter | str]
    options: Mapping[str, Any] = field(default_factory=dict)

    def open(self, group: str) -> Callable[[Task], Iterable[Done]]:
        """Load a model and the samples."""
        model = self.models[group]
        if isinstance(model, str):
            from chiasm.models.hub import load

            model = load(model, **self.options)
        samples = self.source.read() if isinstance(self.source, Source) else self.source

        def perform(task: Task) -> Iterator[Done]:
            for cell in task.cells:
                yield attempt(self, cell, lambda cell=cell: self._done(model, samples, cell))  # type: ignore[misc]

        return perform

    def _done(self, model: Adapter, samples: Sequence[Sample], cell: Cell) -> Done:
        place = int(cell.key["place"])
        if cell.key["fingerprint"] not in (None, model.fingerprint):
            raise ModelError(
                f"The model {cell.group!r} is not what it was when this audit began; start a new one in another folder."
            )
        found = record(model, samples, place, self.plan)
        text = json.dumps(found, ensure_ascii=False, default=_plain)
        return Done(cell, rows={"rows": [{**_names(cell), "question": question(samples[place]), "row": text}]})

    def failed(self, cell: Cell, error: str) -> Rows:
        """A row with the error."""
        return {"rows": [{**_names(cell), "error": error}]}


def _names(cell: Cell) -> dict[str, Any]:
    return {name: cell.key[name] for name in ("model", "place", "sample")}


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else str(value)


def question(sample: Sample) -> str:
    """What a person would call the sample: its texts, or else its id."""
    texts = [part.data for part in sample.parts.values() if isinstance(part.data, str)]
    return " ".join(texts)[:500] or str(sample.id or "")


def tasks(
    labels: Sequence[str],
    samples: Sequence[Sample],
    plan: Plan,
    told: Mapping[str, Any],
    known: Mapping[str, str | None],
) -> list[Task]:
    """All cells of an audit.

    Args:
        labels: of the models.
        samples: the data set.
        plan: what is asked of each sample.
        told: what else the result depends on: names of model and data set, and options.
        known: label → the model's fingerprint, where it is at hand.
    """
    found = []
    settings = {name: value for name, value in vars(plan).items() if name != "lexicon"} | {
        "lexicon": _listed(plan.lexicon)
    }
    for label in labels:
        base = {**told, "model": label, "fingerprint": known.get(label), "plan": settings}
        cells = [
            Cell({**base, "place": place, "sample": sample.id or f"#{place}"}, label)
            for place, sample in enumerate(samples)
        ]
        found += [Task(tuple(cells[at : at + TOGETHER])) for at in range(0, len(cells), TOGETHER)]
    return found


def _listed(lexicon: Mapping[str, Sequence[str]] | None) -> dict[str, list[str]] | None:
    return None if lexicon is None else {sort: list(words) for sort, words in lexicon.items()}


#: records that are read at once, so that they share the names of their fields
READ_TOGETHER: Final = 1000


def rows_of(texts: Sequence[str]) -> list[Row]:
    """Records from their JSON."""
    found: list[Row] = []
    for at in range(0, len(texts), READ_TOGETHER):
        found += json.loads(f"[{','.join(texts[at : at + READ_TOGETHER])}]")
    return found
