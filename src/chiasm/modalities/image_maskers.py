"""Maskers of pictures: what stands where a player is absent."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities.base import ContentMasker, TokenMasker
from chiasm.modalities.image_reading import Picture, read_image

KNOWN: Final[dict[str, str]] = {
    "mean": "the picture's mean colour",
    "grey": "middle grey",
    "zero": "black",
    "constant:R,G,B": "one colour, 0 to 255 each",
    "blur:R": "the picture blurred by a Gaussian with a standard deviation of R pixels (30 without a number)",
    "noise:SEED": "random pixels, the same for the same seed",
    "image:PATH": "another picture, stretched to fit",
    "inpaint": "filled in from the surroundings that are present",
}
"""Name → what stands where a player is absent."""

BLUR_RADIUS: Final = 30.0
"""Radius of ``"blur"`` without a number, in pixels."""

GREY: Final = 128
"""Level of ``"grey"``. The exact middle, 127.5, is not a byte, and that is as well: models that normalise with mean 0.5
would make it exactly 0, which Idefics3 and SmolVLM take for padding and drop; 128 becomes 0.0039."""

_INPAINT_SIDE: Final = 48
_NOISE_STREAM: Final = 0x63686961
_REMEMBERED: Final = 4


@runtime_checkable
class _HasBaseline(Protocol):
    """An object that gives a baseline and so becomes a masker: `AnotherImage`, or your own."""

    @property
    def name(self) -> str: ...

    def baseline(self, content: Picture) -> Picture: ...


def image_masker(spec: Any) -> ContentMasker:
    """The masker that a word such as ``"blur:8"`` stands for; an object that is one already is given back.

    Raises:
        UnknownName: no masker has that name.
        InvalidInput: the name is right and its argument is not, or the masker is one of tokens.
    """
    if isinstance(spec, TokenMasker):
        raise InvalidInput(f"The masker {spec.name!r} hides tokens of a text; a picture takes {', '.join(KNOWN)}.")
    if isinstance(spec, ContentMasker) and not isinstance(spec, type):
        return spec
    if isinstance(spec, _HasBaseline) and not isinstance(spec, type):
        return Composite(spec.name, spec.baseline)
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no masker of pictures; give one of {', '.join(KNOWN)}, or AnotherImage.")
    name, colon, argument = spec.strip().partition(":")
    if name == "inpaint" and not colon:
        return Inpaint()
    return Composite(spec.strip(), _filler(spec, name.lower(), argument if colon else None))


def _filler(spec: str, name: str, argument: str | None) -> Callable[[Picture], Picture]:
    """Content → baseline, for a masker's name and its argument (``None`` without a colon)."""
    plain: dict[str, Callable[[Picture], Picture]] = {
        "mean": mean_colour,
        "grey": partial(_constant, (GREY,) * 3),
        "zero": partial(_constant, (0,) * 3),
    }
    if name in plain and argument is None:
        return plain[name]
    if name == "blur":
        return partial(gaussian_blur, radius=_number(spec, argument))
    if name == "noise" and (argument is None or re.fullmatch(r"\d{1,18}", argument)):
        return partial(_noise, int(argument or 0))
    if name in {"constant", "colour"}:
        levels = re.fullmatch(r"(\d{1,3}),\s*(\d{1,3}),\s*(\d{1,3})", argument or "")
        if levels is None or max(map(int, levels.groups())) > 255:
            raise InvalidInput(f"{spec!r} names no colour; write red, green, blue from 0 to 255: 'constant:255,128,0'.")
        return partial(_constant, tuple(map(int, levels.groups())))
    if name == "image":
        if not argument:
            raise InvalidInput(f"{spec!r} names no file; write 'image:PATH', or pass AnotherImage(array).")
        return AnotherImage(argument).baseline
    if name == "noise":
        raise InvalidInput(f"{spec!r} has no seed that is a whole number from 0; write e.g. 'noise:1'.")
    if name in {*plain, "inpaint"}:
        raise InvalidInput(f"The masker {name!r} takes no argument; {spec!r} has one. Write {name!r}.")
    raise UnknownName("image masker", spec, KNOWN)


def _number(spec: str, argument: str | None) -> float:
    if argument is None:
        return BLUR_RADIUS
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", argument) or not 0 < float(argument) <= 10_000:
        raise InvalidInput(f"{spec!r} has no radius above 0 (to 10000) in pixels; write e.g. 'blur:8'.")
    return float(argument)


