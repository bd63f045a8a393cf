"""Audit a data set: does the model use each part, where do parts work together, and is it right for those reasons?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from chiasm.audits.findings import Finding, findings
from chiasm.audits.record import Plan
from chiasm.audits.summary import Change, Summary, compare, summarise
from chiasm.audits.table import Table
from chiasm.audits.work import TABLES, AuditWork, Source, rows_of, tasks
from chiasm.core.content import code_of, digest
from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.models.base import Adapter
from chiasm.runs.carry_out import Tally, carry_out
from chiasm.runs.cells import Done
from chiasm.runs.engines import engine
from chiasm.runs.store import Store
from chiasm.statistics.bootstrap import LEAST_REPLICATES
from chiasm.zoo.data.cards import CARDS, Judge, same_words

KIND: Final = "audit"
#: rooms whose code makes the records
_ROOMS: Final = ("core", "modalities", "models", "estimators", "explainers", "audits")
Progress = Callable[[Tally, Done | None], None]


def audit(
    model: Adapter | str,
    data: str | Path | Sequence[Sample],
    *,
    against: Adapter | str | None = None,
    n: int | None = None,
    data_seed: int | None = None,
    data_options: Mapping[str, Any] | None = None,
    plan: Plan | None = None,
    folder: str | Path,
    by: Sequence[str] | None = None,
    replicates: int = 2000,
    judge: Judge | None = None,
    clusters: str | None = None,
    workers: int = 1,
    model_options: Mapping[str, Any] | None = None,
    retry_failed: bool = False,
    progress: Progress = lambda _tally, _done: None,
) -> Audit:
    """Record every sample that is not recorded yet, and return what that shows.

    Args:
        model: adapter from `chiasm.load`, or what `chiasm.load` takes.
        data: what `chiasm.dataset` takes, or samples.
        against: another model, compared on the same samples.
        n: so many samples, the first ones.
        data_seed: seed of a generated data set.
        data_options: further arguments of `chiasm.dataset`.
        plan: what is asked of each sample; by default whole parts alone, which takes a few passes each.
        folder: of the run; what it has already is not computed again.
        by: columns to group by, see `chiasm.audits.strata.strata`.
        replicates: resamples of the bootstrap.
        judge: tells right answers; by default what suits the data set.
        clusters: a tag of the samples; samples that share it (questions on one picture) are drawn together.
        workers: processes; more than one need models and data by name.
        model_options: arguments of `chiasm.load`.
        retry_failed: whether samples that failed before are tried again.
        progress: called at the start and after each sample.

    Raises:
        InvalidInput: too few replicates, the folder holds something else, or objects are given to several processes.
        ChiasmError: a model or data set that is not there.
    """
    plan = plan or Plan()
    if replicates < LEAST_REPLICATES:  # told before the samples are computed, not behind them
        raise InvalidInput(f"replicates is {replicates}; an interval needs {LEAST_REPLICATES} or more.")
    labels = _labels(model, against)
    models = dict(zip(labels, [model] if against is None else [model, against], strict=True))
    named = isinstance(data, str | Path)
    source = (
        Source(str(data), n, data_seed, dict(data_options or {}))
        if isinstance(data, str | Path)
        else (data if n is None else data[:n])  # not a copy: samples may be made when they are asked for
    )
    if workers > 1 and (not named or not all(isinstance(one, str) for one in models.values())):
        raise InvalidInput("Several workers load models and data for themselves: give both by name, or workers=1.")
    samples = source.read() if isinstance(source, Source) else source
    told = {
        "what": KIND,
        "data": vars(source) if isinstance(source, Source) else digest([_content(sample) for sample in samples]),
        "options": dict(model_options or {}),
        "code": code_of(*_ROOMS),
    }
    known = {label: None if isinstance(one, str) else one.fingerprint for label, one in models.items()}
    store = Store(folder, TABLES, {"kind": KIND})
    if store.about.get("kind") != KIND:
        raise InvalidInput(f"{str(folder)!r} holds a run of another kind; choose another folder.")
    store.tell({"kind": KIND, "models": labels, "data": str(data) if named else f"{len(samples)} samples"})
    work = AuditWork(plan, source, models, dict(model_options or {}))
    wanted = tasks(labels, samples, plan, told, known)
    at = engine("in-process") if workers == 1 else engine("processes", workers=workers)
    carry_out(store, work, wanted, at, retry_failed=retry_failed, progress=progress)
    cells = [cell.fingerprint for task in wanted for cell in task.cells]
    known_judge = CARDS[str(data)].judge if named and str(data) in CARDS else same_words
    return Audit(store, tuple(labels), cells, by, replicates, judge or known_judge, clusters)


def _labels(model: Adapter | str, against: Adapter | str | None) -> list[str]:
    names = [one if isinstance(one, str) else one.name for one in (model, against) if one is not None]
    if len(set(names)) < len(names):
        raise InvalidInput(f"Both models are called {names[0]!r}; give two that differ.")
    return names


def _content(sample: Sample) -> str:
    """Of samples that are objects: their parts as text, as far as they can be told."""
    return digest({name: repr(part.data) for name, part in sample.parts.items()})


@dataclass(frozen=True, eq=False)
class Audit:
    """What an audit has found; everything is worked out when it is asked for.

    Attributes:
        store: the run's folder of records.
        models: labels of the models.
        cells: those of this audit; the folder may hold others.
        by: columns to group by.
        replicates: resamples.
        judge: tells right answers.
        clusters: the tag that samples are drawn by.
    """

    store: Store
    models: tuple[str, ...]
    cells: Sequence[str]
    by: Sequence[str] | None = None
    replicates: int = 2000
    judge: Judge = same_words
    clusters: str | None = None

    @cached_property
    def _records(self) -> Any:
        """What this audit's cells are of, by model and place, without the records themselves."""
        found = self.store.query("SELECT cell, model, place, sample, question, error FROM rows ORDER BY model, place")
        return found[found["cell"].isin(set(self.cells))]

    @property
    def failed(self) -> Any:
        """Samples without a record, with the reason: ``model, place, sample, error``."""
        found = self._records
        return found[found["error"].notna()][["model", "place", "sample", "error"]]

    def _table(self, model: str, places: set[int] | None = None) -> Table:
        found = self._records
        mine = found[(found["model"] == model) & found["error"].isna()]
        if places is not None:
            mine = mine[mine["place"].isin(places)]
        texts = self.store.query("SELECT cell, row FROM rows WHERE model = ? AND error IS NULL", [model])
        rows = rows_of(texts.set_index("cell")["row"].loc[mine["cell"]].tolist())
        names = tuple(mine["sample"].tolist())
        questions = tuple("" if text is None else text for text in mine["question"].tolist())
        drawn: tuple[str, ...] = ()
        if self.clusters is not None:
            drawn = tuple(str(row["tags"].get(self.clusters, name)) for row, name in zip(rows, names, strict=True))
        return Table(rows, drawn, self.judge, names, questions)

    @cached_property
    def summary(self) -> Summary:
        """Figures of the first model, overall and by stratum.

        Raises:
            InvalidInput: every sample failed.
        """
        return summarise(self._table(self.models[0]), self.by, self.replicates)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """Second model less first, on the samples that both have; empty for one model."""
        if len(self.models) < 2:
            return ()
        found = self._records
        sound = found[found["error"].isna()]
        both = set.intersection(*(set(sound[sound["model"] == model]["place"]) for model in self.models))
        first, second = (self._table(model, both) for model in self.models)
        return compare(first, second, self.replicates)

    @cached_property
    def findings(self) -> list[Finding]:
        """What a reader should know first, in plain words, by size and certainty."""
        return findings(self.summary, self.changes, self.models)
