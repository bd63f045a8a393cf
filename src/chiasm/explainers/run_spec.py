"""Carry out a description: load, explain, write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.registry import views
from chiasm.explainers.explain import Progress, explain
from chiasm.explainers.spec import ExplainSpec
from chiasm.models.hub import load

_WRITERS = {".html": "html", ".json": "json", ".png": "picture", ".svg": "picture", ".pdf": "picture"}


def run_spec(spec: ExplainSpec, progress: Progress | None = None) -> Explanation:
    """Load the model, explain the sample, write every file of ``spec.out``.

    Raises:
        InvalidInput: an output name whose ending is not known, or whose folder does not exist; found before the model
            is loaded.
    """
    for name in spec.out:
        check_output(name)
    options: dict[str, Any] = {k: v for k, v in (("device", spec.device), ("dtype", spec.dtype)) if v is not None}
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
        progress=progress,
    )
    for name in spec.out:
        write(explanation, Path(name))
    return explanation


def check_output(name: str) -> None:
    """Refuse an output that could not be written, before anything is computed."""
    path = Path(name)
    if path.suffix not in _WRITERS:
        raise InvalidInput(f"Cannot write {name!r}: the name must end in {', '.join(_WRITERS)}.")
    if not path.parent.is_dir():
        raise InvalidInput(f"Cannot write {name!r}: the folder {str(path.parent)!r} does not exist; make it first.")


def write(explanation: Explanation, path: Path) -> None:
    """Write an explanation in the form that the file's ending names."""
    kind = _WRITERS[path.suffix]
    if kind == "json":
        explanation.save(path)
    else:
        views.get(kind)(explanation, path)
