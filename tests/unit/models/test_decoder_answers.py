"""The model's own answer: where it ends, what it never holds, and what may stand beside it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from decoder_help import QUESTION, Case

from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Prediction
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models import compat, hub
from chiasm.models.decoder_answers import Answerer
from chiasm.models.doctor import examine

END, IMAGE = 0, 9
WORDS = {END: "</s>", 1: "yes", 2: "no", 3: " yes", 4: "two", 5: " ", 6: "maybe", 7: "words", 8: "on", IMAGE: "<image>"}


class Tokenizer:
    eos_token_id = END

    def decode(self, ids, **_):
        return "".join(WORDS[k] for k in ids if k != END)


def answerer(script, max_new_tokens=4):
    """An answerer of a model that gives, after each beginning, these chances to tokens."""

    def logits(rows, suffix, keep):
        found = torch.full((len(rows), keep, 10), -30.0)
        for token, chance in script.get(tuple(suffix), {END: 1.0}).items():
            found[:, -1, token] = float(np.log(chance))
        return found

    config = SimpleNamespace(get_text_config=lambda: SimpleNamespace(eos_token_id=END), eos_token_id=END)
    forward = SimpleNamespace(logits=logits, model=SimpleNamespace(config=config, generation_config=None))
    return Answerer(forward, Tokenizer(), max_new_tokens, [IMAGE])


def test_alternatives_are_whole_answers_of_one_token():
    chances = {1: 0.4, 3: 0.2, 2: 0.15, 4: 0.1, 5: 0.05, END: 0.04, IMAGE: 0.03, 6: 0.02}
    model = answerer({(): chances, **{(key,): {7: 1.0} for key in (4, 7, 8)}})  # "two" goes on: it is no answer
    own, ids, complete = model.own(None)
    assert (own, ids, complete) == ("yes", (1,), True)
    found = model.alternatives(None, ids)
    assert [answer for answer, _ in found] == ["no", "maybe"]
    assert [chance for _, chance in found] == pytest.approx([0.15 / 0.99, 0.02 / 0.99], rel=1e-4)


def test_answers_of_several_tokens_have_no_alternatives():
    model = answerer({(): {4: 0.6, 1: 0.4}, (4,): {7: 1.0}})
    assert model.own(None)[:2] == ("twowords", (4, 7))
    assert model.alternatives(None, (4, 7)) == ()


@pytest.mark.parametrize(("most", "complete"), [(1, False), (2, True), (3, True)])
def test_an_answer_that_is_cut_off_says_so(most, complete):
    own, ids, found = answerer({(): {4: 1.0}, (4,): {7: 1.0}}, most).own(None)
    assert (len(ids), found) == (min(most, 2), complete)
    assert "twowords".startswith(own)


def test_answers_end_where_the_positions_do():
    model = answerer({(): {4: 1.0}, (4,): {4: 1.0}, (4, 4): {4: 1.0}})
    assert model.own(None, room=2)[1:] == ((4, 4), False)


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "idefics3", "internvl", "paligemma", "blip-2"])
def test_an_own_answer_holds_no_image_token(kind, folder, picture, monkeypatch):
    model = hub.load(folder(kind), device="cpu")  # answers of the default length
    plain = model.forward.logits

    def fond(*args):
        with torch.inference_mode():
            found = plain(*args)
            found[..., model.forward.image_id] += 1e4
            return found

    monkeypatch.setattr(model.forward, "logits", fond)
    monkeypatch.setattr(model.answerer, "ends", set())
    prepared = model.prepare(Sample(image=picture, text=QUESTION))
    own, ids, _ = model.answerer.own(prepared.state.whole())
    assert len(ids) == 16
    assert isinstance(own, str)
    assert model.forward.image_id not in ids


@pytest.mark.parametrize(("kind", "mark"), [("llava", "<image>"), ("qwen2_vl", "<|image_pad|>")])
def test_a_given_answer_holds_no_image_token(kind, mark, adapter, picture):
    with pytest.raises(InvalidInput, match="stands for a picture"):
        Case(adapter(kind), picture, Target(answer=f"yes {mark}"))


def test_decoders_say_whether_their_answer_was_cut(adapter, picture, monkeypatch):
    model = adapter("llava")
    cut = Case(model, picture, Target(answer="yes")).prediction
    assert cut.complete is False  # a random model goes on and on
    assert cut.alternatives == ()
    ids = model.answerer.own(model.prepare(Sample(image=picture, text=QUESTION)).state.whole())[1]
    monkeypatch.setattr(model.answerer, "ends", {ids[1]})
    assert Case(model, picture, Target(answer="yes")).prediction.complete is True


@pytest.mark.parametrize("old", [False, True])
def test_cut_answers_survive_saving(old, tmp_path, adapter, picture):
    import chiasm

    found = chiasm.explain(adapter("llava"), Sample(image=picture, text="car ?"), players="grid:1x2,words", budget=16)
    found = replace(found, prediction=Prediction("a b", 0.5, complete=False))
    path = found.save(tmp_path / "e.json")
    if old:  # files of before have no such field
        data = json.loads(path.read_text())
        del data["prediction"]["complete"]
        path.write_text(json.dumps(data))
    assert chiasm.Explanation.load(path).prediction.complete is old


def test_texts_longer_than_the_model_are_refused(adapter, picture):
    model = adapter("blip-2")
    with pytest.raises(InvalidInput, match=r"has positions for 512\. Shorten"):
        model.prepare(Sample(image=picture, text="the car is " * 300))
    with pytest.raises(InvalidInput, match=r"has positions for 512\. Shorten"):
        Case(model, picture, Target(answer="the car is " * 300))
    tokens = len(model.prepare(Sample(image=picture, text="the car")).state.prompt.ids)
    text_config = SimpleNamespace(max_position_embeddings=tokens)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(model.config), "get_text_config", lambda _: text_config)
        with pytest.raises(InvalidInput, match=f"has {tokens} tokens.*the answer 1, together {tokens + 1}"):
            model.prepare(Sample(image=picture, text="the car"))
        del text_config.max_position_embeddings  # a model without a limit
        assert len(model.prepare(Sample(image=picture, text="the car is " * 300)).state.prompt.ids) > 512


@pytest.mark.parametrize("kind", ["internvl", "qwen2_vl", "llava", "idefics3"])
def test_a_broken_prompt_is_never_said_to_be_the_processors(kind, adapter, picture, monkeypatch):
    model = adapter(kind)
    fit = model.pictures._fit

    def broken(*args):
        sight = fit(*args)
        return replace(sight, replacement="wrong " + sight.replacement)

    monkeypatch.setattr(model.pictures, "_fit", broken)
    _, reason = compat.load_processor(model.path)
    sample = Sample(image=picture, text=QUESTION)
    checks = {check.name: check for check in examine(model, sample, target=Target(answer="yes"))}
    if reason:
        assert checks["prompt tokens"].ok is None
        assert "cannot build the model's own processor" in checks["prompt tokens"].detail
        assert "not compared" in checks["prompt tokens"].detail
        assert "written by Chiasm" in checks["the full coalition is the plain forward pass"].detail
    else:
        assert checks["prompt tokens"].ok is False
        assert checks["the full coalition is the plain forward pass"].ok is False


def test_only_missing_libraries_excuse_a_processor(folder, monkeypatch):
    def failing(error):
        def load(*_, **__):
            raise error

        monkeypatch.setattr(compat.transformers().AutoProcessor, "from_pretrained", load)

    path = folder("llava")
    failing(ImportError("SmolVLMProcessor requires the num2words library"))
    assert compat.load_processor(path)[0] is None
    failing(ValueError("Could not load any video processor class"))
    assert compat.load_processor(path)[0] is None
    for error in (ValueError("patch_size"), TypeError("size"), AttributeError("image_token")):
        failing(error)
        with pytest.raises(type(error)):
            compat.load_processor(path)
    failing(OSError("no such file"))
    with pytest.raises(InvalidInput, match="no such file"):
        compat.load_processor(path)


def test_unknown_words_are_named(adapter, picture):
    known = {c.name: c for c in adapter("llava").checks(Sample(image=picture, text="is the 車 blue ?"))}["known words"]
    assert known.ok is None
    assert "車" in known.detail
    assert {c.name: c for c in adapter("llava").checks(Sample(image=picture, text=QUESTION))}["known words"].ok


def test_nothing_is_made_float64_on_the_device():
    """Apple's GPUs have no float64."""
    from pathlib import Path

    import chiasm.models

    sources = "".join(path.read_text() for path in Path(chiasm.models.__file__).parent.glob("*.py"))
    assert ".double().cpu()" not in sources
    assert sources.count(".double()") == sources.count(".cpu().double()")
