"""Crossed Monte Carlo: unbiased estimates from grids of random masks, without a model of the game.

At a node q of the index's measure, masks of each part are drawn independently, every player present with probability
q. With V the values on the grid of m_1 × m_2 masks and Z_p the masks,

    φ̂(q) = Z̃_1ᵀ V Z̃_2 / ((m_1 − 1)(m_2 − 1) q²(1 − q)²),    Z̃ = Z less its column means,

estimates E[Δ_ij] for all pairs of the two parts at once: centring removes all that one part does by itself and costs
no bias, as a sample covariance is unbiased. Single players and pairs within a part come from the rows' and columns'
means in the same way. Gauss-Legendre nodes make up the index. The whole is repeated with fresh masks; the spread of the
repetitions gives the standard errors.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import BudgetTooSmall
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.base import Estimate
from chiasm.estimators.crossed import crossed_parts, grid_coalitions, shape_of
from chiasm.estimators.exact import EXACT
from chiasm.estimators.gp_indices import measures
from chiasm.estimators.moderated import Means
from chiasm.estimators.support import MOST_ENUMERATED, check_index, family, missing

Floats = NDArray[np.float64]

#: most nodes of the measure: exact for games of Möbius order 10
_NODES = 6
#: fewest and most repetitions, and values of one grid from which there are more of them
_REPEATS, _MOST_REPEATS, _ENOUGH = 4, 32, 144
#: fewest masks of a part in a grid
_LEAST = 2


@dataclass
class CrossedSampling:
    """Sample covariances on crossed random masks.

    Unbiased for games of Möbius order up to 10 (for every order at up to 10 players), whatever else the game is like.
    Where standard errors must not lean on a model of the game, this is the estimator; ``crossed`` is much closer.

    Attributes:
        name: ``"crossed-sampling"``.
        indices: all but Möbius coefficients.
    """

    name: str = "crossed-sampling"
    indices: tuple[str, ...] = ("SII", "BII", "WBII", "STII", "FSII")

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield after each repetition from the second on.

        Raises:
            InvalidInput: an index that it does not serve, or a game of one part.
            BudgetTooSmall: fewer values than the smallest grids take.
        """
        check_index(self, index)
        if game.n <= MOST_ENUMERATED and 2**game.n <= budget + game.counts.computed and missing(game) <= budget:
            return EXACT.run(game, index, budget, seed)
        parts = crossed_parts(game, self.name)
        nodes = len(measures(index, game.n, _NODES)[1].q)
        own = game.n + 1 if family(index) == "STII" else 0
        needed = own + _REPEATS * nodes * _LEAST ** len(parts)
        if budget < needed:
            raise BudgetTooSmall(
                f"The estimator {self.name!r} needs at least {needed} values for {index.name} of {game.n} players; "
                f"the budget allows {budget}."
            )
        repeats = min(max((budget - own) // (nodes * _ENOUGH), _REPEATS), _MOST_REPEATS)
        shape = shape_of(game, parts, (budget - own) // (repeats * nodes), _LEAST, 1 << 12)
        return _sampled(game, index, parts, shape, repeats=repeats, seed=seed)


def _sampled(
    game: Game, index: Index, parts: list[str], shape: list[int], *, repeats: int, seed: int
) -> Iterator[Estimate]:
    rng = np.random.default_rng([seed, game.n, 3])
    n, alone = game.n, family(index) == "STII"
    one, two = measures(index, n, _NODES)
    kinds = np.array([0] * n + [1] * (n * n))
    collected = Means(kinds)
    known = _derivatives_at_empty(game) if alone else None
    ones = np.ones(len(kinds), np.int64)
    for repeat in range(repeats):
        total = np.zeros(len(kinds))
        for node, q in enumerate(two.q):
            single, pair = grid_estimate(game, parts, shape, float(q), rng)
            if not alone:  # both measures then have the same nodes
                total[:n] += one.w[node] * single
            total[n:] += two.w[node] * pair.ravel()
        collected.add(total, ones)
        if repeat + 1 < min(_REPEATS, repeats):
            continue
        mean, error = collected.mean(), collected.error()
        pair, pair_errors = mean[n:].reshape(n, n), error[n:].reshape(n, n)
        for square in (pair, pair_errors):
            np.fill_diagonal(square, 0.0)
        if known is None:
            yield Estimate(mean[:n], pair, error[:n], pair_errors)
        else:
            yield Estimate(known, pair, np.zeros(n), pair_errors)


def _derivatives_at_empty(game: Game) -> Floats:
    values = game(np.concatenate([np.zeros((1, game.n), bool), np.eye(game.n, dtype=bool)]))
    return np.asarray(values[1:] - values[0], np.float64)


def grid_estimate(
    game: Game, parts: list[str], shape: list[int], q: float, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Unbiased estimates of E[∂_i v] and E[Δ_ij v] over coalitions that hold every player with probability q.

    Args:
        game: the game.
        parts: its parts with free players.
        shape: masks of each part, at least 2.
        q: probability of presence.
        rng: where masks are drawn from.

    Returns:
        ``float64[n]`` and ``float64[n, n]``, the diagonal without meaning.
    """
    slices = [game.players.slices[part] for part in parts]
    masks = [rng.random((m, where.stop - where.start)) < q for m, where in zip(shape, slices, strict=True)]
    values = game(grid_coalitions(game, parts, masks)).reshape(shape)
    spread = q * (1 - q)
    # scores: covariance with them is a mean derivative, as E[(z − q) v] = q(1 − q) E[∂v]
    scores = [(own - own.mean(0)) / spread for own in masks]
    single, pair = np.zeros(game.n), np.zeros((game.n, game.n))
    for p, (where, score, own) in enumerate(zip(slices, scores, masks, strict=True)):
        others = tuple(k for k in range(len(parts)) if k != p)
        profile = values.mean(axis=others)
        profile = (profile - profile.mean()) / (len(profile) - 1)
        single[where] = score.T @ profile
        exact = (own - q) / spread  # products of two scores have mean 0 only about the true rate
        pair[where, where] = (exact * profile[:, None]).T @ exact
    for a, b in itertools.combinations(range(len(parts)), 2):
        table = values.mean(axis=tuple(k for k in range(len(parts)) if k not in (a, b)))
        block = scores[a].T @ table @ scores[b] / prod(len(masks[k]) - 1 for k in (a, b))
        pair[slices[a], slices[b]], pair[slices[b], slices[a]] = block, block.T
    return single, pair


#: the estimator ``"crossed-sampling"``
CROSSED_SAMPLING = CrossedSampling()
