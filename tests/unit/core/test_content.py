"""Digests by content: equal for equal content, different for different content, refused where nobody can tell."""

from __future__ import annotations

import dataclasses
import functools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chiasm.core.content import NoContent, code_of, digest
from chiasm.core.players import Regions, Spans
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.modalities.base import TokenMasker
from chiasm.modalities.image_maskers import AnotherImage, Composite, image_masker, mean_colour

atoms = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from([0.0, -0.0, 1.0, math.nan]), st.text(max_size=2),
    st.binary(max_size=2),
)  # fmt: skip
things = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=2),
    max_leaves=6,
)


def canonical(thing):
    """A text that is the same for the same content alone."""
    if isinstance(thing, dict):
        return f"map{sorted((key, canonical(value)) for key, value in thing.items())!r}"
    if isinstance(thing, list):
        return f"list{[canonical(item) for item in thing]!r}"
    return f"{type(thing).__name__} {thing!r}"


@given(things, things)
@settings(max_examples=400, deadline=None)
def test_digests_differ_exactly_where_contents_do(one, other):
    assert (digest(one) == digest(other)) == (canonical(one) == canonical(other))


ARRAYS = [
    np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8), np.zeros(6, np.uint8), np.zeros((2, 3), np.int8),
    np.zeros((2, 3), bool), np.zeros((2, 3), "<i4"), np.zeros((2, 3), ">i4"), np.ones((2, 3), np.uint8), np.zeros(0),
    np.zeros((0, 3)), np.eye(3), np.arange(9.0).reshape(3, 3), np.arange(9.0).reshape(3, 3).T, np.float32(1),
]  # fmt: skip


def test_arrays_differ_by_numbers_shape_and_type():
    assert len({digest(array) for array in ARRAYS}) == len(ARRAYS)
    whole = np.arange(24).reshape(4, 6)
    assert digest(whole[:, ::2]) == digest(whole[:, ::2].copy())
    assert digest(whole.T) == digest(np.ascontiguousarray(whole.T))


MASKERS = ["mean", "grey", "zero", "blur", "blur:8", "blur:9", "noise:1", "noise:2", "constant:1,2,3", "constant:1,2,4",
           "inpaint"]  # fmt: skip
TEXT_MASKERS = ["delete", "neutral", "neutral:thing", "neutral:stuff", "empty", "attention", "mask"]


def test_maskers_differ_by_name_and_parameters():
    made = [modalities.get("image").masker(name) for name in MASKERS]
    made += [modalities.get("text").masker(name) for name in TEXT_MASKERS]
    digests = [digest(masker) for masker in made]
    assert len(set(digests)) == len(digests)
    assert digests[: len(MASKERS)] == [digest(image_masker(name)) for name in MASKERS]


def test_a_masker_that_was_used_is_the_same_masker():
    masker = image_masker("blur:8")
    before = digest(masker)
    masker.baseline(np.zeros((8, 8, 3), np.uint8))
    assert digest(masker) == before


def test_another_picture_counts_by_its_pixels_and_not_by_its_name():
    one, other = (AnotherImage(np.full((4, 4, 3), level, np.uint8), name="same") for level in (1, 2))
    assert digest(one) != digest(other)
    assert digest(one) == digest(AnotherImage(np.full((4, 4, 3), 1, np.uint8), name="same"))
    assert digest(image_masker(one)) != digest(image_masker(other))


def test_the_fields_of_our_own_things_count():
    assert digest(Target(answer="red")) != digest(Target(answer="blue"))
    assert digest(Target(answer="red")) == digest(Target(answer="red"))
    assert digest(Target(against="red")) != digest(Target(answer="red"))
    areas = [Regions(np.zeros((2, 2), np.int32)), Regions(np.eye(2, dtype=np.int32)), Spans(np.zeros((2, 2), np.int64))]
    assert len({digest(area) for area in areas}) == 3


class Custom:
    name = "mine"

    def apply(self, content, players, present):
        return [content] * len(present)


class Said(Custom):
    def __init__(self, fingerprint):
        self.fingerprint = fingerprint


@dataclasses.dataclass
class Foreign:
    x: int = 0


class Derived(Target):
    pass


def grown(level):
    def fill(content):
        return np.full_like(content, level)

    return fill


@pytest.mark.parametrize(
    "thing",
    [
        Custom(), lambda x: x, Foreign(), Derived(), grown(1), Composite("mine", grown(1)), Composite("mine", np.copy),
        functools.partial(grown(1)), Custom, np.array([Custom()]), Path("photo.jpg"), [1, {"a": Custom()}], {1, 2},
        dataclasses.replace(TokenMasker("a", "mask"), name=Custom()), Said(""),
    ],
    ids=lambda thing: type(thing).__name__,
)  # fmt: skip
def test_what_nobody_can_tell_is_refused(thing):
    with pytest.raises(NoContent, match="cannot be told by its content"):
        digest(thing)


def test_functions_of_ours_count_by_their_name_unless_something_else_stands_there(monkeypatch):
    named = digest(Composite("mine", mean_colour))
    monkeypatch.setattr("chiasm.modalities.image_maskers.mean_colour", lambda content: content)
    with pytest.raises(NoContent):
        digest(Composite("mine", mean_colour))
    assert named != digest(Composite("mine", functools.partial(image_masker, "mean")))


def test_a_thing_may_say_itself_what_it_is():
    assert digest(Said("1")) == digest(Said("1"))
    assert digest(Said("1")) != digest(Said("2"))
    assert digest(Composite("mine", Said("1"))) != digest(Composite("mine", Said("2")))


def test_digests_are_the_same_in_every_process():
    code = (
        "from chiasm.core.content import digest\n"
        "from chiasm.core.target import Target\n"
        "from chiasm.modalities.image_maskers import image_masker\n"
        "print(digest([{'b': 1.5, 'a': [None, True]}, 'ä', b'x', Target(answer='red'), image_masker('noise:3')]))"
    )
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        found.add(subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True).stdout)
    assert len(found) == 1


def test_the_code_of_a_room_is_the_code_of_that_room():
    assert code_of("core") != code_of("modalities")
    assert code_of("core", "modalities") == code_of("core", "modalities")
