import json
from dataclasses import replace

import numpy as np
import pytest
from metric_help import EIGHT, descending, game, told

from chiasm.core.errors import InvalidInput, SchemaError, UnknownName
from chiasm.core.game import Game
from chiasm.core.players import PartPlayers, Players
from chiasm.estimators.estimate import explain_game
from chiasm.metrics import DEFAULT, metrics
from chiasm.metrics.base import About, Score, check_players, count_distinct, nothing
from chiasm.metrics.controls import controls, oracle
from chiasm.metrics.evaluate import evaluate_game, named_explanations
from chiasm.metrics.scores import Scores
from chiasm.testing import check_metric
from chiasm.testing.errors import ConformanceError

#: player 1 of a and player 2 of b decide together; each helps a little alone; the others are noise
PLANTED = {(1, 7): 1.0, (1,): 0.2, (7,): 0.2, (0,): 0.02, (3,): -0.02, (5,): 0.01}
TRUTH = {"a": np.array([0, 0.8, 0, 0, 0]), "b": np.array([0, 0, 1.0])}


def planted():
    return game(PLANTED, EIGHT)


@pytest.mark.parametrize("name", list(metrics))
def test_every_metric_keeps_the_protocol(name):
    check_metric(metrics.get(name))


@pytest.mark.parametrize(
    "name",
    ["f_syn_signed", "f_syn_mid", "f_syn_exact", "srg", "insertion", "pointing_game", "pair_localisation", "energy"],
)
def test_oracle_over_random_over_reversed(name):
    played = planted()
    scores = evaluate_game(played, explain_game(played, method="exact"), metrics=[name], truth=TRUTH, random_seeds=9)
    chance = np.mean([scores[f"random {k}", name].value for k in range(9)])
    reverse, best = scores["reversed oracle", name].value, scores["oracle", name].value
    assert best > chance
    assert chance > reverse or reverse == 0
    assert scores["exact SII", name].value >= best - 0.1


def test_one_call_for_everything_and_every_value_once():
    asked = []

    def values(rows):
        asked.append(rows)
        return rows[:, 0] * rows[:, 7] + 0.1 * rows.sum(axis=1)

    played = Game(values, Players.abstract(EIGHT), batch_size=4096)
    given = {k: told(played.players, np.random.default_rng(i).normal(size=8)) for i, k in enumerate("xyz")}
    chosen = ["f_syn", "f_syn_signed", "f_syn_mid", "insertion", "deletion", "srg", "fidelity", "infidelity"]
    scores = evaluate_game(played, given, metrics=chosen, truth=TRUTH)
    assert len(asked) == 1
    assert count_distinct(asked[0]) == len(asked[0]) == scores.computed
    twice = evaluate_game(played, {**given, "w": given["x"]}, metrics=chosen, truth=TRUTH)
    assert twice.computed == 0
    assert all(twice["w", name] == twice["x", name] for name in chosen)
    assert all(scores["x", name] == twice["x", name] for name in chosen)


def test_default_metrics_are_those_that_apply():
    played = planted()
    exact = explain_game(played, method="exact")
    alone = evaluate_game(played, exact)
    assert set(alone.metrics) == set(DEFAULT) - {"agreement", "pointing_game", "energy", "pair_localisation"}
    assert "no planted truth" in alone.notes[0]
    assert any(note.startswith("left out: pointing_game, energy") for note in alone.notes)
    assert alone.explanations == ["exact SII", "random 0", "random 1", "random 2"]
    both = evaluate_game(played, [exact, exact], truth=TRUTH, controls=False)
    assert set(both.metrics) == set(DEFAULT)
    assert both.explanations == ["exact SII", "exact SII #2"]


def test_a_table_shows_random_controls_as_a_range():
    played = planted()
    scores = evaluate_game(played, explain_game(played, method="exact"), metrics=["f_syn"], truth=TRUTH)
    assert scores.groups["random, 3 draws"] == ["random 0", "random 1", "random 2"]
    rows = scores.table()[1]
    drawn = sorted(scores[name, "f_syn"].value for name in scores.groups["random, 3 draws"])
    assert rows[-1] == ["random, 3 draws", f"{drawn[0]:.3f} … {drawn[-1]:.3f}".replace("-", "−")]
    assert [row[0] for row in rows[:-1]] == ["exact SII", "oracle", "reversed oracle"]
    assert all(len(texts) == len(rows) for texts in scores.details("f_syn").values())


def test_an_explanation_of_another_text_says_so():
    red, blue = (
        Players([PartPlayers("t", "text", labels, None, word)]) for word, labels in (("red", "xy"), ("blue", "ab"))
    )
    with pytest.raises(InvalidInput, match="Its t was 'red', now it is 'blue': give its sample"):
        check_players(told(red, [1.0, 2.0]), Game(lambda coalitions: coalitions.sum(1).astype(float), blue))


def test_what_a_metric_cannot_judge_is_told_and_never_left_out():
    played = planted()
    scores = evaluate_game(
        played, told(played.players, descending(8)), metrics=["pair_localisation", "f_syn"], truth=TRUTH
    )
    row = scores.row("by hand SII", "pair_localisation")
    assert row.score is None
    assert "gives none" in row.missing
    with pytest.raises(InvalidInput, match="gives none"):
        scores["by hand SII", "pair_localisation"]
    with pytest.raises(UnknownName):
        scores["by hand SII", "srg"]


