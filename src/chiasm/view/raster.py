"""Pictures: what a part holds → pixels that can be shown and embedded."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

#: longest side of an embedded picture; more would only make the file heavy
LARGEST = 800
#: pictures smaller than this are enlarged without smoothing, so that their pixels stay what they are
TINY = 128
_BLANK = 236


def pixels(content: Any, shape: tuple[int, int]) -> Pixels:
    """A picture as ``uint8[h, w, 3]``, its longest side at most 800; a plain grey one where there is no content.

    Args:
        content: ``uint8[h, w, 3]`` as the model's adapter saw it (also grey, with alpha, or floats in [0, 1]), or
            ``None``.
        shape: height and width to use without content.
    """
    array = np.full((*shape, 3), _BLANK, np.uint8) if content is None else _rgb(np.asarray(content))
    height, width = array.shape[:2]
    factor = LARGEST / max(height, width)
    if factor >= 1:
        return array
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(Image.fromarray(array).resize(size, Image.Resampling.LANCZOS))


def _rgb(array: NDArray[Any]) -> Pixels:
    if array.dtype != np.uint8:
        values = np.nan_to_num(array.astype(np.float64))
        whole = array.dtype.kind in "iu"
        array = np.clip(values if whole else 255 * values, 0, 255).round().astype(np.uint8)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] in (2, 4):  # alpha: lay it on white
        alpha = array[:, :, -1:] / 255
        array = (array[:, :, :-1] * alpha + 255 * (1 - alpha)).round().astype(np.uint8)
    if array.shape[2] == 1:
        array = np.repeat(array, 3, axis=2)
    return np.ascontiguousarray(array[:, :, :3])


def faded(picture: Pixels) -> Pixels:
    """The picture in light grey, so that every colour laid over it is a value's (the page does the same by filter)."""
    grey = picture @ np.array([0.2126, 0.7152, 0.0722])
    return np.repeat((38.25 + 0.85 * grey).round().astype(np.uint8)[:, :, None], 3, axis=2)


def data_uri(picture: Pixels) -> str:
    """The picture as a ``data:`` address of a PNG."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
