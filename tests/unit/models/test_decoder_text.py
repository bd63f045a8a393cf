"""Hidden words: positions stay, nothing attends to them, and each masker does what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from decoder_help import ALL, QUESTION, Case, plain_inputs, plain_score, random_coalitions

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.modalities.base import TokenMasker
from chiasm.modalities.text_segmenters import CharSpans

CLOSE = {"rtol": 0, "atol": 1e-4}
WORDS = len(QUESTION.split())


def hide(case: Case, words: list[int]) -> np.ndarray:
    coalition = np.ones((1, case.n), bool)
    coalition[0, [case.n - WORDS + word for word in words]] = False
    return coalition


def hidden_columns(case: Case, words: list[int]) -> np.ndarray:
    tokens = case.prepared.state.prompt.parts["text"]
    bounds = case.players["text"].geometry.bounds[words]
    return np.array(
        [
            column
            for column, (start, end) in zip(tokens.positions, tokens.spans, strict=True)
            if any(start < stop and end > begin for begin, stop in bounds)
        ]
    )


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "blip-2"])
def test_holes_do_not_shift_positions(kind, adapter, picture):
    """The plain model with a holed mask and the positions of the whole prompt gives the same value."""
    case = Case(adapter(kind), picture)
    columns = hidden_columns(case, [1, 3])
    inputs = plain_inputs(case.adapter, picture, QUESTION)
    length = inputs["input_ids"].shape[1] + len(case.answer_ids)
    mask = torch.ones(1, length, dtype=torch.long)
    mask[0, columns] = 0
    if kind.startswith("qwen"):
        ids = torch.cat([inputs["input_ids"], torch.tensor([case.answer_ids])], dim=1)
        positions, _ = case.adapter.model.model.get_rope_index(
            ids,
            mm_token_type_ids=(ids == case.adapter.config.image_token_id).int(),
            image_grid_thw=inputs["image_grid_thw"],
        )
    else:
        positions = torch.arange(length)[None]
    right = plain_score(case.adapter, inputs, case.answer_ids, attention_mask=mask, position_ids=positions)
    np.testing.assert_allclose(case.values(hide(case, [1, 3]))[0], right, **CLOSE)
    shifted = (mask.cumsum(-1) - 1).clamp(min=0)
    shifted = shifted.expand(3, 1, -1) if kind.startswith("qwen") else shifted
    wrong = plain_score(case.adapter, inputs, case.answer_ids, attention_mask=mask, position_ids=shifted)
    assert abs(wrong - right) > 1e-3  # so the test would see shifted positions


@pytest.mark.parametrize("kind", ALL)
def test_nothing_attends_to_a_hidden_word(kind, adapter, picture):
    """Whatever stands in the place of a hidden word, the value is the same."""
    case = Case(adapter(kind), picture)
    row = case.values.rows(hide(case, [1, 3]))[0]
    one = case.adapter.forward.logits([row], case.answer_ids[:-1], 1)
    columns = np.flatnonzero(~row.visible)
    assert len(columns)
    row.ids[columns] = case.prepared.state.prompt.ids[columns]
    other = case.adapter.forward.logits([row], case.answer_ids[:-1], 1)
    np.testing.assert_allclose(one.numpy(), other.numpy(), **CLOSE)


@pytest.mark.parametrize("kind", ALL)
def test_delete_equals_the_plain_model_on_what_is_left(kind, adapter, picture):
    case = Case(adapter(kind), picture, text="delete")
    coalition = hide(case, [1, 4])
    left = case.maskers["text"].apply(QUESTION, case.players["text"], coalition[:, -WORDS:])[0]
    assert left != QUESTION
    plain = plain_score(case.adapter, plain_inputs(case.adapter, picture, left), case.answer_ids)
    np.testing.assert_allclose(case.values(coalition)[0], plain, **CLOSE)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("masker", ["delete", "neutral", "empty"])
def test_texts_of_unequal_length_share_a_batch(kind, masker, adapter, picture):
    case = Case(adapter(kind), picture, text=masker)
    coalitions = random_coalitions(case.n, 7, seed=3)
    coalitions[0], coalitions[1] = True, False
    together = case.values(coalitions)
    alone = np.concatenate([case.values(one[None]) for one in coalitions])
    np.testing.assert_allclose(together, alone, **CLOSE)
    np.testing.assert_allclose(together[0], Case(case.adapter, picture).full(), **CLOSE)


@pytest.mark.parametrize("kind", ["llava", "paligemma"])
def test_mask_token_stands_in_the_place_of_a_word(kind, adapter, picture):
    case = Case(adapter(kind), picture, text="mask")
    row = case.values.rows(hide(case, [2]))[0]
    columns = hidden_columns(case, [2])
    assert (row.ids[columns] == case.adapter.tokenizer.mask_token_id).all()
    assert row.visible.all()
    inputs = plain_inputs(case.adapter, picture, QUESTION)
    inputs["input_ids"][0, columns] = case.adapter.tokenizer.mask_token_id
    plain = plain_score(case.adapter, inputs, case.answer_ids)
    np.testing.assert_allclose(case.values(hide(case, [2]))[0], plain, **CLOSE)


def test_a_missing_mask_token_is_named_with_what_would_serve(adapter, picture):
    with pytest.raises(MissingCapability, match=r"needs a mask token.*use attention"):
        Case(adapter("qwen2_vl"), picture, text="mask")


def test_a_token_masker_cannot_hide_a_picture(adapter, picture):
    case = Case(adapter("llava"), picture)
    maskers = {**case.maskers, "image": TokenMasker("attention", "attention")}
    with pytest.raises(MissingCapability, match="is a picture"):
        case.adapter.values(case.prepared, case.players, maskers, case.target, None)


def test_players_without_a_token_are_refused_for_token_maskers(adapter, picture):
    """A BPE token reaches over several characters; single characters cannot be hidden by it."""
    model = adapter("llava")
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    target, _ = model.resolve(prepared, Target(answer="yes"))
    players = prepared.players({"image": "grid:2x2", "text": CharSpans([(k, k + 1) for k in range(4)])})
    maskers = {"image": modalities.get("image").masker("mean"), "text": TokenMasker("attention", "attention")}
    with pytest.raises(InvalidInput, match=r"no token of their own.*delete"):
        model.values(prepared, players, maskers, target, None)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("question", ["車は何色ですか", "红色的汽车在哪里？", "the car は何 ?"])
def test_words_of_spaceless_scripts_can_be_hidden_by_tokens(kind, question, adapter, picture):
    case = Case(adapter(kind), picture, question=question, cut="words", text="attention")
    spans = case.prepared.contexts["text"].token_spans
    for start, end in spans.tolist():
        shown = {k for k in range(start, end) if not question[k].isspace()}
        assert sum(bool(shown & set(range(a, b))) for a, b in case.players["text"].geometry.bounds.tolist()) <= 1
    assert np.isfinite(case.empty())


def test_tokens_that_move_are_refused_even_if_as_many(adapter, picture):
    """With one text masked by its content, the tokens of another must stay the same characters."""
    from dataclasses import replace

    from chiasm.core.errors import ModelError
    from chiasm.models.decoder_prompt import Prompt

    case = Case(adapter("llava"), picture)
    texts, prompt = case.values._texts, case.prepared.state.prompt
    texts._check(prompt)
    tokens = prompt.parts["text"]
    spans = tokens.spans.copy()
    spans[0, 1] -= 1
    with pytest.raises(ModelError, match="mask all its texts the same way"):
        texts._check(Prompt(prompt.ids, {"text": replace(tokens, spans=spans)}, prompt.text))


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "paligemma", "blip-2"])
@pytest.mark.parametrize("question", ["  what  is\tit ? ", "is the café 🚗 naïve ?", "車は何色ですか", "?"])
def test_odd_texts_work(kind, question, adapter, picture):
    case = Case(adapter(kind), picture, question=question, cut="tokens")
    plain = plain_score(case.adapter, plain_inputs(case.adapter, picture, question), case.answer_ids)
    np.testing.assert_allclose(case.full(), plain, **CLOSE)
    assert np.isfinite(case.empty())


def test_templates_that_trim_texts_are_followed(adapter, picture):
    """The InternVL template of the tests trims its texts."""
    question = "  what colour ?  "
    case = Case(adapter("internvl"), picture, question=question)
    tokens = case.prepared.state.prompt.parts["text"]
    spelled = [question[start:end].strip() for start, end in tokens.spans]
    assert "".join(spelled) == "whatcolour?"
    plain = plain_score(case.adapter, plain_inputs(case.adapter, picture, question), case.answer_ids)
    np.testing.assert_allclose(case.full(), plain, **CLOSE)


def test_parts_may_be_masked_in_different_ways(adapter, picture):
    model = adapter("llava")
    sample = Sample(image=picture, text="what is it ?", text2="yes or no ?")
    prepared = model.prepare(sample)
    target, _ = model.resolve(prepared, Target(answer="yes"))
    players = prepared.players({"image": "grid:1x2", "text": "words", "text2": "words"})
    text = modalities.get("text")
    maskers = {
        "image": modalities.get("image").masker("grey"),
        "text": text.masker("delete"),
        "text2": text.masker("attention"),
    }
    values = model.values(prepared, players, maskers, target, 3)
    coalitions = random_coalitions(len(players), 9)
    found = values(coalitions)
    alone = np.concatenate([values(one[None]) for one in coalitions])
    np.testing.assert_allclose(found, alone, **CLOSE)
