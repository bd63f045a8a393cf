"""The fields of a row of a folder of data, and what each may hold.

The reader takes them by these functions, and the exporter refuses what they would not give back, so that whatever is
written can be read. ``where`` begins every message: the line of a file, or the number of a sample.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Tag
from chiasm.modalities import modalities

PART: Final = re.compile(r"(image|text)\d*")
"""Names of parts that a folder can be written with, and that may have boxes, words and masks."""
_ANY_PART: Final = re.compile(r"([a-z]+)\d*")
SLACK: Final = 1.0
"""How far a box may reach over the border of its picture, in pixels: annotation tools round."""

_TURNED: Final = (5, 6, 7, 8)
"""EXIF orientations of pictures that are stored lying on their side."""
_WHITE: Final = 128


def is_part(name: str) -> bool:
    """Whether a column is a part of the sample: the name of a modality, perhaps with a number (``audio2``)."""
    found = _ANY_PART.fullmatch(name)
    return found is not None and found[1] in modalities


def field(part: str, what: str) -> str:
    """The name of a part's ``boxes``, ``words``, ``masks`` or ``times``: the plain word, or ``image2_boxes``."""
    return what if part in ("image", "text") else f"{part}_{what}"


def text(value: object, what: str, where: str) -> str:
    """A text that a file can hold.

    Raises:
        InvalidInput: it is none, or has half a character in it.
    """
    if not isinstance(value, str):
        raise InvalidInput(f"{where}: {what} is {value!r}; it must be a text.")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{where}: {what} is {value!r}, with half a character (a lone surrogate) at {error.start}; no file in "
            f"UTF-8 can hold it: mend the text, e.g. by .encode(errors='replace').decode()."
        ) from error
    return value


def tag(name: str, value: object, where: str) -> Tag:
    """The value of a tag; a number of numpy becomes Python's.

    Raises:
        InvalidInput: it is no text, finite number or truth value.
    """
    found: Any = value.item() if isinstance(value, np.generic) else value
    if type(found) not in (str, int, float, bool) or (isinstance(found, float) and not math.isfinite(found)):
        raise InvalidInput(
            f"{where}: the tag {name!r} is {value!r}, a {type(value).__name__}; a tag is a text, a finite number, or "
            f"true or false: leave it out where there is none."
        )
    kept: Tag = text(found, f"the tag {name!r}", where) if isinstance(found, str) else found
    return kept


def times(value: Any, where: str, seconds: float = math.inf) -> NDArray[np.float64]:
    """Starts and ends in a sound, ``float64[k, 2]`` in seconds.

    Raises:
        InvalidInput: anything else, or beyond the end of the sound.
    """
    found = isinstance(value, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in value)
    numbers = found and all(type(x) in (int, float) and math.isfinite(x) for pair in value for x in pair)
    if not numbers or not all(0 <= start < end <= seconds for start, end in value):
        raise InvalidInput(f"{where}: times is {value!r}; list [start, end] in seconds within the sound.")
    return np.array(value, np.float64).reshape(-1, 2)


