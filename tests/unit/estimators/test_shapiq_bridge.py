"""shapiq's approximators through Chiasm's cache and budget: what their numbers mean."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
import warnings

import numpy as np
import pytest

from chiasm.core.errors import BudgetTooSmall, InvalidInput, MissingDependency
from chiasm.core.indices import index
from chiasm.estimators import estimators
from chiasm.testing.games import SparsePolynomial, bilinear_sigmoid, game_of, sparse_polynomial, unanimity

pytest.importorskip("shapiq")
pytest.importorskip("lightgbm")

PAIRS = [
    (name, which)
    for name in ("kernelshap-iq", "shap-iq", "svarm-iq", "permutation-shapiq", "proxyspex")
    for which in estimators.get(name).indices
]
SAMPLERS = [pair for pair in PAIRS if pair[0] != "proxyspex"]


def has_proxyshap():
    return hasattr(importlib.import_module("shapiq.approximator"), "ProxySHAP")


def run(name, which, game, budget, seed=0):
    (found,) = estimators.get(name).run(game, index(which), budget, seed)
    return found


@pytest.mark.parametrize(("name", "which"), [p for p in PAIRS if p[0] in ("kernelshap-iq", "shap-iq", "svarm-iq")])
@pytest.mark.parametrize("n", [3, 4, 7])
def test_at_full_budget_the_values_are_exact(name, which, n):
    """Order 1 and order 2 mean what `core.indices` means by them; v(∅) plays no part."""
    known = bilinear_sigmoid(n, seed=2)
    shifted = SparsePolynomial(n, sparse_polynomial(n).terms | {(): 7.0})
    for one in (known, shifted):
        found = run(name, which, game_of(one), 2**n)
        single, pair = one.exact(which)
        np.testing.assert_allclose(found.single, single, atol=2e-6)
        np.testing.assert_allclose(found.pair, pair, atol=2e-6)
        assert found.single_errors is None
        assert found.pair_errors is None


@pytest.mark.parametrize(("name", "which"), [p for p in PAIRS if p[0] == "permutation-shapiq"])
def test_permutation_sampling_converges_to_our_definitions(name, which):
    known = sparse_polynomial(6, seed=1)
    runs = [run(name, which, game_of(known), 64, seed) for seed in range(60)]
    single, pair = known.exact(which)
    np.testing.assert_allclose(np.mean([r.single for r in runs], axis=0), single, atol=0.25)
    assert np.abs(np.mean([r.pair for r in runs], axis=0) - pair).max() < 0.35


@pytest.mark.parametrize("which", estimators.get("proxyspex").indices)
def test_boosted_trees_find_one_interaction(which):
    known = unanimity(8, (2, 5))
    found = run("proxyspex", which, game_of(known), 150)
    single, pair = known.exact(which)
    np.testing.assert_allclose(found.single, single, atol=1e-4)
    np.testing.assert_allclose(found.pair, pair, atol=1e-4)


def test_boosted_trees_on_a_constant_game_and_on_one_they_cannot_split():
    constant = run("proxyspex", "SII", game_of(SparsePolynomial(7, {(): 3.0})), 100)
    assert not constant.single.any()
    assert not constant.pair.any()
    if not has_proxyshap():  # newer ones give zeros
        with pytest.raises(BudgetTooSmall, match="nothing to split in 140 values"):
            run("proxyspex", "SII", game_of(SparsePolynomial(8, {(): 1.0, tuple(range(8)): 1e-9})), 140)


@pytest.mark.parametrize(("name", "which"), SAMPLERS)
@pytest.mark.parametrize("n", [6, 11])
def test_the_budget_counts_distinct_values(name, which, n):
    least = estimators.get(name).least(n, which)
    for budget in (least, least + 1, 2 * least, 400):
        for known in (False, True):
            game = game_of(sparse_polynomial(n), {"a": 2, "b": n - 2})
            if known:
                game.part_values()
            before = game.counts.computed
            with game.allowance(budget):
                run(name, which, game, budget)
            assert game.counts.computed - before <= budget
            if budget < 2**n and name in ("kernelshap-iq", "shap-iq", "svarm-iq"):
                assert game.counts.computed - before >= budget - 2  # nothing is left lying about


@pytest.mark.parametrize(("name", "which"), SAMPLERS)
def test_the_same_seed_gives_the_same_numbers(name, which):
    known = sparse_polynomial(9)
    first, again, other = (run(name, which, game_of(known), 120, seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.pair, again.pair)
    np.testing.assert_array_equal(first.single, again.single)
    assert not np.array_equal(first.pair, other.pair)


@pytest.mark.parametrize("name", ["kernelshap-iq", "shap-iq", "svarm-iq", "permutation-shapiq", "proxyspex"])
def test_what_it_cannot_do_is_refused(name):
    estimator = estimators.get(name)
    for which in {"SII", "BII", "STII", "FSII", "Moebius", "WBII:0.3"} - set(estimator.indices):
        with pytest.raises(InvalidInput, match=rf"{name}.*cannot estimate {which}"):
            estimator.run(game_of(sparse_polynomial(8)), index(which), 200, 0)
    with pytest.raises(InvalidInput, match="use 'exact'"):
        estimator.run(game_of(sparse_polynomial(2)), index("SII"), 4, 0)
    with pytest.raises(BudgetTooSmall, match="at least"):
        estimator.run(game_of(sparse_polynomial(8)), index("SII"), 10, 0)


@pytest.mark.parametrize(("name", "missing"), [("svarm-iq", "shapiq"), ("proxyspex", "lightgbm")])
def test_a_missing_package_is_named(monkeypatch, name, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingDependency, match=rf"{missing} is needed.*'chiasm\[shapiq\]'"):
        estimators.get(name).run(game_of(sparse_polynomial(8)), index("SII"), 200, 0)


def test_the_regression_serves_banzhaf_values_of_single_players():
    """shapiq's FBII of order 1 is another quantity: without the conversion the first player had −1 in place of 0."""
    known = SparsePolynomial(6, {(0,): -1.0, (0, 3): 2.0, (1, 2): 0.5})
    found = run("kernelshap-iq", "BII", game_of(known), 40)
    np.testing.assert_allclose(found.single, [0, 0.25, 0.25, 1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found.pair[[0, 1, 4], [3, 2, 5]], [2, 0.5, 0], atol=1e-6)


@pytest.mark.skipif(has_proxyshap(), reason="this shapiq has ProxySHAP")
def test_a_shapiq_without_proxyshap_is_named_with_the_version_that_has_it():
    here = importlib.metadata.version("shapiq")
    with pytest.raises(MissingDependency) as caught:
        estimators.get("proxyshap").run(game_of(sparse_polynomial(8)), index("SII"), 200, 0)
    for phrase in (f"shapiq {here} is there", "'proxyshap'", "Python 3.12", "pip install 'shapiq>=1.5'"):
        assert phrase in str(caught.value)


@pytest.mark.skipif(not has_proxyshap(), reason="needs shapiq 1.5 or newer")
def test_proxyshap_finds_one_interaction():
    pytest.importorskip("xgboost")
    known = unanimity(8, (2, 5))
    game = game_of(known)
    found = run("proxyshap", "SII", game, 150)
    single, pair = known.exact("SII")
    np.testing.assert_allclose(found.single, single, atol=1e-2)
    np.testing.assert_allclose(found.pair, pair, atol=1e-2)
    assert game.counts.computed <= 150


def test_no_warning_reaches_the_user():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for budget in (60, 64):
            run("kernelshap-iq", "SII", game_of(sparse_polynomial(6)), budget)
        run("proxyspex", "SII", game_of(unanimity(7, (0, 1))), 100)
