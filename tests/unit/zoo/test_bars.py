"""The bars of the zoo, held against what was measured of each model that ships (its accuracy.json)."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.zoo import catalog, prior_report

SURE = {"colour": 0.98, "shape": 0.98, "existence": 0.98}
DECODER = {
    "shapes": SURE | {"counting": 0.93, "relation": 0.93, "comparison": 0.93},
    "digits": {"naming": 0.93},
}
#: model → data set → question type → least share of right answers on held-out samples, mean over the seeds
BARS = {
    "llava-shapes": DECODER,
    "qwen-shapes": DECODER,
    "idefics-shapes": DECODER,
    "vilt-shapes": {"shapes": {"colour": 0.93, "shape": 0.93, "existence": 0.93}},
    "omni-chimes": {"chimes": {"colour": 0.98, "pitch": 0.98, "beeps": 0.98, "either": 0.98, "same": 0.85}},
    "clip-captions": {"captions": {"swap": 0.85, "relation": 0.85}},
}
#: models that have no bar of accuracy; the twins have one of their own
NO_BAR = {"blip-shapes", "siglip-captions", "prior-shortcut", "prior-grounded", "prior-growth"}


def test_every_model_has_a_bar_or_is_known_to_have_none():
    assert set(BARS) | NO_BAR == set(catalog.ENTRIES)
    assert not set(BARS) & NO_BAR


@pytest.mark.parametrize("name", [name for name in catalog.SHIPPED if name in BARS])
def test_a_model_that_ships_keeps_its_bars(name):
    numbers = catalog.accuracy(name)
    assert numbers["n"] >= 300
    assert len(set(numbers["seeds"])) >= 3
    measured = {
        (data, kind): (np.mean(numbers["accuracy"][data][kind]), least)
        for data, bars in BARS[name].items()
        for kind, least in bars.items()
    }
    assert {what: share for what, (share, least) in measured.items() if share < least} == {}


@pytest.mark.parametrize("name", [name for name in prior_report.TWINS if name in catalog.SHIPPED])
def test_the_twins_keep_theirs_by_the_removal_that_is_named(name):
    removal = catalog.accuracy(name)["removal"]
    assert set(removal) == set(prior_report.REMOVALS), "the numbers of other removals stand beside it"
    least, most = {"prior-shortcut": (0, 0.1), "prior-grounded": (0.6, 1)}[name]
    assert prior_report.TWINS[name] == (least, most)
    assert least <= np.mean(removal[prior_report.BAR_REMOVAL]) <= most
