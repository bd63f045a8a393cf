"""The prior data set: its information is what the closed form says, its samples are what the generator says."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.zoo import dataset
from chiasm.zoo.data import contents, prior
from chiasm.zoo.data.scenes import COLOURS, GAP, SIDE, render
from chiasm.zoo.data.words import UNKNOWN, VOCABULARY, token_words

STRENGTHS = [(0, 0), (1, 0), (0, 1), (1, 1), (0.6, 0.3), (0.3, 0.6), (0.5, 0.5), (0.95, 0.1), (0.2, 1)]


def joint_table(language, image):
    """P(Y, T, I) by enumeration: T the shape asked about, I every pair of colouring and colour of the frame."""
    colourings = list(itertools.permutations(range(4)))
    table = np.zeros((4, 4, len(colourings), 4))
    for f, colouring in enumerate(colourings):
        chance = (1 - language) / len(colourings) + language * (colouring == (0, 1, 2, 3))
        for asked, frame in itertools.product(range(4), range(4)):
            answer = colouring[asked]
            shown = (1 - image) / 4 + image * (frame == answer)
            table[answer, asked, f, frame] += chance / 4 * shown
    return table.reshape(4, 4, -1)


def information(table):
    """I(row; column) of a joint table in bits."""
    rows, columns = table.sum(1, keepdims=True), table.sum(0, keepdims=True)
    there = table > 0
    return float((table[there] * np.log2(table[there] / (rows * columns)[there])).sum())


def broja(table, rounds=3000):
    """The decomposition of Bertschinger et al. (2014) of P(Y, T, I) by alternating minimisation.

    Synergy is I(Y; T, I) less its minimum over all Q with the marginals P(Y, T) and P(Y, I). As
    I(Y; T, I) = min_R Σ_y P(y) D(Q(·|y) ‖ R), both are minimised in turn: R by averaging, Q(·|y) by projecting R on
    the two marginals (iterative proportional fitting), which converges to the minimum (Csiszár & Tusnády 1984).
    """
    answers = table.sum((1, 2))
    text, picture = table.sum(2) / answers[:, None], table.sum(1) / answers[:, None]
    q = text[:, :, None] * picture[:, None, :]
    for _ in range(rounds):
        q = np.broadcast_to(np.tensordot(answers, q, 1), q.shape)
        for _ in range(30):
            q = q * ratio(text, q.sum(2))[:, :, None]
            q = q * ratio(picture, q.sum(1))[:, None, :]
    assert np.abs(q.sum(2) - text).max() < 1e-3
    least = information((q * answers[:, None, None]).reshape(len(answers), -1))
    both, one, other = (information(t) for t in (table.reshape(len(table), -1), table.sum(2), table.sum(1)))
    return {
        "redundancy": one + other - least,
        "text": least - other,
        "image": least - one,
        "synergy": both - least,
    }


def ratio(wanted, found):
    return np.divide(wanted, found, out=np.zeros_like(found), where=found > 0)


def gate(function):
    table = np.zeros((2, 2, 2))
    for a, b in itertools.product(range(2), range(2)):
        table[function(a, b), a, b] = 0.25
    return table


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        (gate(lambda a, b: a ^ b), (0, 0, 0, 1)),
        (gate(lambda a, _: a), (0, 1, 0, 0)),
        (gate(lambda a, b: a & b), (0.3113, 0, 0, 0.5)),  # Bertschinger et al. 2014, table 1
        (np.eye(2)[:, :, None] * np.eye(2)[:, None, :] / 2, (1, 0, 0, 0)),
    ],
    ids=["xor", "unique", "and", "copy"],
)
def test_the_solver_knows_the_textbook_cases(table, expected):
    assert list(broja(table).values()) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(("language", "image"), STRENGTHS)
def test_the_closed_form_is_the_decomposition_of_the_generator(language, image):
    table, closed = joint_table(language, image), prior.pid(language, image)
    assert table.sum() == pytest.approx(1)
    assert information(table.sum(2)) == pytest.approx(prior.channel_information(language), abs=1e-12)
    assert information(table.sum(1)) == pytest.approx(prior.channel_information(image), abs=1e-12)
    assert information(table.reshape(4, -1)) == pytest.approx(closed.total, abs=1e-12) == 2
    solved = broja(table, rounds=300)
    assert closed.redundancy == pytest.approx(solved["redundancy"], abs=1e-3)
    assert closed.unique == pytest.approx({part: solved[part] for part in ("text", "image")}, abs=1e-3)
    assert closed.synergy == pytest.approx(solved["synergy"], abs=1e-3)


def test_the_corners_are_pure():
    assert prior.pid(0, 0) == prior.Decomposition(0, {"text": 0, "image": 0}, 2)
    assert prior.pid(1, 1) == prior.Decomposition(2, {"text": 0, "image": 0}, 0)
    assert prior.pid(1, 0) == prior.Decomposition(0, {"text": 2, "image": 0}, 0)
    assert prior.pid(0, 1) == prior.Decomposition(0, {"text": 0, "image": 2}, 0)


@pytest.mark.parametrize(("language", "image"), [(0, 0), (0.6, 0.3), (1, 1)])
def test_the_generator_draws_from_the_table(language, image):
    count, shapes, answers = 1500, list(prior.SHAPES), list(prior.ANSWERS)
    found, expected = np.zeros((4, 4, 4)), np.zeros((4, 4, 4))
    for index in range(count):
        case = prior.case(index, 5, language=language, image=image)
        found[answers.index(case.question.answer), shapes.index(case.shape), answers.index(case.frame)] += 1
        assert case.canonical == (case.question.answer == prior.CANONICAL[case.shape])
        assert case.cue_right == (case.frame == case.question.answer)
    table = joint_table(language, image).reshape(4, 4, 24, 4).sum(2)
    expected = table * count
    assert (found[expected == 0] == 0).all()
    there = expected > 0
    # Pearson's statistic has about as many degrees of freedom as there are cells, and twice that as variance.
    statistic = ((found[there] - expected[there]) ** 2 / expected[there]).sum()
    assert abs(statistic - there.sum()) < 4 * math.sqrt(2 * there.sum())


def test_each_scene_shows_four_shapes_in_four_colours_inside_its_frame():
    for index in range(60):
        case = prior.case(index, 1, language=0.3, image=0.5)
        items = case.scene.items
        assert [item.shape for item in items] == list(prior.SHAPES)
        assert {item.colour for item in items} == set(prior.ANSWERS)
        for item in items:
            x0, y0, x1, y1 = item.box
            assert min(x0, y0) >= prior.FRAME + GAP
            assert max(x1, y1) <= SIDE - prior.FRAME - GAP
        for a, b in itertools.combinations([item.box for item in items], 2):
            assert max(a[0] - b[2], b[0] - a[2], a[1] - b[3], b[1] - a[3]) >= GAP


def test_the_picture_shows_the_frame_and_nothing_hides_it():
    case = prior.case(3, 0)
    pixels = np.asarray(render(case.scene)).astype(int)
    edge = np.ones((SIDE, SIDE), dtype=bool)
    edge[prior.FRAME : -prior.FRAME, prior.FRAME : -prior.FRAME] = False
    assert np.abs(pixels[edge] - COLOURS[case.frame]).max() <= 12
    assert np.ptp(pixels[edge], axis=0).max() == 0
    assert pixels[prior.FRAME, prior.FRAME].min() > 180


def test_samples_say_what_decides():
    for sample in prior.samples(20, 2, language=0.5, image=0.5):
        ((start, end),) = sample.truth["text"]
        assert sample["text"].data[start:end] == sample.tags["shape"]
        assert sample.tags["type"] == "colour"
        (mask,) = sample.masks["image"]
        x0, _, _, y1 = sample.truth["image"][0]
        rows, columns = np.nonzero(mask)
        assert x0 - 1 <= columns.min() <= x0 + 2
        assert y1 - 2 <= rows.max() <= y1 + 1
        pixels = np.asarray(sample["image"].data)[mask].astype(int)
        assert np.abs(np.median(pixels, axis=0) - COLOURS[sample.answer]).max() <= 12


def test_samples_depend_on_seed_strength_and_number_alone():
    few, many = prior.samples(3, 4, language=0.6), prior.samples(5, 4, language=0.6)
    for a, b in zip(few, many, strict=False):
        assert np.array_equal(np.asarray(a["image"].data), np.asarray(b["image"].data))
        assert (a["text"].data, a.answer, a.tags, a.id) == (b["text"].data, b.answer, b.tags, b.id)
    other = prior.samples(3, 5, language=0.6)
    assert not np.array_equal(np.asarray(few[0]["image"].data), np.asarray(other[0]["image"].data))


def test_strengths_change_colours_alone():
    for index in range(20):
        free, led = (prior.case(index, 0, language=s, image=s) for s in (0.0, 1.0))
        assert led.canonical
        assert led.cue_right
        assert free.question.text == led.question.text
        assert [item.box for item in free.scene.items] == [item.box for item in led.scene.items]


def test_the_models_know_every_word():
    texts = {sample["text"].data for sample in prior.samples(80, 0)}
    assert len(texts) == 16
    assert VOCABULARY[UNKNOWN] not in {token for text in texts for word in token_words(text) for token in word}


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["language", "image"])
def test_strengths_outside_their_range_are_refused_by_name(name, strength):
    with pytest.raises(InvalidInput, match=name):
        prior.samples(1, 0, **{name: strength})
    with pytest.raises(InvalidInput, match=name):
        prior.pid(**({"language": 0.5, "image": 0.5} | {name: strength}))


@pytest.mark.parametrize(("n", "seed"), [(-1, 0), (1, -1)])
def test_negative_numbers_are_refused(n, seed):
    with pytest.raises(InvalidInput, match="negative"):
        prior.samples(n, seed)


def test_the_types_that_are_listed_can_be_asked_for():
    listed = list(contents.templates("prior"))
    asked = dataset("prior", 8, 0, types=listed, language=0.5)
    assert {sample.tags["type"] for sample in asked} == set(listed)
    for sample, plain in zip(asked, dataset("prior", 8, 0, language=0.5), strict=True):
        assert (sample["text"].data, sample.answer, sample.tags) == (plain["text"].data, plain.answer, plain.tags)
        assert np.array_equal(np.asarray(sample["image"].data), np.asarray(plain["image"].data))


@pytest.mark.parametrize(("types", "error"), [(["shape"], UnknownName), ([], InvalidInput), ("colour", InvalidInput)])
def test_other_types_are_refused(types, error):
    with pytest.raises(error, match="type"):
        prior.samples(1, 0, types)
