"""From a model of the zoo to a table of scores, in Python and on the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import chiasm as cx
from chiasm.cli.main import app
from chiasm.core.errors import InvalidInput
from chiasm.metrics import DEFAULT
from chiasm.metrics.scores import Scores

CUT = "grid:2x2,words"
CHEAP = ["f_syn", "srg", "fidelity", "pointing_game", "pair_localisation"]


@pytest.fixture(scope="module")
def model():
    return cx.load("zoo:llava-shapes")


@pytest.fixture(scope="module")
def sample():
    return cx.dataset("shapes", 2, 0, ["colour"])[1]


@pytest.fixture(scope="module")
def explanation(model, sample):
    return cx.explain(model, sample, method="exact", players=CUT)


@pytest.fixture(scope="module")
def scores(model, sample, explanation):
    return cx.evaluate(model, sample, explanation, random_seeds=2)


def test_every_default_metric_scores_beside_the_controls(scores):
    assert set(scores.metrics) == set(DEFAULT) - {"agreement"}
    assert scores.explanations == ["exact SII", "oracle", "reversed oracle", "random 0", "random 1"]
    assert all(np.isfinite(scores["exact SII", name].value) for name in scores.metrics)
    assert scores.about["target"].startswith("log-probability of")
    assert not scores["exact SII", "f_syn"].notes  # a log-probability was read as a probability


def test_the_oracle_is_told_from_its_reverse(scores):
    for name in ("srg", "insertion", "pointing_game", "pair_localisation", "f_syn_mid"):
        assert scores["oracle", name].value > scores["reversed oracle", name].value
    assert scores["oracle", "pointing_game"].value == 1


def test_metrics_cost_the_values_that_they_share(model, sample, explanation):
    alone = cx.evaluate(model, sample, explanation, controls=False)
    used = [row.score.values_used for row in alone.rows if row.score is not None]
    assert alone.computed < 0.6 * sum(used)
    again = cx.evaluate(model, sample, {"one": explanation, "two": explanation}, controls=False, metrics=CHEAP)
    assert all(again["one", name] == again["two", name] for name in CHEAP)
    for name in CHEAP:  # other batches, other rounding
        assert again["one", name].value == pytest.approx(alone["exact SII", name].value, abs=1e-4)
    assert again.computed <= alone.computed


def test_scales_of_one_answer_are_judged_together_and_others_refused(model, sample, explanation):
    spec = explanation.provenance.target_spec
    other = cx.explain(model, sample, method="occlusion", players=CUT, target=cx.Target("probability", spec["answer"]))
    for pair in ([explanation, other], [other, explanation]):
        found = cx.evaluate(model, sample, pair, controls=False, metrics=["f_syn", "fidelity", "agreement"])
        assert found.about["target"].startswith("log-probability of")
    logit = cx.explain(
        model, sample, method="occlusion", players=CUT, target=cx.Target("logit", spec["answer"], token=0)
    )
    with pytest.raises(InvalidInput, match="one target"):
        cx.evaluate(model, sample, [explanation, logit])
    with pytest.raises(InvalidInput, match="players"):
        cx.evaluate(model, sample, [explanation], players="grid:3x2,words")


def test_values_of_explaining_are_remembered(model, sample, tmp_path):
    made = cx.explain(model, sample, method="exact", players="grid:2x2,sentences", cache=tmp_path)
    found = cx.evaluate(model, sample, made, metrics=["f_syn", "srg", "fidelity"], cache=tmp_path)
    assert (found.computed, found.requested > 0) == (0, True)


def test_what_was_held_fixed_stays_fixed(model, sample):
    made = cx.explain(
        model, sample, method="exact", players="grid:2x2,words", fixed={"text": True, ("image", 3): False}
    )
    found = cx.evaluate(model, sample, made, metrics=["f_syn", "srg", "pointing_game"])
    assert "two parts" in found.row("exact SII", "f_syn").missing
    assert np.isfinite(found["exact SII", "srg"].value)


def test_an_explanation_of_another_model_is_judged_and_told(sample, explanation):
    found = cx.evaluate("zoo:qwen-shapes", sample, explanation, metrics=["pointing_game"], controls=False)
    (note,) = found.notes
    assert note == "exact SII explains zoo:llava-shapes (other weights or settings); the scores are by zoo:qwen-shapes"


def test_command(sample, explanation, tmp_path):
    file, out = explanation.save(tmp_path / "one.json"), tmp_path / "scores.json"
    folder = cx.export([sample], tmp_path / "data")
    metrics = ["--metrics", "f_syn,pointing_game", "-o", str(out)]
    shown = CliRunner().invoke(app, ["evaluate", str(file), "--dataset", str(folder), *metrics])
    assert shown.exit_code == 0, shown.output
    assert all(word in shown.output for word in ("one", "oracle", "f_syn", "pointing_game", "values computed"))
    found = Scores.load(out)
    assert found.explanations[:3] == ["one", "oracle", "reversed oracle"]
    picture, words = next((folder / "images").iterdir()), sample["text"].data
    line = ["evaluate", str(file), "-i", str(picture), "-t", words, "--no-controls", *metrics]
    shown = CliRunner().invoke(app, line)
    assert shown.exit_code == 0, shown.output
    assert "no planted truth" not in shown.output  # nobody asked for controls
    assert "pointing_game of one" in shown.output  # it has no score, and why is told
    plain = Scores.load(out)
    assert plain.explanations == ["one"]
    assert plain["one", "f_syn"].value == pytest.approx(found["one", "f_syn"].value, abs=1e-4)


def test_command_with_details(sample, explanation, tmp_path):
    file, out = explanation.save(tmp_path / "one.json"), tmp_path / "scores.json"
    folder = cx.export([sample], tmp_path / "data")
    line = ["evaluate", str(file), "--dataset", str(folder), "--metrics", "srg,pair_localisation", "-o", str(out)]
    shown, plain = (CliRunner().invoke(app, [*line, *more]).output for more in (["--details"], []))
    found = Scores.load(out)
    by_name = {words[0]: words[1:] for text in shown.splitlines() if (words := text.split())}
    for part in ("image", "text"):
        values = [found[name, "srg"].values[part] for name in found.explanations]
        single, drawn = values[:-3], values[-3:]  # random explanations are told as a range
        told = [f"{value:.3f}".replace("-", "−") for value in (*single, min(drawn), max(drawn))]
        assert by_name[part] == [*told[:-1], "…", told[-1]]
    assert "chance" in shown
    assert "chance" not in plain


def test_command_with_other_baselines(sample, explanation, tmp_path):
    file, out = explanation.save(tmp_path / "one.json"), tmp_path / "scores.json"
    folder = cx.export([sample], tmp_path / "data")
    line = ["evaluate", str(file), "--dataset", str(folder), "--metrics", "srg,pointing_game", "-o", str(out)]
    shown = CliRunner().invoke(app, [*line, "--baseline", "grey,attention", "--baseline", "blur:8,attention"])
    assert shown.exit_code == 0, shown.output
    assert "Hidden in other ways: as explained → grey,attention → blur:8,attention" in shown.output
    each = [
        Scores.load(tmp_path / name) for name in ("scores.json", "scores.baseline-1.json", "scores.baseline-2.json")
    ]
    assert [scores.about["maskers"]["image"] for scores in each] == ["mean", "grey", "blur:8"]
    srg = [scores["one", "srg"].value for scores in each]
    assert len(set(srg)) == 3
    assert " → ".join(f"{value:.3f}" for value in srg) in shown.output
    assert len({scores["one", "pointing_game"].value for scores in each}) == 1  # it asks for no values
    shown = CliRunner().invoke(app, [*line, "--baseline", "gray,attention"])
    assert shown.exit_code == 2
    assert "gray" in shown.output
    assert "values computed" not in shown.output


def test_command_refuses(tmp_path, explanation):
    file = str(explanation.save(tmp_path / "one.json"))
    for line, words in (
        ([file], "--image"),
        ([file, "--dataset", "shapes", "--row", "-1"], "count from 0"),
        ([file, "--dataset", "shapes", "--metrics", "f_sin"], "f_sin"),
        ([file, file, "--dataset", "shapes"], "twice"),
        ([file, "--dataset", "shapes", "-o", "scores.csv"], ".json"),
        ([str(tmp_path / "none.json"), "--dataset", "shapes"], "none.json"),
    ):
        shown = CliRunner().invoke(app, ["evaluate", *line])
        assert shown.exit_code == 2
        assert words in shown.output


def test_list_metrics_tells_range_direction_cost_and_source():
    shown = CliRunner().invoke(app, ["list", "metrics", "--json"])
    rows = {row["name"]: row for row in json.loads(shown.output)}
    assert set(DEFAULT) <= set(rows)
    assert rows["f_syn"] == {**rows["f_syn"], "range": "0 to 1", "better": "higher", "judges": "single players"}
    assert all(row["summary"] and row["values"] and row["source"] for row in rows.values())
    assert "higher is better" in CliRunner().invoke(app, ["list", "metrics"]).output
