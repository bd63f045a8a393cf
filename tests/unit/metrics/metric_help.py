"""Cases for tests of metrics: games and explanations whose scores can be worked out by hand."""

from __future__ import annotations

import numpy as np

from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.estimators.estimate import explain_game
from chiasm.metrics.base import Case
from chiasm.testing.games import SparsePolynomial


def game(terms, parts, scale="value"):
    """Σ of coefficients of the terms that are wholly present; players are numbered through all parts."""
    known = SparsePolynomial(sum(parts.values()), terms)
    return Game(known.values, Players.abstract(parts), scale=scale)


def told(players, single, pair=None, index="SII", **spec):
    provenance = Provenance("by hand", index, target_spec=spec)
    matrix = None if pair is None else np.asarray(pair, np.float64)
    return Explanation(players, np.asarray(single, np.float64), provenance, pair=matrix)


def case(played, single=None, pair=None, **options):
    """A case of an explanation by hand, or of the exact one."""
    explanation = explain_game(played, method="exact") if single is None else told(played.players, single, pair)
    return Case(explanation, played, **options)


TWO = {"a": 1, "b": 1}
EIGHT = {"a": 5, "b": 3}


def descending(n):
    return np.arange(n, 0, -1.0)
