from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.modalities import image_reading, modalities
from chiasm.modalities.image import IMAGE


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_registry_finds_it() -> None:
    assert modalities.get("image") is IMAGE
    assert (IMAGE.kind, IMAGE.default_segmenter, IMAGE.default_masker) == ("image", "grid:4x4", "mean")


def test_rgb_array_path_and_pillow_agree(pixels, tmp_path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(pixels).save(file)
    for data in (pixels, file, str(file), Image.fromarray(pixels), Image.open(file), pixels[None][0]):
        read = IMAGE.read(data)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read, pixels)


def test_the_copy_is_its_own(pixels) -> None:
    read = IMAGE.read(pixels)
    read[:] = 0
    assert pixels.any()
    assert read.flags.writeable
    assert IMAGE.read(Image.fromarray(pixels)).flags.writeable


def test_arrays_of_every_allowed_kind(pixels) -> None:
    grey = pixels[..., 0]
    three = np.stack([grey] * 3, axis=-1)
    np.testing.assert_array_equal(IMAGE.read(grey), three)
    np.testing.assert_array_equal(IMAGE.read(grey[..., None]), three)
    for dtype in (np.float32, np.float64):
        np.testing.assert_array_equal(IMAGE.read(pixels.astype(dtype) / 255), pixels)
    np.testing.assert_array_equal(IMAGE.read(np.array([[1 + 1e-9, -1e-9, 0.5]])), [[[255] * 3, [0] * 3, [128] * 3]])
    np.testing.assert_array_equal(IMAGE.read(pixels[:, ::-1]), pixels[:, ::-1])


def test_alpha_goes_on_white(pixels) -> None:
    alpha = np.random.default_rng(1).integers(0, 256, (5, 7), dtype=np.uint8)
    rgba = np.dstack([pixels, alpha])
    a = alpha[..., None] / 255
    expected = np.rint(pixels * a + 255 * (1 - a))
    np.testing.assert_array_equal(IMAGE.read(rgba), expected)
    np.testing.assert_array_equal(IMAGE.read(Image.fromarray(rgba)), expected)
    grey = Image.fromarray(rgba).convert("LA")
    assert IMAGE.read(grey).shape == (5, 7, 3)
    clear = np.zeros((2, 2, 4), np.uint8)
    assert (IMAGE.read(clear) == 255).all()
    assert (IMAGE.read(Image.fromarray(clear).convert("RGBa")) == 255).all()


def test_palette_with_transparency(tmp_path) -> None:
    image = Image.new("P", (2, 1), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((1, 0), 1)
    image.save(tmp_path / "p.png", transparency=1)
    np.testing.assert_array_equal(IMAGE.read(tmp_path / "p.png"), [[[255, 0, 0], [255, 255, 255]]])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(orientation, tmp_path) -> None:
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    # where each stored pixel must appear, by the EXIF standard (row 0 / column 0 of the stored picture)
    upright = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: pixels[::-1].T,
        7: pixels[::-1, ::-1].T,
        8: pixels.T[::-1],
    }[orientation]
    image = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.png", exif=exif)
    for data in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        np.testing.assert_array_equal(IMAGE.read(data)[..., 0], upright)


def test_sixteen_bits(tmp_path) -> None:
    values = np.array([[0, 255, 128 * 257, 65535]], np.uint16)  # 255 / 257 rounds to 1
    Image.fromarray(values).save(tmp_path / "a.png")
    Image.fromarray(values).save(tmp_path / "a.tif")
    header = b"P5 4 1 65535\n"
    (tmp_path / "a.pgm").write_bytes(header + values.astype(">u2").tobytes())
    for name in ("a.png", "a.tif", "a.pgm"):
        np.testing.assert_array_equal(IMAGE.read(tmp_path / name)[0, :, 0], [0, 1, 128, 255])


def test_other_modes(pixels) -> None:
    for mode, tolerance in (("CMYK", 1), ("YCbCr", 3), ("HSV", 8), ("L", 0), ("1", 0), ("P", 0)):
        image = Image.fromarray(pixels).convert(mode)
        read = IMAGE.read(image)
        reference = np.asarray(image.convert("RGB")).astype(int)
        assert read.shape == (5, 7, 3)
        assert abs(read.astype(int) - reference).max() <= tolerance
    floats = Image.fromarray(np.array([[0.0, 1.0]], np.float32))
    np.testing.assert_array_equal(IMAGE.read(floats)[0, :, 0], [0, 255])


def test_32_bit_modes_are_not_guessed() -> None:
    for values, words in (([[0, 90]], "mode I with values up to 90"), ([[0, 70000]], "0…70000"), ([[-1, 5]], "-1…5")):
        with pytest.raises(InvalidInput, match=words):
            IMAGE.read(Image.fromarray(np.array(values, np.int32)))
    assert IMAGE.read(Image.fromarray(np.array([[0, 65535]], np.int32)))[0, 1, 0] == 255


