"""What every metric meets sooner or later: explanations that say nothing, single players, one word, another order."""

import numpy as np
import pytest
from metric_help import EIGHT, TWO, case, descending, game, told

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.estimate import explain_game
from chiasm.metrics import DEFAULT, metrics
from chiasm.metrics.again import Again
from chiasm.metrics.base import Case
from chiasm.metrics.curves import Curves
from chiasm.metrics.evaluate import evaluate_game
from chiasm.metrics.fidelity import Fidelity, Infidelity, PredictiveSynergy
from chiasm.metrics.influence import Influence
from chiasm.metrics.localisation import PairLocalisation
from chiasm.metrics.sanity import similarity
from chiasm.metrics.synergy import FSyn, FSynExact, FSynMid
from chiasm.testing.games import bilinear_sigmoid

TRUTH = {"a": np.array([1.0, 0, 0, 0, 0]), "b": np.array([0, 0, 1.0])}
FORMS = [FSyn(ties=600), FSyn(form="signed", ties=600), FSynMid(ties=600), FSynExact(groups=2, ties=600)]


@pytest.mark.parametrize("name", [name for name in metrics if set(metrics.get(name).about.needs) <= {"game", "truth"}])
def test_the_same_explanation_twice_has_the_same_score(name):
    """Under two names, beside others, with ties: whatever is random comes from the sample's seed alone."""
    played = game({(0, 7): 1.0, (1,): 0.5, (2, 6): -0.4}, EIGHT)
    tied = told(played.players, [2, 1, 1, 0, 0, 1, 1, 3], np.outer(descending(8), descending(8)))
    found = evaluate_game(played, {"one": tied, "two": tied}, metrics=[name], truth=TRUTH, controls=False, seed=3)
    assert found["one", name] == found["two", name]
    assert np.isfinite(found["one", name].value)


@pytest.mark.parametrize("metric", FORMS, ids=lambda m: m.about.name)
def test_a_constant_explanation_is_scored_as_the_mean_over_all_orders(metric):
    """AND of a player of two and a part's only one: in half of the orders it comes first, in half last."""
    found = metric.score(case(game({(0, 2): 1.0}, {"a": 2, "b": 1}), np.full(3, 7.0)))
    lucky = metric.score(case(game({(0, 2): 1.0}, {"a": 2, "b": 1}), [2.0, 1.0, 1.0])).value
    other = metric.score(case(game({(0, 2): 1.0}, {"a": 2, "b": 1}), [1.0, 2.0, 1.0])).value
    assert lucky > other + 0.1
    assert found.value == pytest.approx((lucky + other) / 2, abs=1e-9)  # orders come with their reverses
    assert found.error is not None


def test_a_constant_explanation_foretells_nothing_and_points_nowhere():
    played = game({(0, 7): 1.0, (1,): 0.5}, EIGHT)
    flat = case(played, np.zeros(8), np.zeros((8, 8)), truth=TRUTH)
    assert Fidelity().score(flat).value == pytest.approx(0)
    assert Fidelity().score(flat).values["Spearman"] == 0
    assert Infidelity().score(flat).values["share"] == pytest.approx(1)
    assert PredictiveSynergy().score(flat).value == pytest.approx(0, abs=1e-9)
    found = PairLocalisation().score(flat).values
    assert found["average precision"] == pytest.approx(found["chance"])
    assert found["top pair"] == pytest.approx(1 / 15)


def test_single_players_a_part_have_one_order_and_no_more():
    """Whatever values a part's only player has, it is its part's first: all explanations of the game are alike."""
    played = game({(0, 1): 1.0}, TWO)
    for metric in (FSyn(), FSyn(form="signed"), FSynMid(), FSynExact(), Curves("insertion"), Curves("srg")):
        one, other = (metric.score(case(played, single)) for single in ([1.0, 2.0], [-3.0, 0.0]))
        assert (one.value, one.error) == (pytest.approx(other.value), None)
    three = game({(0, 1): 1.0, (2,): 1.0}, {"a": 1, "b": 1, "c": 1})
    found = FSyn(form="signed").score(case(three, [1.0, 1.0, 1.0])).values
    assert found["a × b"] == pytest.approx(0.55 / 2)  # Z is 2
    assert (found["a × c"], found["b × c"], found["a × b × c"]) == pytest.approx((0, 0, 0))


def test_a_question_of_one_word_goes_through_every_default_metric():
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:4, :4] = 250

    def seen(image, text):
        return 0.1 + 0.8 * float(image[:4, :4].mean() > 100) * float("colour" in text)

    model = cx.FunctionModel(seen, kinds=("image", "text"), batch=False)
    sample = cx.Sample(
        image=picture, text="colour", truth={"image": np.array([[0, 0, 4, 4]]), "text": np.array([[0, 6]])}
    )
    cut = {"players": "grid:2x2,words", "maskers": "zero,delete"}
    exact = cx.explain(model, sample, method="exact", **cut)
    assert [len(part) for part in exact.players.parts.values()] == [4, 1]
    scores = cx.evaluate(model, sample, [exact, exact], **cut)
    assert set(scores.metrics) == set(DEFAULT)
    for metric in scores.metrics:
        assert np.isfinite(scores["exact SII", metric].value), metric
    assert scores["exact SII", "pair_localisation"].value == 1
    assert scores["oracle", "f_syn"].value > scores["reversed oracle", "f_syn"].value


def test_nan_is_refused_wherever_it_comes_in():
    played = game({(0, 7): 1.0}, EIGHT)
    broken = descending(8)
    broken[3] = np.nan
    with pytest.raises(InvalidInput, match="nan as the value of"):
        case(played, broken)
    with pytest.raises(InvalidInput, match="truth of part 'a'"):
        case(played, descending(8), truth={"a": np.array([np.nan, 0, 0, 0, 1])})
    pair = np.zeros((8, 8))
    pair[0, 7] = pair[7, 0] = np.nan
    with pytest.raises(MissingCapability, match="1 of 15 without a value"):
        PairLocalisation().score(case(played, descending(8), pair, truth=TRUTH))
    silent = Game(lambda rows: np.full(len(rows), np.nan), Players.abstract(EIGHT))
    with pytest.raises(cx.core.errors.ModelError, match="nan"):
        FSyn().score(case(silent, descending(8)))


def test_metrics_that_explain_again_do_not_ask_in_which_order_players_are_written():
    known, rng = bilinear_sigmoid(8, 4), np.random.default_rng(1)
    order = np.concatenate([rng.permutation(5), 5 + rng.permutation(3)])

    def moved(rows):
        back = np.zeros_like(rows)
        back[:, order] = rows
        return known.values(back)

    found = []
    for values in (known.values, moved):
        played = Game(values, Players.abstract(EIGHT))
        exact = explain_game(played, method="exact")
        found.append((exact, Influence().score(Case(exact, played, again=Again(exact, played, {}))).values))
    (first, one), (second, two) = found
    assert one == pytest.approx(two, abs=1e-12)
    assert first.single[order] == pytest.approx(second.single)
    third = told(first.players, rng.normal(size=8), np.add.outer(descending(8), descending(8)))
    back = told(first.players, third.single[order], third.pair[np.ix_(order, order)])
    assert similarity(first, third) == pytest.approx(similarity(second, back))
