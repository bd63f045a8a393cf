"""Score explanations of one sample: every metric, every explanation and the controls on one game."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from chiasm.core.cache import CacheChoice
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.core.game import Counts, Fixed, Game
from chiasm.core.players import PlayerId
from chiasm.core.provenance import Provenance
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.explainers.remembering import Recall, masker_objects
from chiasm.metrics import DEFAULT, metrics
from chiasm.metrics.again import Again, OwnExplain
from chiasm.metrics.base import Case, Floats, Metric, Score
from chiasm.metrics.controls import controls as make_controls
from chiasm.metrics.scores import Row, Scores
from chiasm.metrics.truth import planted
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame, PartChoice, by_part, make_game

#: one explanation, several, or several by name
Explanations = Explanation | Sequence[Explanation] | Mapping[str, Explanation]
#: (values computed, values to compute, what is going on)
Progress = Callable[[int, int | None, str], None]
_PLAYER: Final = re.compile(r"(.+)\[(\d+)\]")


def evaluate(
    model: Adapter | str,
    sample: Sample,
    explanations: Explanations,
    *,
    metrics: Sequence[str | Metric] | None = None,
    controls: bool = True,
    random_seeds: int = 3,
    players: PartChoice = None,
    maskers: PartChoice = None,
    target: Target | None = None,
    fixed: Fixed | None = None,
    seed: int = 0,
    batch_size: int | None = None,
    cache: CacheChoice = None,
    twin: Adapter | str | None = None,
    explain: Mapping[str, OwnExplain] | None = None,
    progress: Progress | None = None,
) -> Scores:
    """Score one or many explanations of a sample.

    One game is played for all of them: players, maskers, target and what is held fixed are those of the first
    explanation unless given here. If it explains a probability or a log-probability, the game's values are
    log-probabilities; metrics that are defined on probabilities turn them into such. All values that can be known
    before are asked for at once, shared among metrics and explanations.

    Args:
        model: adapter from `chiasm.load`, or what `chiasm.load` takes.
        sample: the input; its planted truth, if any, gives the oracle and the localisation metrics.
        explanations: one, several, or several by name; all of the same players.
        metrics: names (``chiasm list metrics``) or metrics of your own; by default `chiasm.metrics.DEFAULT`, as far as
            they apply.
        controls: whether oracle, reversed oracle (where truth is planted) and random explanations are scored too.
        random_seeds: how many random ones.
        players: part → segmenter; needed where the first explanation's was an object and no name.
        maskers: part → masker; the same.
        target: what number the game gives.
        fixed: parts or players held present or absent.
        seed: of everything random in metrics and controls.
        batch_size: coalitions in one model call.
        cache: a folder where values are remembered, as in `chiasm.explain`; after that, its values are used here.
        twin: a model of the same form trained on other labels, for ``randomised_labels``.
        explain: method → function ``(adapter, sample, fixed, seed)``, for metrics that explain again by a method of
            yours.
        progress: called after each batch.

    Raises:
        UnknownName: no such metric.
        InvalidInput: explanations of other players or answers than the game; see the message.
    """
    named, chosen = named_explanations(explanations), _chosen(metrics)
    first = next(iter(named.values())).provenance
    adapter, other = _load(model), None if twin is None else _load(twin)
    recall = Recall(cache)
    hidden_by = masker_objects(adapter, sample, first.maskers if maskers is None else maskers)
    wanted = _target(first, adapter) if target is None else target
    cut = by_part(first.segmenters if players is None else players, sample, "segmenters")
    started = time.perf_counter()
    with recall:
        match = make_game(
            adapter, sample, players=cut, maskers=hidden_by, target=wanted, batch_size=batch_size, memory=recall
        )
        recall.open(adapter, match, hidden_by)
        _same_target(named, match, given=target is not None)
        held = _held(first) if fixed is None else dict(fixed)
        game = Game(
            match.game, match.game.all_players, fixed=held, batch_size=match.game.batch_size, scale=match.game.scale
        )
        plan = _Plan(game, chosen, seed, planted(match.prepared, game.players), _counted(progress), other)

        def again(name: str, explanation: Explanation) -> Again:
            own = (explain or {}).get(explanation.provenance.method) or (explain or {}).get(name)
            return Again(explanation, match.game, held, adapter, sample, cut, hidden_by, match.target, own)

        made = make_controls(game.players, plan.truth, seeds=random_seeds, seed=seed) if controls else {}
        rows, left_out = plan.applying(plan.rows(named, made, again))
    return Scores(
        rows=rows,
        better=plan.better,
        about=_about(adapter, sample, match),
        requested=game.counts.requested,
        computed=match.game.counts.computed,
        seconds=time.perf_counter() - started,
        notes=(
            *match.notes,
            *recall.notes,
            *_of_another_model(named, adapter),
            *_missing_truth(plan.truth, controls=controls),
            *left_out,
        ),
    )


def evaluate_game(
    game: Game,
    explanations: Explanations,
    *,
    metrics: Sequence[str | Metric] | None = None,
    truth: Mapping[str, Floats] | None = None,
    controls: bool = True,
    random_seeds: int = 3,
    seed: int = 0,
) -> Scores:
    """The same for any game, no model needed.

    Args:
        game: the game that was explained.
        explanations: as in `evaluate`.
        metrics: as in `evaluate`.
        truth: part → ``float64[players]`` in [0, 1]: how far each player is planted.
        controls: as in `evaluate`.
        random_seeds: as in `evaluate`.
        seed: as in `evaluate`.
    """
    started, before = time.perf_counter(), Counts(**vars(game.counts))
    named, chosen = named_explanations(explanations), _chosen(metrics)
    known = {name: np.asarray(shares, np.float64) for name, shares in (truth or {}).items()}
    plan = _Plan(game, chosen, seed, known, None, None)
    made = make_controls(game.players, known, seeds=random_seeds, seed=seed) if controls else {}
    rows, left_out = plan.applying(plan.rows(named, made, lambda _, explanation: Again(explanation, game, {})))
    return Scores(
        rows=rows,
        better=plan.better,
        requested=game.counts.requested - before.requested,
        computed=game.counts.computed - before.computed,
        seconds=time.perf_counter() - started,
        notes=(*_missing_truth(known, controls=controls), *left_out),
    )


@dataclass(frozen=True, eq=False)
class _Plan:
    """What is measured, and on what."""

    game: Game
    chosen: tuple[tuple[Metric, ...], bool]
    seed: int
    truth: Mapping[str, Floats]
    on_batch: Callable[[Counts, int], None] | None
    twin: Adapter | None

    @property
    def metrics(self) -> tuple[Metric, ...]:
        return self.chosen[0]

    @property
    def better(self) -> dict[str, str]:
        return {metric.about.name: metric.about.better for metric in self.metrics}

    def rows(
        self,
        named: Mapping[str, Explanation],
        made: Mapping[str, Explanation],
        again: Callable[[str, Explanation], Again],
    ) -> tuple[Row, ...]:
        """All rows; the values that can be known before are asked for in one go."""
        clash = named.keys() & made.keys()
        if clash:
            raise InvalidInput(f"An explanation is named {clash.pop()!r}, as a control is; give it another name.")
        cases = {
            name: Case(
                explanation,
                self.game,
                self.truth,
                self.seed,
                others={k: e for k, e in named.items() if k != name},
                again=again(name, explanation) if name in named else None,
                twin=self.twin,
            )
            for name, explanation in {**named, **made}.items()
        }
        wanted = [np.zeros((0, self.game.n), bool)]
        missing: dict[tuple[str, str], str] = {}
        for name, case in cases.items():
            for metric in self.metrics:
                try:
                    wanted.append(metric.coalitions(case))
                except MissingCapability as error:
                    missing[name, metric.about.name] = str(error)
        self._ask(np.concatenate(wanted))
        rows = [
            self._row(name, case, metric, missing.get((name, metric.about.name), ""), control=name in made)
            for name, case in cases.items()
            for metric in self.metrics
        ]
        return tuple(rows)

    def _ask(self, coalitions: np.ndarray[Any, np.dtype[np.bool_]]) -> None:
        if not len(coalitions):
            return
        if self.on_batch is not None:
            total = int((~self.game.known(coalitions)).sum())
            tell = self.on_batch
            self.game.on_batch = lambda counts: tell(counts, total)
        self.game(coalitions)

    def _row(self, name: str, case: Case, metric: Metric, why: str, *, control: bool) -> Row:
        """One row; ``why``, if not empty, is why there is no score."""
        key = metric.about.name
        score: Score | None = None
        if not why:
            try:
                score = metric.score(case)
            except MissingCapability as error:
                why = str(error)
        return Row(name, control, key, score, why)

    def applying(self, rows: tuple[Row, ...]) -> tuple[tuple[Row, ...], tuple[str, ...]]:
        """Unless metrics were asked for by name, those that judge none of the explanations are left out, and said."""
        if not self.chosen[1]:
            return rows, ()
        judged = {row.metric for row in rows if row.score is not None and not row.control}
        because: dict[str, dict[str, None]] = {}
        for row in rows:
            if row.metric not in judged and not row.control:
                because.setdefault(row.missing, {})[row.metric] = None
        notes = [f"left out: {', '.join(left)}. {why}" for why, left in because.items()]
        return tuple(row for row in rows if row.metric in judged), tuple(notes)


def named_explanations(explanations: Explanations) -> dict[str, Explanation]:
    """Explanations by name: as given, or by method and index, numbered where two are alike.

    Raises:
        InvalidInput: there is none, or something else among them.
    """
    if isinstance(explanations, Mapping):
        found = dict(explanations)
    else:
        each = [explanations] if isinstance(explanations, Explanation) else list(explanations)
        found = {}
        for explanation in each:
            name = _name(explanation)
            number = sum(key == name or key.startswith(f"{name} #") for key in found) + 1
            found[name if number == 1 else f"{name} #{number}"] = explanation
    for name, explanation in found.items():
        if not isinstance(explanation, Explanation):
            raise InvalidInput(
                f"{name!r} is a {type(explanation).__name__}; give explanations, e.g. of chiasm.explain."
            )
    if not found:
        raise InvalidInput("There is no explanation to evaluate; give one of chiasm.explain.")
    return found


def _name(explanation: Any) -> str:
    told = getattr(explanation, "provenance", None)
    return f"{told.method} {told.index}".strip() if told is not None else "?"


def _chosen(given: Sequence[str | Metric] | None) -> tuple[tuple[Metric, ...], bool]:
    """Metrics by name or as they are, and whether they are the default ones."""
    if isinstance(given, str):
        given = [given]
    names: Sequence[str | Metric] = DEFAULT if given is None else given
    found = tuple(metrics.get(metric) if isinstance(metric, str) else metric for metric in names)
    keys = [metric.about.name for metric in found]
    twice = {key for key in keys if keys.count(key) > 1}
    if twice or not found:
        raise InvalidInput(f"Give each metric once, and at least one; got {', '.join(keys) or 'none'}.")
    return found, given is None


def _load(model: Adapter | str) -> Adapter:
    if isinstance(model, str):
        from chiasm.models.hub import load

        return load(model)
    return model


def _target(told: Provenance, adapter: Adapter) -> Target:
    """The target of an explanation, probabilities as log-probabilities: one set of values serves both."""
    spec = dict(told.target_spec)
    if not spec:
        return adapter.default_target
    spec["candidates"] = tuple(spec.get("candidates") or ())
    if spec.get("scale") == "probability" and spec.get("against") is None:
        spec["scale"] = "log_probability"
    return Target(**spec)


def _held(told: Provenance) -> dict[str | PlayerId, bool]:
    """What an explanation held fixed: ``"text[3]"`` → ``("text", 3)``."""
    found: dict[str | PlayerId, bool] = {}
    for text, present in told.fixed.items():
        player = _PLAYER.fullmatch(text)
        found[(player[1], int(player[2])) if player else text] = present
    return found


_ONE_SCALE: Final = {"probability": "log_probability"}


def _same_target(named: Mapping[str, Explanation], match: ModelGame, *, given: bool) -> None:
    """Refuse explanations of another target than the game's, unless that scale was asked for: scores would mislead."""
    for name, explanation in named.items():
        told = explanation.provenance.target_spec
        for what in ("answer", "against", "token") if given else ("answer", "against", "token", "scale"):
            theirs, ours = told.get(what), getattr(match.target, what)
            if told and _ONE_SCALE.get(theirs or "", theirs) != _ONE_SCALE.get(ours or "", ours):
                raise InvalidInput(
                    f"{name!r} explains {explanation.provenance.target}; the game gives {match.target.describe()}. "
                    f"Evaluate explanations of one target together."
                )


def _of_another_model(named: Mapping[str, Explanation], adapter: Adapter) -> list[str]:
    """Explanations that were made for another model than the one that judges them: allowed, and told."""
    found = []
    for name, explanation in named.items():
        told = explanation.provenance
        if told.fingerprint and adapter.fingerprint and told.fingerprint != adapter.fingerprint:
            found.append(f"{name} explains {told.model} (other weights or settings); the scores are by {adapter.name}")
    return found


def _about(adapter: Adapter, sample: Sample, match: ModelGame) -> dict[str, Any]:
    return {
        "sample": sample.id,
        "model": adapter.name,
        "fingerprint": adapter.fingerprint,
        "target": match.target.describe(),
        "answer": match.prediction.answer,
        "segmenters": match.segmenters,
        "maskers": match.maskers,
    }


def _missing_truth(truth: Mapping[str, Floats], *, controls: bool) -> tuple[str, ...]:
    return () if truth or not controls else ("no planted truth, hence no oracle among the controls",)


def _counted(progress: Progress | None) -> Callable[[Counts, int], None] | None:
    return None if progress is None else lambda counts, total: progress(counts.computed, total, "evaluating")
