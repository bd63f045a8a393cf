"""Random values: what every metric must tell from an explanation."""

from __future__ import annotations

import numpy as np

from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.estimators.choice import whole
from chiasm.explainers.base import Clock, Found, Kind, Limit, Subject, told, wanted_index


class Random:
    """Independent normal values; the same seed and number of players give the same. The model is never asked."""

    name: str = "random"
    line: str = "random values: the floor for every metric"
    kind: Kind = "black-box"
    needs: tuple[str, ...] = ()
    cost: str = "nothing"
    pairs: bool = False
    signed: bool = True
    source: str = "control"
    indices: tuple[str, ...] = ("random",)

    def default_budget(self, game: Game) -> int | None:
        """None: no value is asked for."""
        del game
        return None

    def explain(self, subject: Subject, *, index: str = "SII", budget: Limit = None, seed: int = 0) -> Explanation:
        """See `chiasm.explainers.base.Explainer.explain`."""
        del budget
        wanted, seed, clock = wanted_index(self, index), whole("seed", seed, 0), Clock(subject.game)
        single = np.random.default_rng([seed, subject.game.n]).normal(size=subject.game.n)
        found = Found(single, notes=("these values are random and say nothing about the model",))
        return told(subject, found, by=self, index=wanted, clock=clock, seed=seed)


RANDOM = Random()
