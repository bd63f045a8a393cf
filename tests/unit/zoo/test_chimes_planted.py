"""The model of three parts has what its data planted: unique, redundant, and what only all parts together tell."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from scipy.io import wavfile

import chiasm as cx
from chiasm.zoo import catalog

WHOLE = {"image": "grid:1x1", "audio": "segments:1", "text": "sentences"}


@pytest.fixture(scope="module")
def model():
    return cx.load("zoo:omni-chimes")


@pytest.fixture(scope="module")
def given(model):
    """Type → mean dividends of whole parts over samples that are answered right, of the probability of the answer."""
    found = {}
    for kind in ("colour", "pitch", "either", "same"):
        rows = []
        for sample in cx.dataset("chimes", 12, seed=5, types=[kind]):
            e = cx.explain(model, sample, players=WHOLE, target=cx.Target("probability"), method="exact")
            if e.prediction.answer == sample.answer:
                rows.append(e.contributions)
        assert len(rows) >= 8
        found[kind] = {parts: float(np.mean([row[parts] for row in rows])) for parts in rows[0]}
    return found


def test_what_one_part_tells_is_that_parts_and_the_questions(given):
    assert given["colour"]["image", "text"] + given["colour"]["image",] > 0.6
    assert abs(given["colour"]["audio",] + given["colour"]["audio", "text"]) < 0.1
    assert given["pitch"]["audio", "text"] + given["pitch"]["audio",] > 0.3
    assert abs(given["pitch"]["image",] + given["pitch"]["image", "text"]) < 0.1


def test_what_both_tell_is_counted_twice_and_taken_off_again(given):
    assert given["either"]["image", "audio", "text"] + given["either"]["image", "audio"] < -0.05


def test_what_only_both_tell_takes_all_three(given):
    others = {parts: value for parts, value in given["same"].items() if {"image", "audio"} <= set(parts)}
    assert max(others, key=others.get) == ("image", "audio", "text")
    assert others["image", "audio", "text"] > 0.3


def test_every_type_is_known_well_enough_to_be_truth_or_is_said_not_to_be():
    known = set(catalog.known_types("omni-chimes"))
    assert {"colour", "pitch", "beeps", "either"} <= known


def test_pairs_across_all_three_parts_sum_to_what_the_model_gives(model):
    sample = cx.dataset("chimes", 1, seed=3, types=["same"])[0]
    players = {"image": "grid:2x2", "audio": "segments:3", "text": "sentences"}
    e = cx.explain(model, sample, players=players, method="exact")
    estimated = cx.explain(model, sample, players=players, method="gp", budget=120)
    assert sum(e.contributions.values()) == pytest.approx(e.full - e.empty, abs=1e-4)
    pairs = [{part for part, _ in pair.players} for pair in e.top_pairs(99)]
    assert all(len(parts) == 2 for parts in pairs)
    assert len({frozenset(parts) for parts in pairs}) >= 2
    assert estimated.top_pairs(1)[0].value == pytest.approx(e.top_pairs(1)[0].value, rel=0.5)


def test_chimes_from_files_are_read_as_the_model_was_trained_whatever_the_order_of_columns(model, tmp_path):
    own = cx.dataset("chimes", 5, seed=3, types=["same"])[4]
    Image.fromarray(own["image"].data).save(tmp_path / "a.png")
    wavfile.write(tmp_path / "a.wav", 16_000, own["audio"].data)
    (tmp_path / "rows.csv").write_text(f'text,audio,image,answer\n"{own["text"].data}",a.wav,a.png,yes\n')
    (sample,) = cx.dataset(tmp_path / "rows.csv")
    assert list(sample.parts) == list(own.parts)
    told, plain = (model.resolve(model.prepare(one), model.default_target)[1] for one in (sample, own))
    assert told.answer == plain.answer == "yes"
    assert told.probability == pytest.approx(plain.probability, abs=1e-4)
