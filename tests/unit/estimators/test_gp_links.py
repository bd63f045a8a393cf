"""Games of probabilities: links, read-out of g(surrogate) against enumeration, and errors that hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiasm.core import indices
from chiasm.core.coalitions import all_coalitions, keys
from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.gaussian_process import GP, from_values
from chiasm.estimators.gp_choice import Chooser
from chiasm.estimators.gp_indices import measures
from chiasm.estimators.gp_kernel import MEMBERS, Kernel, Posterior
from chiasm.estimators.gp_links import Link, LogProbability, Probability, link_of
from chiasm.estimators.gp_readers import LinearReader, SampledReader, TableReader
from chiasm.estimators.gp_sampled import Sampled, draw_rates, fit_tilt
from chiasm.estimators.gp_table import Table, Weights
from chiasm.testing.games import BilinearSigmoid, sparse_polynomial

NAMES = ["SII", "BII", "WBII:0.3", "STII", "FSII", "Moebius"]
PARTS = {"image": 7, "text": 5}


def a_posterior(n, seed=0, m=20, theta=0.3):
    rng = np.random.default_rng(seed)
    gates = np.abs(rng.normal(0, 0.4, (2, n)))
    kernel = Kernel(theta * np.exp(rng.normal(0, 0.7, n)), rng.normal(0, 0.5, MEMBERS), gates, -4.0)
    x = (rng.random((4 * m, n)) < rng.random((4 * m, 1))).astype(float)
    x = np.unique(x, axis=0)[:m]
    return Posterior(kernel, x, rng.normal(0.5, 2, len(x)))


def table_reader(posterior, name, link):
    index, n = indices.index(name), posterior.kernel.n
    return TableReader(posterior, index, link, Weights(n, *measures(index, n)))


def play(values, scale, budget, name="SII", *, parts=PARTS):
    game = Game(values, Players.abstract(parts), scale=scale)
    *_, found = GP.run(game, indices.index(name), budget, 0)
    return found, game


def sigmoid_game(n=12, seed=0):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, n)) * (rng.random((n, n)) < 0.3) * 1.5
    return BilinearSigmoid(float(rng.normal()), rng.normal(size=n), matrix)


@pytest.mark.parametrize(("link", "values"), [
    (LogProbability(), np.array([-80.0, -20.0, -3.0, -0.5, -1e-3, -1e-5, -1e-7, 0.0])),
    (Probability(), np.array([0.0, 1e-9, 1e-4, 0.3, 0.999, 1 - 1e-7, 1.0])),
    (Link(), np.array([-5.0, 0.0, 7.0])),
])  # fmt: skip
def test_the_way_back_is_exact_and_slopes_are_derivatives(link, values):
    latent = link.latent(values)
    assert np.isfinite(latent).all()
    assert (np.diff(latent) > 0).all()
    np.testing.assert_allclose(link.value(latent), values, atol=1e-13, rtol=1e-12)
    step = 1e-5
    difference = (link.value(latent + step) - link.value(latent - step)) / (2 * step)
    np.testing.assert_allclose(link.slope(latent), difference, atol=1e-9)


def test_the_mean_slope_is_that_of_steins_lemma():
    """E g′(f) = E[g(f) (f − m)]/s² for f ~ N(m, s²)."""
    x, w = np.polynomial.hermite_e.hermegauss(60)
    w = w / w.sum()
    for link in (LogProbability(), Probability()):
        wanted = float(w @ (link.value(0.4 + 1.3 * x) * x) / 1.3)
        assert link.mean_slope(np.array([0.4]), 1.3)[0] == pytest.approx(wanted, rel=1e-4)


def test_scales_have_their_links():
    assert [link_of(s).linear for s in ("value", "logit", "similarity")] == [True] * 3
    assert isinstance(link_of("log_probability"), LogProbability)
    assert isinstance(link_of("probability"), Probability)


@pytest.mark.parametrize(("link", "bad"), [(LogProbability(), 0.5), (Probability(), 1.5), (Probability(), -0.5)])
def test_values_that_are_no_probabilities_are_refused(link, bad):
    with pytest.raises(ModelError, match="cannot lie outside"):
        link.latent(np.array([bad]))


@pytest.mark.parametrize("n", [2, 5, 8])
def test_the_transform_is_the_covariance_matrix(n):
    posterior, x = a_posterior(n, m=min(20, 2**n - 1)), all_coalitions(n).astype(float)
    table = Table(posterior.kernel)
    matrix = posterior.kernel.covariance(x, x)
    columns = np.random.default_rng(0).normal(size=(3, 2**n))
    product, form = table.product(columns)
    np.testing.assert_allclose(product, columns @ matrix, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(form, np.einsum("cs,st,ct->c", columns, matrix, columns), rtol=1e-9)
    np.testing.assert_allclose(table.mean(posterior), posterior.predict(x)[0], rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 7), name=st.sampled_from(NAMES), seed=st.integers(0, 1000))
def test_weights_on_all_coalitions_give_the_exact_index(n, name, seed):
    table = np.random.default_rng(seed).normal(size=2**n)
    index = indices.index(name)
    weights = Weights(n, *measures(index, n))
    single, pair = indices.exact(table, index)
    np.testing.assert_allclose([weights.of((i,)) @ table for i in range(n)], single, atol=1e-10)
    for i in range(n):
        for j in range(i + 1, n):
            assert weights.of((i, j)) @ table == pytest.approx(pair[i, j], abs=1e-10)


@pytest.mark.parametrize("name", NAMES)
def test_identity_through_the_table_is_the_closed_form(name):
    posterior = a_posterior(6)
    table, closed = table_reader(posterior, name, Link()), LinearReader(posterior, indices.index(name))
    for one, two in zip((*table.means(), *table.errors()), (*closed.means(), *closed.errors()), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-7)
    z, pairs = all_coalitions(6)[:9].astype(float), (np.array([0, 4]), np.array([3, 1]))
    for one, two in zip(table.covariances(pairs, z), closed.covariances(pairs, z), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("link", [LogProbability(), Probability()])
def test_the_sampled_index_is_that_of_enumeration(name, link):
    posterior, index = a_posterior(8), indices.index(name)
    single, pair = indices.exact(link.value(Table(posterior.kernel).mean(posterior)), index)
    found = Sampled(posterior, index, link, np.random.default_rng(1), 600)
    assert (np.abs(found.single - single) <= 5 * found.single_error + 1e-9).all()
    assert (np.abs(found.pair - pair) <= 5 * found.pair_error + 1e-9).all()
    assert found.pair_error.max() < 0.1 * np.abs(pair).max() + 1e-9


@pytest.mark.parametrize("n", [17, 18])
def test_at_many_players_sampling_adds_little_to_the_error(n):
    """By what a run uses: the sampling error against the posterior's own."""
    posterior, index, link = a_posterior(n, m=120, theta=0.05), indices.index("SII"), LogProbability()
    single, pair = indices.exact(link.value(Table(posterior.kernel).mean(posterior)), index)
    found = Sampled(posterior, index, link, np.random.default_rng(0))
    own_single, own = SampledReader(posterior, index, link, np.random.default_rng(0), backgrounds=64).errors()
    apart = np.triu_indices(n, 1)
    assert np.sqrt(np.mean((found.pair - pair)[apart] ** 2)) < 0.35 * np.sqrt(np.mean(own[apart] ** 2))
    assert np.sqrt(np.mean((found.single - single) ** 2)) < 0.35 * np.sqrt(np.mean(own_single**2))


