"""The data sets of scenes: what they say about their pictures and questions is true."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.datasets import load_digits

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.zoo import dataset
from chiasm.zoo.data import backgrounds, captions, contents, glyphs, prior, sets
from chiasm.zoo.data.export import export
from chiasm.zoo.data.phrases import ANSWERS, PLURALS
from chiasm.zoo.data.scenes import COLOURS, DIGITS, SHAPES, SIDE, Scene, draw_scene, mask, render
from chiasm.zoo.data.words import UNKNOWN, VOCABULARY, token_words
from chiasm.zoo.recipes import pictures

NAMES = tuple(sets.TYPES)
DRAWN = 260
SINGULAR = {plural: shape for shape, plural in PLURALS.items()}
#: width of each shape of radius 1
WIDTHS = {"circle": 2.0, "square": 1.76, "triangle": 2.0, "cross": 2.0, "star": 2.2 * np.cos(np.pi / 10)}
WAYS = {"left": (0, -1), "right": (0, 1), "top": (1, -1), "above": (1, -1), "bottom": (1, 1), "below": (1, 1)}
HANDWRITING = load_digits()
TIP = 3.0
"""Pixels of a star's tip that it covers by less than half."""
YES_NO = ("existence", "relation", "comparison", "parity")


@pytest.fixture(scope="module", params=NAMES)
def drawn(request):
    """Samples of a data set with the scenes and questions they came from."""
    name = request.param
    return [(sample, *sets.scene_and_question(name, k, 5)) for k, sample in enumerate(sets.samples(name, DRAWN, 5))]


def words_of(sample):
    text = sample["text"].data
    return [text[start:end] for start, end in sample.truth["text"]]


def box_of(pixels):
    """Tight box (x0, y0, x1, y1) around the true pixels."""
    rows, columns = np.flatnonzero(pixels.any(axis=1)), np.flatnonzero(pixels.any(axis=0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], dtype=float)


class Seen:
    """An object as its pixels and its handwriting show it, not as its scene says."""

    def __init__(self, item, picture):
        self.pixels = mask(item)
        x0, y0, x1, y1 = box_of(self.pixels)
        self.middle = ((x0 + x1) / 2, (y0 + y1) / 2)
        solid = ndimage.binary_erosion(self.pixels, iterations=2)
        paint = np.median(picture[solid if solid.any() else self.pixels].astype(float), axis=0)
        self.colour = min(COLOURS, key=lambda name: np.abs(paint - COLOURS[name]).max())
        if item.glyph is None:
            self.shape, self.radius = item.shape, (x1 - x0) / WIDTHS[item.shape]
        else:
            self.shape = str(HANDWRITING.target[item.glyph])


def seen(sample, scene):
    picture = np.asarray(sample["image"].data)
    return [Seen(item, picture) for item in scene.items]


def only(objects, colour=None, shape=None):
    found = [k for k, o in enumerate(objects) if colour in (None, o.colour) and shape in (None, o.shape)]
    assert len(found) == 1, "the question must have one answer"
    return found[0]


def lies(objects, first, second, way):
    axis, sign = WAYS[way]
    return (objects[first].middle[axis] - objects[second].middle[axis]) * sign > 0


def answer_shapes(kind, text, words, objects):
    """The answer to a question about shapes and the objects that decide it, from what is seen."""
    keys = {"colour" if SINGULAR.get(word, word) in COLOURS else "shape": SINGULAR.get(word, word) for word in words}
    if kind in ("existence", "counting"):
        found = [k for k, o in enumerate(objects) if all(getattr(o, what) == key for what, key in keys.items())]
        return (str(len(found)) if kind == "counting" else "yes" if found else "no"), found
    if kind in ("colour", "shape"):
        k = only(objects, **keys)
        return getattr(objects[k], kind), [k]
    if kind == "size":
        k = only(objects, **keys)
        return ("small" if objects[k].radius < 30 else "large"), [k]
    return answer_two(kind, text, words, objects)


def answer_two(kind, text, words, objects):
    names = [word for word in words if word in COLOURS or word in SHAPES]
    first, second = only(objects, *names[:2]), only(objects, *names[2:])
    if text.startswith("Compared"):
        first, second = second, first
    if kind == "comparison":
        larger = objects[first].radius > objects[second].radius
        return ("yes" if larger == any(word in words for word in ("larger", "bigger")) else "no"), [first, second]
    if " or " in text:
        ways = ("left", "right") if "left" in text else ("above", "below")
        return next(way for way in ways if lies(objects, first, second, way)), [first, second]
    (way,) = (way for way in WAYS if re.search(rf"\b{way}\b", text))
    return ("yes" if lies(objects, first, second, way) else "no"), [first, second]


