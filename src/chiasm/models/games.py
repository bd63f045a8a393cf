"""From a model and a sample to a game: read, cut into players, choose maskers, resolve the target."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.explanation import Prediction
from chiasm.core.game import Costs, Counts, Fixed, Game, Memory
from chiasm.core.sample import Sample
from chiasm.core.target import Scale, Target
from chiasm.modalities import modalities
from chiasm.modalities.base import DrawnMasker, Masker
from chiasm.models.base import Adapter, Prepared, Values

#: a choice for each part: by name, or a text such as ``"grid:7x7,words"`` in the order of the parts
PartChoice = Mapping[str, Any] | str | None


@dataclass(eq=False)
class ModelGame:
    """A game that a model plays on a sample, and what was decided to make it.

    Attributes:
        game: the game.
        prepared: the sample as the model sees it.
        target: the resolved target.
        prediction: the model's answer on the whole sample.
        segmenters, maskers: part → name of what is used, for the provenance.
        notes: what the adapter has to say about this sample.
        afterwards: what has become known since, while values were computed (``values.afterwards``, where it has one).
    """

    game: Game
    prepared: Prepared
    target: Target
    prediction: Prediction
    segmenters: dict[str, str]
    maskers: dict[str, str]
    notes: list[str]
    afterwards: Callable[[], list[str]] = list


def by_part(choice: PartChoice, sample: Sample, what: str) -> dict[str, Any]:
    """Read a choice for each part.

    ``"grid:7x7,words"`` goes by the order of the parts, ``"image=grid:7x7,text=words"`` by their names; a mapping is
    checked and copied. Commas inside a value are kept where no part's name follows them (``"image=constant:0,0,0"``).

    Raises:
        UnknownName: a part that the sample lacks.
        InvalidInput: more choices than parts.
    """
    if choice is None:
        return {}
    if isinstance(choice, str):
        choice = _parse(choice, list(sample.parts), what)
    for name in choice:
        if name not in sample.parts:
            raise UnknownName("part", name, sample.parts)
    return dict(choice)


def _parse(text: str, parts: list[str], what: str) -> dict[str, str]:
    pieces = [piece.strip() for piece in text.split(",")]
    if not any("=" in piece for piece in pieces):
        if len(pieces) > len(parts):
            raise InvalidInput(
                f"{text!r} names {len(pieces)} {what} for {len(parts)} parts ({', '.join(parts)}); "
                f"name the parts to be clear, e.g. {parts[0]}={pieces[0]}."
            )
        return dict(zip(parts, pieces, strict=False))
    found: dict[str, str] = {}
    last: str | None = None
    for piece in pieces:
        head, equals, tail = piece.partition("=")
        if equals:
            last = head.strip()
            if last in found:
                raise InvalidInput(f"{text!r} names part {last!r} twice; give each part one of the {what}.")
            found[last] = tail.strip()
        elif last is None:
            raise InvalidInput(f"{text!r} mixes {what} with and without a part's name; write {parts[0]}={piece}.")
        else:
            found[last] += f",{piece}"
    return found


def describe(choice: Any) -> str:
    """A segmenter or masker in one word for the provenance."""
    return choice if isinstance(choice, str) else str(getattr(choice, "name", type(choice).__name__))


class MeanValues:
    """A value function that is the mean of several: of one model under each draw of its maskers.

    Attributes:
        batch_size: the smallest of theirs.
        costs: of all of them together.
        drawn: whether any of their values is drawn by chance.
    """

    def __init__(self, several: Sequence[Values]) -> None:
        """Keep them; nothing is computed yet."""
        self._several = list(several)
        self.batch_size = min(values.batch_size for values in self._several)
        one: Costs = getattr(self._several[0], "costs", Costs())
        n = len(self._several)
        self.costs = replace(one, encode={part: n * cost for part, cost in one.encode.items()}, cell=n * one.cell)
        self.drawn = any(getattr(values, "drawn", False) for values in self._several)

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``."""
        return np.asarray(np.mean([values(coalitions) for values in self._several], axis=0), np.float64)

    def afterwards(self) -> list[str]:
        """What has become known to any of them, once."""
        told = [note for values in self._several for note in getattr(values, "afterwards", list)()]
        return list(dict.fromkeys(told))


def _draws(maskers: Mapping[str, Masker]) -> list[dict[str, Masker]]:
    """The maskers of all parts for each draw; once the maskers themselves where none is drawn.

    Raises:
        InvalidInput: two parts are drawn in different numbers of ways.
    """
    counts = {part: masker.draws for part, masker in maskers.items() if isinstance(masker, DrawnMasker)}
    several = {count for count in counts.values() if count > 1}
    if len(several) > 1:
        told = ", ".join(f"{part!r} has {n}" for part, n in counts.items())
        raise InvalidInput(f"Draw k of one part goes with draw k of the others, and {told} draws; give all as many.")
    return [
        {part: masker.draw(min(k, counts[part] - 1)) if part in counts else masker for part, masker in maskers.items()}  # type: ignore[union-attr]
        for k in range(max(several, default=1))
    ]


def make_game(
    model: Adapter,
    sample: Sample,
    *,
    players: PartChoice = None,
    maskers: PartChoice = None,
    target: Target | None = None,
    fixed: Fixed | None = None,
    batch_size: int | None = None,
    memory: Memory | None = None,
    on_batch: Callable[[Counts], None] | None = None,
) -> ModelGame:
    """The game of a model on a sample.

    Args:
        model: adapter from `chiasm.load`.
        sample: the input.
        players: how each part is cut into players; parts that are not named get their modality's default.
        maskers: how absent players are hidden; parts that are not named get what suits the model.
        target: what number to explain; by default the adapter's (for decoders, log-probability of its own answer).
        fixed: whole parts or single players held present (True) or absent (False).
        batch_size: coalitions in one model call; by default what fits the memory.
        memory: values known from before, see `chiasm.core.game.Game`.
        on_batch: called after each batch with the counts.

    Raises:
        InvalidInput, UnknownName, MissingCapability: a choice that does not fit; the message says what does.
    """
    if target is not None and not isinstance(target, Target):
        raise InvalidInput(f"The target is {target!r}; make one: chiasm.Target('probability', answer='red').")
    segmenters = by_part(players, sample, "segmenters")
    chosen = by_part(maskers, sample, "maskers")
    prepared = model.prepare(sample)
    resolved, prediction = model.resolve(prepared, target or model.default_target)
    cut = prepared.players(segmenters)
    hidden_by = {}
    for name, part in sample.parts.items():
        modality = modalities.get(part.kind)
        default = model.default_maskers.get(part.kind, modality.default_masker)
        hidden_by[name] = modality.masker(chosen.get(name, default))
        segmenters.setdefault(name, modality.default_segmenter)
    asked = [model.values(prepared, cut, each, resolved, batch_size) for each in _draws(hidden_by)]
    values = asked[0] if len(asked) == 1 else MeanValues(asked)
    # a difference of probabilities is none, and a share of samples may be 0 or 1, which has no logit
    plain = resolved.against is not None or getattr(values, "drawn", False)
    scale: Scale = "value" if plain else resolved.scale
    game = Game(values, cut, fixed=fixed, batch_size=values.batch_size, scale=scale, memory=memory, on_batch=on_batch)
    return ModelGame(
        game=game,
        prepared=prepared,
        target=resolved,
        prediction=prediction,
        segmenters={name: describe(segmenter) for name, segmenter in segmenters.items()},
        maskers={name: masker.name for name, masker in hidden_by.items()},
        notes=model.notes(prepared),
        afterwards=getattr(values, "afterwards", list),
    )
