"""Explain one prediction: the main job."""

from __future__ import annotations

from collections.abc import Callable

from chiasm.core.cache import CacheChoice
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.game import Counts, Fixed, Game
from chiasm.core.provenance import Provenance
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.estimators.choice import check_method, default_budget
from chiasm.estimators.estimate import explain_game
from chiasm.explainers.remembering import Recall, masker_objects
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
    budget: int | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    cache: CacheChoice = None,
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
        budget: most distinct values of the game, computed or remembered from earlier runs, so that a run gives the
            same with a full cache as with an empty one; by default what suits the number of players.
        seed: seed of the estimator.
        batch_size: coalitions in one model call; by default what fits the memory.
        cache: a folder where values are remembered for later runs, or ``True`` for the user's own (see
            `chiasm.core.cache`). What goes wrong there ends in a note of the provenance, never in the run.
        progress: called after each batch.

    Returns:
        Values of single players and of pairs, with standard errors where the method has them.

    Raises:
        ChiasmError: see the message; nothing is guessed.
    """
    check_method(method, index, budget, seed)  # before a model is loaded or run
    if not isinstance(sample, Sample):
        raise InvalidInput(f"The sample is {sample!r}; make one: chiasm.Sample(image='photo.jpg', text='What is it?').")
    recall = Recall(cache)
    adapter = _load(model)
    say = _Reporter(progress, budget)
    say("predicting")
    hidden_by = masker_objects(adapter, sample, maskers)
    with recall:
        match = make_game(
            adapter,
            sample,
            players=players,
            maskers=hidden_by,
            target=target,
            batch_size=batch_size,
            memory=recall,
        )
        recall.open(adapter, match, hidden_by)
        # A game on top of the model's: below, values remembered from earlier runs cost no call of the model; above,
        # they count in the budget like any other, so that a resumed run takes every step of the one that was stopped.
        game = Game(
            match.game,
            match.game.all_players,
            fixed=fixed,
            batch_size=match.game.batch_size,
            scale=match.game.scale,
            on_batch=say.count,
        )
        say.budget = default_budget(game.n, method) if budget is None else budget
        explanation = explain_game(
            game,
            index=index,
            method=method,
            budget=say.budget,
            seed=seed,
            provenance=_provenance(adapter, match),
            prediction=match.prediction,
        )
    explanation.provenance = recall.told(explanation.provenance, match.game.counts)
    return explanation


class _Reporter:
    """Tells the caller how far it is, if the caller wants to know."""

    def __init__(self, progress: Progress | None, budget: int | None) -> None:
        self.progress, self.budget = progress, budget

    def __call__(self, note: str) -> None:
        if self.progress is not None:
            self.progress(0, None, note)

    def count(self, counts: Counts) -> None:
        if self.progress is not None:
            self.progress(counts.computed, self.budget, "explaining")


def _load(model: Adapter | str) -> Adapter:
    if isinstance(model, str):
        from chiasm.models.hub import load

        return load(model)
    return model


def _provenance(adapter: Adapter, match: ModelGame) -> Provenance:
    """What is explained and by which model; the estimator adds how."""
    spec = vars(match.target)
    return Provenance(
        method="",
        index="",
        target=match.target.describe(),
        target_spec={name: list(v) if isinstance(v, tuple) else v for name, v in spec.items()},
        model=adapter.name,
        adapter=adapter.family,
        fingerprint=adapter.fingerprint,
        segmenters=match.segmenters,
        maskers=match.maskers,
        notes=match.notes,
    )
