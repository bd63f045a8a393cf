"""Triples, dividends of whole parts, and the share of a game that pairs account for."""

from __future__ import annotations

from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import chiasm as cx
from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import BudgetTooSmall, InvalidInput, UnknownName
from chiasm.core.game import Game
from chiasm.core.indices import exact, index, moebius
from chiasm.core.players import Players
from chiasm.estimators.base import Estimate
from chiasm.estimators.derivatives import sets_of
from chiasm.estimators.gp_kernel import Kernel, Posterior
from chiasm.estimators.gp_triples import triple_values
from chiasm.estimators.higher import exact_of, explained, part_dividends, second_order, strongest_pairs, triples
from chiasm.testing.games import SparsePolynomial, bilinear_sigmoid, game_of, sparse_polynomial, unanimity

NAMES = ["SII", "BII", "WBII:0.3", "STII", "FSII", "Moebius"]


def coefficient(name, w):
    """Of a(W) with |W| = w ≥ 3 in the index of a triple, written out."""
    return {
        "SII": 1 / (w - 2),
        "BII": 0.5 ** (w - 3),
        "WBII:0.3": 0.3 ** (w - 3),
        "STII": 1 / comb(w, 3),
        "FSII": 60 / (w * (w + 1) * (w + 2)),
        "Moebius": float(w == 3),
    }[name]


def by_terms(known, name, positions):
    return np.array(
        [sum(a * coefficient(name, len(w)) for w, a in known.terms.items() if set(t) <= set(w)) for t in positions]
    )


def xor3(s):
    return s[:, :3].sum(1) % 2 * 1.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("budget", [2**8, 200], ids=["exact", "sampled"])
def test_and_of_three_is_one(name, budget):
    found = triples(
        game_of(unanimity(8, (1, 4, 6))),
        name,
        of=[(("a", 1), ("a", 4)), (("a", 2), ("a", 3), ("a", 5))],
        method="sampled",
        budget=budget,
    )
    assert len(found.values) == 7
    assert found.players[found.values.argmax()] == (("a", 1), ("a", 4), ("a", 6))
    assert found.values.max() == pytest.approx(1)
    assert np.abs(found.values).sum() == pytest.approx(1)
    assert not found.errors.any()


@pytest.mark.parametrize("name", NAMES)
def test_exclusive_or_of_three_is_four(name):
    """s_i + s_j + s_k − 2 Σ s_i s_j + 4 s_i s_j s_k."""
    game = Game(xor3, Players.abstract({"a": 2, "b": 2, "c": 2}))
    found = triples(game, name, budget=64)
    assert found.values[found.positions.tolist().index([0, 1, 2])] == pytest.approx(4)
    assert np.abs(found.values).sum() == pytest.approx(4)


@pytest.mark.parametrize("name", NAMES)
def test_all_values_give_the_closed_form(name):
    known = sparse_polynomial(9, seed=3, terms=60, order=7)
    found = triples(game_of(known, {"a": 5, "b": 4}), name, budget=512)
    assert len(found.values) == comb(9, 3)
    np.testing.assert_allclose(found.values, by_terms(known, name, found.positions.tolist()), atol=1e-10)
    assert not found.errors.any()


@settings(max_examples=25, deadline=None)
@given(st.integers(3, 6), st.integers(0, 10**6), st.sampled_from(NAMES))
def test_any_table_agrees_with_its_moebius_coefficients(n, seed, name):
    table = np.random.default_rng(seed).normal(size=2**n)
    sets = sets_of(3, n)
    a = moebius(table)
    above = [[r for r in range(2**n) if all(r >> i & 1 for i in t)] for t in sets]
    wanted = [sum(a[r] * coefficient(name, r.bit_count()) for r in rows) for rows in above]
    np.testing.assert_allclose(exact_of(table, sets, name), wanted, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(0, 10**6), st.sampled_from(NAMES))
def test_sets_of_two_and_one_are_the_pairs_and_players_of_the_core(n, seed, name):
    table = np.random.default_rng(seed).normal(size=2**n)
    single, pair = exact(table, index(name))
    i, j = np.triu_indices(n, 1)
    np.testing.assert_allclose(exact_of(table, sets_of(2, n), name), pair[i, j], atol=1e-10)
    if name not in ("STII", "FSII"):  # of one player they have top order 1 here and 2 there
        np.testing.assert_allclose(exact_of(table, sets_of(1, n), name), single, atol=1e-10)


