"""Explainers that follow attention or hand relevance back, on trained models of every family."""

from __future__ import annotations

import gc
from math import comb

import numpy as np
import pytest
import torch
from PIL import Image

import chiasm as cx
from chiasm.core.game import Game
from chiasm.core.target import Target
from chiasm.explainers import explainers
from chiasm.explainers.attn_lrp import at_first_states
from chiasm.explainers.base import Subject
from chiasm.explainers.explain import explain_all
from chiasm.modalities import modalities
from chiasm.models.games import make_game
from chiasm.testing import check_explainer

METHODS = ["attention", "rollout", "chefer", "tam", "msea-arc", "glimpse", "attn-lrp", "atman", "attention-knockout"]
#: what reads the output layer at every position is defined for decoders alone
LENSES = {"tam", "msea-arc", "glimpse"}


@pytest.fixture(scope="module")
def loaded():
    kept = {}

    def get(name, **changes):
        key = (name, *changes)
        if key not in kept:
            kept[key] = cx.load(f"zoo:{name}")
            for change in changes.values():
                change(kept[key].model)
        return kept[key]

    return get


def sample(name):
    one = cx.dataset("shapes", 1, seed=3, types=["colour"])[0]
    return cx.Sample(image=one["image"].data, text="a red circle") if name.endswith("captions") else one


def subject(adapter, one, target=None, grid="grid:3x3", fixed=None):
    """What `chiasm.explain` gives an explainer; words are hidden from attention."""
    chosen, cut = {"image": "mean", "text": "attention"}, {"image": grid, "text": "words"}
    maskers = {name: modalities.get(part.kind).masker(chosen[part.kind]) for name, part in one.parts.items()}
    match = make_game(adapter, one, players=cut, maskers=maskers, target=target, batch_size=8)
    game = Game(match.game, match.game.all_players, fixed=fixed, batch_size=8)
    return Subject(game, adapter, match.prepared, maskers, match.target, match.prediction)


def hooks(model):
    named = model.named_modules()
    return [(name, len(m._forward_hooks), len(m._forward_pre_hooks), "forward" in vars(m)) for name, m in named]


@pytest.mark.parametrize("method", METHODS)
def test_each_keeps_the_protocol(loaded, method):
    one = sample("llava-shapes")
    check_explainer(
        explainers.get(method), subject=lambda: subject(loaded("llava-shapes"), one, fixed={("text", 1): True})
    )


@pytest.mark.parametrize("method", METHODS)
def test_players_held_absent_are_not_there(loaded, method):
    """What is explained is the sample without them, so the values of all others change."""
    shown, gone = (
        explainers.get(method).explain(
            subject(loaded("llava-shapes"), sample("llava-shapes"), fixed={("image", 4): held, ("text", 1): held})
        )
        for held in (True, False)
    )
    assert not np.allclose(shown.single, gone.single, rtol=0.01)
    assert not any("stood in for" in note for note in shown.provenance.notes)
    assert any("stood in for" in note for note in gone.provenance.notes)


@pytest.mark.parametrize("method", METHODS)
def test_hooks_go_when_the_model_fails(loaded, method, monkeypatch):
    adapter = loaded("llava-shapes")
    ready = subject(adapter, sample("llava-shapes"))
    last = list(adapter.model.modules())[-1]
    monkeypatch.setattr(last, "forward", lambda *_, **__: (_ for _ in ()).throw(RuntimeError("on purpose")))
    before = hooks(adapter.model)
    with pytest.raises(RuntimeError, match="on purpose"):
        explainers.get(method).explain(ready)
    assert hooks(adapter.model) == before


@pytest.mark.parametrize("method", METHODS)
def test_half_precision_without_eager_attention(half, method):
    """A model in bfloat16 with fused attention: maps are computed step by step, and after it all is as before."""
    before = half.model.config._attn_implementation
    assert before != "eager"
    found = explainers.get(method).explain(subject(half, sample("llava-shapes"), grid="grid:2x2"))
    assert np.isfinite(found.single).all()
    assert found.single.any() or method in {"tam", "msea-arc"}
    assert half.model.config._attn_implementation == before
    assert next(half.model.parameters()).dtype == torch.bfloat16