def test_rates_are_drawn_as_the_measure_weighs_them():
    rng = np.random.default_rng(0)
    for name in ("SII", "STII", "FSII"):
        for measure in measures(indices.index(name), 12):
            rates, counts = draw_rates(measure, 4000, rng)
            for power in (0, 1, 3):
                assert (counts * rates**power).mean() == pytest.approx(measure.w @ measure.q**power, abs=0.01)


def test_a_sum_of_products_is_found_again():
    rng = np.random.default_rng(0)
    x = (rng.random((800, 9)) < rng.random((800, 1))).astype(float)
    slopes = 0.2 * np.exp(x @ rng.normal(0, 0.3, 9))
    tilt = fit_tilt(x, slopes)
    found = np.exp(x @ np.log(tilt.gamma).T) @ tilt.weight
    assert np.sqrt(np.mean((found - slopes) ** 2)) < 0.1 * slopes.std()
    assert np.isfinite(fit_tilt(x, np.zeros(800)).gamma).all()


def test_linearised_errors_are_the_spread_of_indices_of_draws():
    """Posterior draws on all coalitions, their exact indices, against the delta method; slopes nearly constant."""
    n, link = 6, Probability()
    posterior = a_posterior(n, m=45)
    posterior.scale *= 0.2
    posterior.shift = 0.3
    x = all_coalitions(n).astype(float)
    white = posterior.whiten(posterior.kernel.covariance(posterior.coalitions, x))
    covariance = posterior.kernel.covariance(x, x) - white.T @ white
    values, vectors = np.linalg.eigh(covariance)
    rng = np.random.default_rng(0)
    normal = rng.normal(size=(1500, 2**n)) * np.sqrt(np.maximum(values, 0))
    draws = Table(posterior.kernel).mean(posterior) + posterior.scale * normal @ vectors.T
    pairs = np.array([indices.exact(row, indices.index("SII"))[1] for row in link.value(draws)])
    _, errors = table_reader(posterior, "SII", link).errors()
    apart = np.triu_indices(n, 1)
    np.testing.assert_allclose(errors[apart], pairs.std(0)[apart], rtol=0.15)


