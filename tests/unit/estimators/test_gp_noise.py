"""Values that carry noise of their own, of a variance that the game tells."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.game import Game
from chiasm.core.indices import index
from chiasm.core.players import Players
from chiasm.estimators.gaussian_process import GP, from_values
from chiasm.estimators.gp_kernel import Kernel, Posterior, fit, objective
from chiasm.testing.games import sparse_polynomial

SIZES = {"a": 8, "b": 6}
N = 14


class Noisy:
    """A game of which some values are drawn by chance, once for each coalition, with variances that it tells or not."""

    def __init__(self, seed: int, *, tells: bool, sd: float = 1.0) -> None:
        self.known, self.seed, self.sd = sparse_polynomial(N, seed), seed, sd
        if tells:
            self.variances = self._variances

    def _variances(self, coalitions: np.ndarray) -> np.ndarray:
        return np.where(coalitions[:, 0] ^ coalitions[:, 9], self.sd**2, 1e-6)

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        bits = coalitions @ (1 << np.arange(N))
        draws = np.array([np.random.default_rng([self.seed, int(one)]).normal() for one in bits])
        return self.known.values(coalitions) + np.sqrt(self._variances(coalitions)) * draws

    def estimate(self, budget: int = 260):
        *_, found = GP.run(Game(self, Players.abstract(SIZES)), index("SII"), budget, 0)
        return found


def test_the_posterior_is_that_of_a_normal_distribution_with_these_variances() -> None:
    rng = np.random.default_rng(0)
    x = (rng.random((40, 6)) < 0.5).astype(float)
    x = np.unique(x, axis=0)
    values, own = rng.normal(size=len(x)), rng.random(len(x))
    kernel = Kernel.start(6)
    posterior = Posterior(kernel, x, values, own)
    scale = values.std()
    covariance = kernel.covariance(x, x) + np.diag(kernel.noise + own / scale**2)
    at = (rng.random((5, 6)) < 0.5).astype(float)
    expected = values.mean() + scale * kernel.covariance(at, x) @ np.linalg.solve(
        covariance, (values - values.mean()) / scale
    )
    assert posterior.predict(at)[0] == pytest.approx(expected)


def test_the_gradient_knows_of_the_noise() -> None:
    rng = np.random.default_rng(1)
    x = np.unique((rng.random((30, 5)) < 0.5).astype(float), axis=0)
    z, own = rng.normal(size=len(x)), 2 * rng.random(len(x))
    start = Kernel.start(5).pack() + 0.05 * rng.random(len(Kernel.start(5).pack()))
    slope = scipy.optimize.approx_fprime(start, lambda at: objective(at, x, z, own)[0], 1e-6)
    assert objective(start, x, z, own)[1] == pytest.approx(slope, rel=1e-3, abs=1e-4)
    assert objective(start, x, z, own)[0] != objective(start, x, z)[0]
    assert fit(Kernel.start(5), x, z, 5, own).log_noise != fit(Kernel.start(5), x, z, 5).log_noise


def test_told_noise_weighs_values_and_the_estimate_is_better_and_honest() -> None:
    ratios, covered = [], []
    for seed in range(3):
        exact = sparse_polynomial(N, seed).exact("SII")[1][:8, 8:]
        errors = {}
        for tells in (False, True):
            found = Noisy(seed, tells=tells).estimate()
            off = found.pair[:8, 8:] - exact
            errors[tells] = float((off**2).sum())
            if tells:
                covered.append(float((np.abs(off) <= 1.96 * found.pair_errors[:8, 8:]).mean()))
        ratios.append(errors[True] / errors[False])
    assert np.exp(np.log(ratios).mean()) < 0.8
    assert np.mean(covered) > 0.85


def test_without_noise_nothing_changes() -> None:
    known = sparse_polynomial(N, 3)

    class Silent:
        def __call__(self, coalitions):
            return known.values(coalitions)

        def variances(self, coalitions):
            return np.zeros(len(coalitions))

    *_, one = GP.run(Game(Silent(), Players.abstract(SIZES)), index("SII"), 200, 0)
    *_, other = GP.run(Game(known.values, Players.abstract(SIZES)), index("SII"), 200, 0)
    assert (one.pair == other.pair).all()


def test_a_game_on_a_game_and_fixed_players_pass_variances_on() -> None:
    noisy = Noisy(0, tells=True)
    inner = Game(noisy, Players.abstract(SIZES))
    outer = Game(inner, Players.abstract(SIZES), fixed={"a": True})
    coalitions = np.array([[True] * 6, [True, False, True, True, True, True]])
    assert outer.variances(coalitions) == pytest.approx([1e-6, 1.0])
    assert Game(noisy.known.values, Players.abstract(SIZES)).variances(np.ones((3, N), bool)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("told", [[-1.0], [np.nan], [1.0, 2.0]])
def test_impossible_variances_are_refused(told: list[float]) -> None:
    noisy = Noisy(0, tells=True)
    noisy.variances = lambda _: np.array(told)
    with pytest.raises(ModelError, match="variances"):
        Game(noisy, Players.abstract(SIZES)).variances(np.ones((1, N), bool))


def test_values_that_are_there_may_have_variances_too() -> None:
    rng = np.random.default_rng(0)
    coalitions = np.unique(rng.random((120, N)) < 0.5, axis=0)
    noisy = Noisy(1, tells=True)
    values, variances = noisy(coalitions), noisy.variances(coalitions)
    exact = noisy.known.exact("SII")[1][:8, 8:]
    told, untold = (from_values(coalitions, values, variances=v).pair[:8, 8:] for v in (variances, None))
    assert ((told - exact) ** 2).sum() < ((untold - exact) ** 2).sum()
    with pytest.raises(InvalidInput, match="Variances have shape"):
        from_values(coalitions, values, variances=-variances)
