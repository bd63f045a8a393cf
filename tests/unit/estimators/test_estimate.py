"""From a function of coalitions to an explanation: choices, budgets, provenance; the exact estimator."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import BudgetTooSmall, InvalidInput, ModelError, UnknownName
from chiasm.core.indices import index
from chiasm.core.provenance import Provenance
from chiasm.estimators import choice
from chiasm.estimators.base import Estimate
from chiasm.estimators.choice import choose, default_budget, parse_method, unknowns
from chiasm.estimators.estimate import estimate, explain_game
from chiasm.estimators.exact import EXACT
from chiasm.testing.games import bilinear_sigmoid, game_of, sparse_polynomial

PARTS = {"image": 5, "text": 3}
KNOWN = bilinear_sigmoid(8, seed=4)


class Counter:
    def __init__(self, known):
        self.known, self.computed = known, 0

    def __call__(self, coalitions):
        self.computed += len(coalitions)
        return self.known.values(coalitions)


def test_small_games_are_exact():
    values = Counter(KNOWN)
    e = estimate(values, PARTS)
    single, pair = KNOWN.exact("SII")
    np.testing.assert_allclose(e.single, single, atol=1e-12)
    np.testing.assert_allclose(e.interactions["image", "text"], pair[:5, 5:], atol=1e-12)
    assert not e.interaction_errors["image", "text"].any()
    assert abs(e.efficiency_gap) < 1e-12
    p = e.provenance
    assert (p.method, p.index, p.budget, p.seed, p.computed) == ("exact", "SII", 256, 0, 256)
    assert p.computed == values.computed
    assert "exact, because all 2^8 = 256 values are within the budget" in p.notes[0]
    assert set(e.part_values) == {(), ("image",), ("text",), ("image", "text")}
    assert sum(e.contributions.values()) == pytest.approx(e.full - e.empty)


@pytest.mark.parametrize("method", ["auto", "permutation", "exact"])
@pytest.mark.parametrize("budget", [40, 64, 256])
def test_part_values_are_within_the_budget(method, budget):
    if method == "exact" and budget < 256:
        with pytest.raises(BudgetTooSmall, match=r"256 values of the game, 256 of them new; the budget allows"):
            estimate(KNOWN.values, PARTS, method=method, budget=budget)
        return
    values = Counter(KNOWN)
    e = estimate(values, PARTS, method=method, budget=budget)
    assert values.computed == e.provenance.computed <= budget
    assert e.provenance.requested == e.provenance.computed + e.provenance.cached
    assert len(e.part_values) == 4
    # A surrogate ("gp") fits the two ends closely; the others are efficient by construction.
    closely = 0.02 * abs(e.full - e.empty) if e.provenance.method == "gp" else 1e-9
    assert e.efficiency_gap == pytest.approx(0.0, abs=closely)


def test_so_many_parts_that_their_values_would_eat_the_budget():
    known = sparse_polynomial(9)
    parts = {f"p{k}": 1 for k in range(9)}
    e = estimate(known.values, parts, method="permutation", budget=200)
    assert e.part_values == {}
    assert e.empty is None
    assert any("no values of whole parts" in note for note in e.provenance.notes)
    assert e.provenance.computed <= 200
    assert len(estimate(known.values, parts).part_values) == 512  # exact: they are there anyway


def test_the_choice_follows_the_budget():
    sii = index("SII")
    assert choose(8, sii, 256)[0] == "exact"
    assert choose(8, sii, 255)[0] == "gp"
    scarce = estimate(sparse_polynomial(14).values, {"a": 14}, method="gp", budget=100)
    assert "the standard errors of gp are too small" in " ".join(scarce.provenance.notes)
    assert choose(64, index("FSII"), 8192)[0] == "gp"
    assert choose(64, sii, 8193)[0] == "kernelshap-iq"
    assert choose(65, sii, int(2.5 * unknowns(65)) - 1)[0] == "permutation"
    assert choose(65, sii, int(2.5 * unknowns(65)) + 1)[0] == "kernelshap-iq"
    assert choose(65, index("BII"), 5000)[0] == "permutation"
    assert choose(65, index("FSII"), 5000)[0] == "kernelshap-iq"
    assert choose(16, sii, 199)[0] == "permutation"  # too few for gp to judge its own errors
    assert choose(16, sii, 200)[0] == "gp"
    assert choose(60, sii, 239)[0] == "permutation"
    for n in (1, 3, 12, 16, 40, 57, 200):
        assert default_budget(n) <= max(2048, min(8192, 3 * unknowns(n)))
    assert default_budget(4) == 16
    assert default_budget(14, "exact") == default_budget(14, "exact-bii") == 2**14
    assert default_budget(57, "exact") == default_budget(57, "kernelshap-iq")
    assert choose(57, sii, default_budget(57))[0] == "gp"


def test_without_shapiq_the_choice_says_so(monkeypatch):
    monkeypatch.setattr(choice, "find_spec", lambda _: None)
    name, why = choose(70, index("SII"), 8192)
    assert name == "permutation"
    assert "pip install shapiq" in why


@pytest.mark.parametrize(
    ("method", "given", "expected"),
    [
        ("permutation", "SII", ("permutation", "SII")),
        ("permutation", "bii", ("permutation", "BII")),
        ("permutation-bii", "SII", ("permutation", "BII")),
        ("permutation-bii", "BII", ("permutation", "BII")),
        ("kernelshap-iq", "SII", ("kernelshap-iq", "SII")),
        ("kernelshap-iq-fsii", "SII", ("kernelshap-iq", "FSII")),
        ("permutation-shapiq", "STII", ("permutation-shapiq", "STII")),
        ("exact-wbii:0.3", "SII", ("exact", "WBII:0.3")),
        ("auto-stii", "SII", ("auto", "STII")),
    ],
)
def test_methods_carry_an_index(method, given, expected):
    name, found = parse_method(method, given)
    assert (name, found.name) == expected


def test_methods_that_do_not_exist():
    with pytest.raises(UnknownName, match="Did you mean 'permutation'"):
        parse_method("permutaion", "SII")
    with pytest.raises(UnknownName, match="Unknown index 'xii'"):
        parse_method("exact-xii", "SII")
    with pytest.raises(UnknownName, match="Unknown estimator 'gpp-sii'"):
        parse_method("gpp-sii", "SII")
    with pytest.raises(InvalidInput, match="asks for BII and index='STII'"):
        parse_method("exact-bii", "STII")


@pytest.mark.parametrize("option", [{"budget": 0}, {"budget": -3}, {"budget": 2.5}, {"budget": True}, {"seed": -1}])
def test_options_that_cannot_be_used(option):
    (name, value) = next(iter(option.items()))
    with pytest.raises(InvalidInput, match=f"The {name} is {value!r}"):
        estimate(KNOWN.values, PARTS, **option)


def test_one_value_is_never_enough():
    with pytest.raises(BudgetTooSmall, match="at least 16"):
        estimate(KNOWN.values, PARTS, budget=1)


def test_fixed_players_are_written_down():
    e = estimate(KNOWN.values, PARTS, fixed={("image", 1): True, "text": False})
    assert e.provenance.fixed == {"image[1]": True, "text": False}
    assert len(e.single) == 4
    assert e.provenance.budget == 16


def test_pairs_that_a_method_does_not_look_at_are_no_shortcoming():
    e = estimate(KNOWN.values, PARTS, method="multishap", budget=255)
    assert np.isnan(e.pair[0, 1])
    assert not any("never met" in note for note in e.provenance.notes)


def test_provenance_is_filled_in_and_kept():
    given = Provenance("?", "?", model="m", notes=["before"])
    game = game_of(KNOWN, PARTS)
    game(np.ones((1, 8), bool))
    e = explain_game(game, budget=100, seed=5, provenance=given, method="permutation")
    p = e.provenance
    assert (p.model, p.method, p.index, p.seed, p.budget) == ("m", "permutation", "SII", 5, 100)
    unmet = int(np.isnan(e.pair[:5, 5:]).sum())
    told = f"{unmet} of 15 pairs across parts never met within the budget and have no value; raise it"
    assert p.notes == (["before", told] if unmet else ["before"])
    assert p.computed == game.counts.computed - 1
    assert p.seconds > 0
    assert given.method == "?"
    assert given.notes == ["before"]


def test_estimates_and_counts_are_reported_on_the_way():
    seen, counts = [], []
    game = game_of(KNOWN, PARTS, batch_size=16)
    explain_game(game, method="permutation", budget=200, on_estimate=seen.append)
    assert len(seen) > 3
    assert all(isinstance(found, Estimate) for found in seen)
    estimate(KNOWN.values, PARTS, batch_size=100, progress=lambda c: counts.append(c.computed))
    assert counts == [100, 200, 256]


def test_an_interruption_comes_through_and_leaves_the_game_usable():
    game = game_of(KNOWN, PARTS, batch_size=16)

    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        explain_game(game, method="permutation", budget=100, on_estimate=stop)
    assert game.budget_left is None
    assert explain_game(game, budget=256).provenance.method == "exact"


def test_values_that_are_nonsense_are_refused():
    with pytest.raises(ModelError, match="one number a coalition"):
        estimate(lambda _: np.zeros(3), PARTS)
    with pytest.raises(UnknownName, match="index"):
        estimate(KNOWN.values, PARTS, index="shapley")


def test_the_same_seed_gives_the_same_explanation():
    a, b = (estimate(KNOWN.values, PARTS, method="permutation", budget=100, seed=7) for _ in range(2))
    np.testing.assert_array_equal(a.pair, b.pair)
    np.testing.assert_array_equal(a.pair_errors, b.pair_errors)


def test_exact_refuses_more_than_twenty_players_with_numbers():
    with pytest.raises(InvalidInput, match=r"21 players need 2\^21 = 2,097,152 values.*'permutation'"):
        EXACT.run(game_of(sparse_polynomial(21)), index("SII"), 2**21, 0)


def test_exact_pays_only_for_what_is_unknown():
    game = game_of(KNOWN, PARTS)
    game.part_values()
    (found,) = EXACT.run(game, index("SII"), 252, 0)
    np.testing.assert_allclose(found.single, KNOWN.exact("SII")[0], atol=1e-12)
    fresh = game_of(KNOWN, PARTS)
    fresh.part_values()
    with pytest.raises(BudgetTooSmall, match=r"256 values of the game, 252 of them new; the budget allows 251"):
        EXACT.run(fresh, index("SII"), 251, 0)


def test_exact_works_in_chunks():
    sizes = []
    known = sparse_polynomial(14)
    e = estimate(lambda c: (sizes.append(len(c)), known.values(c))[1], {"a": 14}, budget=2**14, batch_size=1000)
    assert max(sizes) == 1000
    assert sum(sizes) == 2**14
    np.testing.assert_allclose(e.pair, known.exact("SII")[1], atol=1e-9)
