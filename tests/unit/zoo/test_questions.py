"""Questions: their answers hold in what the pixels show, in whichever sense a reader takes the words."""

from __future__ import annotations

import itertools
import re
from collections import Counter

import numpy as np
import pytest
from sklearn.datasets import load_digits

from chiasm.zoo.data import sets
from chiasm.zoo.data.geometry import direction, half, larger, size
from chiasm.zoo.data.phrases import PLURALS
from chiasm.zoo.data.questions import DRILL, KINDS, ask
from chiasm.zoo.data.scenes import COLOURS, GAP, SHAPES, SIDE, Item, Scene, draw_scene, mask

MANY = 200
HANDWRITING = load_digits()
NAME = re.compile(rf"({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})")
SINGULAR = {plural: shape for shape, plural in PLURALS.items()}
EDGE = 1.5
"""Pixels by which a mask may reach over its outline, on either side."""


class Shown:
    """What the pixels of an object tell of its place and size."""

    def __init__(self, item):
        self.name, self.colour, self.shape = (item.colour, item.shape), item.colour, item.shape
        pixels = mask(item)
        rows, columns = np.nonzero(pixels)
        self.area = int(pixels.sum())
        self.first, self.last = (columns.min(), rows.min()), (columns.max() + 1, rows.max() + 1)
        self.sides = (self.last[0] - self.first[0], self.last[1] - self.first[1])
        self.middle = ((self.first[0] + self.last[0]) / 2, (self.first[1] + self.last[1]) / 2)
        self.weight = (columns.mean() + 0.5, rows.mean() + 0.5)

    @property
    def measures(self):
        width, height = self.sides
        return {"width": width, "height": height, "box": width * height, "area": self.area}


def asked(kind, count=MANY, seed=0):
    """Many questions of a type about scenes of their own, plain and on photographs, with what their scenes show."""
    family = "shapes" if kind in KINDS["shapes"] else "digits"
    for k in range(count):
        # Every tenth on a photograph: the same objects lie there, but the pictures take longer.
        name = "photos" if k % 10 == 0 else family
        scene, question, _ = sets.scene_and_question(name, k, seed, [kind])
        assert question.kind == kind
        yield question, [Shown(item) for item in scene.items]


def named(question, shown):
    """Indices of the two objects in the order in which the text names them; each must be the only one of its name."""
    found = []
    for name in NAME.findall(question.text):
        (index,) = (k for k, thing in enumerate(shown) if thing.name == name)
        found.append(index)
    assert len(found) == 2
    return found


def item_of(shape, radius, x=128.0, y=128.0, colour="red"):
    return Item(colour, shape, x, y, radius, COLOURS[colour])


def test_larger_is_larger_by_width_height_box_and_area():
    answers = Counter()
    for question, shown in asked("comparison"):
        first, second = named(question, shown)
        if question.text.startswith("Compared"):
            first, second = second, first
        assert set(question.items) == {first, second}
        (order,) = re.findall("larger|bigger|smaller", question.text)
        first_is_larger = (question.answer == "yes") == (order != "smaller")
        for what, value in shown[first].measures.items():
            other = shown[second].measures[what]
            assert value != other
            assert (value > other) == first_is_larger, (question.text, what)
        answers[order, question.answer] += 1
    assert min(answers[key] for key in itertools.product(("larger", "bigger", "smaller"), ("yes", "no"))) > 20


def test_every_large_shape_exceeds_every_small_one():
    found = {"small": [], "large": []}
    for question, shown in asked("size"):
        (name,) = NAME.findall(question.text)
        (thing,) = (thing for thing in shown if thing.name == name)
        found[question.answer].append(thing)
    for what in ("width", "height", "area", "box"):
        assert max(t.measures[what] for t in found["small"]) < min(t.measures[what] for t in found["large"]), what
    assert all({thing.shape for thing in things} == set(SHAPES) for things in found.values())


