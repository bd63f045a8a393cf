from __future__ import annotations

import pickle
import time

import numpy as np
import pytest
from PIL import Image

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Spans
from chiasm.modalities.base import ContentMasker, Context, TokenMasker
from chiasm.modalities.image import IMAGE, AnotherImage, Boxes

COMPOSITE = ["mean", "grey", "zero", "constant:10,20,30", "blur", "blur:2.5", "noise", "noise:7"]
ALL = [*COMPOSITE, "inpaint"]


def scene(height=24, width=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def coalitions(n, batch=9):
    present = np.random.default_rng(3).random((batch, n)) < 0.5
    present[0], present[1] = True, False
    return present


@pytest.mark.parametrize("spec", COMPOSITE)
def test_composite_equals_pixel_by_pixel(spec) -> None:
    content = scene()
    players = IMAGE.segment("image", content, Boxes([(0, 0, 9, 9), (5, 5, 20, 20), (21, 0, 30, 24)]), Context())
    present = coalitions(3)
    masker = IMAGE.masker(spec)
    masked = masker.apply(content, players, present)
    assert masked.dtype == np.uint8
    assert masked.shape == (9, 24, 30, 3)
    baseline = masker.baseline(content)
    label_map = players.geometry.label_map
    for row in range(9):
        for y in range(24):
            for x in range(30):
                owner = label_map[y, x]
                source = content if owner < 0 or present[row, owner] else baseline
                assert (masked[row, y, x] == source[y, x]).all()


@pytest.mark.parametrize("spec", ALL)
def test_full_empty_and_locality(spec) -> None:
    content = scene()
    before = content.copy()
    players = IMAGE.segment("image", content, "grid:3x3", Context())
    masker = IMAGE.masker(spec)
    assert isinstance(masker, ContentMasker)
    assert masker.name == spec
    full, empty, one = np.ones(9, bool), np.zeros(9, bool), np.ones(9, bool)
    one[4] = False
    masked = masker.apply(content, players, np.stack([full, empty, one]))
    np.testing.assert_array_equal(masked[0], content)
    np.testing.assert_array_equal(masked[1], masker.baseline(content))
    outside = players.geometry.label_map != 4
    np.testing.assert_array_equal(masked[2][outside], content[outside])
    assert (masked[2] != content).any()
    np.testing.assert_array_equal(content, before)
    again = IMAGE.masker(spec).apply(content, players, np.stack([full, empty, one]))
    np.testing.assert_array_equal(again, masked)
    assert masker.apply(content, players, np.zeros((0, 9), bool)).shape == (0, 24, 30, 3)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(masker)).apply(content, players, full[None])[0], content)  # noqa: S301


def test_baselines_by_definition() -> None:
    content = scene()
    baseline = {spec: IMAGE.masker(spec).baseline(content) for spec in ALL}
    for channel in range(3):
        mean = sum(int(v) for v in content[..., channel].ravel()) / content[..., 0].size
        assert (baseline["mean"][..., channel] == round(mean)).all()
    np.testing.assert_array_equal(baseline["inpaint"], baseline["mean"])
    assert (baseline["grey"] == 128).all()
    assert (baseline["zero"] == 0).all()
    assert (baseline["constant:10,20,30"] == [10, 20, 30]).all()
    np.testing.assert_array_equal(baseline["noise"], IMAGE.masker("noise:0").baseline(content))
    assert (baseline["noise"] != baseline["noise:7"]).mean() > 0.9
    assert abs(baseline["noise"].mean() - 127.5) < 5
    np.testing.assert_array_equal(baseline["blur"], IMAGE.masker("blur:30").baseline(content))


def test_grey_is_not_exactly_zero_after_normalising() -> None:
    grey = IMAGE.masker("grey").baseline(scene())[0, 0, 0]
    assert 0 < (grey / 255 - 0.5) / 0.5 < 0.005


