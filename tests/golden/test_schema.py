"""A file written by an earlier version is read for ever. Its files here are never written again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chiasm.core.explanation import Explanation

HERE = Path(__file__).parent


def test_format_1_0():
    e = Explanation.load(HERE / "explanation-1.0.json")
    assert e.players["picture"].labels == ("left", "right")
    assert e.players["picture"].geometry.label_map.tolist() == [[0, 0, 1], [0, 0, -1]]
    assert e.players["words"].content == "a 星"
    assert e.players["words"].geometry.bounds.tolist() == [[0, 1], [2, 3]]
    assert e.single.tolist() == [0.5, 0.1, -0.25, 1.0]
    assert e.standard_errors["words"][0] == 0.125
    assert np.isnan(e.standard_errors["words"][1])
    assert e.interactions["picture", "words"].tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert e.contributions == {("picture",): 0.5, ("words",): 0.25, ("picture", "words"): 0.25}
    assert e.prediction.alternatives == (("no", 0.25),)
    assert e.provenance.maskers == {"picture": "mean", "words": "delete"}


def test_format_1_2():
    """Contents that are mappings, and owners of elements of one and three dimensions; never written again either."""
    e = Explanation.load(HERE / "explanation-1.2.json")
    row = e.players["tabular"].content
    assert np.isnan(row.pop("kg"))
    assert row == {"age": 31.5, "city": "Malmö"}
    assert e.players["tabular"].geometry.label_map.tolist() == [0, 1, 1]
    graph = e.players["graph"].content
    assert list(graph) == ["names", "features", "feature_names", "edges", "weights", "directed"]
    assert (graph["names"], graph["directed"], graph["edges"].tolist()) == (["a", "b"], True, [[0, 1]])
    np.testing.assert_array_equal(graph["features"], [[1.0], [np.nan]])
    assert e.players["clip"].content.shape == (2, 2, 2, 3)
    assert e.players["clip"].geometry.label_map[:, 0, 0].tolist() == [0, 1]
    assert e.single.tolist() == [0.5, -0.25, 1.0, 0.0, 2.0]
