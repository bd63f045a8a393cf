"""What goes with right answers: how well a number of each sample tells right ones from wrong ones."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from chiasm.statistics.bootstrap import Figure

Floats = NDArray[np.float64]
#: levels that a number is cut into, at its quantiles; where it has no more values, it is exact
LEVELS: Final = 64
#: fewest right and wrong answers
FEWEST: Final = 10


def auroc(score: Floats, right: Floats) -> tuple[Floats, Figure] | None:
    """The area under the ROC curve as a figure of sums, so that the bootstrap can draw it anew.

    It is the probability that a right answer has a larger score than a wrong one, ties counting half (Hanley & McNeil
    1982), of scores cut into `LEVELS`.

    Args:
        score: ``float64[rows]``, NaN where a row has none.
        right: 1, 0, or NaN, ``float64[rows]``.

    Returns:
        Columns ``float64[rows, 2 · levels]`` and the figure; ``None`` with fewer than `FEWEST` of either.
    """
    there = np.isfinite(score) & np.isfinite(right)
    if min((right[there] == 1).sum(), (right[there] == 0).sum()) < FEWEST:
        return None
    values = np.unique(score[there])
    if len(values) > LEVELS:
        values = np.unique(np.quantile(score[there], np.linspace(0, 1, LEVELS + 1)[1:-1]))
    level = np.searchsorted(values, np.where(there, score, 0.0), side="left")
    size = int(level[there].max()) + 1
    one_hot = np.eye(size)[np.minimum(level, size - 1)] * there[:, None]
    columns = np.concatenate([one_hot * (right == 1)[:, None], one_hot * (right == 0)[:, None]], axis=1)

    def figure(sums: Floats) -> Floats:
        good, bad = sums[..., :size], sums[..., size:]
        below = np.cumsum(bad, axis=-1) - bad
        won = (good * (below + bad / 2)).sum(axis=-1)
        games = good.sum(axis=-1) * bad.sum(axis=-1)
        return np.asarray(np.divide(won, games, out=np.full_like(won, np.nan), where=games > 0), np.float64)

    return columns, figure
