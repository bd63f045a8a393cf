"""Numbers, sentences and colours."""

from __future__ import annotations

import math

import numpy as np
import pytest
import samples

from chiasm.core.explanation import Prediction, TopPair
from chiasm.view import wording
from chiasm.view.colours import INK, LOWERS, RAISES, STRONGEST, Scale, contrast, mix
from chiasm.view.details import details
from chiasm.view.numerals import count, number, percent, shorten


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (0.8312, None, "+0.83"),
        (-0.8312, None, "−0.83"),
        (0.0183, 0.83, "+0.02"),
        (0.0004, 0.83, "0.00"),
        (-0.0004, 0.83, "0.00"),
        (12.345, None, "+12.3"),
        (123456.7, None, "+123457"),
        (3e-9, None, "+3.00e−09"),
        (2.5e9, None, "+2.50e+09"),
        (0.0, None, "0"),
        (math.nan, 1.0, "–"),
        (math.inf, None, "∞"),
        (-math.inf, None, "−∞"),
    ],
)
def test_numbers(value, limit, text):
    assert number(value, limit) == text


def test_numbers_without_sign_keep_a_minus():
    assert number(0.5, signed=False) == "0.50"
    assert number(-0.5, signed=False) == "−0.50"


@pytest.mark.parametrize(
    ("p", "text"),
    [
        (0.979, "98 %"),
        (1.0, "100 %"),
        (0.0, "0 %"),
        (0.9999, "over 99.9 %"),
        (0.994, "99.4 %"),
        (0.0004, "under 0.1 %"),
        (0.004, "0.4 %"),
    ],
)
def test_percent_never_rounds_to_certainty(p, text):
    assert percent(p).replace("\u00a0", " ") == text


def test_counting_and_shortening():
    assert count(1, "value") == "1 value"
    assert count(12345, "value") == "12\u202f345 values"
    assert shorten("a\n b", 10) == "a b"
    assert len(shorten("x" * 99, 10)) == 10


def test_dark_text_is_readable_on_every_tint():
    for colour in (RAISES, LOWERS):
        for opacity in np.linspace(0, STRONGEST, 9):
            assert contrast(mix(colour, float(opacity)), INK) >= 4.5


def test_scale_is_zero_without_tint_and_strongest_at_the_limit():
    scale = Scale.of(np.array([0.5, -2.0, np.nan]), np.array([]))
    assert scale.limit == 2.0
    assert scale.tint(0.0) == "#ffffff"
    assert scale.opacity(-2.0) == STRONGEST
    assert scale.opacity(1.0) == pytest.approx(STRONGEST / 2)
    assert Scale.of(np.array([np.nan])).opacity(math.nan) == 0
    assert scale.error(math.nan) == ""
    assert scale.error(0.1) == "± 0.10"


def test_sentences_of_an_explanation():
    e = samples.shapes()
    assert wording.title(e).replace("\u00a0", " ") == "The model answered “red” (98 %)."
    assert wording.other_answer(e) is None
    assert [share.label for share in wording.shares(e)] == ["image alone", "text alone", "only image and text together"]
    assert sum(share.value for share in wording.shares(e)) == pytest.approx(e.full - e.empty)
    text = " ".join(wording.gist(e))
    assert "“patch 2,1” with “circle” (+0.74): they work together" in text
    assert "from text alone (+1.67)" in text
    assert "(3 %)" in wording.levels(e).replace("\u00a0", " ")


def test_another_answer_and_no_answer_are_said():
    odd = samples.odd()
    assert "“blue”" in wording.other_answer(odd["another answer"])
    assert wording.alternatives(odd["another answer"]) == []
    own = samples.shapes(prediction=Prediction("red", 0.9, (("red", 0.9), ("blue", 0.1))))
    assert wording.alternatives(own) == [("blue", 0.1)]
    assert wording.title(odd["one player"]) == "What the function's value is made of"
    assert wording.shares(odd["no pairs"]) == []
    assert wording.gist(odd["nothing known"])[1:] == []


def test_the_strongest_player_is_found_among_unknown_ones():
    e = samples.shapes()
    e.single[:4] = np.nan
    assert [top.label for top in wording.strongest_players(e, 2)] == ["patch 2,1", "circle"]


def test_readings_admit_uncertainty():
    def pair(value, error):
        return TopPair((("a", 0), ("b", 0)), ("x", "y"), value, error)

    assert wording.reading(pair(0.5, math.nan)) == "work together"
    assert wording.reading(pair(-0.5, 0.1)) == "give less together"
    assert wording.reading(pair(0.1, 0.1)) == "too uncertain to tell"
    assert wording.reading(pair(0.0, 0.1)) == "do not interact"
    assert wording.reading(pair(math.nan, math.nan)) == "unknown"


def test_text_that_runs_from_right_to_left_does_not_turn_the_sentence():
    assert wording.quoted("red") == "“red”"
    assert wording.quoted("أحمر") == "“\u2068أحمر\u2069”"


def test_details_tell_how_the_numbers_were_made():
    lines = dict(details(samples.shapes()))
    assert "blur:8" in lines["Part “image”"]
    assert "1\u202f023 values of the game computed, 1\u202f024 allowed" in lines["Values"]
    assert lines["Seed"] == "0"
    assert "a pair" in lines["Standard error"]
    assert "Efficiency gap" in lines
    assert lines["Index"].startswith("SII: Shapley")
    assert dict(details(samples.odd()["no pairs"]))["Index"] == "occlusion"
    assert dict(details(samples.odd()["one player"]))["Standard error"] == "none: the values are exact"
    assert "text: present" in dict(details(samples.odd()["fixed part"]))["Held fixed"]
