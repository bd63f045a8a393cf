"""Numbers, sentences and colours."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from importlib.resources import files

import numpy as np
import pytest
import samples

from chiasm.core.explanation import Prediction, TopPair
from chiasm.view import findings, wording
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
    assert count(12345, "value") == "12,345 values"
    assert shorten("a\n b", 10) == "a b"
    assert len(shorten("x" * 99, 10)) == 10


def test_dark_text_is_readable_on_every_tint():
    for colour in (RAISES, LOWERS):
        for opacity in np.linspace(0, STRONGEST, 9):
            assert contrast(mix(colour, float(opacity)), INK) >= 4.5


def test_light_text_is_readable_on_every_tint_of_the_dark_page():
    sheet = files("chiasm.view").joinpath("templates/page.css").read_text(encoding="utf-8")
    dark = sheet[sheet.index("prefers-color-scheme: dark") :]
    ink, paper = (tuple(bytes.fromhex(re.search(rf"--{name}: #(\w+)", dark)[1])) for name in ("ink", "paper"))
    strength = float(re.search(r"--strength: ([.\d]+)", dark)[1])
    for colour in (RAISES, LOWERS):
        for opacity in np.linspace(0, STRONGEST, 9):
            assert contrast(mix(colour, float(opacity) * strength, paper), ink) >= 4.5


def test_scale_is_zero_without_tint_and_strongest_at_the_limit():
    scale = Scale.of(np.array([0.5, -2.0, np.nan]), np.array([]))
    assert scale.limit == 2.0
    assert scale.tint(0.0) == "transparent"
    assert scale.tint(-2.0) == "rgb(20 120 230 / calc(0.8 * var(--strength, 1)))"
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
    text = " ".join(findings.gist(e))
    assert "“patch 2,1” of image with “circle” of text (+0.74): they work together" in text
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
    assert findings.gist(odd["nothing known"])[1:] == []


def test_the_strongest_player_is_found_among_unknown_ones():
    e = samples.shapes()
    e.single[:4] = np.nan
    assert [top.label for top in findings.strongest_players(e, 2)] == ["patch 2,1", "circle"]


def pair(value, error):
    return TopPair((("a", 0), ("b", 0)), ("x", "y"), value, error)


@pytest.mark.parametrize(
    ("value", "error", "exact", "words"),
    [
        (0.5, 0.1, False, "work together"),
        (-0.5, 0.1, False, "give less together"),
        (0.2, 0.1, False, "not distinguishable from 0"),
        (-0.1, 0.1, False, "not distinguishable from 0"),
        (0.0, 0.1, False, "not distinguishable from 0"),
        (0.5, math.nan, False, "seem to work together"),
        (-0.5, math.nan, False, "seem to give less together"),
        (-0.0004, math.nan, False, "about zero"),
        (-0.0004, 0.0001, False, "about zero"),
        (0.5, 0.0, True, "work together"),
        (-0.5, math.nan, True, "give less together"),
        (-0.0004, 0.0, True, "about zero"),
        (0.0, 0.0, True, "do not interact"),
        (math.nan, math.nan, False, "unknown"),
    ],
)
def test_readings_admit_uncertainty(value, error, exact, words):
    assert findings.reading(pair(value, error), exact=exact, limit=0.83) == words


def test_single_draws_without_an_error_are_no_headline():
    e = samples.shapes()
    e.pair[1, 16] = e.pair[16, 1] = 9.0
    e.pair_errors[1, 16] = e.pair_errors[16, 1] = np.nan
    e.single[2], e.single_errors[2] = 7.0, np.nan
    e.single[3], e.single_errors[3] = 6.0, 5.0
    text = " ".join(findings.gist(e))
    assert "“patch 2,1” of image with “circle” of text (+0.74)" in text
    assert "The strongest single player is “patch 2,1” of image (+0.83)." in text
    every = findings.strongest_pairs(e, 10**6)
    assert every[0].value == 0.74
    assert every[-1].value == 9.0
    assert "drawn too rarely" in findings.caution(e)


def test_nothing_is_a_headline_where_nothing_is_clear():
    e = samples.shapes()
    e.pair_errors[:] = 5.0
    e.single_errors[:] = 5.0
    text = " ".join(findings.gist(e))
    assert "No pair can be told from 0" in text
    assert "No single player can be told from 0" in text
    assert findings.caution(e) is None


def test_a_method_without_errors_is_cautious_and_an_exact_one_is_not():
    e = samples.odd()["no errors"]
    assert findings.caution(e) == findings.NO_ERRORS
    assert "they seem to work together" in " ".join(findings.gist(e))
    exact = samples.shapes(pair_errors=None, provenance=samples.provenance(method="exact"))
    assert findings.caution(exact) is None
    assert "): they work together." in " ".join(findings.gist(exact))


def test_everything_is_said_only_where_everything_is_explained():
    whole = samples.of_parts([samples.picture_part()], part_values={(): 0.0, ("image",): 1.0})
    assert wording.levels(whole).startswith("With everything hidden it is")
    some = samples.of_parts([samples.picture_part().subset(range(1, 16))], part_values={(): 0.0, ("image",): 1.0})
    for e in (some, replace(whole, provenance=samples.provenance(fixed={"text": True}))):
        assert "With every explained player hidden it is" in wording.levels(e)
        assert "with every explained player shown it is" in wording.levels(e)


def parts(image, text, both):
    return samples.shapes(part_values={(): 0.0, ("image",): image, ("text",): text, ("image", "text"): both})


@pytest.mark.parametrize(
    ("image", "text", "both", "sentence"),
    [
        (1, 1, 3, "image and text: together they give more than the sum of what each gives alone (synergy)."),
        (
            1,
            1,
            1.5,
            "image and text: together they give less than the sum of what each gives alone (redundancy or saturation).",
        ),
        (1, -1, 3, "image and text: together more than what each gives alone adds up to."),
        (-1, -1, -4, "image and text: together less than what each gives alone adds up to."),
        (0, 2, 1, "image and text: together less than what each gives alone adds up to."),
    ],
)
def test_synergy_and_redundancy_are_said_only_where_they_are_true(image, text, both, sentence):
    assert wording.combinations(parts(image, text, both)) == [sentence]


def test_combinations_of_three_are_neutral_and_nothing_is_said_of_zeros():
    assert wording.combinations(parts(1, 1, 2)) == []
    said = wording.combinations(samples.odd()["three parts"])
    assert "left, right and sound: together less than the smaller combinations add up to." in said
    assert "synergy" not in " ".join(said)


def fit(scale, value, prediction, **changes):
    return samples.shapes(
        prediction=prediction,
        part_values={(): 0.1, ("image", "text"): value},
        provenance=samples.provenance(
            adapter="dual encoder", target=f"{scale} of 'a dog'", target_spec={"scale": scale, **changes}
        ),
    )


def test_a_model_that_only_compares_has_not_answered():
    caption = Prediction("a dog", None, (), "a dog", None)
    assert wording.title(fit("similarity", 0.31, caption)) == "Similarity of the parts: 0.31"
    assert wording.title(fit("logit", 4.2, caption)) == "Fit of the parts (logit): 4.20"
    assert wording.title(fit("similarity", 0.31, caption, against="a cat")).endswith("compared with “a cat”: 0.31")
    assert dict(details(fit("similarity", 0.31, caption)))["Explained"] == "similarity of 'a dog'"
    choice = Prediction("a cat", 0.8, (("a dog", 0.2),), "a dog", 0.2)
    e = fit("probability", 0.2, choice)
    assert wording.title(e).replace("\u00a0", " ") == "Of the candidates, “a cat” fits best (80 %)."
    assert wording.other_answer(e).replace("\u00a0", " ") == "Explained here is “a dog” (20 %)."
    assert wording.others(e) == "other candidates"


def test_an_answer_that_was_cut_is_said_to_be():
    e = samples.shapes(prediction=Prediction("a red circle on", 0.5, complete=False))
    assert wording.title(e).replace("\u00a0", " ") == (
        "The model answered “a red circle on …” (50 %, cut at the model’s length limit)."
    )


def test_a_label_names_its_part_where_two_parts_are_drawn_alike():
    e = samples.odd()["two pictures"]
    assert findings.label(e, ("image2", 3)) == "image2 patch 2,1"
    assert findings.label(e, ("text", 1)) == "is"


def test_notes_become_sentences():
    assert wording.sentence("method: exact, because all 8") == "Method: exact, because all 8."
    assert wording.sentence("Done.") == "Done."
    assert wording.sentence("") == ""


def test_text_that_runs_from_right_to_left_does_not_turn_the_sentence():
    assert wording.quoted("red") == "“red”"
    assert wording.quoted("أحمر") == "“\u2068أحمر\u2069”"


def test_details_tell_how_the_numbers_were_made():
    lines = dict(details(samples.shapes()))
    assert "blur:8" in lines["Part “image”"]
    assert "1,023 values of the game computed, 1,024 allowed" in lines["Values"]
    assert lines["Seed"] == "0"
    assert "a pair" in lines["Standard error"]
    assert "Efficiency gap" in lines
    assert lines["Index"].startswith("SII: Shapley")
    assert dict(details(samples.odd()["no pairs"]))["Index"] == "occlusion"
    assert dict(details(samples.odd()["one player"]))["Standard error"] == "none: the values are exact"
    assert "text: present" in dict(details(samples.odd()["fixed part"]))["Held fixed"]


def test_a_small_error_is_not_printed_as_none():
    from chiasm.view.colours import Scale

    assert Scale(1.0).error(0.001) == "± under 0.01"
    assert Scale(1.0).error(0.0) == "± 0.00"
    assert Scale(1.0).error(0.03) == "± 0.03"