def answer_digits(kind, text, words, objects):
    """The answer to a question about digits and the objects that decide it, from what is seen."""
    values, everything = [int(o.shape) for o in objects], list(range(len(objects)))
    if kind == "sum":
        return str(sum(values)), everything
    if kind == "larger":
        return str(max(values) if words == ["greatest"] else min(values)), everything
    if kind == "parity":
        k = only(objects, colour=words[0])
        return ("yes" if values[k] % 2 == ["even", "odd"].index(words[1]) else "no"), [k]
    if kind == "place":
        k = only(objects, shape=words[0])
        ways = ("left", "right") if "left" in text else ("top", "bottom")
        return next(w for w in ways if (objects[k].middle[WAYS[w][0]] - SIDE / 2) * WAYS[w][1] > 0), [k]
    if words[0] in COLOURS:
        k = only(objects, colour=words[0])
    else:
        axis, sign = WAYS[words[0]]
        k = max(everything, key=lambda k: objects[k].middle[axis] * sign)
    return objects[k].shape, [k]


def test_answers_and_deciding_objects_hold_in_what_is_seen(drawn):
    for sample, scene, _, family in drawn:
        objects = seen(sample, scene)
        judge = answer_shapes if family == "shapes" else answer_digits
        text = sample["text"].data
        answer, deciding = judge(sample.tags["type"], text, words_of(sample), objects)
        assert sample.answer == answer, (text, sample.id)
        shown = {pixels.tobytes() for pixels in sample.masks["image"]}
        assert shown == {objects[k].pixels.tobytes() for k in deciding}, (text, sample.id)


def test_boxes_are_tight_around_masks(drawn):
    for sample, _, question, _ in drawn:
        boxes, masks = sample.truth["image"], sample.masks["image"]
        assert len(boxes) == len(masks) == len(question.items)
        for box, pixels in zip(boxes, masks, strict=True):
            assert np.abs(box_of(pixels) - box).max() <= TIP, sample.id


def test_masks_are_the_pixels_that_the_objects_cover_by_half(drawn):
    """How much of each pixel is covered is worked out from its colour, the paint and what lies behind."""
    for sample, scene, *_ in drawn[:120]:
        picture = np.asarray(sample["image"].data).astype(float)
        behind = np.asarray(render(Scene((), scene.background))).astype(float)
        free = np.ones((SIDE, SIDE), dtype=bool)
        for item in scene.items:
            reach = item.radius * 1.1 + 1
            x0, x1, y0, y1 = (
                int(max(0, edge)) for edge in (item.x - reach, item.x + reach, item.y - reach, item.y + reach)
            )
            cut = np.s_[y0 : y1 + 1, x0 : x1 + 1]
            paint = np.array(item.rgb) - behind[cut]
            strength = (paint**2).sum(axis=-1)
            cover = ((picture[cut] - behind[cut]) * paint).sum(axis=-1) / np.maximum(strength, 1)
            own = mask(item)
            # Where another object reaches in, or the paint is that of the ground, colours tell nothing.
            clear = (strength > 60**2) & ~others(scene, item)[cut] & (np.abs(cover - 0.5) > 0.04)
            assert clear.any()
            assert np.array_equal((cover > 0.5)[clear], own[cut][clear]), sample.id
            free[cut] = False
            assert not own[free].any()
        assert np.array_equal(picture[free], behind[free]), sample.id


def others(scene, item):
    """Where other objects of the scene may leave ink, bool[SIDE, SIDE]."""
    found = np.zeros((SIDE, SIDE), dtype=bool)
    for other in scene.items:
        if other is not item:
            reach = other.radius * 1.1 + 1
            rows, columns = (np.abs(np.arange(SIDE) + 0.5 - middle) <= reach + 1 for middle in (other.y, other.x))
            found |= rows[:, None] & columns[None, :]
    return found


def test_digits_look_like_the_handwriting_they_are_named_for():
    known = HANDWRITING.images.reshape(len(HANDWRITING.images), -1)
    known = (known - known.mean(axis=1, keepdims=True)) / known.std(axis=1, keepdims=True)
    for k in range(60):
        scene, *_ = sets.scene_and_question("digits", k, 8)
        for item in scene.items:
            left, top, width = round(item.x - item.radius), round(item.y - item.radius), round(2 * item.radius)
            sheet = Image.fromarray(mask(item)).convert("L")
            cell = sheet.crop((left, top, left + width, top + width)).resize((10, 10), Image.Resampling.BOX)
            shown = np.asarray(cell, dtype=float)[1:-1, 1:-1].ravel()
            likeness = known @ (shown - shown.mean()) / (shown.std() * shown.size)
            assert likeness[item.glyph] > 0.85
            assert likeness[item.glyph] >= np.quantile(likeness, 0.99)


