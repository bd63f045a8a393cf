"""Graphs → players (nodes, edges, subgraphs), and what stands where one is absent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers
from chiasm.modalities.base import ContentMasker, Context, TokenMasker
from chiasm.modalities.elements import shown
from chiasm.modalities.graph_reading import Graph

SEGMENTERS: Final[dict[str, str]] = {
    "nodes": "every node",
    "edges": "every edge",
    "components": "nodes that hang together, with the edges between them",
    "communities": "communities by modularity (networkx), with the edges within them",
    "groups:a+b,c": "given nodes together, with the edges within; the others are always present",
}
MASKERS: Final[dict[str, str]] = {
    "isolate": "absent nodes have the mean features of the graph and lose their edges; absent edges are left out",
    "isolate:zero": "the same with features of 0",
    "mean": "absent nodes have the mean features of the graph and keep their edges; absent edges are left out",
    "zero": "the same with features of 0",
}
"""Name → what it does."""

#: labels, and the player of each node and then of each edge, ``int32[nodes + edges]``, −1 for none
Cut = tuple[tuple[str, ...], NDArray[np.int32]]


def elements(graph: Graph) -> int:
    """How many nodes and edges there are."""
    return len(graph["names"]) + len(graph["edges"])


@runtime_checkable
class GraphSegmenter(Protocol):
    """Anything that cuts a graph into players; pass your own in place of a name."""

    def cut(self, content: Graph, context: Context) -> Cut:
        """Labels of the players, and ``int32[nodes + edges]``: the player of each element, −1 where there is none."""
        ...


def graph_segmenter(spec: Any) -> GraphSegmenter:
    """The segmenter that a word stands for; an object that is one is given back, a mapping is `Subgraphs`.

    Raises:
        UnknownName: no segmenter has that name.
        InvalidInput: the name is right and its argument is not.
    """
    if isinstance(spec, Mapping):
        return Subgraphs(spec)
    if isinstance(spec, GraphSegmenter) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no segmenter of graphs; give one of {', '.join(SEGMENTERS)}, or Subgraphs.")
    name, colon, argument = spec.strip().partition(":")
    name = name.lower()
    if name == "groups":
        groups = [[one.strip() for one in piece.split("+") if one.strip()] for piece in argument.split(",")]
        if not all(groups):
            raise InvalidInput(f"{spec!r} names no groups of nodes; write e.g. 'groups:a+b,c'.")
        return Subgraphs({" + ".join(group): group for group in groups})
    plain: dict[str, GraphSegmenter] = {
        "nodes": Nodes(),
        "edges": Edges(),
        "components": Found("components"),
        "communities": Found("communities"),
    }
    if name not in plain:
        raise UnknownName("graph segmenter", spec, SEGMENTERS)
    if colon:
        raise InvalidInput(f"The segmenter {name!r} takes no argument; {spec!r} has one. Write {name!r}.")
    return plain[name]


@dataclass(frozen=True)
class Nodes:
    """Every node is a player; edges are none: they go with their nodes, or stay, as the masker says."""

    def cut(self, content: Graph, context: Context) -> Cut:
        """Labels and owners."""
        del context
        nodes = np.arange(len(content["names"]))
        return tuple(content["names"]), np.append(nodes, np.full(len(content["edges"]), -1)).astype(np.int32)


@dataclass(frozen=True)
class Edges:
    """Every edge is a player; nodes are always present."""

    def cut(self, content: Graph, context: Context) -> Cut:
        """Labels such as ``a–b`` (``a→b`` in a directed graph), and owners.

        Raises:
            InvalidInput: there is no edge.
        """
        del context
        names, edges = content["names"], content["edges"]
        if not len(edges):
            raise InvalidInput("The graph has no edge, so 'edges' has no players; take 'nodes'.")
        joint = "→" if content["directed"] else "–"
        labels = tuple(f"{names[a]}{joint}{names[b]}" for a, b in edges.tolist())
        return labels, np.append(np.full(len(names), -1), np.arange(len(edges))).astype(np.int32)


def _within(content: Graph, groups: Sequence[Sequence[int]]) -> NDArray[np.int32]:
    """The group of each node and of each edge with both ends in it."""
    owner = np.full(len(content["names"]), -1, np.int32)
    for k, group in enumerate(groups):
        owner[list(group)] = k
    first, second = owner[content["edges"][:, 0]], owner[content["edges"][:, 1]]
    return np.append(owner, np.where(first == second, first, -1)).astype(np.int32)


@dataclass(frozen=True)
class Subgraphs:
    """Given groups of nodes, each with the edges within it: ``Subgraphs({"family": ["Ann", "Bob"]})``.

    Other nodes, and edges between groups, are no players' and always present.

    Attributes:
        groups: label → names of nodes.

    Raises:
        InvalidInput: no group, an empty one, or a node in two of them.
    """

    groups: Mapping[str, Sequence[str]]

    def __post_init__(self) -> None:
        """Check the groups, and freeze what was given."""
        groups = {str(label): [str(name) for name in names] for label, names in self.groups.items()}
        if not groups or not all(groups.values()):
            raise InvalidInput(f"The groups of nodes are {groups!r}; give each at least one node.")
        every = [name for names in groups.values() for name in names]
        twice = next((name for name in every if every.count(name) > 1), None)
        if twice is not None:
            raise InvalidInput(f"Node {twice!r} stands twice in the groups; a node belongs to one.")
        object.__setattr__(self, "groups", groups)

    def cut(self, content: Graph, context: Context) -> Cut:
        """Labels and owners.

        Raises:
            UnknownName: a node that the graph lacks.
        """
        del context
        place = {name: k for k, name in enumerate(content["names"])}
        for name in (name for names in self.groups.values() for name in names):
            if name not in place:
                raise UnknownName("node", name, place)
        return tuple(self.groups), _within(content, [[place[name] for name in one] for one in self.groups.values()])


@dataclass(frozen=True)
class Found:
    """Groups of nodes that the graph itself shows: connected components, or communities of greatest modularity.

    Communities are found by greedy joining (Clauset, Newman & Moore 2004), as networkx does it; weights count.

    Attributes:
        how: ``"components"`` or ``"communities"``.
    """

    how: Literal["components", "communities"]

    def cut(self, content: Graph, context: Context) -> Cut:
        """Labels after the nodes (``a, b, c and 4 more``), and owners; the largest group first."""
        del context
        import networkx as nx

        graph = nx.Graph()
        graph.add_nodes_from(range(len(content["names"])))
        weights = np.nan_to_num(content["weights"], nan=1.0).tolist()
        graph.add_weighted_edges_from((a, b, w) for (a, b), w in zip(content["edges"].tolist(), weights, strict=True))
        if self.how == "components" or not graph.number_of_edges():
            found = nx.connected_components(graph)
        else:
            found = nx.community.greedy_modularity_communities(graph, weight="weight")
        groups = sorted((sorted(group) for group in found), key=lambda group: (-len(group), group))
        return tuple(_joined([content["names"][k] for k in group]) for group in groups), _within(content, groups)


def _joined(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"


def graph_masker(spec: Any) -> ContentMasker:
    """The masker that a word stands for; an object that is one already is given back.

    Raises:
        UnknownName: no masker has that name.
        InvalidInput: it is one of tokens, or none at all.
    """
    if isinstance(spec, TokenMasker):
        raise InvalidInput(f"The masker {spec.name!r} hides tokens of a text; a graph takes {', '.join(MASKERS)}.")
    if isinstance(spec, ContentMasker) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no masker of graphs; give one of {', '.join(MASKERS)}.")
    name = spec.strip()
    if name.lower() not in MASKERS:
        raise UnknownName("graph masker", spec, MASKERS)
    return Hide(name, "zero" in name.lower(), cut="isolate" in name.lower())


@dataclass(frozen=True)
class Hide:
    """Absent nodes have features that say nothing, and may lose their edges; absent edges are left out.

    Nodes stay where they are, so places in ``edges`` mean the same in every coalition.

    Attributes:
        name: the masker as it was asked for.
        zero: whether features become 0; else the mean over the graph's nodes.
        cut: whether absent nodes lose all their edges.
    """

    name: str
    zero: bool = False
    cut: bool = True

    def apply(self, content: Graph, players: PartPlayers, present: NDArray[np.bool_]) -> list[Graph]:
        """The graph for each coalition.

        Args:
            content: the graph.
            players: players with one-dimensional `Regions` on its nodes and edges.
            present: ``bool[batch, players]``.

        Raises:
            InvalidInput: players, graph and coalitions do not fit together.
        """
        keep = shown(players, present, elements(content), "nodes and edges")
        features, edges = content["features"], content["edges"]
        nodes = len(features)
        fill = np.zeros(features.shape[1]) if self.zero else _means(features)
        found: list[Graph] = []
        for row in keep:
            here, stays = row[:nodes], row[nodes:].copy()
            if self.cut:
                stays &= here[edges[:, 0]] & here[edges[:, 1]]
            found.append(
                Graph(
                    names=list(content["names"]),
                    features=np.where(here[:, None], features, fill),
                    feature_names=list(content["feature_names"]),
                    edges=edges[stays],
                    weights=content["weights"][stays],
                    directed=content["directed"],
                )
            )
        return found


def _means(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of columns over what is known, NaN where nothing is."""
    known = ~np.isnan(features)
    count = known.sum(axis=0)
    total = np.where(known, features, 0.0).sum(axis=0)
    return np.where(count, total / np.maximum(count, 1), np.nan)
