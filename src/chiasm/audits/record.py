"""One sample of an audit: what the model answers and values with parts, words and areas taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.audits.mixtures import mixed
from chiasm.audits.parts import background_table
from chiasm.audits.sorts import between
from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.sample import Sample
from chiasm.core.target import Scale, Target
from chiasm.explainers.explain import explain
from chiasm.explainers.remembering import masker_objects
from chiasm.metrics.influence import influence
from chiasm.modalities import modalities
from chiasm.modalities.base import Masker, sorts_of
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame, PartChoice, make_game

#: what one sample gave, in plain numbers and texts: see `record`
Row = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """What is asked of every sample.

    Attributes:
        players: how parts are cut, as in `chiasm.explain`.
        maskers: baselines, as in `chiasm.explain`.
        scale: of the value of the model's own answer; ``None``: probability where the model has it.
        method: estimator of the pairs.
        budget: values of the game for the pairs; 0 for whole parts alone.
        backgrounds: how many other samples absent parts are drawn from, for InterSHAP as published; 0 for none.
        mixtures: how many samples' parts are mixed with one another, for EMAP; n samples of p parts make n^p
            mixtures.
        influence: whether explanations are made anew with each part away (parts + 1 further explanations a sample,
            each of ``budget`` values).
        lexicon: sorts of words → words, beside those that Chiasm knows.
        seed: of estimator and draws.
    """

    players: PartChoice = None
    maskers: PartChoice = None
    scale: Scale | None = None
    method: str = "auto"
    budget: int = 0
    backgrounds: int = 0
    mixtures: int = 0
    influence: bool = False
    lexicon: Mapping[str, Sequence[str]] | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be asked.

        Raises:
            InvalidInput: influence without a budget, or a mixture of one sample.
        """
        if self.influence and self.budget < 1:
            raise InvalidInput("Influence compares explanations: give a budget of values, e.g. 256.")
        if self.mixtures == 1 or self.mixtures < 0:
            raise InvalidInput(f"{self.mixtures} samples cannot be mixed; give 2 or more, or 0 for none.")

    def target(self, model: Adapter) -> Target:
        """The unresolved target: the model's own answer, on the scale asked for or the one that suits audits."""
        scale = self.scale
        if scale is None and "answers" in model.capabilities and model.default_target.scale == "log_probability":
            scale = "probability"  # shares of a log-probability are ruled by samples that are sure anyway
        return model.default_target if scale is None else replace(model.default_target, scale=scale)


def record(model: Adapter, samples: Sequence[Sample], number: int, plan: Plan) -> Row:
    """Everything that an audit keeps of one sample.

    Args:
        model: the model.
        samples: the data set; others than this sample serve as backgrounds.
        number: which sample.
        plan: what is asked.

    Returns:
        ``parts``: names. ``values``: of every coalition of whole parts, in the order of
        `chiasm.core.coalitions.all_coalitions`. ``answers``: the model's answers to them, or ``None`` for a model
        without answers. ``answer``, ``probability``, ``reference``, ``tags``, ``sizes`` (players of each part).
        ``background``: values as ``values`` but with absent parts drawn from other samples, or ``None``.
        ``mixed``: see `chiasm.audits.mixtures.mixed`. With a budget: ``positive``, ``negative`` (sums of pair values
        across parts, the second as a size), ``own`` (part → Σ|φ|), ``units`` (part → one list each of sorts, φ,
        positive and negative pair values), ``between`` (see `chiasm.audits.sorts.between`) and ``top`` (the
        strongest pair).

    Raises:
        ChiasmError: see the message.
    """
    sample = samples[number]
    hidden_by = masker_objects(model, sample, plan.maskers)
    match = make_game(model, sample, players=plan.players, maskers=hidden_by, target=plan.target(model))
    parts = [name for name, part in match.game.players.parts.items() if len(part)]
    masks = _of_parts(match, parts)
    row: Row = {
        "parts": parts,
        "values": match.game(masks).tolist(),
        "answers": _answers(model, match, hidden_by, masks),
        "answer": match.prediction.answer,
        "probability": match.prediction.probability,
        "reference": sample.answer,
        "tags": dict(sample.tags),
        "sizes": {name: len(match.game.players[name]) for name in parts},
        "background": _background(model, samples, number, match, plan) if plan.backgrounds else None,
    }
    if plan.mixtures:
        row["mixed"] = mixed(model, samples, number, plan.mixtures, plan.target(model))
    if plan.budget:
        row |= _of_units(model, sample, number, hidden_by, plan)
    if plan.influence and len(parts) > 1:
        row["influence"] = _influence(model, sample, number, hidden_by, plan)
    return row


