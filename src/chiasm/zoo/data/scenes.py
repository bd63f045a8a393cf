"""Scenes of coloured shapes or handwritten digits: what is in them, where, and how they look."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from chiasm.zoo.data import backgrounds, glyphs

SIDE: Final = 256
"""Width and height of a rendered scene in pixels."""

COLOURS: Final[dict[str, tuple[int, int, int]]] = {
    "red": (220, 40, 40),
    "green": (40, 165, 60),
    "blue": (50, 80, 220),
    "yellow": (235, 210, 50),
    "purple": (150, 50, 180),
    "cyan": (60, 200, 210),
}
SHAPES: Final = ("circle", "square", "triangle", "cross", "star")
DIGITS: Final = tuple("0123456789")
Family = Literal["shapes", "digits"]

FEWEST, MOST = 2, 5
"""How many objects a scene of shapes has."""
MOST_DIGITS: Final = 3
"""How many digits a scene of digits has at most."""

RADII: Final = (22.0, 38.0)
"""Sizes of shapes in pixels: the outline is the shape's unit outline times this."""
DIGIT_RADII: Final = (42.0, 56.0)
"""Half the width of a digit's cell in pixels."""
MARGIN: Final = 3.0
"""Least distance in pixels of an object's box from the border and from half-way to the next box."""
GAP: Final = 2 * MARGIN
"""Least distance in pixels between the boxes of two objects, along one axis at least."""

SUPERSAMPLE: Final = 4
_JITTER: Final = 12
"""How far a painted colour may be off the named one, in each channel."""
_TRIES: Final = 40
"""Places tried for an object before it is given up."""
REPEATING: Final = 0.4
"""Share of scenes whose objects share a small palette; without them, counts above two would be rare."""


def _ring(points: int, radii: tuple[float, ...]) -> NDArray[np.float64]:
    angles = -np.pi / 2 + np.arange(points) * 2 * np.pi / points
    lengths = np.resize(np.array(radii), points)
    return np.stack([np.cos(angles) * lengths, np.sin(angles) * lengths], axis=1)


_ARM: Final = 0.36
_OUTLINES: Final[dict[str, NDArray[np.float64]]] = {
    "circle": np.array([(-1, -1), (1, 1)], dtype=np.float64),  # the corners of its box: drawn as an ellipse
    "square": np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]) * 0.88,
    "triangle": np.array([(0, -1), (1, 0.85), (-1, 0.85)]),
    "cross": np.array(
        [
            *[(-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM)],
            *[(_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM)],
        ]
    ),
    "star": _ring(10, (1.1, 0.45)),
}
_EXTENTS: Final[dict[str, tuple[float, float, float, float]]] = {
    name: (float(o[:, 0].min()), float(o[:, 1].min()), float(o[:, 0].max()), float(o[:, 1].max()))
    for name, o in _OUTLINES.items()
}


def _enclosed(outline: NDArray[np.float64]) -> float:
    """Area within a polygon (the shoelace formula)."""
    x, y = outline.T
    return abs(float(x @ np.roll(y, -1) - y @ np.roll(x, -1))) / 2


AREAS: Final = {name: math.pi if name == "circle" else _enclosed(outline) for name, outline in _OUTLINES.items()}
"""Shape → area within its unit outline."""


@dataclass(frozen=True)
class Item:
    """One object of a scene.

    Attributes:
        colour: a name of `COLOURS`.
        shape: a name of `SHAPES`, or one of `DIGITS`.
        x: centre in pixels from the left.
        y: centre in pixels from the top.
        radius: size in pixels; the unit outline of the shape, or the glyph's half width, is scaled by it.
        rgb: the colour it is painted in, a little off the named one.
        glyph: number of the handwritten glyph, for digits.
    """

    colour: str
    shape: str
    x: float
    y: float
    radius: float
    rgb: tuple[int, int, int]
    glyph: int | None = None

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """Tight box (x0, y0, x1, y1) around the centre, in radii."""
        return _EXTENTS[self.shape] if self.glyph is None else glyphs.extent(self.glyph)

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Tight box (x0, y0, x1, y1) in pixels."""
        left, top, right, bottom = self.extent
        return (
            float(self.x + left * self.radius),
            float(self.y + top * self.radius),
            float(self.x + right * self.radius),
            float(self.y + bottom * self.radius),
        )


@dataclass(frozen=True, eq=False)
class Scene:
    """Objects on a background.

    Attributes:
        items: the objects; their boxes do not overlap.
        background: uint8[rows, columns, 3], stretched smoothly over the picture.
    """

    items: tuple[Item, ...]
    background: NDArray[np.uint8]


def apart(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether more than `GAP` pixels lie between two boxes (x0, y0, x1, y1), along either axis."""
    return box[0] > other[2] + GAP or other[0] > box[2] + GAP or box[1] > other[3] + GAP or other[1] > box[3] + GAP


def paint(rng: np.random.Generator, colour: str) -> tuple[int, int, int]:
    """A colour a little off the named one."""
    jitter = rng.integers(-_JITTER, _JITTER + 1, size=3)
    red, green, blue = (int(np.clip(c + j, 0, 255)) for c, j in zip(COLOURS[colour], jitter, strict=True))
    return red, green, blue


