"""Captions: true ones are true of their scene, hard negatives are false, and what is said to decide does."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.zoo.data.captions import (
    CAPTIONS,
    NEGATIVES,
    Caption,
    caption,
    could_hold,
    negative,
    samples,
    scene_and_captions,
)
from chiasm.zoo.data.scenes import COLOURS, GAP, SHAPES, Item, Scene, mask
from chiasm.zoo.data.words import UNKNOWN, VOCABULARY, token_words

WORDS = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})")


def scene_of(*objects):
    """Objects as (colour, shape, x, y)."""
    items = tuple(Item(c, s, x, y, 20.0, COLOURS[c]) for c, s, x, y in objects)
    return Scene(items, np.full((2, 2, 3), 240, dtype=np.uint8))


def read(text):
    """What a sentence says, from its characters alone: names, and the word of the relation or ``None``."""
    names = WORDS.findall(text)
    ways = re.findall(r"\b(left|right|above|below)\b", text)
    assert len(ways) <= 1
    return names, ways[0] if ways else None


def said(scene, text, gap):
    """Whether a sentence is true of a scene, by a reading of its own: by every pair of objects."""
    names, way = read(text)
    things = [((item.colour, item.shape), item.x, item.y) for item in scene.items]
    if way is None:
        return all(any(thing[0] == name for thing in things) for name in names)
    for (first, x, y), (second, x2, y2) in itertools.permutations(things, 2):
        distance = {"left": x2 - x, "right": x - x2, "above": y2 - y, "below": y - y2}[way]
        if [first, second] == names and distance > gap:
            return True
    return False


@pytest.fixture(scope="module")
def drawn():
    return [(sample, *scene_and_captions(k, 3)) for k, sample in enumerate(samples(240, 3))]


@pytest.fixture(scope="module")
def many():
    return [scene_and_captions(k, 11) for k in range(1500)]


def test_true_captions_are_true_and_negatives_false(many):
    for scene, kind, true, others in many:
        assert said(scene, true.text, 19.99), true.text
        assert kind in others
        for false in others.values():
            assert not said(scene, false.text, 0.0), (true.text, false.text)


def test_a_gap_runs_between_what_a_true_caption_relates(many):
    axes = set()
    for scene, _, true, _ in many:
        names, way = read(true.text)
        if way is None:
            continue
        (first,), (second,) = ([mask(i) for i in scene.items if (i.colour, i.shape) == name] for name in names)
        before, behind = (first, second) if way in ("left", "above") else (second, first)
        axis = 0 if way in ("left", "right") else 1
        last, start = (np.flatnonzero(pixels.any(axis=axis)) for pixels in (before, behind))
        assert start[0] - last[-1] > GAP - 3, true.text
        axes.add(axis)
    assert axes == {0, 1}


def test_scenes_have_two_or_three_objects_and_named_ones_are_unique(many):
    for scene, _, true, _ in many:
        assert len(scene.items) in {2, 3}
        if true.kind != "one":
            names = [(item.colour, item.shape) for item in scene.items]
            assert all(names.count(name) == 1 for name in true.names)


def test_negatives_differ_in_what_their_kind_says(many):
    seen = set()
    for _, _, true, others in many:
        names, way = read(true.text)
        for kind, false in others.items():
            other, other_way = read(false.text)
            seen.add((kind, true.kind))
            if kind == "relation":
                opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}
                assert other == names
                assert other_way == opposite[way]
            elif kind == "swap":
                assert other_way == way
                assert sorted(w for name in other for w in name) == sorted(w for name in names for w in name)
            else:
                assert other_way == way
                changed = [(a, b) for old, new in zip(names, other, strict=True) for a, b in zip(old, new, strict=True)]
                changed = [pair for pair in changed if pair[0] != pair[1]]
                assert len(changed) == 1
                assert changed[0][1] in (COLOURS if kind == "colour" else SHAPES)
    assert seen == {(kind, source) for kind, sources in NEGATIVES.items() for source in sources}


def test_captions_differ_word_by_word(many):
    # Masking the same places of a caption and its negatives relies on it.
    for _, _, true, others in many:
        assert {len(false.text.split()) for false in others.values()} == {len(true.text.split())}


def test_every_word_is_known(many):
    unknown = VOCABULARY[UNKNOWN]
    texts = {text for _, _, true, others in many for text in (true.text, *(o.text for o in others.values()))}
    assert not [text for text in texts if any(unknown in word for word in token_words(text))]


def test_a_swap_that_stays_true_is_no_negative():
    rng = np.random.default_rng(0)
    words = {"colour": "red", "shape": "circle", "colour2": "blue", "shape2": "square"}
    crossed = scene_of(
        ("red", "circle", 50, 50), ("blue", "square", 150, 50), ("blue", "circle", 50, 150), ("red", "square", 150, 150)
    )
    pair = Caption("two", CAPTIONS["two"][0], words, (0, 1))
    assert negative(crossed, pair, "swap", rng) is None
    assert negative(scene_of(*[(i.colour, i.shape, i.x, i.y) for i in crossed.items[:2]]), pair, "swap", rng)
    left = Caption("relation", CAPTIONS["relation"][0], words | {"relation": "left of"}, (0, 1))
    # "A blue circle left of a red square" is true, so that only the shapes may be swapped.
    assert {negative(crossed, left, "swap", rng).text for _ in range(30)} == {"a red square left of a blue circle"}
    assert negative(crossed, left, "relation", rng).text == "a red circle right of a blue square"


def test_a_hair_on_the_wrong_side_is_enough_to_refuse_a_negative():
    words = {"colour": "red", "shape": "circle", "colour2": "blue", "shape2": "square", "relation": "above"}
    above = Caption("relation", CAPTIONS["relation"][0], words, (0, 1))
    assert could_hold(scene_of(("red", "circle", 50, 99.5), ("blue", "square", 50, 100)), above)
    assert not could_hold(scene_of(("red", "circle", 50, 100), ("blue", "square", 50, 99.5)), above)


def test_nothing_is_said_of_objects_too_close_to_tell():
    near = scene_of(("red", "circle", 100, 100), ("blue", "square", 130, 160))
    rng = np.random.default_rng(0)
    texts = {found.text for _ in range(200) if (found := caption(near, rng, "relation"))}
    assert texts
    assert all(read(text)[1] in ("above", "below") for text in texts)
    assert caption(scene_of(("red", "circle", 60, 60), ("red", "circle", 160, 160)), rng, "two") is None


def test_truth_marks_the_words_that_differ_and_their_objects(drawn):
    for sample, scene, kind, true, others in drawn:
        text, false = sample["text"].data, str(sample.tags["negative"])
        assert (text, false) == (true.text, others[kind].text)
        assert sample.tags["type"] == kind
        kept = list(text)
        for start, end in sample.truth["text"]:
            kept[start:end] = " " * (end - start)
        words = {w for w in text.split() if w not in "".join(kept).split()}
        differing = {a for a, b in zip(text.split(), false.split(), strict=True) if a != b}
        assert words <= differing
        spans = [text[start:end] for start, end in sample.truth["text"]]
        assert sorted(spans) == sorted(a for a, b in zip(text.split(), false.split(), strict=True) if a != b)
        names, other = read(text)[0], read(false)[0]
        wanted = names if kind in ("swap", "relation") else [a for a, b in zip(names, other, strict=True) if a != b]
        items = [item for name in wanted for item in scene.items if (item.colour, item.shape) == name]
        assert np.allclose(sample.truth["image"], [item.box for item in items])
        assert np.array_equal(sample.masks["image"], [mask(item) for item in items])


def test_a_sample_depends_on_its_number_and_seed_alone():
    few, more = samples(3, 9), samples(5, 9)
    for a, b in zip(few, more, strict=False):
        assert (a.id, a["text"].data, a.tags) == (b.id, b["text"].data, b.tags)
        assert np.array_equal(np.asarray(a["image"].data), np.asarray(b["image"].data))
    assert samples(1, 10)[0]["text"].data != few[0]["text"].data
    assert few[2].id == "captions-9-000002"


def test_types_restrict_the_negatives():
    assert {s.tags["type"] for s in samples(20, 0, ["swap"])} == {"swap"}
    assert {s.tags["type"] for s in samples(60, 0)} == set(NEGATIVES)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((1, 0, ["flip"]), UnknownName),
        ((-1, 0), InvalidInput),
        ((1, -1), InvalidInput),
        ((0, 0, []), InvalidInput),
        ((1, 0, "swap"), InvalidInput),
    ],
)
def test_bad_requests_are_refused(arguments, error):
    with pytest.raises(error):
        samples(*arguments)