def test_objects_stay_apart_and_inside(drawn):
    for _, scene, _, family in drawn:
        assert 2 <= len(scene.items) <= (5 if family == "shapes" else 3)
        for k, item in enumerate(scene.items):
            x0, y0, x1, y1 = item.box
            assert min(x0, y0) >= 0
            assert max(x1, y1) <= SIDE
            for other in scene.items[:k]:
                a0, b0, a1, b1 = other.box
                assert x0 > a1 or a0 > x1 or y0 > b1 or b0 > y1


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_depends_on_its_number_and_seed_alone(name):
    few, many = sets.samples(name, 3, 9), sets.samples(name, 6, 9)
    for a, b in zip(few, many, strict=False):
        assert (a.id, a["text"].data, a.answer, a.tags) == (b.id, b["text"].data, b.answer, b.tags)
        assert np.array_equal(np.asarray(a["image"].data), np.asarray(b["image"].data))
    assert few[2].id == f"{name}-9-000002"
    assert not np.array_equal(np.asarray(few[0]["image"].data), np.asarray(sets.samples(name, 1, 10)[0]["image"].data))


def test_every_data_set_and_training_have_random_numbers_of_their_own():
    streams = [*sets._STREAMS.values(), prior._STREAM, captions._STREAM, pictures._STREAM]
    assert len(set(streams)) == len(streams) == 6
    places = {
        tuple((item.x, item.y) for item in sets.scene_and_question(name, 0, 0, ["colour"])[0].items)
        for name in ("shapes", "photos")
    }
    assert len(places) == 2


def test_pictures_tags_and_parts_are_as_promised(drawn):
    for sample, scene, _, family in drawn:
        assert list(sample.parts) == ["image", "text"]
        assert sample["image"].data.mode == "RGB"
        assert sample["image"].data.size == (SIDE, SIDE)
        assert sample.tags["objects"] == len(scene.items)
        assert sample.tags["family"] == family
        assert ("hard" in sample.tags) == (sample.tags["type"] == "existence")
        assert sample.masks["image"].dtype == bool


def test_photos_are_half_shapes_half_digits_and_on_photographs():
    many = [sets.scene_and_question("photos", k, 2) for k in range(400)]
    assert 160 < sum(family == "digits" for *_, family in many) < 240
    assert all(scene.background.shape == (SIDE, SIDE, 3) for scene, *_ in many)
    assert {q.kind for _, q, _ in many} == set(sets.TYPES["photos"]) == {*sets.TYPES["shapes"], *sets.TYPES["digits"]}
    assert {sets.scene_and_question("photos", k, 2, ["sum"])[2] for k in range(20)} == {"digits"}


def test_questions_are_sentences(drawn):
    texts = {sample["text"].data for sample, *_ in drawn}
    assert all(text[0].isupper() and text[-1] in "?." and text[-2] != " " and "  " not in text for text in texts)


def pattern(template):
    return re.compile(re.sub(r"\\{\w+\\}", r"[\\w ]+?", re.escape(template)))


@pytest.mark.parametrize("name", ["shapes", "digits"])
def test_every_type_and_every_phrasing_appears(name):
    asked = [sets.scene_and_question(name, k, 1)[1] for k in range(1200)]
    phrases = contents.templates(name)
    assert {question.kind for question in asked} == set(phrases) == set(sets.TYPES[name])
    for kind, several in phrases.items():
        assert len(several) >= 2, "a type with one phrasing could be learnt by its wording"
        texts = {question.text for question in asked if question.kind == kind}
        for template in several:
            assert any(pattern(template).fullmatch(text) for text in texts), template


def test_every_answer_occurs():
    seen_shapes = {sets.scene_and_question("shapes", k, 1)[1].answer for k in range(1500)}
    assert seen_shapes == {
        *COLOURS, *SHAPES, "yes", "no", "small", "large", "left", "right", "above", "below", *"012345"
    }  # fmt: skip
    seen_digits = {sets.scene_and_question("digits", k, 1)[1].answer for k in range(1500)}
    sums = {str(a + b) for a in range(10) for b in range(a)}
    assert seen_digits == {*DIGITS, *sums, "yes", "no", "left", "right", "top", "bottom"}
    assert seen_shapes | seen_digits <= set(ANSWERS)


@pytest.mark.parametrize("kind", YES_NO)
def test_yes_and_no_are_balanced(kind):
    name = "digits" if kind == "parity" else "shapes"
    answers = Counter(sets.scene_and_question(name, k, 4, [kind])[1].answer for k in range(600))
    yes_no = answers["yes"] + answers["no"]
    assert yes_no > 300
    assert max(answers["yes"], answers["no"]) <= 0.7 * yes_no