def place(
    rng: np.random.Generator,
    colour: str,
    shape: str,
    placed: Sequence[Item],
    *,
    glyph: int | None = None,
    edge: float = MARGIN,
) -> Item | None:
    """One more object at a random free place and of random size, or ``None`` if the dice found none.

    Args:
        rng: source of all chance.
        colour: a name of `COLOURS`.
        shape: a name of `SHAPES`, or one of `DIGITS`.
        placed: the objects that are there.
        glyph: number of the handwritten glyph, for digits.
        edge: least distance in pixels of its box from the border.
    """
    rgb = paint(rng, colour)
    left, top, right, bottom = Item(colour, shape, 0, 0, 1, rgb, glyph).extent
    for _ in range(_TRIES):
        radius, across, down = rng.uniform(*(RADII if glyph is None else DIGIT_RADII)), rng.random(), rng.random()
        x = edge - left * radius + across * (SIDE - 2 * edge - (right - left) * radius)
        y = edge - top * radius + down * (SIDE - 2 * edge - (bottom - top) * radius)
        item = Item(colour, shape, float(x), float(y), float(radius), rgb, glyph)
        if all(apart(item.box, other.box) for other in placed):
            return item
    return None


def _shapes(rng: np.random.Generator, most: int) -> tuple[Item, ...]:
    wanted = int(rng.integers(FEWEST, most + 1))
    colours, shapes = list(COLOURS), list(SHAPES)
    if rng.random() < REPEATING:
        # Two colours, two shapes, or both: the scenes in which several objects share a colour or a shape.
        which = rng.integers(3)
        if which != 0:
            colours = [colours[i] for i in rng.permutation(len(colours))[:2]]
        if which != 1:
            shapes = [shapes[i] for i in rng.permutation(len(shapes))[:2]]
    items: list[Item] = []
    while len(items) < FEWEST:  # two objects always fit; a larger scene may end up with one object fewer
        items = []
        for _ in range(wanted):
            item = place(rng, colours[rng.integers(len(colours))], shapes[rng.integers(len(shapes))], items)
            if item is not None:
                items.append(item)
    return tuple(items)


def _digits(rng: np.random.Generator, most: int, *, held_out: bool) -> tuple[Item, ...]:
    """Digits of different value and different colour."""
    wanted = int(rng.integers(FEWEST, min(most, MOST_DIGITS) + 1))
    items: list[Item] = []
    while len(items) < FEWEST:
        items = []
        colours, digits = rng.permutation(len(COLOURS))[:wanted], rng.permutation(10)[:wanted]
        for colour, digit in zip(colours, digits, strict=True):
            numbers = glyphs.numbers(int(digit), held_out=held_out)
            glyph = numbers[int(rng.integers(len(numbers)))]
            item = place(rng, list(COLOURS)[colour], DIGITS[digit], items, glyph=glyph)
            if item is not None:
                items.append(item)
    return tuple(items)


def draw_scene(
    rng: np.random.Generator,
    most: int = MOST,
    *,
    family: Family = "shapes",
    photo: bool = False,
    held_out: bool = False,
) -> Scene:
    """A random scene.

    Args:
        rng: source of all chance.
        most: largest number of objects; a scene of digits has `MOST_DIGITS` at most.
        family: what its objects are.
        photo: a piece of a photograph lies behind them instead of a plain field.
        held_out: glyphs and photographs come from those never trained on.
    """
    items = _shapes(rng, most) if family == "shapes" else _digits(rng, most, held_out=held_out)
    if photo:
        return Scene(items, backgrounds.photo(rng, "held out" if held_out else "training", SIDE))
    return Scene(items, backgrounds.plain(rng))


def _stencil(item: Item) -> tuple[Image.Image, int, int]:
    """How much each pixel shows of the object, ``L``, and where its left upper corner lies."""
    if item.glyph is not None:
        left, top = round(item.x - item.radius), round(item.y - item.radius)
        return glyphs.stencil(item.glyph, round(2 * item.radius)), left, top
    x0, y0, x1, y1 = item.box
    left, top = math.floor(x0), math.floor(y0)
    size = (math.ceil(x1) - left + 1, math.ceil(y1) - top + 1)
    # Only the object's own box is drawn large: supersampling the whole picture would take 10 ms.
    stencil = Image.new("L", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE))
    outline = (_OUTLINES[item.shape] * item.radius + (item.x - left, item.y - top)) * SUPERSAMPLE
    points = [(float(px), float(py)) for px, py in outline]
    brush = ImageDraw.Draw(stencil)
    if item.shape == "circle":
        brush.ellipse(points, fill=255)
    else:
        brush.polygon(points, fill=255)
    return stencil.reduce(SUPERSAMPLE), left, top


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of `SIDE` × `SIDE` pixels, edges anti-aliased."""
    picture = Image.fromarray(scene.background, "RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    for item in scene.items:
        stencil, left, top = _stencil(item)
        picture.paste(item.rgb, (left, top), stencil)
    return picture


def mask(item: Item) -> NDArray[np.bool_]:
    """The pixels that show the object, bool[SIDE, SIDE]: those it covers by half or more."""
    stencil, left, top = _stencil(item)
    sheet = Image.new("L", (SIDE, SIDE))
    sheet.paste(stencil, (left, top))
    return np.asarray(sheet) >= 128
