"""The page, read back as a browser would."""

from __future__ import annotations

import builtins
import re
import sys
import types
from html.parser import HTMLParser

import numpy as np
import pytest
import samples

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.core.registry import views
from chiasm.view import notebook
from chiasm.view.html import render, write_html

VOID = {"meta", "link", "img", "br", "use", "path", "rect", "image", "feColorMatrix", "fecolormatrix"}
ODD = samples.odd()


class Reader(HTMLParser):
    """Tags with attributes, and the text of each element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[int] = []
        self.text: dict[int, str] = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(len(self.tags) - 1)
            self.text[len(self.tags) - 1] = ""

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.tags[self.open[-1]][0] == tag, f"</{tag}> closes <{self.tags[self.open[-1]][0]}>"
        self.open.pop()

    def handle_data(self, data):
        for at in self.open:
            self.text[at] += data

    def find(self, tag, **attributes):
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attributes.items()}
        return [
            (attrs, self.text.get(at, ""))
            for at, (name, attrs) in enumerate(self.tags)
            if name == tag and all(attrs.get(key) == value for key, value in wanted.items())
        ]


@pytest.mark.parametrize("name", ODD)
def test_every_odd_explanation_is_a_well_formed_page_without_network_or_script(name):
    page = render(ODD[name])
    reader = Reader(page)
    assert reader.open == []  # every element is closed, in order
    tags = {tag for tag, _ in reader.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "img"}
    for _, attributes in reader.tags:
        assert not [key for key in attributes if key.startswith("on")]
        for key in ("href", "src", "xlink:href"):
            assert attributes.get(key, "#").startswith(("#", "data:image/png;base64,"))
    styles = " ".join([text for _, text in reader.find("style")] + [a.get("style") or "" for _, a in reader.tags])
    assert not re.search(r"url\((?!#)|@import", styles)
    assert reader.find("html", lang="en")
    assert "Undefined" not in page


def test_the_numbers_shown_are_the_explanation_s():
    e = samples.shapes()
    reader = Reader(render(e))
    words = {int(a["data-index"]): float(a["data-value"]) for a, _ in reader.find("ruby", data_part="text")}
    assert words == dict(enumerate(e.values["text"].tolist()))
    cells = [float(a["data-value"]) for a, _ in reader.find("td") if "data-value" in a]
    assert cells == e.interactions["image", "text"].ravel().tolist()
    pairs = [float(a["data-value"]) for a, _ in reader.find("span") if "data-value" in a and "data-index" not in a]
    assert pairs == [pair.value for pair in e.top_pairs(12)]


def test_the_first_picture_is_tinted_by_the_values_and_the_others_by_interactions():
    e = samples.shapes()
    paths = [a for a, _ in Reader(render(e)).find("path", data_part="image")]
    shown = np.array([float(a["data-value"]) for a in paths]).reshape(4, 16)
    assert (shown[0] == e.values["image"]).all()
    assert (shown[1] == e.interactions["image", "text"][:, 4]).all()
    opacity = np.array([float(a["fill-opacity"]) for a in paths[:16]])
    expected = 0.66 * np.abs(shown[0]) / np.abs(e.single).max()
    assert np.allclose(opacity, expected, atol=1e-3)


def test_bars_and_words_say_label_number_and_error():
    e = samples.shapes()
    page = Reader(render(e))
    ((attributes, text),) = [(a, t) for a, t in page.find("ruby") if a.get("data-index") == "4"]
    assert text == "circle+0.61"
    assert attributes["title"].startswith("circle: +0.61 ± 0.02")
    numbers = [text for a, text in page.find("td", class_="number")]
    assert numbers[:4] == ["+1.09", "+1.67", "+0.83", "+3.59"]


def test_the_scale_that_is_used_is_stated():
    assert "colours scaled to the largest absolute value, 0.83 nats" in render(samples.shapes())
    assert "All values are 0" in render(ODD["zeros"])
    assert "gave no value for any player" in render(ODD["nothing known"])
    assert "gives single players only" in render(ODD["no pairs"])
    assert "Shown: the 60 strongest of 160 players of image." in render(ODD["200 players"])


def test_hostile_texts_stay_texts():
    page = render(ODD["hostile"])
    reader = Reader(page)
    assert "<script" not in page
    assert "<img" not in page
    for tag in ("title", "h1"):
        text = reader.find(tag)[0][1]
        assert '<script>alert("x")</script>' in text
        assert "{{ 7*7 }}" in text
    assert any(samples.HOSTILE in (a.get("data-part") or "") for _, a in reader.tags)


def test_lone_surrogates_do_not_stop_the_page(tmp_path):
    e = samples.of_parts([samples.text_part("what \ud800 is")])
    assert write_html(e, tmp_path / "page.html").read_bytes()


def test_the_page_is_small_and_holds_its_picture_once():
    page = render(samples.shapes())
    assert page.count("data:image/png") == 1
    assert len(page) < 150_000
    assert len(render(ODD["long text"])) < 1_000_000


def test_a_strict_content_policy_is_part_of_the_page():
    ((attributes, _),) = Reader(render(ODD["one player"])).find("meta", http_equiv="Content-Security-Policy")
    assert attributes["content"].startswith("default-src 'none'")


def test_writing_is_atomic_and_says_when_the_folder_is_missing(tmp_path):
    path = write_html(samples.shapes(), str(tmp_path / "page.html"))
    assert path == tmp_path / "page.html"
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(InvalidInput, match="does not exist"):
        write_html(samples.shapes(), tmp_path / "nowhere" / "page.html")


def test_an_explanation_finds_its_views(tmp_path):
    e = samples.shapes()
    assert e.to_html(tmp_path / "a.html").is_file()
    assert views.get("html") is write_html
    assert e.plot().axes


def test_notebook_shows_the_page_in_a_frame(monkeypatch):
    shown = types.ModuleType("IPython.display")
    shown.HTML = lambda data: data
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", shown)
    reader = Reader(notebook.show(ODD["hostile"], height=300))
    ((attributes, _),) = reader.find("iframe")
    assert attributes["srcdoc"] == render(ODD["hostile"])
    assert attributes["sandbox"] == ""
    assert "300px" in attributes["style"]


def test_notebook_without_ipython_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def refuse(name, *arguments, **options):
        if name.startswith("IPython"):
            raise ImportError(name)
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setitem(sys.modules, "IPython.display", None)
    with pytest.raises(MissingDependency, match="pip install ipython"):
        notebook.show(ODD["one player"])
