"""What is inside a combination: pairs above and below zero, told from noise."""

from __future__ import annotations

import numpy as np
import pytest
import samples

from chiasm.core.players import Players
from chiasm.view.html import render
from chiasm.view.shares import inside, share_bars

PAIRS = np.array([[0.5, -0.2, 0.03], [0.1, 0.0, np.nan]])


def planted(error=0.02, **changes):
    e = samples.of_parts(list(Players.abstract({"a": 2, "b": 3}).parts.values()))
    e.pair[:2, 2:], e.pair[2:, :2] = PAIRS, PAIRS.T
    e.pair[0, 1] = e.pair[1, 0] = 9.0  # inside one part: no business of a combination
    e.pair_errors = None if error is None else np.full((5, 5), error)
    for name, value in changes.items():
        setattr(e, name, value)
    return e


def test_sums_are_of_clear_pairs_of_different_parts_with_the_widest_interval():
    up, down = inside(planted()).rows
    assert (up.label, up.number, up.error) == ("work together (2 pairs)", "+0.60", "± 0.08")  # 0.5 + 0.1; 0.03 is noise
    assert (down.label, down.number, down.error) == ("give less together (1 pair)", "−0.20", "± 0.04")
    low, high = -0.24, 0.68
    assert up.whisker == pytest.approx((100 * (0.52 - low) / (high - low), 100 * 0.16 / (high - low)), abs=0.01)
    assert down.left == pytest.approx(100 * (-0.2 - low) / (high - low), abs=0.01)


def test_exact_pairs_have_no_interval_and_all_count():
    up, down = inside(planted(provenance=samples.provenance(method="exact"))).rows
    assert (up.label, up.number, up.whisker, up.error) == ("work together (3 pairs)", "+0.63", None, "")
    assert down.number == "−0.20"


@pytest.mark.parametrize(
    "e",
    [
        planted(error=None),  # nothing tells noise from findings
        planted(error=1.0),  # all of it is noise
        planted(pair=None, pair_errors=None),
        planted(provenance=samples.provenance(signed=False)),
        samples.abstract({"only": 4}),
    ],
)
def test_nothing_is_summed_where_it_would_mean_nothing(e):
    assert inside(e) is None
    assert "Pairs across parts" not in render(e)


def test_bars_of_parts_are_measured_and_have_no_interval():
    bars = share_bars(samples.shapes())
    assert [row.whisker for row in bars.rows] == [None] * 3
    assert bars.rows[0].number == "+1.09"
