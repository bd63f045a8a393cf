"""Traces of decoder models on tiny random models of every family."""

from __future__ import annotations

import gc
import sys
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from decoder_help import ALL, ANSWER, QUESTION
from trace_help import Traced, completeness, random_direction, slope_along, state_of

from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.sample import Part, Sample
from chiasm.core.target import Target
from chiasm.models import hub
from chiasm.models.function import FunctionModel

TARGET = Target(answer=ANSWER)
TILED = ["idefics3", "smolvlm", "internvl"]


@pytest.fixture
def sample(picture: np.ndarray) -> Sample:
    return Sample(image=picture, text=QUESTION)


@pytest.fixture(scope="module")
def exact(folder: Any) -> Any:
    """Models in double precision, so that differences are as good as gradients."""
    kept: dict[str, Any] = {}

    def get(kind: str) -> Any:
        if kind not in kept:
            kept[kind] = hub.load(folder(kind), device="cpu", max_new_tokens=4)
            kept[kind].model.double()
        return kept[kind]

    return get


@pytest.mark.parametrize("kind", ALL)
def test_the_whole_sample_has_the_plain_value(adapter: Any, sample: Sample, kind: str) -> None:
    traced = Traced(adapter(kind), sample, TARGET)
    plain = adapter(kind).plain_value(traced.prepared, traced.target)
    assert traced.value() == pytest.approx(plain, abs=1e-4)
    assert traced.trace.run(attentions=True, grad=False).value.item() == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("scale", ["log_probability", "probability", "logit"])
def test_every_target_has_the_plain_value(adapter: Any, sample: Sample, scale: Any) -> None:
    target = Target(scale, answer=ANSWER, against="no", token=1 if scale == "logit" else None)
    traced = Traced(adapter("llava"), sample, target if scale != "logit" else Target(scale, ANSWER, token=1))
    assert traced.value() == pytest.approx(adapter("llava").plain_value(traced.prepared, traced.target), abs=1e-4)


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("text", ["mask", "neutral:x"])
def test_inputs_of_a_coalition_give_its_value(adapter: Any, folder: Any, sample: Sample, kind: str, text: str) -> None:
    model = adapter(kind)
    if text == "mask" and model.tokenizer.mask_token_id is None:
        with pytest.raises(MissingCapability, match="mask token"):
            Traced(model, sample, TARGET, text="mask")
        return
    traced = Traced(model, sample, TARGET, text=text, image="blur:3")
    for seed in range(4):
        coalition = traced.some(seed)
        if traced.trace.stand_ins:
            assert text != "mask"
            coalition[traced.players.slices["text"]] = True
        assert traced.value(coalition) == pytest.approx(traced.game(coalition), abs=2e-4)


def test_a_text_that_cannot_be_hidden_in_embeddings_is_told(adapter: Any, sample: Sample) -> None:
    traced = Traced(adapter("llava"), sample, TARGET, text="attention")
    assert traced.trace.stand_ins == {"text"}
    assert "padding token" in traced.trace.notes[0]
    coalition = np.ones(len(traced.players), bool)
    coalition[-1] = False
    whole, masked = traced.trace.inputs()["text"], traced.trace.inputs(coalition)["text"]
    changed = (whole != masked).any(dim=1).numpy()
    assert changed.tolist() == (traced.trace.slots["text"].cover[-1] > 0).tolist()
    pad = adapter("llava").model.get_input_embeddings().weight[adapter("llava").forward.pad_id]
    assert torch.equal(masked[changed], pad.expand(int(changed.sum()), -1))


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("part", ["image", "text"])
def test_gradients_are_differences(exact: Any, sample: Sample, kind: str, part: str) -> None:
    trace = Traced(exact(kind), sample, TARGET).trace
    inputs = trace.inputs()
    direction = {part: random_direction(inputs[part])}
    analytic, measured = slope_along(trace, inputs, direction, 1e-3)
    assert analytic == pytest.approx(measured, rel=2e-2, abs=2e-3)
    assert abs(analytic) > 1e-4


