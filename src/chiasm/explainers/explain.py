"""Explain one prediction: the main job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace

from chiasm.core.cache import CacheChoice
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.game import Counts, Fixed, Game
from chiasm.core.provenance import Provenance
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.estimators.base import Estimate
from chiasm.estimators.limits import Budget, Tolerance, half_width
from chiasm.explainers.base import Subject
from chiasm.explainers.methods import check_explainer_choice, find_explainer, with_tolerance
from chiasm.explainers.remembering import Recall, masker_objects
from chiasm.explainers.what_if import without_strongest
from chiasm.modalities.base import Masker
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
    budget: int | str | Budget | None = None,
    tolerance: float | str | Tolerance | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    cache: CacheChoice = None,
    progress: Progress | None = None,
) -> Explanation:
    """Predict, then explain the prediction by a game between the units of the inputs.

    Args:
        model: adapter from `chiasm.load`, or what `chiasm.load` takes.
        sample: the input.
        method: an explainer or estimator (``chiasm list explainers``), ``"auto"``, estimator and index in one word such
            as ``"exact-bii"``, or a method with a rule that lifts its values to pairs, ``"lime+product"``.
        index: the quantity wanted, see `chiasm.core.indices.index`; SII gives way where a method has one of its own.
        players: part → segmenter, e.g. ``{"image": "grid:7x7", "text": "words"}`` or ``"grid:7x7,words"``.
        maskers: part → baseline that hides absent players, e.g. ``{"image": "blur:8"}``.
        target: what number to explain; by default what suits the model.
        fixed: parts or players held present (True) or absent (False) while the others are explained.
        budget: most distinct values of the game, computed or remembered from earlier runs, so that a run gives the
            same with a full cache as with an empty one; a text for a time ("30s", "5min") or for passes of the model
            ("400 passes"). By default what suits the number of players.
        tolerance: stop earlier, once every pair's 95 % interval is within ± 0.02 (say), "5%" of the whole effect, or
            "top3" pairs are told from the rest.
        seed: seed of the method.
        batch_size: coalitions in one model call; by default what fits the memory.
        cache: a folder where values are remembered for later runs, or ``True`` for the user's own (see
            `chiasm.core.cache`). What goes wrong there ends in a note of the provenance, never in the run.
        progress: called after each batch.

    Returns:
        Values of single players and of pairs, with standard errors where the method has them.

    Raises:
        ChiasmError: see the message; nothing is guessed.
    """
    return explain_all(
        model,
        sample,
        [method],
        index=index,
        players=players,
        maskers=maskers,
        target=target,
        fixed=fixed,
        budget=budget,
        tolerance=tolerance,
        seed=seed,
        batch_size=batch_size,
        cache=cache,
        progress=progress,
    )[method]


def explain_all(
    model: Adapter | str,
    sample: Sample,
    methods: Sequence[str],
    *,
    index: str = "SII",
    players: PartChoice = None,
    maskers: PartChoice = None,
    target: Target | None = None,
    fixed: Fixed | None = None,
    budget: int | str | Budget | None = None,
    tolerance: float | str | Tolerance | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    cache: CacheChoice = None,
    progress: Progress | None = None,
) -> dict[str, Explanation]:
    """Explain one prediction by several methods, which share the values of the game.

    Args:
        model: as in `explain`, like everything that is not said here.
        sample: the input.
        methods: as ``method`` there; each has the whole budget to itself, and gives what it would give alone.
        index: for the methods that can give it; the others refuse any but ``"SII"``.
        players: as there.
        maskers: as there.
        target: as there.
        fixed: as there.
        budget: of each method.
        tolerance: for estimators; any other method refuses it.
        seed: of each method.
        batch_size: as there.
        cache: as there.
        progress: as there.

    Returns:
        Method → explanation, in the order asked for.

    Raises:
        ChiasmError: see the message; what can be seen to be wrong is refused before the model runs.
    """
    for method in methods:
        check_explainer_choice(method, index, budget, seed, tolerance)  # before a model is loaded or run
    if not isinstance(sample, Sample):
        raise InvalidInput(f"The sample is {sample!r}; make one: chiasm.Sample(image='photo.jpg', text='What is it?').")
    recall = Recall(cache)
    adapter = _load(model)
    for method in methods:
        adapter.require(*find_explainer(method).needs, by=method)
    say = _Reporter(progress)
    say("predicting")
    hidden_by = masker_objects(adapter, sample, maskers)
    found: dict[str, Explanation] = {}
    spent: dict[str, Counts] = {}
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
        for method in methods:
            subject = _subject(adapter, match, hidden_by, fixed, say)
            explainer = with_tolerance(find_explainer(method), tolerance, say.estimate)
            natural = explainer.default_budget(subject.game)
            limit = Budget(values=natural) if budget is None and natural is not None else budget
            say.begin(subject.game, limit, method if len(methods) > 1 else "")
            before = replace(match.game.counts)
            found[method] = explainer.explain(subject, index=index, budget=limit, seed=seed)
            spent[method] = _since(before, match.game.counts)
    for method, seen in without_strongest(adapter, match, hidden_by, fixed, found).items():
        found[method].what_if = seen
    for place, (method, explanation) in enumerate(found.items()):  # now that the memory is closed it has told all
        whence = "earlier runs and the methods before" if place else "earlier runs"
        told = recall.told(explanation.provenance, spent[method], whence)
        explanation.provenance = replace(told, notes=[*told.notes, *match.afterwards()])
    return found


def _subject(
    adapter: Adapter, match: ModelGame, maskers: Mapping[str, Masker], fixed: Fixed | None, say: _Reporter
) -> Subject:
    """What one method explains.

    Its game stands on top of the model's: below, values remembered from earlier runs, or asked for by another method,
    cost no call of the model; above, they count in the budget like any other, so that a resumed run takes every step
    of the one that was stopped.
    """
    game = Game(
        match.game,
        match.game.all_players,
        fixed=fixed,
        batch_size=match.game.batch_size,
        scale=match.game.scale,
        on_batch=say.count,
    )
    return Subject(
        game=game,
        adapter=adapter,
        prepared=match.prepared,
        maskers=maskers,
        target=match.target,
        prediction=match.prediction,
        provenance=_provenance(adapter, match),
    )


def _since(before: Counts, now: Counts) -> Counts:
    """What was asked for between two moments."""
    return Counts(**{f.name: getattr(now, f.name) - getattr(before, f.name) for f in fields(Counts)})


class _Reporter:
    """Tells the caller how far it is, if the caller wants to know."""

    def __init__(self, progress: Progress | None) -> None:
        self.progress, self.what, self.note = progress, "explaining", "explaining"
        self.budget: int | None = None
        self.game: Game | None = None

    def __call__(self, note: str) -> None:
        if self.progress is not None:
            self.progress(0, None, note)

    def begin(self, game: Game, limit: int | str | Budget | None, method: str) -> None:
        known = None if limit is None else Budget.parse(limit)
        self.game, self.budget = game, None if known is None else known.values
        self.what = f"{method}: explaining" if method else "explaining"
        self.note = self.what
        if known is not None and known.values is None:
            self.note = f"{self.what} for {known.describe()}"

    def count(self, counts: Counts) -> None:
        if self.progress is not None:
            self.progress(counts.computed, self.budget, self.note)

    def estimate(self, estimate: Estimate) -> None:
        """The widest interval so far goes into the note that stands beside the next counts."""
        width = None if self.game is None else half_width(estimate, self.game.players)
        if width is not None:
            self.note = f"{self.what}, pairs within ± {width:.2g}"


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