@pytest.mark.parametrize("scale", ["log_probability", "probability", "value"])
def test_intervals_cover_games_that_are_draws_of_the_process(scale):
    n, inside = 10, []
    x = all_coalitions(n).astype(float)
    for seed in range(4):
        rng = np.random.default_rng(seed)
        kernel = Kernel(np.exp(rng.normal(-2, 1, n)), np.zeros(MEMBERS), np.full((2, n), 0.3), -12.0)
        factor = np.linalg.cholesky(kernel.covariance(x, x) + 1e-8 * np.eye(2**n))
        latent = factor @ rng.normal(size=2**n)
        table = {
            "value": latent,
            "probability": 1 / (1 + np.exp(-latent)),
            "log_probability": -np.log1p(np.exp(-latent)),
        }
        values = table[scale]
        bits = 1 << np.arange(n)
        found, _ = play(lambda c, v=values, b=bits: v[c.astype(np.int64) @ b], scale, 160, parts={"a": 5, "b": 5})
        exact = indices.exact(values, indices.index("SII"))[1]
        inside.append((np.abs(found.pair - exact) <= 1.96 * found.pair_errors)[:5, 5:].mean())
    assert 0.88 < np.mean(inside) <= 1.0


@pytest.mark.parametrize("scale", ["log_probability", "probability"])
def test_knowing_the_scale_brings_the_estimate_closer(scale):
    off = {"value": 0.0, scale: 0.0}
    for seed in range(3):
        known = sigmoid_game(seed=seed)
        values = known.values if scale == "probability" else lambda c, k=known: np.log(k.values(c))
        exact = indices.exact(values(all_coalitions(12)), indices.index("SII"))[1][:7, 7:]
        for told in off:
            found, _ = play(values, told, 160)
            off[told] += float(np.log(((found.pair[:7, 7:] - exact) ** 2).sum()))
    assert off[scale] < off["value"] - 3 * np.log(1.5)


def test_no_coalition_is_asked_for_twice_and_the_budget_is_spent():
    asked = []

    def values(coalitions):
        asked.extend(keys(coalitions))
        return np.log(sigmoid_game().values(coalitions))

    for budget in (50, 131):
        asked.clear()
        play(values, "log_probability", budget)
        assert len(asked) == len(set(asked)) == budget


@pytest.mark.parametrize(("scale", "value"), [("log_probability", 0.0), ("probability", 1.0), ("probability", 0.0)])
def test_a_game_that_is_saturated_everywhere_has_no_interactions(scale, value):
    found, _ = play(lambda c: np.full(len(c), value), scale, 80)
    assert np.abs(found.pair).max() < 1e-9
    assert np.isfinite(found.pair_errors).all()


