"""Several methods on one page."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import samples

from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.players import Players
from chiasm.core.registry import views
from chiasm.view.comparison import render_comparison
from chiasm.view.html import render


def explanations():
    players = Players([samples.picture_part(2, 2), samples.text_part("a red dot")])
    n = len(players)
    pair = np.zeros((n, n))
    pair[0, 5] = pair[5, 0] = -0.75
    one = np.array([0.5, -0.25, 0.0, 0.125, 0.0, 2.0, 0.0])
    return {
        "gp": Explanation(players, one, samples.provenance(method="gp"), pair=pair),
        "lime": Explanation(players, 10 * one, samples.provenance(method="lime", index="LIME")),
        "rise": Explanation(players, one - 7, samples.provenance(method="rise", index="RISE", signed=False)),
    }


def sections(page):
    """Method → the source of its section."""
    found = re.findall(r'<section data-method="([^"]+)"(.*?)</section>', page, re.DOTALL)
    return dict(found)


def test_every_method_has_a_panel_with_its_own_scale(tmp_path):
    path = views.get("comparison")(explanations(), tmp_path / "page.html")
    page = path.read_text(encoding="utf-8")
    by_method = sections(page)
    assert list(by_method) == ["gp", "lime", "rise"]
    assert 'largest absolute value, <span class="limit">2.00' in by_method["gp"]
    assert 'largest absolute value, <span class="limit">20' in by_method["lime"]
    for section in by_method.values():
        assert 'data-panel="image"' in section
        assert 'data-panel="text"' in section
        assert len(re.findall(r'data-part="image"', section)) >= 4
    assert page.count("<script") == 2  # the data and our script, see test_view_html
    assert page.count("data:image/png") == 1  # the picture is embedded once for all methods


def test_values_are_those_of_each_method():
    by_method = sections(render_comparison(explanations()))
    drawn = {m: re.findall(r'data-part="text" data-index="1" data-value="([^"]+)"', s) for m, s in by_method.items()}
    assert drawn["gp"][0] == "2.0"
    assert drawn["lime"][0] == "20.0"


def test_values_without_a_sign_are_shown_above_the_smallest_and_the_page_says_so():
    section = sections(render_comparison(explanations()))["rise"]
    assert "above the smallest, −7.25" in section
    assert "more important" in section
    assert "lowers it" not in section
    assert re.findall(r'data-part="text" data-index="1" data-value="([^"]+)"', section)[0] == "2.25"
    alone = render(explanations()["rise"])
    assert "have no sign" in alone
    assert "above the smallest, −7.25" in alone
    assert "raises it" not in alone


def test_pairs_stand_where_a_method_has_them():
    by_method = sections(render_comparison(explanations()))
    assert "Strongest pairs" in by_method["gp"]
    assert "−0.75" in by_method["gp"]
    assert "no pairs" in by_method["lime"]


def test_only_explanations_of_the_same_players_are_compared():
    some = explanations()
    other = Players([samples.picture_part(2, 2), samples.text_part("a red")])
    some["lime"] = replace(some["lime"], players=other, single=np.zeros(6))
    with pytest.raises(InvalidInput, match="'lime' is of other players"):
        render_comparison(some)
    with pytest.raises(InvalidInput, match="nothing to compare"):
        render_comparison({})


def test_hostile_text_stays_text():
    some = explanations()
    some[samples.HOSTILE] = some.pop("lime")
    page = render_comparison(some)
    assert "<script>alert" not in page
    assert "onerror=alert(1)>" not in page.replace("&gt;", "").replace("&lt;", "") or "<img" not in page


def test_scores_stand_under_their_method_and_beside_the_controls():
    table = (["explanation", "f_syn ↑"], [["gp", "0.31"], ["lime", "0.12"], ["random 0", "0.05"]])
    page = render_comparison(explanations(), table)
    by_method = sections(page)
    assert "0.31" in by_method["gp"]
    assert "0.12" in by_method["lime"]
    assert "0.05" not in by_method["gp"]
    assert "random 0" in page[page.index('id="scores"') :]
    assert 'id="scores"' not in render_comparison(explanations())
    noted = render_comparison(explanations(), table, ["left out: energy. <b>It</b> needs truth"])
    assert '<li dir="auto">left out: energy. &lt;b&gt;It&lt;/b&gt; needs truth</li>' in noted
