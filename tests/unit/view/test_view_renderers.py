"""Drawings of rows and graphs: what they say of each player, and that nothing of the sample becomes markup."""

from __future__ import annotations

import html
import math
import re

import numpy as np
import pytest
import samples

from chiasm.core.players import PartPlayers, Regions
from chiasm.view.colours import Scale
from chiasm.view.data import page_data
from chiasm.view.html import render
from chiasm.view.panels import panels

ROW = {
    "age": 63.0,
    "income": -31.5,
    "job_nurse": 1.0,
    "job_cook": 0.0,
    "city": samples.HOSTILE,
    "note": "",
    "kg": math.nan,
}


def row_part(label_map, labels, row=ROW):
    return PartPlayers("row", "tabular", tuple(labels), Regions(np.array(label_map, np.int32)), row)


GRAPH = {
    "names": ["Ann", samples.HOSTILE, "Cas", "Dag"],
    "features": np.full((4, 1), -1.5),
    "feature_names": ["x"],
    "edges": np.array([[0, 1], [1, 2], [2, 2]]),
    "weights": np.ones(3),
    "directed": False,
}


def graph_part(owners, labels, **changes):
    return PartPlayers("row", "graph", tuple(labels), Regions(np.array(owners, np.int32)), GRAPH | changes)


def body(part):
    """What is drawn of a part, as lines of text: one for each element that is a player, and the rest."""
    e = samples.of_parts([part, samples.text_part("is it so")])
    (panel, _) = panels(e, Scale.of(e.single))
    drawn = str(panel.body)
    lines = {
        int(found[1]): " ".join(html.unescape(re.sub(r"<[^>]+>", " ", found[2])).split())
        for found in re.finditer(r'<tr data-part="row" data-index="(\d+)"[^>]*>(.*?)</tr>', drawn)
    }
    return lines, drawn, panel


def test_a_row_is_a_table_of_columns_values_and_numbers():
    labels = ["age", "income", "job=nurse", "city", "note", "kg"]
    lines, drawn, panel = body(row_part([0, 1, 2, 2, 3, 4, 5], labels))
    for k, text in enumerate(
        ["age 63", "income −31.5", "job=nurse job_nurse 1, job_cook 0", "city", "note empty", "kg missing"]
    ):
        assert lines[k].startswith(text)
        assert lines[k].endswith(panel.marks[k].number)
    assert "alert(" in lines[3]
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert "Not explained" not in drawn


def test_columns_of_no_player_are_named_and_many_columns_are_counted():
    many = {f"c{k}": float(k) for k in range(60)}
    lines, drawn, _ = body(row_part([0] * 50 + [-1] * 10, ["rest"], many))
    assert "c5 5" in lines[0]
    assert "and 44 more" in lines[0]
    assert "Not explained" in drawn
    assert "and 4 more" in html.unescape(drawn)
    lines, drawn, _ = body(row_part(list(range(60)), many, many))
    assert len(lines) == 40
    assert "The 40 strongest of 60 players" in drawn


def test_players_without_a_value_are_hatched():
    e = samples.of_parts([row_part([0, 1, 1, 1, 1, 1, 1], ["age", "others"])])
    e.single[1] = math.nan
    drawn = str(panels(e, Scale(1.0))[0].body)
    assert 'class="halves unknown"' in drawn
    assert drawn.count("data-value=") == 1


@pytest.mark.parametrize("content", [None, {"a": 1.0}])
def test_rows_that_cannot_be_shown_become_bars(content):
    e = samples.of_parts([row_part([0, 1], ["age", "income"], content)])
    (panel,) = panels(e, Scale(1.0))
    assert (panel.body, panel.shape, len(panel.bars)) == (None, "bars", 2)
    assert 'data-index="1"' in render(e)


def owned(drawn):
    """Player → how many shapes are its own; and all places of shapes and names, within the drawing."""
    found = [int(k) for k in re.findall(r'<path class="player[^>]*data-index="(\d+)"', drawn)]
    places = [float(c) for at in re.findall(r'data-at="([^"]*)"', drawn) for c in at.split()]
    assert all(0 <= c <= 1000 for c in places)
    return {k: found.count(k) for k in found}


@pytest.mark.parametrize(
    ("owners", "labels", "wanted"),
    [
        ([0, 1, 2, 3, -1, -1, -1], "abcd", {0: 1, 1: 1, 2: 1, 3: 1}),
        ([-1, -1, -1, -1, 0, 1, 2], "abc", {0: 1, 1: 1, 2: 1}),
        ([0, 0, 1, -1, 0, -1, 1], "ab", {0: 3, 1: 2}),
    ],
)
@pytest.mark.parametrize("directed", [False, True])
def test_a_graph_is_drawn_with_the_nodes_and_edges_of_each_player(owners, labels, wanted, directed):
    _, drawn, panel = body(graph_part(owners, labels, directed=directed))
    assert owned(drawn) == wanted
    areas = re.search(r'<g class="areas">(.*?)</g>', drawn)[1]
    assert owned(areas) == dict.fromkeys(range(len(labels)), 1)  # the shape of each that has its number
    assert "Cas" in drawn
    assert "x −1.5" in drawn
    assert "4 nodes, 3 edges" in drawn
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert panel.shape == "bars"
    assert body(graph_part(owners, labels, directed=directed))[1] == drawn


def test_graphs_that_cannot_be_shown_become_bars():
    many = {"names": [str(k) for k in range(200)], "edges": np.zeros((0, 2), int)}
    for content in (None, many, {"names": ["a"]}):
        part = PartPlayers("row", "graph", ("a",), Regions(np.zeros(200, np.int32)), content)
        assert body(part)[2].body is None
    one = PartPlayers(
        "row", "graph", ("a",), Regions(np.zeros(1, np.int32)), {"names": ["a"], "edges": np.zeros((0, 2))}
    )
    assert owned(body(one)[1]) == {0: 1}


def test_what_rounding_leaves_of_a_zero_is_no_interaction_to_point_at():
    e = samples.of_parts([samples.text_part("is it so"), graph_part([0, 1, 2, 3, -1, -1, -1], "abcd")])
    e.pair[:] = 1e-17
    e.pair[0, 3] = e.pair[3, 0] = 2.0
    shown = np.array(page_data({"m": e}, {"m": Scale(1.0)})["methods"]["m"]["pairs"][0]["values"])
    assert shown[0, 0] == 2.0
    assert np.count_nonzero(shown) == 1
