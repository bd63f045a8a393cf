"""Benchmarks of cheap functions: every row is there, right, resumable, and what fails is counted."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))
from bench_models import SPEC, breaking, model, samples

import chiasm as cx
from chiasm.bench.run import Benchmark, benchmark, resume
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation

KEYS = ["model", "dataset", "sample", "explainer", "seed", "metric"]


def run(folder, n=4, spec=None, given=None, **more) -> Benchmark:
    return benchmark(
        {**SPEC, **(spec or {})}, folder, models={"together": given or model()}, datasets={"mine": samples(n)}, **more
    )


def numbers(found: Benchmark):
    """What must be the same whoever computes it: all but times."""
    return found.scores.drop(columns=["seconds", "cell"]), found.samples.drop(columns=["cell", "values_asked"])


def test_every_row_is_there_once(tmp_path):
    found = run(tmp_path / "run", spec={"seeds": [0, 3]})
    scores = found.scores
    main = scores[~scores["metric"].str.contains(r"\[")]
    assert len(main) == 4 * 3 * (3 * 2 + 2)  # samples × metrics × (explainers × seeds + controls)
    assert not scores.duplicated(KEYS).any()
    assert scores["error"].isna().all()
    assert set(scores["explainer"]) == {"occlusion", "kernelshap", "random", "oracle", "reversed oracle"}
    assert {"srg[text]", "srg[text2]"} <= set(scores["metric"])
    assert found.status()[["cells", "done", "failed"]].iloc[0].tolist() == [36, 36, 0]


def test_scores_are_those_of_evaluate(tmp_path):
    """The harness shares values; the numbers are those of explaining and evaluating one by one."""
    found = run(tmp_path / "run", 2)
    for sample in samples(2):
        for method, budget in (("occlusion", None), ("kernelshap", 40), ("random", None)):
            alone = cx.explain(model(), sample, method=method, players=SPEC["players"], budget=budget)
            wanted = cx.evaluate(model(), sample, alone, metrics=SPEC["metrics"], controls=False)
            mine = found.scores.query("sample == @sample.id and explainer == @method").set_index("metric")["value"]
            for row in wanted.rows:
                assert mine[row.metric] == pytest.approx(row.score.value, abs=1e-12)
            path = found.scores.query("sample == @sample.id and explainer == @method")["explanation"].iloc[0]
            kept = Explanation.load(tmp_path / "run" / path)
            assert np.allclose(kept.single, alone.single, atol=1e-12)
            assert kept.provenance.fingerprint == model().fingerprint


def test_the_oracle_wins_and_its_reverse_loses(tmp_path):
    means = run(tmp_path / "run").means.query("metric == 'f_syn'").set_index("explainer")["mean"]
    assert means["oracle"] > means["random"] > means["reversed oracle"]


def test_samples_tell_the_answer(tmp_path):
    table = run(tmp_path / "run").samples
    assert table["sample"].tolist() == ["s0", "s1", "s2", "s3"]
    assert table["stratum"].tolist() == ["t0", "t1", "t0", "t1"]
    assert table["question"].str.contains("key").all()
    assert table["players"].tolist() == [6] * 4


def test_values_are_paid_once(tmp_path):
    table = run(tmp_path / "run").samples
    assert (table["values_computed"] <= 64).all()  # there are 2^6 coalitions, however many are asked for
    assert (table["values_asked"] > 2 * table["values_computed"]).all()


def test_what_fails_is_a_row_and_means_are_of_what_all_share(tmp_path):
    """Sample 1 breaks the model; on sample 3, with more players, one explainer's budget is too small."""
    data = samples(5, breaks=(1,), longer=(3,))
    found = benchmark(
        {**SPEC, "datasets": ["mine"], "explainers": ["occlusion", {"method": "kernelshap", "budget": 20}]},
        tmp_path / "run",
        models={"together": model(breaking)},
        datasets={"mine": data},
    )
    scores = found.scores.query("metric == 'srg'")
    errors = scores.set_index(["sample", "explainer"])["error"]
    assert errors["s1", "occlusion"] == errors["s1", "kernelshap"] == "ArithmeticError: it broke"
    assert errors["s3", "kernelshap"].startswith("BudgetTooSmall: ")
    assert errors.isna().sum() == 3 * 4 + 1 + 2  # three samples by all, one by occlusion and the controls
    assert np.isnan(scores[scores["error"].notna()]["value"]).all()
    means = found.means.query("metric == 'srg'").set_index("explainer")
    assert means["n_shared"].tolist() == [3] * 4
    assert means.loc["kernelshap", ["n_asked", "n_failed"]].tolist() == [5, 2]
    assert means.loc["occlusion", ["n_asked", "n_failed"]].tolist() == [5, 1]
    shared = scores.query("explainer == 'occlusion' and sample in ['s0', 's2', 's4']")["value"].mean()
    assert means.loc["occlusion", "mean"] == pytest.approx(shared)
    assert found.status()["failed"].tolist() == [1 + 4 + 1]
    assert found.samples["error"].fillna("").tolist() == ["", "ArithmeticError: it broke", "", "", ""]
    assert found.errors()["n"].tolist() == [5, 1]


