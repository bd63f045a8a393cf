"""The page, read back as a browser would."""

from __future__ import annotations

import base64
import builtins
import hashlib
import json
import re
import sys
import types
from html.parser import HTMLParser
from importlib.resources import files

import numpy as np
import pytest
import samples

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.core.registry import views
from chiasm.view import notebook
from chiasm.view.findings import strongest_pairs
from chiasm.view.html import render, write_html
from chiasm.view.shell import EXPLANATION

VOID = {"meta", "link", "img", "br", "input", "use", "path", "rect", "image", "feColorMatrix", "fecolormatrix"}
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


def own_script_alone(reader):
    """The only script is ours, to the letter, and the policy names it by its hash; the other block is data."""
    data, source = reader.find("script")
    assert data[0] == {"type": "application/json", "id": "data"}
    assert json.loads(data[1])["methods"]
    ours = [files("chiasm.view").joinpath("assets", name).read_text(encoding="utf-8") for name in EXPLANATION]
    assert source == ({}, "\n".join(ours))
    digest = base64.b64encode(hashlib.sha256(source[1].encode()).digest()).decode()
    ((policy, _),) = reader.find("meta", http_equiv="Content-Security-Policy")
    assert policy["content"].endswith(f"script-src 'sha256-{digest}'")


@pytest.mark.parametrize("name", ODD)
def test_every_odd_explanation_is_a_well_formed_page_without_network_and_with_our_script_alone(name):
    page = render(ODD[name])
    reader = Reader(page)
    assert reader.open == []  # every element is closed, in order
    tags = {tag for tag, _ in reader.tags}
    own_script_alone(reader)
    assert not tags & {"link", "iframe", "object", "embed", "base", "form", "img"}
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
    assert pairs == [pair.value for pair in strongest_pairs(e, 12)]


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
    assert "colours scaled to the largest absolute value, 0.83 nats" in seen(render(samples.shapes()))
    assert "All values are 0" in render(ODD["zeros"])
    assert "gave no value for any player" in render(ODD["nothing known"])
    assert "gives single players only" in render(ODD["no pairs"])
    assert "Shown: the 60 strongest of 160 players of image." in render(ODD["200 players"])


def test_hostile_texts_stay_texts():
    page = render(ODD["hostile"])
    reader = Reader(page)
    own_script_alone(reader)
    assert "<script>alert" not in page
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
    assert attributes["sandbox"] == "allow-scripts"  # a script of its own, and nothing of the notebook's
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


def seen(page):
    """The text of a page, white space collapsed, without its script and the data."""
    bare = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    return " ".join(Reader(bare).find("body")[0][1].replace("\u00a0", " ").split())


def test_a_method_without_errors_is_said_to_have_none_and_its_findings_are_hedged():
    text = seen(render(ODD["no errors"]))
    assert text.count("This method gives no standard errors: treat small interactions as possible noise") == 1
    assert "they seem to work together." in text
    assert "caution" not in [a.get("class") for _, a in Reader(render(samples.shapes())).tags]


def test_exact_values_have_no_errors_beside_them():
    e = samples.shapes(provenance=samples.provenance(method="exact"))
    e.single_errors[:] = 0
    e.pair_errors[:] = 0
    text = seen(render(e))
    assert "±" not in text
    assert "none: the values are exact" in text
    assert "seem to" not in text


def test_pixels_of_players_held_absent_are_not_said_to_be_present():
    free = [i for i in range(16) if i != 3]
    e = samples.of_parts(
        [samples.picture_part().subset(free), samples.text_part()],
        provenance=samples.provenance(fixed={"image[3]": False}),
    )
    text = seen(render(e))
    assert "6 % of the picture belongs to no explained player (held absent: image[3])." in text
    assert "always present" not in text
    never = samples.of_parts([samples.picture_part().subset(free)])
    assert "6 % of the picture belongs to no player and was always present." in seen(render(never))
    assert "Held present: the whole part." in seen(render(ODD["fixed part"]))


def test_parts_that_are_drawn_alike_are_named_in_pairs():
    text = seen(render(ODD["two pictures"]))
    assert re.search(r"image2 patch \d,\d", text)
    assert re.search(r"image: works with “image2 patch \d,\d”", text)
    assert "image2 patch" not in seen(render(samples.shapes()))


def test_headings_do_not_ask_twice():
    question = samples.of_parts([samples.picture_part(2, 2), samples.text_part("Is it red?")])
    assert "Works with “" in seen(render(question))
    assert "What works with" not in seen(render(question))


def test_notes_are_sentences_of_their_own():
    e = samples.shapes(provenance=samples.provenance(notes=["method: exact, because it fits", "3 pairs never met."]))
    entries = [text for _, text in Reader(render(e)).find("dd")]
    assert "Method: exact, because it fits." in entries
    assert "3 pairs never met." in entries
