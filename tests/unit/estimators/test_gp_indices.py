"""Closed forms of the surrogate's indices agree with enumeration; gradients with finite differences."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core import indices
from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput
from chiasm.estimators.gp_indices import Tilt, errors, means, measures
from chiasm.estimators.gp_kernel import MEMBERS, Kernel, Posterior, fit, objective

NAMES = ["SII", "BII", "WBII:0.3", "STII", "FSII", "Moebius"]


def a_kernel(n, seed=0):
    rng = np.random.default_rng(seed)
    gates = np.abs(rng.normal(0, 0.4, (2, n)))
    return Kernel(np.exp(rng.normal(-1, 0.7, n)), rng.normal(0, 0.5, MEMBERS), gates, -4.0)


def a_posterior(n, seed=0, m=12):
    rng = np.random.default_rng(seed)
    coalitions = all_coalitions(n)[rng.permutation(2**n)[: min(m, 2**n - 1)]].astype(float)
    return Posterior(a_kernel(n, seed), coalitions, rng.normal(3, 2, len(coalitions)))


def everywhere(n):
    return all_coalitions(n).astype(float)


def functional(n, name):
    """Matrices that take a table of 2^n values to the single and to the flattened pair values."""
    tables = [indices.exact(row, indices.index(name)) for row in np.eye(2**n)]
    return np.array([s for s, _ in tables]).T, np.array([p.ravel() for _, p in tables]).T


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 3, 6, 10])
def test_means_are_those_of_the_enumerated_surrogate(name, n):
    posterior = a_posterior(n, seed=n)
    table, _ = posterior.predict(everywhere(n))
    wanted_single, wanted_pair = indices.exact(table, indices.index(name))
    single, pair = means(posterior, indices.index(name))
    np.testing.assert_allclose(single, wanted_single, atol=1e-10)
    np.testing.assert_allclose(pair, wanted_pair, atol=1e-10)
    np.testing.assert_array_equal(pair, pair.T)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("n", [2, 5, 7])
def test_errors_are_those_of_the_enumerated_posterior(name, n):
    posterior = a_posterior(n, seed=n)
    kernel, x = posterior.kernel, everywhere(n)
    white = posterior.whiten(kernel.covariance(posterior.coalitions, x))
    covariance = posterior.scale**2 * (kernel.covariance(x, x) - white.T @ white)
    single, pair = errors(posterior, indices.index(name))
    for found, form in zip((single, pair.ravel()), functional(n, name), strict=True):
        wanted = np.sqrt(np.maximum(np.einsum("is,st,it->i", form, covariance, form), 0))
        np.testing.assert_allclose(found, wanted, atol=1e-7)
    np.testing.assert_array_equal(pair, pair.T)


def test_the_measures_have_mass_one_and_unknown_indices_have_none():
    for name in NAMES:
        for measure in measures(indices.index(name), 9):
            assert measure.w.sum() == pytest.approx(1)
    with pytest.raises(InvalidInput, match="NOSUCH"):
        measures(indices.Index("NOSUCH", indices.uniform, indices.uniform, ""), 4)


def test_the_gradient_is_that_of_finite_differences():
    n, rng = 5, np.random.default_rng(0)
    coalitions, z = everywhere(n)[rng.permutation(32)[:20]], rng.normal(size=20)
    x = a_kernel(n).pack()
    _, gradient = objective(x, coalitions, z)
    step = 1e-6
    for k, unit in enumerate(np.eye(len(x))):
        up, down = (objective(x + sign * step * unit, coalitions, z)[0] for sign in (1, -1))
        assert gradient[k] == pytest.approx((up - down) / (2 * step), rel=1e-5, abs=1e-6)


def test_the_covariance_is_the_sum_of_its_members():
    kernel, x = a_kernel(5), everywhere(5)
    members, absent = kernel.members, 1 - everywhere(5)
    total = np.zeros((32, 32))
    for amplitude, both, one, none in zip(members.log_amplitude, members.both, members.one, members.none, strict=True):
        mixed = (x * one) @ absent.T
        total += np.exp(amplitude + (x * both) @ x.T + mixed + mixed.T + (absent * none) @ absent.T)
    np.testing.assert_allclose(kernel.covariance(x, x), total, rtol=1e-12)
    np.testing.assert_allclose(kernel.variance(x), np.diagonal(total), rtol=1e-12)


@pytest.mark.parametrize("name", ["SII", "STII", "FSII"])
def test_tilted_errors_are_those_of_the_enumerated_posterior(name):
    """A functional whose weights are the index's times a sum of products."""
    n, rng = 6, np.random.default_rng(4)
    posterior, x = a_posterior(n, seed=1), everywhere(n)
    tilt = Tilt(np.array([0.5, 0.2]), np.exp(rng.normal(0, 0.4, (2, n))))
    slopes = np.exp(x @ np.log(tilt.gamma).T) @ tilt.weight
    white = posterior.whiten(posterior.kernel.covariance(posterior.coalitions, x))
    covariance = posterior.scale**2 * (posterior.kernel.covariance(x, x) - white.T @ white)
    single, pair = errors(posterior, indices.index(name), tilt)
    for found, form in zip((single, pair.ravel()), functional(n, name), strict=True):
        tilted = form * slopes
        wanted = np.sqrt(np.maximum(np.einsum("is,st,it->i", tilted, covariance, tilted), 0))
        np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_packing_round_trips():
    kernel = a_kernel(4)
    np.testing.assert_allclose(Kernel.unpack(kernel.pack()).pack(), kernel.pack(), rtol=1e-14)


