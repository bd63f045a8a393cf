"""EAGLE: players in the order in which a greedy search adds them, by what suffices and what is needed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.game import Game
from chiasm.estimators.support import new_among
from chiasm.explainers.base import BlackBox, Floats, Found


def objective(game: Game, chosen: Coalitions) -> Floats:
    """F(S) = p(y|S) + 1 − p(y|N∖S) of coalitions ``bool[b, n]``: the answer is kept by S and lost without it.

    A game of log-probabilities is turned into probabilities. Any other scale is taken as it is, where F is that up to
    a constant and the greedy order the same up to the unit.
    """
    values = game(np.vstack([chosen, ~chosen]))
    if game.scale == "log_probability":
        values = np.exp(values)
    kept, lost = np.split(values, 2)
    return np.asarray(kept + 1 - lost, np.float64)


def greedy(game: Game, budget: int) -> tuple[NDArray[np.intp], list[float], int]:
    """Players by the greedy order on `objective`.

    Args:
        game: the game.
        budget: new values allowed. Where it ends early, the players left follow by what each gave to F when it was
            last tried.

    Returns:
        order: ``int[n]``, first the one that gains most.
        reached: F after each step that was searched.
        steps: how many were.
    """
    n, end = game.n, game.counts.computed + budget
    chosen = np.zeros(n, bool)
    order: list[int] = []
    reached: list[float] = []
    last = np.full(n, -np.inf)
    while len(order) < n:
        left = np.flatnonzero(~chosen)
        tried = np.repeat(chosen[None], len(left), axis=0)
        tried[np.arange(len(left)), left] = True
        asked = np.unique(np.vstack([tried, ~tried]), axis=0)
        if new_among(game, asked) > end - game.counts.computed:
            break
        last[left] = found = objective(game, tried)
        best = int(np.argmax(found))
        chosen[left[best]] = True
        order.append(int(left[best]))
        reached.append(float(found[best]))
    left = np.flatnonzero(~chosen)
    rest = left[np.argsort(-last[left], kind="stable")]
    return np.concatenate([np.array(order, np.intp), rest]), reached, len(reached)


class Eagle(BlackBox):
    """Values by place in the greedy order, from 1 for the first player to 0 for the last; no unit, no sign.

    The objective is the sum over the answer's tokens in the published method, whose players are the picture's
    superpixels with the prompt held present; here the answer counts as a whole and all players take part. For
    pictures alone hold the text (``fixed={"text": True}``) and cut the picture ``slic``. ``provenance.extra`` has F
    after each step. The order looks at gains after what was chosen before, so of two players that say the same the
    second comes late.
    """

    name = "eagle"
    line = "greedy order by sufficiency and necessity"
    cost = "2n values for the first step, n(n + 1) for all"
    signed = False
    source = "EAGLE 2025: F(S) = Σ p(y|S) + Σ (1 − p(y|N∖S)), greedy"
    indices = ("EAGLE",)

    def default_budget(self, game: Game) -> int | None:
        """All steps, to 4,096 values."""
        return max(min(game.n * (game.n + 1) + (1 << len(game.players.parts)), 4096), self.least(game))

    def least(self, game: Game) -> int:
        """The first step."""
        return min(2 * game.n, 1 << min(game.n, 30))

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """Nothing is random: of equal players the first is taken."""
        del index, seed
        n = game.n
        order, reached, steps = greedy(game, budget)
        single = np.zeros(n)
        single[order] = np.arange(n - 1, -1, -1) / (n - 1) if n > 1 else 1.0
        notes = ["values are places in the greedy order, 1 for the first player and 0 for the last"]
        if steps < n:
            notes.append(f"the budget was enough for {steps:,} of {n:,} steps; the others follow by their last gain")
        return Found(single, np.zeros(n), notes=tuple(notes), extra={"objective": reached, "steps": steps})


EAGLE = Eagle()
