from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.modalities.base import Context, Placement
from chiasm.modalities.image import IMAGE, Boxes, Masks

PLAIN = Context()


def cut(content, segmenter, context=PLAIN):
    players = IMAGE.segment("image", content, segmenter, context)
    assert players.part == "image"
    assert players.kind == "image"
    assert players.content is content
    label_map = players.geometry.label_map
    assert label_map.dtype == np.int32
    assert label_map.shape == content.shape[:2]
    return players.labels, label_map


def blank(height, width):
    return np.zeros((height, width, 3), np.uint8)


@pytest.mark.parametrize(
    ("rows", "columns", "height", "width"),
    [(7, 7, 128, 128), (3, 5, 10, 11), (1, 1, 1, 1), (9, 13, 9, 13), (4, 6, 7, 9)],
)
def test_grid_cells_are_even_rectangles_in_reading_order(rows, columns, height, width) -> None:
    labels, label_map = cut(blank(height, width), f"grid:{rows}x{columns}")
    assert len(labels) == rows * columns == len(set(labels))
    assert labels[0] == "r1c1"
    assert labels[-1] == f"r{rows}c{columns}"
    for r in range(rows):
        for c in range(columns):
            ys, xs = np.nonzero(label_map == r * columns + c)
            assert len(ys) > 0
            assert len(ys) == (np.ptp(ys) + 1) * (np.ptp(xs) + 1)  # a filled rectangle
            assert abs(ys.min() - r * height / rows) <= 0.5
            assert abs(xs.max() + 1 - (c + 1) * width / columns) <= 0.5


def test_every_small_grid_has_pixels_in_every_cell() -> None:
    for size in range(1, 30):
        for parts in range(1, size + 1):
            _, label_map = cut(blank(size, 1), f"grid:{parts}x1")
            counts = np.bincount(label_map.ravel(), minlength=parts)
            assert counts.min() >= 1
            assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("spec", ["grid:5x4", "grid:4x5"])
def test_grid_finer_than_pixels(spec) -> None:
    with pytest.raises(InvalidInput, match="finer than the picture"):
        cut(blank(4, 4), spec)


@pytest.mark.parametrize(
    "spec", ["grid", "grid:", "grid:7", "grid:ax3", "grid:-1x2", "grid:0x3", "slic", "slic:x", "slic:0"]
)
def test_bad_arguments(spec) -> None:
    with pytest.raises(InvalidInput):
        cut(blank(4, 4), spec)


def test_unknown_names() -> None:
    with pytest.raises(UnknownName, match=r"grid:RxC.*slic:N"):
        cut(blank(4, 4), "patches:3")
    for spec in (7, None, Boxes):
        with pytest.raises(InvalidInput, match="no segmenter"):
            cut(blank(4, 4), spec)


def test_model_grid() -> None:
    labels, label_map = cut(blank(8, 8), "grid:model", Context(grid=(2, 4)))
    np.testing.assert_array_equal(label_map, cut(blank(8, 8), "grid:2x4")[1])
    assert labels[-1] == "r2c4"
    with pytest.raises(InvalidInput, match="no grid of patches"):
        cut(blank(8, 8), "grid:model")


