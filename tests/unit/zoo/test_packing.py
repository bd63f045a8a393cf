"""Training batches: packing changes nothing, hiding hides what it says, and the data follow the step alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chiasm.zoo import llava_shapes
from chiasm.zoo.hiding import draw_cells, hide_cells, hide_words
from chiasm.zoo.packing import (
    IGNORED,
    PackedBatches,
    PictureBatches,
    draw_questions,
    pack_row,
    pad_rows,
    patch_truth,
    picture_row,
    shrink,
)
from chiasm.zoo.questions import KINDS, PHRASES
from chiasm.zoo.scenes import COLOURS, SIDE, draw_scene, render
from chiasm.zoo.words import MASK, UNKNOWN, VOCABULARY, token_words

WEIGHTS = dict.fromkeys(KINDS, 1.0)


@pytest.fixture(scope="module")
def processor():
    return llava_shapes.processor()


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return llava_shapes.build(width=32, tower_layers=1, layers=2, heads=2).eval()


@pytest.mark.parametrize("hidden_share", [0.0, 1.0])
def test_packed_questions_equal_separate_ones(tiny, processor, hidden_share):
    rng = np.random.default_rng(3)
    scene = draw_scene(rng)
    picture = render(scene)
    rows = [
        pack_row(draw_questions(scene, n, WEIGHTS, rng), llava_shapes.GEOMETRY.prefix, hidden_share, rng)
        for n in (5, 5)
    ]
    pixels = np.stack([shrink(picture, 128)] * 2)
    batch = {name: torch.from_numpy(array) for name, array in pad_rows(rows).items()}
    values = processor.image_processor(picture, return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        packed = llava_shapes.packed_logits(
            tiny, batch, llava_shapes.encode_pictures(tiny, torch.from_numpy(pixels))[1]
        )
        for r, row in enumerate(rows):
            segments = np.array(row["segments"])
            for number in range(1, 6):
                chosen = (segments == 0) | (segments == number)
                ids = torch.tensor(np.array(row["ids"])[chosen])[None]
                visible = torch.tensor(~np.array(row["hidden"])[chosen])[None].long()
                alone = tiny(input_ids=ids, pixel_values=values, attention_mask=visible).logits[0, -3:-1]
                assert torch.allclose(alone, packed[r, number - 1], atol=1e-4)


def test_training_pixels_equal_the_processors(processor):
    picture = render(draw_scene(np.random.default_rng(1)))
    mine = torch.from_numpy(shrink(picture, 128)).permute(2, 0, 1).float() / 127.5 - 1
    assert torch.allclose(processor.image_processor(picture, return_tensors="pt")["pixel_values"][0], mine, atol=1e-5)


def test_the_tokenizer_agrees_with_the_workers_and_has_right_offsets(processor):
    tokenizer = processor.tokenizer
    fillers = {"colour": "red", "shape": "cross", "shapes": "crosses"}
    for phrases in PHRASES.values():
        for phrase in phrases:
            text = phrase.format(**fillers)
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
    assert ids == [*llava_shapes.GEOMETRY.prefix, *words, VOCABULARY["<assistant>"]]


def test_patch_labels_lie_on_their_objects():
    scene = draw_scene(np.random.default_rng(2))
    colour, shape, centre = patch_truth(scene, 8)
    names = list(COLOURS)
    for item in scene.items:
        patch = int(item.y // 32) * 8 + int(item.x // 32)
        assert names[colour[patch] - 1] == item.colour
        assert shape[patch] > 0
        assert np.allclose((centre[patch] + 1) * SIDE / 2, (item.x, item.y), atol=1e-3)


def test_hidden_cells_change_only_themselves_and_lose_their_labels():
    rng = np.random.default_rng(4)
    picture = render(draw_scene(rng))
    for _ in range(20):
        kept = draw_cells(rng, SIDE)
        masked = hide_cells(picture, kept, rng)
        assert np.array_equal(np.asarray(masked)[kept], np.asarray(picture)[kept])
    row = picture_row(draw_scene(rng), llava_shapes.GEOMETRY, 1.0, np.random.default_rng(1))
    assert row["masked"]
    assert (row["colour"] == IGNORED).any()
    assert np.array_equal(row["colour"] == IGNORED, row["shape"] == IGNORED)


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


def test_batches_follow_the_seed_and_the_step():
    make = PackedBatches(llava_shapes.GEOMETRY, seed=1, steps=10, pictures=2, questions=3)
    again, other = make(7), PackedBatches(llava_shapes.GEOMETRY, seed=2, steps=10, pictures=2, questions=3)(7)
    for name, array in make(7).items():
        assert np.array_equal(array, again[name])
    assert not np.array_equal(again["pixels"], other["pixels"])
    assert not np.array_equal(again["pixels"], make(8)["pixels"])


def test_masking_grows_from_nothing():
    pictures = PictureBatches(llava_shapes.GEOMETRY, seed=0, steps=100, pictures=12)
    assert not pictures(0)["masked"].any()
    assert pictures(99)["masked"].any()
