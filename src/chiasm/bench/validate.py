"""Find the mistakes of a spec before anything is computed, and say what it will cost."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from chiasm.bench.grid import make_explainer, make_metric, problem_of, read_dataset, tasks
from chiasm.bench.spec import BenchSpec, ExplainerSpec, MetricSpec
from chiasm.bench.tables import CONTROLS
from chiasm.bench.work import BenchWork
from chiasm.core.coalitions import distinct
from chiasm.core.errors import ChiasmError, InvalidInput, UnknownName
from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.core.sample import Sample
from chiasm.explainers.methods import check_explainer_choice
from chiasm.metrics.base import Case
from chiasm.metrics.controls import oracle
from chiasm.modalities import modalities
from chiasm.modalities.base import Context
from chiasm.models.games import by_part
from chiasm.runs.cells import FAILURES, Task, in_words
from chiasm.runs.engines import engine

#: bytes in the run's folder of a cell's scores by one metric, and of an explanation; measured on the zoo
_SCORE_BYTES, _EXPLANATION_BYTES = 100, 20_000
#: coalitions of which an estimate of values is made
_SEED: Final = 0


@dataclass
class Validation:
    """What a spec comes to.

    Attributes:
        problems: what is wrong with it, one sentence each.
        notes: what could not be looked at, and why.
        samples, cells: how many there are, each sample once for each model.
        values: data set → distinct values of the game that explainers and metrics of one sample ask for, about; NaN
            where the players cannot be told without the model.
        passes: model passes of white-box explainers of one sample, about.
        seconds: label of a model → seconds that a sample took, where it was measured.
        bytes: of the run's folder, about.
        workers: processes that compute at the same time.
    """

    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples: int = 0
    cells: int = 0
    values: dict[str, float] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    bytes: int = 0
    workers: int = 1

    def lines(self) -> list[str]:
        """The same in words."""
        found = [f"problem: {problem}" for problem in self.problems]
        found += [f"note: {note}" for note in self.notes]
        found.append(f"{self.samples:,} samples × models, {self.cells:,} cells, about {self.bytes / 1e6:,.0f} MB")
        for name, count in self.values.items():
            if np.isfinite(count):
                found.append(
                    f"{name}: about {count:,.0f} values of the model's game a sample, and the explainers' own passes"
                )
        if self.seconds:
            each = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in self.seconds.items())
            hours = self.samples / len(self.seconds) * sum(self.seconds.values()) / self.workers / 3600
            found.append(f"measured for a sample: {each}; about {_in_words(hours)} in all, with {self.workers} at work")
        several = "s" if len(self.problems) > 1 else ""
        found.append(f"{len(self.problems)} problem{several}" if self.problems else "nothing is wrong")
        return found


def _in_words(hours: float) -> str:
    return f"{hours:.1f} hours" if hours >= 1 else f"{max(1, round(hours * 60))} min"


def validate(spec: BenchSpec, *, measure: bool = False) -> Validation:
    """Look at everything that can be looked at without a model; with ``measure``, at one sample of each model too.

    Args:
        spec: the benchmark.
        measure: load each model, one after the other, and compute its first sample.
    """
    found = Validation(problems=choices(spec))
    data: dict[str, Sequence[Sample]] = {}
    for dataset in spec.datasets:
        try:
            data[dataset.label] = read_dataset(dataset)
        except ChiasmError as error:
            found.problems.append(f"data set {dataset.label!r}: {error}")
    for model in spec.models:
        if not _is_local(model.load):
            found.notes.append(
                f"model {model.label!r} is fetched by its hub id {model.load!r}; use --measure to see that it loads"
            )
    for label, samples in data.items():
        if not len(samples):
            found.problems.append(f"data set {label!r} has no samples")
            continue
        _look_at(spec, label, samples[0], found)
    if not any(problem.startswith("engine") for problem in found.problems):
        at: Any = engine(spec.engine.name, **spec.engine.options)
        found.workers = getattr(at, "workers", None) or 1
    if len(data) == len(spec.datasets):
        todo = tasks(spec, data)
        found.samples, found.cells = len(todo), sum(len(task.cells) for task in todo)
        explanations = found.samples * len(spec.explainers) * len(spec.seeds) if spec.explanations else 0
        found.bytes = found.cells * _SCORE_BYTES * len(spec.metrics) + explanations * _EXPLANATION_BYTES
        if measure and not found.problems:
            _measure(spec, todo, found)
    return found


def choices(spec: BenchSpec, given: Collection[str] = ()) -> list[str]:
    """What is wrong with models, engine, explainers and metrics; quick, nothing is loaded.

    Args:
        spec: the benchmark.
        given: labels of models that are objects.
    """
    found = [
        f"model {model.label!r}: {problem}"
        for model in spec.models
        if model.label not in given and (problem := problem_of(_look_for, model.load)) is not None
    ]
    if (problem := problem_of(_engine, spec)) is not None:
        found.append(f"engine: {problem}")
    for explainer in spec.explainers:
        if explainer.label in CONTROLS and spec.controls:
            found.append(f"explainer {explainer.label!r} has the name of a control; give it another")
        problem = problem_of(_explainer, explainer, spec) or problem_of(make_explainer, explainer.model_dump())
        if problem is not None:
            found.append(f"explainer {explainer.label!r}: {problem}")
    judged = [(metric.label, problem_of(_metric, metric)) for metric in spec.metrics]
    return found + [f"metric {label!r}: {problem}" for label, problem in judged if problem is not None]


def _explainer(explainer: ExplainerSpec, spec: BenchSpec) -> None:
    budget = spec.budget if explainer.budget is None else explainer.budget
    check_explainer_choice(explainer.method, explainer.index, budget, spec.seeds[0])


def _metric(metric: MetricSpec) -> None:
    make_metric(metric.model_dump())


def _engine(spec: BenchSpec) -> None:
    engine(spec.engine.name, **spec.engine.options)


def _is_local(load: str) -> bool:
    """Whether a model is here by its name: of the zoo, a folder, or in a Python file."""
    return load.startswith(("zoo:", "python:", ".", "/", "~")) or Path(load).is_dir()


def _look_for(load: str) -> None:
    """See whether a model is there, as far as can be told without loading it.

    Raises:
        ChiasmError: it is not.
    """
    if load.startswith("zoo:"):
        from chiasm.zoo.catalog import path

        path(load)
    elif load.startswith("python:"):
        place = load.removeprefix("python:").rpartition(":")[0]
        if not Path(place).expanduser().is_file():
            raise InvalidInput(f"there is no file {place!r}; write 'python:FILE.py:NAME'")
    elif _is_local(load) and not Path(load).expanduser().is_dir():
        raise InvalidInput(f"there is no folder {load!r}")


def _look_at(spec: BenchSpec, label: str, sample: Sample, found: Validation) -> None:
    """Cut the first sample into players as far as no model is needed, and count the values that will be asked for."""
    try:
        players = _players(spec, sample)
    except ChiasmError as error:
        if spec.players is None:
            found.notes.append(f"data set {label!r}: its players depend on the model; use --measure")
        else:
            found.problems.append(f"data set {label!r}: {error}")
        return
    try:
        found.values[label] = _values(spec, players, controls=spec.controls and bool(sample.truth or sample.masks))
    except FAILURES as error:
        if isinstance(error, UnknownName) and found.problems:
            return  # it is among them
        found.notes.append(f"data set {label!r}: values cannot be told before: {in_words(error)}")


def _players(spec: BenchSpec, sample: Sample) -> Players:
    """The players of a sample without a model.

    Raises:
        ChiasmError: a segmenter or masker that does not exist or fit, or one that needs the model.
    """
    cut, hidden_by = by_part(spec.players, sample, "segmenters"), by_part(spec.maskers, sample, "maskers")
    parts = []
    for name, part in sample.parts.items():
        modality = modalities.get(part.kind)
        if name in hidden_by:
            modality.masker(hidden_by[name])
        content = modality.read(part.data)
        parts.append(modality.segment(name, content, cut.get(name, modality.default_segmenter), Context()))
    return Players(parts)


def _values(spec: BenchSpec, players: Players, *, controls: bool) -> float:
    """Distinct values that explainers and metrics of one sample ask for, by a game at random."""
    rng = np.random.default_rng(_SEED)
    game = Game(lambda coalitions: rng.normal(size=len(coalitions)), players)
    asked = [np.zeros((0, game.n), bool)]
    own, judged = 0, []
    for explainer in spec.explainers:
        budget = spec.budget if explainer.budget is None else explainer.budget
        natural = make_explainer(explainer.model_dump()).default_budget(game)
        if natural is not None:
            own += budget if isinstance(budget, int) else natural
        judged.append(Explanation(players, rng.normal(size=game.n), Provenance(explainer.label, "SV")))
    if controls:  # one player of each part is planted, the others are tied
        planted = {name: np.eye(1, len(part))[0] for name, part in players.parts.items()}
        judged += [oracle(players, planted, sign=sign) for sign in (1, -1)]
    for metric in spec.metrics:
        asked += [make_metric(metric.model_dump()).coalitions(Case(one, game)) for one in judged]
    return float(len(distinct(np.concatenate(asked))[0]) + own)


def _measure(spec: BenchSpec, todo: Sequence[Task], found: Validation) -> None:
    """Load each model and compute its first sample; the second time the sample is asked nothing has to be loaded."""
    work = BenchWork(spec.model_copy(update={"cache": False, "explanations": False}))
    for model in spec.models:
        first = next(task for task in todo if task.group == model.label)
        try:
            perform = work.open(model.label)
            started = time.perf_counter()
            cells = list(perform(first))
        except FAILURES as error:
            found.problems.append(f"model {model.label!r}: {in_words(error)}")
            continue
        found.seconds[model.label] = time.perf_counter() - started
        for done in cells:
            if done.error is not None:
                who = done.cell.key.get("explainer", {}).get("name", "the answer")
                found.problems.append(f"model {model.label!r}, {who}: {done.error}")
