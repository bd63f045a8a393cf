"""The modality of graphs: content is names, features and edges; players are nodes, edges or subgraphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities import graph_players
from chiasm.modalities.base import ContentMasker, Context, Placement
from chiasm.modalities.elements import covered
from chiasm.modalities.graph_players import Hide, Subgraphs, elements, graph_masker, graph_segmenter
from chiasm.modalities.graph_reading import Graph, read_graph

__all__ = ["GRAPH", "Graph", "GraphModality", "Hide", "Subgraphs"]


@dataclass(frozen=True)
class GraphModality:
    """Graphs: nodes, edges, subgraphs; features that say nothing, edges left out.

    Players are sets of nodes and edges: their geometry is `Regions` with a ``label_map`` ``int32[nodes + edges]``.
    """

    kind: str = "graph"
    default_segmenter: str = "nodes"
    default_masker: str = "isolate"

    @property
    def segmenters(self) -> dict[str, str]:
        """Name of each way to cut → what it does, in a line."""
        return dict(graph_players.SEGMENTERS)

    @property
    def maskers(self) -> dict[str, str]:
        """Name of each masker → what it does, in a line."""
        return dict(graph_players.MASKERS)

    def read(self, data: Any) -> Graph:
        """A networkx graph, table, list of edges, file or text; see `graph_reading.read_graph`.

        Raises:
            InvalidInput: what cannot be read, with the reason.
        """
        return read_graph(data)

    def segment(self, part: str, content: Graph, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a graph into players.

        Args:
            part: name of the part.
            content: the graph.
            segmenter: ``"nodes"``, ``"edges"``, ``"components"``, ``"communities"``, ``"groups:a+b,c"``, a mapping of
                label to nodes, `Subgraphs`, or an object with ``cut``.
            context: what the model's adapter knows of the part.

        Raises:
            UnknownName: no such segmenter or node.
            InvalidInput: the segmenter does not fit the graph.
        """
        labels, owners = graph_segmenter(segmenter).cut(content, context)
        return PartPlayers(part, self.kind, labels, Regions(owners), content)

    def masker(self, spec: Any) -> ContentMasker:
        """The masker for a name of `maskers`, or an object that is one.

        Raises:
            UnknownName: no such masker.
            InvalidInput: it is none of graphs.
        """
        return graph_masker(spec)

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """The share of each player's own nodes and edges that the truth names.

        Args:
            players: players with one-dimensional `Regions`.
            truth: places of nodes and edges ``int[k]``, nodes first, counted from 0, or a mask ``bool[nodes + edges]``.
            placement: of pictures alone.

        Returns:
            ``float64[players]`` in [0, 1].

        Raises:
            InvalidInput: truth of another form, or outside of the graph.
        """
        del placement
        return covered(players, truth, elements(players.content), "nodes and edges")


GRAPH: Final = GraphModality()