@settings(max_examples=15, deadline=None)
@given(st.integers(4, 6), st.integers(0, 10**6), st.permutations(range(4)))
def test_axioms(n, seed, order):
    """Linear, symmetric, and blind to games of order 2 and to players without influence."""
    rng = np.random.default_rng(seed)
    table, other, sets = rng.normal(size=2**n), rng.normal(size=2**n), sets_of(3, n)
    for name in ("SII", "FSII"):
        found = exact_of(table, sets, name)
        np.testing.assert_allclose(exact_of(2 * table - other, sets, name), 2 * found - exact_of(other, sets, name))
        rows = all_coalitions(n)
        swap = [*order, *range(4, n)]
        moved = table[rows[:, np.argsort(swap)] @ (1 << np.arange(n))]  # player i of the new game is swap[i] of the old
        assert sorted(exact_of(moved, sets, name)) == pytest.approx(sorted(found))
        dummy = np.concatenate([table, table])
        last = np.array([[0, 1, n]])
        assert exact_of(dummy, last, name) == pytest.approx(0, abs=1e-12)
        quadratic = rows @ rng.normal(size=n) + ((rows @ rng.normal(size=(n, n))) * rows).sum(1)
        np.testing.assert_allclose(exact_of(quadratic, sets, name), 0, atol=1e-10)


@pytest.mark.parametrize("name", ["SII", "STII", "FSII", "BII"])
def test_samples_are_unbiased(name):
    """One draw of each triple, many seeds, against enumeration; n is beyond the budget of full tables."""
    known = bilinear_sigmoid(7, seed=6)
    table = known.values(all_coalitions(7))
    of = [(("a", 0), ("b", 1)), (("a", 1), ("a", 2), ("b", 0))]
    runs = [
        triples(game_of(known, {"a": 4, "b": 3}), name, of=of, method="sampled", budget=60, seed=seed)
        for seed in range(300)
    ]
    values = np.array([r.values for r in runs])
    wanted = exact_of(table, runs[0].positions, name)
    assert len(wanted) == 6
    z = (values.mean(0) - wanted) / (values.std(0, ddof=1) / np.sqrt(len(values)))
    assert np.abs(z).max() < 4


@pytest.mark.parametrize("name", ["SII", "FSII"])
def test_two_errors_cover_the_truth(name):
    covered = []
    for seed in range(12):
        for make in (bilinear_sigmoid, sparse_polynomial):
            known = make(14, seed)
            game = game_of(known, {"a": 8, "b": 6})
            of = [(("a", 0), ("b", 0)), (("a", 1), ("b", 3))]
            found = triples(game, name, of=of, method="sampled", budget=1500, seed=seed)
            assert game.counts.computed <= 1500
            wanted = exact_of(known.values(all_coalitions(14)), found.positions, name)
            covered += (np.abs(found.values - wanted) <= 2 * found.errors + 1e-12).tolist()
    assert 0.93 <= np.mean(covered) <= 0.998


def test_dividends_at_the_empty_coalition_need_one_draw():
    known = sparse_polynomial(30, seed=1)
    game = game_of(known, {"a": 20, "b": 10})
    found = triples(game, "Moebius", of=[(("a", 3), ("b", 2))], method="sampled", budget=8 * 28)
    np.testing.assert_allclose(found.values, by_terms(known, "Moebius", found.positions.tolist()), atol=1e-10)
    assert not found.errors.any()
    assert game.counts.computed < 8 * 28


@pytest.mark.parametrize(("method", "budget"), [("sampled", 2000), ("gp", 400)])
def test_in_large_games_the_strongest_triple_is_found(method, budget):
    known = SparsePolynomial(57, {(3, 20, 52): 2.0, (3, 52): 0.5, (7,): 1.0, (8, 50): 1.0})
    game = game_of(known, {"image": 49, "text": 8})
    found = triples(game, of=[(("image", 3), ("text", 3))], method=method, budget=budget)
    best = found.strongest(1)
    assert best.players == [(("image", 3), ("image", 20), ("text", 3))]
    assert best.values[0] == pytest.approx(2.0, abs=0.4 if method == "gp" else 1e-9)
    assert game.counts.computed <= budget


def test_triples_grow_from_the_strongest_pairs_of_an_explanation():
    terms = {(0, 1): 5.0, (0, 4): 2.0, (1, 5): -3.0, (0, 1, 5): 1.0}
    found = cx.estimate(SparsePolynomial(6, terms).values, {"a": 4, "b": 2}, method="exact")
    assert strongest_pairs(found, found.players, 2) == [(("a", 1), ("b", 1)), (("a", 0), ("b", 0))]
    game = game_of(SparsePolynomial(6, terms), {"a": 4, "b": 2})
    grown = cx.triples(game, of=strongest_pairs(found, found.players, 1))
    assert [set(t) for t in grown.positions.tolist()] == [{0, 1, 5}, {1, 2, 5}, {1, 3, 5}, {1, 4, 5}]
    assert grown.values == pytest.approx([1, 0, 0, 0])


