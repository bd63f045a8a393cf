"""Areas of a label map as vector outlines: sharp at every size, and each area stays an object of the page."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Point = tuple[int, int]
#: start of an edge → ends of the edges that leave it
_Edges = dict[Point, list[Point]]

#: more edges than this (very ragged superpixels) are traced on a coarser map
_MOST_EDGES = 60_000


@dataclass(frozen=True)
class Outline:
    """The outline of one area.

    Attributes:
        path: SVG path data in pixels of the label map.
        box: x, y, width, height of what encloses the area.
        centre: mean x and y of its pixels.
    """

    path: str
    box: tuple[int, int, int, int]
    centre: tuple[float, float]


def trace(label_map: NDArray[np.int32]) -> dict[int, Outline]:
    """Outlines of all areas of a label map; pixels of label −1 belong to none."""
    step = 1
    edges, total = _edges(label_map)
    while total > _MOST_EDGES:
        step *= 2
        edges, total = _edges(label_map[::step, ::step])
    centres = _centres(label_map)
    return {label: _outline(found, step, centres[label]) for label, found in sorted(edges.items())}


def _centres(label_map: NDArray[np.int32]) -> dict[int, tuple[float, float]]:
    flat = label_map.ravel() + 1
    y, x = np.divmod(np.arange(flat.size), label_map.shape[1])
    size = np.bincount(flat)
    means = [np.bincount(flat, weights=axis + 0.5) / np.maximum(size, 1) for axis in (x, y)]
    return {int(k) - 1: (float(means[0][k]), float(means[1][k])) for k in np.flatnonzero(size)}


def _edges(label_map: NDArray[np.int32]) -> tuple[dict[int, _Edges], int]:
    """Directed boundary edges of every label, the area on the right-hand side."""
    padded = np.pad(label_map, 1, constant_values=-1)
    edges: dict[int, _Edges] = defaultdict(lambda: defaultdict(list))
    total = 0
    for y, x0, x1, above, below in _runs(padded[:-1, 1:-1], padded[1:, 1:-1]):
        total += 1
        if below >= 0:
            edges[below][x0, y].append((x1, y))
        if above >= 0:
            edges[above][x1, y].append((x0, y))
    for x, y0, y1, left, right in _runs(padded[1:-1, :-1].T, padded[1:-1, 1:].T):
        total += 1
        if right >= 0:
            edges[right][x, y1].append((x, y0))
        if left >= 0:
            edges[left][x, y0].append((x, y1))
    return edges, total


def _runs(first: NDArray[np.int32], second: NDArray[np.int32]) -> list[list[int]]:
    """Longest stretches of each line along which two labels face each other: line, start, end, first, second."""
    changes = (first[:, 1:] != first[:, :-1]) | (second[:, 1:] != second[:, :-1])
    edge = np.ones((len(first), 1), bool)
    faces = first != second
    line, start = np.nonzero(np.hstack([edge, changes]) & faces)
    _, end = np.nonzero(np.hstack([changes, edge]) & faces)
    runs: list[list[int]] = np.column_stack([line, start, end + 1, first[line, start], second[line, start]]).tolist()
    return runs


def _outline(edges: _Edges, step: int, centre: tuple[float, float]) -> Outline:
    loops: list[list[Point]] = []
    while edges:
        start = next(iter(edges))
        loop = [start]
        while True:
            ends = edges[loop[-1]]
            following = ends.pop()
            if not ends:
                del edges[loop[-1]]
            if following == start:
                break
            loop.append(following)
        loops.append(loop)
    points = np.array([point for loop in loops for point in loop]) * step
    x0, y0 = points.min(0).tolist()
    x1, y1 = points.max(0).tolist()
    return Outline("".join(_path(loop, step) for loop in loops), (x0, y0, x1 - x0, y1 - y0), centre)


def _path(loop: list[Point], step: int) -> str:
    """A closed path of relative steps; points on a straight line are left out."""
    corners = [
        here
        for before, here, after in zip([loop[-1], *loop[:-1]], loop, [*loop[1:], loop[0]], strict=True)
        if not (before[0] == here[0] == after[0] or before[1] == here[1] == after[1])
    ]
    pieces = [f"M{corners[0][0] * step} {corners[0][1] * step}"]
    for (xa, ya), (xb, yb) in pairwise(corners):
        pieces.append(f"h{(xb - xa) * step}" if ya == yb else f"v{(yb - ya) * step}")
    return "".join(pieces) + "z"
