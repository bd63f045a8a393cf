"""Pictures of decoder families: tiles, flat patches, padding that is none."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from decoder_help import ALL, QUESTION, Case, plain_inputs, plain_score
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models.decoder_images import never_zero

CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("shape", [(45, 63), (80, 20), (64, 64), (33, 70), (7, 9)])
def test_pixels_equal_the_processors(kind, shape, adapter):
    model = adapter(kind)
    picture = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    sight = model.pictures.fit(picture)
    own = model.pictures.tensors(sight, sight.seen[None], None)
    more = {"crop_to_patches": True} if kind == "internvl" else {}
    theirs = model.image_processor(images=Image.fromarray(picture), return_tensors="pt", **more)
    for name, tensor in own.items():
        assert tensor.shape == theirs[name].shape
        assert (tensor - theirs[name]).abs().max() <= 1e-5


@pytest.mark.parametrize("kind", ALL)
def test_a_batch_of_masked_pictures_equals_each_alone(kind, adapter, picture):
    model = adapter(kind)
    sight = model.pictures.fit(picture)
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 256, (3, *sight.seen.shape), dtype=np.uint8)
    together = model.pictures.tensors(sight, batch, None)["pixel_values"]
    alone = torch.cat([model.pictures.tensors(sight, one[None], None)["pixel_values"] for one in batch])
    assert torch.equal(together, alone)


@pytest.mark.parametrize("kind", ["idefics3", "smolvlm", "internvl"])
def test_pictures_are_cut_into_tiles(kind, adapter, picture):
    prepared = adapter(kind).prepare(Sample(image=picture, text=QUESTION))
    assert prepared.state.sights["image"].tokens == 20  # four tiles and the whole, four tokens each
    assert prepared.contexts["image"].grid == (4, 4)
    raw = kind == "internvl"
    assert prepared.contents["image"].shape == (picture.shape if raw else (64, 64, 3))


@pytest.mark.parametrize("kind", ["idefics3", "smolvlm"])
def test_splitting_can_be_switched_off(kind, adapter, picture):
    case = Case(adapter(kind, split=False), picture)
    assert case.prepared.contents["image"].shape == (32, 32, 3)
    plain = plain_score(case.adapter, plain_inputs(case.adapter, picture, QUESTION), case.answer_ids)
    np.testing.assert_allclose(case.full(), plain, **CLOSE)


def test_internvl_with_one_tile_sees_it_at_its_own_size(adapter, picture):
    case = Case(adapter("internvl", most=1), picture)
    assert case.prepared.contents["image"].shape == (32, 32, 3)
    assert case.prepared.contexts["image"].grid == (2, 2)
    plain = plain_score(case.adapter, plain_inputs(case.adapter, picture, QUESTION), case.answer_ids)
    np.testing.assert_allclose(case.full(), plain, **CLOSE)


def test_grids_are_those_of_the_image_tokens(adapter, picture):
    grids = {kind: adapter(kind).prepare(Sample(image=picture, text=QUESTION)).contexts["image"].grid for kind in ALL}
    assert grids["llava"] == grids["paligemma"] == grids["blip-2"] == (4, 4)
    assert grids["qwen2_vl"] == grids["qwen3_vl"] == (3, 4)  # 48 x 64 pixels, tokens of 16


def test_hiding_pixels_of_one_tile_changes_that_tile_and_the_whole(adapter, picture):
    model = adapter("idefics3")
    sight = model.pictures.fit(picture)
    masked = sight.seen.copy()
    masked[:32, :32] = 0
    before = model.pictures.tensors(sight, sight.seen[None], None)["pixel_values"][0]
    after = model.pictures.tensors(sight, masked[None], None)["pixel_values"][0]
    changed = [bool((before[tile] != after[tile]).any()) for tile in range(5)]
    assert changed == [True, False, False, False, True]


@pytest.mark.parametrize("kind", ["idefics3", "smolvlm"])
def test_an_all_zero_picture_is_no_padding(kind, adapter, picture):
    """The library drops tiles that are exactly zero; with this normalisation that is a black picture."""
    model = adapter("idefics3", plain=True) if kind == "idefics3" else adapter("smolvlm")
    if kind == "smolvlm":
        model.image_processor.do_normalize, before = False, model.image_processor.do_normalize
    try:
        case = Case(model, picture, image="zero")
        coalitions = np.ones((3, case.n), bool)
        coalitions[1, :4] = False  # black: every tile is zero
        coalitions[2, 0] = False  # one black tile
        values = case.values(coalitions)
        assert np.isfinite(values).all()
        black = Case(model, np.zeros_like(picture))
        np.testing.assert_allclose(values[1], black.full(), **CLOSE)
        np.testing.assert_allclose(black.full(), model.plain_value(black.prepared, black.target), **CLOSE)
    finally:
        if kind == "smolvlm":
            model.image_processor.do_normalize = before


def test_zero_tiles_get_one_tiny_pixel_and_others_none():
    tiles = torch.zeros(2, 3, 4, 4)
    tiles[1, 0, 2, 2] = 0.5
    fixed = never_zero(tiles.clone())
    assert fixed[0].count_nonzero() == 1
    assert fixed[0].max() == pytest.approx(1e-6)
    assert torch.equal(fixed[1], tiles[1])
    assert (fixed.to(torch.float16) != 0).any(dim=3).any(dim=2).any(dim=1).all()  # half precision keeps it


def test_a_picture_the_processor_refuses_is_refused_with_words(adapter):
    thin = np.zeros((2, 600, 3), np.uint8)
    with pytest.raises(InvalidInput, match="refuses the picture"):
        adapter("qwen2_vl").prepare(Sample(image=thin, text=QUESTION))


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "idefics3", "internvl"])
def test_the_smallest_picture_works(kind, adapter):
    dot = np.full((1, 1, 3), 90, np.uint8)
    case = Case(adapter(kind), dot, grid="grid:1x1")
    assert np.isfinite(case.full())


def test_features_are_forgotten_when_they_take_too_much(adapter, picture):
    model = adapter("llava")
    case = Case(model, picture)
    store = case.prepared.state.store
    one = 16 * 32 * 4
    store.most_bytes = 3 * one
    masks = np.ones((8, case.n), bool)
    masks[np.arange(8), np.arange(8) % 4] = False
    masks[4:, (np.arange(4) + 1) % 4] = False
    wanted = case.values(masks)
    assert store._bytes <= store.most_bytes
    np.testing.assert_allclose(case.values(masks), wanted, **CLOSE)


def test_masks_of_two_value_functions_are_not_confused(adapter, picture):
    model = adapter("llava")
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    target, _ = model.resolve(prepared, Target(answer="yes"))
    from chiasm.modalities import modalities

    players = prepared.players({"image": "grid:2x2", "text": "words"})
    text = modalities.get("text").masker("attention")
    empty = np.zeros((1, len(players)), bool)
    found = [
        model.values(prepared, players, {"image": modalities.get("image").masker(m), "text": text}, target, None)(empty)
        for m in ("zero", "mean", "zero")
    ]
    assert found[0] == found[2] != found[1]
