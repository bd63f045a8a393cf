"""EMAP, influence and what goes with right answers, on models whose interplay is planted; two parts and three."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import chiasm as cx
from chiasm.audits.links import LEVELS, auroc
from chiasm.audits.measures import measures
from chiasm.audits.mixtures import Mixtures, gather, mixed
from chiasm.audits.projection import additive_fit, additive_projection
from chiasm.audits.record import Plan, record
from chiasm.audits.table import Table
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Prediction
from chiasm.core.target import Target

WORDS = ("cat", "dog")


def samples(n, parts=2, seed=0):
    rng = np.random.default_rng(seed)
    names = ["text", "text2", "text3"][:parts]
    return [cx.Sample(**{name: f"x {WORDS[rng.integers(2)]}" for name in names}) for _ in range(n)]


def function(f):
    return cx.FunctionModel(lambda batch: [float(f(*one.values())) for one in batch], ("text",), name="f")


def cats(*texts):
    return [t.count("cat") for t in texts]


class Answers(cx.FunctionModel):
    """A function whose number, rounded, is its answer."""

    def __init__(self, f):
        super().__init__(lambda batch: [float(f(*one.values())) for one in batch], ("text",), name="f")
        self.capabilities = self.capabilities | {"answers"}
        self.f = f

    def resolve(self, prepared, target):
        own = str(round(self.f(*prepared.contents.values())))
        return super().resolve(prepared, Target(scale="value"))[0], Prediction(own, 1.0)

    def answers(self, prepared, players, maskers, coalitions):
        inputs = self.masked_inputs(prepared, players, maskers, coalitions)
        return [Prediction(str(round(self.f(*texts))), 1.0) for texts in zip(*inputs.values(), strict=True)]


def figures(model, data, **plan):
    table = Table([record(model, data, k, Plan(**plan)) for k in range(len(data))])
    return {one.name: float(one.figure(one.columns[np.isfinite(one.columns).all(1)].sum(0))) for one in measures(table)}


@pytest.mark.parametrize("parts", [2, 3])
def test_a_sum_over_parts_has_no_interplay_and_a_product_has(parts):
    data = samples(8, parts)
    assert figures(function(lambda *t: sum(cats(*t))), data, mixtures=6)["emap_interplay"] == pytest.approx(0, abs=1e-9)
    product = figures(function(lambda *t: float(np.prod([2 * c - 1 for c in cats(*t)]))), data, mixtures=6)
    assert product["emap_interplay"] > 0.8


def test_the_gap_of_an_exclusive_or_is_all_that_is_above_chance():
    """Answers 1 where the two differ: no sum over parts can do better than one answer for all."""
    rng = np.random.default_rng(3)
    pairs = [(a, b) for a in (0, 1) for b in (0, 1)] * 5
    rng.shuffle(pairs)
    data = [cx.Sample(text=f"x {WORDS[a]}", text2=f"x {WORDS[b]}", answer=str(int(a != b))) for a, b in pairs]
    found = figures(Answers(lambda a, b: cats(a)[0] != cats(b)[0]), data, mixtures=20)
    assert found["accuracy"] == 1
    assert found["emap_accuracy"] + found["emap_gap"] == pytest.approx(1)
    one = figures(
        Answers(lambda a, b: cats(a)[0]),
        [cx.Sample(**{n: p.data for n, p in s.parts.items()}, answer=str(cats(s["text"].data)[0])) for s in data],
        mixtures=20,
    )
    assert (one["emap_gap"], one["emap_changed"]) == (0, 0)


def test_mixtures_are_of_the_first_samples_and_failed_ones_are_left_out():
    model, data = function(lambda a, b: 2 * cats(a)[0] + cats(b)[0]), samples(6)
    rows = [{"parts": ["text", "text2"], "mixed": mixed(model, data, k, 4, Target(scale="value"))} for k in range(6)]
    assert rows[5]["mixed"] is None
    found = gather([rows[0], rows[2], rows[3], rows[4]])
    assert found.rows.tolist() == [0, 1, 2]
    wanted = [
        [2 * cats(data[i]["text"].data)[0] + cats(data[j]["text2"].data)[0] for j in (0, 2, 3)] for i in (0, 2, 3)
    ]
    assert found.values.tolist() == wanted
    assert gather(rows[4:]) is None


def test_the_fit_is_the_projection_at_the_samples():
    grid = np.random.default_rng(0).normal(size=(4, 4, 4, 2))
    fitted = additive_fit(grid)
    assert additive_fit(fitted) == pytest.approx(fitted)
    assert np.abs((grid - fitted).mean(axis=(1, 2))).max() < 1e-12


def test_influence_is_noise_for_a_sum_and_not_for_a_product():
    data = samples(3)
    plan = {"budget": 64, "influence": True, "method": "exact"}
    alone = figures(function(lambda a, b: len(a.split()) + 2 * len(b.split())), data, **plan)
    assert alone["text_bends_text2"] == pytest.approx(0, abs=1e-9)
    both = figures(function(lambda a, b: len(a.split()) * len(b.split())), data, **plan)
    assert both["text_bends_text2"] > 0.5
    assert both["text2_bends_text"] > 0.5
    with pytest.raises(InvalidInput, match="give a budget"):
        Plan(influence=True)
    with pytest.raises(InvalidInput, match="cannot be mixed"):
        Plan(mixtures=1)


@pytest.mark.parametrize("levels", [5, 1000])
def test_auroc_is_that_of_scikit_learn(levels):
    rng = np.random.default_rng(1)
    score, right = rng.integers(levels, size=300) / levels, (rng.random(300) < 0.4).astype(float)
    score[right == 1] += 0.1 * (levels > LEVELS)
    columns, figure = auroc(score, right)
    exact = roc_auc_score(right, score)
    assert figure(columns.sum(0)) == pytest.approx(exact, abs=1e-12 if levels <= LEVELS else 0.01)
    some = rng.integers(300, size=300)
    assert figure(columns[some].sum(0)) == pytest.approx(roc_auc_score(right[some], score[some]), abs=0.02)


def test_auroc_needs_right_and_wrong_answers_and_leaves_out_what_is_not_known():
    score, right = np.arange(40.0), np.repeat([1.0, 0.0], 20)
    assert auroc(score, np.ones(40)) is None
    score[:5], right[-5:] = np.nan, np.nan
    columns, figure = auroc(score, right)
    assert columns.sum() == 30
    assert figure(columns.sum(0)) == 0


def test_a_planted_link_between_interplay_and_right_answers_is_a_figure():
    rows = [
        {
            "parts": ["image", "text"],
            "values": [0.0, 0.0, 0.0, 0.9 if good else 0.1],
            "answers": ["?", "?", "?", "red"],
            "reference": "red" if good else "blue",
            "background": None,
        }
        for good in [True, False] * 15
    ]
    found = {one.name: one for one in measures(Table(rows))}
    one = found["right_by_image_text_interplay"]
    assert one.figure(one.columns.sum(0)) == 1
    assert SimpleNamespace(**vars(one)).unit == "share"


@pytest.mark.parametrize("parts", [2, 3])
def test_one_part_alone_needs_no_interplay_however_many_answers_there_are(parts):
    m = 12 if parts == 3 else 60
    own = np.array([f"answer {k}" for k in range(m)])
    found = Mixtures(np.arange(m), np.broadcast_to(own, (m,) * parts), None)
    assert (found.projected() == own).all()


@pytest.mark.parametrize("parts", [2, 3])
def test_projected_answers_are_those_of_the_fit_to_ones_and_zeros(parts):
    answers = np.random.default_rng(parts).choice(list("aaabbcd"), (7,) * parts)
    found = Mixtures(np.arange(7), answers, None)
    names = np.unique(answers)
    fitted = additive_projection((answers[..., None] == names).astype(float))
    chosen = fitted[np.arange(7), np.searchsorted(names, found.projected())]
    np.testing.assert_allclose(chosen, fitted.max(axis=1), atol=1e-12)