@pytest.mark.parametrize("method", METHODS)
def test_memory_is_freed(loaded, method):
    """No tensor outlives an explanation."""
    made = subject(loaded("llava-shapes"), sample("llava-shapes"), grid="grid:2x2")
    explainers.get(method).explain(made)
    before = tensor_bytes()
    for _ in range(2):
        explainers.get(method).explain(made)
    assert tensor_bytes() <= before


@pytest.fixture(scope="module")
def half():
    return cx.load("zoo:llava-shapes", dtype="bfloat16")


def tensor_bytes():
    gc.collect()
    return sum(t.numel() * t.element_size() for t in gc.get_objects() if isinstance(t, torch.Tensor))


@pytest.mark.parametrize("name", ["llava-shapes", "vilt-shapes", "clip-captions"])
def test_attention_and_rollout_give_away_no_more_than_there_is(loaded, name):
    """Start token, template and answer take the rest; a dual encoder has one whole for each tower."""
    for method in ("attention", "rollout"):
        found = explainers.get(method).explain(subject(loaded(name), sample(name)))
        sums = [float(values.sum()) for values in found.values.values()]
        wholes = sums if name == "clip-captions" else [sum(sums)]
        assert all(0.1 < total <= 1 + 1e-6 for total in wholes)


def without_queries(model):
    """Attention that is the same everywhere."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "query." in name or "q_proj." in name:
                parameter.zero_()


@pytest.mark.parametrize("method", ["attention", "rollout"])
def test_uniform_attention_gives_uniform_relevance(loaded, method):
    adapter = loaded("vilt-shapes", uniform=without_queries)
    found = explainers.get(method).explain(subject(adapter, sample("vilt-shapes"), grid="grid:model"))
    patches = found.values["image"]
    assert patches.std() < 1e-6 * patches.mean()
    trained = explainers.get(method).explain(subject(loaded("vilt-shapes"), sample("vilt-shapes"), grid="grid:model"))
    assert trained.values["image"].std() > 0.1 * trained.values["image"].mean()


@pytest.mark.parametrize("name", ["llava-shapes", "qwen-shapes", "vilt-shapes"])
def test_attention_that_is_cut_has_the_value_of_the_attention_masker(loaded, name):
    one = sample(name)
    cut = explainers.get("attention-knockout").explain(subject(loaded(name), one))
    hidden = explainers.get("occlusion").explain(subject(loaded(name), one))
    assert np.abs(hidden.values["text"]).max() > 1e-3
    assert np.allclose(cut.values["text"], hidden.values["text"], atol=2e-4)


class SoftmaxesKept(torch.overrides.TorchFunctionMode):
    """How much relevance each softmax over so many keys keeps back, once the backward pass is through."""

    def __init__(self, keys):
        super().__init__()
        self.keys, self.kept = keys, []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if func is torch.nn.functional.softmax and found.shape[-1] == self.keys:
            scores, here = args[0], [0.0]
            self.kept.append(here)
            found.register_hook(lambda slope: here.append(float((slope * found.detach()).sum())))
            scores.register_hook(lambda slope: here.append(-float((slope * scores.detach()).nan_to_num().sum())))
        return found


def test_relevance_is_kept_through_a_whole_model(loaded):
    """LLaMA's layers have no biases, so what does not arrive is what the softmaxes kept back."""
    one = sample("llava-shapes")
    trace = subject(loaded("llava-shapes"), one, Target("logit", answer=one.answer, token=0)).trace()
    tokens = trace.run(hidden=True, grad=False).hidden["language"][0].shape[1]
    with SoftmaxesKept(tokens) as mode:
        value, relevance = at_first_states(trace)
    back = sum(sum(here) for here in mode.kept)
    assert len(mode.kept) == trace.model.config.text_config.num_hidden_layers
    assert abs(back) > 1e-3
    assert relevance["language"].sum() + back == pytest.approx(value, rel=1e-3)


