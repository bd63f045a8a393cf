"""Traces of dual and fusion encoders on tiny random models, and where pixels, patches and characters go."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tiny_dual import picture, save_clip, save_siglip
from tiny_fusion import save_blip, save_vilt
from trace_help import Traced, completeness, random_direction, slope_along, state_of

from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.players import PartPlayers, Regions, Spans
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.models import hub
from chiasm.models.trace_pictures import Layout, merged, overlaps
from chiasm.models.trace_texts import character_cover

SAVE = {"clip": save_clip, "old_clip": save_clip, "siglip": save_siglip, "vilt": save_vilt, "blip": save_blip}
KINDS = list(SAVE)
TEXTS = {"clip": "a red cat", "old_clip": "a red cat", "siglip": "a red cat on the left"}
STREAMS = {"clip": "vision", "old_clip": "vision", "siglip": "vision", "vilt": "fusion", "blip": "vision"}


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Any:
    kept: dict[str, str] = {}

    def get(kind: str) -> str:
        if kind not in kept:
            more = {"legacy": True} if kind == "old_clip" else {}
            kept[kind] = str(SAVE[kind](tmp_path_factory.mktemp(kind), **more))
        return kept[kind]

    return get


@pytest.fixture(scope="module")
def adapter(saved: Any) -> Any:
    kept: dict[tuple[str, bool], Any] = {}

    def get(kind: str, *, exact: bool = False) -> Any:
        if (kind, exact) not in kept:
            kept[kind, exact] = hub.load(saved(kind), device="cpu")
            if exact:
                kept[kind, exact].model.double()
        return kept[kind, exact]

    return get


def sample(kind: str) -> Sample:
    return Sample(image=picture(), text=TEXTS.get(kind, "what is left of the red square ?"))


def target(kind: str, **more: Any) -> Target | None:
    return None if kind in TEXTS else Target(**({"answer": "blue"} | more))


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_sample_has_the_plain_value(adapter: Any, kind: str) -> None:
    traced = Traced(adapter(kind), sample(kind), target(kind))
    for stepwise in (False, True):
        value = traced.trace.run(attentions=stepwise, grad=False).value.item()
        assert value == pytest.approx(adapter(kind).plain_value(traced.prepared, traced.target), abs=1e-4)


CASES = [
    ("clip", Target("logit", against="a dog")),
    ("clip", Target("probability", candidates=("a dog", "two cat"))),
    ("clip", Target("log_probability", candidates=("a dog", "two cat"), against="a dog")),
    ("siglip", Target("logit")),
    ("siglip", Target("probability", against="two dog")),
    ("siglip", Target("log_probability")),
    ("vilt", Target("logit", answer="blue", against="no")),
    ("vilt", Target("probability", answer="blue", against="no")),
    ("blip", Target("logit", answer="blue", against="no")),
    ("blip", Target("probability", answer="two cat")),
    ("blip", Target(answer="two cat", against="red", token=0)),
]


@pytest.mark.parametrize(("kind", "asked"), CASES)
def test_every_target_has_the_plain_value(adapter: Any, kind: str, asked: Target) -> None:
    traced = Traced(adapter(kind), sample(kind), asked)
    assert traced.value() == pytest.approx(adapter(kind).plain_value(traced.prepared, traced.target), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["mask", "neutral:the"])
def test_inputs_of_a_coalition_give_its_value(adapter: Any, kind: str, text: str) -> None:
    if text == "mask" and adapter(kind).tokenizer.mask_token_id is None:
        with pytest.raises(MissingCapability, match="mask token"):
            Traced(adapter(kind), sample(kind), target(kind), text=text)
        return
    traced = Traced(adapter(kind), sample(kind), target(kind), text=text, image="blur:3")
    for seed in range(4):
        coalition = traced.some(seed)
        if traced.trace.stand_ins:
            coalition[traced.players.slices["text"]] = True
        assert traced.value(coalition) == pytest.approx(traced.game(coalition), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("part", ["image", "text"])
def test_gradients_are_differences(adapter: Any, kind: str, part: str) -> None:
    trace = Traced(adapter(kind, exact=True), sample(kind), target(kind)).trace
    inputs = trace.inputs()
    assert inputs[part].dtype == torch.float64
    analytic, measured = slope_along(trace, inputs, {part: random_direction(inputs[part])}, 1e-3)
    assert analytic == pytest.approx(measured, rel=1e-2, abs=1e-4)
    assert abs(analytic) > 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_attention_maps_are_differences(adapter: Any, kind: str) -> None:
    """A push on the scores of one layer moves the value as the gradient of its map, through the softmax, says."""
    trace = Traced(adapter(kind, exact=True), sample(kind), target(kind)).trace
    run = trace.run(attentions=True)
    slopes = run.gradients(attentions=True).attentions
    for which, one in enumerate(run.attentions):
        weights = one.weights.detach()
        push = random_direction(weights)
        moved = weights * (push - (weights * push).sum(dim=-1, keepdim=True))  # derivative of the softmax

        def at(t: float, which: int = which, push: Any = push) -> float:
            calls = iter(range(1000))
            return trace.run(
                grad=False, scores=lambda query, key, scores: scores + t * push if next(calls) == which else scores
            ).value.item()

        wanted = (at(1e-3) - at(-1e-3)) / 2e-3
        assert float((slopes[which] * moved).sum()) == pytest.approx(wanted, rel=2e-2, abs=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_maps_and_streams(adapter: Any, kind: str) -> None:
    trace = Traced(adapter(kind), sample(kind), target(kind)).trace
    run = trace.run(attentions=True, hidden=True)
    seen = list(dict.fromkeys((one.query, one.key) for one in run.attentions))
    expected = {
        "vilt": "fusion<fusion",
        "blip": "vision<vision question<question question<vision answer<answer answer<question",
        "siglip": "vision<vision pool<vision text<text",
    }
    assert " ".join(f"{a}<{b}" for a, b in seen) == expected.get(kind, "vision<vision text<text")
    for one in run.attentions:
        assert torch.allclose(one.weights.sum(dim=-1), torch.ones(()), atol=1e-5)
        assert one.weights.shape[2:] == (run.hidden[one.query][0].shape[1], run.hidden[one.key][0].shape[1])
    slopes = run.gradients(attentions=True, hidden=True)
    assert all(slope.any() for slope, one in zip(slopes.attentions, run.attentions, strict=True) if one.key != "answer")
    for name, states in slopes.hidden.items():
        assert states[-1].any(), name
    for read in trace.read_out:
        last = slopes.hidden[read.stream][-1][0].abs().sum(dim=-1) > 0
        assert last.nonzero().flatten().tolist() == read.positions.tolist()


def test_siglip_pools_by_heads_as_torch_does(adapter: Any) -> None:
    trace = Traced(adapter("siglip"), sample("siglip")).trace
    run = trace.run(attentions=True, grad=False)
    (pool,) = [one.weights for one in run.attentions if one.query == "pool"]
    heard: list[Any] = []
    head = trace.model.vision_model.head.attention
    handle = head.register_forward_hook(lambda *call: heard.append(call[-1][1]))
    trace.run(grad=False)
    handle.remove()
    assert torch.allclose(pool.mean(dim=1), heard[0], atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_patches_and_tokens_stand_where_they_look(adapter: Any, kind: str) -> None:
    trace = Traced(adapter(kind), sample(kind), target(kind), grid="grid:3x3").trace
    run = trace.run(hidden=True)
    slots = trace.slots["image"]
    states = run.hidden[slots.stream][0][0]
    for t, position in enumerate(slots.positions):
        slope = run.gradients(states[position].square().sum(), keep=True).inputs["image"][0].abs()
        found = trace.to_players("image", slope)
        assert set(np.flatnonzero(found > 1e-6 * found.max())) == set(np.flatnonzero(slots.cover[:, t]))
    words = trace.slots["text"]
    states = run.hidden[words.stream][0][0]
    for t, position in enumerate(words.positions):
        slope = run.gradients(states[position].square().sum(), keep=True).inputs["text"][0]
        found = trace.to_players("text", slope.abs())
        assert set(np.flatnonzero(found)) == set(np.flatnonzero(words.cover[:, t]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_player_s_pixels_and_tokens_are_its_own(adapter: Any, kind: str) -> None:
    traced = Traced(adapter(kind), sample(kind), target(kind), grid="grid:3x3")
    whole = traced.trace.inputs()
    for position, (part, player) in enumerate(traced.players):
        coalition = np.ones(len(traced.players), bool)
        coalition[position] = False
        moved = traced.trace.inputs(coalition)
        for other in whole:
            found = traced.trace.to_players(other, (moved[other] - whole[other]).abs())
            assert np.flatnonzero(found).tolist() == ([player] if other == part else [])


@pytest.mark.parametrize("kind", KINDS)
def test_rows_do_not_mix(adapter: Any, kind: str) -> None:
    trace = Traced(adapter(kind), sample(kind), target(kind)).trace
    both = {part: torch.stack([t, 0.5 * t]) for part, t in trace.inputs().items()}
    together = trace.run(both, attentions=True)
    slopes = together.gradients(attentions=True)
    for row in range(2):
        alone = trace.run({part: t[row] for part, t in both.items()}, attentions=True)
        own = alone.gradients(attentions=True)
        assert alone.value.item() == pytest.approx(together.value[row].item(), abs=1e-5)
        for part in both:
            assert torch.allclose(slopes.inputs[part][row], own.inputs[part][0], atol=1e-5, rtol=1e-3)
        for a, b in zip(slopes.attentions, own.attentions, strict=True):
            assert torch.allclose(a[row], b[0], atol=1e-5, rtol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_integrated_gradients_are_complete(adapter: Any, kind: str) -> None:
    trace = Traced(adapter(kind), sample(kind), target(kind)).trace
    found, wanted = completeness(trace)
    assert found == pytest.approx(wanted, rel=0.02, abs=2e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_is_as_before(adapter: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    traced = Traced(adapter(kind), sample(kind), target(kind))
    model = traced.trace.model
    before = state_of(model)
    value = traced.trace.run(attentions=True, hidden=True, scores=lambda query, key, scores: scores).value.item()
    assert state_of(model) == before
    assert value == pytest.approx(traced.value(), abs=1e-5)

    def fail(*_: Any, **__: Any) -> Any:
        raise RuntimeError("on purpose")

    last = [m for m in model.modules() if type(m) is torch.nn.LayerNorm][-1]
    monkeypatch.setattr(last, "forward", fail)
    broken = state_of(model)
    with pytest.raises(RuntimeError, match="on purpose"):
        traced.trace.run(attentions=True, hidden=True, scores=lambda query, key, scores: scores)
    assert state_of(model) == broken
    monkeypatch.undo()
    assert traced.value() == pytest.approx(value, abs=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_step_by_step_every_softmax_can_be_seen(adapter: Any, kind: str) -> None:
    from torch.overrides import TorchFunctionMode

    class Counting(TorchFunctionMode):
        seen = 0

        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            self.seen += func in {torch.softmax, torch.nn.functional.softmax} and args[0].ndim == 4
            return func(*args, **(kwargs or {}))

    trace = Traced(adapter(kind), sample(kind), target(kind)).trace
    with Counting() as counting:
        trace.run(grad=False, eager=True)
    assert counting.seen == len(trace.run(grad=False, attentions=True).attentions)


@pytest.mark.parametrize("kind", KINDS)
def test_half_precision_runs(saved: Any, adapter: Any, kind: str) -> None:
    half = hub.load(saved(kind), device="cpu", dtype="bfloat16")
    traced = Traced(half, sample(kind), target(kind))
    run = traced.trace.run(attentions=True)
    slopes = run.gradients(attentions=True)
    full = Traced(adapter(kind), sample(kind), target(kind)).trace.run().gradients().inputs
    assert run.value.dtype == torch.float32
    for part, slope in slopes.inputs.items():
        assert slope.dtype == torch.float32
        assert slope.isfinite().all()
        assert torch.cosine_similarity(slope.flatten(), full[part].flatten(), dim=0) > 0.8


def test_a_contrast_of_blip_has_two_answer_streams(adapter: Any) -> None:
    trace = Traced(adapter("blip"), sample("blip"), Target(answer="two cat", against="red")).trace
    run = trace.run(attentions=True)
    assert [(r.stream, r.sign, len(r.tokens)) for r in trace.read_out] == [("answer", 1, 2), ("answer:against", -1, 1)]
    assert {"answer", "answer:against"} < {one.query for one in run.attentions}


def test_what_cannot_be_is_refused_in_words(adapter: Any) -> None:
    traced = Traced(adapter("vilt"), sample("vilt"), target("vilt"))
    with pytest.raises(MissingCapability, match="decoder"):
        traced.trace.head(torch.zeros(1, 32))
    with pytest.raises(InvalidInput, match="resolve first"):
        adapter("vilt").trace(traced.prepared, traced.players, traced.maskers, Target())
    with pytest.raises(InvalidInput, match="tokens in 'fusion'"):
        traced.trace.to_players("text", np.zeros(99))
    for kind in KINDS:
        assert {"gradients", "attentions", "hidden_states"} <= adapter(kind).capabilities


def test_an_embedding_layer_that_is_never_asked_is_an_error(adapter: Any) -> None:
    trace = Traced(adapter("vilt"), sample("vilt"), target("vilt")).trace
    trace.inputs()
    trace.embedding = torch.nn.Embedding(3, 32)
    with pytest.raises(ModelError, match="embedded no text"):
        trace.run()


# Geometry


def regions(labels: Any) -> PartPlayers:
    labels = np.asarray(labels, np.int32)
    return PartPlayers("image", "image", tuple("abcdefghi"[: labels.max() + 1]), Regions(labels))


def test_overlaps_are_shares_of_each_cell() -> None:
    assert overlaps(0, 4, 2, 4).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    assert np.allclose(overlaps(0, 3, 2, 3), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    assert np.allclose(overlaps(1, 3, 4, 4).sum(axis=1), 1)


def test_flat_patches_are_undone_in_their_own_order() -> None:
    """Against the order written out by hand: 2 x 2 patches of 2 pixels, merged 2 x 2, two frames, three channels."""
    rng = np.random.default_rng(0)
    picture_of = rng.random((3, 4, 8))
    flat = []
    for square in range(2):
        for r in range(2):
            for c in range(2):
                top, left = 2 * r, 4 * square + 2 * c
                block = picture_of[:, top : top + 2, left : left + 2]
                flat.append(np.repeat(block[:, None], 2, axis=1).ravel())
    labels = np.repeat(np.arange(4)[None], 4, axis=0).repeat(2, axis=1)
    layout = Layout((8, 24), ((0, 0, 4, 8),), (4, 8), regions(labels), labels.astype(np.int32), (2, 2, 2))
    assert np.allclose(layout.to_picture(np.array(flat)), 2 * picture_of.sum(axis=0))
    assert np.allclose(layout.to_players(np.array(flat)), [2 * picture_of[:, :, k : k + 2].sum() for k in (0, 2, 4, 6)])
    summed = np.array(flat).reshape(8, 3, 8).sum(axis=1)
    assert np.allclose(layout.to_picture(summed), 2 * picture_of.sum(axis=0))


def test_a_small_copy_of_the_picture_is_shared_by_area() -> None:
    labels = np.array([[0, 0, 1], [0, 0, 1], [2, 2, -1]])
    layout = Layout((2, 1, 3, 3), ((0, 0, 3, 3), (0, 0, 3, 3)), (3, 3), regions(labels), labels.astype(np.int32))
    tiles = np.zeros((2, 1, 3, 3))
    tiles[0, 0, 2, 2], tiles[1, 0, 0, 2] = 5, 3
    assert layout.to_players(tiles).tolist() == [0, 3, 0]
    half = Layout((1, 1, 2, 2), ((0, 0, 3, 3),), (2, 2), regions(labels), labels.astype(np.int32))
    found = half.to_players(np.array([[[[9.0, 0], [0, 0]]]]))
    assert np.allclose(found, [9, 0, 0])
    found = half.to_players(np.array([[[[0, 9.0], [0, 0]]]]))
    assert np.allclose(found, [9 * 0.5 / 1.5, 9 * 1 / 1.5, 0])
    found = half.to_players(np.array([[[[0, 0], [0, 9.0]]]]))
    assert found.sum() == pytest.approx(9 * (1 - 1 / 2.25))  # the corner pixel is nobody's
    assert np.allclose(half.cover((1, 1))[:, 0], np.array([4, 2, 2]) / 9)


def test_merged_patches_count_alike() -> None:
    merge, places = merged((4, 4), (2, 2), 1, 2)
    assert places[:5].tolist() == [0, 1, 4, 5, 2]
    assert merge[0].tolist() == [0.25] * 4 + [0.0] * 12
    plain, places = merged((4, 4), (2, 2), 2, None)
    assert places.tolist() == list(range(32))
    assert np.flatnonzero(plain[0]).tolist() == [0, 1, 4, 5]
    assert np.flatnonzero(plain[4]).tolist() == [16, 17, 20, 21]


def test_characters_share_a_token_and_white_space_is_nobodys() -> None:
    words = PartPlayers("t", "text", ("ab", "cd"), Spans(np.array([[0, 2], [3, 5]])), "ab cd?")
    spans = np.array([[0, 2], [2, 5], [1, 4], [2, 3], [4, 6]])
    cover = character_cover(spans, words)
    assert cover.tolist() == [[1, 0, 0.5, 0, 0], [0, 1, 0.5, 0, 0.5]]
