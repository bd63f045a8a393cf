"""What a gallery refuses, and parts drawn by renderers."""

from __future__ import annotations

import pytest
import samples
from markupsafe import Markup

from chiasm.core.errors import InvalidInput
from chiasm.core.registry import Registry
from chiasm.view import renderers
from chiasm.view.gallery import Item, write_gallery
from chiasm.view.html import render


def item(**changes):
    return Item(**{"id": "7", "dataset": "d", "model": "m", "question": "q", "answer": "a", **changes})


@pytest.mark.parametrize(
    "href", ["https://example.org/x", "//example.org/x", "javascript:alert(1)", "/etc/passwd", "../up.html"]
)
def test_addresses_outside_the_folder_are_refused(tmp_path, href):
    with pytest.raises(InvalidInput, match="of '7' must be of a file"):
        write_gallery([item(href=href)], tmp_path / "g.html", "G")


def test_thumbnails_of_no_known_format_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match="thumbnail of '7'"):
        write_gallery([item(thumbnail=b"<svg onload=alert(1)>")], tmp_path / "g.html", "G")


def test_numbers_that_are_none_and_no_items_at_all(tmp_path):
    page = write_gallery([item(numbers={"synergy": float("nan")})], tmp_path / "g.html", "G").read_text()
    assert '"synergy":null' in page
    assert 'id="items">[]<' in write_gallery([], tmp_path / "h.html", "G").read_text()


@pytest.mark.parametrize("markup", [True, False])
def test_a_renderer_draws_the_parts_of_its_kind_and_plain_text_is_escaped(monkeypatch, markup):
    def draw(part, marks):
        drawn = Markup('<p id="own">{} players of {}</p>').format(len(marks), part.part)
        return drawn if markup else str.__str__(drawn)

    mine = Registry("renderer")
    mine.register("image", draw)
    monkeypatch.setattr(renderers, "renderers", mine)
    page = render(samples.shapes())
    n = len(samples.shapes().players["image"])
    assert (f'<p id="own">{n} players of image</p>' in page) is markup
    assert ("&lt;p id=" in page) is not markup
