"""Handwritten digits and photographs: the pieces that scenes are made of."""

from __future__ import annotations

import importlib
import re
import sys
import types

import numpy as np
import pytest
from sklearn.datasets import load_digits

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.zoo.data import backgrounds, glyphs, scenes


def test_every_glyph_is_of_one_digit_and_one_split():
    target = load_digits().target
    found = []
    for digit in range(10):
        trained, held_out = (glyphs.numbers(digit, held_out=held_out) for held_out in (False, True))
        assert {int(target[number]) for number in (*trained, *held_out)} == {digit}
        assert 0.15 < len(held_out) / len(trained + held_out) < 0.25
        found += [*trained, *held_out]
    assert sorted(found) == list(range(len(target)))


@pytest.mark.parametrize("number", [0, 17, 400, 1796])
def test_a_stencil_is_the_ink_within_its_extent(number):
    side = 100
    ink = np.asarray(glyphs.stencil(number, side))
    assert ink.shape == (side, side)
    assert ink.max() == 255
    assert not ink[[0, -1]].any()
    assert not ink[:, [0, -1]].any()
    rows, columns = np.nonzero(ink >= 128)
    left, top, right, bottom = ((edge + 1) * side / 2 for edge in glyphs.extent(number))
    # Smoothing moves the edge by less than a cell; no ink may leave the extent by more than half of one.
    cell = side / glyphs.CELLS
    assert left - cell / 2 <= columns.min() <= left + cell
    assert top - cell / 2 <= rows.min() <= top + cell
    assert right - cell <= columns.max() + 1 <= right + cell / 2
    assert bottom - cell <= rows.max() + 1 <= bottom + cell / 2


@pytest.mark.parametrize("number", range(0, 1797, 90))
def test_the_box_of_the_ink_is_that_of_the_painted_pixels(number):
    digit = str(load_digits().target[number])
    for radius in (42.3, 50.0, 55.8):
        item = scenes.Item("red", digit, 128.0, 128.0, radius, scenes.COLOURS["red"], number)
        rows, columns = np.nonzero(scenes.mask(item))
        painted = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        # Pixels are whole and the cell is placed at whole pixels.
        assert np.abs(128 + np.array(glyphs.ink(number)) * radius - painted).max() <= 2


def test_photographs_are_there_and_belong_to_one_split():
    trained, held_out = (set(backgrounds.PHOTOS[split]) for split in ("training", "held out"))
    assert trained
    assert held_out
    assert not trained & held_out
    for name in trained | held_out:
        photo = backgrounds._photo(name)
        assert photo.mode == "RGB"
        assert min(photo.size) >= 128
        assert np.asarray(photo).std() > 5


@pytest.mark.parametrize("name", ["skimage/coffee.png", "sklearn/flower.jpg"])
def test_a_photograph_that_is_missing_is_named_with_what_brings_it(name, monkeypatch, tmp_path):
    package, file = name.split("/")
    distribution = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
    read = backgrounds._photo.__wrapped__  # what has been read before is kept
    with monkeypatch.context() as patched:
        # Packages that lie elsewhere, without the photograph.
        for module in ("skimage.data", "sklearn.datasets"):
            elsewhere = types.ModuleType(module)
            elsewhere.__file__ = str(tmp_path / "__init__.py")
            patched.setitem(sys.modules, module, elsewhere)
            patched.setattr(importlib.import_module(module.split(".")[0]), module.split(".")[1], elsewhere)
        with pytest.raises(InvalidInput, match=f"{re.escape(file)}.*{distribution}.*pip install"):
            read(name)
    monkeypatch.setitem(sys.modules, "skimage.data" if package == "skimage" else "sklearn.datasets", None)
    with pytest.raises(MissingDependency, match=f"pip install {distribution}"):
        read(name)


def test_a_piece_of_a_photograph_depends_on_the_dice_alone():
    for split in ("training", "held out"):
        first, again = (backgrounds.photo(np.random.default_rng(3), split, 64) for _ in range(2))
        assert first.shape == (64, 64, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, again)
        assert not np.array_equal(first, backgrounds.photo(np.random.default_rng(4), split, 64))


def test_plain_grounds_are_light_and_soft():
    fields = np.stack([backgrounds.plain(np.random.default_rng(k)) for k in range(50)]).astype(int)
    assert fields.shape == (50, 4, 4, 3)
    assert fields.min() >= 180
    assert np.ptp(fields, axis=(1, 2)).max() < 40