@pytest.mark.parametrize("kind", ["llava", "qwen3_vl", "idefics3"])
def test_the_gradient_of_an_attention_map_is_a_difference(
    exact: Any, sample: Sample, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = Traced(exact(kind), sample, TARGET).trace
    run = trace.run(attentions=True)
    which = next(k for k, one in enumerate(run.attentions) if one.query == "language")
    slope = run.gradients(attentions=True).attentions[which][0]
    push = random_direction(slope)
    layer = next(m for m in trace.language.modules() if hasattr(m, "layers")).layers[0].self_attn
    library = sys.modules[type(layer).__module__]
    own = library.eager_attention_forward

    def at(t: float) -> float:
        def pushed(module: Any, query: Any, key: Any, value: Any, *args: Any, **more: Any) -> Any:
            output, weights = own(module, query, key, value, *args, **more)
            if module is layer:
                heads = value.repeat_interleave(weights.shape[1] // value.shape[1], dim=1)
                output = output + t * torch.matmul(push[None].to(heads.dtype), heads).transpose(1, 2)
            return output, weights

        monkeypatch.setattr(library, "eager_attention_forward", pushed)
        return trace.run(grad=False, eager=True).value.item()

    assert float((slope * push).sum()) == pytest.approx((at(1e-3) - at(-1e-3)) / 2e-3, rel=2e-2, abs=2e-3)


@pytest.mark.parametrize("kind", ALL)
def test_attention_maps_are_those_of_the_library(adapter: Any, sample: Sample, kind: str) -> None:
    traced = Traced(adapter(kind), sample, TARGET)
    both = {part: torch.stack([t, 0.9 * t]) for part, t in traced.trace.inputs().items()}
    run = traced.trace.run(both, attentions=True, hidden=True)
    language = [one for one in run.attentions if one.query == "language"]
    library = adapter(kind).attentions(traced.prepared)
    assert len(language) == len(library)
    prompt = len(traced.prepared.state.prompt.ids)
    for own, theirs in zip(language, library, strict=True):
        assert torch.allclose(own.weights[0, :, :prompt, :prompt], theirs, atol=1e-5)
    assert {one.query for one in run.attentions} >= {"vision:image", "language"}
    if kind in TILED:
        tiles = len(traced.trace.inputs()["image"])
        first = next(one.weights[0, 0] for one in run.attentions if one.query == "vision:image")
        side = len(first) // tiles
        assert tiles > 1
        assert torch.equal(first > 0, torch.block_diag(*[torch.ones(side, side)] * tiles) > 0)
    for one in run.attentions:
        assert one.weights.shape[0] == 2
        if one.query in run.hidden:  # queries have none
            tokens = [run.hidden[stream][0].shape[1] for stream in (one.query, one.key)]
            assert list(one.weights.shape[2:]) == tokens
        assert torch.allclose(one.weights.sum(dim=-1), torch.ones(()), atol=1e-5)


@pytest.mark.parametrize("kind", ALL)
def test_rows_do_not_mix(adapter: Any, sample: Sample, kind: str) -> None:
    trace = Traced(adapter(kind), sample, TARGET).trace
    whole = trace.inputs()
    both = {part: torch.stack([t, 0.5 * t]) for part, t in whole.items()}
    together = trace.run(both, attentions=True, hidden=True)
    slopes = together.gradients(attentions=True, hidden=True)
    for row in range(2):
        alone = trace.run({part: t[row] for part, t in both.items()}, attentions=True, hidden=True)
        own = alone.gradients(attentions=True, hidden=True)
        assert alone.value.item() == pytest.approx(together.value[row].item(), abs=1e-4)
        pairs = [(slopes.inputs[part][row], own.inputs[part][0]) for part in whole]
        pairs += [(a[row], b[0]) for a, b in zip(slopes.attentions, own.attentions, strict=True)]
        for name, states in slopes.hidden.items():
            pairs += [(a[row], b[0]) for a, b in zip(states, own.hidden[name], strict=True)]
        for a, b in pairs:
            assert torch.allclose(a, b, atol=2e-4, rtol=1e-3)


def test_a_part_left_out_stays_whole_and_a_part_of_one_row_serves_all(adapter: Any, sample: Sample) -> None:
    trace = Traced(adapter("llava"), sample, TARGET).trace
    whole = trace.inputs()
    run = trace.run({"image": torch.stack([whole["image"], whole["image"] * 0])})
    assert run.value[0].item() == pytest.approx(trace.run(grad=False).value.item(), abs=1e-5)
    assert run.gradients().inputs["text"].shape == (2, *whole["text"].shape)
    with pytest.raises(InvalidInput, match="no part 'sound'"):
        trace.run({"sound": whole["image"]})
    with pytest.raises(InvalidInput, match="shape"):
        trace.run({"image": whole["image"][:2]})
    with pytest.raises(InvalidInput, match="no graph"):
        trace.run(grad=False).gradients()


def test_a_caller_without_gradients_gets_them_all_the_same(adapter: Any, sample: Sample) -> None:
    trace = Traced(adapter("llava"), sample, TARGET).trace
    wanted = trace.run().gradients().inputs["text"]
    for mode in (torch.no_grad(), torch.inference_mode()):
        with mode:
            found = Traced(adapter("llava"), sample, TARGET).trace.run().gradients().inputs["text"]
        assert torch.allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", ["llava", *TILED])
def test_a_picture_of_zeros_is_a_picture(adapter: Any, sample: Sample, kind: str) -> None:
    """Some models take a picture of zeros for padding and drop it."""
    trace = Traced(adapter(kind), sample, TARGET).trace
    zeros = torch.zeros_like(trace.inputs()["image"])
    run = trace.run({"image": torch.stack([zeros, zeros + 1e-5])})
    assert run.value[0].item() == pytest.approx(run.value[1].item(), abs=1e-2)
    assert run.gradients().inputs["image"][0].any()


def test_a_graph_of_the_callers_own_goes_on(adapter: Any, sample: Sample) -> None:
    trace = Traced(adapter("llava"), sample, TARGET).trace
    whole = trace.inputs()
    scale = torch.ones((), requires_grad=True)
    run = trace.run({"image": whole["image"] * scale})
    (slope,) = torch.autograd.grad(run.value.sum(), scale)
    direct = trace.run(whole).gradients().inputs["image"][0]
    assert slope.item() == pytest.approx(float((direct * whole["image"]).sum()), rel=1e-3)


@pytest.mark.parametrize("kind", ["llava", "qwen2_vl", "blip-2"])
def test_everything_is_as_before(adapter: Any, sample: Sample, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = Traced(adapter(kind), sample, TARGET)
    model = traced.trace.model
    traced.value()
    for k, parameter in enumerate(model.parameters()):
        parameter.requires_grad_(requires_grad=k % 2 == 0)
    before = state_of(model)

    def during(query: str, key: str, scores: Any) -> Any:
        assert not any(p.requires_grad for p in model.parameters())
        return scores

    run = traced.trace.run(attentions=True, hidden=True, scores=during)
    assert state_of(model) == before
    run.gradients(attentions=True)
    assert all(p.grad is None for p in model.parameters())

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("on purpose")

    last = list(traced.trace.language.modules())[-1]
    monkeypatch.setattr(last, "forward", fail)
    broken = state_of(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        traced.trace.run(attentions=True, hidden=True, scores=lambda query, key, scores: scores)
    assert state_of(model) == broken
    monkeypatch.undo()
    for parameter in model.parameters():
        parameter.requires_grad_(requires_grad=True)
    assert traced.value() == pytest.approx(run.value.item(), abs=1e-4)


def test_memory_is_freed_with_the_run(adapter: Any, sample: Sample) -> None:
    trace = Traced(adapter("llava"), sample, TARGET).trace
    run = trace.run(attentions=True, hidden=True)
    held = [weakref.ref(run.attentions[0].weights), weakref.ref(run.hidden["language"][0]), weakref.ref(run.value)]
    run.gradients(attentions=True)
    del run
    gc.collect()
    assert [ref() for ref in held] == [None] * 3


@pytest.mark.parametrize("kind", ["llava", "idefics3"])
def test_integrated_gradients_are_complete(adapter: Any, sample: Sample, kind: str) -> None:
    target = Target("probability", answer="blue")
    trace = Traced(adapter(kind), sample, target).trace
    found, wanted = completeness(trace)
    logarithms = Traced(adapter(kind), sample, Target(answer="blue")).trace
    assert found == pytest.approx(wanted, abs=1e-3)
    found, wanted = completeness(logarithms)
    assert found == pytest.approx(wanted, rel=0.03)


@pytest.mark.parametrize("kind", ["llava", "qwen2_5_vl", "paligemma"])
def test_half_precision_runs(folder: Any, sample: Sample, kind: str) -> None:
    model = hub.load(folder(kind), device="cpu", dtype="bfloat16", max_new_tokens=4)
    traced = Traced(model, sample, TARGET)
    run = traced.trace.run(attentions=True, hidden=True)
    slopes = run.gradients(attentions=True, hidden=True)
    assert run.value.dtype == torch.float32
    assert run.value.item() == pytest.approx(model.plain_value(traced.prepared, traced.target), abs=0.5)
    for part, slope in slopes.inputs.items():
        assert slope.dtype == traced.trace.inputs()[part].dtype == torch.float32
        assert slope.isfinite().all()
        assert slope.any()
    assert all(one.isfinite().all() for one in slopes.attentions)
    full = Traced(hub.load(folder(kind), device="cpu", max_new_tokens=4), sample, TARGET).trace
    wanted = full.run().gradients().inputs["text"]
    assert torch.cosine_similarity(slopes.inputs["text"].flatten(), wanted.flatten(), dim=0) > 0.9


@pytest.mark.parametrize("kind", ALL)
def test_a_player_s_pixels_are_its_own(adapter: Any, sample: Sample, kind: str) -> None:
    traced = Traced(adapter(kind), sample, TARGET, grid="grid:3x3" if kind in TILED else "grid:5x7")
    trace, count = traced.trace, len(traced.players["image"])
    whole = trace.inputs()["image"]
    for player in range(count):
        coalition = np.ones(len(traced.players), bool)
        coalition[traced.players.position(("image", player))] = False
        changed = (trace.inputs(coalition)["image"] - whole).abs()
        found = trace.to_players("image", changed)
        assert found.argmax() == player
        assert found[player] > 0
        others = np.delete(found, player).sum()
        if kind in TILED:  # tiles are resampled, which reaches a few pixels over a player's edge
            assert others < 0.35 * found[player]
        else:
            assert others == 0


@pytest.mark.parametrize("kind", ALL)
def test_nothing_is_lost_on_the_way_to_players(adapter: Any, sample: Sample, kind: str) -> None:
    traced = Traced(adapter(kind), sample, TARGET)
    slopes = traced.trace.run().gradients().inputs
    for part in ("image", "text"):
        found = traced.trace.to_players(part, slopes[part][0])
        covered = traced.trace.slots["text"].cover.sum(axis=0) if part == "text" else None
        total = (
            slopes[part][0].sum().item()
            if covered is None
            else float((slopes[part][0].sum(dim=1).numpy() * covered).sum())
        )
        assert found.shape == (len(traced.players[part]),)
        assert found.sum() == pytest.approx(total, rel=1e-3, abs=1e-3)
    with pytest.raises(InvalidInput, match="shape"):
        traced.trace.to_players("image", np.zeros((2, 2)))


def blind(model: Any, vision: Any) -> None:
    """Attention of the tower gives nothing, so that every patch stays by itself."""
    with torch.no_grad():
        for module in vision.modules():
            if "Attention" in type(module).__name__:
                for parameter in module.parameters():
                    parameter.zero_()


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind != "blip-2"])
def test_tokens_stand_where_they_look(folder: Any, sample: Sample, kind: str) -> None:
    model = hub.load(folder(kind), device="cpu", max_new_tokens=4)
    trace = Traced(model, sample, TARGET, grid="grid:model").trace
    blind(model.model, trace.vision)
    slots, tower = trace.slots["image"], trace.towers.get("image")
    run = trace.run(hidden=True)
    tokens = run.hidden["language"][0][0, torch.from_numpy(slots.positions)]
    for t in range(len(slots.positions)):
        slopes = run.gradients(tokens[t].square().sum(), hidden=True, keep=True)
        found = trace.to_players("image", slopes.inputs["image"][0].abs())
        assert set(np.flatnonzero(found > 1e-9 * found.max())) == set(np.flatnonzero(slots.cover[:, t] > 0))
        if tower is not None:
            by_patch = slopes.hidden["vision:image"][0][0].abs().sum(dim=1).numpy()
            assert set(np.flatnonzero(by_patch)) == set(np.flatnonzero(tower.merge[t]))
    assert np.allclose(slots.cover.sum(axis=0), 1)


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind != "qwen2_5_vl"])
def test_patches_of_a_tower_stand_where_they_look(adapter: Any, sample: Sample, kind: str) -> None:
    trace = Traced(adapter(kind), sample, TARGET, grid="grid:4x3").trace
    slots = trace.towers["image"].slots
    run = trace.run(hidden=True)
    patches = run.hidden["vision:image"][0][0, torch.from_numpy(slots.positions)]
    for t in range(0, len(slots.positions), 3):
        slope = run.gradients(patches[t].square().sum(), keep=True).inputs["image"][0]
        found = trace.to_players("image", slope.abs())
        assert set(np.flatnonzero(found)) == set(np.flatnonzero(slots.cover[:, t]))


