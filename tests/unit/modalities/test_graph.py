"""Graphs: reading, players, what is hidden; and values that are known in closed form."""

from __future__ import annotations

import json

import networkx as nx
import numpy as np
import pytest

import chiasm as cx
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers
from chiasm.modalities.base import Context, Placement, TokenMasker
from chiasm.modalities.graph import GRAPH, Subgraphs

#: two triangles joined by one edge, and a node on its own
NODES = {name: {"x": float(k), "on": k % 2 == 0} for k, name in enumerate("abcdefg")}
EDGES = [("a", "b"), ("b", "c"), ("c", "a"), ("d", "e"), ("e", "f"), ("f", "d"), ("c", "d")]


def network(kind=nx.Graph):
    graph = kind()
    graph.add_nodes_from(NODES.items())
    graph.add_edges_from(EDGES)
    graph.edges["a", "b"]["weight"] = 3
    return graph


def cut(segmenter="nodes", data=None):
    content = GRAPH.read(network() if data is None else data)
    return GRAPH.segment("graph", content, segmenter, Context())


def names_of(players):
    """Label → what it owns, edges by their ends."""
    content, owners = players.content, players.geometry.label_map
    edges = ["".join(sorted(content["names"][k] for k in edge)) for edge in content["edges"].tolist()]
    things = [*content["names"], *edges]
    return {label: {t for t, o in zip(things, owners, strict=True) if o == k} for k, label in enumerate(players.labels)}


# ---- reading ---------------------------------------------------------------------------------------------------------
def edges_by_name(content):
    return {
        (*sorted((content["names"][a], content["names"][b])), w)
        for (a, b), w in zip(content["edges"].tolist(), content["weights"].tolist(), strict=True)
    }


def test_a_networkx_graph_its_table_its_file_and_its_arrays_are_one_graph(tmp_path):
    table = nx.node_link_data(network(), edges="links")
    (tmp_path / "graph.json").write_text(json.dumps(table))
    wanted = GRAPH.read(network())
    assert wanted["names"] == list("abcdefg")
    assert wanted["feature_names"] == ["x", "on"]
    assert wanted["features"].tolist() == [[float(k), float(k % 2 == 0)] for k in range(7)]
    assert ("a", "b", 3.0) in edges_by_name(wanted)
    assert len(wanted["edges"]) == 7
    for data in (table, str(tmp_path / "graph.json"), tmp_path / "graph.json", wanted):
        content = GRAPH.read(data)
        assert content["names"] == wanted["names"]
        np.testing.assert_array_equal(content["features"], wanted["features"])
        assert edges_by_name(content) == edges_by_name(wanted)
        assert content is not data


def test_edges_alone_make_a_graph(tmp_path):
    (tmp_path / "graph.edges").write_text("# who knows whom\na b\nb\tc 2\n")
    (tmp_path / "graph.csv").write_text("source,target\na,b\nb,c,2\n")
    for data in (str(tmp_path / "graph.edges"), str(tmp_path / "graph.csv"), [("a", "b"), ("b", "c", 2)]):
        content = GRAPH.read(data)
        assert content["names"] == ["a", "b", "c"]
        assert content["features"].shape == (3, 0)
        assert edges_by_name(content) == {("a", "b", 1.0), ("b", "c", 2.0)}
    assert edges_by_name(GRAPH.read("a-b, b-c")) == {("a", "b", 1.0), ("b", "c", 1.0)}
    assert GRAPH.read(network(nx.DiGraph))["directed"] is True
    arrays = GRAPH.read({"features": np.zeros((2, 1)), "edges": np.array([[0, 1]])})
    assert (arrays["names"], arrays["feature_names"], arrays["weights"].tolist()) == (["0", "1"], ["feature 0"], [1.0])
    assert np.isnan(GRAPH.read({"nodes": [{"id": "a", "x": 1}, {"id": "b"}], "edges": []})["features"][1, 0])


