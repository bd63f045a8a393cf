"""Handwritten digits as stencils: the 1797 of scikit-learn (UCI's optical recognition of handwritten digits)."""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

CELLS: Final = 10
"""Width and height of a glyph: eight cells of ink as stored, and an empty one on each side for a smooth edge."""

_HELD_OUT: Final = 5
"""Every fifth glyph of a digit is never trained on; the data sets take theirs from these alone."""

_FINE: Final = 10
"""Pixels of a cell where the ink's box is measured: about as many as in a scene."""
_INK: Final = (0.3, 0.4)
"""Where the ink begins, and how soft its edge is, as shares of full ink."""


@cache
def _glyphs() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Ink float32[1797, CELLS, CELLS] in 0 … 1 and digit int64[1797]."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    ink = np.pad(bunch.images / 16, ((0, 0), (1, 1), (1, 1)))
    return ink.astype(np.float32), bunch.target.astype(np.int64)


@cache
def numbers(digit: int, *, held_out: bool) -> tuple[int, ...]:
    """Numbers of the glyphs of a digit, for training or held out."""
    places = np.flatnonzero(_glyphs()[1] == digit)
    return tuple(int(place) for rank, place in enumerate(places) if (rank % _HELD_OUT == 0) == held_out)


@cache
def extent(number: int) -> tuple[float, float, float, float]:
    """Box (left, top, right, bottom) of the ink of glyph ``number``, in half widths from the glyph's middle."""
    inked = _glyphs()[0][number] > _INK[0]
    columns, rows = np.flatnonzero(inked.any(axis=0)), np.flatnonzero(inked.any(axis=1))
    half = CELLS / 2
    return (
        float(columns[0] / half - 1),
        float(rows[0] / half - 1),
        float((columns[-1] + 1) / half - 1),
        float((rows[-1] + 1) / half - 1),
    )


def stencil(number: int, side: int) -> Image.Image:
    """The ink of glyph ``number`` as an ``L`` picture of ``side`` × ``side`` pixels, 255 where it is full."""
    ink = Image.fromarray((_glyphs()[0][number] * 255).astype(np.uint8), "L")
    smooth = np.asarray(ink.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return Image.fromarray((np.clip((smooth - _INK[0]) / _INK[1], 0, 1) * 255).astype(np.uint8), "L")


@cache
def ink(number: int) -> tuple[float, float, float, float]:
    """Box (left, top, right, bottom) of the ink of glyph ``number`` as drawn, in half widths from the glyph's middle.

    Of what `extent` holds, this is what is painted by half or more: a faint stroke may be missing.
    """
    side = CELLS * _FINE
    shown = np.asarray(stencil(number, side)) >= 128
    columns, rows = np.flatnonzero(shown.any(axis=0)), np.flatnonzero(shown.any(axis=1))
    half = side / 2
    return (
        float(columns[0] / half - 1),
        float(rows[0] / half - 1),
        float((columns[-1] + 1) / half - 1),
        float((rows[-1] + 1) / half - 1),
    )
