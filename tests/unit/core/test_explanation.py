"""Explanations: contributions, top lists, storage, exchange; targets and registries."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from chiasm.core import registry as registry_module
from chiasm.core import storage
from chiasm.core.errors import InvalidInput, MissingCapability, MissingDependency, SchemaError, UnknownName
from chiasm.core.explanation import Explanation, Prediction
from chiasm.core.game import Game
from chiasm.core.players import PartPlayers, Players, Regions, Spans
from chiasm.core.provenance import Provenance
from chiasm.core.registry import Registry
from chiasm.core.target import Target
from chiasm.estimators.estimate import estimate


def rich():
    """An explanation that uses everything a file can hold, with odd values in it."""
    label_map = np.array([[0, 0, 1], [2, -1, 1]], np.int32)
    content = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    players = Players(
        [
            PartPlayers("Bild é", "image", ("p", "q", "r"), Regions(label_map), content),
            PartPlayers(
                "text", "text", ("naïve", "🙂 猫", 'a"\\\n'), Spans(np.array([[0, 5], [6, 9], [9, 12]])), "naïve"
            ),
            PartPlayers("plain", "plain", ("x",)),
        ]
    )
    rng = np.random.default_rng(0)
    pair = rng.normal(size=(7, 7))
    pair = pair + pair.T
    np.fill_diagonal(pair, 0.0)
    pair[0, 1] = pair[1, 0] = np.nan
    single = rng.normal(size=7) / 3
    single[2] = 5e-324  # the smallest double
    parts = ("Bild é", "text", "plain")
    part_values = {(): 0.1, (parts[0],): 0.2, (parts[1],): -0.3, (parts[2],): 1 / 3}
    part_values |= {parts[:2]: 0.5, (parts[0], parts[2]): 0.25, parts[1:]: 1e300, parts: np.pi}
    return Explanation(
        players=players,
        single=single,
        single_errors=np.abs(single) / 7,
        pair=pair,
        pair_errors=np.abs(pair),
        part_values=part_values,
        prediction=Prediction("rot", 0.9, (("rot", 0.9), ("blau", 0.1)), "rot", 0.9),
        provenance=Provenance("permutation", "SII", budget=12, seed=3, notes=["ein Ü"], fixed={"x": True}),
    )


def same(a, b):
    assert list(a.players.parts) == list(b.players.parts)
    for name, part in a.players.parts.items():
        other = b.players.parts[name]
        assert (part.kind, part.labels) == (other.kind, other.labels)
        assert type(part.geometry) is type(other.geometry)
        if isinstance(part.geometry, Regions):
            np.testing.assert_array_equal(part.geometry.label_map, other.geometry.label_map)
            assert other.geometry.label_map.dtype == np.int32
        if isinstance(part.geometry, Spans):
            np.testing.assert_array_equal(part.geometry.bounds, other.geometry.bounds)
        np.testing.assert_array_equal(part.content, other.content)
    for name in ("single", "single_errors", "pair", "pair_errors"):
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None)
        if x is not None:
            assert y.dtype == np.float64
            np.testing.assert_array_equal(x, y)  # to the last bit, NaN equal to NaN
    assert a.part_values == b.part_values
    assert a.prediction == b.prediction
    assert a.provenance == b.provenance


def test_contents_that_are_mappings_and_elements_of_any_dimension(tmp_path):
    """A row of a table, a graph, a video: names, order, types and NaN come back, and so do maps of any dimension."""
    row = {"age": 31.5, "job": "naïve 🙂", "left out": np.float64("nan"), "n/1": 3}
    graph = {
        "names": ["a", "b"],
        "features": np.arange(4.0).reshape(2, 2),
        "edges": np.array([[0, 1]]),
        "directed": False,
    }
    parts = [
        PartPlayers("row", "row", ("x", "y"), Regions(np.array([0, 1, -1, 0], np.int32)), row),
        PartPlayers("graph", "graph", ("a", "b"), Regions(np.array([0, 1, -1], np.int32)), graph),
        PartPlayers("clip", "clip", ("v",), Regions(np.zeros((2, 3, 4), np.int32)), np.zeros((2, 3, 4, 3), np.uint8)),
    ]
    players = Players(parts)
    e = Explanation(players, np.arange(5.0), provenance=Provenance("exact", "SV"))
    back = Explanation.load(e.save(tmp_path / "e.json"))
    for name in ("row", "graph", "clip"):
        np.testing.assert_array_equal(back.players[name].geometry.label_map, players[name].geometry.label_map)
    content = back.players["row"].content
    assert list(content) == list(row)
    assert np.isnan(content.pop("left out"))
    assert content == {"age": 31.5, "job": "naïve 🙂", "n/1": 3}
    content = back.players["graph"].content
    assert list(content) == list(graph)
    assert content["names"] == ["a", "b"]
    assert content["directed"] is False
    np.testing.assert_array_equal(content["features"], graph["features"])
    assert content["edges"].dtype == graph["edges"].dtype
    assert back.players["row"].geometry.subset([1]).label_map.tolist() == [-1, 0, -1, -1]


@pytest.mark.parametrize("content", [{1: "a"}, {"a": object()}, {"a": np.array([None])}])
def test_mappings_that_no_file_can_hold_are_refused(tmp_path, content):
    players = Players([PartPlayers("row", "row", ("x",), None, content)])
    e = Explanation(players, np.zeros(1), provenance=Provenance("exact", "SV"))
    with pytest.raises(InvalidInput, match=r"keys must be texts|something that JSON cannot|numeric array"):
        e.save(tmp_path / "e.json")
    assert list(tmp_path.iterdir()) == []


def test_a_saved_explanation_is_the_same_to_the_last_bit(tmp_path):
    explanation = rich()
    path = explanation.save(tmp_path / "e.json")
    assert {p.name for p in tmp_path.iterdir()} == {"e.json", "e.npz"}
    same(explanation, Explanation.load(path))
    assert "🙂 猫" in path.read_text(encoding="utf-8")


def test_nan_errors_of_single_values_come_back(tmp_path):
    explanation = rich()
    explanation.single_errors[:] = np.nan
    same(explanation, Explanation.load(explanation.save(tmp_path / "e.json")))


def test_the_least_explanation_comes_back_too(tmp_path):
    least = Explanation(Players.abstract({"a": 2}), np.array([0.1, 0.2]), Provenance("x", "SII"))
    loaded = Explanation.load(least.save(tmp_path / "least.json"))
    same(least, loaded)
    assert loaded.empty is loaded.full is loaded.efficiency_gap is loaded.standard_errors is None


def test_names_and_folders_are_checked(tmp_path):
    with pytest.raises(InvalidInput, match=r"ends in \.json"):
        rich().save(tmp_path / "e.txt")
    with pytest.raises(InvalidInput, match="does not exist"):
        rich().save(tmp_path / "no" / "e.json")
    with pytest.raises(InvalidInput, match="no file"):
        Explanation.load(tmp_path / "none.json")


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_truncated_file_is_refused(tmp_path, length):
    path = rich().save(tmp_path / "e.json")
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(SchemaError, match="not a saved explanation"):
        Explanation.load(path)


@pytest.mark.parametrize("text", ["[]", "{}", '{"schema": "other"}', "\xff"])
def test_other_files_are_refused(tmp_path, text):
    path = tmp_path / "e.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SchemaError, match="not a saved explanation"):
        Explanation.load(path)


def test_missing_arrays_are_named(tmp_path):
    path = rich().save(tmp_path / "e.json")
    (tmp_path / "e.npz").unlink()
    with pytest.raises(SchemaError, match=r"e\.npz.*missing"):
        Explanation.load(path)


@pytest.mark.parametrize("damage", [lambda raw: raw[: len(raw) // 2], lambda _: b"", lambda _: b"hello" * 20])
def test_damaged_arrays_are_refused(tmp_path, damage):
    path = rich().save(tmp_path / "e.json")
    arrays = tmp_path / "e.npz"
    arrays.write_bytes(damage(arrays.read_bytes()))
    with pytest.raises(SchemaError):
        Explanation.load(path)


@pytest.mark.parametrize("field", ["version", "arrays", "parts", "provenance"])
def test_missing_fields_are_refused(tmp_path, field):
    path = rich().save(tmp_path / "e.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    del data[field]
    path.write_text(json.dumps(data))
    with pytest.raises(SchemaError):
        Explanation.load(path)


def test_versions(tmp_path):
    path = rich().save(tmp_path / "e.json")
    data = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(data | {"version": [storage.VERSION[0] + 1, 0]}))
    with pytest.raises(SchemaError, match="upgrade chiasm"):
        Explanation.load(path)
    data["provenance"]["of_the_future"] = 1
    path.write_text(json.dumps(data | {"version": [storage.VERSION[0], 99]}))
    same(rich_like(path), Explanation.load(path))


def rich_like(path):
    """The explanation of `rich` with the stored provenance (versions, time)."""
    explanation = rich()
    explanation.provenance = Explanation.load(path).provenance
    return explanation


def test_a_failing_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "x.bin"
    storage.write_atomic(path, b"old")

    def fail(_):
        raise OSError("disk full")

    monkeypatch.setattr(storage.os, "fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        storage.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.bin"]


@pytest.mark.parametrize(
    "sizes", [{"a": 3}, {"a": 1, "b": 2}, {"a": 1, "b": 2, "c": 1}, {"a": 1, "b": 1, "c": 2, "d": 1}]
)
def test_contributions_add_up(sizes):
    table = np.random.default_rng(1).normal(size=64)
    game = Game(lambda c: table[c @ (1 << np.arange(c.shape[1]))], Players.abstract(sizes))
    e = Explanation(game.players, np.zeros(game.n), Provenance("x", "SII"), part_values=game.part_values())
    assert len(e.contributions) == 2 ** len(sizes) - 1
    assert sum(e.contributions.values()) == pytest.approx(e.full - e.empty, abs=1e-12)
    alone = {parts: value for parts, value in e.contributions.items() if len(parts) == 1}
    assert all(value == pytest.approx(e.part_values[parts] - e.empty) for parts, value in alone.items())


def test_values_and_blocks_by_part():
    e = rich()
    assert e.values["text"].tolist() == e.single[3:6].tolist()
    np.testing.assert_array_equal(e.interactions["Bild é", "text"], e.pair[:3, 3:6])
    np.testing.assert_array_equal(e.interactions["text", "Bild é"], e.interactions["Bild é", "text"].T)
    np.testing.assert_array_equal(e.interaction_errors["plain", "plain"], [[0.0]])
    assert len(e.interactions) == len(list(e.interactions)) == 6
    with pytest.raises(UnknownName, match="part"):
        e.interactions["text", "sound"]
    with pytest.raises(InvalidInput, match="pair of parts"):
        e.interactions["text"]
    e.pair = e.pair_errors = None
    with pytest.raises(MissingCapability, match="'permutation' gives no values for pairs"):
        _ = e.interactions


def test_top_players_and_pairs():
    e = rich()
    first = e.top(1)[0]
    assert abs(first.value) == np.abs(e.single).max()
    assert first.label == e.players.label(first.player)
    assert [t.player[0] for t in e.top(9, part="text")] == ["text"] * 3
    pairs = e.top_pairs(100)
    assert len(pairs) == 3 * 3 + 3 + 3  # pairs of different parts; none of them is NaN
    assert [abs(p.value) for p in pairs] == sorted((abs(p.value) for p in pairs), reverse=True)
    within = e.top_pairs(100, ("Bild é", "Bild é"))
    assert len(within) == 2  # one of the three is NaN
    alone = Explanation(Players.abstract({"a": 3}), np.zeros(3), Provenance("x", "SII"), pair=np.ones((3, 3)))
    assert len(alone.top_pairs()) == 3
    assert np.isnan(alone.top_pairs()[0].error)


@pytest.mark.parametrize("name", ["single", "single_errors", "pair", "pair_errors"])
def test_shapes_are_checked(name):
    fields = {"single": np.zeros(2)} | {name: np.zeros(3)}
    with pytest.raises(InvalidInput, match=f"{name} has shape"):
        Explanation(Players.abstract({"a": 2}), provenance=Provenance("x", "SII"), **fields)


def test_shapiq_gets_the_same_numbers():
    pytest.importorskip("shapiq")
    e = rich()
    values = e.to_shapiq()
    assert (values.index, values.n_players, values.max_order, values.estimated) == ("SII", 7, 2, True)
    assert values.baseline_value == e.empty
    for i in range(7):
        assert values[i,] == e.single[i]
        for j in range(i):
            assert values[j, i] == e.pair[i, j] or np.isnan(e.pair[i, j])
    e.pair = None
    assert e.to_shapiq().max_order == 1


def test_exchange_without_shapiq_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "shapiq", None)
    with pytest.raises(MissingDependency, match=r"pip install 'chiasm\[shapiq\]'"):
        rich().to_shapiq()


def test_targets_refuse_what_makes_no_sense():
    with pytest.raises(InvalidInput, match="log_probability, probability"):
        Target(scale="prob")
    with pytest.raises(InvalidInput, match="always 0"):
        Target(answer="red", against="red")
    for name in ("answer", "against"):
        with pytest.raises(InvalidInput, match=f"{name} is empty"):
            Target(**{name: ""})
    contrast = Target(answer="red", against="blue")
    assert contrast.describe() == "log-probability of 'red' rather than 'blue'"
    assert contrast.with_answer("green").answer == "green"
    assert Target(scale="logit", token=2).describe() == "logit of token 2 of the model's own answer"
    assert Target(scale="value").describe() == "the function's value"


def test_registry_errors_name_what_exists():
    registry = Registry("gadget")
    registry.register("wheel", object())
    with pytest.raises(UnknownName, match=r"Unknown gadget 'weel'\. Did you mean 'wheel'\? Known: wheel"):
        registry.get("weel")
    with pytest.raises(InvalidInput, match="already registered"):
        registry.register("wheel", object())
    assert "wheel" in registry
    assert "weel" not in registry


def test_registry_imports_late_and_once():
    registry = Registry("gadget")
    registry.register("encoder", "json:JSONEncoder", "an encoder", kind="demo")
    assert registry.entries()["encoder"].target == "json:JSONEncoder"
    assert registry.get("encoder") is json.JSONEncoder
    assert registry.entries()["encoder"].info == {"kind": "demo"}


def test_other_packages_add_names_by_entry_point(monkeypatch):
    asked = []

    def entry_points(group):
        asked.append(group)
        dist = SimpleNamespace(name="other-package")
        return [
            SimpleNamespace(name="theirs", value="json:JSONDecoder", dist=dist),
            SimpleNamespace(name="ours", value="json:JSONEncoder", dist=None),
        ]

    monkeypatch.setattr(registry_module, "entry_points", entry_points)
    registry = Registry("gadget", "chiasm.gadgets")
    registry.register("ours", "mine")
    assert list(registry) == ["ours", "theirs"]
    assert registry.get("theirs") is json.JSONDecoder
    assert registry.entries()["theirs"].summary == "from other-package"
    assert registry.entries()["ours"].target == "mine"  # a package cannot take over a name
    assert asked == ["chiasm.gadgets"]


def test_a_failed_save_keeps_the_old_file(tmp_path):
    path = tmp_path / "e.json"
    good = estimate(lambda c: c.sum(1), {"a": 2, "b": 2})
    good.save(path)
    bad = estimate(lambda c: c.sum(1), {"a": 2, "b": 2})
    bad.provenance.target_spec = {"what": object()}
    with pytest.raises(InvalidInput, match="JSON"):
        bad.save(path)
    assert np.array_equal(Explanation.load(path).single, good.single)


def test_numpy_scalars_and_nan_become_strict_json(tmp_path):
    e = estimate(lambda c: c.sum(1), {"a": 2, "b": 2})
    e.provenance.fixed = {"x": np.bool_(1)}
    e.single_errors = np.array([np.nan, 1.0, 2.0, 3.0])
    text = e.save(tmp_path / "e.json").read_text()
    assert "NaN" not in text
    again = Explanation.load(tmp_path / "e.json")
    assert np.array_equal(again.single_errors, e.single_errors, equal_nan=True)
    assert json.loads(text)["efficiency_gap"] == pytest.approx(0, abs=1e-12)


def test_both_files_may_be_renamed_together(tmp_path):
    e = estimate(lambda c: c.sum(1), {"a": 2, "b": 2})
    e.save(tmp_path / "e.json")
    (tmp_path / "e.json").rename(tmp_path / "f.json")
    (tmp_path / "e.npz").rename(tmp_path / "f.npz")
    assert np.array_equal(Explanation.load(tmp_path / "f.json").pair, e.pair)


def test_blocks_and_tops_know_their_parts():
    e = estimate(lambda c: c.sum(1), {"a": 2, "b": 2})
    assert ("a", "b") in e.interactions
    assert ("a", "c") not in e.interactions
    assert e.interactions.get(("a", "c")) is None
    with pytest.raises(UnknownName):
        e.top(3, "c")
    with pytest.raises(UnknownName):
        e.top_pairs(3, ("a", "c"))


def test_repr_is_one_readable_line():
    text = repr(estimate(lambda c: c[:, 0] & c[:, 3], {"a": 2, "b": 2}))
    assert "a 0 × b 1 +1" in text
    assert "exact SII" in text
    assert "array" not in text
    assert "\n" not in text