def test_answers_of_several_tokens_and_contrasts_are_taken(loaded):
    one = sample("llava-shapes")
    adapter = loaded("llava-shapes")
    answers = [
        Target(answer="red"),
        Target(answer="yes red"),
        Target(answer="red", against="blue"),
        Target(answer="yes red", token=1),
    ]
    for target in answers:
        for method in METHODS:
            found = explainers.get(method).explain(subject(adapter, one, target, grid="grid:2x2"))
            assert np.isfinite(found.single).all()
    told = explainers.get("rollout").explain(subject(adapter, one, answers[2]))
    assert any("alone" in note for note in told.provenance.notes)


# the planted object

SAMPLES = 10
#: TAM and MSEA+ARC find the object no more often than chance (not by their own fault:
#: `test_a_map_of_scores_finds_what_positions_say`), GLIMPSE on llava-shapes too seldom for ten samples (22 of 30)
FINDERS = [method for method in METHODS if method not in LENSES]
PLANTED = [(name, method) for name in ("llava-shapes", "vilt-shapes") for method in FINDERS]
PLANTED += [("qwen-shapes", "glimpse"), ("idefics-shapes", "glimpse")]


def planted(explanation, one):
    """``bool[players]``: patches that the decisive object covers visibly."""
    labels = explanation.players["image"].geometry.label_map
    mask = np.asarray(Image.fromarray(one.masks["image"].any(axis=0)).resize(labels.shape[::-1]))
    return np.array([mask[labels == i].mean() for i in range(labels.max() + 1)]) > 0.1


def saying(trace, positions, token):
    """A hook after the last layer: these positions of its stream say the token, whatever they said."""
    rows = trace.model.get_output_embeddings().weight
    norm = trace.language.norm.weight * (rows[token] - rows.mean(dim=0))  # what sets it apart from other tokens

    def hook(_module, _args, output):
        state = (output[0] if isinstance(output, tuple) else output).clone()
        state[:, positions] = state[:, positions].norm(dim=-1, keepdim=True) * norm / norm.norm()
        return (state, *output[1:]) if isinstance(output, tuple) else state

    return trace.language.layers[-1].register_forward_hook(hook)


@pytest.mark.parametrize("method", ["tam", "msea-arc"])
def test_a_map_of_scores_finds_what_positions_say(loaded, method):
    """The quarter of the picture whose last states say the answer comes first, whichever quarter it is."""
    adapter = loaded("llava-shapes")
    for quarter, one in enumerate(cx.dataset("shapes", 4, seed=11, types=["colour"])):
        made = subject(adapter, one, grid="grid:2x2")
        trace = made.trace()
        slots = trace.slots["image"]
        positions = slots.positions[slots.cover[quarter] > 0.5].tolist()
        handle = saying(trace, positions, int(trace.read_out[0].tokens[0]))
        try:
            values = explainers.get(method).explain(made).values["image"]
        finally:
            handle.remove()
        assert values.argmax() == quarter
        assert values[quarter] > 2 * np.delete(values, quarter).max()


@pytest.fixture(scope="module")
def wins(loaded):
    """(model, method) → for how many samples the object's patches had the larger mean value."""
    found = dict.fromkeys(PLANTED, 0)
    for name in dict.fromkeys(name for name, _ in PLANTED):
        methods, used = [m for n, m in PLANTED if n == name], 0
        for one in cx.dataset("shapes", 40, seed=11, types=["colour", "shape", "size"]):
            if used == SAMPLES:
                break
            told = explain_all(loaded(name), one, methods, players={"image": "grid:3x3"}, fixed={"text": True})
            first = told[methods[0]]
            inside = planted(first, one)
            if first.prediction.answer != one.answer or not inside.any() or inside.sum() > 4:
                continue
            used += 1
            for method, explanation in told.items():
                values = explanation.values["image"]
                found[name, method] += int(values[inside].mean() > values[~inside].mean())
        assert used == SAMPLES
    return found


@pytest.mark.parametrize(("name", "method"), PLANTED)
def test_the_planted_object_is_preferred_to_the_background(wins, name, method):
    heads = wins[name, method]
    chance = sum(comb(SAMPLES, k) for k in range(heads, SAMPLES + 1)) / 2**SAMPLES
    assert chance < 0.06, f"{heads} of {SAMPLES}"
