"""The work of a benchmark's cells: one game a sample, played once for all explainers and metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from chiasm.bench.grid import ANSWER, make_explainer, make_metric, read_dataset
from chiasm.bench.spec import BenchSpec
from chiasm.bench.tables import CONTROLS
from chiasm.core.content import digest
from chiasm.core.errors import MissingCapability, ModelError
from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.core.provenance import Provenance
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.explainers.base import Subject
from chiasm.explainers.remembering import Recall, masker_objects
from chiasm.metrics.again import Again
from chiasm.metrics.base import Case, Floats
from chiasm.metrics.controls import oracle
from chiasm.metrics.truth import planted
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame, make_game
from chiasm.runs.cells import FAILURES, Cell, Done, Rows, Task, attempt, in_words
from chiasm.runs.store import explanation_path
from chiasm.zoo.data.cards import Judge, same_words


@dataclass(frozen=True, eq=False)
class BenchWork:
    """See `chiasm.runs.cells.Work`; picklable.

    Attributes:
        spec: the benchmark.
        models: label → adapter, for models that are objects and no names.
        data: label → samples, for data sets that are objects and no names.
        folder: of the run, for explanations that are known and values that are remembered.
        expected: label of a model → fingerprint that it had when the run began.
        judges: label of a data set → when an answer is right; `chiasm.zoo.data.cards.same_words` where it is not said.
    """

    spec: BenchSpec
    models: Mapping[str, Adapter] = field(default_factory=dict)
    data: Mapping[str, Sequence[Sample]] = field(default_factory=dict)
    folder: Path | None = None
    expected: Mapping[str, str] = field(default_factory=dict)
    judges: Mapping[str, Judge] = field(default_factory=dict)

    def open(self, group: str) -> Callable[[Task], Iterable[Done]]:
        """Load a model.

        Raises:
            ModelError: it is another one than when the run began.
        """
        adapter = self.models.get(group) or self._load(group)
        known = self.expected.get(group)
        fingerprint = adapter.fingerprint  # read before the model is used, for what is not read again
        if known is not None and known != fingerprint:
            raise ModelError(
                f"The model {group!r} is not what it was when this run began (fingerprint {fingerprint}, then "
                f"{known}); start a new run in another folder."
            )
        return _Model(self, adapter).perform

    def _load(self, label: str) -> Adapter:
        from chiasm.models.hub import load

        spec = next(model for model in self.spec.models if model.label == label)
        return load(spec.load, **spec.options)

    def failed(self, cell: Cell, error: str) -> Rows:
        """A row for each metric, or the sample's row, with the error."""
        key = cell.key
        names = {"model": key["model"], "dataset": key["dataset"], "sample": key["sample"], "error": error}
        if key["what"] == ANSWER:
            return {"samples": [{**names, "place": key["place"]}]}
        told = {**names, "explainer": key["explainer"]["name"], "seed": key["seed"], "value": float("nan")}
        return {"scores": [{**told, "metric": metric["name"]} for metric in key["metrics"]]}

    @property
    def cache(self) -> bool | str | Path:
        """Where values are remembered; on a machine that does not see the run's folder nowhere, unless one is named."""
        if self.spec.cache is True:
            return self.folder / "values" if self.folder is not None and self.folder.is_dir() else False
        return self.spec.cache


def explanation_name(cell: Cell) -> str:
    """The name of a cell's explanation: everything that it depends on, hence not the metrics."""
    return digest({name: value for name, value in cell.key.items() if name not in ("metrics", "what")})


class _Model:
    """A model that is at hand, with the data sets that its samples come from."""

    def __init__(self, work: BenchWork, adapter: Adapter) -> None:
        """Nothing is read yet."""
        self._work, self._adapter = work, adapter
        self._data: dict[str, Sequence[Sample]] = dict(work.data)

    def perform(self, task: Task) -> Iterator[Done]:
        """All cells of one sample."""
        key = task.cells[0].key
        sample = self._samples(key["dataset"])[key["place"]]
        recall = Recall(self._work.cache)
        with recall:
            table = _Table(self._work, self._adapter, sample, key, recall)
            explained = {cell.fingerprint: table.explain(cell) for cell in task.cells if cell.key["what"] != ANSWER}
            table.ask(cell for cell in explained.values() if isinstance(cell, _Judged))
            for cell in task.cells:
                if cell.key["what"] == ANSWER:
                    yield attempt(self._work, cell, partial(table.answer, cell))
                else:
                    found = explained[cell.fingerprint]
                    yield found if isinstance(found, Done) else table.judge(found)

    def _samples(self, label: str) -> Sequence[Sample]:
        if label not in self._data:
            spec = next(dataset for dataset in self._work.spec.datasets if dataset.label == label)
            self._data[label] = read_dataset(spec)
        return self._data[label]


