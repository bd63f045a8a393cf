"""Graphs from wherever the user has them → names, features and edges."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypedDict

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput


class Graph(TypedDict):
    """A graph: what functions are given, and what is kept in files.

    Attributes:
        names: of the nodes.
        features: ``float64[nodes, features]``, NaN where missing.
        feature_names: of the columns of ``features``.
        edges: ``int64[edges, 2]``, places of nodes; each pair once.
        weights: ``float64[edges]``; 1 where none were given.
        directed: whether edges go from the first node to the second.
    """

    names: list[str]
    features: NDArray[np.float64]
    feature_names: list[str]
    edges: NDArray[np.int64]
    weights: NDArray[np.float64]
    directed: bool


_TAKES: Final = (
    "a networkx graph, a table {'nodes': [{'id': 'a', 'x': 1.0}], 'edges': [['a', 'b']]}, a list of edges "
    "[('a', 'b'), ('b', 'c', 2.0)], a file (.json with nodes and edges; .edges, .csv, .tsv, .txt with an edge a line) "
    "or the text 'a-b,b-c'"
)
_FILES: Final = (".json", ".edges", ".edgelist", ".csv", ".tsv", ".txt")
_KEYS: Final = frozenset(Graph.__annotations__)


def read_graph(data: Any) -> Graph:
    """Read a graph.

    Numbers that nodes have as attributes are their features; the only attribute of an edge that is kept is ``weight``.

    Args:
        data: a networkx graph (not a multigraph); a mapping with ``nodes`` and ``edges`` (or ``links``) as networkx
            writes it (``node_link_data``), or with ``features`` and ``edges`` as arrays; edges as pairs or triples with
            a weight; the path of a ``.json`` file or of a list of edges; a text ``"a-b,b-c"``.

    Returns:
        See `Graph`; a copy of its own.

    Raises:
        InvalidInput: something else, no node, an edge that stands twice or leads to no node, or an attribute that is
            no number.
    """
    if isinstance(data, str | Path):
        text = str(data)
        return _from_file(Path(text)) if text.lower().endswith(_FILES) else _from_text(text)
    if isinstance(data, Mapping):
        if "features" in data and "edges" in data:
            return _from_arrays(data)
        if "nodes" in data or "edges" in data or "links" in data:
            return _from_table(data)
        raise InvalidInput(f"The graph is a table of {', '.join(map(str, data)) or 'nothing'}; give {_TAKES}.")
    if all(hasattr(data, name) for name in ("nodes", "edges", "is_directed", "is_multigraph")):
        return _from_networkx(data)
    if isinstance(data, Iterable):
        return _made({}, [_edge(edge) for edge in data], directed=False)
    raise InvalidInput(f"The graph is a {type(data).__name__} ({str(data)[:60]!r}); give {_TAKES}.")


Attributes = Mapping[str, Any]
Edge = tuple[str, str, float]


def _edge(edge: Any) -> Edge:
    """A pair of nodes and a weight."""
    if isinstance(edge, Mapping):
        more = set(edge) - {"source", "target", "weight", "key"}
        if "source" not in edge or "target" not in edge or more:
            raise InvalidInput(f"The edge {dict(edge)!r} must have source and target, and may have weight alone.")
        edge = (edge["source"], edge["target"], edge.get("weight", 1.0))
    if isinstance(edge, str) or not isinstance(edge, Sequence | np.ndarray) or len(edge) not in {2, 3}:
        raise InvalidInput(f"{edge!r} is no edge; give ('a', 'b') or ('a', 'b', weight).")
    weight = _number(f"the edge {edge[0]}-{edge[1]}", "weight", edge[2]) if len(edge) == 3 else 1.0
    return str(edge[0]), str(edge[1]), weight


def _number(whose: str, name: str, value: Any) -> float:
    if value is None:
        return math.nan
    try:
        number = math.nan if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        number = math.inf
    if isinstance(value, str) or math.isinf(number):
        raise InvalidInput(
            f"{name!r} of {whose} is {value!r}; give a finite number (one column for each choice of a text)."
        )
    return number


def _made(nodes: Mapping[str, Attributes], edges: Sequence[Edge], *, directed: bool) -> Graph:
    """A graph from nodes with attributes and edges by name; nodes that only edges name follow in their order."""
    named = dict(nodes)
    for first, second, _ in edges:
        named.setdefault(first, {})
        named.setdefault(second, {})
    columns = list(dict.fromkeys(name for attributes in named.values() for name in attributes))
    values = [
        [_number(f"the node {node!r}", str(name), attributes.get(name)) for name in columns]
        for node, attributes in named.items()
    ]
    place = {node: k for k, node in enumerate(named)}
    return _checked(
        Graph(
            names=list(named),
            features=np.array(values, np.float64).reshape(len(named), len(columns)),
            feature_names=[str(name) for name in columns],
            edges=np.array([(place[a], place[b]) for a, b, _ in edges], np.int64).reshape(-1, 2),
            weights=np.array([weight for _, _, weight in edges], np.float64),
            directed=directed,
        )
    )


def _checked(graph: Graph) -> Graph:
    names, edges = graph["names"], graph["edges"]
    if not names:
        raise InvalidInput(f"The graph has no node; give {_TAKES}.")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"Two nodes of the graph are called {twice!r}; names must differ.")
    if edges.size and not 0 <= edges.min() <= edges.max() < len(names):
        raise InvalidInput(f"An edge leads to node {edges.max()}; the graph has nodes 0…{len(names) - 1}.")
    known = edges if graph["directed"] else np.sort(edges, axis=1)
    pairs, first = np.unique(known, axis=0, return_index=True)
    if len(pairs) < len(edges):
        again = next(k for k in range(len(edges)) if k not in set(first.tolist()))
        a, b = edges[again]
        raise InvalidInput(f"The edge {names[a]}-{names[b]} stands twice; give it once, with a weight.")
    return graph


def _from_arrays(data: Mapping[Any, Any]) -> Graph:
    """The form of contents itself; names and weights may be left out."""
    unknown = set(data) - _KEYS
    if unknown:
        raise InvalidInput(f"The graph has {', '.join(map(str, unknown))}; it may have {', '.join(sorted(_KEYS))}.")
    features, edges = np.array(data["features"], np.float64), np.asarray(data["edges"])
    if features.ndim != 2 or (edges.size and (edges.ndim != 2 or edges.shape[1] != 2 or edges.dtype.kind not in "iu")):
        raise InvalidInput(
            f"features is {list(features.shape)} and edges {edges.dtype}{list(edges.shape)}; give "
            f"float[nodes, features] and int[edges, 2]."
        )
    if np.isinf(features).any():
        raise InvalidInput("A feature of the graph is infinite; give finite numbers, or NaN where one is missing.")
    nodes, columns = features.shape
    graph = Graph(
        names=[str(name) for name in data.get("names", range(nodes))],
        features=features,
        feature_names=[str(name) for name in data.get("feature_names", [f"feature {k}" for k in range(columns)])],
        edges=edges.astype(np.int64).reshape(-1, 2),
        weights=np.array(data.get("weights", np.ones(len(edges))), np.float64),
        directed=bool(data.get("directed", False)),
    )
    sizes = len(graph["names"]), len(graph["feature_names"]), len(graph["weights"])
    if sizes != (nodes, columns, len(edges)):
        raise InvalidInput(
            f"The graph has {sizes[0]} names, {sizes[1]} feature names and {sizes[2]} weights; features and edges tell "
            f"of {nodes} nodes, {columns} features and {len(edges)} edges."
        )
    return _checked(graph)


def _from_table(data: Mapping[Any, Any]) -> Graph:
    if data.get("multigraph"):
        raise InvalidInput("The graph is a multigraph; join parallel edges and give them a weight.")
    nodes: dict[str, Attributes] = {}
    for node in data.get("nodes", ()):
        given = dict(node) if isinstance(node, Mapping) else {"id": node}
        if "id" not in given:
            raise InvalidInput(f"The node {given!r} has no id; write {{'id': 'a', …}}.")
        name = str(given.pop("id"))
        if name in nodes:
            raise InvalidInput(f"Two nodes of the graph are called {name!r}; names must differ.")
        nodes[name] = given
    edges = [_edge(edge) for edge in data.get("edges", data.get("links", ()))]
    lost = next((end for a, b, _ in edges for end in (a, b) if nodes and end not in nodes), None)
    if lost is not None:
        raise InvalidInput(f"An edge leads to {lost!r}, which is none of the nodes: {', '.join(nodes)}.")
    return _made(nodes, edges, directed=bool(data.get("directed", False)))


def _from_networkx(graph: Any) -> Graph:
    if graph.is_multigraph():
        raise InvalidInput("The graph is a multigraph; join parallel edges and give them a weight, as networkx.Graph.")
    nodes = {str(node): dict(attributes) for node, attributes in graph.nodes(data=True)}
    if len(nodes) != graph.number_of_nodes():
        raise InvalidInput("Two nodes of the graph have one name as texts; names must differ.")
    edges = [_edge({"source": a, "target": b, **attributes}) for a, b, attributes in graph.edges(data=True)]
    return _made(nodes, edges, directed=graph.is_directed())


def _from_text(text: str) -> Graph:
    pieces = [piece.split("-") for piece in text.split(",")]
    if not all(len(piece) == 2 and all(name.strip() for name in piece) for piece in pieces):
        raise InvalidInput(f"{text[:80]!r} is no graph and no file; give {_TAKES}.")
    return _made({}, [(a.strip(), b.strip(), 1.0) for a, b in pieces], directed=False)


def _from_file(path: Path) -> Graph:
    try:
        text = path.read_text(encoding="utf-8-sig")
        data = json.loads(text) if path.suffix.lower() == ".json" else None
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {str(path)!r}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{str(path)!r} cannot be read: {error}.") from error
    if data is not None:
        return read_graph(data)
    edges: list[Edge] = []
    for number, line in enumerate(text.splitlines(), 1):
        cells = [cell for cell in re.split(r"[,\t ]+", line.partition("#")[0].strip()) if cell]
        if not cells or (number == 1 and cells[:2] == ["source", "target"]):
            continue
        try:
            edges.append((cells[0], cells[1], float(cells[2]) if len(cells) == 3 else 1.0))
        except (IndexError, ValueError) as error:
            raise InvalidInput(f"{str(path)!r}: line {number} is {line!r}; write 'a b' or 'a b weight'.") from error
    return _made({}, edges, directed=False)