REFUSED = {
    "a number": (3, "The graph is a int"),
    "no node": ([], "has no node"),
    "a sentence": ("what is this", "is no graph and no file"),
    "no file": ("nothing.json", "There is no file"),
    "another table": ({"a": 1}, "The graph is a table of a"),
    "text as a feature": ({"nodes": [{"id": "a", "kind": "x"}]}, "'kind' of the node 'a' is 'x'; give a finite number"),
    "no id": ({"nodes": [{"x": 1}]}, "has no id"),
    "one name twice": ({"nodes": ["a", "a"]}, "are called 'a'"),
    "lost edge": ({"nodes": ["a"], "edges": [["a", "b"]]}, "An edge leads to 'b', which is none of the nodes: a"),
    "edge twice": ([("a", "b"), ("b", "a")], "The edge b-a stands twice"),
    "colour of an edge": ({"edges": [{"source": "a", "target": "b", "colour": 1}]}, "may have weight alone"),
    "half an edge": ([("a",)], "is no edge"),
    "weight": ([("a", "b", "far")], "'weight' of the edge a-b is 'far'"),
    "multigraph": (nx.MultiGraph([("a", "b"), ("a", "b")]), "is a multigraph"),
    "multigraph's table": (nx.node_link_data(nx.MultiGraph([("a", "b")])), "is a multigraph"),
    "place": ({"features": np.zeros((2, 1)), "edges": np.array([[0, 2]])}, "An edge leads to node 2; .* nodes 0…1"),
    "shape": ({"features": np.zeros(2), "edges": np.array([[0, 1]])}, r"features is \[2\]"),
    "sizes": ({"features": np.zeros((2, 1)), "edges": np.zeros((0, 2), int), "names": ["a"]}, "has 1 names"),
    "more": ({"features": np.zeros((2, 1)), "edges": np.zeros((0, 2), int), "colour": 1}, "The graph has colour"),
    "infinite": ({"features": np.full((2, 1), np.inf), "edges": np.zeros((0, 2), int)}, "is infinite"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_graph_is_refused_in_words(name):
    data, message = REFUSED[name]
    with pytest.raises(InvalidInput, match=message):
        GRAPH.read(data)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [("a.json", "{", "cannot be read"), ("a.edges", "a b\na\n", "line 2 is 'a'"), ("b.txt", "a b far", "line 1")],
)
def test_files_that_hold_no_graph_are_refused_in_words(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=message):
        GRAPH.read(tmp_path / name)


# ---- players ---------------------------------------------------------------------------------------------------------
def test_nodes_edges_and_subgraphs():
    assert names_of(cut()) == {name: {name} for name in NODES}
    edges = names_of(cut("edges"))
    assert edges["a–b"] == {"ab"}
    assert len(edges) == 7
    assert cut("edges", network(nx.DiGraph)).labels[0] == "a→b"
    first, second = {"a", "b", "c", "ab", "bc", "ac"}, {"d", "e", "f", "de", "ef", "df"}
    assert names_of(cut("components")) == {"a, b, c and 3 more": first | second | {"cd"}, "g": {"g"}}
    assert names_of(cut("communities")) == {"a, b, c": first, "d, e, f": second, "g": {"g"}}
    assert names_of(cut("groups:a+b+c,d")) == {"a + b + c": first, "d": {"d"}}
    assert names_of(cut({"left": ["a", "b"]})) == {"left": {"a", "b", "ab"}}


@pytest.mark.parametrize(
    ("segmenter", "error", "message"),
    [
        ("node", UnknownName, "Unknown graph segmenter 'node'. Did you mean 'nodes'"),
        ("nodes:2", InvalidInput, "takes no argument"),
        ("groups:", InvalidInput, "names no groups"),
        ("groups:h", UnknownName, "Unknown node 'h'"),
        ({}, InvalidInput, "give each at least one node"),
        ({"l": ["a"], "r": ["a"]}, InvalidInput, "Node 'a' stands twice"),
        (3, InvalidInput, "3 is no segmenter of graphs"),
    ],
)
def test_segmenters_that_are_none(segmenter, error, message):
    with pytest.raises(error, match=message):
        cut(segmenter)
    with pytest.raises(InvalidInput, match="has no edge"):
        cut("edges", {"nodes": ["a"]})


def test_truth_covers_nodes_and_edges():
    players = cut({"left": ["a", "b"], "right": ["g"]})
    assert GRAPH.overlap(players, np.array([0, 7]), Placement()).tolist() == [pytest.approx(2 / 3), 0.0]
    with pytest.raises(InvalidInput, match="names no nodes and edges 0…13"):
        GRAPH.overlap(players, np.array([14]), Placement())


# ---- what is hidden --------------------------------------------------------------------------------------------------
def hidden(masker, segmenter, *absent):
    players = cut(segmenter)
    present = ~np.isin(players.labels, absent)[None]
    (content,) = GRAPH.masker(masker).apply(players.content, players, present)
    left = {"".join(sorted(content["names"][k] for k in edge)) for edge in content["edges"].tolist()}
    return content["features"], left


def test_absent_nodes_say_nothing_and_may_lose_their_edges():
    every = {"".join(sorted(edge)) for edge in EDGES}
    features, left = hidden("isolate", "nodes", "c")
    assert features[2].tolist() == [3.0, 4 / 7]  # means of 0…6 and of on
    assert left == every - {"bc", "ac", "cd"}
    assert hidden("isolate:zero", "nodes", "c")[0][2].tolist() == [0.0, 0.0]
    assert hidden("mean", "nodes", "c")[1] == hidden("zero", "nodes", "c")[1] == every
    features, left = hidden("isolate", "edges", "c–d")
    assert left == every - {"cd"}
    np.testing.assert_array_equal(features, cut().content["features"])
    features, left = hidden("isolate", "communities", "a, b, c")
    assert left == {"de", "ef", "df"}  # the edge between communities has lost an end
    assert hidden("mean", "communities", "a, b, c")[1] == {"de", "ef", "df", "cd"}


@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("means", UnknownName, "Unknown graph masker 'means'. Did you mean 'mean'"),
        (TokenMasker("mask", "mask"), InvalidInput, "hides tokens"),
        (3, InvalidInput, "3 is no masker of graphs"),
    ],
)
def test_maskers_that_are_none(spec, error, message):
    with pytest.raises(error, match=message):
        GRAPH.masker(spec)


