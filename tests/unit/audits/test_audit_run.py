"""Audits from end to end: planted models are told apart, nothing is computed twice, nothing vanishes."""

from __future__ import annotations

import json
import resource

import numpy as np
import pytest
from typer.testing import CliRunner

import chiasm as cx
from chiasm.audits.limits import Limit
from chiasm.audits.record import Plan
from chiasm.audits.report import as_data, markdown, write
from chiasm.cli.main import app
from chiasm.core.errors import InvalidInput, UnknownName

RUNNER = CliRunner()
N = 40


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audit") / "twins"
    first, second = (cx.load(f"zoo:prior-{name}", device="cpu") for name in ("shortcut", "grounded"))
    data = cx.dataset("zoo:prior", n=N, seed=11, language=1.0)
    return cx.audit(first, data, against=second, folder=folder, replicates=400)


def test_the_twin_that_does_not_look_is_told_from_the_one_that_does(twins):
    assert twins.summary["image_reliance"].value == 0.0
    change = next(one for one in twins.changes if one.measure.name == "image_reliance")
    assert change.second.value > 0.5
    assert change.p_value < 0.01
    hardly = next(one for one in twins.findings if one.sentence.startswith("The model hardly uses the image"))
    assert hardly.weight == max(one.weight for one in twins.findings if one.kind == "use")
    assert hardly.samples
    assert any("against zoo:prior-shortcut" in finding.sentence for finding in twins.findings)


def test_strength_of_the_prior_is_recovered_by_several_measures(tmp_path):
    model = cx.load("zoo:prior-shortcut", device="cpu")
    strengths = [0.0, 0.3, 0.6, 1.0]
    found = []
    for strength in strengths:
        data = cx.dataset("zoo:prior", n=30, seed=3, language=strength)
        summary = cx.audit(model, data, folder=tmp_path / str(strength), by=[], replicates=100).summary
        found.append([summary[name].value for name in ("accuracy_without_image", "accuracy")])
    order = np.argsort(np.argsort(np.array(found), axis=0), axis=0)
    for column in order.T:
        assert np.corrcoef(column, np.arange(4))[0, 1] >= 0.95


def value(words: str, number: float) -> float:
    if words == "bad":
        raise ValueError("no such word")
    return float(len(words) * number)


def samples(n: int) -> list[cx.Sample]:
    return [
        cx.Sample(
            words=cx.Part("text", "a b" if k % 2 else "a b c"),
            more=cx.Part("text", "x y"),
            id=f"s{k}",
            tags={"even": not k % 2},
        )
        for k in range(n)
    ]


def model_of(calls: list[int]) -> cx.FunctionModel:
    def function(words: str, more: str) -> float:
        calls.append(1)
        if "FAIL" in words:
            raise ValueError("no value for this")
        return float(len(words.split()) * (1 + len(more.split())))

    return cx.FunctionModel(function, batch=False, fingerprint="count")


def test_a_second_run_computes_nothing_and_a_longer_one_only_what_is_new(tmp_path):
    calls: list[int] = []
    first = cx.audit(model_of(calls), samples(10), folder=tmp_path / "run", replicates=100)
    spent = len(calls)
    again = cx.audit(model_of(calls), samples(10), folder=tmp_path / "run", replicates=100)
    assert len(calls) == spent
    assert as_data(again)["figures"] == as_data(first)["figures"]
    # words: 1 + 2 players · more: v = |words| (1 + |more|): Δ of whole parts is |words| · 2
    assert first.summary["words_more_interplay"].value == pytest.approx(np.mean([6, 4]))
    assert "accuracy" not in {one.measure.name for one in first.summary.figures}


def test_a_failed_sample_is_told_and_counted(tmp_path):
    data = samples(12)
    data[3] = cx.Sample(words=cx.Part("text", "FAIL"), more=cx.Part("text", "x"), id="broken")
    found = cx.audit(model_of([]), data, folder=tmp_path / "run", replicates=100)
    assert found.failed["sample"].tolist() == ["broken"]
    assert "no value for this" in found.failed["error"].iloc[0]
    assert as_data(found)["samples"] == 11


