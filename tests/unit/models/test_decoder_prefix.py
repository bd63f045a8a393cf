"""Values behind a shared prefix are those of whole prompts; where they would not be, no prefix is used."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from decoder_help import ALL, Case

from chiasm.core.coalitions import distinct
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models.decoder_prefix import Prefixes, shared_length

CAUSAL = [kind for kind in ALL if kind != "paligemma"]
CONTRAST = Target(answer="yes blue", against="no car is")


def few_pictures(n, pictures, texts, seed=0, cells=4):
    """Some masks of the picture with several texts each, shuffled; the first coalition is full, the second empty."""
    rng = np.random.default_rng(seed)
    images = rng.random((pictures, cells)) < 0.5
    words = rng.random((pictures * texts, n - cells)) < 0.5
    found = np.concatenate([np.repeat(images, texts, axis=0), words], axis=1)[rng.permutation(pictures * texts)]
    found[0], found[1] = True, False
    return found


def plainly(case, coalitions):
    return case.values._values(coalitions)


@pytest.mark.parametrize("kind", CAUSAL)
@pytest.mark.parametrize("masker", ["attention", "delete", "neutral"])
def test_values_are_those_of_whole_prompts(adapter, picture, kind, masker):
    case = Case(adapter(kind), picture, CONTRAST, text=masker)
    assert len(case.values.passes) == 2  # the two answers differ in their first token
    coalitions = few_pictures(case.n, 5, 6)
    found = case.values(coalitions)
    assert 3 <= case.values.prefixes.computed <= len(distinct(coalitions[:, :4])[0])
    expected = plainly(case, coalitions)
    assert expected.std() > 0.05
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_mask_token_in_the_place_of_a_word(adapter, picture):
    case = Case(adapter("llava"), picture, text="mask")
    coalitions = few_pictures(case.n, 3, 5)
    np.testing.assert_allclose(case.values(coalitions), plainly(case, coalitions), atol=2e-5)
    assert case.values.prefixes.computed >= 3


@pytest.mark.parametrize("name", ["llava-shapes", "qwen-shapes"])
def test_the_zoo(name):
    import chiasm
    from chiasm.models.games import make_game
    from chiasm.zoo import dataset

    sample = dataset("shapes", n=1, seed=5, types=["colour"])[0]
    values = make_game(chiasm.load(f"zoo:{name}", device="cpu"), sample, players={"image": "grid:3x3"}).game._values
    coalitions = few_pictures(len(values.players), 4, 6, cells=9)
    np.testing.assert_allclose(values(coalitions), values._values(coalitions), atol=1e-4)
    assert values.prefixes.computed >= 4


def test_small_batches_cut_groups_anywhere(adapter, picture):
    case = Case(adapter("qwen2_5_vl"), picture, batch_size=4)
    coalitions = few_pictures(case.n, 3, 7)
    np.testing.assert_allclose(case.values(coalitions), plainly(case, coalitions), atol=2e-5)


def test_each_prefix_is_read_once_and_a_known_one_needs_no_picture(adapter, picture):
    case = Case(adapter("llava"), picture)
    coalitions = few_pictures(case.n, 3, 8)
    coalitions[:2] = coalitions[2]  # no picture but the three
    case.values(coalitions)
    assert case.values.prefixes.computed == 3
    encoded = case.prepared.state.store.encoded
    case.prepared.state.store._kept.clear()
    others = coalitions.copy()
    others[:, 4:] ^= True
    found = case.values(others)
    assert case.values.prefixes.computed == 3
    assert case.prepared.state.store.encoded == encoded
    np.testing.assert_allclose(found, plainly(case, others), atol=2e-5)


def test_a_picture_of_one_coalition_is_read_plainly_until_it_comes_back(adapter, picture):
    case = Case(adapter("llava"), picture)
    every = ((np.arange(16)[:, None] >> np.arange(4)) & 1).astype(bool)
    coalitions = np.concatenate([every, np.zeros((16, case.n - 4), bool)], axis=1)
    case.values(coalitions)
    assert case.values.prefixes.computed == 0
    coalitions[:, 4:] = True
    np.testing.assert_allclose(case.values(coalitions), plainly(case, coalitions), atol=2e-5)
    assert case.values.prefixes.computed == 16


def test_memory_is_bounded(adapter, picture):
    case = Case(adapter("llava"), picture)
    coalitions = few_pictures(case.n, 6, 4)
    whole = case.values(coalitions)
    prefixes = case.values.prefixes
    one = prefixes._bytes // len(prefixes._kept)
    assert one == 2 * 2 * prefixes.length * 32 * 4  # two layers, keys and values, 32 floats a token
    small = Prefixes(prefixes.forward, prefixes.ids, prefixes.sights, 2 * one + 1)
    case.values.prefixes = small
    np.testing.assert_allclose(case.values(coalitions), whole, atol=2e-5)
    assert len(small._kept) == 2
    assert small._bytes == 2 * one
    storage = next(iter(small._kept.values()))[0][0].untyped_storage()
    assert storage.nbytes() == one // 4  # a copy of its own, not a view that holds its batch


def test_no_prefix_where_the_prompt_is_read_both_ways(adapter, picture):
    case = Case(adapter("paligemma"), picture)
    assert case.values.prefixes is None
    coalitions = few_pictures(case.n, 3, 4)
    np.testing.assert_array_equal(case.values(coalitions), plainly(case, coalitions))


def test_no_prefix_where_a_word_stands_before_a_picture(adapter, picture):
    words_first = Sample(text="what colour is the car ?", image=picture)
    case = Case(adapter("llava"), picture, sample=words_first)
    assert list(case.players.parts) == ["text", "image"]
    assert case.values.prefixes is None
    between = Sample(image=picture, text="what colour is the car ?", image2=picture[::-1].copy())
    assert Case(adapter("llava"), picture, sample=between).values.prefixes is None


def test_several_pictures_before_the_words_are_one_prefix(adapter, picture):
    sample = Sample(image=picture, image2=picture[:, ::-1].copy(), text="what colour is the car ?")
    case = Case(adapter("llava"), picture, sample=sample)
    coalitions = few_pictures(case.n, 4, 5, cells=8)
    np.testing.assert_allclose(case.values(coalitions), plainly(case, coalitions), atol=2e-5)
    assert case.values.prefixes.computed >= 4
    costs = case.values.costs
    assert set(costs.encode) == {"image", "image2"}
    assert sum(costs.encode.values()) + costs.cell == pytest.approx(1)


def test_no_prefix_unless_every_layer_sees_all_that_came_before(adapter, picture):
    case = Case(adapter("llava"), picture)
    texts = case.values._texts(case.players.split(np.array([[True] * case.n, [False] * case.n])), 2)
    text = case.adapter.config.text_config
    assert shared_length(case.values.forward, texts) == case.values.prefixes.length > 16
    try:
        text.sliding_window = 8
        assert shared_length(case.values.forward, texts) == 0
        text.use_sliding_window = False
        assert shared_length(case.values.forward, texts) > 0
    finally:
        del text.sliding_window
        del text.use_sliding_window
    try:
        text.layer_types = ["full_attention", "sliding_attention"]
        assert shared_length(case.values.forward, texts) == 0
    finally:
        del text.layer_types


def test_a_prompt_that_begins_otherwise_does_not_fit(adapter, picture):
    case = Case(adapter("llava"), picture)
    prefixes, ids = case.values.prefixes, case.prepared.state.prompt.ids
    seen = np.ones(len(ids), bool)
    assert prefixes.fits((ids, seen))
    other = ids.copy()
    other[prefixes.length - 1] += 1
    assert not prefixes.fits((other, seen))
    hidden = seen.copy()
    hidden[0] = False
    assert not prefixes.fits((ids, hidden))
    assert not prefixes.fits((ids[: prefixes.length], seen[: prefixes.length]))


def test_no_memory_no_prefix(adapter, picture):
    model = adapter("llava")
    before = model.cache_bytes
    try:
        model.cache_bytes = 0
        assert Case(model, picture).values.prefixes is None
    finally:
        model.cache_bytes = before


@pytest.mark.parametrize("kind", ALL)
def test_costs_count_what_is_shared(adapter, picture, kind):
    case = Case(adapter(kind), picture)
    costs = case.values.costs
    assert set(costs.encode) == {"image"}
    assert sum(costs.encode.values()) + costs.cell == pytest.approx(1)
    whole = len(case.prepared.state.prompt.ids) + len(case.values.passes[0].suffix)
    case.adapter.cache_bytes, before = 0, case.adapter.cache_bytes
    try:
        without = Case(case.adapter, picture).values.costs
    finally:
        case.adapter.cache_bytes = before
    left = 1 if case.values.prefixes is None else 1 - case.values.prefixes.length / whole
    assert costs.cell == pytest.approx(without.cell * left)
    assert 0.1 < without.cell < 0.95


def test_half_precision_agrees_as_far_as_it_goes(folder, picture):
    from chiasm.models import hub

    case = Case(hub.load(folder("llava"), device="cpu", dtype="bfloat16"), picture)
    coalitions = few_pictures(case.n, 3, 6)
    assert case.adapter.model.dtype == torch.bfloat16
    np.testing.assert_allclose(case.values(coalitions), plainly(case, coalitions), atol=0.15)