def test_names_of_shapes_tell_nothing_of_sizes():
    """A circle covers more than a star of equal radius; were that all, "larger than the star" would mostly be right."""
    order = sorted(SHAPES, key=lambda shape: Shown(item_of(shape, 30.0)).area)
    wide_larger, mixed, large = 0, 0, {shape: [] for shape in SHAPES}
    rng = np.random.default_rng(4)
    for _ in range(4000):
        scene = draw_scene(rng)
        for question in (ask(scene, "comparison", rng), ask(scene, "size", rng)):
            if question is None:
                continue
            things = [scene.items[index] for index in question.items]
            if question.kind == "size":
                large[things[0].shape].append(question.answer == "large")
                continue
            ranks = [order.index(thing.shape) for thing in things]
            if ranks[0] != ranks[1]:
                mixed += 1
                wide_larger += (things[0].radius > things[1].radius) == (ranks[0] > ranks[1])
    assert mixed > 600
    assert abs(wide_larger - mixed / 2) < 4 * np.sqrt(mixed / 4)
    shares = {shape: np.mean(answers) for shape, answers in large.items()}
    assert min(len(answers) for answers in large.values()) > 150
    # Large shapes find a place less often, of any shape.
    assert all(0.3 < share < 0.55 for share in shares.values()), shares


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (("circle", 38.0), ("circle", 22.0), True),
        (("circle", 22.0), ("circle", 38.0), False),
        (("star", 28.0), ("star", 24.0), None),  # too little apart
        (("star", 33.0), ("circle", 25.0), None),  # the circle covers more
        (("circle", 33.0), ("star", 25.0), None),  # with their radii exchanged, it would
        (("star", 38.0), ("circle", 22.0), True),
        (("square", 31.0), ("triangle", 25.0), None),  # hardly wider
    ],
)
def test_sizes_are_compared_where_every_sense_agrees(first, second, expected):
    assert larger(item_of(*first), item_of(*second)) is expected


@pytest.mark.parametrize(
    ("shape", "radius", "expected"),
    [
        ("cross", 26.0, "small"),
        ("cross", 34.0, "large"),
        ("cross", 30.0, None),
        ("circle", 23.0, "small"),
        ("circle", 37.0, "large"),
        ("circle", 26.0, None),  # covers more than a large star
        ("circle", 34.0, None),  # large, but no circle as far below the middle is small
        ("star", 38.0, "large"),
        ("star", 34.0, None),
    ],
)
def test_a_size_is_said_where_every_sense_agrees(shape, radius, expected):
    assert size(item_of(shape, radius)) == expected


def test_a_gap_runs_between_what_a_relation_relates():
    answers, axes = Counter(), Counter()
    for question, shown in asked("relation"):
        first, second = (shown[k] for k in named(question, shown))
        assert question.items == tuple(named(question, shown))
        ways = re.findall(r"\b(left|right|above|below)\b", question.text)
        axis = 0 if ways[0] in ("left", "right") else 1
        before = second.first[axis] - first.last[axis]
        behind = first.first[axis] - second.last[axis]
        assert max(before, behind) >= GAP - 2 * EDGE, question.text
        truth = (("left", "above") if before > behind else ("right", "below"))[axis]
        assert question.answer == (truth if len(ways) == 2 else "yes" if ways == [truth] else "no"), question.text
        answers[question.answer] += 1
        axes[axis] += 1
    assert set(answers) == {"yes", "no", "left", "right", "above", "below"}
    assert min(axes.values()) > MANY / 4


def test_of_any_two_objects_some_relation_can_be_said():
    rng = np.random.default_rng(2)
    for _ in range(300):
        scene = draw_scene(rng)
        names = Counter((item.colour, item.shape) for item in scene.items)
        question = ask(scene, "relation", rng)
        assert (question is not None) == (sum(count == 1 for count in names.values()) >= 2)


def test_centres_far_apart_are_not_enough_for_a_relation():
    circle = item_of("circle", 30.0, 100, 60)
    assert direction(circle, item_of("square", 30.0, 135, 180), across=True) is None
    assert direction(circle, item_of("square", 30.0, 135, 180), across=False) == "above"
    assert direction(item_of("square", 30.0, 165, 60), circle, across=True) == "right"
    assert direction(circle, item_of("square", 30.0, 160, 60), across=True) is None, "a gap that is hard to see"


