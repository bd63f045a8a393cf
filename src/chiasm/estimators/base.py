"""What an estimator is: a game, an index and a budget in; index values with standard errors out, again and again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chiasm.core.game import Game
from chiasm.core.indices import Index

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Estimate:
    """Index values after some of the budget.

    Attributes:
        single: ``float64[n]``.
        pair: ``float64[n, n]``, symmetric, zero diagonal; NaN for a pair of which nothing is known yet.
        single_errors, pair_errors: standard errors of the same shapes, or ``None`` where the method has none.
    """

    single: Floats
    pair: Floats
    single_errors: Floats | None = None
    pair_errors: Floats | None = None


class Estimator(Protocol):
    """Estimates an index of a game.

    Attributes:
        name: as in the registry.
        indices: names of the indices it can estimate (``"WBII"`` stands for every ``WBII:p``).
    """

    name: str
    indices: tuple[str, ...]

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield after every batch; the last estimate is the best.

        At most ``budget`` distinct values are computed (``game.allowance`` is in force around it). The same seed gives
        the same numbers.

        Raises:
            InvalidInput: an index it cannot estimate.
            BudgetTooSmall: the budget is below what one estimate needs; the message says how much is needed.
        """
        ...
