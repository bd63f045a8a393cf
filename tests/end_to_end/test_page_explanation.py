"""The page of an explanation in Chromium: pointing, keeping, keyboard, switches, methods side by side, large pages."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from markupsafe import Markup

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "view"))

import samples
from pointer_cost import milliseconds_of_cpu

from chiasm.core.explanation import Prediction, WhatIf
from chiasm.core.players import PartPlayers, Spans
from chiasm.core.registry import Registry
from chiasm.view import notebook, renderers
from chiasm.view.comparison import write_comparison
from chiasm.view.html import write_html

pytestmark = pytest.mark.browser
CIRCLE, PATCH = '.stretch[data-part="text"][data-index="4"]', '.panels path[data-part="image"][data-index="4"]'
REST = "document.querySelector('h1')"
#: two frames later everything asked for is drawn
DRAWN = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"


def opacity(page, selector=PATCH):
    page.evaluate(DRAWN)
    return page.eval_on_selector(selector, "e => Number(getComputedStyle(e).fillOpacity)")


def readout(page):
    page.evaluate(DRAWN)
    return page.inner_text("#readout").replace("\u00a0", " ")


def away(page):
    page.mouse.move(2, 2)
    page.evaluate(DRAWN)


@pytest.fixture
def page(open_page, tmp_path):
    return open_page(write_html(samples.shapes(), tmp_path / "page.html"))


def test_pointing_at_a_word_lights_up_the_patches_it_works_with(page):
    before = opacity(page)
    e = samples.shapes()
    page.hover(CIRCLE)
    pairs = e.interactions["image", "text"]
    assert opacity(page) == pytest.approx(0.66 * pairs[4, 4] / np.abs(pairs).max(), abs=0.01)
    against = '.panels path[data-part="image"][data-index="6"]'
    assert page.eval_on_selector(against, "e => getComputedStyle(e).fill") == "rgb(20, 120, 230)"  # suppression: blue
    said = readout(page)
    assert said.startswith("“circle” alone +0.61; with ")
    assert "patch 2,1 +0.74 ± " in said
    assert "patch 2,3 −0.29 ± " in said
    assert page.locator(".links path").count() >= 2
    away(page)
    assert opacity(page) == pytest.approx(before)
    assert "Point at a word" in readout(page)


def test_lines_show_the_strongest_pairs_until_something_is_chosen(page):
    words = "[...document.querySelectorAll('.links path')].map(line => line.style.stroke)"
    page.evaluate(DRAWN)
    drawn = page.evaluate(words)
    e = samples.shapes()
    strongest = sorted(e.interactions["image", "text"].ravel(), key=lambda v: -abs(v))[:4]
    assert ["230" in line.split(",")[0] for line in drawn] == [value > 0 for value in strongest]
    assert "Lines: the strongest pairs" in readout(page)
    page.uncheck("[name=lines]")
    page.evaluate(DRAWN)
    assert page.evaluate(words) == []


@pytest.mark.parametrize("width", [380, 1240])
def test_what_is_said_moves_nothing_and_is_in_sight(open_page, tmp_path, width):
    page = open_page(write_html(samples.shapes(), tmp_path / "page.html"), width=width)
    for selector in (CIRCLE, ".matrix tbody th >> nth=5"):
        page.locator(selector).scroll_into_view_if_needed()
        before = page.locator(selector).bounding_box()
        page.hover(selector)
        assert "alone" in readout(page)
        after = page.locator(selector).bounding_box()
        assert abs(after["y"] - before["y"]) < 1
        assert abs(after["x"] - before["x"]) < 4
        bar = page.locator("#readout").bounding_box()
        assert bar["y"] >= 0
        assert bar["y"] + bar["height"] <= 900
        away(page)


def test_the_legend_says_what_the_strongest_colour_is_now(page):
    page.click(CIRCLE)
    page.click('.stretch[data-part="text"][data-index="1"]')  # the sum of two goes beyond any single pair
    away(page)
    together = np.abs(samples.shapes().interactions["image", "text"][:, [1, 4]].sum(1)).max()
    texts = page.eval_on_selector_all(".together .limit", "all => all.map(e => e.textContent)")
    assert set(texts) == {f"{together:.2f}"}


def test_pointing_at_a_patch_lights_up_words_and_noise_stays_faint(page):
    page.hover(PATCH)
    said = readout(page)
    assert "circle +0.74" in said
    assert "colour +0.47" in said
    tint = page.eval_on_selector(CIRCLE, "e => e.style.background")
    assert re.match(r"rgb\(230 97 0 / calc\(0\.8", tint)
    noise = '.stretch[data-part="text"][data-index="2"]'
    faint = "e => Number(e.style.background.match(/calc\\(([\\d.]+)/)?.[1] ?? 0)"
    kept = page.eval_on_selector(noise, faint)
    page.uncheck("[name=faint]")
    page.hover(PATCH)
    page.evaluate(DRAWN)
    assert page.eval_on_selector(noise, faint) > 3 * kept


def test_clicking_keeps_several_and_escape_lets_go(page):
    page.click(CIRCLE)
    page.click('.stretch[data-part="text"][data-index="1"]')
    away(page)
    e = samples.shapes()
    pairs = e.interactions["image", "text"]
    together = pairs[:, 4] + pairs[:, 1]
    limit = max(np.abs(pairs).max(), np.abs(together).max())
    assert opacity(page) == pytest.approx(0.66 * together[4] / limit, abs=0.01)
    assert readout(page).startswith("“circle” and “colour”")
    assert page.locator(".panels .pinned").count() == 2
    page.click(CIRCLE)
    away(page)
    assert readout(page).startswith("“colour”")
    page.keyboard.press("Escape")
    assert "Point at a word" in readout(page)
    assert page.locator(".pinned").count() == 0


def test_a_cell_and_a_row_stand_for_a_pair(page):
    page.hover("table.pairs tbody tr:first-child td:last-child")
    assert "with each other +0.74" in readout(page)
    page.locator(".matrix tbody tr").nth(4).locator("td").nth(4).hover()
    assert "with each other +0.74" in readout(page)


def test_the_keyboard_walks_through_words_and_patches(page):
    page.focus('.stretch[data-part="text"][data-index="0"]')
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    assert "“circle”" in readout(page)
    page.keyboard.press("Enter")
    page.evaluate(DRAWN)
    assert page.get_attribute(CIRCLE, "aria-pressed") == "true"
    assert page.get_attribute(CIRCLE, "role") == "button"
    page.keyboard.press("Escape")
    page.focus('.panels path[data-index="0"]')
    page.keyboard.press("ArrowDown")
    assert "“patch 2,1”" in readout(page)
    stops = page.evaluate("[...document.querySelectorAll('.panels [tabindex=\"0\"]')].map(e => e.dataset.part)")
    assert sorted(stops) == ["image", "text"]  # one stop of Tab for each part


def test_switches(page):
    own = opacity(page)
    page.click(CIRCLE)
    away(page)
    lit = opacity(page)
    page.check('[name=show][value="single"]')
    assert opacity(page) == pytest.approx(own)
    assert page.is_visible(".own")
    page.check('[name=show][value="together"]')
    assert opacity(page) == pytest.approx(lit)
    assert page.is_visible(".together")
    assert page.is_hidden(".own")
    page.fill("[name=opacity]", "0.5")
    assert opacity(page) == pytest.approx(lit / 2, abs=0.01)
    assert page.locator(".links path").count() > 0
    page.uncheck("[name=lines]")
    page.evaluate(DRAWN)
    assert page.locator(".links path").count() == 0
    page.check('[name=as][value="smooth"]')
    page.evaluate(DRAWN)
    assert "blur" in page.eval_on_selector(".areas", "e => e.style.filter")


def test_a_matrix_is_sorted_by_a_column(page):
    values = samples.shapes().interactions["image", "text"][:, 4]
    column = "rows => rows.map(row => Number(row.cells[5].dataset.value))"
    button = page.locator(".matrix thead .sort").nth(4)
    for order in (sorted(values, reverse=True), sorted(values), list(values)):
        button.click()
        assert page.eval_on_selector_all(".matrix tbody tr", column) == pytest.approx(order)


def test_methods_are_compared_with_one_pointer_and_may_be_hidden(open_page, tmp_path):
    e = samples.shapes()
    unary = replace(e, pair=None, pair_errors=None, provenance=samples.provenance(method="lime"))
    page = open_page(write_comparison({"gp": e, "lime": unary}, tmp_path / "page.html"))
    page.hover(f'[data-method="gp"] {CIRCLE}')
    assert page.locator('[data-method="lime"] .stretch.chosen').count() == 1
    said = readout(page)
    assert re.search(r"gp: “circle” alone \+0\.61; with patch 2,1 \+0\.74", said)
    assert "lime: “circle” alone +0.61; this method gives no pairs." in said
    more = open_page(write_comparison({"gp": e, "lime": unary, "rise": unary}, tmp_path / "three.html"))
    more.hover(f'[data-method="gp"] {CIRCLE}')
    assert "“circle” alone: lime +0.61, rise +0.61; these methods give no pairs." in readout(more)
    assert page.is_visible("[name=show] >> nth=0")
    bare = open_page(
        write_comparison(
            {"a": replace(unary, single_errors=None), "b": replace(unary, single_errors=None)}, tmp_path / "bare.html"
        )
    )
    for useless in ("show", "lines", "faint"):  # without pairs and errors they would do nothing
        assert bare.is_hidden(f"[name={useless}] >> nth=0")
    page.uncheck('[name=method][value="lime"]')
    assert page.is_hidden('[data-method="lime"]')


def test_values_of_one_kind_may_share_a_scale(open_page, tmp_path):
    e = samples.shapes()
    half = replace(e, single=e.single / 2, provenance=samples.provenance(method="gp"))
    other = replace(e, pair=None, pair_errors=None, provenance=samples.provenance(method="lime", index="LIME"))
    page = open_page(write_comparison({"full": e, "half": half, "lime": other}, tmp_path / "page.html"))
    patch = {name: f'[data-method="{name}"] {PATCH.removeprefix(".panels ")}' for name in ("full", "half", "lime")}
    assert opacity(page, patch["half"]) == opacity(page, patch["full"])
    page.check("[name=common]")
    assert opacity(page, patch["half"]) == pytest.approx(opacity(page, patch["full"]) / 2, abs=0.01)
    assert opacity(page, patch["lime"]) == pytest.approx(0.66, abs=0.01)  # of another kind: keeps its own
    assert page.inner_text('[data-method="half"] .own .limit >> nth=0') == "0.83"
    alone = open_page(write_comparison({"full": e, "lime": other}, tmp_path / "other.html"))
    assert alone.locator("[name=common]").count() == 0


def test_what_if_is_told_and_texts_of_others_stay_texts(open_page, tmp_path):
    e = samples.of_parts([samples.picture_part(name=samples.HOSTILE), samples.text_part(samples.HOSTILE)])
    e.prediction = Prediction(samples.HOSTILE, 0.5)
    e.what_if = (WhatIf((samples.HOSTILE,), samples.HOSTILE, 0.4), WhatIf((("text", 0),), "no", None))
    page = open_page(write_html(e, tmp_path / "page.html"))
    cards = page.locator("#what-if li")
    assert cards.count() == 2
    assert "the same answer" in cards.nth(0).inner_text()
    assert "another answer" in cards.nth(1).inner_text()
    page.hover(".stretch >> nth=0")
    page.evaluate(DRAWN)
    assert page.evaluate("document.images.length + document.scripts.length") == 2


@pytest.mark.parametrize(("side", "words"), [(24, 200), (14, 40)])
def test_large_pages_answer_at_once_and_are_small_files(open_page, tmp_path, side, words):
    text = " ".join(f"word{k}" for k in range(words))
    e = samples.of_parts([samples.picture_part(side, side), samples.text_part(text)])
    e.pair_errors = np.abs(e.pair) / 3
    path = write_html(e, tmp_path / "page.html")
    if words == 40:
        assert path.stat().st_size < 2_000_000
    page = open_page(path)
    page.hover(".stretch >> nth=7")
    assert readout(page).startswith("“word7” alone")
    assert page.locator(".panels .areas path.player").count() == side**2
    away(page)
    assert milliseconds_of_cpu(page) < 50  # benchmarks/page.py prints it


def test_other_scripts_and_directions(open_page, tmp_path):
    text = "ما لون الدائرة التي على يسار المربع؟"
    e = samples.of_parts([samples.picture_part(), samples.text_part(text)])
    page = open_page(write_html(e, tmp_path / "page.html"), width=380)
    first, second = (page.locator(".text [data-index]").nth(k).bounding_box() for k in (0, 1))
    assert first["x"] > second["x"]  # read from the right
    assert page.evaluate("document.documentElement.scrollWidth") <= 380


def test_the_page_works_in_a_notebook_s_frame(open_page, tmp_path):
    path = tmp_path / "notebook.html"
    path.write_text(f"<!doctype html><title>notebook</title>{notebook.frame(samples.shapes())}", encoding="utf-8")
    frame = open_page(path).frame_locator("iframe")
    frame.locator(CIRCLE).hover()
    assert frame.locator("#readout").inner_text(timeout=5000).startswith("“circle” alone")


def test_a_part_that_a_renderer_draws_lights_up_like_any_other(open_page, tmp_path, monkeypatch):
    """A new modality is one function: here a series as a line, its segments as areas under it."""

    def line(part, marks):
        points = " ".join(f"{x},{50 - 40 * y:.1f}" for x, y in enumerate(part.content))
        areas = (
            Markup(
                '<rect x="{}" width="{}" height="100" data-part="{}" data-index="{}" fill="rgb{}" fill-opacity="{}"/>'
            ).format(start, end - start, mark.part, mark.index, mark.fill, mark.opacity)
            for mark, (start, end) in zip(marks, part.geometry.bounds.tolist(), strict=True)
        )
        frame = Markup(
            '<svg viewBox="0 0 60 100" width="400"><polyline points="{}" fill="none" stroke="gray"/>{}</svg>'
        )
        return frame.format(points, Markup("").join(areas))

    mine = Registry("renderer")
    mine.register("series", line)
    monkeypatch.setattr(renderers, "renderers", mine)
    bounds = np.arange(0, 61, 10)
    series = PartPlayers(
        "pulse", "series", tuple("abcdef"), Spans(np.stack([bounds[:-1], bounds[1:]], 1)), np.sin(np.arange(60) / 4)
    )
    e = samples.of_parts([series, samples.text_part("is it steady")])
    page = open_page(write_html(e, tmp_path / "page.html"))
    page.hover('.stretch[data-index="2"]')
    row = e.interactions["pulse", "text"][:, 2]
    wanted = 0.66 * abs(row[3]) / np.abs(e.interactions["pulse", "text"]).max()
    assert opacity(page, 'rect[data-index="3"]') == pytest.approx(wanted, abs=0.01)
    page.hover('rect[data-index="3"]')
    assert readout(page).startswith("“d” alone")
    page.click('rect[data-index="3"]')
    page.evaluate(DRAWN)
    assert page.locator("rect.pinned").count() == 1


def test_touch_keeps_with_a_tap(open_page, tmp_path):
    page = open_page(write_html(samples.shapes(), tmp_path / "page.html"), width=380, touch=True)
    page.tap(CIRCLE)
    assert "“circle”" in readout(page)
    assert page.locator(".panels .pinned").count() == 1