def test_a_place_names_the_only_digit_of_that_half():
    """By the middle of the box of its pixels, and by their centre of mass."""
    places = Counter()
    for question, shown in asked("naming", 2 * MANY):
        places_named = re.findall(r"\b(left|right|top|bottom)\b", question.text)
        if not places_named:
            (thing,) = (thing for thing in shown if thing.colour in question.text)
            assert (question.answer, question.items) == (thing.shape, (shown.index(thing),))
            continue
        (place,) = places_named
        axis, sign = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "bottom": (1, 1)}[place]
        for middle in (lambda thing: thing.middle, lambda thing: thing.weight):
            reach = [(middle(thing)[axis] - SIDE / 2) * sign for thing in shown]
            (single,) = (k for k, distance in enumerate(reach) if distance > 0)
            assert (question.answer, question.items) == (shown[single].shape, (single,))
        assert min(abs(thing.middle[axis] - SIDE / 2) for thing in shown) > 20 - EDGE
        places[place] += 1
    assert min(places[place] for place in ("left", "right", "top", "bottom")) > 25


def test_a_digit_lies_in_the_half_that_is_said():
    answers = Counter()
    for question, shown in asked("place"):
        (thing,) = (thing for thing in shown if re.search(rf"\b{thing.shape}\b", question.text))
        axis = 0 if "left" in question.text else 1
        for middle in (thing.middle, thing.weight):
            ways = ("left", "top") if middle[axis] < SIDE / 2 else ("right", "bottom")
            assert question.answer == ways[axis], question.text
        answers[question.answer] += 1
    assert min(answers[way] for way in ("left", "right", "top", "bottom")) > 25


def test_the_ink_of_a_digit_tells_its_half_not_its_cell():
    lopsided = next(glyph for glyph in range(200) if abs(aside(glyph)) > 4)
    edge = SIDE / 2 + 20 - aside(lopsided)  # where the middle of its ink lies on the bound
    assert half(digit_at(edge + 1, lopsided), across=True) == "right"
    assert half(digit_at(edge - 1, lopsided), across=True) is None


def digit_at(x, glyph):
    return Item("red", str(HANDWRITING.target[glyph]), x, 128.0, 50.0, COLOURS["red"], glyph)


def aside(glyph):
    """How many pixels the middle of a digit's ink lies to the right of its cell's."""
    return Shown(digit_at(128.0, glyph)).middle[0] - 128


@pytest.mark.parametrize("kind", ["colour", "shape", "existence", "counting"])
def test_colours_shapes_and_counts_are_those_of_the_objects(kind):
    for question, shown in asked(kind):
        words = re.findall(r"\w+", question.text)
        colours = {word for word in words if word in COLOURS}
        shapes = {SINGULAR.get(word, word) for word in words if SINGULAR.get(word, word) in SHAPES}
        fitting = [
            k
            for k, thing in enumerate(shown)
            if thing.colour in (colours or COLOURS) and thing.shape in (shapes or SHAPES)
        ]
        assert question.items == tuple(fitting)
        if kind == "existence":
            assert question.answer == ("yes" if fitting else "no")
        elif kind == "counting":
            assert question.answer == str(len(fitting))
        else:
            (single,) = fitting
            assert question.answer == getattr(shown[single], kind)


@pytest.mark.parametrize("kind", ["relation", "place"])
def test_alternatives_decide_but_name_no_object(kind):
    seen = set()
    for question, shown in asked(kind):
        words = [question.text[start:end] for start, end in question.words]
        assert list(question.words) == sorted(question.words)
        ways = re.findall(r"\b(?:left|right|above|below|top|bottom)\b", question.text)
        if len(ways) == 2:
            assert [word for word in words if word in ways] == ways
            assert question.answer in ways
            seen.add(tuple(ways))
        else:
            assert sum(ways[0] in word.split() for word in words) == 1
        for word, item in question.mentions:
            assert words[word] == shown[item].shape
        assert [item for _, item in question.mentions] == list(question.items)
    down = ("above", "below") if kind == "relation" else ("top", "bottom")
    assert seen == {("left", "right"), down}


