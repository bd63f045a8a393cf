"""Scenes: objects keep apart, and what their geometry says of sizes is what is drawn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from chiasm.zoo.data.scenes import AREAS, COLOURS, GAP, MARGIN, SHAPES, SIDE, Item, draw_scene, mask, place


@pytest.mark.parametrize("shape", SHAPES)
def test_areas_and_boxes_are_those_that_are_drawn(shape):
    rng = np.random.default_rng(1)
    for _ in range(40):
        x, y = rng.uniform(100, 150, 2)
        item = Item("red", shape, float(x), float(y), float(rng.uniform(22, 38)), COLOURS["red"])
        pixels = mask(item)
        assert pixels.sum() == pytest.approx(AREAS[shape] * item.radius**2, rel=0.07)
        rows, columns = np.nonzero(pixels)
        drawn = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        # The tips of a star and of a triangle cover their last pixels by less than half.
        assert np.abs(drawn - item.box).max() <= (3 if shape in ("star", "triangle") else 1.5)


@pytest.mark.parametrize("family", ["shapes", "digits"])
def test_boxes_keep_a_gap_and_a_margin(family):
    rng = np.random.default_rng(3)
    for _ in range(200):
        boxes = [item.box for item in draw_scene(rng, family=family).items]
        assert all(min(box) >= MARGIN - 1e-9 and max(box) <= SIDE - MARGIN + 1e-9 for box in boxes)
        for a, b in itertools.combinations(boxes, 2):
            assert max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3]) > GAP


def test_objects_are_placed_off_the_edge_that_is_asked_for():
    rng = np.random.default_rng(5)
    for _ in range(100):
        item = place(rng, "red", "star", [], edge=40.0)
        assert item is not None
        assert min(item.box) >= 40
        assert max(item.box) <= SIDE - 40


def test_no_place_is_found_where_there_is_none():
    rng = np.random.default_rng(6)
    everywhere = Item("red", "square", SIDE / 2, SIDE / 2, 140.0, COLOURS["red"])
    assert place(rng, "blue", "star", [everywhere]) is None
