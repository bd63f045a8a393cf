"""The oracle: all 2^n values, from which every index follows without error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from chiasm.core import indices
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.base import Estimate
from chiasm.estimators.support import MOST_ENUMERATED, check_index, missing, rows

#: least rows a call: the game splits them into batches of its own, so that progress shows at any size
_CHUNK = 4096


@dataclass
class Exact:
    """Every coalition is evaluated; see `chiasm.core.indices.exact` for the formulas.

    Attributes:
        name: ``"exact"``.
        indices: every index that Chiasm knows.
    """

    name: str = "exact"
    indices: tuple[str, ...] = ("SII", "BII", "WBII", "STII", "FSII", "Moebius")

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield once, with standard errors of zero. The seed plays no part.

        Memory: 8·2^n bytes for the values, beside the game's own cache.

        Raises:
            InvalidInput: more than 20 players, or an index that is not Chiasm's.
            BudgetTooSmall: fewer values are allowed than are still unknown.
        """
        del seed
        check_index(self, index)
        n = game.n
        if n > MOST_ENUMERATED:
            raise InvalidInput(
                f"Exact values of {n} players need 2^{n} = {2**n:,} values of the game; at most {MOST_ENUMERATED} "
                f"players are enumerated. Use the estimator 'permutation' or 'kernelshap-iq', or fewer players."
            )
        if budget < 2**n and budget < (needed := missing(game)):
            raise BudgetTooSmall(
                f"Exact values of {n} players need {2**n:,} values of the game, {needed:,} of them new; the budget "
                f"allows {budget:,}. Raise the budget or use the estimator 'permutation'."
            )
        return self._run(game, index)

    def _run(self, game: Game, index: Index) -> Iterator[Estimate]:
        total = 1 << game.n
        step = max(game.values_per_call, _CHUNK)
        table = np.empty(total, np.float64)
        for start in range(0, total, step):
            stop = min(start + step, total)
            table[start:stop] = game(rows(start, stop, game.n))
        single, pair = indices.exact(table, index)
        yield Estimate(single, pair, np.zeros_like(single), np.zeros_like(pair))


#: the estimator ``"exact"``
EXACT = Exact()
