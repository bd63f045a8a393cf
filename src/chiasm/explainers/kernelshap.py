"""KernelSHAP: Shapley values of single players by a weighted regression that keeps efficiency exactly."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np

from chiasm.core.coalitions import Coalitions, all_coalitions, distinct, of_size
from chiasm.core.game import Game
from chiasm.estimators.support import MOST_ENUMERATED
from chiasm.explainers.base import BlackBox, Floats, Found


def layers(n: int) -> list[tuple[int, float]]:
    """Sizes 1 … n/2, each with its complement's, and the share of the Shapley kernel's mass that both have.

    The kernel gives all coalitions of a size s together (n−1)/(s(n−s)) (Lundberg & Lee 2017, theorem 2).
    """
    sizes = range(1, n // 2 + 1)
    mass = np.array([(2 if 2 * s != n else 1) / (s * (n - s)) for s in sizes])
    return list(zip(sizes, (mass / mass.sum()).tolist(), strict=True))


def layer(n: int, size: int) -> Coalitions:
    """All coalitions of a size and their complements, each once."""
    found = np.zeros((comb(n, size), n), bool)
    for row, who in enumerate(combinations(range(n), size)):
        found[row, list(who)] = True
    return found if 2 * size == n else np.vstack([found, ~found])


def design(n: int, budget: int, rng: np.random.Generator) -> tuple[Coalitions, Floats]:
    """At most ``budget`` coalitions, neither empty nor whole, with regression weights.

    As in the published implementation: whole layers, from the outside in, while the budget has room for one at the
    rate that its share of the mass is worth; then random coalitions of the other layers with their complements,
    weighted by how often they were drawn. The outermost layer, n coalitions of one player and n of all but one, is
    always taken, so that the regression is determined.
    """
    masks, weights = np.zeros((0, n), bool), np.zeros(0)
    left, rest = budget, layers(n)
    while rest:
        size, share = rest[0]
        count = comb(n, size) * (2 if 2 * size != n else 1)
        remaining = sum(share for _, share in rest)
        if size > 1 and (count > left or left * share / remaining < count):
            break
        masks, weights = np.vstack([masks, layer(n, size)]), np.append(weights, np.full(count, share / count))
        left, rest = left - count, rest[1:]
    if rest and left >= 2:
        drawn, times = _drawn(n, left, rest, rng)
        masks = np.vstack([masks, drawn])
        weights = np.append(weights, times / times.sum() * sum(share for _, share in rest))
    return masks, weights


def _drawn(n: int, count: int, rest: list[tuple[int, float]], rng: np.random.Generator) -> tuple[Coalitions, Floats]:
    """About ``count`` distinct coalitions of the given layers, complements beside them, and how often each came."""
    sizes, shares = np.array([size for size, _ in rest]), np.array([share for _, share in rest])
    draws = of_size(rng.choice(sizes, 4 * count, p=shares / shares.sum()), n, rng)
    both = np.stack([draws, ~draws], axis=1).reshape(-1, n)
    first, inverse = distinct(both)
    # a coalition and its complement first occur together, or both have occurred before
    within = inverse < (count // 2) * 2
    cut = len(within) if within.all() else int(np.argmin(within)) // 2 * 2
    times = np.bincount(inverse[:cut], minlength=min(len(first), (count // 2) * 2)).astype(np.float64)
    times = times[times > 0]
    return both[first[: len(times)]], times


def solve(masks: Coalitions, gains: Floats, weights: Floats, total: float) -> Floats:
    """Least Σ w (gain − Σ_{i∈S} φ_i)² with Σ φ_i = total, by a Lagrange multiplier."""
    x = masks.astype(np.float64)
    inverse = np.linalg.pinv((x * weights[:, None]).T @ x, hermitian=True)
    free = inverse @ (x.T @ (weights * gains))
    ones = inverse.sum(axis=1)
    return np.asarray(free + ones * (total - free.sum()) / ones.sum(), np.float64)


class KernelShap(BlackBox):
    """Shapley values; exact where all 2^n values are within the budget, and for additive games at any budget.

    The values of the empty and the whole coalition, of infinite weight, are put in as constraints: efficiency holds
    exactly. For pairs as well, take the estimator ``kernelshap-iq``.
    """

    name = "kernelshap"
    line = "Shapley values by weighted regression, efficient at any budget"
    cost = "the budget, in values; at least 2n + 2"
    source = "Lundberg & Lee 2017, theorem 2"
    indices = ("SII",)

    def least(self, game: Game) -> int:
        """The ends and the outermost layer."""
        return min(2 * game.n + 2, 1 << min(game.n, 30))

    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """Sample, solve."""
        del index
        n, empty, full = game.n, game.empty(), game.full()
        if n == 1:
            return Found(np.array([full - empty]), np.zeros(1))
        every = n <= MOST_ENUMERATED and 1 << n <= budget
        if every:
            masks = all_coalitions(n)[1:-1]
            size = masks.sum(axis=1)
            counts = np.array([comb(n, int(s)) for s in range(n + 1)], np.float64)
            weights = (n - 1) / (counts[size] * size * (n - size))
        else:
            masks, weights = design(n, budget - 2, np.random.default_rng(seed))
        single = solve(masks, game(masks) - empty, weights, full - empty)
        return Found(single, np.zeros(n) if every else None)


KERNELSHAP = KernelShap()
