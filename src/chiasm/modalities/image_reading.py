"""Pictures from wherever the user has them → ``uint8[height, width, 3]``, or a refusal in words."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from chiasm.core.errors import InvalidInput

#: a picture: ``uint8[height, width, 3]``, RGB
Picture = NDArray[np.uint8]

MAX_PIXELS: Final = 500_000_000
"""A picture of more pixels than this is refused: decoded it would take more than 1.5 GB."""

_TAKES: Final = "a file path, a Pillow image or a numpy array [height, width, 3]"
_SLACK: Final = 1e-6  # float pictures that were resized may pass 0 or 1 by a rounding error
# Pathlib folds "//" into "/", so a URL that was wrapped in Path has one slash.
_URL: Final = re.compile(r"(?:data:|(?:https?|ftp|file):/|[a-z][a-z0-9+.-]+://)", re.IGNORECASE)
_pillow_limit = threading.Lock()


def read_image(data: Any) -> Picture:
    """Read a picture.

    A path is opened with Pillow. EXIF rotation is applied, of an animation the first frame is read (of an open Pillow
    image the frame it stands at), transparency is put on white, greyscale, palette, 16-bit and CMYK pictures become
    8-bit RGB. Colour profiles are not applied. An array holds ``uint8`` or floats in [0, 1] as [h, w], [h, w, 1],
    [h, w, 3] or [h, w, 4] (red, green, blue, alpha).

    Args:
        data: path (``str`` or ``Path``), ``PIL.Image.Image`` or ``numpy.ndarray``.

    Returns:
        ``uint8[h, w, 3]``, a copy of its own.

    Raises:
        InvalidInput: a URL (Chiasm makes no network calls for its inputs), a missing or unreadable file, an array of
            another shape or range, or more than `MAX_PIXELS` pixels.
    """
    if isinstance(data, Image.Image):
        return _from_pillow(data, "the Pillow image")
    if isinstance(data, np.ndarray):
        return _from_array(data)
    if isinstance(data, str | Path):
        return _from_path(data)
    raise InvalidInput(f"A picture cannot be read from a {type(data).__name__}; give {_TAKES}.")


def on_white(rgba: Picture) -> Picture:
    """Put a picture with alpha (``uint8[h, w, 4]``) on a white ground, ``uint8[h, w, 3]``."""
    alpha = rgba[..., 3:].astype(np.uint32)
    # Whole-number rounding of (colour * alpha + 255 * (255 - alpha)) / 255.
    mixed = (rgba[..., :3] * alpha + 255 * (255 - alpha) + 127) // 255
    return mixed.astype(np.uint8)


def _short(value: object, limit: int = 120) -> str:
    text = repr(str(value))
    return text if len(text) <= limit else f"{text[:limit]}…"


def _check_size(width: int, height: int, what: str) -> None:
    if width < 1 or height < 1:
        raise InvalidInput(f"{what} is {width}×{height} pixels; a picture needs at least one pixel.")
    if width * height > MAX_PIXELS:
        raise InvalidInput(
            f"{what} is {width}×{height} = {width * height / 1e6:.0f} megapixels; at most {MAX_PIXELS / 1e6:.0f} are "
            f"read. Scale it down first: models look at far less."
        )


@contextmanager
def _any_size() -> Iterator[None]:
    """Lift Pillow's own limit (which would refuse or warn far below `MAX_PIXELS`) while a header is read."""
    with _pillow_limit:
        before, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _from_path(data: str | Path) -> Picture:
    shown = _short(data)
    if _URL.match(str(data)):
        raise InvalidInput(
            f"{shown} is a URL. Chiasm makes no network calls for its inputs: download the picture and give its path."
        )
    if not str(data):
        raise InvalidInput(f"The path of the picture is empty; give {_TAKES}.")
    try:
        path = Path(data).expanduser()
        folder = path.is_dir()
        with _any_size():
            image = None if folder else Image.open(path)
    except FileNotFoundError:
        raise InvalidInput(f"There is no file {shown} (looked in {Path.cwd()}); check the path.") from None
    except UnidentifiedImageError:
        empty = path.stat().st_size == 0
        why = "is empty" if empty else "is not a picture in a format that Pillow reads (PNG, JPEG, WebP, TIFF, GIF …)"
        raise InvalidInput(f"The file {shown} {why}.") from None
    except (OSError, ValueError, RuntimeError, SyntaxError) as error:  # no permission, name too long, broken header
        raise InvalidInput(f"{shown} cannot be opened as a picture ({_short(error)}); give {_TAKES}.") from error
    if image is None:
        raise InvalidInput(f"{shown} is a folder; give the path of one picture.")
    with image:
        return _from_pillow(image, f"The file {shown}")