@pytest.mark.parametrize("kind", ALL)
def test_the_head_reads_the_value_off_the_last_state(adapter: Any, sample: Sample, kind: str) -> None:
    trace = Traced(adapter(kind), sample, TARGET).trace
    run = trace.run(hidden=True, grad=False)
    (read,) = trace.read_out
    table = trace.head(run.hidden[read.stream][-1])[0].log_softmax(dim=-1)
    value = sum(table[int(p), int(t)] for p, t in zip(read.positions, read.tokens, strict=True))
    assert value.item() == pytest.approx(run.value.item(), abs=1e-4)


def test_two_pictures_are_kept_apart(adapter: Any, picture: np.ndarray) -> None:
    other = np.ascontiguousarray(picture[::-1, :40])
    two = Sample(left=Part("image", picture), text=QUESTION, right=Part("image", other))
    for kind in ("llava", "qwen2_vl", "idefics3"):
        traced = Traced(adapter(kind), two, TARGET)
        trace = traced.trace
        assert traced.value() == pytest.approx(adapter(kind).plain_value(traced.prepared, traced.target), abs=1e-4)
        coalition = np.ones(len(traced.players), bool)
        coalition[traced.players.position(("right", 1))] = False
        assert traced.value(coalition) == pytest.approx(traced.game(coalition), abs=1e-4)
        run = trace.run(attentions=True)
        assert {one.query for one in run.attentions} == {"vision:left", "vision:right", "language"}
        assert run.attentions[0].query == "vision:left"
        assert not set(trace.slots["left"].positions) & set(trace.slots["right"].positions)
        moved = (trace.inputs(coalition)["right"] - trace.inputs()["right"]).abs()
        assert trace.to_players("right", moved).argmax() == 1
        assert torch.equal(trace.inputs(coalition)["left"], trace.inputs()["left"])


