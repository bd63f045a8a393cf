"""The shapes data set: what it says about its pictures and questions is true."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.zoo import dataset
from chiasm.zoo.questions import KINDS, PLURALS
from chiasm.zoo.scenes import COLOURS, SHAPES, SIDE, draw_scene, render
from chiasm.zoo.shapes import samples, scene_and_question

SINGULAR = {plural: shape for shape, plural in PLURALS.items()}


@pytest.fixture(scope="module")
def drawn():
    """Samples with the scenes they came from."""
    return [(sample, *scene_and_question(k, 5)) for k, sample in enumerate(samples(300, 5))]


def words_of(sample):
    text = sample["text"].data
    return [text[start:end] for start, end in sample.truth["text"]]


def nearest_colour(pixels):
    names = list(COLOURS)
    palette = np.array([COLOURS[name] for name in names], dtype=float)
    distance = np.abs(pixels[..., None, :].astype(float) - palette).max(axis=-1)
    return np.array(names)[distance.argmin(axis=-1)], distance.min(axis=-1) <= 12


def test_a_sample_depends_on_its_number_and_seed_alone():
    few, many = samples(3, 9), samples(6, 9)
    for a, b in zip(few, many, strict=False):
        assert a.id == b.id
        assert a["text"].data == b["text"].data
        assert np.array_equal(np.asarray(a["image"].data), np.asarray(b["image"].data))
    assert few[2].id == "shapes-9-000002"
    assert not np.array_equal(np.asarray(few[0]["image"].data), np.asarray(samples(1, 10)[0]["image"].data))


def test_pictures_are_rgb_of_the_promised_size(drawn):
    assert all(sample["image"].data.mode == "RGB" and sample["image"].data.size == (SIDE, SIDE) for sample, *_ in drawn)


def test_objects_stay_apart_and_inside(drawn):
    for _, scene, _ in drawn:
        assert 2 <= len(scene.items) <= 5
        for k, item in enumerate(scene.items):
            x0, y0, x1, y1 = item.box
            assert min(x0, y0) >= 0
            assert max(x1, y1) <= SIDE
            for other in scene.items[:k]:
                a0, b0, a1, b1 = other.box
                assert x0 > a1 or a0 > x1 or y0 > b1 or b0 > y1


def test_boxes_are_tight_around_pixels_of_the_colour(drawn):
    for _, scene, _ in drawn[:60]:
        names, painted = nearest_colour(np.asarray(render(scene)))
        for item in scene.items:
            x0, y0, x1, y1 = item.box
            inside = painted[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1]
            assert set(names[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1][inside]) == {item.colour}
            rows, columns = np.nonzero(inside)
            assert columns.min() <= 3
            assert rows.min() <= 3
            assert columns.max() >= inside.shape[1] - 5
            assert rows.max() >= inside.shape[0] - 5
            painted[int(y0) : int(y1) + 1, int(x0) : int(x1) + 1] = False
        assert not painted.any(), "colour outside every box"


def test_answers_and_deciding_objects_hold_in_the_scene(drawn):
    for sample, scene, question in drawn:
        keys = [SINGULAR.get(word, word) for word in words_of(sample)]
        assert keys
        assert all(key in COLOURS or key in SHAPES for key in keys)
        matching = [item for item in scene.items if all(key in (item.colour, item.shape) for key in keys)]
        expected = {
            "colour": lambda m=matching: m[0].colour,
            "shape": lambda m=matching: m[0].shape,
            "existence": lambda m=matching: "yes" if m else "no",
            "counting": lambda m=matching: str(len(m)),
        }[sample.tags["type"]]()
        assert sample.answer == question.answer == expected
        if sample.tags["type"] in ("colour", "shape"):
            assert len(matching) == 1, "the question must have one answer"
        assert sample.truth["image"].shape == (len(matching), 4)
        assert np.allclose(sample.truth["image"], np.reshape([item.box for item in matching], (-1, 4)))


def test_questions_are_sentences(drawn):
    texts = {sample["text"].data for sample, *_ in drawn}
    assert all(text[0].isupper() and text.endswith("?") and not text.endswith(" ?") for text in texts)


def test_most_negatives_are_hard():
    negatives = [s for s in samples(600, 3, ["existence"]) if s.answer == "no"]
    assert 230 < len(negatives) < 370
    hard = 0
    for sample in negatives:
        scene, _ = scene_and_question(int(sample.id[-6:]), 3, ["existence"])
        colour, shape = words_of(sample)
        both = any(i.colour == colour for i in scene.items) and any(i.shape == shape for i in scene.items)
        assert sample.tags["hard"] == both
        hard += both
    assert hard / len(negatives) > 0.6


def test_every_answer_occurs():
    seen = {sample.answer for sample in samples(1200, 1)}
    assert seen == {*COLOURS, *SHAPES, "yes", "no", *"012345"}


def test_types_restrict_the_questions():
    assert {s.tags["type"] for s in samples(20, 0, ["counting"])} == {"counting"}
    assert {s.tags["type"] for s in samples(60, 0)} == set(KINDS)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("shape", 1, 0), UnknownName),
        (("shapes", 1, 0, ["color"]), UnknownName),
        (("shapes", -1, 0), InvalidInput),
        (("shapes", 1, -1), InvalidInput),
        (("shapes", 1, 0, []), InvalidInput),
    ],
)
def test_bad_requests_are_refused(arguments, error):
    with pytest.raises(error):
        dataset(*arguments)


def test_a_small_scene_can_be_asked_for():
    rng = np.random.default_rng(0)
    assert max(len(draw_scene(rng, most=3).items) for _ in range(50)) == 3