def test_values_that_are_exactly_0_or_1_are_no_trouble():
    """A step: probability 1 where two players are together, else 0; half its logits are at each end."""
    found, _ = play(lambda c: (c[:, 0] & c[:, 8]).astype(float), "probability", 200)
    assert found.pair[0, 8] == pytest.approx(1.0, abs=0.05)
    rest = found.pair.copy()
    rest[0, 8] = rest[8, 0] = 0
    assert np.abs(rest).max() < 0.05


def test_saturation_near_one_keeps_its_digits():
    """Values near p = 1 with the digits that single precision has; some are exactly 0 as log-probabilities."""
    known = sigmoid_game()
    shifted = BilinearSigmoid(known.bias + 16.0, known.weights * 4, known.matrix)
    values = lambda c: np.round(np.log(shifted.values(c)), 6)  # noqa: E731
    assert (values(all_coalitions(12)) == 0).any()
    found, _ = play(values, "log_probability", 256)
    exact = indices.exact(values(all_coalitions(12)), indices.index("SII"))[1][:7, 7:]
    assert ((found.pair[:7, 7:] - exact) ** 2).sum() < 0.05 * (exact**2).sum()


@pytest.mark.parametrize("name", ["STII", "FSII", "WBII:0.7"])
def test_other_indices_of_a_linked_game(name):
    known = sigmoid_game(seed=1)
    exact = known.exact(name)[1][:7, 7:]
    found, _ = play(known.values, "probability", 256, name)
    assert ((found.pair[:7, 7:] - exact) ** 2).sum() < 0.2 * (exact**2).sum()


def test_many_players_with_a_link():
    polynomial = sparse_polynomial(30, seed=0, terms=25, order=2)
    values = lambda c: -np.log1p(np.exp(-polynomial.values(c)))  # noqa: E731
    found, game = play(values, "log_probability", 150, parts={"a": 22, "b": 8})
    assert game.counts.computed == 150
    assert np.isfinite(found.pair).all()
    assert (found.pair_errors[np.triu_indices(30, 1)] > 0).all()
    np.testing.assert_array_equal(found.pair, found.pair.T)


def test_the_choice_follows_the_slopes():
    """Where the link is flat there is nothing to learn: no coalition of the saturated half is chosen."""
    n = 8
    kernel = Kernel(np.full(n, 0.1), np.zeros(MEMBERS), np.zeros((2, n)), -6.0)
    every = all_coalitions(n)
    start = every[np.random.default_rng(0).permutation(2**n)[:40]]
    posterior = Posterior(kernel, start.astype(float), np.where(start[:, 0], 30.0, 0.0) + start[:, 1])
    among = every[~np.isin(np.arange(2**n), start @ (1 << np.arange(n)))]
    reader = table_reader(posterior, "SII", Probability())
    batch = Chooser((np.array([1, 2]), np.array([5, 6]))).batch(reader, among, 10, np.random.default_rng(0))
    assert batch[:, 0].sum() <= 2


def test_values_that_are_there_serve_as_well():
    known = sigmoid_game(seed=2)
    rng = np.random.default_rng(0)
    coalitions = all_coalitions(12)[rng.permutation(4096)[:400]]
    values = known.values(coalitions)
    found = from_values(coalitions, values, "SII", "probability")
    exact = known.exact("SII")[1]
    assert ((found.pair - exact) ** 2).sum() < 0.1 * (exact**2).sum()
    twice = from_values(
        np.concatenate([coalitions, coalitions[:5]]), np.append(values, values[:5]), "SII", "probability"
    )
    np.testing.assert_array_equal(found.pair, twice.pair)


@pytest.mark.parametrize(("rows", "values", "match"), [
    (np.eye(5), np.ones(4), "have shape"),
    (np.eye(5), np.array([1, 2, 3, 4, np.nan]), "not finite"),
    (np.eye(5), np.ones(5), "takes 7"),
    (np.concatenate([np.eye(9), np.eye(9)]), np.arange(18.0), "another value"),
])  # fmt: skip
def test_values_that_cannot_serve_are_refused(rows, values, match):
    with pytest.raises(InvalidInput, match=match):
        from_values(rows, values)
