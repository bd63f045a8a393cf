"""Samples as messages of the chat API, and back."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.modalities.base import Context, Placement

_PNG = "data:image/png;base64,"
_MOST_PIXELS = 50_000_000


def content_of(order: Sequence[tuple[str, str]], contents: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parts, (name, kind) in their order, as the content of one message; pictures as PNG, which loses nothing."""
    found: list[dict[str, Any]] = []
    for name, kind in order:
        if kind == "text":
            found.append({"type": "text", "text": contents[name]})
        else:
            buffer = io.BytesIO()
            Image.fromarray(contents[name]).save(buffer, "PNG")
            url = _PNG + base64.b64encode(buffer.getvalue()).decode()
            found.append({"type": "image_url", "image_url": {"url": url}})
    return found


def shrunk(picture: NDArray[np.uint8], longest: int) -> tuple[NDArray[np.uint8], Context]:
    """A picture whose longest side is at most so many pixels, and how it lies in the given one."""
    height, width = picture.shape[:2]
    scale = min(1.0, longest / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    seen = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)) if scale < 1 else picture
    return seen, Context(placement=Placement((size[0] / width, size[1] / height)))


def sample_of(content: Any) -> Sample:
    """The content of a message as a sample: parts image, image2 …, text, text2 … in their order.

    Raises:
        InvalidInput: an unknown kind of part, or a picture that is no data URL.
    """
    pieces = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
        raise InvalidInput("The content of a message must be a text or a list of parts.")
    parts: dict[str, Any] = {}
    counts = {"image": 0, "text": 0}
    for piece in pieces:
        kind = {"text": "text", "image_url": "image"}.get(str(piece.get("type")))
        if kind is None:
            raise InvalidInput(f"A part of type {piece.get('type')!r} is not served; give text and image_url.")
        counts[kind] += 1
        name = kind if counts[kind] == 1 else f"{kind}{counts[kind]}"
        parts[name] = str(piece.get("text", "")) if kind == "text" else _picture(piece.get("image_url"))
    return Sample(**parts)


def _picture(said: Any) -> Any:
    url = said.get("url") if isinstance(said, dict) else said
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise InvalidInput("A picture must be a data URL (data:image/png;base64,…); nothing is fetched.")
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2], validate=True)))
        if picture.width * picture.height > _MOST_PIXELS:
            raise InvalidInput(f"A picture of more than {_MOST_PIXELS:,} pixels is refused.")
        return picture.convert("RGB")
    except (binascii.Error, UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InvalidInput(f"A picture cannot be read: {type(error).__name__}.") from None