@pytest.mark.parametrize("kind", ["flat", "noise", "halves"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (2, 2), (7, 1), (40, 60), (300, 1200)])
@pytest.mark.parametrize("wanted", [1, 4, 50])
def test_slic_is_contiguous_ordered_and_repeatable(kind, shape, wanted) -> None:
    content = blank(*shape)
    if kind == "noise":
        content = np.random.default_rng(0).integers(0, 256, content.shape, dtype=np.uint8)
    if kind == "halves":
        content[:, shape[1] // 2 :] = 255
    labels, label_map = cut(content, f"slic:{wanted}")
    np.testing.assert_array_equal(label_map, cut(content, f"slic:{wanted}")[1])
    assert sorted(set(label_map.ravel().tolist())) == list(range(len(labels)))
    assert list(dict.fromkeys(label_map.ravel().tolist())) == list(range(len(labels)))  # reading order
    assert labels[0] == "segment 1"
    assert labels[-1] == f"segment {len(labels)}"
    assert len(labels) * 2 >= min(wanted, content.size // 3)
    assert len(labels) <= content.size // 3


def test_slic_follows_an_edge() -> None:
    content = blank(40, 60)
    content[:, 23:] = (255, 200, 0)
    _, label_map = cut(content, "slic:12")
    assert not set(label_map[:, :23].ravel()) & set(label_map[:, 23:].ravel())


def test_boxes_first_claims() -> None:
    labels, label_map = cut(blank(4, 6), Boxes([(0, 0, 3, 2), (2, 1, 5, 4)]))
    expected = np.full((4, 6), -1)
    expected[1:4, 2:5] = 1
    expected[0:2, 0:3] = 0
    np.testing.assert_array_equal(label_map, expected)
    assert labels == ("box 1", "box 2")
    labels, label_map = cut(blank(4, 6), Boxes([(0, 0, 3, 2), (2, 1, 5, 4)], rest="player", labels=["cat", "dog"]))
    np.testing.assert_array_equal(label_map, np.where(expected < 0, 2, expected))
    assert labels == ("cat", "dog", "rest")


def test_boxes_go_through_the_placement() -> None:
    # raw 20x10 (width x height) halved, then cropped 1 px left and padded 2 px above
    context = Context(placement=Placement(scale=(0.5, 0.5), offset=(-1.0, 2.0)))
    _, label_map = cut(blank(7, 8), Boxes([(4, 2, 12, 8)]), context)
    expected = np.full((7, 8), -1)
    expected[3:6, 1:5] = 0  # x: 4*.5-1=1 … 12*.5-1=5; y: 2*.5+2=3 … 8*.5+2=6
    np.testing.assert_array_equal(label_map, expected)


def test_a_pixel_is_in_a_box_when_its_centre_is() -> None:
    _, label_map = cut(blank(5, 5), Boxes([(0.4, 1.4, 2.4, 3.6)]))
    ys, xs = np.nonzero(label_map == 0)
    assert sorted(set(xs)) == [0, 1]
    assert sorted(set(ys)) == [1, 2, 3]


def test_masks_equal_boxes_under_any_placement() -> None:
    raw = np.zeros((2, 10, 20), bool)
    raw[0, 2:8, 4:12] = True
    raw[1, 5:10, 10:20] = True
    boxes = Boxes([(4, 2, 12, 8), (10, 5, 20, 10)], rest="player")
    for scale, offset in [((0.5, 0.5), (-1.0, 2.0)), ((1.3, 0.7), (0.4, 0.0)), ((2.0, 3.0), (5.0, -6.0))]:
        context = Context(placement=Placement(scale, offset))
        for masks in (Masks(raw, rest="player"), Masks(list(raw.astype(int)), rest="player")):
            labels, label_map = cut(blank(25, 48), masks, context)
            np.testing.assert_array_equal(label_map, cut(blank(25, 48), boxes, context)[1])
            assert labels == ("mask 1", "mask 2", "rest")


def test_regions_without_pixels_are_named() -> None:
    with pytest.raises(InvalidInput, match=r"box 2 \('dog'\).*earlier ones claim"):
        cut(blank(8, 8), Boxes([(0, 0, 4, 4), (1, 1, 3, 3)], labels=("cat", "dog")))
    with pytest.raises(InvalidInput, match=r"box 1 .*outside"):
        cut(blank(8, 8), Boxes([(9, 9, 12, 12)]))
    with pytest.raises(InvalidInput, match=r"mask 1 .*no pixel"):
        cut(blank(8, 8), Masks(np.zeros((1, 8, 8), bool)))
    with pytest.raises(InvalidInput, match="No pixel is left"):
        cut(blank(8, 8), Boxes([(0, 0, 8, 8)], rest="player"))
    with pytest.raises(InvalidInput, match="8x9 and the picture is 8x8"):
        cut(blank(8, 8), Masks(np.ones((1, 8, 9), bool)))


@pytest.mark.parametrize(
    "make",
    [
        lambda: Boxes([]),
        lambda: Boxes([(0, 0, 1)]),
        lambda: Boxes([(3, 0, 1, 2)]),
        lambda: Boxes([(0, 0, float("nan"), 2)]),
        lambda: Boxes([(0, 0, 1, 1)], rest="absent"),
        lambda: Boxes([(0, 0, 1, 1)], labels=["a", "b"]),
        lambda: Boxes([(0, 0, 1, 1), (1, 1, 2, 2)], labels=["a", "a"]),
        lambda: Boxes([(0, 0, 1, 1)], rest="player", labels=["rest"]),
        lambda: Masks(np.zeros((4, 4), bool)),
        lambda: Masks([]),
        lambda: Masks(np.full((1, 4, 4), 7)),
        lambda: Masks([np.ones((2, 2), bool), np.ones((3, 3), bool)]),
    ],
)
def test_bad_boxes_and_masks(make) -> None:
    with pytest.raises(InvalidInput):
        make()


def test_objects_are_frozen_and_short() -> None:
    boxes = Boxes([[0, 0, 1, 1]])
    assert boxes == Boxes([(0.0, 0.0, 1.0, 1.0)])
    assert hash(boxes) is not None
    assert repr(Masks(np.ones((2, 30, 40), bool))) == "Masks(bool[2, 30, 40], rest='present')"


def test_own_segmenter() -> None:
    class Halves:
        def cut(self, content, context):
            label_map = np.zeros(content.shape[:2], np.int32)
            label_map[:, content.shape[1] // 2 :] = 1
            return ("left", "right"), label_map

    labels, label_map = cut(blank(2, 4), Halves())
    assert labels == ("left", "right")
    np.testing.assert_array_equal(label_map[0], [0, 0, 1, 1])


def test_overlap_counts_own_pixels() -> None:
    content = blank(8, 8)
    players = IMAGE.segment("image", content, "grid:2x2", PLAIN)
    plain = Placement()
    np.testing.assert_allclose(IMAGE.overlap(players, np.array([[0, 0, 4, 2]]), plain), [0.5, 0, 0, 0])
    union = np.array([[0.0, 0, 4, 2], [2, 0, 8, 2], [0, 7, 8, 8]])  # the first two share pixels
    np.testing.assert_allclose(IMAGE.overlap(players, union, plain), [0.5, 0.5, 0.25, 0.25])
    for empty in (np.zeros((0, 4)), np.array([])):
        np.testing.assert_array_equal(IMAGE.overlap(players, empty, plain), [0, 0, 0, 0])
    mask = np.zeros((8, 8), bool)
    mask[0, :4] = True
    np.testing.assert_allclose(IMAGE.overlap(players, mask, plain), [0.25, 0, 0, 0])


def test_overlap_through_the_placement_and_with_free_pixels() -> None:
    placement = Placement((2.0, 2.0), (0.0, -4.0))
    content = blank(8, 8)
    players = IMAGE.segment("image", content, Boxes([(0, 2, 2, 4)]), Context(placement=placement))
    assert (players.geometry.label_map >= 0).sum() == 16
    np.testing.assert_allclose(IMAGE.overlap(players, np.array([[1, 0, 9, 9]]), placement), [0.5])
    raw = np.zeros((10, 10), bool)
    raw[2:4, 1:] = True
    np.testing.assert_allclose(IMAGE.overlap(players, raw, placement), [0.5])


def test_overlap_refuses_other_truth() -> None:
    players = IMAGE.segment("image", blank(4, 4), "grid:2x2", PLAIN)
    for truth in (np.zeros((2, 3)), np.ones(4), np.array([["a"] * 4])):
        with pytest.raises(InvalidInput, match="truth of a picture"):
            IMAGE.overlap(players, truth, Placement())