def test_animation_gives_its_first_frame(tmp_path) -> None:
    frames = [Image.new("RGB", (3, 2), colour) for colour in ("red", "lime", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert (IMAGE.read(tmp_path / "a.gif") == [255, 0, 0]).all()


def test_one_pixel_and_huge(tmp_path) -> None:
    Image.new("RGB", (1, 1), (1, 2, 3)).save(tmp_path / "one.png")
    np.testing.assert_array_equal(IMAGE.read(tmp_path / "one.png"), [[[1, 2, 3]]])
    Image.new("1", (12_000, 9_000), 1).save(tmp_path / "huge.png", compress_level=1)
    before = Image.MAX_IMAGE_PIXELS
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        read = IMAGE.read(tmp_path / "huge.png")
    assert read.shape == (9_000, 12_000, 3)
    assert read[-1, -1].tolist() == [255, 255, 255]
    assert before == Image.MAX_IMAGE_PIXELS


def test_absurd_size_is_refused_before_decoding(tmp_path) -> None:
    # a PNG header that promises 50,000 × 40,000 pixels and holds none
    good = io.BytesIO()
    Image.new("L", (1, 1)).save(good, "PNG")
    raw = bytearray(good.getvalue())
    import struct
    import zlib

    raw[16:24] = struct.pack(">II", 50_000, 40_000)
    raw[29:33] = struct.pack(">I", zlib.crc32(raw[12:29]))
    (tmp_path / "bomb.png").write_bytes(raw)
    with pytest.raises(InvalidInput, match="2000 megapixels"):
        IMAGE.read(tmp_path / "bomb.png")
    assert image_reading.MAX_PIXELS == 500_000_000
    with pytest.raises(InvalidInput, match="megapixels"):
        IMAGE.read(np.broadcast_to(np.zeros(1, np.uint8), (30_000, 30_000)))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.org/a.png",
        "http://example.org/a.png",
        "HTTPS://example.org/a.png",
        "ftp://example.org/a.png",
        "file:///tmp/a.png",
        "s3://bucket/a.png",
        "data:image/png;base64,iVBORw0KGgo=",
        Path("https://example.org/a.png"),
    ],
)
def test_urls_are_refused(url) -> None:
    with pytest.raises(InvalidInput, match="no network calls"):
        IMAGE.read(url)


def test_bad_files(tmp_path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "words.png").write_text("not a picture")
    stream = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(stream, "PNG")
    (tmp_path / "cut.png").write_bytes(stream.getvalue()[:2000])
    cases = {
        tmp_path / "missing.png": "There is no file .*missing.png",
        tmp_path: "^'[^(]*is a folder; give the path of one picture.$",
        tmp_path / "empty.png": "is empty",
        tmp_path / "words.png": "not a picture in a format",
        tmp_path / "cut.png": "damaged",
        "": "empty",
        "x" * 5000: "cannot be opened",
        "a\0b": "cannot be opened",
    }
    for data, words in cases.items():
        with pytest.raises(InvalidInput, match=words) as error:
            IMAGE.read(data)
        assert len(str(error.value)) < 1000


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root reads everything")
def test_no_permission(tmp_path) -> None:
    file = tmp_path / "a.png"
    Image.new("RGB", (1, 1)).save(file)
    file.chmod(0)
    with pytest.raises(InvalidInput, match="cannot be opened"):
        IMAGE.read(file)


def test_bad_arrays() -> None:
    nan = np.zeros((2, 2, 3))
    nan[0, 0, 0] = np.nan
    cases = [
        (nan, "1 values that are NaN"),
        (np.full((2, 2), np.inf), "infinite"),
        (np.full((2, 2), 200.0), "Divide by 255"),
        (np.full((2, 2), -0.5), r"\[0, 1\]"),
        (np.zeros((3, 20, 30), np.uint8), "channels first"),
        (np.zeros((1, 20, 30)), "channels first"),
        (np.zeros((2, 8, 8, 3), np.uint8), "batch"),
        (np.zeros((8, 8, 2), np.uint8), "1, 3 or 4 channels"),
        (np.zeros(8, np.uint8), "shape"),
        (np.zeros((0, 8, 3), np.uint8), "at least one pixel"),
        (np.zeros((2, 2), np.int64), "int64"),
        (np.zeros((2, 2), bool), "bool"),
        (np.zeros((2, 2), object), "object"),
        (np.zeros((2, 2), np.complex128), "complex128"),
    ]
    for array, words in cases:
        with pytest.raises(InvalidInput, match=words):
            IMAGE.read(array)


@pytest.mark.parametrize("data", [None, 3, b"\x89PNG", [[1, 2], [3, 4]], io.BytesIO()])
def test_other_things_are_refused(data) -> None:
    with pytest.raises(InvalidInput, match=type(data).__name__):
        IMAGE.read(data)


def test_read_needs_no_working_pillow_limit(monkeypatch, tmp_path, pixels) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)
    np.testing.assert_array_equal(IMAGE.read(tmp_path / "a.png"), pixels)
    assert Image.MAX_IMAGE_PIXELS == 4
