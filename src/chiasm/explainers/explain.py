"""Explain one prediction: the main job."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chiasm.core.explanation import Explanation
from chiasm.core.game import Counts, Fixed
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.estimators.estimate import DEFAULT_BUDGET, explain_game
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame, PartChoice, make_game

#: (values computed, budget, what is going on)
Progress = Callable[[int, int | None, str], None]


def explain(
    model: Adapter | str,
    sample: Sample,
    *,
    method: str = "auto",
    index: str = "SII",
    players: PartChoice = None,
    maskers: PartChoice = None,
    target: Target | None = None,
    fixed: Fixed | None = None,
    budget: int = DEFAULT_BUDGET,
    seed: int = 0,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Explanation:
    """Predict, then explain the prediction by a game between the units of the inputs.

    Args:
        model: adapter from `chiasm.load`, or what `chiasm.load` takes.
        sample: the input.
        method: an estimator's name, ``"auto"``, or estimator and index in one word such as ``"exact-bii"``.
        index: the quantity wanted, see `chiasm.core.indices.index`.
        players: part → segmenter, e.g. ``{"image": "grid:7x7", "text": "words"}`` or ``"grid:7x7,words"``.
        maskers: part → baseline that hides absent players, e.g. ``{"image": "blur:8"}``.
        target: what number to explain; by default what suits the model.
        fixed: parts or players held present (True) or absent (False) while the others are explained.
        budget: most distinct values of the game that may be computed.
        seed: seed of the estimator.
        batch_size: coalitions in one model call; by default what fits the memory.
        progress: called after each batch.

    Returns:
        Values of single players and of pairs, with standard errors where the method has them.

    Raises:
        ChiasmError: see the message; nothing is guessed.
    """
    adapter = _load(model)

    def on_batch(counts: Counts) -> None:
        if progress is not None:
            progress(counts.computed, budget, "explaining")

    if progress is not None:
        progress(0, budget, "predicting")
    match = make_game(
        adapter,
        sample,
        players=players,
        maskers=maskers,
        target=target,
        fixed=fixed,
        batch_size=batch_size,
        on_batch=on_batch,
    )
    explanation = explain_game(match.game, index=index, method=method, budget=budget, seed=seed)
    _stamp(explanation, adapter, match)
    return explanation


def _load(model: Adapter | str) -> Adapter:
    if isinstance(model, str):
        from chiasm.models.hub import load

        return load(model)
    return model


def _stamp(explanation: Explanation, adapter: Adapter, match: ModelGame) -> None:
    """Write down what was explained and by which model."""
    explanation.prediction = match.prediction
    provenance = explanation.provenance
    provenance.target = match.target.describe()
    spec: dict[str, Any] = dict(vars(match.target))
    provenance.target_spec = {name: list(v) if isinstance(v, tuple) else v for name, v in spec.items()}
    provenance.model = adapter.name
    provenance.adapter = adapter.family
    provenance.fingerprint = adapter.fingerprint
    provenance.segmenters = match.segmenters
    provenance.maskers = match.maskers
