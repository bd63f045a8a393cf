"""Occlusion: hide one player, or show only one."""

from __future__ import annotations

import numpy as np

from chiasm.core.game import Game
from chiasm.explainers.base import BlackBox, Found


class Occlusion(BlackBox):
    """φ_i = v(N) − v(N∖i): what is lost when the player is hidden and all others are shown (Zeiler & Fergus 2014).

    It sees nothing of what another player can stand in for: of two players that each suffice, both get 0.
    """

    name = "occlusion"
    line = "what is lost when one player is hidden"
    cost = "n + 1 values"
    source = "Zeiler & Fergus 2014: v(N) − v(N∖i)"
    indices = ("leave-one-out",)

    def default_budget(self, game: Game) -> int | None:
        """What it needs, with the values of whole parts."""
        return self.least(game) + (1 << len(game.players.parts))

    def least(self, game: Game) -> int:
        """The whole and one value a player."""
        return game.n + 1

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """The budget beyond what is needed is not used, and nothing is random."""
        del index, budget, seed
        values = game(np.vstack([np.ones((1, game.n), bool), ~np.eye(game.n, dtype=bool)]))
        return Found(values[0] - values[1:], np.zeros(game.n))


class KeepOneIn(Occlusion):
    """φ_i = v({i}) − v(∅): what the player gives with all others hidden.

    It sees nothing of what works only together: of two players that are needed both, each gets 0.
    """

    name = "keep-one-in"
    line = "what one player alone gives"
    source = "occlusion turned round: v({i}) − v(∅)"
    indices = ("keep-one-in",)

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """As above."""
        del index, budget, seed
        values = game(np.vstack([np.zeros((1, game.n), bool), np.eye(game.n, dtype=bool)]))
        return Found(values[1:] - values[0], np.zeros(game.n))


OCCLUSION, KEEP_ONE_IN = Occlusion(), KeepOneIn()
