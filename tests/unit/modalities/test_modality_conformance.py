"""Every modality passes the public kit, and the kit sees each broken one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities import modalities
from chiasm.modalities.audio import AnotherSound, WordSpans
from chiasm.modalities.graph import Subgraphs
from chiasm.modalities.image import AnotherImage, Boxes
from chiasm.modalities.tabular import AnotherRow, Background, Groups
from chiasm.modalities.text import CharSpans
from chiasm.testing import ConformanceError, check_modality


def picture(height=20, width=24):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sound(samples=6000, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, samples).astype(np.float32)


ROW = {"age": 31.0, "job_nurse": 1.0, "job_cook": 0.0, "city": "Oslo"}
TABLE = {"age": [20, 40, 60], "job_nurse": [1, 0, 0], "job_cook": [0, 1, 1], "city": ["Rome", "Rome", "Bonn"]}

GRAPH = {
    "nodes": [{"id": "a", "x": 1.0}, {"id": "b", "x": 2.0}, {"id": "c", "x": 5.0}, {"id": "d", "x": None}],
    "edges": [["a", "b"], ["b", "c", 2.0], ["c", "d"], ["d", "a"]],
    "directed": True,
}

#: kind → arguments of the check
SOUND: dict[str, dict[str, Any]] = {
    "image": {
        "examples": [picture(), picture(17, 9)],
        "wrong": [np.zeros((4, 4, 7), np.uint8), "nothing.png", 3],
        "segmenters": ["grid:3x2", "slic:6", Boxes([(0, 0, 6, 6)])],
        "maskers": [
            "mean",
            "grey",
            "zero",
            "constant:1,2,3",
            "blur:3",
            "noise:1",
            "inpaint",
            AnotherImage(255 - picture()),
        ],
        "truth": [[[0.0, 0.0, 5.0, 5.0]], np.ones((20, 24), bool)],
    },
    "text": {
        "examples": ["What colour is the star (left)?", "你好 world, f(x)!"],
        "wrong": [b"bytes", 3, "\ud800"],
        "segmenters": ["words", "phrases", "sentences", CharSpans([(0, 4)])],
        "maskers": ["delete", "neutral", "neutral:thing", "empty", "attention", "mask"],
        "truth": [[[0, 4]]],
    },
    "tabular": {
        "examples": [ROW, "age=31,job_nurse=1,job_cook=0,city=Oslo"],
        "wrong": [{}, [1], {"a": float("inf")}, "a sentence", 3],
        "segmenters": ["columns", "families", "groups:age+city,rest", Groups({"who": ["age"]})],
        "maskers": [
            "zero",
            "missing",
            "constant:2",
            AnotherRow(dict.fromkeys(ROW, 9.0) | {"city": "X"}),
            Background(TABLE),
            Background(TABLE).conditional(2),
        ],
        "truth": [[0, 3], np.array([True, False, False, True])],
    },
    "graph": {
        "examples": [GRAPH, [("a", "b"), ("b", "c", 2.0)], "a-b,b-c,d-e"],
        "wrong": [{}, {"a": 1}, [1], "what is this", 3, "nothing.json"],
        "segmenters": ["nodes", "edges", "components", "communities", Subgraphs({"one": ["a", "b"]})],
        "maskers": ["isolate", "isolate:zero"],
        "truth": [[0, 3], np.array([True] * 4 + [False] * 4)],
    },
    "series": {
        "examples": [{"a": np.arange(40.0), "b": np.sin(np.arange(40))}, np.random.default_rng(0).normal(size=(30, 2))],
        "wrong": [{}, "nothing.csv", 3, {"a": [np.nan]}],
        "segmenters": ["segments:5", "channels", "cells:3"],
        "maskers": ["mean", "zero", "linear", "noise:1"],
        "truth": [[[0, 5]], np.ones((40, 2), bool)],
    },
    "video": {
        "examples": [np.random.default_rng(0).integers(0, 256, (9, 6, 8, 3), dtype=np.uint8)],
        "wrong": [np.zeros((0, 2, 2, 3), np.uint8), "nothing.gif", 3],
        "segmenters": ["frames", "frames:4", "grid:2x3", "frames:3+grid:2x2"],
        "maskers": ["mean", "grey", "blur:2", "freeze"],
        "truth": [[[0, 2, 0, 0, 4, 4]], np.ones((9, 6, 8), bool)],
    },
    "audio": {
        "examples": [sound(), (sound(3000), 8000)],
        "wrong": [np.zeros(0), "nothing.wav", 3, np.array([np.nan])],
        "segmenters": ["segments:5", "seconds:0.1", "cells:3x4", WordSpans(["a", "b"], [[0.0, 0.1], [0.2, 0.3]])],
        "maskers": ["silence", "noise:1", "mean:1", AnotherSound(sound(50, 1))],
        "truth": [[[0.0, 0.1]]],
    },
}


def test_every_modality_is_checked():
    assert set(SOUND) == set(modalities.entries())


@pytest.mark.parametrize("kind", SOUND)
def test_every_modality_keeps_its_protocol(kind):
    check_modality(modalities.get(kind), **SOUND[kind])


# ---- broken ones -----------------------------------------------------------------------------------------------------
class Keep:
    """A masker of lists of numbers, stored as an array: absent ones are 0."""

    name = "zero"

    def apply(self, content, players, present):
        present = np.asarray(present, bool)
        if present.ndim != 2 or present.shape[1] != len(players):
            raise InvalidInput("coalitions of another shape")
        shown = np.concatenate([present, np.ones((len(present), 1), bool)], 1)[:, players.geometry.label_map]
        return np.where(shown, content, 0.0)


@dataclass(frozen=True)
class Numbers:
    """A sound modality in thirty lines: a few numbers, each a player."""

    kind: str = "numbers"
    default_segmenter: str = "each"
    default_masker: str = "zero"
    segmenters: Any = None
    maskers: Any = None

    def __post_init__(self):
        object.__setattr__(self, "segmenters", self.segmenters or {"each": "every number"})
        object.__setattr__(self, "maskers", self.maskers or {"zero": "0"})

    def read(self, data):
        if not isinstance(data, list | np.ndarray):
            raise InvalidInput("give a list of numbers")
        return np.array(data, float)

    def segment(self, part, content, segmenter, context):
        if not isinstance(segmenter, str):
            raise InvalidInput("give a name")
        if segmenter != "each":
            raise UnknownName("segmenter", segmenter, ["each"])
        n = len(content)
        return PartPlayers(
            part, self.kind, tuple(f"n{i}" for i in range(n)), Regions(np.arange(n, dtype=np.int32)), content
        )

    def masker(self, spec):
        if isinstance(spec, str) and spec != "zero":
            raise UnknownName("masker", spec, ["zero"])
        if not isinstance(spec, str) and not hasattr(spec, "apply"):
            raise InvalidInput("give a name")
        return Keep() if isinstance(spec, str) else spec

    def overlap(self, players, truth, placement):
        if truth.dtype.kind not in "iu":
            raise InvalidInput("give places")
        return np.isin(np.arange(len(players)), truth).astype(np.float64)


def test_the_sound_one_passes():
    check_modality(Numbers(), [[1.0, 2.0, 3.0]], wrong=["x"], truth=[[0, 2]])


def broken(**methods):
    return type("Broken", (Numbers,), methods)()


def masked(change):
    """A masker whose result is changed by ``change(rows, content, present)``."""

    class Other(Keep):
        def apply(self, content, players, present):
            rows = super().apply(content, players, present)
            return change(rows, content, np.asarray(present, bool))

    return broken(masker=lambda self, spec: Other() if spec == "zero" else Numbers.masker(self, spec))


def writes(rows, content, present):
    content[0] = 7.0
    return rows


def lasting(rows, content, present, seen=[]):  # noqa: B006 - remembers on purpose
    seen.append(1)
    return rows + len(seen) * ~present.all(1, keepdims=True)


def cut(**changes):
    def segment(self, part, content, segmenter, context):
        players = Numbers.segment(self, part, content, segmenter, context)
        return PartPlayers(**{**vars(players), **changes})

    return broken(segment=segment)


BROKEN = {
    "kind": Numbers(kind="numbers_of"),
    "lists": Numbers(segmenters={"each": ""}),
    "lists (default)": Numbers(maskers={"nil": "0"}),
    "reads": broken(read=lambda self, data: np.array(data if isinstance(data, list | np.ndarray) else [0.0])),
    "reads (twice)": broken(read=lambda self, data: Numbers.read(self, data) + 1),
    "told by content": broken(
        read=lambda self, data: (
            np.array([object()]) if isinstance(data, list | np.ndarray) else Numbers.read(self, data)
        )
    ),
    "refuses": broken(masker=lambda self, spec: Keep()),
    "refuses (segmenter)": broken(
        segment=lambda self, part, content, segmenter, context: Numbers.segment(self, part, content, "each", context)
    ),
    "players": cut(labels=("a", "b", "")),
    "players (owners)": cut(geometry=Regions(np.array([0, 1, 1], np.int32))),
    "players (type)": cut(geometry=Regions(np.array([0, 1, 2]))),
    "players (kind)": cut(kind="other"),
    "masker's name": broken(
        masker=lambda self, spec: (
            type("K", (Keep,), {"name": "nil"})() if spec == "zero" else Numbers.masker(self, spec)
        )
    ),
    "all present": masked(lambda rows, content, present: rows + 1),
    "content untouched": masked(writes),
    "form": masked(lambda rows, content, present: rows.astype(np.float32)),
    "form (rows)": masked(lambda rows, content, present: rows[:1]),
    "hides": masked(lambda rows, content, present: np.broadcast_to(content, rows.shape)),
    "same result": masked(lasting),
    "batch": masked(lambda rows, content, present: rows + 0.5 * len(rows) * ~present.all(1, keepdims=True)),
    "own elements": masked(lambda rows, content, present: np.where(present.all(1, keepdims=True), rows, 0.0)),
    "wrong coalitions": broken(
        masker=lambda self, spec: (
            type(
                "K",
                (),
                {
                    "name": "zero",
                    "apply": staticmethod(
                        lambda content, players, present: Keep().apply(
                            content, players, np.atleast_2d(present)[:, : len(players)]
                        )
                    ),
                },
            )()
            if spec == "zero"
            else Numbers.masker(self, spec)
        )
    ),
    "overlap": broken(
        overlap=lambda self, players, truth, placement: 2.0 * Numbers.overlap(self, players, truth, placement)
    ),
    "overlap (nonsense)": broken(overlap=lambda self, players, truth, placement: np.zeros(len(players))),
    "sorts": broken(sorts=lambda self, players, lexicon: ["a"]),
}


@pytest.mark.parametrize("name", BROKEN)
def test_the_kit_sees_what_is_broken(name):
    with pytest.raises(ConformanceError) as found:
        check_modality(BROKEN[name], [[1.0, 2.0, 3.0]], truth=[[0, 2]])
    assert found.value.failed == name.partition(" (")[0]


def test_players_left_out_must_stay_present():
    class Forgets(Keep):
        def apply(self, content, players, present):
            players = PartPlayers(**{**vars(players), "geometry": Regions(np.maximum(players.geometry.label_map, 0))})
            return super().apply(content, players, present)

    modality = broken(masker=lambda self, spec: Forgets() if spec == "zero" else Numbers.masker(self, spec))
    with pytest.raises(ConformanceError, match="held present"):
        check_modality(modality, [[1.0, 2.0, 3.0]])


def test_contents_that_no_file_can_hold_are_seen():
    """A complex number has a digest and no place in a file's JSON; a list of numbers comes back as a list."""

    class Pairs(Numbers):
        def read(self, data):
            content = dict(data) if isinstance(data, dict) else {"x": Numbers.read(self, data), "t": (1, 2)}
            return {**content, "s": b"bytes"}

        def segment(self, part, content, segmenter, context):
            players = Numbers.segment(self, part, content["x"], segmenter, context)
            return PartPlayers(part, self.kind, players.labels, players.geometry, content)

    with pytest.raises(ConformanceError, match="kept on file"):
        check_modality(Pairs(), [[1.0, 2.0]])