def test_most_negatives_are_hard():
    negatives = [s for s in sets.samples("shapes", 400, 3, ["existence"]) if s.answer == "no"]
    assert 150 < len(negatives) < 250
    hard = 0
    for sample in negatives:
        scene, *_ = sets.scene_and_question("shapes", int(sample.id[-6:]), 3, ["existence"])
        colour, shape = words_of(sample)
        both = any(i.colour == colour for i in scene.items) and any(i.shape == shape for i in scene.items)
        assert sample.tags["hard"] == both
        hard += both
        assert len(sample.truth["image"]) == len(sample.masks["image"]) == 0
    assert hard / len(negatives) > 0.6


def test_the_vocabulary_knows_every_word_and_is_small():
    assert 60 <= len(VOCABULARY) <= 150
    unknown = VOCABULARY[UNKNOWN]
    for name in (*NAMES, "prior", "captions"):
        for sample in dataset(name, 150, 3):
            texts = [sample["text"].data, sample.answer or "", str(sample.tags.get("negative", ""))]
            for text in texts:
                assert all(unknown not in word for word in token_words(text)), (name, text)


def test_no_glyph_is_both_trained_on_and_held_out():
    rng = np.random.default_rng(0)
    trained = {i.glyph for _ in range(300) for i in draw_scene(rng, family="digits").items}
    held_out = {
        i.glyph
        for name in ("digits", "photos")
        for k in range(300)
        for i in sets.scene_and_question(name, k, 0)[0].items
        if i.glyph is not None
    }
    assert len(trained) > 400
    assert len(held_out) > 200
    allowed = {number for digit in range(10) for number in glyphs.numbers(digit, held_out=True)}
    assert held_out <= allowed
    assert not trained & allowed


def test_no_photograph_is_both_trained_on_and_held_out(monkeypatch):
    opened = []
    real = backgrounds._photo

    def recorded(name):
        opened.append(name)
        return real(name)

    monkeypatch.setattr(backgrounds, "_photo", recorded)
    rng = np.random.default_rng(0)
    for _ in range(80):
        draw_scene(rng, photo=True)
    trained = set(opened)
    opened.clear()
    for k in range(40):
        sets.scene_and_question("photos", k, 0)
    assert trained == set(backgrounds.PHOTOS["training"])
    assert set(opened) == set(backgrounds.PHOTOS["held out"])
    assert not trained & set(opened)


def test_types_restrict_the_questions():
    assert {s.tags["type"] for s in sets.samples("shapes", 20, 0, ["counting"])} == {"counting"}
    assert {s.tags["type"] for s in sets.samples("digits", 30, 0, ["sum", "parity"])} == {"sum", "parity"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("shape", 1, 0), UnknownName),
        (("shapes", 1, 0, ["color"]), UnknownName),
        (("shapes", 1, 0, ["sum"]), UnknownName),
        (("digits", 1, 0, ["colour"]), UnknownName),
        (("shapes", 1, 0, "colour"), InvalidInput),
        (("shapes", -1, 0), InvalidInput),
        (("shapes", 1, -1), InvalidInput),
        (("photos", 1, 0, []), InvalidInput),
    ],
)
def test_bad_requests_are_refused(arguments, error):
    with pytest.raises(error):
        sets.samples(*arguments)


def test_a_small_scene_can_be_asked_for():
    rng = np.random.default_rng(0)
    assert max(len(draw_scene(rng, most=3).items) for _ in range(50)) == 3


def test_samples_that_differ_have_different_ids():
    asked = [
        *[("shapes", {"types": types}) for types in (None, ["colour"], ["shape"], ["colour", "shape"])],
        *[("shapes", {"types": types}) for types in (["shape", "colour"], list(sets.TYPES["shapes"])[::-1])],
        *[("captions", {"types": types}) for types in (None, ["swap"], ["colour", "swap"])],
        *[("prior", {"language": strength}) for strength in (0.0, 0.5, 1.0)],
        *[("prior", {"image": 0.5}), ("prior", {"language": 0.5, "image": 0.5})],
    ]
    ids = [sample.id for name, options in asked for sample in dataset(name, 3, 1, **options)]
    assert len(set(ids)) == len(ids) == 3 * len(asked)
    assert max(map(len, ids)) < 70


def test_defaults_said_in_full_change_no_id():
    for name, options in (
        ("shapes", {"types": list(sets.TYPES["shapes"])}),
        ("captions", {"types": list(captions.NEGATIVES)}),
        ("prior", {"types": ["colour"], "language": 0, "image": 0.0}),
    ):
        assert [s.id for s in dataset(name, 2, 1, **options)] == [f"{name}-1-00000{k}" for k in range(2)]


def test_one_id_for_two_different_samples_is_not_exported(tmp_path):
    one, other = sets.samples("shapes", 2, 1)
    other.id = one.id
    with pytest.raises(InvalidInput, match="Samples 0 and 2 differ"):
        export([one, one, other], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export([one, sets.samples("shapes", 1, 1)[0]], tmp_path / "out")