def test_unknown_pairs_are_never_the_strongest():
    pair = np.full((4, 4), np.nan)
    pair[0, 2] = pair[2, 0] = 0.1
    players = Players.abstract({"a": 2, "b": 2})
    assert strongest_pairs(Estimate(np.zeros(4), pair), players, 1) == [(("a", 0), ("b", 0))]


def test_what_cannot_be_asked_is_refused():
    game = game_of(sparse_polynomial(24), {"a": 12, "b": 12})
    with pytest.raises(InvalidInput, match="three or more players"):
        triples(game_of(sparse_polynomial(2)))
    with pytest.raises(InvalidInput, match="neither a pair nor a triple"):
        triples(game, of=[(("a", 1), ("a", 1))])
    with pytest.raises(InvalidInput, match="neither a pair nor a triple"):
        triples(game, of=[(("a", 1),)])
    with pytest.raises(UnknownName, match="Unknown part 'c'"):
        triples(game, of=[(("c", 1), ("a", 1))])
    with pytest.raises(BudgetTooSmall, match=r"22 triples, eight for each, need at least 176 values.*allows 175"):
        triples(game, of=[(("a", 1), ("b", 1))], method="sampled", budget=175)
    with pytest.raises(BudgetTooSmall, match=r"24 players need at least 26 values.*allows 25"):
        triples(game, of=[(("a", 1), ("b", 1))], budget=25)
    with pytest.raises(InvalidInput, match="must be 'gp' or 'sampled'"):
        triples(game, of=[(("a", 1), ("b", 1))], method="guess", budget=2000)
    with pytest.raises(InvalidInput, match="at most 8,192 values"):
        triples(game, of=[(("a", 1), ("b", 1))], budget=9000)
    with pytest.raises(InvalidInput, match="0 triples"):
        triples(game, of=[])
    with pytest.raises(InvalidInput, match="name in 'of' the pairs"):
        triples(game_of(sparse_polynomial(90)))


@pytest.mark.parametrize("name", NAMES)
def test_the_closed_form_is_the_index_of_the_surrogate(name):
    """Against enumeration of the posterior mean, and of the posterior covariance, which the index is linear in."""
    n, rng = 6, np.random.default_rng(0)
    start = Kernel.start(n).pack()
    kernel = Kernel.unpack(start + rng.uniform(0, 0.3, len(start)))
    rows = all_coalitions(n).astype(float)
    some = rng.permutation(64)[:20]
    posterior = Posterior(kernel, rows[some], sparse_polynomial(n, 3).values(rows[some] > 0))
    sets = sets_of(3, n)
    values, errors = triple_values(posterior, index(name), sets)
    np.testing.assert_allclose(values, exact_of(posterior.predict(rows)[0], sets, name), atol=1e-9)
    weights = np.stack([exact_of(unit, sets, name) for unit in np.eye(64)], axis=1)  # [triples, coalitions]
    white = posterior.whiten(kernel.covariance(rows[some], rows))
    covariance = kernel.covariance(rows, rows) - white.T @ white
    wanted = posterior.scale * np.sqrt(np.einsum("ka,ab,kb->k", weights, covariance, weights))
    inflation = max(1.0, np.sqrt(np.mean(posterior.left_out() ** 2)))
    np.testing.assert_allclose(errors, inflation * wanted, rtol=1e-6)


def test_the_surrogate_is_closer_than_sampling_at_equal_values():
    """Geometric mean over games of the squared error; measured a factor of 4 to 12."""
    ratios, covered = [], []
    for seed in range(3):
        known = bilinear_sigmoid(12, seed)
        error = {}
        for method in ("gp", "sampled"):
            game = game_of(known, {"a": 7, "b": 5})
            found = triples(game, of=[(("a", 0), ("b", 0))], method=method, budget=400, seed=seed)
            assert game.counts.computed <= 400
            off = found.values - exact_of(known.values(all_coalitions(12)), found.positions, "SII")
            error[method] = np.sum(off**2)
            covered += (np.abs(off) <= 2 * found.errors).tolist()
        ratios.append(error["sampled"] / error["gp"])
    assert np.exp(np.mean(np.log(ratios))) > 2
    assert np.mean(covered) > 0.85