def test_a_contrast_of_two_passes_has_two_streams(adapter: Any, sample: Sample) -> None:
    traced = Traced(adapter("llava"), sample, Target(answer=ANSWER, against="no two"))
    run = traced.trace.run(attentions=True, hidden=True)
    assert [(read.stream, read.sign) for read in traced.trace.read_out] == [("language", 1), ("language:against", -1)]
    assert {"language", "language:against"} <= {one.query for one in run.attentions}
    total = 0.0
    for read in traced.trace.read_out:
        table = traced.trace.head(run.hidden[read.stream][-1])[0].log_softmax(dim=-1)
        total += read.sign * sum(table[int(p), int(t)].item() for p, t in zip(read.positions, read.tokens, strict=True))
    assert total == pytest.approx(run.value.item(), abs=1e-4)


def test_scores_of_attention_can_be_changed(adapter: Any, sample: Sample) -> None:
    """Hiding a player's tokens in every layer's scores is what the game's masker ``attention`` does."""
    traced = Traced(adapter("llava"), sample, TARGET)
    coalition = np.ones(len(traced.players), bool)
    coalition[-1] = False
    slots = traced.trace.slots["text"]
    hidden = torch.from_numpy(slots.positions[slots.cover[-1] > 0])
    seen = []

    def hide(query: str, key: str, scores: Any) -> Any:
        seen.append((query, key))
        return scores.index_fill(-1, hidden, torch.finfo(scores.dtype).min) if key == "language" else scores

    value = traced.trace.run(grad=False, scores=hide).value.item()
    assert value == pytest.approx(traced.game(coalition), abs=1e-4)
    assert abs(value - traced.value()) > 1e-3
    assert seen == [("vision:image", "vision:image")] * 2 + [("language", "language")] * 2


