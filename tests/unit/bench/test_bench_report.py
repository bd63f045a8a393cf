"""Reports on scores whose findings are planted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from chiasm.bench.leaderboard import as_csv, as_data, letters, markdown, write
from chiasm.bench.report import OVERALL, compare_runs, report, shared
from chiasm.core.errors import InvalidInput, UnknownName

SHIFT = {"good": 0.5, "alike": 0.5, "poor": 0.2, "random": 0.0}


def run(seed: int = 0, n: int = 15, shift: dict[str, float] | None = None, *, gap: bool = False) -> Any:
    """A benchmark of two models and two data sets; by the text's score explainers rank the other way round."""
    rng = np.random.default_rng(seed)
    rows = []
    for model in ("m1", "m2"):
        for dataset in ("d1", "d2"):
            for sample in range(n):
                ease = rng.normal(0, 0.3)
                names = {
                    "model": model,
                    "dataset": dataset,
                    "sample": f"s{sample}",
                    "seed": 0,
                    "passes": 3,
                    "seconds": 0.1,
                }
                for explainer, own in (shift or SHIFT).items():
                    value = ease + own + rng.normal(0, 0.1)
                    lost = gap and explainer == "poor" and sample == 0
                    for metric, found in (
                        ("srg", value),
                        ("srg[image]", own + rng.normal(0, 0.05)),
                        ("srg[text]", -own + rng.normal(0, 0.05)),
                        ("deletion", -value),
                    ):
                        rows.append(
                            {**names, "explainer": explainer, "metric": metric, "value": np.nan if lost else found}
                        )
                rows.append({**names, "explainer": "oracle", "metric": "srg", "value": 2.0})
    spec = SimpleNamespace(
        name="planted", metrics=[SimpleNamespace(label=name, metric=name) for name in ("srg", "deletion")]
    )
    accuracy = pd.DataFrame([{"model": "m1", "dataset": "d1", "accuracy": 0.9, "n": n, "n_failed": 0}])
    return SimpleNamespace(scores=pd.DataFrame(rows), spec=spec, accuracy=accuracy, errors=lambda: pd.DataFrame([]))


@pytest.fixture(scope="module")
def found():
    return report(run(), replicates=300)


def test_the_planted_order_and_ties_are_found(found):
    overall = found.boards[0]
    assert (overall.metric, overall.scope) == ("srg", OVERALL)
    assert list(overall.comparison.means)[2:] == ["poor", "random"]
    tied = letters(overall)
    assert set(tied["good"]) & set(tied["alike"])
    assert not set(tied["good"]) & set(tied["poor"])
    assert overall.controls == {"oracle": 2.0}
    assert {board.scope for board in found.boards} == {OVERALL, "m1", "m2", "d1", "d2"}


def test_less_is_better_where_the_metric_says_so(found):
    deletion = next(board for board in found.boards if board.metric == "deletion" and board.scope == OVERALL)
    assert not deletion.higher
    assert list(deletion.comparison.means) == list(found.boards[0].comparison.means)
    names, table = found.agreement
    assert names == ("srg", "deletion")
    assert table[0, 1] == pytest.approx(1.0)


def test_collapse_and_mixed_model(found):
    one = found.collapse[0]
    assert one.parts == ("image", "text")
    assert one.agreement.value < -0.5  # one part's ranking is the other's turned round
    effects = {effect.method: effect for effect in found.mixed["srg"].effects}
    assert found.mixed["srg"].reference == "random"
    assert effects["good"].value == pytest.approx(0.5, abs=0.08)
    assert effects["poor"].p_value < 0.001


def test_a_sample_that_one_explainer_lacks_counts_for_none():
    table = shared(run(gap=True).scores, "srg")
    assert len(table) == 4 * 14
    assert "oracle" not in table.columns


def test_two_runs_are_paired():
    same = compare_runs(run(0), run(0), replicates=200)
    assert all(one.difference.value == 0 and one.p_value == 1.0 for one in same)
    better = compare_runs(run(0), run(1, shift={**SHIFT, "poor": 0.6}), replicates=200)
    sure = {(one.metric, one.explainer) for one in better if one.p_value < 0.05}
    assert ("srg", "poor") in sure
    assert ("srg", "random") not in sure
    with pytest.raises(InvalidInput, match="share no"):
        compare_runs(run(0), SimpleNamespace(scores=run(0).scores.assign(model="other")))


def test_every_form_says_the_same(found, tmp_path):
    text, table = markdown(found, pairs=True), as_csv(found)
    mean = found.boards[0].comparison.means["good"].value
    assert f"| good | {mean:.3f} [" in text
    assert "| *oracle* | 2.000 |" in text
    assert "good − poor" in text or "poor − good" in text or "alike − poor" in text
    assert len(table.splitlines()) == 1 + sum(len(board.comparison.means) for board in found.boards)
    page = write(found, tmp_path / "board.html").read_text()
    assert f"{mean:.3f} [" in page
    assert "<script" not in page
    assert as_data(found)["boards"][0]["rows"][0]["groups"]
    with pytest.raises(InvalidInput, match="must end in"):
        write(found, tmp_path / "board.pdf")


def test_bad_input_is_refused():
    with pytest.raises(UnknownName, match="srg"):
        report(run(), ["srgg"])
    with pytest.raises(InvalidInput, match="go on with the run"):
        report(run(n=1))
