"""Run a benchmark, or go on with one; what it has found so far."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chiasm.bench import tables
from chiasm.bench.grid import read_dataset, tasks
from chiasm.bench.spec import BenchSpec
from chiasm.bench.validate import choices
from chiasm.bench.work import BenchWork
from chiasm.core.content import code_of
from chiasm.core.errors import InvalidInput
from chiasm.core.provenance import installed_versions
from chiasm.core.sample import Sample
from chiasm.models.base import Adapter
from chiasm.runs.carry_out import Tally, carry_out
from chiasm.runs.cells import Done, Task
from chiasm.runs.engines import engine
from chiasm.runs.store import Store
from chiasm.zoo.data.cards import CARDS

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[Tally, Done | None], None]

#: rooms whose code makes the numbers
_ROOMS: Final = ("core", "modalities", "models", "estimators", "explainers", "metrics", "bench")
KIND: Final = "benchmark"


def benchmark(
    spec: BenchSpec | Mapping[str, Any] | str | Path,
    folder: str | Path | None = None,
    *,
    models: Mapping[str, Adapter] | None = None,
    datasets: Mapping[str, Sequence[Sample]] | None = None,
    retry_failed: bool = False,
    progress: Progress = lambda _tally, _done: None,
) -> Benchmark:
    """Compute what is missing of a benchmark and return what it has found.

    Args:
        spec: a `BenchSpec`, its fields, a YAML file, or the name of a spec that ships (``"smoke"``).
        folder: of the run; by default one of the benchmark's name, here. What it has already is not computed again.
        models: label → adapter, for models that are objects, as `chiasm.FunctionModel`; the spec names them as well.
        datasets: label → samples, the same.
        retry_failed: whether cells that failed before are computed again.
        progress: called at the start and after each cell.

    Raises:
        InvalidInput: a spec that is wrong, or that does not go with what is in the folder.
        ChiasmError: a model or data set that is not there.
    """
    wanted = spec if isinstance(spec, BenchSpec | Mapping) else BenchSpec.read(spec)
    parsed = BenchSpec.parse(wanted)
    given, own = dict(models or {}), dict(datasets or {})
    _check_given(parsed, given, own)
    if problems := choices(parsed, given):
        raise InvalidInput(f"The benchmark {parsed.name!r} cannot run: {'; '.join(problems)}.")
    data = {d.label: own[d.label][: d.n] if d.label in own else read_dataset(d) for d in parsed.datasets}
    todo = tasks(parsed, data)
    store = open_run(folder or parsed.name, parsed, todo, [*given, *own])
    judges = {one.label: CARDS[one.load].judge for one in parsed.datasets if one.load in CARDS}
    objects = {label: data[label] for label in own}
    work = BenchWork(parsed, given, objects, store.folder.resolve(), _fingerprints(store), judges)
    at = engine(parsed.engine.name, **parsed.engine.options)
    carry_out(store, work, todo, at, retry_failed=retry_failed, progress=progress)
    return Benchmark(store)


def resume(folder: str | Path, *, retry_failed: bool = False, progress: Progress = lambda _t, _d: None) -> Benchmark:
    """Go on with a run in its folder, by the spec that it was begun with.

    Raises:
        InvalidInput: there is no benchmark, or its models or data sets were objects: call `benchmark` again with them.
    """
    found = Benchmark.open(folder)
    found.check_resumable()
    return benchmark(found.spec, folder, retry_failed=retry_failed, progress=progress)


def open_run(folder: str | Path, spec: BenchSpec, todo: Sequence[Task], objects: Collection[str] = ()) -> Store:
    """The store of a run: a new one, or one that a spec goes with.

    Args:
        folder: where.
        spec: the benchmark.
        todo: all its cells.
        objects: labels of models and data sets that are objects, which nobody else can find by their names.

    Raises:
        InvalidInput: what is there was made by another benchmark.
    """
    store = Store(folder, tables.TABLES, {"kind": KIND})
    if "spec" in store.about:
        _check_same(BenchSpec.parse(store.about["spec"]), spec, store.folder)
    made_by = {"code": code_of(*_ROOMS), "versions": installed_versions()}
    before = [one for one in store.about.get("made_by", []) if {k: one[k] for k in made_by} != made_by]
    now = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    about = {"kind": KIND, "spec": spec.dump, "objects": list(objects)}
    counts = _counts(todo, store.about.get("cells", {}))
    store.tell({**about, "cells": counts, "made_by": [*before, {**made_by, "last": now}]})
    return store


def _counts(todo: Sequence[Task], before: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    """Model → data set → cells; never fewer than there were, for a run grows alone."""
    now: dict[str, dict[str, int]] = {}
    for task in todo:
        of_model, name = now.setdefault(task.group, {}), task.cells[0].key["dataset"]
        of_model[name] = of_model.get(name, 0) + len(task.cells)
    for model, sets in before.items():
        of_model = now.setdefault(model, {})
        of_model.update({name: max(count, of_model.get(name, 0)) for name, count in sets.items()})
    return now


def _check_given(spec: BenchSpec, models: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Refuse objects that the spec does not name: it would run without them."""
    for what, given, named in (("model", models, spec.models), ("data set", data, spec.datasets)):
        labels = [one.label for one in named]
        if unknown := sorted(given.keys() - set(labels)):
            raise InvalidInput(f"The {what} {unknown[0]!r} is given, and the spec names {', '.join(labels)}.")


