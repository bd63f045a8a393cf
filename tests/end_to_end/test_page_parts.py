"""Rows and graphs on the page in Chromium: they light up with what one points at, and can be pointed at themselves."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import chiasm as cx

pytestmark = pytest.mark.browser
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def planted(samples):
    """The word "both" with the column of use, and the node c with the column."""
    found = []
    for s in samples:
        c = s["graph"]["features"][2, 0]
        found.append(s["tabular"]["use"] * (2.0 * ("both" in s["text"]) - 4.0 * c))
    return found


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    graph = nx.path_graph(["a", "b", "c", "d"])
    nx.set_node_attributes(graph, 1.0, "x")
    sample = cx.Sample(tabular={"use": 1.0, "other": 7.0}, graph=graph, text="do both count")
    model = cx.FunctionModel(planted)
    e = cx.explain(model, sample, maskers={"graph": "zero"}, method="exact")
    assert e.interactions["tabular", "text"] == pytest.approx(np.array([[0, 2, 0], [0, 0, 0]]))
    assert e.interactions["tabular", "graph"] == pytest.approx(np.array([[0, 0, -4, 0], [0, 0, 0, 0]]))
    return e.to_html(tmp_path_factory.mktemp("parts") / "page.html")


def number(page, column):
    page.evaluate(DRAWN)
    return page.inner_text(f'.panels tr[data-part="tabular"][data-index="{column}"] td.number')


def shade(page, node):
    page.evaluate(DRAWN)
    path = f'.panels path[data-part="graph"][data-index="{node}"]'
    return page.eval_on_selector(path, "e => [getComputedStyle(e).fill, Number(getComputedStyle(e).fillOpacity)]")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_word_lights_up_its_column_and_a_column_its_node(written, open_page, scheme):
    page = open_page(written, scheme=scheme)
    assert number(page, 0) == "−1.00"  # 2/2 − 4/2
    page.hover('.stretch[data-part="text"][data-index="1"]')
    assert (number(page, 0), number(page, 1)) == ("+2.00", "0.00")
    assert shade(page, 2)[1] == 0
    page.hover('.panels tr[data-index="0"]')
    page.evaluate(DRAWN)
    assert page.inner_text("#readout").startswith("“use” alone −1.00")
    fill, opacity = shade(page, 2)
    assert fill == "rgb(20, 120, 230)"
    assert opacity == pytest.approx(0.66, abs=0.01)
    assert shade(page, 1)[1] == 0
    page.hover('.panels path[data-part="graph"][data-index="2"]')
    assert number(page, 0) == "−4.00"
    assert page.locator('figure[data-panel="graph"] text.value').count() <= 4
