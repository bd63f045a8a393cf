"""RISE: random masks over the players of all parts at once, and the mean value of those that show a player."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from chiasm.core.coalitions import all_coalitions
from chiasm.core.game import Game
from chiasm.estimators.support import MOST_ENUMERATED
from chiasm.explainers.base import BlackBox, Floats, Found

#: masks below which a mean says nothing
_LEAST = 8


@dataclass(frozen=True)
class Rise(BlackBox):
    """φ_i = Σ_k v(M_k) M_ki / (K·E[M_i]), the mean value where the player is shown (Petsiuk et al. 2018, eq. 6).

    Masks show each player with probability p, all parts in one mask. Normalised by the expected mask, so that it is
    unbiased. The published method draws coarse grids and shifts and smooths them; here the players are the grid.
    Values are means of v and not differences: only their order within one explanation says something.

    Attributes:
        p: probability that a mask shows a player.
    """

    p: float = 0.5

    name = "rise"
    line = "mean value under random masks that keep the player"
    cost = "the budget, in masks"
    signed = False
    source = "Petsiuk, Das & Saenko 2018, eq. 6"
    indices = ("RISE",)

    def least(self, game: Game) -> int:
        """A few masks, or all there are."""
        return min(_LEAST, 1 << min(game.n, 30))

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """Every mask once, weighted by its probability, where the budget allows; else as many as it allows."""
        del index
        if game.n <= MOST_ENUMERATED and 1 << game.n <= budget:
            masks = all_coalitions(game.n)
            size = masks.sum(axis=1)
            return Found((self.p**size * (1 - self.p) ** (game.n - size)) @ self.terms(game, masks), np.zeros(game.n))
        masks = np.random.default_rng(seed).random((budget, game.n)) < self.p
        terms = self.terms(game, masks)
        return Found(terms.mean(axis=0), terms.std(axis=0, ddof=1) / np.sqrt(budget))

    def terms(self, game: Game, masks: np.ndarray) -> Floats:
        """``float64[masks, n]``, whose mean is the answer."""
        return np.asarray(game(masks)[:, None] * masks / self.p, np.float64)


@dataclass(frozen=True)
class RiseSigned(Rise):
    """φ_i = E[v | i shown] − E[v | i hidden], estimated by Σ_k v(M_k)(M_ki − p) / (K·p(1 − p)).

    At p = ½ it is the Banzhaf value, at any other p the weighted one. The mean of v is taken off first, which costs
    a factor 1 − 1/K of the value, put back, and saves most of the variance.
    """

    name = "rise-signed"
    line = "mean value under masks that keep the player, less that under masks that hide it"
    signed = True
    source = "Petsiuk, Das & Saenko 2018, as a difference"
    indices = ("RISE-signed",)

    def terms(self, game: Game, masks: np.ndarray) -> Floats:
        """Each mask's product of the two deviations."""
        values, k = game(masks), len(masks)
        every = game.n <= MOST_ENUMERATED and k == 1 << game.n
        centred = values if every else (values - values.mean()) * (k / (k - 1))
        return np.asarray(centred[:, None] * (masks - self.p) / (self.p * (1 - self.p)), np.float64)


RISE, RISE_SIGNED = Rise(), RiseSigned()
