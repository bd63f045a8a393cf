"""Outlines, pictures, and the cutting of texts."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import samples
from markupsafe import Markup
from PIL import Image, ImageDraw

from chiasm.core.explanation import Explanation
from chiasm.core.players import PartPlayers, Regions, Spans
from chiasm.core.registry import Registry
from chiasm.view import folder, outlines, raster, renderers, wording
from chiasm.view.colours import Scale
from chiasm.view.figure import draw
from chiasm.view.html import render
from chiasm.view.pairs import looks, matrices, pair_scale
from chiasm.view.panels import is_picture, panels


def loops(path: str) -> list[list[tuple[int, int]]]:
    """An independent reading of the path data."""
    found, x, y = [], 0, 0
    for command, numbers in re.findall(r"([Mhvz])([-\d ]*)", path):
        if command == "M":
            x, y = map(int, numbers.split())
            found.append([(x, y)])
        elif command in "hv":
            x, y = (x + int(numbers), y) if command == "h" else (x, y + int(numbers))
            found[-1].append((x, y))
    return found


def filled(path: str, height: int, width: int) -> np.ndarray:
    """Pixels inside a path, by the even-odd rule on pixel centres (drawn 4 × to be exact)."""
    inside = np.zeros((height, width), bool)
    for loop in loops(path):
        image = Image.new("1", (4 * width, 4 * height))
        ImageDraw.Draw(image).polygon([(4 * x, 4 * y) for x, y in loop], fill=1)
        inside ^= np.asarray(image)[2::4, 2::4]
    return inside


@pytest.mark.parametrize("seed", range(4))
def test_outlines_enclose_exactly_their_pixels(seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(-1, 4, (9, 13)).astype(np.int32)  # ragged: holes, islands, corners that touch
    found = outlines.trace(labels)
    assert set(found) == set(np.unique(labels[labels >= 0]).tolist())
    for label, outline in found.items():
        assert (filled(outline.path, 9, 13) == (labels == label)).all()


def test_an_outline_of_a_patch_is_four_corners():
    found = outlines.trace(samples.grid(30, 40, 3, 4))
    assert len(found) == 12
    assert found[5].path == "M10 10h10v10h-10z"
    assert found[5].box == (10, 10, 10, 10)
    assert found[5].centre == (15, 15)


def test_very_ragged_maps_are_traced_more_coarsely(monkeypatch):
    monkeypatch.setattr(outlines, "_MOST_EDGES", 50)
    labels = np.random.default_rng(0).integers(0, 3, (64, 64)).astype(np.int32)
    found = outlines.trace(labels)
    assert set(found) <= {0, 1, 2}
    assert max(x + w for o in found.values() for x, _, w, _ in [o.box]) <= 64


def test_empty_outline_map():
    assert outlines.trace(np.full((3, 3), -1, np.int32)) == {}


def decoded(uri: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def test_pictures_are_embedded_as_they_are_or_scaled_down():
    small = samples.drawing(64)
    assert (decoded(raster.data_uri(raster.pixels(small, (64, 64)))) == small).all()
    assert raster.pixels(np.zeros((1500, 2600, 3), np.uint8), (1, 1)).shape == (462, 800, 3)
    assert raster.pixels(np.zeros((5000, 1, 3), np.uint8), (1, 1)).shape == (800, 1, 3)


@pytest.mark.parametrize(
    "content",
    [
        np.full((4, 5), 200, np.uint8),
        np.full((4, 5, 1), 200, np.uint8),
        np.full((4, 5, 3), 200 / 255, np.float32),
        np.dstack([np.full((4, 5, 3), 200, np.uint8), np.full((4, 5), 255, np.uint8)]),
        np.full((4, 5, 3), 200, np.int64),
    ],
)
def test_all_forms_of_pictures(content):
    assert (raster.pixels(content, (4, 5)) == np.full((4, 5, 3), 200, np.uint8)).all()


def test_alpha_lies_on_white_and_no_content_is_grey():
    clear = np.zeros((2, 2, 4), np.uint8)
    assert (raster.pixels(clear, (2, 2)) == 255).all()
    assert raster.pixels(None, (3, 7)).shape == (3, 7, 3)


def text_panel(explanation):
    return next(panel for panel in panels(explanation, Scale(1.0)) if panel.shape == "text")


def test_the_stretches_of_a_text_are_the_text():
    for name in ("unicode", "long text", "hostile", "overlapping spans"):
        explanation = samples.odd()[name]
        panel = text_panel(explanation)
        assert "".join(s.text + s.tail for s in panel.stretches) == explanation.players[panel.part].content


def test_overlapping_stretches_are_drawn_once_and_the_others_as_bars():
    panel = text_panel(samples.odd()["overlapping spans"])
    assert [(s.text, s.mark.label) for s in panel.stretches if s.mark] == [("ab", "ab"), ("c", "bc")]
    assert [mark.label for mark in panel.bars] == ["b", "away"]


def test_geometry_decides_the_panel_not_the_modality():
    shapes = {name: [p.shape for p in panels(e, Scale(1.0))] for name, e in samples.odd().items()}
    assert shapes["three parts"] == ["bars", "bars", "bars"]
    assert shapes["two pictures"] == ["picture", "picture", "text"]
    assert shapes["no content"] == ["picture", "bars"]
    assert shapes["superpixels"] == ["picture", "text"]


def elements(kind, shape, content):
    """A part whose two players own halves of the elements of a content."""
    label_map = np.zeros(shape, np.int32).ravel()
    label_map[label_map.size // 2 :] = 1
    return PartPlayers(kind, kind, ("first", "second"), Regions(label_map.reshape(shape)), content)


NO_PICTURES = {
    "row": ((4,), {"a": 1.0, "b": "x", "c": 2.0, "d": 3.0}),
    "clip": ((2, 3, 4), np.zeros((2, 3, 4, 3), np.uint8)),
    "cells": ((5, 6), np.zeros(1000, np.float32)),
    "channels": ((30, 2), np.zeros((30, 2))),
}


@pytest.mark.parametrize("kind", NO_PICTURES)
def test_contents_that_are_no_pictures_have_their_drawing_on_the_page_and_bars_in_figures(monkeypatch, tmp_path, kind):
    mine = Registry("renderer")
    mine.register(kind, lambda part, marks: Markup('<p id="own">{}</p>').format(part.part))
    monkeypatch.setattr(renderers, "renderers", mine)
    monkeypatch.setattr(folder, "renderers", mine)
    e = samples.of_parts([elements(kind, *NO_PICTURES[kind]), samples.text_part("is it so")])
    (panel, _) = panels(e, Scale(1.0))
    assert (panel.shape, panel.picture, len(panel.bars)) == ("bars", None, 2)
    assert f'<p id="own">{kind}</p>' in render(e)
    assert {"first", "second"} <= {t.get_text() for axes in draw(e).axes for t in axes.get_yticklabels()}
    assert folder.thumbnail(e) is None
    back = Explanation.load(e.save(tmp_path / "e.json"))
    assert render(back) == render(e)


def test_pictures_in_grey_are_pictures_where_nothing_else_draws_them():
    grey = elements("plain", (4, 4), np.zeros((4, 4), np.uint8))
    assert is_picture(grey)
    assert not is_picture(grey, drawn=True)
    assert is_picture(elements("plain", (4, 4), None))
    assert not is_picture(elements("plain", (0, 4), None))


def test_a_sound_of_which_some_belongs_to_no_player_is_told():
    def wholly(end):
        bounds = np.array([[0, 5], [5, end]])
        return samples.of_parts([PartPlayers("tone", "tone", ("a", "b"), Spans(bounds), np.zeros(10, np.float32))])

    assert not wording.partial(wholly(10))
    assert wording.partial(wholly(9))


def test_a_matrix_of_many_players_keeps_the_strongest_and_says_so():
    e = samples.odd()["200 players"]
    (block,) = matrices(e, pair_scale(e))
    assert (len(block.rows), len(block.columns)) == (60, 40)
    assert block.note == "Shown: the 60 strongest of 160 players of image."
    assert not block.numbered
    kept = [i for i, _ in block.rows]
    sizes = np.abs(e.interactions["image", "text"]).max(1)
    assert kept == sorted(kept)
    assert sizes[kept].min() >= np.delete(sizes, kept).max()


def test_matrices_hold_the_interactions():
    e = samples.shapes()
    (block,) = matrices(e, pair_scale(e))
    shown = np.array([[cell.value for cell in row] for row in block.cells])
    assert (shown == e.interactions["image", "text"]).all()
    assert len(matrices(samples.odd()["three parts"], Scale(1.0))) == 3
    (own,) = matrices(samples.odd()["one part"], Scale(1.0))
    assert np.isnan([own.cells[i][i].value for i in range(6)]).all()
    assert matrices(samples.odd()["nothing known"], Scale(1.0)) == []
    assert matrices(samples.odd()["one player"], Scale(1.0)) == []


def test_looks_are_not_made_of_noise():
    e = samples.shapes()
    e.pair[1, 16] = e.pair[16, 1] = 9.0
    e.pair_errors[1, 16] = e.pair_errors[16, 1] = np.nan
    drawn = panels(e, Scale.of(e.single))
    assert "What" not in [look.label for look in looks(e, drawn, pair_scale(e))]
    e.pair_errors[:] = 99.0
    assert looks(e, drawn, pair_scale(e)) == []


def test_looks_are_of_the_players_that_interact_most():
    e = samples.shapes()
    scale = pair_scale(e)
    found = looks(e, panels(e, scale), scale)
    assert [look.label for look in found] == ["circle", "colour", "square"]
    assert [area.mark.value for area in found[0].areas] == e.interactions["image", "text"][:, 4].tolist()
    assert found[0].strongest.label == "patch 2,1"