def test_a_metric_of_ones_own():
    class Sum:
        about = About("sum", "sum of all values", "single", "neither", -np.inf, np.inf, "none", "test")

        def coalitions(self, case):
            return nothing(case)

        def score(self, case):
            return Score({"sum": float(case.explanation.single.sum())})

    check_metric(Sum())
    played = planted()
    found = evaluate_game(played, told(played.players, descending(8)), metrics=[Sum(), "shares"], controls=False)
    assert found["by hand SII", "sum"].value == 36


class _Bad:
    about = About("bad", "counts on the first player", "single", "higher", 0, 1, "none", "test")

    def coalitions(self, case):
        return nothing(case)

    def score(self, case):
        return Score({"bad": float(np.clip(case.explanation.single[0], 0, 1))})


class _Unannounced(_Bad):
    about = replace(_Bad.about, name="unannounced", high=9)

    def score(self, case):
        return Score({"v": case.game.full()})


class _TooLarge(_Bad):
    about = replace(_Bad.about, name="large")

    def score(self, case):
        return Score({"v": 7.0})


class _FirstOfEqual(_Bad):
    """Shapley values have no ties in the kit's game; where there are some, the first player is taken."""

    about = replace(_Bad.about, name="first", low=-9, high=9)

    def score(self, case):
        top = [case.game.players.slices[part].start + case.explanation.values[part].argmax() for part in case.parts]
        return Score({"v": case.game(np.isin(np.arange(case.game.n), top)[None])[0]})

    def coalitions(self, case):
        top = [case.game.players.slices[part].start + case.explanation.values[part].argmax() for part in case.parts]
        return np.isin(np.arange(case.game.n), top)[None]


@pytest.mark.parametrize(
    ("metric", "failed"),
    [(_FirstOfEqual, "ties"), (_Bad, "player order"), (_Unannounced, "asks"), (_TooLarge, "range")],
)
def test_the_kit_sees_what_is_wrong(metric, failed):
    with pytest.raises(ConformanceError, match=failed):
        check_metric(metric())


def test_scores_are_saved_and_read_whole(tmp_path):
    played = planted()
    scores = evaluate_game(played, explain_game(played, method="exact"), truth={"a": TRUTH["a"]})
    path = scores.save(tmp_path / "scores.json")
    back = Scores.load(path)
    for row, other in zip(scores.rows, back.rows, strict=True):
        assert (row.explanation, row.metric, row.missing) == (other.explanation, other.metric, other.missing)
        assert (row.score is None) == (other.score is None)
        if row.score is not None:
            np.testing.assert_equal(dict(other.score.values), dict(row.score.values))
            assert other.score.error == row.score.error
    assert str(back) == str(scores)
    assert len(list(scores.records())) == len(list(back.records()))
    with pytest.raises(InvalidInput, match="json"):
        scores.save(tmp_path / "scores.csv")
    path.write_text(json.dumps({"schema": "other"}))
    with pytest.raises(SchemaError):
        Scores.load(path)
    with pytest.raises(InvalidInput, match="no file"):
        Scores.load(tmp_path / "none.json")


def test_frame():
    pandas = pytest.importorskip("pandas")
    played = planted()
    frame = evaluate_game(played, explain_game(played, method="exact"), metrics=["f_syn", "srg"]).to_frame()
    assert isinstance(frame, pandas.DataFrame)
    first = frame[frame["first"] & ~frame["control"]].set_index("metric")["value"]
    assert set(first.index) == {"f_syn", "srg"}


def test_controls_know_the_truth():
    players = Players.abstract(EIGHT)
    best = oracle(players, {"a": TRUTH["a"]})
    assert best.values["a"].argmax() == 1
    assert not best.values["b"].any()
    whole = controls(players, TRUTH, seeds=2, seed=0)
    assert list(whole) == ["oracle", "reversed oracle", "random 0", "random 1"]
    assert np.array_equal(whole["reversed oracle"].single, -whole["oracle"].single)
    assert whole["oracle"].interactions["a", "b"][1, 2] == pytest.approx(0.8)
    assert not np.array_equal(whole["random 0"].single, whole["random 1"].single)
    assert list(controls(players, {}, seeds=1, seed=0)) == ["random 0"]


def test_refusals():
    played = planted()
    one = told(played.players, descending(8))
    with pytest.raises(InvalidInput, match="no explanation"):
        named_explanations([])
    with pytest.raises(InvalidInput, match="dict"):
        named_explanations({"x": {}})
    with pytest.raises(UnknownName, match="f_sin"):
        evaluate_game(played, one, metrics=["f_sin"])
    with pytest.raises(InvalidInput, match="once"):
        evaluate_game(played, one, metrics=["f_syn", "f_syn"])
    with pytest.raises(InvalidInput, match="as a control is"):
        evaluate_game(played, {"oracle": one}, truth=TRUTH)
    with pytest.raises(InvalidInput, match="note"):
        Score({"x": float("nan")})
