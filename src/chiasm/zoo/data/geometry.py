"""What may be said of the places and the sizes of objects: only what holds in whichever sense a reader takes it.

- One object lies *left of* (right of, above, below) another where a gap runs between their boxes along that axis.
  Scenes keep any two boxes apart along one axis at least, so that something can be said of every two objects.
- A digit lies in a *half* of the picture where the middle of its ink is `POSITION_GAP` or more from the picture's
  middle; in a data set, moreover, only where all of its ink lies there (`aside`).
- One shape is *larger* than another where its radius, the width and the height of its box, and its area all are,
  each by a margin. Shapes of equal radius differ in area (a circle has twice a star's), and so what can be compared
  depends on the shapes; lest their names tell the answer, the same must hold of the two shapes with their radii
  exchanged.
- A shape is *small* or *large* where radius, box and area all say so by the same bounds for all shapes, so that every
  large shape exceeds every small one in each. For the same reason a shape is only asked about if it could also have the
  opposite size: the radius as far on the other side of the middle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chiasm.zoo.data import glyphs
from chiasm.zoo.data.scenes import AREAS, GAP, MARGIN, SIDE, Item

POSITION_GAP: Final = 20.0
"""Pixels along an axis: with its ink's middle nearer than that to the picture's, a digit lies in neither half.

The caption models, which learn from all objects of a picture, learn nothing of two whose centres are nearer."""
SMALL, LARGE = 27.0, 33.0
"""A shape of at most the one radius may be small, of at least the other large; about those between nobody asks."""
SMALL_SIDE, LARGE_SIDE = 54.0, 58.0
"""Pixels: both sides of a small shape's box are at most the one, of a large one's at least the other."""
SMALL_AREA, LARGE_AREA = 1800.0, 1950.0
"""Square pixels: a small shape covers at most the one, a large one at least the other."""
SIZE_GAP: Final = 6.0
"""Least difference of the radii, the widths and the heights of two shapes that are compared, in pixels."""
AREA_RATIO: Final = 1.1
"""Least ratio of the areas of two shapes that are compared."""


def lies(first: Item, second: Item, way: str, gap: float = 0.0) -> bool:
    """Whether the first object's centre lies that way from the second's, by more than ``gap`` pixels.

    Args:
        first: an object.
        second: another one.
        way: left, right, above or below.
        gap: in pixels.
    """
    distance = first.x - second.x if way in ("left", "right") else first.y - second.y
    return (distance if way in ("right", "below") else -distance) > gap


def direction(first: Item, second: Item, *, across: bool) -> str | None:
    """Where ``first`` lies seen from ``second``, or ``None`` if no gap of `scenes.GAP` pixels runs between their boxes.

    Args:
        first: an object.
        second: another one.
        across: ask for left or right, else for above or below.
    """
    start = 0 if across else 1
    before, behind = ("left", "right") if across else ("above", "below")
    if first.box[start + 2] + GAP <= second.box[start]:
        return before
    return behind if second.box[start + 2] + GAP <= first.box[start] else None


def half(item: Item, *, across: bool) -> str | None:
    """In which half of the picture a digit lies, or ``None`` if the middle of its ink is too close to the middle.

    Args:
        item: a digit.
        across: ask for left or right, else for top or bottom.
    """
    left, top, right, bottom = item.extent if item.glyph is None else glyphs.ink(item.glyph)
    centre = item.x + (left + right) / 2 * item.radius if across else item.y + (top + bottom) / 2 * item.radius
    distance = centre - SIDE / 2
    if abs(distance) < POSITION_GAP:
        return None
    return (("left", "right") if across else ("top", "bottom"))[int(distance > 0)]


def aside(item: Item, *, across: bool) -> bool:
    """Whether the whole ink of a digit as drawn lies `MARGIN` pixels or more to one side of the picture's middle.

    Args:
        item: a digit.
        across: ask for left or right, else for top or bottom.
    """
    left, top, right, bottom = item.extent if item.glyph is None else glyphs.ink(item.glyph)
    centre, first, last = (item.x, left, right) if across else (item.y, top, bottom)
    start, end = centre + first * item.radius, centre + last * item.radius
    return end <= SIDE / 2 - MARGIN or start >= SIDE / 2 + MARGIN


def area(item: Item) -> float:
    """Square pixels within the outline of a shape (not of a digit)."""
    return AREAS[item.shape] * item.radius**2


def _sides(item: Item) -> tuple[float, float]:
    """Width and height of an object's box."""
    x0, y0, x1, y1 = item.box
    return x1 - x0, y1 - y0


def _exceeds(first: Item, second: Item) -> bool:
    return (
        first.radius >= second.radius + SIZE_GAP
        and all(a >= b + SIZE_GAP for a, b in zip(_sides(first), _sides(second), strict=True))
        and area(first) >= AREA_RATIO * area(second)
    )


def larger(first: Item, second: Item) -> bool | None:
    """Whether the first of two shapes is the larger one, or ``None`` if that depends on the sense of the word."""
    more, less = (first, second) if first.radius > second.radius else (second, first)
    exchanged = replace(less, radius=more.radius), replace(more, radius=less.radius)
    return more is first if _exceeds(more, less) and _exceeds(*exchanged) else None


def _measured(item: Item) -> str | None:
    if item.radius <= SMALL and max(_sides(item)) <= SMALL_SIDE and area(item) <= SMALL_AREA:
        return "small"
    if item.radius >= LARGE and min(_sides(item)) >= LARGE_SIDE and area(item) >= LARGE_AREA:
        return "large"
    return None


def size(item: Item) -> str | None:
    """Whether a shape is ``"small"`` or ``"large"``, or ``None`` if that depends on the sense of the word."""
    opposite = replace(item, radius=SMALL + LARGE - item.radius)
    return _measured(item) if _measured(opposite) is not None else None