@pytest.mark.parametrize("kind", [kind for several in KINDS.values() for kind in several])
def test_deciding_words_are_whole_words_in_reading_order(kind):
    for question, _ in asked(kind, 60):
        spans = list(question.words)
        assert spans
        assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        for start, end in spans:
            # one word, but for the places of digits ("top left")
            assert re.fullmatch(r"\w+", question.text[start:end]) or question.kind == "naming"
            assert question.text[start:end] not in ("to", "the", "of", "than")
            assert not re.match(r"\w", question.text[end:])
            assert not re.search(r"\w$", question.text[:start])
        assert all(0 <= word < len(spans) and item in question.items for word, item in question.mentions)


def test_types_that_can_be_asked_are_not_rare():
    # Data sets draw scenes until one allows the question, so a type that few scenes allow would take long.
    rng = np.random.default_rng(8)
    for family, kinds in KINDS.items():
        scenes = [draw_scene(rng, family=family) for _ in range(300)]
        for kind in kinds:
            possible = np.mean([ask(scene, kind, rng) is not None for scene in scenes])
            assert possible > 0.35, (kind, possible)


def test_a_scene_that_allows_no_question_of_a_type_says_so():
    rng = np.random.default_rng(0)
    twins = Scene((item_of("star", 30.0, 60), item_of("star", 30.0, 180)), np.full((2, 2, 3), 240, dtype=np.uint8))
    for kind in ("colour", "shape", "size", "relation", "comparison", DRILL):
        assert ask(twins, kind, rng) is None
    assert ask(twins, "counting", rng) is not None


def answers_of(kind, count=1000, seed=21):
    """Questions of a type in its data set; without pictures, so that many take little."""
    name = "shapes" if kind in KINDS["shapes"] else "digits"
    return [sets.scene_and_question(name, k, seed, [kind])[1] for k in range(count)]


def assert_even(counts, options, what):
    """Each option as often as the others, within what chance allows of that many."""
    total, share = sum(counts[option] for option in options), 1 / len(options)
    bound = 4 * np.sqrt(total * share * (1 - share))
    assert total > 0, what
    for option in options:
        assert abs(counts[option] - total * share) <= bound, (what, dict(counts))


BALANCED = {
    "colour": [tuple(COLOURS)],
    "shape": [SHAPES],
    "size": [("small", "large")],
    "existence": [("yes", "no")],
    "relation": [("yes", "no"), ("left", "right"), ("above", "below")],
    "comparison": [("yes", "no")],
    "naming": [tuple("0123456789")],
    "place": [("left", "right"), ("top", "bottom")],
    "parity": [("yes", "no")],
}
"""Type → answers of which none is more frequent than the others of its group. Left out are those that follow from
drawing something else evenly: counts (small ones are frequent), the greatest or smallest digit, and sums."""


def test_every_type_is_balanced_or_has_a_distribution_of_its_own():
    assert set(BALANCED) | {"counting", "larger", "sum"} == {kind for kinds in KINDS.values() for kind in kinds}


@pytest.mark.parametrize("kind", BALANCED)
def test_no_answer_is_more_frequent_than_another(kind):
    answers = Counter(question.answer for question in answers_of(kind))
    assert set(answers) == {answer for options in BALANCED[kind] for answer in options}
    for options in BALANCED[kind]:
        assert_even(answers, options, kind)


