"""MM-SHAP: Shapley values of all players in one game, and each part's share of their absolute sum."""

from __future__ import annotations

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.explainers.base import BlackBox, Floats, Found


def shares(players: Players, single: Floats) -> dict[str, float]:
    """Part → its Σ|φ_i| over that of all players; equal where every value is 0 (Parcalabescu & Frank 2023, eq. 3)."""
    sums = {part: float(np.abs(single[where]).sum()) for part, where in players.slices.items()}
    total = sum(sums.values())
    return {part: value / total if total > 0 else 1 / len(sums) for part, value in sums.items()}


def along(orders: np.ndarray) -> Coalitions:
    """Orders ``int[k, n]`` → the n + 1 coalitions on the way from empty to whole, ``bool[k, n + 1, n]``."""
    rank = np.argsort(orders, axis=1)
    return np.asarray(rank[:, None, :] < np.arange(orders.shape[1] + 1)[None, :, None], bool)


class MmShap(BlackBox):
    """Shapley values from random orders, each walked there and back, and the parts' shares in ``provenance.extra``.

    A share counts absolute values, so noise raises the share of the part with more players and weaker values: look at
    the standard errors before reading it. The sum over players is exactly v(N) − v(∅).
    """

    name = "mm-shap"
    line = "Shapley values from random orders, and each part's share of their absolute sum"
    cost = "2(n − 1) values an order"
    source = "Parcalabescu & Frank 2023, eq. 1–3"
    indices = ("SII",)

    def least(self, game: Game) -> int:
        """The ends, and one order there and back."""
        return min(2 * max(game.n, 2), 1 << min(game.n, 30))

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """Walk as many orders as the budget pays for."""
        del index
        n = game.n
        count = max(1, (budget - 2) // max(1, 2 * (n - 1))) if n > 1 else 1
        orders = np.argsort(np.random.default_rng(seed).random((count, n)), axis=1)
        drawn = np.zeros((count, n))
        for k, order in enumerate(orders):
            for way in (order, order[::-1]):
                drawn[k, way] += np.diff(game(along(way[None])[0])) / 2
        single = drawn.mean(axis=0)
        errors = drawn.std(axis=0, ddof=1) / np.sqrt(count) if count > 1 else None
        share = shares(game.players, single)
        told = ", ".join(f"{part} {value:.0%}" for part, value in share.items())
        extra = {"shares": share, "orders": 2 * count}
        return Found(single, errors, notes=(f"shares of the sum of absolute values: {told}",), extra=extra)


MM_SHAP = MmShap()
