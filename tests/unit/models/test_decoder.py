"""Every decoder family, from a tiny random model saved by plain transformers code."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from decoder_help import ALL, ANSWER, QUESTION, Case, plain_inputs, plain_logits, plain_score, random_coalitions

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models import compat

CLOSE = {"rtol": 0, "atol": 1e-4}


@pytest.mark.parametrize("kind", ALL)
def test_the_full_coalition_is_the_plain_forward_pass(kind, adapter, picture):
    case = Case(adapter(kind), picture)
    plain = plain_score(case.adapter, plain_inputs(case.adapter, picture, QUESTION), case.answer_ids)
    np.testing.assert_allclose(case.full(), plain, **CLOSE)
    np.testing.assert_allclose(case.adapter.plain_value(case.prepared, case.target), plain, **CLOSE)
    np.testing.assert_allclose(np.log(case.prediction.explained_probability), plain, **CLOSE)


@pytest.mark.parametrize("kind", ALL)
def test_the_empty_coalition_differs_and_every_player_matters(kind, adapter, picture):
    case = Case(adapter(kind), picture)
    without = ~np.eye(case.n, dtype=bool)
    values = case.values(np.vstack([np.ones((1, case.n), bool), np.zeros((1, case.n), bool), without]))
    assert (np.abs(values[1:] - values[0]) > 1e-4).all()


@pytest.mark.parametrize("kind", ALL)
def test_values_do_not_depend_on_the_batch(kind, adapter, picture):
    case = Case(adapter(kind), picture)
    coalitions = random_coalitions(case.n, 7)
    together = case.values(coalitions)
    alone = np.concatenate([Case(case.adapter, picture).values(one[None]) for one in coalitions])
    np.testing.assert_allclose(together, alone, **CLOSE)
    np.testing.assert_allclose(case.values(coalitions[::-1]), together[::-1], **CLOSE)


@pytest.mark.parametrize("kind", ALL)
def test_each_masked_picture_is_encoded_once(kind, adapter, picture):
    case = Case(adapter(kind), picture)
    store = case.prepared.state.store
    assert store.encoded == 1  # resolving ran many passes on the whole picture
    coalitions = random_coalitions(case.n, 24)
    distinct = {one[:4].tobytes() for one in coalitions} - {np.ones(4, bool).tobytes()}
    case.values(coalitions)
    case.values(coalitions[:5])
    assert store.encoded == 1 + len(distinct)


@pytest.mark.parametrize("kind", ALL)
def test_hiding_a_player_touches_nothing_else(kind, adapter, picture):
    case = Case(adapter(kind), picture)
    whole, *rows = case.values.rows(np.vstack([np.ones((1, case.n), bool), ~np.eye(case.n, dtype=bool)]))
    tokens = case.prepared.state.prompt.parts["text"].positions
    spans = case.prepared.state.prompt.parts["text"].spans
    seen = case.prepared.contents["image"]
    for (part, index), row in zip(case.players, rows, strict=True):
        if part == "text":
            assert row.pictures[0][0] is whole.pictures[0][0]
            start, end = case.players["text"].geometry.bounds[index]
            own = tokens[(spans[:, 0] < end) & (spans[:, 1] > start)]
            assert set(np.flatnonzero(~row.visible)) == set(own)
            assert len(own)
            others = np.setdiff1d(np.arange(len(row.ids)), own)
            assert (row.ids[others] == whole.ids[others]).all()
        else:
            assert (row.ids == whole.ids).all()
            assert row.visible.all()
            present = np.arange(len(case.players["image"])) != index
            masked = case.maskers["image"].apply(seen, case.players["image"], present[None])[0]
            outside = case.players["image"].geometry.label_map != index
            assert (masked[outside] == seen[outside]).all()


@pytest.mark.parametrize("kind", ALL)
def test_checks_of_the_family_pass(kind, adapter, picture):
    checks = adapter(kind).checks(Sample(image=picture, text=QUESTION))
    assert [check for check in checks if check.ok is False] == []
    uncompared = {check.name for check in checks if check.ok is None}
    assert uncompared <= {"prompt tokens"}  # where this installation cannot build the processor
    assert {check.name for check in checks} >= {"pixels", "image tokens", "part order", "attentions"}


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm", "internvl"])
def test_the_own_answer_is_what_generate_writes(kind, adapter, picture):
    model = adapter(kind)
    inputs = plain_inputs(model, picture, QUESTION)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if kind.startswith("qwen"):
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == model.config.image_token_id).int()
    written = model.model.generate(**inputs, do_sample=False, max_new_tokens=4, pad_token_id=0)
    wanted = model.tokenizer.decode(written[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    case = Case(model, picture)
    assert case.prediction.answer == wanted
    assert 0 < case.prediction.probability <= 1
    assert case.prediction.complete is (written[0, -1].item() in model.answerer.ends)


@pytest.mark.parametrize("kind", ALL)
def test_attentions_are_given_eagerly(kind, adapter, picture):
    model = adapter(kind)
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    before = [m.config._attn_implementation for m in model.model.modules() if hasattr(m, "config")]
    maps = model.attentions(prepared)
    tokens = len(prepared.state.prompt.ids)
    assert all(layer.shape == (2, tokens, tokens) for layer in maps)
    np.testing.assert_allclose(maps[0].sum(-1).numpy(), 1, atol=1e-5)
    assert [m.config._attn_implementation for m in model.model.modules() if hasattr(m, "config")] == before
    assert before[0] != "eager"  # so the test would see the empty tuple of the fused kernels


@pytest.mark.parametrize("kind", ALL)
def test_the_doctor_finds_nothing(kind, adapter, picture):
    from chiasm.models.doctor import examine

    for masker in ("attention", "delete"):
        sample = Sample(image=picture, text=QUESTION)
        checks = examine(adapter(kind), sample, maskers={"text": masker}, target=Target(answer=ANSWER))
        assert [check for check in checks if check.ok is False] == []
        assert len(checks) > 8


def test_fused_attention_gives_no_maps_and_that_is_an_error(adapter, picture, monkeypatch):
    from contextlib import nullcontext

    model = adapter("llava")
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    monkeypatch.setattr(compat, "eager_attention", lambda _: nullcontext())
    with pytest.raises(ModelError, match="no attention maps"):
        model.attentions(prepared)


@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl", "qwen3_vl", "idefics3", "smolvlm", "internvl", "paligemma"])
def test_several_pictures_and_texts_in_the_samples_order(kind, adapter, picture):
    model = adapter(kind)
    other = np.ascontiguousarray(picture[::-1, ::-1])
    sample = Sample(image=picture, text="what is the car ?", image2=other, text2="yes or no ?")
    case = Case(model, picture, sample=sample)
    np.testing.assert_allclose(case.full(), model.plain_value(case.prepared, case.target), **CLOSE)
    coalitions = random_coalitions(case.n, 5)
    together = case.values(coalitions)
    alone = np.concatenate([Case(model, picture, sample=sample).values(one[None]) for one in coalitions])
    np.testing.assert_allclose(together, alone, **CLOSE)
    swapped = Case(
        model, picture, sample=Sample(image=other, text="what is the car ?", image2=picture, text2="yes or no ?")
    )
    assert abs(swapped.full() - case.full()) > 1e-4
    order = next(check for check in model.checks(sample) if check.name == "part order")
    assert order.ok is (None if kind == "paligemma" else True)


def test_text_may_come_before_the_picture(adapter, picture):
    model = adapter("llava")
    case = Case(model, picture, sample=Sample(text=QUESTION, image=picture))
    assert list(case.players.parts) == ["text", "image"]
    tokens = case.prepared.state.prompt.parts["text"].positions
    images = np.flatnonzero(case.prepared.state.prompt.ids == model.config.image_token_id)
    assert tokens.max() < images.min()
    np.testing.assert_allclose(case.full(), model.plain_value(case.prepared, case.target), **CLOSE)


def test_blip2_takes_one_picture(adapter, picture):
    with pytest.raises(InvalidInput, match="one picture"):
        adapter("blip-2").prepare(Sample(image=picture, image2=picture, text=QUESTION))


def test_blip2_keeps_a_prompt_form_of_the_users_own(adapter, picture):
    prompt = adapter("blip-2").prepare(Sample(image=picture, text="Question: is there a car ? Answer:")).state.prompt
    assert prompt.text == "Question: is there a car ? Answer:"


def test_a_sample_without_a_picture_is_refused(adapter):
    with pytest.raises(InvalidInput, match="needs a part of kind 'image'"):
        adapter("llava").prepare(Sample(text=QUESTION))


def test_a_text_that_holds_the_placeholder_is_refused(adapter, picture):
    for kind, mark in [("llava", "<image>"), ("qwen2_vl", "<|image_pad|>"), ("blip-2", "<image>")]:
        with pytest.raises(InvalidInput, match="stands for a picture"):
            adapter(kind).prepare(Sample(image=picture, text=f"what is {mark} ?"))


def test_llava_without_a_template_has_the_documented_form(adapter, picture):
    model = adapter("llava", template=False)
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    assert prepared.state.prompt.text == f"USER: {'<image>' * 16}\n{QUESTION} ASSISTANT:"


def test_other_families_without_a_template_are_refused(folder, picture, tmp_path):
    import shutil

    from chiasm.models import hub

    shutil.copytree(folder("qwen2_vl"), tmp_path / "m")
    (tmp_path / "m" / "chat_template.jinja").unlink()
    with pytest.raises(ModelError, match="no chat template"):
        hub.load(tmp_path / "m", device="cpu").prepare(Sample(image=picture, text=QUESTION))


def test_a_t5_blip2_is_refused(folder, tmp_path):
    import shutil

    from chiasm.models import hub

    shutil.copytree(folder("blip-2"), tmp_path / "m")
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    config["use_decoder_only_language_model"] = False
    config["text_config"] = {"model_type": "t5", "d_model": 32, "num_layers": 1, "num_heads": 2, "d_ff": 32, "d_kv": 16}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="encoder-decoder"):
        hub.load(tmp_path / "m", device="cpu")


def test_qwen_needs_its_token_types_and_the_adapter_gives_what_they_lead_to(adapter, picture):
    """Qwen2.5-VL takes an input without them and silently counts positions wrongly."""
    case = Case(adapter("qwen2_5_vl"), picture)
    inputs = plain_inputs(case.adapter, picture, QUESTION)
    right = plain_logits(case.adapter, inputs)[-1]
    with torch.inference_mode():
        wrong = case.adapter.model(**inputs).logits[0, -1]
    assert (right - wrong).abs().max() > 1e-4
    row = case.values.rows(np.ones((1, case.n), bool))[0]
    own = case.adapter.forward.logits([row], (), 1)[0, -1]
    np.testing.assert_allclose(own.numpy(), right.numpy(), **CLOSE)


def test_own_answers_are_explained_without_a_given_one(adapter, picture):
    case = Case(adapter("llava"), picture, Target())
    assert case.target.answer == case.prediction.answer == case.prediction.explained
    np.testing.assert_allclose(case.full(), np.log(case.prediction.probability), **CLOSE)
