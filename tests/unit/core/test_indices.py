"""Exact values against sums over subsets written from the definitions."""

from __future__ import annotations

import numpy as np
import pytest
from enumeration import by_definition

from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.indices import exact, index, index_names, moebius
from chiasm.testing.games import additive, bilinear_sigmoid, dummy_pair, sparse_polynomial, unanimity

ALL = ["SII", "BII", "WBII:0.3", "WBII:0.85", "STII", "FSII", "Moebius"]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [2, 3, 4, 5, 6])
def test_exact_equals_the_definition(name, n):
    for seed in range(2):
        table = np.random.default_rng([n, seed]).normal(size=2**n) + 3.0
        single, pair = exact(table, index(name))
        wanted_single, wanted_pair = by_definition(table, n, name)
        np.testing.assert_allclose(single, wanted_single, atol=1e-10)
        np.testing.assert_allclose(pair, wanted_pair, atol=1e-10)


@pytest.mark.parametrize("name", ALL)
def test_one_player(name):
    single, pair = exact(np.array([1.0, 3.5]), index(name))
    assert single.tolist() == pytest.approx([2.5])
    assert pair.tolist() == [[0.0]]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 2, 5, 8])
@pytest.mark.parametrize("make", [sparse_polynomial, additive, lambda n: unanimity(n, tuple(range(n)))])
def test_closed_forms_of_the_known_games(name, n, make):
    game = make(n)
    single, pair = exact(game.values(all_coalitions(n)), index(name))
    wanted_single, wanted_pair = game.exact(name)
    np.testing.assert_allclose(single, wanted_single, atol=1e-10)
    np.testing.assert_allclose(pair, wanted_pair, atol=1e-10)


def test_more_than_one_chunk_of_bits():
    n = 17  # the exact formula works through blocks of 2^16 rows
    game = sparse_polynomial(n, seed=3)
    table = game.values(all_coalitions(n))
    for name in ("SII", "FSII"):
        for got, wanted in zip(exact(table, index(name)), game.exact(name), strict=True):
            np.testing.assert_allclose(got, wanted, atol=1e-9)


def test_known_games_are_deterministic_and_refuse_nonsense():
    coalitions = all_coalitions(5)
    for make in (sparse_polynomial, additive, bilinear_sigmoid, dummy_pair):
        assert np.array_equal(make(5, 1).values(coalitions), make(5, 1).values(coalitions))
        assert not np.array_equal(make(5, 1).values(coalitions), make(5, 2).values(coalitions))
    for winners in ((0, 0), (5,)):
        with pytest.raises(InvalidInput, match="different players"):
            unanimity(5, winners)


def test_the_last_two_players_of_dummy_pair_do_nothing():
    single, pair = dummy_pair(6).exact("SII")
    assert not single[4:].any()
    assert not pair[4:].any()
    assert single[:4].any()


def test_moebius_of_every_size():
    table = np.random.default_rng(0).normal(size=16)
    a = moebius(table)
    rows = range(16)
    rebuilt = [sum(a[t] for t in rows if t & s == t) for s in rows]
    np.testing.assert_allclose(rebuilt, table)


def test_names_of_indices():
    assert index("sii").name == "SII"
    assert index("wbii:0.30").name == "WBII:0.3"
    assert index(index("BII")) is index("BII")
    assert "WBII:p" in index_names()
    with pytest.raises(UnknownName, match="Did you mean 'SII'"):
        index("SIII")
    with pytest.raises(UnknownName):
        index("WBII")
    for bad in ("WBII:0", "WBII:1", "WBII:x", "WBII:nan", "WBII:"):
        with pytest.raises(InvalidInput, match="between 0 and 1"):
            index(bad)
