"""The zoo's decoders: packing changes nothing, training sees what the processor makes, the doctor is content."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from chiasm import Sample, load
from chiasm.core.errors import InvalidInput
from chiasm.models.decoder_families import image_token_id
from chiasm.models.doctor import examine
from chiasm.zoo import answers
from chiasm.zoo.data.questions import KINDS
from chiasm.zoo.data.scenes import draw_scene, render
from chiasm.zoo.data.words import ASSISTANT, VOCABULARY, token_words
from chiasm.zoo.recipes import decoders, idefics, llava, qwen, training
from chiasm.zoo.recipes.packing import draw_questions, named_objects, pack_row, pad_rows
from chiasm.zoo.recipes.pictures import IGNORED, picture_row, shrink

SMALL = {"width": 32, "tower_layers": 2, "layers": 2, "heads": 2}
BUILT = {
    llava: SMALL,
    qwen: SMALL | {"tower_width": 32},
    idefics: SMALL | {"tower_width": 32},
}
QUESTIONS = ["Is there a red star?", "How many objects are there?", "What colour is the circle?"]


@dataclasses.dataclass
class Case:
    """A tiny decoder with its processor and every size of pictures that it is trained on, the usual one last."""

    module: object
    model: object
    processor: object
    views: list

    @property
    def mrope(self):
        return self.module is qwen


@pytest.fixture(scope="module", params=BUILT, ids=["llava", "qwen", "idefics"])
def case(request):
    torch.manual_seed(0)
    module = request.param
    model, processor = module.build(**BUILT[module]).eval(), module.processor()
    if module is qwen:
        views = [view for view, _ in qwen.views(model, processor)]
    else:
        views = [decoders.view_of(processor, module.SIDE, module.PATCH, getattr(module, "MERGE", 1))]
    return Case(module, model, processor, views)


@pytest.fixture(scope="module")
def saved(case, tmp_path_factory):
    """The tiny decoder as `training.save` writes it."""
    folder = tmp_path_factory.mktemp("decoder")
    plan = training.Plan("tiny", 0, case.model, case.processor, None, [])
    training.save(plan, {}, folder)
    return folder


def picture(seed=1):
    return render(draw_scene(np.random.default_rng(seed)))


def packed_batch(view, hidden_share):
    """Two rows of five questions about one picture, as training packs them."""
    rng = np.random.default_rng(3)
    scene = draw_scene(rng)
    weights = dict.fromkeys(KINDS["shapes"], 1.0)
    prefix = [0] * 7  # not this model's; replaced below
    rows = [pack_row(draw_questions(scene, "shapes", 5, weights, rng), prefix, hidden_share, rng) for _ in range(2)]
    pictures = [picture_row(scene, view.side, view.grid, 0.0, rng)] * 2
    batch = pad_rows(rows) | {name: np.stack([row[name] for row in pictures]) for name in pictures[0]}
    batch |= named_objects(rows, [scene] * 2, [False] * 2)
    return view.begun(view.merged(batch), len(prefix)), render(scene), batch


def alone(case, view, given, ids, visible):
    """Logits of one question by the plain forward pass, for a picture of the size of the view."""
    small = Image.fromarray(shrink(given, view.side))
    inputs = dict(answers.chat_inputs(case.processor, [small], ["red"]))
    inputs = {name: value for name, value in inputs.items() if name.startswith(("pixel", "image"))}
    if case.mrope:
        inputs["mm_token_type_ids"] = (ids == case.model.config.image_token_id).int()
    if not visible.all():  # the library then gives the positions of the whole row
        inputs["attention_mask"] = visible.long()
        inputs["position_ids"] = torch.arange(ids.shape[1])[None]
        if case.mrope:
            grids = inputs["image_grid_thw"]
            inputs["position_ids"] = case.model.model.get_rope_index(ids, inputs["mm_token_type_ids"], grids)[0]
    with torch.no_grad():
        return case.model(input_ids=ids, **inputs).logits[0]


@pytest.mark.parametrize("hidden_share", [0.0, 1.0])
def test_packed_questions_equal_separate_ones_through_the_plain_forward(case, hidden_share):
    for view in case.views:
        batch, given, _ = packed_batch(view, hidden_share)
        assert batch["hidden"].any() == bool(hidden_share)
        tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
        with torch.no_grad():
            packed = case.module.logits(case.model, tensors, case.module.encode(case.model, tensors))
        for r, row in enumerate(batch["segments"]):
            for number in range(1, 6):
                chosen = (row == 0) | (row == number)
                ids = torch.from_numpy(batch["ids"][r][chosen])[None]
                visible = torch.from_numpy(~batch["hidden"][r][chosen])[None]
                separate = alone(case, view, given, ids, visible)[-3:-1]
                assert torch.allclose(separate, packed[r, number - 1], atol=1e-4)


def test_rows_begin_as_the_processor_writes_them(case):
    for view in case.views:
        square = Image.new("RGB", (view.side, view.side))
        inputs = answers.chat_inputs(case.processor, [square], QUESTIONS[:1])
        words = [token for word in token_words(QUESTIONS[0]) for token in word]
        ids = inputs["input_ids"][0]
        assert ids.tolist() == [*view.prefix, *words, VOCABULARY[ASSISTANT]]
        assert (ids == image_token_id(case.model.config)).sum() == (view.grid // view.merge) ** 2


def test_training_pixels_give_the_features_of_the_processors_own(case):
    largest = max(case.views, key=lambda view: view.side)
    inputs = answers.chat_inputs(case.processor, [picture()], QUESTIONS[:1])
    names = [name for name in inputs if name.startswith(("pixel_values", "image_grid"))]
    with torch.no_grad():
        theirs = case.model.get_image_features(**{name: inputs[name] for name in names}).pooler_output
        pixels = torch.from_numpy(shrink(picture(), largest.side))[None]
        ours = case.module.encode(case.model, {"pixels": pixels}).images
    theirs = torch.cat(list(theirs)) if not isinstance(theirs, torch.Tensor) else theirs
    assert torch.allclose(theirs.reshape(ours.shape), ours, atol=1e-4)


def test_patches_and_tokens_lie_where_their_labels_say(case):
    """Where a patch changes, its own features must change most: row by row, whatever order the tower works in."""
    view = case.views[-1]
    patch = view.side // view.grid
    blank = torch.full((1, view.side, view.side, 3), 128, dtype=torch.uint8)
    with torch.no_grad():
        before = case.module.encode(case.model, {"pixels": blank})
        for row, column in ((0, 1), (1, 0), (3, 6), (view.grid - 1, 2)):
            spot = blank.clone()
            spot[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch] = 255
            after = case.module.encode(case.model, {"pixels": spot})
            changed = (after.patches - before.patches).norm(dim=-1)[0]
            assert changed.argmax() == row * view.grid + column
            token = (after.images - before.images).norm(dim=-1)[0].argmax()
            assert token == row // view.merge * (view.grid // view.merge) + column // view.merge


def test_a_view_keeps_everything_but_the_beginning_of_rows(case):
    view = case.views[0]
    new, _, old = packed_batch(view, 0.0)
    at = (slice(None), slice(len(view.prefix), None))
    assert np.array_equal(new["ids"][at], old["ids"][:, 7:])
    assert np.array_equal(
        np.take_along_axis(new["ids"], new["asked"][..., 0], 1), np.take_along_axis(old["ids"], old["asked"][..., 0], 1)
    )
    assert len(old["named_at"])
    assert np.array_equal(new["ids"][tuple(new["named_at"].T)], old["ids"][tuple(old["named_at"].T)])
    assert (new["ids"][new["segments"] == 0].reshape(2, -1) == view.prefix).all()


def test_merged_labels_are_those_of_the_largest_visible_object():
    view = decoders.View(32, 4, 2, np.zeros(1, np.int64), np.zeros(1, np.int64), 1)
    colour = np.zeros((1, 16), dtype=np.int64)
    place = np.zeros((1, 16, 3), dtype=np.float32)
    colour[0, [0, 5, 6, 7]] = 3
    place[0, 0], place[0, 5] = (0.1, 0.2, 0.5), (0.3, 0.4, 0.7)  # both in the token at the upper left
    place[0, 6], place[0, 7] = (0.5, 0.6, 0.2), (0.7, 0.8, 0.9)  # the upper right one; its larger object is hidden
    colour[0, 7] = IGNORED
    colour[0, [8, 9, 12, 13]] = IGNORED  # the lower left one is hidden
    found = view.merged({"colour": colour, "place": place})
    assert found["token colour"].tolist() == [[0, 0, IGNORED, 0]]
    assert found["token place"][0, 0] == pytest.approx([0.3, 0.4, 0.7])
    assert found["token place"][0, 1] == pytest.approx([0.5, 0.6, 0.2])
    assert found["token place"][0, 3] == pytest.approx([0.5, 0.5, 0.0])  # empty: its own middle


def test_batches_come_in_every_size_and_follow_the_step():
    torch.manual_seed(0)
    shown = qwen.views(qwen.build(**BUILT[qwen]), qwen.processor())
    make = decoders.ViewBatches(shown, seed=1, steps=40, packed=True, pictures=1, questions=2)
    batches = [make(step) for step in range(20)]
    assert {batch["pixels"].shape[1] for batch in batches} == set(qwen.SIDES)
    again = make(11)
    for name, array in batches[11].items():
        assert np.array_equal(array, again[name])
    assert not np.array_equal(batches[11]["ids"], make(12)["ids"])
    for batch in batches:
        assert batch["positions"].shape == (3, *batch["ids"].shape)


def test_other_sizes_come_out_near_what_was_asked():
    """Pictures that are not square keep their form; the number of image tokens follows."""
    processor = qwen.processor()
    for size, rows, columns in (((256, 256), 7, 7), ((256, 128), 4, 9), ((90, 90), 6, 6), ((300, 600), 9, 4)):
        inputs = answers.chat_inputs(processor, [picture().resize(size)], QUESTIONS[:1])
        assert inputs["image_grid_thw"].tolist() == [[1, 2 * rows, 2 * columns]]
        assert inputs["mm_token_type_ids"].sum() == rows * columns


@pytest.mark.parametrize("masker", ["mean", "grey", "zero"])
def test_the_doctor_is_content(saved, masker):
    sample = Sample(image=picture(), text=QUESTIONS[0])
    checks = examine(load(saved, device="cpu"), sample, maskers={"image": masker})
    assert not [check for check in checks if check.ok is False]
    assert sum(check.ok is True for check in checks) >= 14


def test_answers_are_the_plain_forward_of_each_question_alone(case, saved):
    model, processor = answers.load(saved)
    pictures = [picture(), picture(2).resize((200, 120)), picture(3)]
    words, chances = answers.decoder_answers(model, processor, pictures, QUESTIONS, batch=2)
    for given, question, word, chance in zip(pictures, QUESTIONS, words, chances, strict=True):
        inputs = answers.chat_inputs(case.processor, [given], [question])
        with torch.no_grad():
            expected = model(**inputs).logits[0, -1].softmax(-1)
        assert chance == pytest.approx(float(expected.max()), abs=1e-4)
        assert processor.tokenizer.convert_tokens_to_ids(word) == int(expected.argmax())


def test_even_pictures_are_pictures_too(case):
    """A picture that comes out as zero all over would count as padding for Idefics3, and the model would refuse it."""
    shades = [Image.new("RGB", (64, 64), (shade,) * 3) for shade in range(256)]
    words, _ = answers.decoder_answers(case.model, case.processor, shades, QUESTIONS[:1] * 256, batch=256)
    assert len(words) == 256


def test_answers_need_a_picture_for_each_question(case):
    with pytest.raises(InvalidInput, match="one picture for each"):
        answers.decoder_answers(case.model, case.processor, [picture()], QUESTIONS)
    with pytest.raises(InvalidInput, match="0 questions"):
        answers.decoder_answers(case.model, case.processor, [], [])


def test_the_plain_processor_counts_pictures():
    with pytest.raises(InvalidInput, match="once for each of the 1 pictures"):
        qwen.processor()(text=["no picture"], images=[picture()])


@pytest.mark.parametrize("module", BUILT, ids=["llava", "qwen", "idefics"])
def test_one_step_of_each_phase_moves_what_it_should(module):
    plan = module.plan(0, steps_scale=1e-6)
    assert sum(weight.numel() for weight in plan.model.parameters()) < 1.5e6
    for phase in plan.phases:
        phase.batches = dataclasses.replace(phase.batches, pictures=2)
    before = {name: weight.clone() for name, weight in plan.model.named_parameters()}
    report = training.train(plan, torch.device("cpu"))
    still = [name for name, weight in plan.model.named_parameters() if torch.equal(weight, before[name])]
    # Of what the model has, only parts that no answer hangs on stay: the class token's norm, for one.
    assert all("post_layernorm" in name for name in still), still
    assert report["steps"] == {"tower": 1, "joint": 1}
    assert all(np.isfinite(line["loss"]) for line in report["curve"])
