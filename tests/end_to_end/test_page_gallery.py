"""The gallery in Chromium: filters, thousands of samples, keyboard, nothing from outside, text stays text."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from chiasm.view.gallery import Item, write_gallery

pytestmark = pytest.mark.browser
HOSTILE = "</script><script>window.hit = 1</script><img src=x onerror='window.hit = 2'>"
SAMPLES = 5000


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    picture = io.BytesIO()
    Image.new("RGB", (16, 16), (200, 80, 20)).save(picture, "PNG")
    items = [
        Item(
            id=f"s{i}",
            dataset="shapes" if i % 2 else "scenes",
            model="m",
            question=HOSTILE if i == 0 else f"question {i}",
            answer="red",
            correct=i % 5 != 0,
            thumbnail=picture.getvalue(),
            numbers={"synergy": float(i)},
            tags={"kind": "abc"[i % 3]},
            href=f"samples/{i}.html",
        )
        for i in range(SAMPLES)
    ]
    return write_gallery(items, tmp_path_factory.mktemp("gallery") / "gallery.html", "Samples")


@pytest.fixture
def page(open_page, gallery):
    return open_page(gallery)


def count(page):
    return page.inner_text("#count")


def test_filters_give_exactly_the_samples_they_name(page):
    assert count(page) == "5000 of 5000 samples"
    page.select_option("select[name='dataset:']", "shapes")
    assert count(page) == "2500 of 5000 samples"
    page.select_option("select[name='verdict:']", "wrong")
    assert count(page) == "500 of 5000 samples"
    page.select_option("select[name='tag:kind']", "a")
    assert count(page) == f"{sum(i % 2 == 1 and i % 5 == 0 and i % 3 == 0 for i in range(SAMPLES))} of 5000 samples"
    page.select_option("select[name='number:synergy']", "high")
    wanted = [i for i in range(SAMPLES) if i % 30 == 15 and i >= 2500]
    assert count(page) == f"{len(wanted)} of 5000 samples"
    assert page.locator(".card").first.get_attribute("data-id") == f"s{wanted[0]}"


def test_an_address_may_choose(page, gallery):
    page.goto(f"{gallery.as_uri()}#dataset%3A=shapes&verdict%3A=wrong&nothing%3A=x")
    page.wait_for_function("document.getElementById('count').textContent === '500 of 5000 samples'")
    assert page.input_value("select[name='dataset:']") == "shapes"
    page.goto(f"{gallery.as_uri()}#verdict%3A=correct")
    page.wait_for_function("document.getElementById('count').textContent === '4000 of 5000 samples'")


def test_only_what_is_in_sight_is_drawn(page):
    """What a scroll step costs does not grow with the samples: the same few cards stand in the document anywhere."""
    for step in range(5):
        page.evaluate(f"document.getElementById('list').scrollTop = {step * 40_000}")
        page.wait_for_function(f"document.getElementById('list').scrollTop >= {step * 40_000 - 1}")
        assert 0 < page.locator(".card").count() < 120
    page.evaluate("document.getElementById('list').scrollTop = 1e9")
    page.wait_for_selector("[data-id='s4999']")


def test_hostile_text_is_text(page):
    assert page.locator(".card").first.locator(".question").inner_text().startswith("</script>")
    assert page.evaluate("window.hit") is None


def test_the_keyboard_reaches_search_and_samples(page):
    page.keyboard.press("Tab")
    page.keyboard.type("question 4321")
    assert count(page) == "1 of 5000 samples"
    page.locator(".card").focus()
    assert page.evaluate("document.activeElement.getAttribute('href')") == "samples/4321.html"


def test_arrows_reach_samples_out_of_sight(page):
    page.locator(".card").first.focus()
    page.keyboard.press("End")
    assert page.evaluate("document.activeElement.dataset.id") == "s4999"
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("document.activeElement.dataset.id") == "s4998"
    page.keyboard.press("Home")
    for _ in range(12):
        page.keyboard.press("ArrowDown")
    assert int(page.evaluate("document.activeElement.dataset.at")) >= 12
    assert page.locator(".card[tabindex='0']").count() == 1
    assert page.get_attribute(".place >> nth=0", "role") == "listitem"


@pytest.mark.parametrize("width", [380, 2500])
def test_nothing_is_wider_than_the_page(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
