"""Figures of an audit on rows whose figures are known by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from chiasm.audits.measures import MOST_ANSWERS, measures
from chiasm.audits.table import Table
from chiasm.core.errors import InvalidInput
from chiasm.statistics.bootstrap import Bootstrap


def row(values: Any, answers: Any = None, reference: str | None = None, **more: Any) -> dict[str, Any]:
    parts = ["image", "text", "audio"][: len(values).bit_length() - 1]
    return {"parts": parts, "values": values, "answers": answers, "reference": reference, "background": None, **more}


def figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {one.name: float(one.figure(one.columns.sum(axis=0))) for one in measures(Table(rows))}


def test_answers_with_and_without_parts() -> None:
    # order of answers: none, image, text, both
    found = figures(
        [
            row([0.1, 0.2, 0.3, 0.9], ["no", "red", "blue", "red"], "red"),
            row([0.1, 0.2, 0.3, 0.9], ["no", "no", "blue", "blue"], "Blue."),
            row([0.1, 0.2, 0.3, 0.9], ["no", "no", "no", "red"], "green"),
            row([0.1, 0.2, 0.3, 0.9], ["no", "no", "no", "red"], None),
        ]
    )
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["accuracy_without_image"] == pytest.approx(1 / 3)  # the text alone: blue, blue, no
    assert found["accuracy_without_text"] == pytest.approx(1 / 3)
    assert found["image_reliance"] == pytest.approx(3 / 4)
    assert found["text_reliance"] == pytest.approx(3 / 4)
    assert found["text_prior"] == pytest.approx(1 / 4)
    # SHAPE: all 2/3, alone 1/3 and 1/3, guessing the most frequent of three references 1/3
    assert found["cooperation"] == pytest.approx(2 / 3 - 1 / 3)


def test_values_of_whole_parts() -> None:
    found = figures([row([1.0, 4.0, 2.0, 10.0]), row([0.0, 1.0, 0.0, 1.0])])
    assert found["image_share"] == pytest.approx((5.5 / 9 + 1) / 2)
    assert found["image_text_interplay"] == pytest.approx(5 / 2)
    assert found["intershap"] == pytest.approx((5 / 9 + 0) / 2)
    assert found["intershap_global"] == pytest.approx(5 / 10)
    assert "accuracy" not in found
    assert "synergy_ratio" not in found


def test_pair_values() -> None:
    def pairs(gain: float, loss: float, image: float, text: float) -> dict[str, Any]:
        return row([0.0, 0.0, 0.0, 1.0], positive=gain, negative=loss, own={"image": image, "text": text})

    found = figures([pairs(3, 1, 1, 3), pairs(1, 1, 2, 2), pairs(0, 0, 0, 0)])
    assert found["synergy_ratio"] == pytest.approx((3 / 4 + 1 / 2) / 2)  # a sample without pairs has none
    assert found["synergy_dominant"] == pytest.approx(1 / 2)
    assert found["image_shap"] == pytest.approx((1 / 4 + 1 / 2) / 2)
    assert found["synergy"] == pytest.approx(4 / 3)


def test_sorts_of_units() -> None:
    def units(sorts: list[str], positive: list[float]) -> dict[str, Any]:
        return row([0.0, 0.0, 0.0, 1.0], units={"text": {"sorts": sorts, "positive": positive}})

    rows = [units(["colour", "other", "colour"], [1, 2, 1])] * 6 + [units(["other"], [5])] * 6
    found = figures(rows)
    assert found["text_synergy_of_other"] == pytest.approx((6 * 0.5 + 6 * 1) / 12)
    assert "text_synergy_of_colour" not in found  # fewer than ten samples have one
    found = figures(rows * 2)
    assert found["text_synergy_of_colour"] == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (lambda a, b: a ^ b, {"pid_synergy": 1.0, "redundancy": 0.0, "unique_image": 0.0, "unique_text": 0.0}),
        (lambda a, b: a, {"pid_synergy": 0.0, "redundancy": 0.0, "unique_image": 1.0, "unique_text": 0.0}),
        (lambda a, b: b, {"pid_synergy": 0.0, "redundancy": 0.0, "unique_image": 0.0, "unique_text": 1.0}),
    ],
)
def test_information_of_the_answer(answer: Any, expected: dict[str, float]) -> None:
    rows = [
        row([0.0] * 4, ["x", str(a), str(b), str(answer(a, b))]) for a, b in itertools.product((0, 1), repeat=2)
    ] * 3
    found = figures(rows)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-4)


def test_rare_answers_count_as_one() -> None:
    rows = [row([0.0] * 4, ["x", "y", str(k), str(k)]) for k in range(3 * MOST_ANSWERS)]
    assert figures(rows)["unique_text"] < np.log2(MOST_ANSWERS)


def test_three_parts_have_each_pair_and_no_more_names_than_needed() -> None:
    rows = [row([float(k == 7) for k in range(8)], ["x"] * 7 + ["y"], "y")] * 2
    found = figures(rows)
    assert {"image_text_interplay", "image_audio_interplay", "text_audio_interplay"} <= set(found)
    assert {"image_text_redundancy", "text_audio_pid_synergy", "accuracy_audio_only"} <= set(found)
    assert found["audio_reliance"] == 1.0


def test_names_are_unique_and_every_figure_has_an_interval() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(40):
        a, b = rng.integers(0, 2, 2)
        rows.append(
            row(
                rng.random(4).tolist(),
                ["x", str(a), str(b), str(a & b)],
                str(a),
                positive=float(rng.random()),
                negative=float(rng.random()),
                own={"image": 1.0, "text": float(rng.random())},
            )
        )
    found = measures(Table(rows))
    assert len({one.name for one in found}) == len(found)
    for one in found:
        drawn = Bootstrap(np.arange(40), one.replicates or 200).estimate(one.columns, one.figure, share=one.counts)
        assert drawn.low <= drawn.value <= drawn.high, one.name


def test_rows_of_other_parts_and_no_rows_are_refused() -> None:
    with pytest.raises(InvalidInput, match="No sample"):
        Table([])
    with pytest.raises(InvalidInput, match="different parts"):
        Table([row([0.0, 1.0]), row([0.0, 1.0, 1.0, 1.0])])
