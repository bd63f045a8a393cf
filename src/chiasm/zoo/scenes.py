"""Scenes of coloured shapes: what is in them, where, and how they look. Needs numpy and Pillow alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

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
FEWEST, MOST = 2, 5
"""How many objects a scene has."""

RADII: Final = (24.0, 36.0)
MARGIN: Final = 3.0
"""Least distance in pixels of an object's box from the border and from half-way to the next box."""

SUPERSAMPLE: Final = 4
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
_EXTENTS: Final = {
    name: (outline[:, 0].min(), outline[:, 1].min(), outline[:, 0].max(), outline[:, 1].max())
    for name, outline in _OUTLINES.items()
}


@dataclass(frozen=True)
class Item:
    """One object of a scene.

    Attributes:
        colour: a name of `COLOURS`.
        shape: a name of `SHAPES`.
        x: centre in pixels from the left.
        y: centre in pixels from the top.
        radius: size in pixels; the outline is the shape's unit outline times this.
        rgb: the colour it is painted in, a little off the named one.
    """

    colour: str
    shape: str
    x: float
    y: float
    radius: float
    rgb: tuple[int, int, int]

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Tight box (x0, y0, x1, y1) in pixels."""
        left, top, right, bottom = _EXTENTS[self.shape]
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
        background: uint8[4, 4, 3], a coarse field of light colours, stretched smoothly over the picture.
    """

    items: tuple[Item, ...]
    background: NDArray[np.uint8]


def _apart(box: tuple[float, ...], other: tuple[float, ...]) -> bool:
    gap = 2 * MARGIN
    return box[0] > other[2] + gap or other[0] > box[2] + gap or box[1] > other[3] + gap or other[1] > box[3] + gap


def _place(rng: np.random.Generator, colour: str, shape: str, placed: list[Item]) -> Item | None:
    """A random free place for one more object, or ``None`` if the dice found none."""
    left, top, right, bottom = _EXTENTS[shape]
    jitter = rng.integers(-12, 13, size=3)
    red, green, blue = (int(np.clip(c + j, 0, 255)) for c, j in zip(COLOURS[colour], jitter, strict=True))
    for _ in range(40):
        radius, across, down = rng.uniform(*RADII), rng.random(), rng.random()
        x = MARGIN - left * radius + across * (SIDE - 2 * MARGIN - (right - left) * radius)
        y = MARGIN - top * radius + down * (SIDE - 2 * MARGIN - (bottom - top) * radius)
        item = Item(colour, shape, x, y, radius, (red, green, blue))
        if all(_apart(item.box, other.box) for other in placed):
            return item
    return None


def draw_scene(rng: np.random.Generator, most: int = MOST) -> Scene:
    """A random scene of `FEWEST` to ``most`` objects.

    Args:
        rng: source of all chance.
        most: largest number of objects.
    """
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
            item = _place(rng, colours[rng.integers(len(colours))], shapes[rng.integers(len(shapes))], items)
            if item is not None:
                items.append(item)
    base = rng.integers(205, 236) + rng.integers(-8, 9, size=3)
    field = base + rng.integers(-8, 9, size=(4, 4, 1)) + rng.integers(-3, 4, size=(4, 4, 3))
    return Scene(tuple(items), np.clip(field, 0, 255).astype(np.uint8))


def render(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of `SIDE` × `SIDE` pixels, edges anti-aliased."""
    picture = Image.fromarray(scene.background, "RGB").resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    for item in scene.items:
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
        picture.paste(item.rgb, (left, top), stencil.reduce(SUPERSAMPLE))
    return picture