def boxes(value: Any, size: tuple[int, int], where: str) -> NDArray[np.float64]:
    """Boxes float64[k, 4] from lists [x0, y0, x1, y1] in pixels of the upright picture.

    Args:
        value: as the file has it.
        size: width and height of the picture, upright.
        where: begins the message.

    Raises:
        InvalidInput: they are no such lists, or a box is empty, not finite, or not in the picture.
    """
    rows = value if isinstance(value, list) else [value]
    numbers = (list, tuple)
    if not all(isinstance(row, numbers) and len(row) == 4 and all(map(_number, row)) for row in rows):
        raise InvalidInput(
            f"{where}: boxes is {value!r}; write one [x0, y0, x1, y1] in pixels for each object, all finite numbers."
        )
    for row in rows:
        x0, y0, x1, y1 = row
        if not (x1 > x0 and y1 > y0):
            raise InvalidInput(
                f"{where}: the box {row!r} is empty; write [x0, y0, x1, y1] in pixels, x1 > x0 and y1 > y0 (not a "
                f"width and a height)."
            )
        if min(x0, y0) < -SLACK or x1 > size[0] + SLACK or y1 > size[1] + SLACK:
            raise InvalidInput(
                f"{where}: the box {row!r} is not in its picture, which has {size[0]} × {size[1]} pixels; write boxes "
                f"in pixels of the upright picture as it is in the file."
            )
    return np.array(rows, dtype=np.float64).reshape(-1, 4)


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def spans(value: Any, sentence: str, where: str) -> NDArray[np.int64]:
    """Character spans int64[k, 2] as given, or of words that stand once in the text.

    Raises:
        InvalidInput: a word does not, or a span is none of the text.
    """
    found = []
    for word in value if isinstance(value, list) else [value]:
        known = isinstance(word, str) and word
        places = list(re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", sentence)) if known else []
        ends = list(places[0].span()) if len(places) == 1 else word
        if len(places) > 1:
            raise InvalidInput(
                f"{where}: {word!r} of words stands {'twice' if len(places) == 2 else f'{len(places)} times'} in "
                f"{sentence!r}; write the character spans that you mean, of "
                f"{', '.join(str(list(place.span())) for place in places)}."
            )
        if not (
            isinstance(ends, list)
            and len(ends) == 2
            and all(type(end) is int for end in ends)
            and 0 <= ends[0] < ends[1] <= len(sentence)
        ):
            raise InvalidInput(
                f"{where}: {word!r} of words is no place in {sentence!r}; write words that stand once in it, or "
                f"character spans [start, end]."
            )
        found.append(ends)
    return np.array(found, dtype=np.int64).reshape(-1, 2)


@contextmanager
def decoding(what: str, where: str) -> Iterator[None]:
    """Says which picture it was that Pillow could not read, and why.

    Raises:
        InvalidInput: in the place of Pillow's error.
    """
    try:
        yield
    except InvalidInput:
        raise
    except FileNotFoundError:
        raise InvalidInput(f"{where}: there is no picture {what}; give its path, from the folder on.") from None
    except IsADirectoryError:
        raise InvalidInput(f"{where}: {what} is a folder; give the path of one picture.") from None
    except UnidentifiedImageError:
        raise InvalidInput(f"{where}: {what} is not a picture that Pillow reads (PNG, JPEG, WebP …).") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InvalidInput(f"{where}: the picture {what} cannot be read: {error}.") from error


def expanded(path: str | Path, where: str) -> Path:
    """A path with ``~`` put in full.

    Raises:
        InvalidInput: nobody has that home.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise InvalidInput(f"{where}: {str(path)!r} lies in a home that is not known; write it in full.") from error


def check_picture(picture: Path | Image.Image, where: str) -> None:
    """Read the header of a picture's file, which is quick.

    Raises:
        InvalidInput: the file is no picture.
    """
    if isinstance(picture, Path):
        with decoding(repr(str(picture)), where), Image.open(picture):
            pass


def upright_size(picture: Path | Image.Image, where: str) -> tuple[int, int]:
    """Width and height of a picture as it is looked at: turned as its EXIF orientation says.

    Raises:
        InvalidInput: the file is no picture.
    """
    if isinstance(picture, Path):
        with decoding(repr(str(picture)), where), Image.open(picture) as opened:
            return upright_size(opened, where)
    with decoding("given", where):
        width, height = picture.size
        # The orientation of a PNG may stand behind its pixels, so this can take as long as reading them all.
        turned = width != height and picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
    return (height, width) if turned else (width, height)


def mask(picture: Image.Image, size: tuple[int, int], where: str) -> NDArray[np.bool_]:
    """The white pixels bool[height, width] of an upright mask.

    Raises:
        InvalidInput: it is not as large as its picture, or has grey but nothing white.
    """
    if picture.size != size:
        raise InvalidInput(
            f"{where}: a mask has {picture.size} pixels, its picture {size}; make it as large as the upright picture."
        )
    values = np.asarray(picture.convert("L"))
    white = values >= _WHITE
    if values.any() and not white.any():
        raise InvalidInput(
            f"{where}: the values of a mask go up to {values.max()} only; what belongs to the object must be white "
            f"(255)."
        )
    return white
