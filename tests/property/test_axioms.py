"""The axioms of the indices, over estimators × indices; only what is true by construction is asserted.

exact: all of them. permutation: efficiency of SII, dummies and linearity hold in every run (the design does not depend
on the values). kernelshap-iq, svarm-iq: at full budget they equal the exact values; at less, they are linear.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from chiasm.core.coalitions import all_coalitions
from chiasm.core.game import Game
from chiasm.core.indices import index
from chiasm.core.players import Players
from chiasm.estimators import estimators

INDICES = ["SII", "BII", "WBII:0.3", "STII", "FSII", "Moebius"]
RUNS = [("exact", name) for name in INDICES]
SAMPLED = [("permutation", name) for name in INDICES if name != "FSII"]
PEERS = [("kernelshap-iq", "SII"), ("kernelshap-iq", "FSII")]
PEERS += [("svarm-iq", name) for name in ("SII", "BII", "STII")]
#: indices of which single and pair values together sum to v(N) − v(∅)
EFFICIENT_WITH_PAIRS = ["STII", "FSII"]

examples = settings(max_examples=20, deadline=None, derandomize=True)
few_examples = settings(max_examples=6, deadline=None, derandomize=True)


@st.composite
def tables(draw, least=2, most=5):
    """All values of a game of a few players."""
    n = draw(st.integers(least, most))
    values = st.floats(-10, 10, allow_subnormal=False).map(lambda x: round(x, 6))
    return draw(arrays(np.float64, 2**n, elements=values))


def players_of(table):
    return len(table).bit_length() - 1


def run(table, name, which, budget=None, seed=0):
    n = players_of(table)
    game = Game(lambda c: table[c @ (1 << np.arange(n))], Players.abstract({"a": n}))
    *_, found = estimators.get(name).run(game, index(which), budget or 2**n, seed)
    return found


def budgets(name, n):
    """A budget that leaves permutation less than all values."""
    return 2**n if name == "exact" or n < 5 else 25


def sizes(n):
    return all_coalitions(n).sum(1)


@pytest.mark.parametrize(("name", "which"), [("exact", "SII"), ("permutation", "SII")])
@given(table=tables())
@examples
def test_efficiency_of_shapley_values(name, which, table):
    found = run(table, name, which, budgets(name, players_of(table)))
    assert found.single.sum() == pytest.approx(table[-1] - table[0], abs=1e-9)


@pytest.mark.parametrize("which", EFFICIENT_WITH_PAIRS)
@given(table=tables())
@examples
def test_efficiency_of_indices_that_share_all_out(which, table):
    found = run(table, "exact", which)
    total = found.single.sum() + np.triu(found.pair, 1).sum()
    assert total == pytest.approx(table[-1] - table[0], abs=1e-8)


@pytest.mark.parametrize(("name", "which"), RUNS)
@given(table=tables())
@examples
def test_symmetric_players_get_the_same(name, which, table):
    n = players_of(table)
    swapped = all_coalitions(n)[:, [1, 0, *range(2, n)]] @ (1 << np.arange(n))
    alike = (table + table[swapped]) / 2
    found = run(alike, name, which)
    assert found.single[0] == pytest.approx(found.single[1], abs=1e-9)
    np.testing.assert_allclose(found.pair[0, 2:], found.pair[1, 2:], atol=1e-9)


@pytest.mark.parametrize(("name", "which"), RUNS + SAMPLED)
@given(table=tables(), own=st.floats(-5, 5).map(lambda x: round(x, 6)))
@examples
def test_a_dummy_gets_its_own_value_and_no_interaction(name, which, table, own):
    """Player 0 adds `own` to every coalition and nothing else."""
    n = players_of(table)
    has = all_coalitions(n)[:, 0]
    without = table[np.arange(2**n) & ~1]
    found = run(without + own * has, name, which, budgets(name, n))
    if name == "exact" or which in ("SII", "STII", "Moebius"):  # the others weigh sampled contributions by their size
        assert found.single[0] == pytest.approx(own, abs=1e-8)
    assert np.abs(np.nan_to_num(found.pair[0])).max() < 1e-8
    idle = run(without, name, which, budgets(name, n))
    assert idle.single[0] == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize(("name", "which"), RUNS + SAMPLED)
@given(data=st.data(), a=st.integers(-3, 3), b=st.integers(-3, 3))
@examples
def test_linearity(name, which, data, a, b):
    first = data.draw(tables())
    second = data.draw(arrays(np.float64, len(first), elements=st.integers(-9, 9).map(float)))
    budget = budgets(name, players_of(first))
    one, two, both = (run(t, name, which, budget) for t in (first, second, a * first + b * second))
    np.testing.assert_allclose(both.single, a * one.single + b * two.single, atol=1e-8)
    np.testing.assert_allclose(both.pair, a * one.pair + b * two.pair, atol=1e-8)  # NaN in the same places


@pytest.mark.parametrize(("name", "which"), SAMPLED)
@given(table=tables(least=3), seed=st.integers(0, 1000))
@examples
def test_a_constant_more_changes_nothing(name, which, table, seed):
    plain, raised = (run(t, name, which, budgets(name, players_of(t)), seed) for t in (table, table + 5))
    np.testing.assert_allclose(plain.single, raised.single, atol=1e-8)
    np.testing.assert_allclose(plain.pair, raised.pair, atol=1e-8)


@pytest.mark.parametrize("which", INDICES)
@given(table=tables())
@examples
def test_names_of_players_do_not_matter(which, table):
    """Anonymity: reversing the players reverses the values."""
    n = players_of(table)
    turned = table[all_coalitions(n)[:, ::-1] @ (1 << np.arange(n))]
    found, other = run(table, "exact", which), run(turned, "exact", which)
    np.testing.assert_allclose(found.single, other.single[::-1], atol=1e-9)
    np.testing.assert_allclose(found.pair, other.pair[::-1, ::-1], atol=1e-9)


@pytest.mark.parametrize(("name", "which"), PEERS)
@given(table=tables(least=3))
@few_examples
def test_peers_at_full_budget_equal_the_exact_values(name, which, table):
    pytest.importorskip("shapiq")
    found, wanted = run(table, name, which), run(table, "exact", which)
    np.testing.assert_allclose(found.single, wanted.single, atol=1e-4)
    np.testing.assert_allclose(found.pair, wanted.pair, atol=1e-4)


@pytest.mark.parametrize(("name", "which"), PEERS)
@given(data=st.data())
@few_examples
def test_peers_are_linear(name, which, data):
    pytest.importorskip("shapiq")
    first, second = (data.draw(tables(least=6, most=6)) for _ in range(2))
    one, two, both = (run(t, name, which, 40, seed=1) for t in (first, second, first - 2 * second))
    scale = 1e-4 * (1 + np.abs(np.concatenate([one.pair, two.pair])).max())
    np.testing.assert_allclose(both.single, one.single - 2 * two.single, atol=scale)
    np.testing.assert_allclose(both.pair, one.pair - 2 * two.pair, atol=scale)