def _influence(model: Adapter, sample: Sample, number: int, hidden_by: Mapping[str, Masker], plan: Plan) -> Row:
    """``parts``, ``l1``: how far each part's absence (rows) changes the others' explanations, ``null``: two seeds."""
    seed = plan.seed + number

    def again(*, fixed: Mapping[Any, bool], seed: int) -> Explanation:
        return _explain(model, sample, hidden_by, plan, seed=seed, fixed=fixed)

    names = tuple(sample.parts)
    found = influence(again, names, (seed, seed + 1))
    return {"parts": list(names), "l1": np.nan_to_num(found.l1).tolist(), "null": found.null_l1.tolist()}


def _explain(
    model: Adapter,
    sample: Sample,
    hidden_by: Mapping[str, Masker],
    plan: Plan,
    *,
    seed: int,
    fixed: Mapping[Any, bool] | None = None,
) -> Explanation:
    return explain(
        model,
        sample,
        method=plan.method,
        players=plan.players,
        maskers=dict(hidden_by),
        target=plan.target(model),
        budget=plan.budget,
        seed=seed,
        fixed=fixed,
    )


def _of_parts(match: ModelGame, parts: Sequence[str]) -> NDArray[np.bool_]:
    """The coalitions of whole parts, ``bool[2^P, players]``."""
    table = all_coalitions(len(parts))
    masks = np.zeros((len(table), match.game.n), bool)
    for column, name in enumerate(parts):
        masks[:, match.game.players.slices[name]] = table[:, [column]]
    return masks


def _answers(
    model: Adapter, match: ModelGame, hidden_by: Mapping[str, Masker], masks: NDArray[np.bool_]
) -> list[str] | None:
    if "answers" not in model.capabilities:
        return None
    found = model.answers(match.prepared, match.game.all_players, hidden_by, match.game.expand(masks))
    return [one.answer for one in found]


def _background(model: Adapter, samples: Sequence[Sample], number: int, match: ModelGame, plan: Plan) -> list[float]:
    """Values with absent parts from other samples, of the answer that the model gives to the whole one."""
    if len(samples) < 2:
        raise InvalidInput("Backgrounds are other samples of the data set, and it has only one.")
    rng = np.random.default_rng([plan.seed, number])
    others = np.delete(np.arange(len(samples)), number)
    chosen = rng.choice(others, min(plan.backgrounds, len(others)), replace=False)
    target = match.target if "answers" in model.capabilities else plan.target(model)
    names = list(samples[number].parts)

    def value(which: NDArray[np.intp]) -> list[float]:
        return [
            make_game(
                model,
                Sample(**{name: samples[of].parts[name] for name, of in zip(names, row, strict=True)}),
                target=target,
            ).game.full()
            for row in which.tolist()
        ]

    return background_table(value, number, chosen, len(names)).tolist()  # type: ignore[no-any-return]


def _of_units(model: Adapter, sample: Sample, number: int, hidden_by: Mapping[str, Masker], plan: Plan) -> Row:
    """Sums of pair values across parts, and what each unit has of them.

    Every sample has coalitions of its own: pairs that never meet within a small budget count as 0, and were they the
    same in all samples, the same units would seem to do nothing in any.
    """
    found = _explain(model, sample, hidden_by, plan, seed=plan.seed + number)
    across = across_parts(found)
    gain, loss = across.clip(min=0), (-across).clip(min=0)
    units = {
        name: {
            "sorts": sorts_of(modalities.get(part.kind), part, plan.lexicon),
            "labels": list(part.labels),
            "single": found.values[name].tolist(),
            "positive": gain[found.players.slices[name]].sum(axis=1).tolist(),
            "negative": loss[found.players.slices[name]].sum(axis=1).tolist(),
        }
        for name, part in found.players.parts.items()
        if len(part)
    }
    sorts = {name: one["sorts"] for name, one in units.items()}
    top = found.top_pairs(1)
    return {
        "positive": float(gain.sum() / 2),
        "negative": float(loss.sum() / 2),
        "own": {name: float(np.abs(values).sum()) for name, values in found.values.items()},
        "units": units,
        "between": between(across, found.players, sorts),
        "top": [[*top[0].players], [*top[0].labels], top[0].value, top[0].error] if top else None,
    }


def across_parts(found: Explanation) -> NDArray[np.float64]:
    """Pair values ``float64[n, n]`` with 0 within parts and where the method gives none.

    Raises:
        MissingCapability: the method gives single players only.
    """
    matrix = np.nan_to_num(found.interactions.matrix)
    for where in found.players.slices.values():
        matrix[where, where] = 0.0
    return np.asarray(matrix, np.float64)


Recorder = Callable[[int], Row]
