"""EMAP in an audit: answers to mixtures of parts of different samples, and what of them needs interplay of parts."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.audits.projection import additive_fit
from chiasm.core.errors import ModelError
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models.base import Adapter
from chiasm.models.games import make_game

Floats = NDArray[np.float64]


def mixed(model: Adapter, samples: Sequence[Sample], number: int, most: int, target: Target) -> dict[str, Any] | None:
    """What a model says of the first part of one sample with the other parts of each of the first samples.

    Args:
        model: the model.
        samples: the data set.
        number: whose first part.
        most: how many samples are mixed, the first ones.
        target: what its value is, for a model without answers.

    Returns:
        ``place``, ``n`` and ``answers`` or ``values`` of n^(parts − 1) mixtures, the last part changing fastest;
        ``None`` for a sample that is not among those.
    """
    n = min(most, len(samples))
    if number >= n:
        return None
    names = list(samples[number].parts)
    answering = "answers" in model.capabilities
    found: list[Any] = []
    for others in itertools.product(range(n), repeat=len(names) - 1):
        parts: dict[str, Any] = {name: samples[k].parts[name] for name, k in zip(names, (number, *others), strict=True)}
        sample = Sample(**parts)
        if answering:
            found.append(model.resolve(model.prepare(sample), target)[1].answer)
        else:
            found.append(float(make_game(model, sample, target=target).game.full()))
    return {"place": number, "n": n, "answers" if answering else "values": found}


@dataclass(frozen=True, eq=False)
class Mixtures:
    """All mixtures of the samples that have a record.

    Attributes:
        rows: their rows in the table, ``int[m]``.
        answers: ``str[m, …, m]``, or ``None``.
        values: ``float64[m, …, m]``, or ``None``.
    """

    rows: NDArray[np.intp]
    answers: NDArray[np.str_] | None
    values: Floats | None

    def own(self) -> NDArray[np.str_]:
        """The model's answers to the samples themselves, ``str[m]``: the diagonal."""
        answers = self._answers()
        return answers[(np.arange(len(self.rows)),) * answers.ndim]

    def _answers(self) -> NDArray[np.str_]:
        if self.answers is None:
            raise ModelError("These mixtures have values and no answers.")
        return self.answers

    def projected(self) -> NDArray[np.str_]:
        """The answer to each sample of the closest model whose parts do not work together, ``str[m]``.

        Answers are ones and zeros for each class; the projection's answer is the class that it gives most. All times
        m^parts these are counts, so nothing is rounded and no answer is too rare to be told apart.
        """
        answers, own = self._answers(), self.own()
        names, which, counts = np.unique(answers, return_inverse=True, return_counts=True)
        which, order = which.reshape(answers.shape), np.argsort(-counts, kind="stable")
        found = own.copy()
        for k, answer in enumerate(own):
            held = sum(np.bincount(which.take(k, axis).ravel(), minlength=len(names)) for axis in range(which.ndim))
            fitted = len(own) * held - (which.ndim - 1) * counts
            # of classes that it gives equally, the model's own answer, else the one more frequent in all mixtures
            if fitted[np.searchsorted(names, answer)] < fitted.max():
                found[k] = names[order[fitted[order].argmax()]]
        return found

    def unexplained(self) -> tuple[Floats, Floats]:
        """Of the mixtures of each sample's first part: squares that no additive model has, and all squares."""
        values = self.values
        if values is None:
            raise ModelError("These mixtures have answers and no values.")
        rest = (values - additive_fit(values[..., None])[..., 0]) ** 2
        spread = (values - values.mean()) ** 2
        axes = tuple(range(1, values.ndim))
        return rest.sum(axis=axes), spread.sum(axis=axes)


def gather(rows: Sequence[dict[str, Any]]) -> Mixtures | None:
    """The mixtures that rows hold, of the samples that all have their own; ``None`` of fewer than two."""
    held = {row["mixed"]["place"]: k for k, row in enumerate(rows) if row.get("mixed")}
    places = sorted(held)
    if len(places) < 2:
        return None
    first = rows[held[places[0]]]
    parts, n = len(first["parts"]), first["mixed"]["n"]
    kind = "answers" if "answers" in first["mixed"] else "values"
    each = [np.array(rows[held[place]]["mixed"][kind]).reshape((n,) * (parts - 1)) for place in places]
    among = np.ix_(*([places] * (parts - 1)))
    grid = np.stack([one[among] for one in each])
    index = np.array([held[place] for place in places], np.intp)
    return Mixtures(index, grid if kind == "answers" else None, grid.astype(np.float64) if kind == "values" else None)


def spread(rows: NDArray[np.intp], values: Floats, count: int) -> Floats:
    """Values of some rows as a column of all, NaN elsewhere."""
    found = np.full(count, np.nan)
    found[rows] = values
    return found
