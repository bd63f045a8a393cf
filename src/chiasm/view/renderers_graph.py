"""Graphs: nodes as circles, edges as lines, both tinted by the value of the player that they belong to."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from chiasm.core.players import PartPlayers, Regions
from chiasm.view.numerals import MINUS, count, shorten
from chiasm.view.panels import Mark

#: more nodes make no drawing that can be read
_MOST: Final = 150
#: of the drawing, in the page's units of pictures (the numbers on a picture are placed in these)
_WIDTH, _HEIGHT, _MARGIN = 1000, 640, 70
_FEW, _FEATURES = 12, 2
#: of so many nodes, if they hang together, distances follow the number of edges between them (Kamada & Kawai 1989)
_APART: Final = 60
#: half the thickness of the line that shows an edge's value
_HALF: Final = 9.0


def draw(part: PartPlayers, marks: Sequence[Mark]) -> Markup | None:
    """A node-link drawing; ``None`` where there is no graph, or one of too many nodes (see `chiasm.view.renderers`).

    The places of nodes are those of a layout by springs from a fixed start: they mean nothing.
    """
    graph, geometry = part.content, part.geometry
    if not isinstance(graph, Mapping) or not isinstance(geometry, Regions) or not {"names", "edges"} <= set(graph):
        return None
    nodes, edges = len(graph["names"]), np.asarray(graph["edges"], np.int64).reshape(-1, 2)
    if geometry.label_map.shape != (nodes + len(edges),) or not 0 < nodes <= _MOST:
        return None
    picture = _Picture(graph, edges, geometry.label_map, marks, _layout(nodes, edges))
    what = f"{count(nodes, 'node')}, {count(len(edges), 'edge')}, {count(len(marks), 'player')}. Places mean nothing."
    return Markup(
        '<svg class="picture" role="img" aria-label="{part}: a graph, its players tinted by their values" '
        'viewBox="0 0 {width} {height}"><g stroke="#8a929b" stroke-width="3" fill="none">{lines}</g>'
        '<g stroke="#8a929b" stroke-width="3" style="fill:var(--paper)">{circles}</g>'
        '<g class="more">{more}</g><g class="areas">{areas}</g>{names}{numbers}</svg>'
        "<figcaption>{what}</figcaption>"
    ).format(
        part=part.part,
        width=_WIDTH,
        height=_HEIGHT,
        lines=picture.lines(),
        circles=Markup("").join(Markup('<path d="{}"/>').format(picture.circle(k)) for k in range(nodes)),
        more=picture.elements(first=False),
        areas=picture.elements(first=True),
        names=picture.names(),
        numbers=picture.numbers(),
        what=what,
    )


def _layout(nodes: int, edges: NDArray[np.int64]) -> NDArray[np.float64]:
    """Places of nodes in the drawing, ``float64[nodes, 2]``, the same for the same graph."""
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(nodes))
    graph.add_edges_from(edges.tolist())
    if nodes <= _APART and nx.is_connected(graph):
        found = nx.kamada_kawai_layout(graph)
    else:
        found = nx.spring_layout(graph, seed=0, k=2 / math.sqrt(nodes), iterations=150)
    places = np.array([found[k] for k in range(nodes)], np.float64)
    low, high = places.min(axis=0), places.max(axis=0)
    spread = np.where(high > low, high - low, 1.0)
    start = np.array([_MARGIN, _MARGIN + (60 if (edges[:, 0] == edges[:, 1]).any() else 0)])  # loops stand above
    room = np.array([_WIDTH - _MARGIN, _HEIGHT - _MARGIN - 40]) - start
    return np.asarray(np.where(high > low, (places - low) / spread, 0.5) * room + start, np.float64)


def _circle(x: float, y: float, r: float) -> str:
    return f"M{x - r:.1f} {y:.1f}a{r:.1f} {r:.1f} 0 1 0 {2 * r:.1f} 0a{r:.1f} {r:.1f} 0 1 0 {-2 * r:.1f} 0z"


@dataclass(frozen=True)
class _Picture:
    """What is drawn: a graph, which player owns each node and edge, the players' marks, and places of nodes."""

    graph: Mapping[str, Any]
    edges: NDArray[np.int64]
    owners: NDArray[np.int32]
    marks: Sequence[Mark]
    places: NDArray[np.float64]

    @property
    def radius(self) -> float:
        """Of the circles: smaller for more nodes."""
        return float(np.clip(150 / math.sqrt(len(self.places)), 12, 40))

    def circle(self, node: int) -> str:
        """Path of a node."""
        x, y = self.places[node]
        return _circle(x, y, self.radius)

    def loop(self, edge: int) -> str | None:
        """Path of an edge that leads back to its node: a circle above it."""
        first, second = self.edges[edge].tolist()
        x, y = self.places[first]
        return _circle(x, y - 1.5 * self.radius, 0.8 * self.radius) if first == second else None

    def ends(self, edge: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """The ends of an edge at the rims of its nodes, and its direction."""
        first, second = (self.places[node] for node in self.edges[edge].tolist())
        way = second - first
        length = float(np.hypot(*way))
        if length <= 2 * self.radius:  # nodes that touch
            return first, second, np.array([1.0, 0.0])
        way = way / length
        return first + self.radius * way, second - self.radius * way, way

    def lines(self) -> Markup:
        """All edges as thin lines; an arrow's head where they have a direction."""
        found = Markup("")
        for edge in range(len(self.edges)):
            if loop := self.loop(edge):
                found += Markup('<path d="{}"/>').format(loop)
                continue
            (x0, y0), (x1, y1), (u, v) = self.ends(edge)
            found += Markup('<path d="M{} {}L{} {}"/>').format(*(f"{c:.1f}" for c in (x0, y0, x1, y1)))
            if self.graph.get("directed"):
                back, side = 22.0, 9.0
                head = [(x1, y1)] + [(x1 - back * u + s * v, y1 - back * v - s * u) for s in (side, -side)]
                found += Markup('<path d="M{}z" fill="#8a929b"/>').format("L".join(f"{x:.1f} {y:.1f}" for x, y in head))
        return found

    def band(self, edge: int) -> str:
        """Path of an edge as a band that can be tinted."""
        if loop := self.loop(edge):
            return loop
        first, second, (u, v) = self.ends(edge)
        aside = _HALF * np.array([-v, u])
        corners = [first + aside, second + aside, second - aside, first - aside]
        return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in corners) + "z"

    def elements(self, *, first: bool) -> Markup:
        """What players own: the first thing of each, which has its number, or the others."""
        seen: set[int] = set()
        found = Markup("")
        for element, owner in enumerate(self.owners.tolist()):
            if owner < 0:
                continue
            begins = owner not in seen
            seen.add(owner)
            if begins is first:
                found += self._element(element, self.marks[owner])
        return found

    def _element(self, element: int, mark: Mark) -> Markup:
        nodes = len(self.places)
        path = self.circle(element) if element < nodes else self.band(element - nodes)
        x, y = self.middle(element)
        look = Markup("")
        if mark.known:
            look = Markup(' data-value="{}" fill="rgb{}" fill-opacity="{}"').format(mark.value, mark.fill, mark.opacity)
        return Markup(
            '<path class="player{}" data-part="{}" data-index="{}" data-at="{:.1f} {:.1f}" d="{}"{}>'
            "<title>{}</title></path>"
        ).format("" if mark.known else " unknown", mark.part, mark.index, x, y, path, look, mark.hint)

    def middle(self, element: int) -> NDArray[np.float64]:
        """Where the number of a node or an edge stands."""
        nodes = len(self.places)
        if element < nodes:
            return np.asarray(self.places[element], np.float64)
        return np.asarray(self.places[self.edges[element - nodes]].mean(axis=0), np.float64)

    def names(self) -> Markup:
        """Names under the nodes; of few nodes also their features, if they are few."""
        few = len(self.places) <= _FEW
        size = 30 if few else 22
        found = Markup("")
        for node, (name, (x, y)) in enumerate(zip(self.graph["names"], self.places.tolist(), strict=True)):
            lines = [(shorten(str(name), 18), size, "ink")]
            features = self.graph.get("feature_names", ())
            if few and 0 < len(features) <= _FEATURES:
                values = [f"{value:.4g}".replace("-", MINUS) for value in self.graph["features"][node].tolist()]
                pairs = (f"{shorten(str(what), 10)} {value}" for what, value in zip(features, values, strict=True))
                lines.append((", ".join(pairs), 22, "soft"))
            for line, (text, height, colour) in enumerate(lines):
                found += Markup(
                    '<text x="{:.1f}" y="{:.1f}" font-size="{}" text-anchor="middle" pointer-events="none" '
                    'stroke-width="6" style="fill:var(--{});stroke:var(--ground);paint-order:stroke">{}</text>'
                ).format(x, y + self.radius + size + 26 * line, height, colour, text)
        return found

    def numbers(self) -> Markup:
        """The numbers of the strongest players; the page's script writes them anew."""
        found = Markup("")
        owners = self.owners.tolist()
        for mark in self.marks:
            if mark.strong and mark.index in owners:
                x, y = self.middle(owners.index(mark.index))
                found += Markup('<text class="value" x="{:.1f}" y="{:.1f}">{}</text>').format(x, y, mark.number)
        return found