def _check_same(old: BenchSpec, new: BenchSpec, folder: Path) -> None:
    """A run may grow by models, data sets, samples, explainers, metrics and seeds; what it has must stay what it is."""

    def refuse(what: str) -> None:
        raise InvalidInput(
            f"The run in {str(folder)!r} was made with {what}; give the new one another name, or another folder."
        )

    for name in ("players", "maskers", "scale", "budget"):
        if getattr(old, name) != getattr(new, name):
            refuse(f"{name}: {getattr(old, name)!r}")
    for name in ("models", "datasets", "explainers", "metrics"):
        mine = {one.label: one for one in getattr(new, name)}
        for one in getattr(old, name):
            other = mine.get(one.label)
            apart = {"n"} if name == "datasets" else set()
            if other is not None and other.model_dump(exclude=apart) != one.model_dump(exclude=apart):
                refuse(f"{name}: {one.model_dump(exclude_defaults=True)}")


def _fingerprints(store: Store) -> dict[str, str]:
    """Models of a run and what they were."""
    found = store.query("SELECT DISTINCT model, fingerprint FROM samples WHERE fingerprint IS NOT NULL")
    return dict(zip(found["model"], found["fingerprint"], strict=True))


@dataclass(frozen=True, eq=False)
class Benchmark:
    """A benchmark's run and what it has found.

    Attributes:
        store: its folder of results; ``store.query(SQL)`` asks it anything.
    """

    store: Store

    @classmethod
    def open(cls, folder: str | Path) -> Benchmark:
        """The run in a folder, finished or not.

        Raises:
            InvalidInput: there is none.
        """
        store = Store(folder)
        if store.about.get("kind") != KIND or "spec" not in store.about:
            raise InvalidInput(f"{str(folder)!r} holds a run of another kind; give the folder of a benchmark.")
        return cls(store)

    @property
    def spec(self) -> BenchSpec:
        """What is computed."""
        return BenchSpec.parse(self.store.about["spec"])

    def check_resumable(self) -> None:
        """Refuse a run whose models or data sets were objects: they are not in its folder.

        Raises:
            InvalidInput: it is one.
        """
        if objects := self.store.about.get("objects"):
            raise InvalidInput(
                f"The run in {str(self.store.folder)!r} was made of objects ({', '.join(objects)}), which its folder "
                f"does not hold; go on in Python: chiasm.benchmark(spec, folder, models=…, datasets=…)."
            )

    @property
    def scores(self) -> pd.DataFrame:
        """One row for each model, data set, sample, explainer, seed and metric: `chiasm.bench.tables.TABLES`."""
        return tables.scores(self.store)

    @property
    def samples(self) -> pd.DataFrame:
        """One row for each model, data set and sample: what was answered."""
        return tables.samples(self.store)

    @property
    def means(self) -> pd.DataFrame:
        """See `chiasm.bench.tables.means`."""
        return tables.means(self.store)

    @property
    def accuracy(self) -> pd.DataFrame:
        """See `chiasm.bench.tables.accuracy`."""
        return tables.accuracy(self.store)

    def status(self) -> pd.DataFrame:
        """How far it is: ``model, dataset, cells, done, failed, seconds`` (of computing)."""
        import pandas as pd

        wanted = [
            {"model": model, "dataset": name, "cells": n}
            for model, sets in self.store.about["cells"].items()
            for name, n in sets.items()
        ]
        found = self.store.query(
            "SELECT key->>'model' AS model, key->>'dataset' AS dataset, count(*) AS done, count(error) AS failed,"
            " sum(seconds) AS seconds FROM cells GROUP BY ALL"
        )
        table = pd.DataFrame(wanted).merge(found, how="left", on=["model", "dataset"])
        numbers = {"done": 0, "failed": 0, "seconds": 0.0}
        return table.fillna(numbers).astype({"done": int, "failed": int})

    def errors(self) -> pd.DataFrame:
        """What went wrong, the commonest first: ``error, n, model, dataset, explainer`` (of the first of its kind)."""
        return self.store.query(
            "SELECT error, count(*) AS n, first(key->>'model') AS model, first(key->>'dataset') AS dataset,"
            " first(key->>'sample') AS sample, first(key->'explainer'->>'name') AS explainer"
            " FROM cells WHERE error IS NOT NULL GROUP BY error ORDER BY n DESC, error"
        )
