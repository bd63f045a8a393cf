"""Training batches: packing changes nothing, hiding hides what it says, and the data follow the step alone."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chiasm.zoo.data.phrases import PHRASES
from chiasm.zoo.data.questions import DRILL, KINDS
from chiasm.zoo.data.scenes import COLOURS, SHAPES, SIDE, draw_scene, render
from chiasm.zoo.data.words import MASK, UNKNOWN, VOCABULARY, token_words, tokenizer
from chiasm.zoo.recipes import llava
from chiasm.zoo.recipes.fusion import QuestionBatches
from chiasm.zoo.recipes.hiding import choose, draw_cells, hide_cells, hide_words
from chiasm.zoo.recipes.packing import TYPES, AskedBatches, PackedBatches, draw_questions, named_objects, pack_row
from chiasm.zoo.recipes.pictures import FORMS, IGNORED, PictureBatches, patch_truth, picture_row

PREFIX = [VOCABULARY["<user>"], *[VOCABULARY["<image>"]] * llava.GRID**2]
PICTURE = "<|image_pad|>"


@pytest.fixture(scope="module")
def processor():
    return llava.processor()


def test_the_tokenizer_agrees_with_the_workers_and_has_right_offsets(processor):
    tokenizer = processor.tokenizer
    for phrases in PHRASES.values():
        for phrase in phrases:
            text = re.sub(r"{\w+}", "red", phrase)
            encoded = tokenizer(text, return_offsets_mapping=True)
            spoken = [text[start:end].lower() for start, end in encoded["offset_mapping"]]
            assert encoded["input_ids"] == [token for word in token_words(text) for token in word]
            assert spoken == tokenizer.convert_ids_to_tokens(encoded["input_ids"])
            assert VOCABULARY[UNKNOWN] not in encoded["input_ids"]


def test_the_tokenizer_keeps_mask_tokens_and_pads_left(processor):
    tokens = processor.tokenizer.tokenize(f"How many {MASK} objects are {MASK}")
    assert tokens == ["how", "many", MASK, "objects", "are", MASK]
    assert processor.tokenizer.padding_side == "left"
    assert processor.tokenizer("color")["input_ids"] != [VOCABULARY[UNKNOWN]]


@pytest.mark.parametrize("content", ["list", "string"])
def test_the_chat_template_writes_what_training_saw(processor, content):
    text = "Is there a red star?"
    parts = [{"type": "image"}, {"type": "text", "text": text}] if content == "list" else f"<image> {text}"
    prompt = processor.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
    picture = render(draw_scene(np.random.default_rng(1)))
    ids = processor(text=[prompt], images=[picture], return_tensors="pt")["input_ids"][0].tolist()
    words = [token for word in token_words(text) for token in word]
    assert ids == [*PREFIX, *words, VOCABULARY["<assistant>"]]


def test_further_special_tokens_leave_the_words_as_they_are():
    more = tokenizer(image_token=PICTURE, hidden_token=MASK)
    assert len(more) == len(VOCABULARY) + 1
    assert more.image_token == PICTURE
    assert more(f"{PICTURE}RED?")["input_ids"] == [len(VOCABULARY), VOCABULARY["red"], VOCABULARY["?"]]


@pytest.mark.parametrize("family", ["shapes", "digits"])
def test_patch_labels_lie_on_their_objects(family):
    scene = draw_scene(np.random.default_rng(2), family=family)
    colour, form, place = patch_truth(scene, 16)
    names = list(COLOURS)
    for item in scene.items:
        patch = int(item.y // 16) * 16 + int(item.x // 16)
        assert names[colour[patch] - 1] == item.colour
        assert FORMS[form[patch] - 1] == item.shape
        assert np.allclose((place[patch, :2] + 1) * SIDE / 2, (item.x, item.y), atol=1e-3)
        assert place[patch, 2] * 40 == pytest.approx(item.radius, rel=1e-6)
    assert (colour == 0).any()
    assert np.array_equal(colour == 0, form == 0)


def test_hidden_cells_change_only_themselves_and_lose_their_labels():
    rng = np.random.default_rng(4)
    picture = render(draw_scene(rng))
    for _ in range(20):
        kept = draw_cells(rng, SIDE)
        masked = hide_cells(picture, kept, rng)
        assert np.array_equal(np.asarray(masked)[kept], np.asarray(picture)[kept])
    scene = draw_scene(rng)
    row = picture_row(scene, 128, 8, 1.0, np.random.default_rng(1))
    assert row["masked"]
    assert (row["colour"] == IGNORED).any()
    assert np.array_equal(row["colour"] == IGNORED, row["form"] == IGNORED)
    assert not picture_row(scene, 128, 8, 0.0, np.random.default_rng(1))["masked"]


def test_hidden_words_are_masked_cut_or_unattended():
    words = [[10], [11], [12, 13]]
    seen = set()
    rng = np.random.default_rng(0)
    for _ in range(200):
        tokens, hidden = hide_words(words, 2, rng)
        assert len(tokens) == len(hidden)
        if any(hidden):
            assert tokens == [10, 11, 12, 13]
            seen.add("attention")
        elif 2 in tokens:
            seen.add("mask")
        elif len(tokens) < 4:
            assert set(tokens) < {10, 11, 12, 13}
            seen.add("delete")
    assert seen == {"attention", "mask", "delete"}


@pytest.mark.parametrize("family", ["shapes", "digits"])
def test_questions_keep_to_their_family_and_weights(family):
    rng = np.random.default_rng(0)
    scene = draw_scene(rng, family=family)
    given = {question.kind for question in draw_questions(scene, family, 40, {"parity": 1.0, "counting": 1.0}, rng)}
    assert given == ({"parity"} if family == "digits" else {"counting"})
    every = dict.fromkeys((*KINDS["shapes"], *KINDS["digits"], DRILL), 1.0)
    assert {q.kind for q in draw_questions(scene, family, 60, every, rng)} <= {*KINDS[family], DRILL}


def test_rows_ask_at_the_right_tokens():
    rng = np.random.default_rng(6)
    scene = draw_scene(rng)
    questions = draw_questions(scene, "shapes", 6, {"colour": 1.0, "counting": 1.0}, rng)
    row = pack_row(questions, PREFIX, 0.0, rng)
    for question, asked, labels in zip(questions, row["asked"], row["labels"], strict=True):
        assert labels == [VOCABULARY[question.answer], VOCABULARY["</s>"]]
        assert [row["ids"][k] for k in asked] == [VOCABULARY["<assistant>"], labels[0]]
        assert row["ids"][asked[1] + 1] == labels[1]
        assert row["positions"][asked[0]] == len(PREFIX) + row["segments"][: asked[0]].count(row["segments"][asked[0]])


def test_words_that_name_objects_get_their_labels():
    rng = np.random.default_rng(7)
    scene = draw_scene(rng)
    questions = draw_questions(scene, "shapes", 12, {"colour": 1.0, "relation": 1.0}, rng)
    rows = [pack_row(questions, PREFIX, 0.0, rng)]
    found = named_objects(rows, [scene], [False])
    assert len(found["named_at"]) > 5
    words = {number: word for word, number in VOCABULARY.items()}
    for (_, token), form in zip(found["named_at"], found["named_form"], strict=True):
        word = words[rows[0]["ids"][token]]
        if word in SHAPES:
            assert FORMS[form - 1] == word
    assert len(named_objects(rows, [scene], [True])["named_at"]) == 0


def test_batches_follow_the_seed_and_the_step():
    make = PackedBatches(128, 8, seed=1, steps=10, pictures=2, questions=3)
    again, other = make(7), PackedBatches(128, 8, seed=2, steps=10, pictures=2, questions=3)(7)
    for name, array in make(7).items():
        assert np.array_equal(array, again[name])
    assert not np.array_equal(again["pixels"], other["pixels"])
    assert not np.array_equal(again["pixels"], make(8)["pixels"])


def test_masking_grows_from_nothing():
    pictures = PictureBatches(128, 8, seed=0, steps=100, pictures=12)
    assert not pictures(0)["masked"].any()
    assert pictures(99)["masked"].any()


def test_choices_come_as_often_as_their_shares_say():
    rng = np.random.default_rng(0)
    drawn = [choose(rng, {"often": 3.0, "never": 0.0, "rarely": 1.0}) for _ in range(2000)]
    assert drawn.count("never") == 0
    assert drawn.count("often") == pytest.approx(1500, abs=60)  # three standard deviations


def test_the_course_begins_easily_and_ends_with_the_slow_questions():
    course = AskedBatches(32, 4, seed=0, steps=100, pictures=60, questions=10)
    (first, last) = ([*course.draw(np.random.default_rng(0), fraction)] for fraction in (0.0, 1.0))
    assert course.hidden_share(0.0) == 0.0
    assert course.hidden_share(1.0) == course.mix.hidden
    assert max(len(scene.items) for scene, _, _ in first) == 3
    assert max(len(scene.items) for scene, _, _ in last) > 3
    assert not any(picture["masked"] for _, picture, _ in first)
    masked = sum(bool(picture["masked"]) for _, picture, _ in last)
    assert masked == pytest.approx(60 * course.mix.hidden, abs=12)
    early, late = ([question.kind for *_, questions in part for question in questions] for part in (first, last))
    assert set(late) == set(TYPES)
    assert late.count("counting") > early.count("counting")
    assert late.count("colour") < early.count("colour")


def test_decoders_and_encoders_of_questions_take_the_same_course():
    """What differs is how questions are packed: the first picture, drawn before any packing, is the same."""
    options = {"seed": 1, "steps": 10, "pictures": 1, "questions": 4}
    packed, separate = (kind(128, 8, **options)(9) for kind in (PackedBatches, QuestionBatches))
    for name in ("pixels", "colour", "form", "place", "masked", "kinds"):
        assert np.array_equal(packed[name], separate[name]), name