def test_a_model_without_gradients_refuses_in_words(tmp_path):
    found = run(tmp_path / "run", 1, {"explainers": ["chefer", "random"]})
    errors = found.scores.query("explainer == 'chefer'")["error"]
    assert errors.str.startswith("MissingCapability: ").all()
    assert found.means.query("explainer == 'random'")["n_shared"].eq(0).all()


def test_samples_without_truth_have_no_oracle(tmp_path):
    found = benchmark(SPEC, tmp_path / "run", models={"together": model()}, datasets={"mine": samples(2, truth=False)})
    assert set(found.scores["explainer"]) == {"occlusion", "kernelshap", "random"}
    blind = found.scores.query("metric == 'pointing_game'")
    assert blind["value"].isna().all()
    assert (blind["error"].notna() | blind["note"].notna()).all()


def test_a_run_grows_and_pays_for_what_is_new_alone(tmp_path):
    """More samples, an explainer, a metric of the same values: nothing that was computed is computed again."""
    asked: list[int] = []

    def counting(several):
        asked.append(len(several))
        from bench_models import together

        return together(several)

    given = model(counting)
    first = run(tmp_path / "run", 2, {"metrics": ["insertion"], "datasets": [{"load": "mine", "n": 2}]}, given)
    kept = first.scores
    made = sorted((tmp_path / "run/explanations").rglob("*.json"))
    stamps = [path.stat().st_mtime_ns for path in made]
    asked.clear()
    again = run(tmp_path / "run", 2, {"metrics": ["insertion"], "datasets": [{"load": "mine", "n": 2}]}, given)
    assert asked == []
    assert again.scores.equals(kept)
    wider = run(
        tmp_path / "run", 2, {"metrics": ["insertion", "shares"], "datasets": [{"load": "mine", "n": 2}]}, given
    )
    assert sum(asked) <= 2  # each sample is predicted once more, its values are remembered
    assert [path.stat().st_mtime_ns for path in made] == stamps
    assert not wider.scores.duplicated(KEYS).any()
    old = wider.scores.query("metric == 'insertion'").reset_index(drop=True)
    assert np.array_equal(old["value"], kept.query("metric == 'insertion'")["value"])
    more = run(tmp_path / "run", 4, {"metrics": ["insertion", "shares"]}, given)
    assert len(more.samples) == 4


def test_worker_counts_give_the_same_numbers(tmp_path):
    one = numbers(run(tmp_path / "one"))
    two = numbers(run(tmp_path / "two", spec={"engine": {"name": "processes", "options": {"workers": 2}}}))
    for a, b in zip(one, two, strict=True):
        assert a.equals(b)


def killed_here(folder: str, n: int) -> None:
    run(folder, n, {"datasets": ["mine"], "cache": False})


def test_killed_twenty_times_and_resumed_gives_the_rows_of_an_uninterrupted_run(tmp_path):
    n, rng, kills = 40, np.random.default_rng(11), 0
    whole = run(tmp_path / "whole", n, {"datasets": ["mine"], "cache": False})
    context = multiprocessing.get_context("fork")
    for _ in range(20):
        process = context.Process(target=killed_here, args=(str(tmp_path / "killed"), n))
        process.start()
        process.join(timeout=float(rng.uniform(0.05, 0.4)))
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
    assert kills >= 5
    killed = run(tmp_path / "killed", n, {"datasets": ["mine"], "cache": False})
    for a, b in zip(numbers(whole), numbers(killed), strict=True):
        assert a.equals(b)


def test_another_model_under_the_same_name_is_refused(tmp_path):
    run(tmp_path / "run", 2)
    found = run(tmp_path / "run", 4, given=model(fingerprint="v2"))
    errors = found.scores["error"].dropna().unique()
    assert len(errors) == 1
    assert "is not what it was when this run began" in errors[0]
    assert set(found.scores[found.scores["error"].isna()]["sample"]) == {"s0", "s1"}


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"players": {"text": "words"}}, "made with players"),
        ({"budget": 10}, "made with budget"),
        ({"explainers": [{"method": "kernelshap", "budget": 41}]}, "made with explainers.*another name"),
        ({"datasets": [{"load": "other", "name": "mine"}]}, "made with datasets"),
    ],
)
def test_a_run_does_not_become_another(tmp_path, change, match):
    run(tmp_path / "run", 1)
    with pytest.raises(InvalidInput, match=match):
        run(tmp_path / "run", 1, change)


def test_objects_must_be_named(tmp_path):
    with pytest.raises(InvalidInput, match="The model 'other' is given, and the spec names together"):
        benchmark(SPEC, tmp_path / "run", models={"other": model()})
    run(tmp_path / "run", 1)
    with pytest.raises(InvalidInput, match=r"made of objects \(together, mine\)"):
        resume(tmp_path / "run")
    with pytest.raises(InvalidInput, match="no run in"):
        Benchmark.open(tmp_path / "nothing")