@dataclass(frozen=True, eq=False)
class _Judged:
    """An explanation that waits for its scores."""

    cell: Cell
    explanation: Explanation
    passes: int
    seconds: float
    case: Case


class _Table:
    """One sample at one model: a game, shared by all."""

    def __init__(
        self, work: BenchWork, adapter: Adapter, sample: Sample, key: Mapping[str, Any], recall: Recall
    ) -> None:
        """Ask the model for its answer and set up the game."""
        self._work, self._adapter, self._sample = work, adapter, sample
        self._maskers = masker_objects(adapter, sample, key["maskers"])
        self._match: ModelGame = make_game(
            adapter,
            sample,
            players=key["players"],
            maskers=self._maskers,
            target=None if key["scale"] is None else Target(key["scale"]),
            batch_size=work.spec.batch_size,
            memory=recall,
        )
        recall.open(adapter, self._match, self._maskers)
        self.game = self._match.game
        self._truth: Mapping[str, Floats] = planted(self._match.prepared, self.game.all_players)
        self._told = _provenance(adapter, self._match)

    def answer(self, cell: Cell) -> Done:
        """What the model says."""
        prediction, sample, key = self._match.prediction, self._sample, cell.key
        judge = self._work.judges.get(key["dataset"], same_words)
        kind = sample.tags.get("type")
        row = {
            "model": key["model"],
            "dataset": key["dataset"],
            "sample": key["sample"],
            "place": key["place"],
            "question": " ".join(c for c in self._match.prepared.contents.values() if isinstance(c, str)),
            "answer": prediction.answer,
            "reference": sample.answer,
            "correct": None if sample.answer is None else judge(prediction.answer, sample.answer),
            "stratum": None if kind is None else str(kind),
            "probability": prediction.probability,
            "players": len(self.game.all_players),
            "values_asked": self.game.counts.requested,
            "values_computed": self.game.counts.computed,
            "fingerprint": self._adapter.fingerprint,
        }
        return Done(cell, {"samples": [row]})

    def explain(self, cell: Cell) -> _Judged | Done:
        """The explanation of a cell, from the run's folder if it is there; or that it failed."""
        found: list[_Judged] = []

        def compute() -> Done:
            explanation, passes = self._known(cell) or self._explained(cell)
            seconds = explanation.provenance.seconds
            found.append(_Judged(cell, explanation, passes, seconds, self._case(cell, explanation)))
            return Done(cell)

        done = attempt(self._work, cell, compute)
        return found[0] if found else done

    def _known(self, cell: Cell) -> tuple[Explanation, int] | None:
        """An explanation that was made before, with other metrics."""
        if self._work.folder is None or cell.key["explainer"]["name"] in CONTROLS:
            return None
        path = explanation_path(self._work.folder, explanation_name(cell))
        if not path.is_file():
            return None
        explanation = Explanation.load(path)
        return explanation, int(explanation.provenance.extra.get("bench_passes", 0))

    def _explained(self, cell: Cell) -> tuple[Explanation, int]:
        key = cell.key["explainer"]
        if key["name"] in CONTROLS:
            if not self._truth:
                raise MissingCapability("no player of this sample is planted, hence no oracle")
            return oracle(self.game.players, self._truth, sign=1 if key["name"] == CONTROLS[0] else -1), 0
        explainer = make_explainer(key)
        # A game of its own on top: values that others asked for count in its budget, and cost nothing.
        game = Game(self.game, self.game.all_players, batch_size=self.game.batch_size, scale=self.game.scale)
        subject = Subject(
            game=game,
            adapter=self._adapter,
            prepared=self._match.prepared,
            maskers=self._maskers,
            target=self._match.target,
            prediction=self._match.prediction,
            provenance=self._told,
        )
        with counted(self._adapter) as rows:
            explanation = explainer.explain(subject, index=key["index"], budget=key["budget"], seed=cell.key["seed"])
        passes = sum(rows) if explainer.kind == "white-box" else round(explanation.provenance.passes)
        explanation.provenance.extra["bench_passes"] = passes
        return explanation, passes

    def _case(self, cell: Cell, explanation: Explanation) -> Case:
        again = Again(
            explanation,
            self.game,
            {},
            self._adapter,
            self._sample,
            self._match.segmenters,
            self._maskers,
            self._match.target,
        )
        return Case(explanation, self.game, self._truth, cell.key["seed"], again=again)

    def ask(self, judged: Iterable[_Judged]) -> None:
        """All values that metrics will ask for, of all explanations in one go; what fails here fails there again."""
        wanted = [np.zeros((0, self.game.n), bool)]
        for one in judged:
            for key in one.cell.key["metrics"]:
                with suppress(*FAILURES):
                    wanted.append(make_metric(key).coalitions(one.case))
        with suppress(*FAILURES):
            self.game(np.concatenate(wanted))

    def judge(self, judged: _Judged) -> Done:
        """The scores of an explanation, each on its own: one that fails takes no other with it."""
        cell, key = judged.cell, judged.cell.key
        name = explanation_name(cell)
        keep = self._work.spec.explanations and key["explainer"]["name"] not in CONTROLS
        told = {
            "model": key["model"],
            "dataset": key["dataset"],
            "sample": key["sample"],
            "explainer": key["explainer"]["name"],
            "seed": key["seed"],
            "passes": judged.passes,
            "seconds": judged.seconds,
            "explanation": explanation_path(Path(), name).as_posix() if keep else None,
            "fingerprint": self._adapter.fingerprint,
        }
        rows = [{**told, **row} for metric in key["metrics"] for row in _scores(metric, judged.case)]
        errors = [row["error"] for row in rows if row.get("error")]
        error = f"{len(errors)} of {len(key['metrics'])} metrics failed: {errors[0]}" if errors else None
        return Done(cell, {"scores": rows}, {name: judged.explanation} if keep else {}, error, judged.seconds)


