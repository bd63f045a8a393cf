"""Fusion recipes: packing changes nothing, training runs what the saved model runs, the library takes the result."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
import transformers

from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models import hub
from chiasm.models.doctor import examine
from chiasm.zoo.answers_fusion import ANSWERS as ANSWERERS
from chiasm.zoo.data.phrases import ANSWERS, PHRASES
from chiasm.zoo.data.questions import KINDS, ask
from chiasm.zoo.data.scenes import COLOURS, Item, Scene, draw_scene, render
from chiasm.zoo.data.words import END, MASK, USER, VOCABULARY, token_words
from chiasm.zoo.recipes import blip, training, vilt
from chiasm.zoo.recipes.building import scaled
from chiasm.zoo.recipes.fusion import QuestionBatches, referents
from chiasm.zoo.recipes.pictures import FORMS, IGNORED, Mix, shrink

RECIPES = [vilt, blip]
NAMES = ["vilt", "blip"]
CPU = torch.device("cpu")
FILLERS = {"colour": "red", "shape": "star", "shapes": "stars", "colour2": "blue", "shape2": "cross", "digit": "7"}
FILLERS |= {"relation": "left of", "order": "larger", "place": "top", "sum": "total", "parity": "odd"}
FILLERS |= {"way": "left", "other": "right"}


@pytest.fixture(scope="module")
def tiny_vilt():
    torch.manual_seed(0)
    return vilt.build(width=32, layers=5, heads=2).eval()


@pytest.fixture(scope="module")
def tiny_blip():
    torch.manual_seed(0)
    return blip.build(width=32, tower_layers=1, layers=3, heads=2).eval()


def tensors(**options):
    made = QuestionBatches(128, 8, seed=3, steps=10, grown=True, **{"pictures": 3, "questions": 5} | options)(0)
    return {name: torch.from_numpy(array) for name, array in made.items()}


def scene_of(*items):
    placed = [
        Item(colour, shape, 40.0 + 70 * k, 50.0 + 60 * k, 20.0, COLOURS[colour])
        for k, (colour, shape) in enumerate(items)
    ]
    return Scene(tuple(placed), np.full((1, 1, 3), 200, dtype=np.uint8))


def single(batch, row, number):
    """Tokens and visibility of one question of a packed row."""
    own = batch["segments"][row] == number
    return batch["ids"][row][own][None], ~batch["hidden"][row][own][None]


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_training_sees_the_pixels_and_tokens_of_the_processor(recipe):
    processor = recipe.processor()
    picture = render(draw_scene(np.random.default_rng(1)))
    mine = scaled(torch.from_numpy(shrink(picture, recipe.SIDE))[None])
    assert torch.allclose(processor.image_processor(picture, return_tensors="pt")["pixel_values"], mine, atol=1e-5)
    for phrases in PHRASES.values():
        text = phrases[-1].format(**FILLERS)
        words = [token for word in token_words(text) for token in word]
        ids = processor(images=picture, text=text, return_tensors="pt")["input_ids"][0].tolist()
        assert ids == [VOCABULARY[USER], *words, VOCABULARY[END]]


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_texts_are_padded_on_the_right(recipe):
    ids = recipe.processor().tokenizer(["red", f"red {MASK} star"], padding=True)["input_ids"]
    assert [row[0] for row in ids] == [VOCABULARY[USER]] * 2
    assert ids[1][2] == VOCABULARY[MASK]
    assert ids[0][2] == VOCABULARY[END]


def test_the_last_phase_of_vilt_is_its_plain_forward_pass(tiny_vilt):
    batch = tensors(mix=Mix(hidden=1.0))
    words = vilt.unpacked(batch)
    rows = len(words["ids"])
    assert not words["visible"][words["ids"] != 0].all()  # some words are hidden from attention
    with torch.no_grad():
        mine = vilt.joint_states(tiny_vilt, batch["pixels"], words["ids"], words["visible"]).logits
        plain = tiny_vilt(
            input_ids=words["ids"],
            attention_mask=words["visible"].long(),
            pixel_values=scaled(batch["pixels"]).repeat_interleave(5, dim=0),
            pixel_mask=torch.ones(rows, 128, 128, dtype=torch.long),
        ).logits
    assert torch.allclose(mine, plain, atol=1e-5)
    assert plain.std(0).max() > 1e-3  # the rows differ, so that equality says something


def test_unpacked_questions_are_those_that_were_packed():
    batch = tensors(mix=Mix(hidden=1.0))
    words = vilt.unpacked(batch)
    for row in range(3):
        for number in range(1, 6):
            ids, visible = single(batch, row, number)
            k, n = row * 5 + number - 1, ids.shape[1]
            assert torch.equal(words["ids"][k, :n], ids[0])
            assert torch.equal(words["visible"][k, :n], visible[0])
            assert not words["visible"][k, n:].any()
            assert torch.equal(words["count"][k, :n], batch["count"][row][batch["segments"][row] == number])
            assert (words["count"][k, n:] == IGNORED).all()


def test_a_question_that_the_picture_looks_at_is_answered_as_alone(tiny_vilt):
    batch = tensors(mix=Mix(hidden=1.0))
    ones = torch.ones(3, dtype=torch.long)
    words = vilt.unpacked(batch)
    with torch.no_grad():
        leaked, blind = (vilt.packed_states(tiny_vilt, batch, leak) for leak in (ones, 0 * ones))
        alone = vilt.joint_states(tiny_vilt, batch["pixels"], words["ids"], words["visible"]).logits.view(3, 5, -1)
    assert torch.allclose(leaked.logits[:, 0], alone[:, 0], atol=1e-5)
    assert not torch.allclose(blind.logits[:, 0], alone[:, 0], atol=1e-5)
    assert not torch.allclose(leaked.seen, blind.seen, atol=1e-5)


def test_packed_questions_of_vilt_do_not_see_each_other(tiny_vilt):
    batch = tensors()
    changed = dict(batch)
    last = batch["segments"] == 5
    changed["ids"] = torch.where(last, VOCABULARY["red"], batch["ids"])
    none = torch.zeros(3, dtype=torch.long)
    with torch.no_grad():
        before, after = (vilt.packed_states(tiny_vilt, b, none).logits for b in (batch, changed))
    assert torch.allclose(before[:, :4], after[:, :4], atol=1e-5)
    assert not torch.allclose(before[:, 4], after[:, 4], atol=1e-5)


def test_packed_questions_of_blip_equal_the_librarys_pass_one_by_one(tiny_blip):
    batch = tensors(mix=Mix(hidden=1.0))
    with torch.no_grad():
        seen = blip.encode_pictures(tiny_blip, batch["pixels"])
        packed = blip.answer_logits(tiny_blip, batch, blip.encode_questions(tiny_blip, batch, seen)[-1])
        for row in range(3):
            for number in range(1, 6):
                ids, visible = single(batch, row, number)
                # The library's decoder looks at hidden positions too, so a hidden word is left out after the encoder.
                question = tiny_blip.text_encoder(
                    input_ids=ids, attention_mask=visible.long(), encoder_hidden_states=seen[row : row + 1]
                ).last_hidden_state[visible][None]
                answer = torch.tensor([[tiny_blip.decoder_start_token_id, int(batch["words"][row, number - 1])]])
                alone = tiny_blip.text_decoder(
                    input_ids=answer, encoder_hidden_states=question, use_cache=False
                ).logits[0]
                assert torch.allclose(packed[row, number - 1], alone, atol=1e-4)


def test_words_name_the_objects_that_they_fit():
    scene = scene_of(("red", "star"), ("blue", "star"), ("blue", "cross"))
    cases = {
        "What colour is the cross?": {4: (2,)},
        "Is there a red star?": {4: (0,)},
        "Is there a red cross?": {4: ()},
        "How many stars are there?": {2: (0, 1)},
        "How many blue objects are there?": {3: (1, 2)},
        "Is the blue star left of the blue cross?": {3: (1,), 8: (2,)},
        "Which digit is red?": {3: (0,)},
        "What is the blue digit?": {4: (1, 2)},
        "Is there a digit?": {},
    }
    for text, expected in cases.items():
        tokens = [token for word in token_words(text) for token in word]
        assert referents(tokens, [False] * len(tokens), scene) == expected, text


def test_hidden_words_name_nothing():
    scene = scene_of(("red", "star"), ("blue", "star"))
    tokens = [token for word in token_words("Is there a red star?") for token in word]
    hide = lambda word: [token == VOCABULARY[word] for token in tokens]  # noqa: E731
    assert referents(tokens, hide("red"), scene) == {4: (0, 1)}
    assert referents(tokens, hide("star"), scene) == {3: (0,)}


def test_labels_of_words_and_answers_are_the_truth():
    make = QuestionBatches(128, 8, seed=5, steps=10, pictures=8, questions=6, mix=Mix(hidden=0, digits=0.5))
    batch, again = make(9), make(9)
    assert all(np.array_equal(batch[name], again[name]) for name in batch)
    for label, word in zip(batch["labels"].ravel(), batch["words"].ravel(), strict=True):
        assert VOCABULARY[ANSWERS[label]] == word
    form = batch["word form"]
    named = form != IGNORED
    assert (batch["count"][named] == 1).all()
    spoken = {VOCABULARY[f]: FORMS.index(f) + 1 for f in FORMS}
    for token, label in zip(batch["ids"][named], form[named], strict=True):
        assert spoken.get(int(token), label) == label


def test_the_picture_of_every_other_row_looks_at_its_question_late():
    make = QuestionBatches(128, 8, seed=0, steps=10, pictures=4, questions=2, leak_from=0.5)
    assert make(4)["leak"].tolist() == [0, 0, 0, 0]
    assert make(5)["leak"].tolist() == [0, 1, 0, 1]
    assert not QuestionBatches(128, 8, seed=0, steps=10, pictures=4, questions=2)(9)["leak"].any()


def small_plan(recipe, seed=0):
    plan = recipe.plan(seed, steps_scale=0.0005)
    for phase in plan.phases:
        phase.batches = dataclasses.replace(phase.batches, pictures=2)
    return plan


@pytest.mark.parametrize("recipe", RECIPES, ids=NAMES)
def test_training_is_deterministic_and_fits_the_package(recipe, tmp_path):
    first, second = small_plan(recipe), small_plan(recipe)
    fresh = {name: weight.clone() for name, weight in first.model.named_parameters()}
    report = training.train(first, CPU)
    training.train(second, CPU)
    for (name, a), b in zip(first.model.named_parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b), name
    assert any(not torch.equal(a, fresh[name]) for name, a in first.model.named_parameters())
    training.save(first, report, tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size < 2.65e6


@pytest.mark.parametrize(("name", "recipe"), list(zip(NAMES, RECIPES, strict=True)), ids=NAMES)
def test_a_saved_model_passes_the_doctor_and_answers_alike(name, recipe, tmp_path, request):
    model, processor = request.getfixturevalue(f"tiny_{name}"), recipe.processor()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    architecture = type(model).__name__
    again = getattr(transformers, architecture).from_pretrained(tmp_path).eval()
    loaded = transformers.AutoProcessor.from_pretrained(tmp_path)
    rng = np.random.default_rng(0)
    kinds = ["existence", "counting", "existence", "counting"]
    scenes = [draw_scene(rng) for _ in kinds]
    texts = [ask(scene, kind, rng).text for scene, kind in zip(scenes, kinds, strict=True)]
    pictures = [render(scene) for scene in scenes]
    given, chances = ANSWERERS[architecture](again, loaded, pictures, texts, batch=3)
    adapter = hub.load(str(tmp_path))
    samples = [Sample(image=picture, text=text) for picture, text in zip(pictures, texts, strict=True)]
    for sample, answer, chance in zip(samples, given, chances, strict=True):
        _, prediction = adapter.resolve(adapter.prepare(sample), Target(answer=answer))
        assert prediction.explained_probability == pytest.approx(chance, abs=1e-5)
        assert prediction.answer.split()[:1] in ([answer], [])  # a special token is left out of what BLIP writes
    for text in ("attention", "mask", "delete"):
        checks = examine(adapter, samples[0], maskers={"text": text}, target=Target(answer="red"))
        assert [check for check in checks if check.ok is False] == []


def test_every_kind_of_question_has_its_answers_among_the_labels():
    labels = set(vilt.build(width=32, layers=1, heads=2).config.id2label.values())
    rng = np.random.default_rng(0)
    for family, kinds in KINDS.items():
        scene = draw_scene(rng, family=family)
        for kind in kinds:
            question = next(filter(None, (ask(scene, kind, rng) for _ in range(50))), None)
            assert question is None or question.answer in labels
