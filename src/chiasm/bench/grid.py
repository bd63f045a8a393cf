"""From a spec to cells: what is to be computed, each piece known by everything that it depends on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from chiasm.bench.spec import BenchSpec, DatasetSpec, ExplainerSpec, MetricSpec
from chiasm.bench.tables import CONTROLS
from chiasm.core.content import NoContent, digest
from chiasm.core.errors import ChiasmError, InvalidInput
from chiasm.core.sample import Sample
from chiasm.explainers.base import Explainer
from chiasm.explainers.methods import find_explainer
from chiasm.metrics import metrics
from chiasm.metrics.base import Metric
from chiasm.runs.cells import Cell, Task
from chiasm.zoo.data.cards import CARDS
from chiasm.zoo.data.cards import load as load_card

#: kinds of cells: what the model answers, and the scores of one explanation
ANSWER, SCORES = "answer", "scores"
#: what a metric may need that one explanation at a time cannot give
_OUT_OF_REACH: Final = {"others": "other explanations", "twin": "a twin of the model"}


def read_dataset(spec: DatasetSpec) -> Sequence[Sample]:
    """The samples of a data set: one that has a card (`chiasm.zoo.data.cards`), or what `chiasm.dataset` takes.

    Raises:
        ChiasmError: there is none of that name, or it cannot be read.
    """
    if spec.load in CARDS:
        unknown = sorted(spec.options.keys() - {"folder", "annotations", "every"})
        if unknown or spec.types is not None or spec.seed is not None:
            what = unknown or [name for name in ("types", "seed") if getattr(spec, name) is not None]
            raise InvalidInput(f"The data set {spec.load!r} takes no {what[0]}, but folder, annotations, every.")
        return load_card(spec.load, spec.n, spec.split, **spec.options)
    from chiasm.zoo import dataset

    options = dict(spec.options) if spec.split is None else {**spec.options, "split": spec.split}
    return dataset(spec.load, spec.n, spec.seed, spec.types, **options)


def sample_name(sample: Sample, place: int) -> str:
    """What a sample is called in tables."""
    return sample.id or f"#{place}"


def tasks(spec: BenchSpec, data: Mapping[str, Sequence[Sample]]) -> list[Task]:
    """All cells of a benchmark; those of one model and sample are computed together and share the values of its game.

    Args:
        spec: the benchmark.
        data: label of a data set → its samples.
    """
    found = []
    for dataset in spec.datasets:
        samples = data[dataset.label]
        seen = [_seen(sample) for sample in samples]
        for model in spec.models:
            of_model = {"model": model.label, "load": model.load, "options": model.options}
            for place, sample in enumerate(samples):
                base = {
                    **of_model,
                    "dataset": dataset.label,
                    "place": place,
                    "sample": sample_name(sample, place),
                    "content": seen[place],
                    "players": spec.players,
                    "maskers": spec.maskers,
                    "scale": spec.scale,
                }
                found.append(_task(spec, base, controls=spec.controls and bool(sample.truth or sample.masks)))
    # Every model and data set early: a run that is stopped half-way has half of the samples of each.
    return sorted(found, key=lambda task: task.cells[0].key["place"])


def _task(spec: BenchSpec, base: dict[str, Any], *, controls: bool) -> Task:
    judged = [_metric_key(metric) for metric in spec.metrics]
    keys: list[dict[str, Any]] = [{**base, "what": ANSWER}]
    for explainer in spec.explainers:
        keys += [
            {**base, "what": SCORES, "explainer": _explainer_key(explainer, spec), "metrics": judged, "seed": seed}
            for seed in spec.seeds
        ]
    if controls:
        keys += [
            {**base, "what": SCORES, "explainer": {"name": name}, "metrics": judged, "seed": spec.seeds[0]}
            for name in CONTROLS
        ]
    return Task(tuple(Cell(key, base["model"]) for key in keys))


def _explainer_key(explainer: ExplainerSpec, spec: BenchSpec) -> dict[str, Any]:
    return {
        "name": explainer.label,
        "method": explainer.method,
        "options": explainer.options,
        "index": explainer.index,
        "budget": spec.budget if explainer.budget is None else explainer.budget,
    }


def _metric_key(metric: MetricSpec) -> dict[str, Any]:
    return {"name": metric.label, "metric": metric.metric, "options": metric.options}


def _seen(sample: Sample) -> str:
    """Digest of what a sample holds; of a file its name, size and time."""
    parts = {name: [part.kind, _content(part.data)] for name, part in sample.parts.items()}
    truth = {name: np.asarray(value) for name, value in (*sample.truth.items(), *sample.masks.items())}
    try:
        return digest([parts, sample.answer, sample.id, truth])
    except NoContent:
        return digest([sorted(sample.parts), sample.answer, sample.id])


def _content(data: Any) -> Any:
    path = Path(data) if isinstance(data, Path) else None
    if path is not None and path.is_file():
        return [path.name, path.stat().st_size, path.stat().st_mtime_ns]
    return np.asarray(data) if hasattr(data, "__array_interface__") else data


def make_explainer(key: Mapping[str, Any]) -> Explainer:
    """The explainer that a cell names, with its options.

    Raises:
        UnknownName, InvalidInput: there is none, or it does not take the options.
    """
    found: Explainer = _with(find_explainer(key["method"]), key["options"], f"the explainer {key['method']!r}")
    return found


def make_metric(key: Mapping[str, Any]) -> Metric:
    """The metric that a cell names, with its options.

    Raises:
        UnknownName, InvalidInput: there is none, it does not take the options, or it judges no single explanation.
    """
    found: Metric = _with(metrics.get(key["metric"]), key["options"], f"the metric {key['metric']!r}")
    for need in found.about.needs:
        if need in _OUT_OF_REACH:
            raise InvalidInput(
                f"The metric {key['metric']!r} needs {_OUT_OF_REACH[need]}, which a cell of a benchmark does not have; "
                f"use chiasm evaluate."
            )
    return found


def _with(thing: Any, options: Mapping[str, Any], what: str) -> Any:
    """One more of the same class, made with options."""
    if not options:
        return thing
    try:
        return type(thing)(**options)
    except TypeError as error:
        raise InvalidInput(f"{what} cannot take the options {', '.join(options)}: {error}.") from error


def problem_of(make: Any, *given: Any) -> str | None:
    """What is wrong with something that a spec names, or ``None``."""
    try:
        make(*given)
    except ChiasmError as error:
        return str(error)
    return None
