"""EMAP of one sample: the closest game without interplay between parts, and what a player gives in it.

EMAP (Hessel & Lee 2020, eq. 2) projects a model onto functions that add up over the parts of a sample:
f̂(x_1, x_2) = E_{x_2} f + E_{x_1} f − E f, with means over the other samples of a data set. For one sample, the other
samples are backgrounds: the same parts with each player hidden with probability ½. The game's projection is
v̂(S) = Σ_p E_B[v(S_p ∪ B_−p)] − (P − 1) E_B[v(B)], S_p the players of part p in S, B_−p a background of all others.
"""

from __future__ import annotations

import numpy as np

from chiasm.core.coalitions import Coalitions, all_coalitions
from chiasm.core.game import Game
from chiasm.estimators.support import MOST_ENUMERATED
from chiasm.explainers.base import BlackBox, Floats, Found


def crossed(game: Game, part: str, own: Coalitions, others: Coalitions) -> Floats:
    """Values of masks of one part with backgrounds of the others.

    Args:
        game: the game.
        part: name of the part.
        own: ``bool[a, players of the part]``.
        others: ``bool[b, n]``, whose columns of this part are not used.

    Returns:
        ``float64[a, b]``.
    """
    masks = np.repeat(others[None], len(own), axis=0)
    masks[:, :, game.players.slices[part]] = own[:, None, :]
    return game(masks.reshape(-1, game.n)).reshape(len(own), len(others))


class Emap(BlackBox):
    """φ_i = v̂(N) − v̂(N∖i) of the projected game: occlusion of what a part gives without interplay with the others.

    The mean over backgrounds of v(N_p ∪ B) − v(N_p∖i ∪ B). Interplay within a part stays in. ``provenance.extra``
    has v̂(N) as ``additive`` and v(N) − v̂(N) as ``interplay``: what the sample owes to combinations of its parts.
    """

    name = "emap"
    line = "occlusion of the closest game without interplay of parts"
    cost = "Σ (players of a part + 1)·R + R² values, R backgrounds"
    source = "Hessel & Lee 2020, eq. 2, at one sample"
    indices = ("EMAP",)

    def least(self, game: Game) -> int:
        """Two backgrounds, or all values."""
        return min(self._price(game, 2), 1 << min(game.n, 30))

    @staticmethod
    def _price(game: Game, backgrounds: int) -> int:
        """Values that some backgrounds cost."""
        if len(_parts(game)) == 1:
            return game.n + 1
        return (game.n + len(_parts(game))) * backgrounds + backgrounds**2 + 1

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """All backgrounds where the budget allows, else random ones."""
        del index
        parts, n = _parts(game), game.n
        every = (n <= MOST_ENUMERATED and 1 << n <= budget) or len(parts) == 1
        if len(parts) == 1:
            backgrounds = np.zeros((1, n), bool)
        elif every:
            backgrounds = all_coalitions(n)
        else:
            count = 2
            while self._price(game, count + 1) <= budget:
                count += 1
            backgrounds = np.random.default_rng(seed).random((count, n)) < 0.5
        single, errors, whole = np.zeros(n), np.zeros(n), 0.0
        for part in parts:
            k = len(game.players[part])
            others = backgrounds
            if every:  # each background of the others once
                others = backgrounds[~backgrounds[:, game.players.slices[part]].any(axis=1)]
            table = crossed(game, part, np.vstack([np.ones((1, k), bool), ~np.eye(k, dtype=bool)]), others)
            lost = table[0] - table[1:]
            single[game.players.slices[part]] = lost.mean(axis=1)
            if not every:
                errors[game.players.slices[part]] = lost.std(axis=1, ddof=1) / np.sqrt(len(backgrounds))
            whole += float(table[0].mean())
        if len(parts) > 1:
            first = game.players.slices[parts[0]]
            grid = game(backgrounds) if every else crossed(game, parts[0], backgrounds[:, first], backgrounds)
            whole -= (len(parts) - 1) * float(grid.mean())
        full = game.full()
        extra = {"additive": whole, "interplay": full - whole, "backgrounds": len(backgrounds)}
        note = f"without interplay of parts the value would be {whole:.4g} in place of {full:.4g}"
        return Found(single, errors, notes=(note,), extra=extra)


def _parts(game: Game) -> list[str]:
    """Parts that have players."""
    return [name for name, part in game.players.parts.items() if len(part)]


EMAP = Emap()