def test_counts_sums_and_extremes_follow_their_own_distributions():
    counts = Counter(int(question.answer) for question in answers_of("counting"))
    # The group is mostly that of an object of the scene: a count of one is the rule, but no more than half or so.
    assert counts[1] == max(counts.values())
    assert 0.3 < counts[1] / 1000 < 0.6
    assert counts[1] > counts[2] > counts[3] > counts[4] > 0
    sums = Counter(int(question.answer) for question in answers_of("sum"))
    pairs = Counter(a + b for a, b in itertools.combinations(range(10), 2))
    for total, ways in pairs.items():
        expected = 1000 * ways / 45
        assert abs(sums[total] - expected) <= 4 * np.sqrt(expected) + 1, total
    extremes = answers_of("larger")
    greatest = Counter("greatest" in question.text for question in extremes)
    assert_even(greatest, (True, False), "larger")
    mean = {order: np.mean([int(q.answer) for q in extremes if order in q.text]) for order in ("greatest", "smallest")}
    assert mean["greatest"] + mean["smallest"] == pytest.approx(9, abs=0.6)


@pytest.mark.parametrize("name", ["shapes", "photos"])
def test_no_shape_tells_its_size_and_each_is_asked_as_often(name):
    asked_for = Counter()
    for k in range(800):
        scene, question, _ = sets.scene_and_question(name, k, 22, ["size"])
        (item,) = (scene.items[index] for index in question.items)
        assert (item.colour, item.shape) == NAME.findall(question.text)[0]
        assert size(item) == question.answer
        asked_for[item.shape, question.answer] += 1
    assert_even(asked_for, list(itertools.product(SHAPES, ("small", "large"))), name)


def test_the_object_whose_size_is_asked_keeps_apart_from_the_others():
    for k in range(200):
        scene, question, _ = sets.scene_and_question("shapes", k, 23, ["size"])
        (index,) = question.items
        box = scene.items[index].box
        assert min(box) >= 3 - 1e-9
        assert max(box) <= SIDE - 3 + 1e-9
        for other, item in enumerate(scene.items):
            b = item.box
            gap = max(box[0] - b[2], b[0] - box[2], box[1] - b[3], b[1] - box[3])
            assert other == index or gap > GAP


def test_no_two_shapes_tell_which_is_larger():
    larger_one = {}
    for k in range(2500):
        scene, question, _ = sets.scene_and_question("shapes", k, 24, ["comparison"])
        first, second = sorted((scene.items[index] for index in question.items), key=lambda item: item.shape)
        if first.shape != second.shape:
            larger_one.setdefault((first.shape, second.shape), Counter())[first.radius > second.radius] += 1
    assert len(larger_one) == 10
    for pair, counts in larger_one.items():
        assert_even(counts, (True, False), pair)


@pytest.mark.parametrize("name", ["digits", "photos"])
def test_all_ink_lies_on_the_side_that_is_said(name):
    spoken_of = Counter()
    for k in range(2 * MANY):
        kind = ("place", "naming")[k % 2]
        scene, question, _ = sets.scene_and_question(name, k, 25, [kind])
        shown = [Shown(item) for item in scene.items]
        found = re.findall(r"\b(left|right|top|bottom)\b", question.text)
        if not found:
            continue
        place = question.answer if kind == "place" else found[0]
        axis, low = {"left": (0, True), "right": (0, False), "top": (1, True), "bottom": (1, False)}[place]
        for index, thing in enumerate(shown):
            there = index in question.items
            if there or kind == "naming":
                on_low_side = low if there else not low
                if on_low_side:
                    assert thing.last[axis] <= SIDE / 2, question.text
                else:
                    assert thing.first[axis] >= SIDE / 2, question.text
        spoken_of[kind, place] += 1
    # Strictness starves no place: each stays as frequent as where the middle of the ink decides.
    assert min(spoken_of[key] for key in itertools.product(("place", "naming"), ("left", "right"))) > 10
    assert min(spoken_of[key] for key in itertools.product(("place", "naming"), ("top", "bottom"))) > 6


def test_photographs_lie_behind_what_is_drawn_anew():
    for kind in ("size", "place", "naming"):
        for k in range(30):
            scene, *_ = sets.scene_and_question("photos", k, 26, [kind])
            assert scene.background.shape == (SIDE, SIDE, 3), kind
