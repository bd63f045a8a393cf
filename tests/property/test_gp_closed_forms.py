"""What holds for the Gaussian-process estimator whatever the game, the kernel and the budget."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from chiasm.core import indices
from chiasm.core.coalitions import all_coalitions, keys
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.gaussian_process import GP
from chiasm.estimators.gp_choice import first_design
from chiasm.estimators.gp_indices import errors, means
from chiasm.estimators.gp_kernel import MEMBERS, Kernel, Posterior
from chiasm.testing.games import bilinear_sigmoid

names = st.sampled_from(["SII", "BII", "WBII:0.2", "WBII:0.9", "STII", "FSII", "Moebius"])


@st.composite
def posteriors(draw):
    n = draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    kernel = Kernel(
        np.exp(rng.uniform(-8, 2, n)), rng.normal(size=MEMBERS), rng.uniform(0, 1, (2, n)), draw(st.floats(-10.0, 0.0))
    )
    m = draw(st.integers(1, min(2**n, 40)))
    coalitions = all_coalitions(n)[rng.permutation(2**n)[:m]].astype(float)
    return Posterior(kernel, coalitions, rng.normal(size=m))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(posteriors(), names)
def test_closed_forms_are_those_of_the_enumerated_surrogate(posterior, name):
    index = indices.index(name)
    table, _ = posterior.predict(all_coalitions(posterior.kernel.n).astype(float))
    size = max(1.0, float(np.abs(posterior.alpha).sum()) * posterior.scale)
    for found, wanted in zip(means(posterior, index), indices.exact(table, index), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-10 * size)
    for found in errors(posterior, index):
        assert np.isfinite(found).all()
        assert (found >= 0).all()


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.integers(2, 70), st.integers(2, 300), st.integers(0, 99))
def test_a_first_design_holds_as_many_distinct_coalitions_as_asked_for(n, count, seed):
    count = min(count, 2**n)
    found = first_design(n, count, np.random.default_rng(seed))
    assert len(found) == len(set(keys(found))) == count


@settings(max_examples=8, deadline=None, derandomize=True)
@given(st.integers(10, 120), st.integers(1, 8), names, st.integers(0, 99))
def test_any_budget_is_kept_and_values_of_twice_the_size_give_twice_the_index(budget, first, name, seed):
    known = bilinear_sigmoid(9, seed)
    found = []
    for factor in (1.0, 2.0):
        game = Game(lambda c, factor=factor: factor * known.values(c), Players.abstract({"a": first, "b": 9 - first}))
        *_, last = GP.run(game, indices.index(name), budget + 1, seed)
        assert game.counts.computed == budget + 1
        found.append(last)
    once, twice = found
    np.testing.assert_array_equal(2 * once.single, twice.single)
    np.testing.assert_array_equal(2 * once.pair, twice.pair)
    np.testing.assert_array_equal(2 * once.pair_errors, twice.pair_errors)