def test_memory_does_not_grow_with_the_samples(tmp_path):
    """The run holds no records; ten times the samples may not take ten times the memory."""

    class Many:
        def __init__(self, n: int) -> None:
            self.n = n

        def __len__(self) -> int:
            return self.n

        def __getitem__(self, k):
            if isinstance(k, slice):
                return self
            if not 0 <= k < self.n:
                raise IndexError(k)
            return cx.Sample(words=cx.Part("text", "a b"), more=cx.Part("text", "x"), id=f"s{k}")

    cx.audit(model_of([]), list(Many(200)), folder=tmp_path / "small", replicates=100)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cx.audit(model_of([]), list(Many(2000)), folder=tmp_path / "large", replicates=100)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000  # kilobytes


def test_reports_say_the_same_in_every_form(twins, tmp_path):
    data = json.loads(write(twins, tmp_path / "a.json").read_text())
    text = write(twins, tmp_path / "a.md").read_text()
    page = write(twins, tmp_path / "a.html").read_text()
    for finding in data["findings"][:5]:
        assert finding["sentence"] in text
        assert finding["sentence"] in page.replace("&#39;", "'")
    assert text == markdown(twins)
    assert "<script" not in page
    assert {one["name"] for one in data["figures"]} >= {"accuracy", "image_reliance", "pid_synergy", "cooperation"}


def test_conditions_guard_a_release(twins):
    assert Limit.parse("image_reliance<0.2").holds(twins.summary)[0]
    assert not Limit.parse("image_reliance.high > 0.9").holds(twins.summary)[0]
    with pytest.raises(InvalidInput, match="Cannot read the condition"):
        Limit.parse("image_reliance is low")
    with pytest.raises(UnknownName, match="image_reliance"):
        Limit.parse("image_relianc<1").holds(twins.summary)


def test_the_command_fails_where_a_condition_holds(tmp_path):
    command = ["audit", "-m", "zoo:prior-shortcut", "-d", "zoo:prior", "-n", "40", "--fail-if", "image_reliance<0.2"]
    result = RUNNER.invoke(app, [*command, "-q", "-o", str(tmp_path / "a.md")], env={"COLUMNS": "200"})
    assert result.exit_code == 3
    assert "FAIL: image_reliance<0.2" in result.stderr
    assert "hardly uses the image" in (tmp_path / "a.md").read_text()
    for options, says in (
        (["-m", "zoo:prior-shortcut", "--base-url", "http://x/v1"], "is no model behind an API"),
        (["-m", "openai:x", "--device", "cpu"], "'openai:x' is behind a server; leave device out"),
    ):
        refused = RUNNER.invoke(app, ["audit", "-d", "zoo:prior", *options], env={"COLUMNS": "200"})
        assert refused.exit_code == 2
        assert says in refused.output
    wrong = RUNNER.invoke(app, ["audit", "-m", "m", "-d", "d", "-o", "a.pdf"], env={"COLUMNS": "200"})
    assert "must end in .html, .json, .md" in wrong.stderr


def test_objects_are_not_for_several_workers_and_folders_are_not_shared(tmp_path):
    with pytest.raises(InvalidInput, match="by name"):
        cx.audit(model_of([]), samples(2), folder=tmp_path / "run", workers=2)
    cx.audit(model_of([]), samples(3), folder=tmp_path / "run", plan=Plan(), replicates=100)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("x")
    with pytest.raises(InvalidInput, match="something else"):
        cx.audit(model_of([]), samples(2), folder=tmp_path / "other")


def test_too_few_resamples_are_told_before_anything_is_computed(tmp_path):
    asked: list[int] = []
    with pytest.raises(InvalidInput, match="replicates is 50; an interval needs 100 or more"):
        cx.audit(model_of(asked), samples(2), folder=tmp_path, replicates=50)
    assert asked == []