def test_blur_is_gaussian() -> None:
    content = np.zeros((41, 41, 3), np.uint8)
    content[20, 20] = 255
    content[20, 21] = 255
    radius = 1.5
    y, x = np.mgrid[:41, :41]

    def bell(cx):
        weights = np.exp(-((x - cx) ** 2 + (y - 20) ** 2) / (2 * radius**2))
        return weights / weights.sum()

    expected = 255 * (bell(20) + bell(21))
    content[..., 2] = 9
    got = IMAGE.masker(f"blur:{radius}").baseline(content)
    assert abs(got[..., 1] - expected).max() <= 0.6
    assert (got[..., 2] == 9).all()  # colours do not run into each other
    flat = np.full((5, 3, 3), 77, np.uint8)
    np.testing.assert_array_equal(IMAGE.masker("blur").baseline(flat), flat)  # edges are continued, not darkened


def test_a_remembered_baseline_is_of_the_right_picture() -> None:
    masker = IMAGE.masker("mean")
    for seed in range(12):
        content = scene(seed=seed)
        np.testing.assert_array_equal(masker.baseline(content), IMAGE.masker("mean").baseline(content))
    content[:] = 9  # in place
    assert (masker.baseline(content) == 9).all()
    wide = np.ascontiguousarray(content.reshape(30, 24, 3))
    assert masker.baseline(wide).shape == (30, 24, 3)


def test_another_image(tmp_path) -> None:
    other = np.zeros((4, 4, 3), np.uint8)
    other[:, 2:] = 255
    Image.fromarray(other).save(tmp_path / "o:ther.png")
    content = scene()
    by_path = IMAGE.masker(f"image:{tmp_path / 'o:ther.png'}")
    by_array = IMAGE.masker(AnotherImage(other))
    np.testing.assert_array_equal(by_path.baseline(content), by_array.baseline(content))
    assert by_path.baseline(content).shape == content.shape
    assert (by_path.baseline(content)[:, :10] < 60).all()
    assert (by_path.baseline(content)[:, -10:] > 195).all()
    assert by_array.name.startswith("image:4x4-")
    assert by_array.name != IMAGE.masker(AnotherImage(255 - other)).name
    same = IMAGE.masker(AnotherImage(content))
    np.testing.assert_array_equal(same.baseline(content), content)
    with pytest.raises(InvalidInput, match="no file"):
        IMAGE.masker("image:/nowhere/x.png")
    with pytest.raises(InvalidInput, match="network"):
        IMAGE.masker("image:https://example.org/x.png")


def test_inpaint_continues_a_ramp() -> None:
    ramp = np.linspace(20, 230, 60)
    content = np.broadcast_to(np.rint(ramp)[None, :, None], (60, 60, 3)).astype(np.uint8)
    players = IMAGE.segment("image", content, "grid:3x3", Context())
    present = np.ones((1, 9), bool)
    present[0, 4] = False
    filled = IMAGE.masker("inpaint").apply(content, players, present)[0].astype(int)
    assert abs(filled - content).max() <= 12
    mean = IMAGE.masker("mean").apply(content, players, present)[0].astype(int)
    assert abs(mean - content).max() > 30


@pytest.mark.parametrize("gone", [0, 2, 3, 5, 6, 8])
def test_inpaint_fills_from_its_neighbours(gone) -> None:
    content = np.zeros((48, 90, 3), np.uint8)
    content[:, :45] = (200, 10, 10)
    content[:, 45:] = (10, 10, 200)
    players = IMAGE.segment("image", content, "grid:3x3", Context())
    present = np.ones((1, 9), bool)
    present[0, gone] = False
    filled = IMAGE.masker("inpaint").apply(content, players, present)[0].astype(int)
    assert abs(filled - content)[players.geometry.label_map == gone].mean() < 20


def test_inpaint_sees_nothing_of_the_absent() -> None:
    content = scene(50, 70)
    players = IMAGE.segment("image", content, "grid:4x5", Context())
    present = coalitions(20)
    changed = content.copy()
    keep = present[5][players.geometry.label_map]
    changed[~keep] = 255 - changed[~keep]
    masker = IMAGE.masker("inpaint")
    np.testing.assert_array_equal(
        masker.apply(content, players, present[5:6]), masker.apply(changed, players, present[5:6])
    )


