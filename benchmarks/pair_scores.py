"""How close estimated pair values are to exact ones; needs numpy and scipy alone, so that peers can be scored alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

TOP = 10
"""The pairs of largest absolute value whose finding is counted."""


def pair_scores(pair: NDArray[np.float64], exact: NDArray[np.float64]) -> dict[str, float]:
    """Scores of pairs across parts, ``float64[first, second]`` each; a pair without an estimate counts as 0.

    Returns:
        ``error``: Σ(estimate − exact)²/Σ exact²; ``rank``: Spearman's correlation (0 where all estimates are equal);
        ``top``: share of the `TOP` pairs of largest absolute value that are among those of largest absolute estimate.
    """
    found, truth = np.nan_to_num(pair).ravel(), exact.ravel()
    a, b = rankdata(found), rankdata(truth)
    spread = a.std() * b.std()
    rank = float(((a - a.mean()) * (b - b.mean())).mean() / spread) if spread > 0 else 0.0
    count = min(TOP, len(truth))
    first, wanted = np.argsort(-np.abs(found), kind="stable")[:count], np.argsort(-np.abs(truth), kind="stable")[:count]
    return {
        "error": float(((found - truth) ** 2).sum() / (truth**2).sum()),
        "rank": rank,
        "top": len(set(first.tolist()) & set(wanted.tolist())) / count,
    }