def test_models_without_insides_refuse(picture: np.ndarray) -> None:
    model = FunctionModel(lambda samples: [0.0] * len(samples), kinds=["text"])
    with pytest.raises(MissingCapability, match=r"no gradients, attentions or hidden states.*shapley"):
        model.trace(None, None, {}, Target())
    with pytest.raises(MissingCapability, match="gradients"):
        model.require("gradients", by="Integrated Gradients")


def test_what_the_trace_needs_is_refused_in_words(adapter: Any, sample: Sample) -> None:
    model = adapter("llava")
    prepared = model.prepare(sample)
    traced = Traced(model, sample, TARGET)
    with pytest.raises(InvalidInput, match="resolve first"):
        model.trace(prepared, traced.players, traced.maskers, Target())
    with pytest.raises(InvalidInput, match="recorded no such thing"):
        traced.trace.run().gradients(hidden=True)
    with pytest.raises(InvalidInput, match="give bool"):
        traced.trace.inputs(np.ones(2, bool))
    assert {"gradients", "attentions", "hidden_states"} <= model.capabilities


def test_a_layer_without_maps_is_an_error(adapter: Any, sample: Sample, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = Traced(adapter("llava"), sample, TARGET).trace
    library = sys.modules["transformers.models.llama.modeling_llama"]
    monkeypatch.setattr(library, "eager_attention_forward", None)
    with pytest.raises(ModelError, match="no step-by-step attention"):
        trace.run(attentions=True)