def mean_colour(content: Picture) -> Picture:
    """The picture's mean colour everywhere, ``uint8[h, w, 3]``; rounded to whole levels."""
    return _constant(np.rint(content.reshape(-1, 3).mean(axis=0)), content)


def _constant(colour: Sequence[int] | NDArray[np.float64], content: Picture) -> Picture:
    return np.broadcast_to(np.asarray(colour).astype(np.uint8), content.shape).copy()


def gaussian_blur(content: Picture, radius: float) -> Picture:
    """A true Gaussian blur (not the box blurs of Pillow), edges continued.

    Args:
        content: ``uint8[h, w, 3]``.
        radius: standard deviation in pixels of the content, cut off at four times that.
    """
    from scipy.ndimage import gaussian_filter

    blurred = gaussian_filter(content.astype(np.float32), sigma=(radius, radius, 0), mode="nearest", truncate=4.0)
    picture: Picture = np.rint(blurred).clip(0, 255).astype(np.uint8)
    return picture


def _noise(seed: int, content: Picture) -> Picture:
    # A stream of its own: a picture that someone made by default_rng(seed) must not be its own baseline.
    return np.random.default_rng((_NOISE_STREAM, seed)).integers(0, 256, content.shape, dtype=np.uint8)


def _regions(content: Picture, players: PartPlayers, present: NDArray[np.bool_]) -> NDArray[np.int32]:
    """The label map of the players, after checking that everything fits together."""
    if not isinstance(players.geometry, Regions):
        raise InvalidInput(f"The players of part {players.part!r} are no areas of a picture, so they cannot be masked.")
    label_map = players.geometry.label_map
    if label_map.shape != content.shape[:2]:
        raise InvalidInput(f"The players are cut on {label_map.shape} pixels and the picture has {content.shape[:2]}.")
    if present.ndim != 2 or present.shape[1] != len(players):
        raise InvalidInput(f"present has shape {present.shape}; it must be (batch, {len(players)}).")
    return label_map