def dividends_by_hand(values, names):
    """a(S) = Σ_{T⊆S} (−1)^{|S|−|T|} v(T)."""
    found = {}
    for order in range(1, len(names) + 1):
        for some in combinations(names, order):
            inner = [t for k in range(order + 1) for t in combinations(some, k)]
            found[some] = sum((-1) ** (order - len(t)) * values[t] for t in inner)
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_dividends_of_whole_parts(count):
    sizes = {f"part {k}": k + 1 for k in range(count)}
    game = game_of(sparse_polynomial(sum(sizes.values()), seed=2, order=6), sizes)
    values = game.part_values()
    found = part_dividends(values)
    assert list(found) == list(dividends_by_hand(values, list(sizes)))
    assert found == pytest.approx(dividends_by_hand(values, list(sizes)))
    assert sum(found.values()) == pytest.approx(game.full() - game.empty())
    shapley = part_dividends(values, "SII")
    assert sum(v for key, v in shapley.items() if len(key) == 1) == pytest.approx(game.full() - game.empty())
    assert shapley[tuple(sizes)] == pytest.approx(found[tuple(sizes)])  # of all parts every index is the dividend


def test_the_joint_dividend_of_three_parts_is_what_no_two_of_them_make():
    game = Game(lambda s: s.all(1) * 3.0 + s[:, 0], Players.abstract({"a": 1, "b": 1, "c": 1}))
    found = part_dividends(game.part_values())
    assert found["a", "b", "c"] == 3
    assert found["a",] == 1
    assert found["a", "b"] == 0
    assert part_dividends(game.part_values(), "SII")["a", "b"] == 1.5


def test_dividends_need_every_value():
    values = game_of(sparse_polynomial(3), {"a": 1, "b": 2}).part_values()
    with pytest.raises(InvalidInput, match="depends on a top order"):
        part_dividends(values, "FSII")
    with pytest.raises(InvalidInput, match=r"without \['b'\]"):
        part_dividends({key: v for key, v in values.items() if key != ("b",)})
    with pytest.raises(InvalidInput, match="none"):
        part_dividends({})


@pytest.mark.parametrize("name", ["SII", "FSII", "STII", "BII", "WBII:0.3", "Moebius"])
def test_games_of_order_two_are_explained_wholly(name):
    known = sparse_polynomial(10, seed=4, order=2)
    game = game_of(known, {"a": 5, "b": 5})
    found = explained(game, Estimate(*known.exact(name)), name, budget=100)
    assert found.r2 == pytest.approx(1)
    assert found.error == pytest.approx(0, abs=1e-9)
    assert found.fresh == found.values == 100
    assert game.counts.computed == 100
    v = known.values(all_coalitions(10))
    np.testing.assert_allclose(
        np.ptp(v - second_order(Estimate(*known.exact(name)), name, all_coalitions(10))), 0, atol=1e-9
    )


def test_exclusive_or_of_three_is_not_explained_by_pairs():
    game = Game(xor3, Players.abstract({"a": 5, "b": 5}))
    table = xor3(all_coalitions(10))
    faithful = explained(game, Estimate(*exact(table, index("FSII"))), "FSII", budget=200, seed=1)
    assert faithful.r2 < 0.5
    assert faithful.error > 0.01
    # under uniform coalitions the parity of three is orthogonal to everything of order 2
    banzhaf = explained(game, Estimate(*exact(table, index("BII"))), "BII", budget=200, seed=1)
    assert banzhaf.r2 == pytest.approx(0, abs=1e-12)


def test_the_share_is_that_of_all_coalitions_within_its_error():
    """BII: the best fit under uniform coalitions, whose share of the variance is known by enumeration."""
    z = []
    for seed in range(12):
        known = sparse_polynomial(12, seed)
        table, rows = known.values(all_coalitions(12)), all_coalitions(12)
        estimate = Estimate(*known.exact("BII"))
        truth = 1 - np.var(table - second_order(estimate, "BII", rows)) / np.var(table)
        found = explained(game_of(known, {"a": 6, "b": 6}), estimate, "BII", budget=300, seed=seed)
        z.append((found.r2 - truth) / found.error)
    assert np.sqrt(np.mean(np.square(z))) < 1.7
    assert np.sqrt(np.mean(np.square(z))) > 0.4


def test_a_game_that_is_known_wholly_is_compared_with_what_is_known():
    known = sparse_polynomial(6, seed=1)
    game = game_of(known, {"a": 3, "b": 3})
    game(all_coalitions(6))
    found = explained(game, Estimate(*known.exact("FSII")), "FSII", budget=10)
    assert found.fresh == 0
    assert found.values > 30
    assert 0 < found.r2 < 1
    assert game.counts.computed == 64
    with pytest.raises(BudgetTooSmall, match="16 or more new values; 10 are allowed"):
        explained(game_of(known), Estimate(*known.exact("FSII")), "FSII", budget=10)


def test_a_game_that_does_not_vary_has_no_share():
    constant = SparsePolynomial(8, {(): 3.0})
    found = explained(game_of(constant), Estimate(*constant.exact("SII")), "SII", budget=50)
    assert np.isnan(found.r2)
