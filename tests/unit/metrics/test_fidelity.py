import numpy as np
import pytest
from metric_help import EIGHT, case, game, told

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.estimate import explain_game
from chiasm.metrics.base import Case
from chiasm.metrics.fidelity import Fidelity, Infidelity, PredictiveSynergy, surrogate
from chiasm.testing.games import additive, sparse_polynomial

QUADRATIC = {(0,): 1.0, (3,): -0.5, (0, 5): 2.0, (2, 6): -1.0, (5, 6): 0.7}


def of(known, index="SII"):
    played = Game(known.values, Players.abstract(EIGHT))
    return Case(explain_game(played, method="exact", index=index), played)


@pytest.mark.parametrize("index", ["SII", "BII", "WBII:0.3", "STII", "FSII", "Moebius"])
def test_a_game_of_order_two_is_rebuilt_from_any_index(index):
    one = of(sparse_polynomial(8, seed=2, order=2), index)
    found = Fidelity().score(one)
    assert found.value == pytest.approx(1, abs=1e-9)
    assert Infidelity().score(one).value == pytest.approx(0, abs=1e-9)
    assert found.values["R² additive"] < 0.95


def test_an_additive_game_needs_no_pairs():
    one = of(additive(8, seed=1))
    assert Fidelity().score(one).values["R² additive"] == pytest.approx(1)
    assert PredictiveSynergy().score(one).value == pytest.approx(0, abs=1e-9)


def test_the_surrogate_of_sii_is_efficient():
    known = sparse_polynomial(8, seed=4)
    one = of(known)
    ends = np.array([np.zeros(8, bool), np.ones(8, bool)])
    guess, real = surrogate(one.explanation)(ends), known.values(ends)
    assert guess[1] - guess[0] == pytest.approx(real[1] - real[0])


def test_synergy_is_foretold_by_pairs_alone():
    """XOR-like: (s0 − ½)(s5 − ½) holds nothing that single players say."""
    one = case(game({(0,): 1.0, (5,): 1.0, (0, 5): -2.0, (1,): 1.0}, EIGHT))
    found = PredictiveSynergy(count=512).score(one)
    share = 0.25 / 0.5  # variance of XOR 1/4, of the single player 1/4
    assert found.value == pytest.approx(share, abs=0.06)
    assert found.values["R² joint"] == pytest.approx(1, abs=1e-6)
    assert found.values["R² a alone"] == pytest.approx(1 - share, abs=0.06)
    assert found.values["R² b alone"] == pytest.approx(0, abs=0.05)
    assert found.error is not None
    assert 0 < found.error < 0.1


def test_random_pairs_foretell_nothing():
    played = game(QUADRATIC, EIGHT)
    true = explain_game(played, method="exact")
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(8, 8))
    wrong = told(played.players, true.single, noise + noise.T)
    assert PredictiveSynergy().score(Case(wrong, played)).value < 0.05
    assert PredictiveSynergy().score(Case(true, played)).value > 0.2


def test_wrong_signs_foretell_nothing():
    played = game(QUADRATIC, EIGHT)
    true = explain_game(played, method="exact")
    right = PredictiveSynergy().score(Case(true, played)).values
    half = PredictiveSynergy().score(Case(told(played.players, true.single, -true.pair), played)).values
    reverse = PredictiveSynergy().score(Case(told(played.players, -true.single, -true.pair), played)).values
    assert half["gain"] == 0
    assert half["R² additive"] == pytest.approx(right["R² additive"])
    assert (reverse["R² joint"], reverse["R² additive"]) == pytest.approx((0, 0), abs=1e-9)


def test_scale_matters_to_fidelity_and_not_to_its_scaled_form():
    played = game({(i,): float(i) for i in range(8)}, EIGHT)
    ten = Case(told(played.players, 10 * np.arange(8.0)), played)
    found = Fidelity().score(ten).values
    assert found["R²"] == pytest.approx(1 - 81)
    assert found["R² scaled"] == pytest.approx(1)
    assert found["Spearman"] == pytest.approx(1)
    assert Infidelity().score(ten).values["scaled"] == pytest.approx(0, abs=1e-9)
    reverse = Fidelity().score(Case(told(played.players, -np.arange(8.0)), played)).values
    assert (reverse["R² scaled"], round(reverse["Spearman"], 6)) == (0, -1)


def test_infidelity_by_hand():
    """φ says 0 throughout: the squared falls are left, all of the share."""
    played = game({(0,): 2.0}, EIGHT)
    found = Infidelity(count=4000).score(Case(told(played.players, np.zeros(8)), played)).values
    assert found["raw"] == pytest.approx(4 / 2, abs=0.1)  # the player is taken away half of the time
    assert found["share"] == pytest.approx(1)


def test_explanations_and_metrics_share_their_coalitions():
    played = game(QUADRATIC, EIGHT)
    first = Case(explain_game(game(QUADRATIC, EIGHT), method="exact"), played)
    Fidelity().score(first)
    before = played.counts.computed
    PredictiveSynergy().score(first)
    Fidelity().score(Case(told(played.players, np.ones(8)), played))
    assert played.counts.computed == before
    Infidelity().score(first)
    assert played.counts.computed == before


def test_a_probability_is_judged_as_a_probability_on_a_game_of_logarithms():
    probability = lambda rows: 0.1 + 0.1 * rows.sum(axis=1)  # noqa: E731
    played = Game(lambda rows: np.log(probability(rows)), Players.abstract(EIGHT), scale="log_probability")
    right = told(played.players, np.full(8, 0.1), scale="probability")
    assert Fidelity().score(Case(right, played)).value == pytest.approx(1)
    other = told(played.players, np.full(8, 0.1), scale="log_probability")
    assert Fidelity().score(Case(other, played)).value < 0.9


def test_unknown_pairs_are_told():
    played = game(QUADRATIC, EIGHT)
    pair = np.zeros((8, 8))
    pair[:5, :5] = np.nan
    pair[0, 7] = pair[7, 0] = np.nan
    notes = Fidelity().score(Case(told(played.players, np.ones(8), pair), played)).notes
    assert notes == (
        "1 pairs that are judged have no value and count as 0",
        "10 pairs within a part have no value and count as 0",
    )


def test_refusals_and_nothing_to_predict():
    played = game({}, EIGHT)
    flat = Fidelity().score(Case(told(played.players, np.ones(8), np.zeros((8, 8))), played))
    assert np.isnan(flat.value)
    assert "nothing to predict" in flat.notes[0]
    with pytest.raises(MissingCapability, match="pairs"):
        PredictiveSynergy().score(Case(told(played.players, np.ones(8)), played))
    with pytest.raises(InvalidInput):
        Fidelity(count=2).score(Case(told(played.players, np.ones(8)), played))
    with pytest.raises(InvalidInput, match="infinite"):
        Case(told(played.players, np.ones(8), np.full((8, 8), np.inf)), played)
