"""On a trained model, each method prefers the planted object to the background more often than chance."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest
from PIL import Image

import chiasm as cx
from chiasm.explainers import explainers
from chiasm.explainers.explain import explain_all
from chiasm.explainers.run_spec import run_methods
from chiasm.explainers.spec import ExplainSpec

SAMPLES, BUDGET = 8, 24
#: with the text held, one part is left, and of one part there is no interplay to be explained
ONE_PART = {"dime", "dime-unimodal", "dime-multimodal", "emap"}
METHODS = [name for name in explainers if explainers.get(name).kind == "black-box" and name not in ONE_PART]


def planted(explanation, sample):
    """``bool[players]``: patches that the decisive object covers visibly."""
    labels = explanation.players["image"].geometry.label_map
    mask = np.asarray(Image.fromarray(sample.masks["image"].any(axis=0)).resize(labels.shape[::-1]))
    return np.array([mask[labels == i].mean() for i in range(labels.max() + 1)]) > 0.1


@pytest.fixture(scope="module")
def wins():
    """Method → for how many samples the object's patches had the larger mean value; and the number of samples."""
    model = cx.load("zoo:llava-shapes")
    found, used = dict.fromkeys(METHODS, 0), 0
    for sample in cx.dataset("shapes", 40, seed=11, types=["colour", "shape", "size"]):
        if used == SAMPLES:
            break
        told = explain_all(
            model, sample, METHODS, players={"image": "grid:3x3"}, fixed={"text": True}, budget=BUDGET, seed=used
        )
        first = told[METHODS[0]]
        inside = planted(first, sample)
        if first.prediction.answer != sample.answer or not inside.any() or inside.sum() > 4:
            continue
        used += 1
        for method, explanation in told.items():
            values = explanation.values["image"]
            found[method] += values[inside].mean() > values[~inside].mean()
    return found, used


def chance_of(k, n):
    """Probability that a fair coin shows at least k heads of n."""
    return sum(comb(n, i) for i in range(k, n + 1)) / 2**n


@pytest.mark.parametrize("method", [m for m in METHODS if m != "random"])
def test_the_planted_object_is_preferred_to_the_background(wins, method):
    found, used = wins
    assert used == SAMPLES
    assert chance_of(found[method], used) < 0.06, f"{found[method]} of {used}"


def test_random_values_prefer_nothing(wins):
    found, used = wins
    assert chance_of(found["random"], used) > 0.05


def test_several_methods_make_one_page_and_a_file_each(tmp_path):
    sample = cx.dataset("shapes", 1, seed=1)[0]
    picture = tmp_path / "a.png"
    sample["image"].data.save(picture)
    spec = ExplainSpec.parse(
        {
            "model": "zoo:llava-shapes",
            "parts": {"image": str(picture), "text": sample["text"].data},
            "method": ["occlusion", "random"],
            "players": "grid:2x2,words",
            "cache": False,
            "out": [str(tmp_path / "e.html"), str(tmp_path / "e.json")],
        }
    )
    found = run_methods(spec)
    assert list(found) == ["occlusion", "random"]
    assert {p.name for p in tmp_path.glob("e.*.json")} == {"e.occlusion.json", "e.random.json"}
    saved = cx.Explanation.load(tmp_path / "e.occlusion.json")
    assert np.array_equal(saved.single, found["occlusion"].single)
    page = (tmp_path / "e.html").read_text(encoding="utf-8")
    assert page.count("<section data-method=") == 2