def _scores(key: Mapping[str, Any], case: Case) -> list[dict[str, Any]]:
    """What a metric gives, its further values as ``srg[part]``; or why it gives nothing."""
    name = key["name"]
    try:
        score = make_metric(key).score(case)
    except FAILURES as error:
        return [{"metric": name, "value": float("nan"), "error": in_words(error)}]
    note = "; ".join(score.notes) or None
    _, *further = score.values
    return [
        {"metric": name, "value": score.value, "note": note},
        *({"metric": f"{name}[{which}]", "value": float(score.values[which]), "note": note} for which in further),
    ]


@contextmanager
def counted(adapter: Adapter) -> Iterator[list[int]]:
    """Rows of the forward passes of a model's network within this block, one entry a pass; none where it has no network
    to listen to.
    """
    rows: list[int] = []
    listen = getattr(getattr(adapter, "model", None), "register_forward_pre_hook", None)
    if listen is None:
        yield rows
        return

    def heard(_module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        shapes = [thing.shape for thing in (*args, *kwargs.values()) if hasattr(thing, "shape")]
        rows.append(int(shapes[0][0]) if shapes and len(shapes[0]) else 1)

    handle = listen(heard, with_kwargs=True)
    try:
        yield rows
    finally:
        handle.remove()


def _provenance(adapter: Adapter, match: ModelGame) -> Provenance:
    """What is explained and by which model; the explainer adds how."""
    return Provenance(
        method="",
        index="",
        target=match.target.describe(),
        target_spec={name: list(v) if isinstance(v, tuple) else v for name, v in vars(match.target).items()},
        model=adapter.name,
        adapter=adapter.family,
        fingerprint=adapter.fingerprint,
        segmenters=match.segmenters,
        maskers=match.maskers,
        notes=match.notes,
    )