def composite(
    content: Picture, baseline: Picture, label_map: NDArray[np.int32], present: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The content where a pixel's player is present or the pixel has none, the baseline elsewhere.

    Args:
        content: ``uint8[h, w, 3]``.
        baseline: ``uint8[h, w, 3]``.
        label_map: ``int32[h, w]``, −1 for pixels of no player.
        present: ``bool[batch, players]``.

    Returns:
        ``uint8[batch, h, w, 3]``.
    """
    # Same as np.where(present[:, label_map], content, baseline), several times as fast: one look-up of a byte of ones
    # or zeros for each colour value, then b ^ (mask & (c ^ b)) in place. Column -1 wraps round to the added last one.
    always = np.ones((len(present), 1), bool)
    table = np.concatenate([present, always], axis=1).astype(np.uint8) * np.uint8(255)
    pixels = np.take(table, np.repeat(label_map.ravel(), 3), axis=1, mode="wrap")
    pixels &= (content ^ baseline).ravel()
    pixels ^= baseline.ravel()
    return pixels.reshape(len(present), *content.shape)


@dataclass(frozen=True, eq=False)
class Composite:
    """A masker that shows a baseline picture through the holes.

    Attributes:
        name: the masker as it was asked for.
        fill: content → baseline, both ``uint8[h, w, 3]``; must depend on nothing else.
    """

    name: str
    fill: Callable[[Picture], Picture]
    # A blur takes longer than a batch of masks; keyed by pixels, so a content changed in place is never mistaken.
    _made: dict[bytes, Picture] = field(default_factory=dict, init=False, repr=False)

    def baseline(self, content: Picture) -> Picture:
        """What stands where every player is absent, ``uint8[h, w, 3]``."""
        key = blake2b(content.tobytes(), salt=str(content.shape).encode()[:16]).digest()
        made = self._made.get(key)
        if made is None:
            made = self.fill(content)
            if made.shape != content.shape or made.dtype != np.uint8:
                raise InvalidInput(
                    f"The baseline of {self.name!r} is {made.dtype}{list(made.shape)}; it must be "
                    f"uint8{list(content.shape)} like the picture."
                )
            while len(self._made) >= _REMEMBERED:
                self._made.pop(next(iter(self._made)))
            self._made[key] = made
        return made

    def apply(self, content: Picture, players: PartPlayers, present: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """The picture for each coalition.

        Args:
            content: ``uint8[h, w, 3]``.
            players: players with `Regions` on that picture.
            present: ``bool[batch, players]``.

        Returns:
            ``uint8[batch, h, w, 3]``.

        Raises:
            InvalidInput: players, picture and coalitions do not fit together.
        """
        present = np.asarray(present, bool)
        return composite(content, self.baseline(content), _regions(content, players, present), present)


@dataclass(frozen=True, eq=False)
class AnotherImage:
    """Another picture, stretched to fit, as the baseline.

    Attributes:
        picture: anything that a part ``image`` may be: array, path or Pillow image; read at once.
        name: how it stands in the provenance: the path, or the size and a hash of the pixels.

    Raises:
        InvalidInput: the picture cannot be read.
    """

    picture: ArrayLike | Image.Image | str
    name: str = ""

    def __post_init__(self) -> None:
        """Read the picture."""
        pixels = read_image(self.picture)
        size = f"{pixels.shape[1]}x{pixels.shape[0]}"
        digest = blake2b(pixels.tobytes(), digest_size=4).hexdigest()
        shown = self.picture if isinstance(self.picture, str) else f"{size}-{digest}"
        object.__setattr__(self, "name", self.name or f"image:{shown}")
        object.__setattr__(self, "picture", pixels)

    def __repr__(self) -> str:
        """The name instead of the pixels."""
        return f"AnotherImage({self.name!r})"

    def baseline(self, content: Picture) -> Picture:
        """The other picture at the content's size, ``uint8[h, w, 3]``."""
        other = Image.fromarray(np.asarray(self.picture))
        return np.array(other.resize((content.shape[1], content.shape[0]), Image.Resampling.BICUBIC))


@dataclass(frozen=True)
class Inpaint:
    """Absent players are filled in from the present pixels (biharmonic inpainting, scikit-image).

    The filling is computed on a copy of at most 48 pixels a side, where every small pixel is the mean of the present
    pixels in it alone (nothing absent bleeds in), and is scaled up; present pixels keep their full resolution. It
    takes about 10 to 30 ms a coalition. Where NOTHING is present there is nothing to inpaint from: such a coalition is
    defined as the picture's mean colour, as with ``"mean"``.
    """

    name: str = "inpaint"

    def baseline(self, content: Picture) -> Picture:
        """What stands where every player is absent and no pixel is left: the mean colour, ``uint8[h, w, 3]``."""
        return mean_colour(content)

    def apply(self, content: Picture, players: PartPlayers, present: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """The picture for each coalition; shapes and errors as in `Composite.apply`."""
        present = np.asarray(present, bool)
        label_map = _regions(content, players, present)
        out = np.empty((len(present), *content.shape), np.uint8)
        for row, coalition in enumerate(present):
            shown = np.append(coalition, True)[label_map]
            out[row] = content if shown.all() else self._fill(content, shown)
        return out

    def _fill(self, content: Picture, shown: NDArray[np.bool_]) -> Picture:
        if not shown.any():
            return self.baseline(content)
        from skimage.restoration import inpaint_biharmonic

        small, known = _present_means(content, shown)
        if not known.all():
            small = np.asarray(inpaint_biharmonic(small, ~known, channel_axis=-1))
        picture = Image.fromarray(np.rint(small.clip(0, 1) * 255).astype(np.uint8))
        grown = np.asarray(picture.resize((content.shape[1], content.shape[0]), Image.Resampling.BILINEAR))
        return np.where(shown[..., None], content, grown)


def _present_means(content: Picture, shown: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A small copy made of the shown pixels alone.

    Returns:
        small: ``float64[h, w, 3]`` in [0, 1] with h, w ≤ 48; 0 where no pixel is shown.
        known: ``bool[h, w]``: whether the small pixel has a shown one in it.
    """
    height, width = shown.shape
    factor = min(1.0, _INPAINT_SIDE / max(height, width))
    rows, columns = max(1, round(height * factor)), max(1, round(width * factor))
    cell = ((np.arange(height) * rows // height)[:, None] * columns + np.arange(width) * columns // width)[shown]
    count = np.bincount(cell, minlength=rows * columns)
    sums = [np.bincount(cell, weights=content[..., c][shown], minlength=rows * columns) for c in range(3)]
    small = np.stack(sums, axis=1) / np.maximum(count, 1)[:, None] / 255
    return small.reshape(rows, columns, 3), (count > 0).reshape(rows, columns)
