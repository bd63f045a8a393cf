"""What estimators share: checks of index and budget, and bookkeeping of the values still allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import Index

if TYPE_CHECKING:
    from chiasm.estimators.base import Estimator

#: most players whose coalitions are enumerated (2^20 values)
MOST_ENUMERATED = 20
#: most values of a Gaussian process: its time grows with their cube and its memory with their square (0.5 GB here)
MOST_VALUES = 8192


def family(index: Index) -> str:
    """Name of an index without its parameter: ``"WBII"`` for ``"WBII:0.3"``."""
    return index.name.partition(":")[0]


def check_index(estimator: Estimator, index: Index, reason: str = "") -> None:
    """Refuse an index that the estimator does not list.

    Args:
        estimator: the estimator that was asked.
        index: the index that is wanted.
        reason: a sentence that says why it cannot, for the message.

    Raises:
        InvalidInput: the index is not among ``estimator.indices``; the message names estimators that serve.
    """
    if family(index) not in estimator.indices:
        raise InvalidInput(
            f"The estimator {estimator.name!r} cannot estimate {index.name}; it serves {', '.join(estimator.indices)}."
            f"{' ' + reason if reason else ''} For {index.name} use {' or '.join(serving(index)) or 'another index'}."
        )


def serving(index: Index) -> list[str]:
    """Names of the registered estimators that serve an index, as far as they can be imported."""
    from chiasm.estimators import estimators  # the registry's package imports this one's siblings

    found = []
    for name in estimators:
        try:
            candidate = estimators.get(name)
        except ImportError:  # a third party's estimator whose own dependencies are missing
            continue
        if family(index) in candidate.indices:
            found.append(repr(name))
    return found


def rows(start: int, stop: int, n: int) -> Coalitions:
    """Rows start…stop−1 of `chiasm.core.coalitions.all_coalitions`, without building the others."""
    return ((np.arange(start, stop, dtype=np.int64)[:, None] >> np.arange(n)) & 1).astype(bool)


def missing(game: Game) -> int:
    """How many of all 2^n values (n ≤ 20) the game does not remember yet."""
    total, chunk = 1 << game.n, 1 << 14
    if game.counts.requested == 0:
        return total
    return total - sum(int(game.known(rows(k, min(k + chunk, total), game.n)).sum()) for k in range(0, total, chunk))


def new_among(game: Game, coalitions: Coalitions) -> int:
    """How many of some distinct coalitions the game does not remember yet."""
    return int((~game.known(coalitions)).sum())


def ends(n: int) -> Coalitions:
    """The empty and the full coalition, ``bool[2, n]``."""
    return np.stack([np.zeros(n, bool), np.ones(n, bool)])


class Purse:
    """The new values that an estimator may still compute.

    Args:
        game: the game that is asked.
        budget: new values allowed from now on.
    """

    def __init__(self, game: Game, budget: int) -> None:
        """Remember where the game's counter stands."""
        self._game = game
        self._end = game.counts.computed + budget

    @property
    def left(self) -> int:
        """New values that may still be computed."""
        return self._end - self._game.counts.computed
