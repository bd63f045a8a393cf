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
from chiasm.estimators.limits import Budget
from chiasm.explainers.explain import Progress, explain_all
from chiasm.explainers.methods import check_explainer_choice, find_explainer, method_names
from chiasm.explainers.spec import ExplainSpec
from chiasm.modalities import modalities
from chiasm.models.games import by_part, make_game
from chiasm.models.hub import load
from chiasm.models.weights import DTYPES

_WRITERS = {".html": "html", ".json": "json", ".png": "picture", ".svg": "picture", ".pdf": "picture"}


def run_spec(spec: ExplainSpec, progress: Progress | None = None) -> Explanation:
    """Load the model, explain the sample, write every file of ``spec.out``. For a description of one method.

    Raises:
        ChiasmError: what `check` finds, before the model is loaded; or what `explain` finds.
    """
    if len(method_names(spec.method)) > 1:
        raise InvalidInput(f"The description names the methods {spec.method!r}; use run_methods for several.")
    explanation = next(iter(_explained(spec, progress).values()))
    for name in spec.out:
        write(explanation, Path(name))
    return explanation


def run_methods(spec: ExplainSpec, progress: Progress | None = None) -> dict[str, Explanation]:
    """The same for a description of several methods: one page shows them side by side, other files are one each.

    Raises:
        ChiasmError: as `run_spec`.
    """
    found = _explained(spec, progress)
    for name in spec.out:
        if Path(name).suffix.lower() == ".html":
            views.get("comparison")(found, Path(name))
            continue
        for path, explanation in zip(files_of(name, list(found)), found.values(), strict=True):
            write(explanation, path)
    return found


def files_of(name: str, methods: list[str]) -> list[Path]:
    """The files behind an output: one for all methods, or for several methods ``car.json`` → ``car.lime.json`` …"""
    path = Path(name)
    if len(methods) == 1 or path.suffix.lower() == ".html":
        return [path]
    return [path.with_name(f"{path.stem}.{method.replace(':', '_')}{path.suffix}") for method in methods]


def bill(spec: ExplainSpec) -> str:
    """What a description of a model behind an API will cost at most, in words; a request or a few are sent for it.

    Raises:
        InvalidInput: a model that is not behind an API, or a budget that is not in values.
        ChiasmError: what `check` finds, or the server's refusal.
    """
    check(spec)
    if not spec.model.startswith("openai:"):
        raise InvalidInput(
            f"{spec.model!r} is not behind an API; it costs time alone, so there is nothing to estimate."
        )
    adapter: Any = load(spec.model, **remote_options(spec))
    sample, target = spec.sample(), spec.target(adapter)
    match = make_game(adapter, sample, players=spec.players, maskers=spec.maskers, target=target)
    values = 0
    for method in method_names(spec.method):
        limit = find_explainer(method).default_budget(match.game) if spec.budget is None else spec.budget
        known = None if limit is None else Budget.parse(limit).values
        if known is None:
            raise InvalidInput(f"What {method!r} will ask for is not known without a budget in values: --budget 250.")
        values += min(known, 2**match.game.n)
    said: str = adapter.bill(match, values).describe()
    return f"{values:,} values by the reading {adapter.reading_name!r}: {said}"


def _explained(spec: ExplainSpec, progress: Progress | None) -> dict[str, Explanation]:
    """Load the model and explain, by every method that is named."""
    check(spec)
    given = {"device": spec.device, "dtype": spec.dtype, "max_new_tokens": spec.max_new_tokens}
    options: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    options |= remote_options(spec)
    if progress is not None:
        progress(0, None, f"loading {spec.model}")
    adapter = load(spec.model, **options)
    return explain_all(
        adapter,
        spec.sample(),
        method_names(spec.method),
        index=spec.index,
        players=spec.players,
        maskers=spec.maskers,
        target=spec.target(adapter),
        fixed=spec.fixed_players(),
        budget=spec.budget,
        tolerance=spec.tolerance,
        seed=spec.seed,
        batch_size=spec.batch_size,
        cache=spec.cache,
        progress=progress,
    )


def remote_options(spec: ExplainSpec) -> dict[str, Any]:
    """What `chiasm.load` is told of a model behind an API beside its name; nothing for any other.

    Raises:
        InvalidInput: options of an API for a model that is none.
    """
    if not spec.model.startswith("openai:"):
        if spec.base_url is not None or spec.remote:
            raise InvalidInput(f"{spec.model!r} is no model behind an API; leave base_url and remote out.")
        return {}
    return {"cache": spec.cache, **spec.remote, **({} if spec.base_url is None else {"base_url": spec.base_url})}


def check(spec: ExplainSpec) -> None:
    """Refuse what can be seen to be wrong without the model, which takes long to load.

    Raises:
        ChiasmError: an estimator, index, segmenter, masker, number format or part that does not exist or does not fit,
            a part that cannot be read, or an output that cannot be written.
    """
    remote_options(spec)
    sample = spec.sample()
    for method in method_names(spec.method):
        check_explainer_choice(method, spec.index, spec.budget, spec.seed, spec.tolerance)
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
    _check_outputs(spec)
    for part in sample.parts.values():
        if part.kind in modalities:
            modalities.get(part.kind).read(part.data)


def _check_outputs(spec: ExplainSpec) -> None:
    """Refuse files that could not be written, for each method its own."""
    for name in spec.out:
        check_output(name)
        for path in files_of(name, method_names(spec.method)):
            check_output(str(path))


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
