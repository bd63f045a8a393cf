"""The files of an export: pictures and sounds as they can be written."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Part
from chiasm.modalities.audio_reading import RATE, read_sound
from chiasm.zoo.data import fields

AS_PNG: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def check_pixels(part: Part, what: str) -> tuple[int, int]:
    """Width and height of an upright picture that can be written."""
    data = part.data
    if isinstance(data, str | Path):
        return fields.upright_size(fields.expanded(data, what), what)
    if isinstance(data, np.ndarray):
        whole = data.size and (data.ndim == 2 or (data.ndim == 3 and data.shape[2] in (1, 3, 4)))
        if not whole or data.dtype != np.uint8:
            raise InvalidInput(
                f"{what}: the picture is an array {data.dtype}{list(data.shape)}; give uint8[h, w] or uint8[h, w, 3]."
            )
        return data.shape[1], data.shape[0]
    if not isinstance(data, Image.Image):
        raise InvalidInput(
            f"{what}: the picture is {data!r}, a {type(data).__name__}; give a path, a Pillow image, or an array "
            f"uint8[h, w, 3]."
        )
    if data.mode not in AS_PNG:
        raise InvalidInput(f"{what}: the picture has the mode {data.mode!r}; turn it into RGB first: .convert('RGB').")
    if 0 in data.size:
        raise InvalidInput(f"{what}: the picture has {data.size} pixels; it needs at least one.")
    with fields.decoding("given", what):
        data.load()
    return fields.upright_size(data, what)


def file_of(part: Part, what: str) -> tuple[bytes, str]:
    """The file of a picture or a sound, and its suffix; ``what`` begins the message of an error."""
    return _sound(part) if part.kind == "audio" else _picture(part, what)


def _picture(part: Part, what: str) -> tuple[bytes, str]:
    """The file of a picture and its suffix: as it is where it is a file, otherwise a PNG, which keeps every pixel."""
    data = part.data
    if isinstance(data, str | Path):
        path = fields.expanded(data, what)
        return path.read_bytes(), path.suffix.lower()
    if isinstance(data, np.ndarray):
        data = Image.fromarray(data[..., 0] if data.shape[2:] == (1,) else data)
    return _png(ImageOps.exif_transpose(data)), ".png"  # a PNG is written without its EXIF


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def mask_files(masks: NDArray[np.bool_]) -> list[bytes]:
    """Masks ``bool[k, h, w]`` as PNGs of one bit."""
    return [_png(Image.fromarray(mask)) for mask in masks]


def _sound(part: Part) -> tuple[bytes, str]:
    """The file of a sound and its suffix: as it is where it is a file, otherwise a WAV of what models are given."""
    from scipy.io import wavfile

    if isinstance(part.data, str | Path):
        path = Path(part.data).expanduser()
        return path.read_bytes(), path.suffix.lower()
    buffer = io.BytesIO()
    wavfile.write(buffer, RATE, np.asarray(read_sound(part.data), np.float32))
    return buffer.getvalue(), ".wav"
