"""Carry out a description: load, explain, write."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from chiasm.core.cache import chosen_folder
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.explanation import Explanation
from chiasm.core.registry import views
from chiasm.core.target import Target
from chiasm.estimators.choice import check_method
from chiasm.explainers.explain import Progress, explain
from chiasm.explainers.spec import ExplainSpec
from chiasm.modalities import modalities
from chiasm.models.games import by_part
from chiasm.models.hub import load
from chiasm.models.weights import DTYPES

_WRITERS = {".html": "html", ".json": "json", ".png": "picture", ".svg": "picture", ".pdf": "picture"}


def run_spec(spec: ExplainSpec, progress: Progress | None = None) -> Explanation:
    """Load the model, explain the sample, write every file of ``spec.out``.

    Raises:
        ChiasmError: what `check` finds, before the model is loaded; or what `explain` finds.
    """
    check(spec)
    given = {"device": spec.device, "dtype": spec.dtype, "max_new_tokens": spec.max_new_tokens}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if progress is not None:
        progress(0, None, f"loading {spec.model}")
    adapter = load(spec.model, **options)
    explanation = explain(
        adapter,
        spec.sample(),
        method=spec.method,
        index=spec.index,
        players=spec.players,
        maskers=spec.maskers,
        target=spec.target(adapter),
        fixed=spec.fixed_players(),
        budget=spec.budget,
        seed=spec.seed,
        batch_size=spec.batch_size,
        cache=spec.cache,
        progress=progress,
    )
    for name in spec.out:
        write(explanation, Path(name))
    return explanation


def check(spec: ExplainSpec) -> None:
    """Refuse what can be seen to be wrong without the model, which takes long to load.

    Raises:
        ChiasmError: an estimator, index, segmenter, masker, number format or part that does not exist or does not fit,
            a part that cannot be read, or an output that cannot be written.
    """
    sample = spec.sample()
    check_method(spec.method, spec.index, spec.budget, spec.seed)
    for name, segmenter in by_part(spec.players, sample, "segmenters").items():
        _check_segmenter(sample[name].kind, segmenter)
    for name, masker in by_part(spec.maskers, sample, "maskers").items():
        if sample[name].kind in modalities:
            modalities.get(sample[name].kind).masker(masker)
    for who in spec.fixed_players():
        name = who if isinstance(who, str) else who[0]
        if name not in sample.parts:
            raise UnknownName("part", name, sample.parts)
    if spec.dtype is not None and spec.dtype not in DTYPES:
        raise InvalidInput(f"Unknown dtype {spec.dtype!r}; choose one of {', '.join(DTYPES)}.")
    Target(answer=spec.answer, against=spec.against)
    chosen_folder(spec.cache)
    for name in spec.out:
        check_output(name)
    for part in sample.parts.values():
        if part.kind in modalities:
            modalities.get(part.kind).read(part.data)


def _check_segmenter(kind: str, segmenter: str) -> None:
    """Read a segmenter's name without anything to cut: by the modality, or by ``KIND_segmenter`` beside it."""
    if kind not in modalities:
        return  # the model says which kinds of parts it takes
    modality = modalities.get(kind)
    beside = import_module(type(modality).__module__)
    parse = getattr(modality, "segmenter", None) or getattr(beside, f"{kind}_segmenter", None)
    if callable(parse):
        parse(segmenter)


def check_output(name: str) -> None:
    """Refuse an output that could not be written, before anything is computed."""
    path = Path(name)
    ending = path.suffix.lower()
    if ending not in _WRITERS:
        raise InvalidInput(f"Cannot write {name!r}: the name must end in {', '.join(_WRITERS)}.")
    if ending == ".json" and path.suffix != ending:
        raise InvalidInput(f"Cannot write {name!r}: write .json in small letters, {str(path.with_suffix('.json'))!r}.")
    if not path.parent.is_dir():
        raise InvalidInput(f"Cannot write {name!r}: the folder {str(path.parent)!r} does not exist; make it first.")
    for file in (path, path.with_suffix(".npz")) if ending == ".json" else (path,):
        if file.is_dir():
            raise InvalidInput(f"Cannot write {name!r}: {str(file)!r} is a folder; choose another name.")


def write(explanation: Explanation, path: Path) -> None:
    """Write an explanation in the form that the file's ending names."""
    kind = _WRITERS[path.suffix.lower()]
    if kind == "json":
        explanation.save(path)
    else:
        views.get(kind)(explanation, path)