def _from_pillow(image: Image.Image, what: str) -> Picture:
    _check_size(*image.size, what)
    try:
        image.load()
        return _rgb(ImageOps.exif_transpose(image), what)
    except InvalidInput:
        raise
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{what} is damaged and cannot be decoded ({_short(error)}); save it anew.") from error


def _rgb(image: Image.Image, what: str) -> Picture:
    mode = image.mode
    if mode.startswith("I"):
        return _grey(_from_16_bit(image, what))
    if mode == "F":
        return _from_array(np.asarray(image))
    if image.has_transparency_data or mode in {"La", "RGBa"}:
        # The premultiplied modes convert to RGB only by way of their plain sisters.
        plain = image.convert({"La": "LA", "RGBa": "RGBA"}.get(mode, mode))
        return on_white(np.asarray(plain.convert("RGBA")))
    return np.array(image if mode == "RGB" else image.convert("RGB"))


def _from_16_bit(image: Image.Image, what: str) -> Picture:
    values = np.asarray(image).astype(np.int64)
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise InvalidInput(
            f"{what} has mode {image.mode} with values {low}…{high}; give 8 bits (0…255) or 16 bits (0…65535)."
        )
    # Mode "I" has 32 bits a pixel and serves for both ranges; Pillow's PPM reader fills 16 of them.
    if image.mode == "I" and 0 < high <= 255 and image.format not in {"PPM", "PNG"}:
        raise InvalidInput(
            f"{what} has mode I with values up to {high}: it may mean 8 bits or very dark 16 bits. "
            f"Convert it to mode L (8 bits) or I;16 first."
        )
    return ((values + 128) // 257).astype(np.uint8)


def _grey(values: Picture) -> Picture:
    return np.repeat(values[..., None], 3, axis=2)


def _from_array(array: NDArray[Any]) -> Picture:
    _check_shape(array.shape)
    _check_size(array.shape[1], array.shape[0], "The array")
    values = _eight_bit(array)
    if values.ndim == 2:
        return _grey(values)
    if values.shape[2] == 1:
        return _grey(values[..., 0])
    return on_white(values) if values.shape[2] == 4 else np.array(values, order="C")


def _check_shape(shape: tuple[int, ...]) -> None:
    if len(shape) == 2 or (len(shape) == 3 and shape[2] in {1, 3, 4}):
        return
    if len(shape) == 3 and shape[0] in {1, 3, 4}:
        raise InvalidInput(
            f"The array has shape {shape}, which looks like channels first; "
            f"give [height, width, channels], e.g. by np.moveaxis(array, 0, -1)."
        )
    if len(shape) == 4:
        raise InvalidInput(f"The array has shape {shape}, a batch; a part is one picture: give array[0].")
    raise InvalidInput(
        f"The array has shape {shape}; give [height, width] or [height, width, channels] with 1, 3 or 4 channels."
    )


def _eight_bit(array: NDArray[Any]) -> Picture:
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise InvalidInput(
            f"The array has dtype {array.dtype}; give uint8 (0…255) or floats in [0, 1], e.g. by array.astype('uint8')."
        )
    if not np.isfinite(array).all():
        raise InvalidInput(
            f"The array has {int((~np.isfinite(array)).sum())} values that are NaN or infinite; replace them first."
        )
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if low < -_SLACK or high > 1 + _SLACK:
        raise InvalidInput(
            f"The array holds floats from {low:.4g} to {high:.4g}; floats must lie in [0, 1]. Divide by 255 what is "
            f"in 0…255, and undo a model's normalisation."
        )
    levels: Picture = np.rint(np.clip(array, 0, 1).astype(np.float32) * 255).astype(np.uint8)
    return levels
