"""Models that hear: values are what the model's own forward gives, for Qwen2-Audio and the thinker of Qwen2.5-Omni."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import chiasm as cx
from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.target import Target
from chiasm.models.doctor import examine
from chiasm.models.games import make_game
from chiasm.zoo.data import chimes
from chiasm.zoo.recipes import omni, omni_parts

TEXT = "How many beeps are there?"


def qwen2_audio(words):
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

    config = Qwen2AudioConfig(
        audio_config={
            "num_mel_bins": omni_parts.BINS,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 32,
            "d_model": 16,
            "max_source_positions": 50,
        },
        text_config={
            "model_type": "qwen2",
            "vocab_size": len(words),
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
        },
        audio_token_index=words.convert_tokens_to_ids("<|AUDIO|>"),
    )
    return Qwen2AudioForConditionalGeneration(config)


@pytest.fixture(scope="module", params=["omni", "audio"])
def folder(request, tmp_path_factory):
    """A tiny model with random weights, saved with its extractors and its tokenizer."""
    torch.manual_seed(0)
    own = omni_parts.parts()
    model = omni.build(own.tokenizer) if request.param == "omni" else qwen2_audio(own.tokenizer)
    path = tmp_path_factory.mktemp(request.param)
    model.save_pretrained(path)
    own.save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def model(folder):
    return cx.load(folder)


@pytest.fixture(scope="module")
def sample(model):
    (one,) = chimes.samples(1, 3, ["same"])
    parts = {name: one[name].data for name in ("image", "audio") if name in model.kinds}
    return cx.Sample(**parts, text=TEXT)


def players(sample):
    return (
        {"image": "grid:1x2", "audio": "segments:3", "text": "phrases"}
        if "image" in sample.parts
        else {"audio": "segments:4", "text": "phrases"}
    )


def test_values_are_those_of_the_models_own_forward(model, sample):
    """Every coalition by hand: content masked, extractors and tokenizer run, one forward pass, nothing shared."""
    match = make_game(model, sample, players=players(sample), target=Target("log_probability", answer="two"))
    coalitions = all_coalitions(match.game.n)[::3]
    found = match.game(coalitions)
    contents = model.masked_inputs(match.prepared, match.game.players, match_maskers(model, sample), coalitions)
    for k in range(len(coalitions)):
        masked = {name: contents[name][k] for name in sample.parts}
        assert found[k] == pytest.approx(by_hand(model, masked, "two"), abs=1e-5)


def match_maskers(model, sample):
    from chiasm.explainers.remembering import masker_objects

    return masker_objects(model, sample, None)


def by_hand(model, contents, answer):
    """The documented path: template, placeholders repeated, extractors, ``forward``."""
    words = model.tokenizer
    message = [
        {
            "role": "user",
            "content": [{"type": name, **({"text": contents[name]} if name == "text" else {})} for name in contents],
        }
    ]
    prompt = words.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
    heard = model.extractor(
        [contents["audio"]], sampling_rate=16000, padding="max_length", return_attention_mask=True, return_tensors="pt"
    )
    given = {"input_features": heard["input_features"], "feature_attention_mask": heard["attention_mask"]}
    prompt = prompt.replace("<|AUDIO|>", "<|AUDIO|>" * 25)
    if "image" in contents:
        seen = model.pictures.processor([contents["image"]], return_tensors="pt")
        prompt = prompt.replace("<|IMAGE|>", "<|IMAGE|>" * 16)
        given |= {"pixel_values": seen["pixel_values"], "image_grid_thw": seen["image_grid_thw"]}
    ids = torch.tensor([words(prompt, add_special_tokens=False)["input_ids"]])
    with torch.inference_mode():
        logits = model.model(input_ids=ids, attention_mask=torch.ones_like(ids), **given).logits[0, -1]
    return float(logits.log_softmax(-1)[words.convert_tokens_to_ids(answer)])


def test_what_is_hidden_matters_and_the_whole_is_the_plain_value(model, sample):
    match = make_game(model, sample, players=players(sample), target=Target("log_probability", answer="two"))
    whole = match.game(np.ones((1, match.game.n), bool))[0]
    assert whole == pytest.approx(model.plain_value(match.prepared, match.target), abs=1e-5)
    for part, where in match.game.players.slices.items():
        without = np.ones((1, match.game.n), bool)
        without[0, where] = False
        assert abs(match.game(without)[0] - whole) > 1e-4, part


def test_the_doctor_has_nothing_to_say(model, sample):
    wrong = [check for check in examine(model, sample) if check.ok is False]
    assert wrong == []


def test_answers_to_masked_samples(model, sample):
    match = make_game(model, sample, players=players(sample))
    coalitions = np.stack([np.ones(match.game.n, bool), np.zeros(match.game.n, bool)])
    found = model.answers(match.prepared, match.game.players, match_maskers(model, sample), coalitions)
    assert found[0].answer == match.prediction.answer
    assert found[0].probability == pytest.approx(match.prediction.probability, abs=1e-5)


def test_batches_change_nothing(model, sample):
    target = Target("probability", answer="two", against="one")
    games = [make_game(model, sample, players=players(sample), target=target, batch_size=size) for size in (1, 7)]
    coalitions = all_coalitions(games[0].game.n)[:20]
    one, seven = (match.game(coalitions) for match in games)
    assert one == pytest.approx(seven, abs=1e-6)


def test_refusals(model, sample, tmp_path, folder):
    with pytest.raises(MissingCapability, match="attention"):
        make_game(model, sample, maskers={"text": "attention"}).game(np.zeros((1, 13), bool))
    with pytest.raises(InvalidInput, match="needs a text"):
        model.prepare(cx.Sample(audio=sample["audio"].data))
    with pytest.raises(InvalidInput, match="stands for another part"):
        model.prepare(cx.Sample(audio=sample["audio"].data, text="<|AUDIO|>"))
    with pytest.raises(InvalidInput, match=r"2\.00 seconds long and the model hears 1\.00"):
        model.prepare(cx.Sample(audio=np.zeros(32000, np.float32), text="How?"))
    with pytest.raises(InvalidInput, match=r"takes .*audio, text"):
        model.prepare(cx.Sample(audio=sample["audio"].data, text="How?", tabular={"a": 1}))
    with pytest.raises(InvalidInput, match="Unknown options"):
        cx.load(folder, cache_bytes=3)
    copied = {file.name: file.read_bytes() for file in folder.iterdir()}
    for name, content in copied.items():
        if name != "chat_template.jinja":
            (tmp_path / name).write_bytes(content)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="no chat template"):
        cx.load(tmp_path)


def test_the_fingerprint_knows_weights_and_words(model, folder):
    again = cx.load(folder)
    assert again.fingerprint == model.fingerprint
    with torch.no_grad():
        next(again.model.parameters()).add_(0.1)
    del again.__dict__["_fingerprint"]
    assert again.fingerprint != model.fingerprint