@pytest.mark.parametrize("shape", [(1, 2), (2, 1), (2, 2), (1, 300), (3, 7)])
def test_inpaint_on_small_pictures(shape) -> None:
    content = scene(*shape)
    players = IMAGE.segment("image", content, f"grid:{min(shape[0], 2)}x{min(shape[1], 2)}", Context())
    for keep in range(len(players)):
        present = np.zeros((1, len(players)), bool)
        present[0, keep] = True
        masked = IMAGE.masker("inpaint").apply(content, players, present)
        assert masked.shape == (1, *content.shape)


def test_inpaint_with_pixels_of_no_player() -> None:
    content = scene()
    players = IMAGE.segment("image", content, Boxes([(5, 5, 10, 10)]), Context())
    masked = IMAGE.masker("inpaint").apply(content, players, np.zeros((1, 1), bool))[0]
    outside = players.geometry.label_map < 0
    np.testing.assert_array_equal(masked[outside], content[outside])
    assert (masked[~outside] != content.reshape(-1, 3).mean(0).round()).any()


@pytest.mark.parametrize(
    "spec",
    [
        "blur:",
        "blur:0",
        "blur:-3",
        "blur:x",
        "blur:1e9",
        "noise:",
        "noise:-1",
        "noise:1.5",
        "constant",
        "constant:1,2",
        "constant:1,2,256",
        "image",
        "image:",
        "mean:3",
        "zero:",
        "inpaint:4",
    ],
)
def test_bad_arguments(spec) -> None:
    with pytest.raises(InvalidInput):
        IMAGE.masker(spec)


def test_unknown_and_foreign_maskers() -> None:
    with pytest.raises(UnknownName, match=r"Did you mean 'mean'.*inpaint"):
        IMAGE.masker("meen")
    with pytest.raises(InvalidInput, match="tokens of a text"):
        IMAGE.masker(TokenMasker("mask", "mask"))
    for spec in (None, 3, AnotherImage):
        with pytest.raises(InvalidInput, match="no masker"):
            IMAGE.masker(spec)


def test_own_masker_and_own_baseline() -> None:
    class Own:
        name = "own"

        def apply(self, content, players, present):
            return np.repeat(content[None], len(present), axis=0)

    class Flat:
        name = "flat"

        def baseline(self, content):
            return np.full_like(content, 3)

    class Wrong(Flat):
        def baseline(self, content):
            return content.astype(float)

    own = Own()
    assert IMAGE.masker(own) is own
    flat = IMAGE.masker(Flat())
    assert flat.name == "flat"
    assert (flat.baseline(scene()) == 3).all()
    with pytest.raises(InvalidInput, match="float64"):
        IMAGE.masker(Wrong()).baseline(scene())


@pytest.mark.parametrize("spec", ["mean", "inpaint"])
def test_things_that_do_not_fit(spec) -> None:
    content = scene()
    players = IMAGE.segment("image", content, "grid:2x2", Context())
    masker = IMAGE.masker(spec)
    with pytest.raises(InvalidInput, match=r"\(batch, 4\)"):
        masker.apply(content, players, np.ones((2, 5), bool))
    with pytest.raises(InvalidInput, match=r"\(batch, 4\)"):
        masker.apply(content, players, np.ones(4, bool))
    with pytest.raises(InvalidInput, match="pixels"):
        masker.apply(scene(8, 8), players, np.ones((1, 4), bool))
    words = PartPlayers("text", "text", ("a",), Spans(np.array([[0, 1]])), "a")
    with pytest.raises(InvalidInput, match="no areas"):
        masker.apply(content, words, np.ones((1, 1), bool))


def test_compositing_is_fast() -> None:
    content = scene(128, 128)
    players = IMAGE.segment("image", content, "grid:4x4", Context())
    present = np.random.default_rng(0).random((256, 16)) < 0.5
    masker = IMAGE.masker("mean")
    took = []
    for _ in range(5):
        start = time.perf_counter()
        masker.apply(content, players, present)
        took.append(time.perf_counter() - start)
    # about 10 ms on two idle cores; the bound leaves room for a busy machine
    assert min(took) < 0.05