def test_players_of_another_graph_cannot_hide_this_one():
    other = cut(data="a-b")
    wrong = PartPlayers(**{**vars(other), "content": cut().content})
    with pytest.raises(InvalidInput, match="cut on 3 nodes and edges, and it has 14"):
        GRAPH.masker("mean").apply(wrong.content, wrong, np.ones((1, 2), bool))


# ---- known values ----------------------------------------------------------------------------------------------------
def triangles(samples):
    """Closed triples of each graph."""
    found = []
    for sample in samples:
        graph = nx.Graph(sample["graph"]["edges"].tolist())
        found.append(sum(nx.triangles(graph).values()) / 3)
    return found


def test_a_count_of_triangles_is_shared_by_their_edges_and_nodes():
    """The game is a sum of two unanimity games: each of a triangle's edges (or nodes) gets 1/3, others 0."""
    model, sample = cx.FunctionModel(triangles, ["graph"]), cx.Sample(graph=network())
    e = cx.explain(model, sample, players="edges", method="exact")
    np.testing.assert_allclose(
        e.single, [1 / 3 if label != "c–d" else 0 for label in e.players["graph"].labels], atol=1e-9
    )
    e = cx.explain(model, sample, method="exact", index="STII")
    np.testing.assert_allclose(e.single, [0] * 7, atol=1e-9)  # nothing comes from a node alone
    e = cx.explain(model, sample, method="exact")
    np.testing.assert_allclose(e.single, [1 / 3] * 6 + [0], atol=1e-9)
    e = cx.explain(model, sample, players={"graph": Subgraphs({"left": "abc", "bridge": ["d"]})}, method="exact")
    np.testing.assert_allclose(e.single, [1, 1], atol=1e-9)  # hiding d alone opens the other triangle


def test_features_and_three_parts_by_name_and_on_file(tmp_path):
    """A graph, a row and a text: x of node b counts only where the row says so and the text asks for it."""

    def f(samples):
        return [s["graph"]["features"][1, 0] * s["tabular"]["use"] * ("asked" in s["text"]) for s in samples]

    model = cx.FunctionModel(f, ["graph", "tabular", "text"], fingerprint="three parts")
    sample = cx.Sample(
        graph={"nodes": [{"id": "a", "x": 0}, {"id": "b", "x": 6}]},
        tabular={"use": 1, "other": 2},
        text="if asked",
    )
    e = cx.explain(model, sample, maskers="graph=zero", method="exact", index="Moebius")
    assert e.contributions["graph", "tabular", "text"] == pytest.approx(6)
    assert e.values["graph"] == pytest.approx([0, 0])
    e = cx.explain(model, sample, maskers="graph=zero", method="exact")
    assert e.interactions["graph", "text"] == pytest.approx(np.array([[0, 0], [0, 3.0]]))
    assert e.interactions["graph", "tabular"] == pytest.approx(np.array([[0, 0], [3.0, 0]]))
    back = cx.Explanation.load(e.save(tmp_path / "e.json")).players["graph"].content
    assert back["names"] == ["a", "b"]
    assert back["edges"].shape == (0, 2)
    assert back["directed"] is False