def test_the_fit_finds_which_players_matter():
    n, rng = 8, np.random.default_rng(0)
    coalitions = everywhere(n)[rng.permutation(256)[:100]]
    values = coalitions[:, 0] - coalitions[:, 3] + 2 * coalitions[:, 0] * coalitions[:, 3]
    z = (values - values.mean()) / values.std()
    before, after = Kernel.start(n), fit(Kernel.start(n), coalitions, z, 40)
    assert objective(after.pack(), coalitions, z)[0] < objective(before.pack(), coalitions, z)[0]
    influence = after.theta + after.gates.sum(0)
    assert set(np.argsort(-influence)[:2]) == {0, 3}
    assert influence[[1, 2, 4, 5, 6, 7]].max() < 0.05 * influence.min(initial=9.0, where=influence > 0.5)


def test_the_fit_finds_that_only_the_absence_of_all_words_matters():
    """No single word matters, a text without words does: what the gated members are for."""
    n = 12
    every = everywhere(n)
    values = every[:, 0] + 2.0 * every[:, 1] + 3.0 * every[:, 6:].any(1)
    rng = np.random.default_rng(0)
    some = np.concatenate([np.flatnonzero(every.sum(1) <= 1), rng.permutation(2**n)[:120]])
    some = np.unique(some)
    kernel = fit(Kernel.start(n), every[some], (values[some] - values.mean()) / values.std(), 60)
    mean, _ = Posterior(kernel, every[some], values[some]).predict(every)
    assert np.sqrt(np.mean((mean - values) ** 2)) < 0.05 * values.std()


def test_the_posterior_passes_through_its_values():
    posterior = a_posterior(6, m=30)
    rng = np.random.default_rng(1)
    values = rng.normal(size=30)
    sure = Kernel(posterior.kernel.theta, posterior.kernel.log_amplitude, posterior.kernel.gates, -18.0)
    mean, sd = Posterior(sure, posterior.coalitions, values).predict(posterior.coalitions)
    np.testing.assert_allclose(mean, values, atol=1e-4)
    assert (sd < 1e-2).all()


def test_equal_values_give_indices_of_zero():
    posterior = Posterior(a_kernel(5), everywhere(5)[:20], np.full(20, 7.0))
    single, pair = means(posterior, indices.index("SII"))
    assert np.abs(single).max() < 1e-9
    assert np.abs(pair).max() < 1e-9


def test_a_covariance_that_rounding_spoils_is_factorised_with_more_noise():
    n = 10
    kernel = Kernel(np.full(n, 1e-9), np.full(MEMBERS, 8.0), np.zeros((2, n)), -40.0)
    posterior = Posterior(kernel, everywhere(n), np.arange(1024.0))
    assert np.isfinite(posterior.alpha).all()


def test_hyperparameters_that_cannot_be_computed_turn_the_search_back():
    x = Kernel(np.full(5, 1e-12), np.full(MEMBERS, 30.0), np.zeros((2, 5)), -30.0).pack()
    value, gradient = objective(x, everywhere(5), np.arange(32.0))
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_many_players_overflow_nowhere():
    n, rng = 250, np.random.default_rng(0)
    coalitions = (rng.random((60, n)) < rng.random((60, 1))).astype(float)
    values = coalitions[:, :9].prod(1) + 100 * coalitions[:, 7]
    kernel = fit(Kernel.start(n), coalitions, (values - values.mean()) / values.std(), 30)
    with np.errstate(all="raise", under="ignore"):
        single, pair = means(Posterior(kernel, coalitions, values), indices.index("SII"))
    assert np.isfinite(single).all()
    assert np.isfinite(pair).all()
