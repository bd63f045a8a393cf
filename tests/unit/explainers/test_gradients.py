"""Gradient explainers against closed forms, on small functions whose derivatives are known."""

from __future__ import annotations

from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from captum import attr as captum

from chiasm.core.errors import InvalidInput, MissingCapability, ModelError
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.core.target import Target
from chiasm.explainers.base import Subject
from chiasm.explainers.exclip import ExClip
from chiasm.explainers.gradcam import GRADCAM, LlavaCam, cam
from chiasm.explainers.gradients import noisy
from chiasm.explainers.input_gradient import INPUT_GRADIENT
from chiasm.explainers.integrated_gradients import IntegratedGradients
from chiasm.explainers.smoothgrad import SmoothGrad
from chiasm.models.trace import ReadOut, Slots, Trace

SIZES = {"a": 3, "b": 2}
WIDTH = 2


class Module(torch.nn.Module):
    dtype = torch.float32


class Toy(Trace):
    """Tokens of two parts, three and two of width two, and a function of them."""

    def __init__(self, players, function, *, scale="logit", read=(), shared=False, batch_size=3):
        super().__init__(None, players, {}, Target(scale=scale))
        self.function, self.model, self.batch_size = function, Module(), batch_size
        generator = torch.Generator().manual_seed(5)
        self.x = {part: torch.randn(size, WIDTH, generator=generator) for part, size in SIZES.items()}
        self.base = {part: torch.randn(size, WIDTH, generator=generator) for part, size in SIZES.items()}
        start = 0
        for part, size in SIZES.items():
            where = np.arange(size) + (start if shared else 0)
            self.slots[part] = Slots("s" if shared else part, where, np.eye(size))
            start += size
        self.read_out = list(read)

    def _make(self, present):
        if present is None:
            return dict(self.x)
        keep = {part: torch.from_numpy(present[part][0])[:, None] for part in SIZES}
        return {part: torch.where(keep[part], self.x[part], self.base[part]) for part in SIZES}

    def _listening(self, recorder):
        return nullcontext()

    def _forward(self, inputs, recorder):
        return self.function(inputs, recorder)


def toy(function, *, fixed=None, **options):
    """A subject on a function of the two parts, and its trace."""
    players = Players.abstract(SIZES)
    trace = Toy(players, function, **options)
    offers = frozenset({"values", "gradients", "hidden_states", "attentions"})
    adapter = SimpleNamespace(capabilities=offers, require=lambda *_, **__: None, trace=lambda *_: trace)

    def values(coalitions):
        return [trace.run(trace.inputs(row), grad=False).value.item() for row in coalitions]

    game = Game(lambda c: np.array(values(c)), players, fixed=fixed)
    return Subject(game, adapter, SimpleNamespace(), {}, trace.target), trace


WEIGHTS = {"a": torch.tensor([[1.0, -2], [0.5, 3], [0, 1]]), "b": torch.tensor([[2.0, 1], [-1, -1]])}


def linear(inputs, recorder=None):
    return sum((inputs[part] * WEIGHTS[part]).sum(dim=(1, 2)) for part in WEIGHTS) + 0.7


def curved(inputs, recorder=None):
    return torch.tanh(linear(inputs)) + (inputs["a"].mean(dim=1) * inputs["b"].mean(dim=1)).sum(dim=1).exp()


def per_token(factor):
    return np.concatenate([(WEIGHTS[part] * factor[part]).sum(dim=1).double().numpy() for part in SIZES])


def test_input_gradient_of_a_linear_model_is_weights_times_input():
    subject, trace = toy(linear)
    assert np.allclose(INPUT_GRADIENT.explain(subject).single, per_token(trace.x), atol=1e-5)


def test_integrated_gradients_of_a_linear_model_is_weights_times_the_way():
    subject, trace = toy(linear)
    found = IntegratedGradients(steps=1, most=1).explain(subject)
    assert np.allclose(found.single, per_token({p: trace.x[p] - trace.base[p] for p in SIZES}), atol=1e-5)
    assert found.provenance.extra["steps"] == 1


def test_integrated_gradients_is_the_integral():
    """Against a fine sum of the derivative along the path, by differences."""
    subject, trace = toy(curved)
    found = IntegratedGradients(steps=16, most=4096, tolerance=1e-6).explain(subject)
    steps, wanted, h = 2000, np.zeros(5), 1e-3
    x, base = ({p: t.double() for p, t in one.items()} for one in (trace.x, trace.base))
    shares = ((torch.arange(steps, dtype=torch.float64) + 0.5) / steps).reshape(-1, 1, 1)
    path = {p: base[p] + shares * (x[p] - base[p]) for p in SIZES}
    player = 0
    for part, size in SIZES.items():
        for token in range(size):
            push = torch.zeros_like(x[part])
            push[token] = (x[part] - base[part])[token]
            up, down = (curved(path | {part: path[part] + sign * h * push}).mean() for sign in (1, -1))
            wanted[player] = (up - down) / (2 * h)
            player += 1
    assert np.allclose(found.single, wanted, atol=2e-4)
    everyone, nobody = (float(subject.game(np.full((1, 5), present))[0]) for present in (True, False))
    assert found.single.sum() == pytest.approx(everyone - nobody, abs=1e-3)
    assert found.provenance.extra["effect"] == pytest.approx(everyone - nobody, abs=1e-5)


def test_the_completeness_gap_is_told_and_makes_the_path_finer():
    subject, _ = toy(curved)
    rough = IntegratedGradients(steps=2, most=2).explain(subject)
    gap = rough.provenance.extra["completeness_gap"]
    assert abs(gap) > 1e-3
    assert rough.single.sum() + gap == pytest.approx(rough.provenance.extra["effect"], abs=1e-5)
    assert "miss that by" in " ".join(rough.provenance.notes)
    fine = IntegratedGradients(steps=2, tolerance=1e-3).explain(subject)
    assert fine.provenance.extra["steps"] > 2
    assert abs(fine.provenance.extra["completeness_gap"]) <= 1e-3 * np.abs(fine.single).sum()


def test_a_doubled_path_uses_every_point_once():
    """Paths of 4 made finer twice, and of 16 at once, are the same sum."""
    subject, _ = toy(curved)
    doubled = IntegratedGradients(steps=4, most=16, tolerance=0).explain(subject)
    at_once = IntegratedGradients(steps=16, most=16).explain(subject)
    assert np.allclose(doubled.single, at_once.single, atol=1e-6)


def test_players_held_fixed_do_not_move():
    subject, trace = toy(linear, fixed={"b": False, ("a", 1): True})
    found = IntegratedGradients().explain(subject)
    way = per_token({p: trace.x[p] - trace.base[p] for p in SIZES})
    assert found.single.shape == (2,)
    assert np.allclose(found.single, way[[0, 2]], atol=1e-4)
    here = INPUT_GRADIENT.explain(subject).single
    assert np.allclose(here, per_token(trace.x)[[0, 2]], atol=1e-5)


def test_smoothgrad_without_noise_is_the_gradient():
    subject, trace = toy(curved)
    slope = trace.run().gradients().inputs
    plain = SmoothGrad(copies=3, level=0).explain(subject)
    wanted = np.concatenate([slope[part][0].abs().sum(dim=1).numpy() for part in SIZES])
    assert np.allclose(plain.single, wanted, atol=1e-5)
    signed = SmoothGrad(signed=True, copies=3, level=0).explain(subject)
    assert np.allclose(signed.single, INPUT_GRADIENT.explain(subject).single, atol=1e-5)


def test_smoothgrad_is_the_mean_over_noise():
    """The derivative of a square in a noisy place is on average that of the place, and its errors say how near."""
    subject, trace = toy(lambda inputs, _: inputs["a"].square().sum(dim=(1, 2)) + inputs["b"].sum(dim=(1, 2)))
    found = SmoothGrad(signed=True, copies=400, level=0.2).explain(subject, seed=3)
    wanted = 2 * trace.x["a"].square().sum(dim=1).numpy()
    off = np.abs(found.single[:3] - wanted)
    assert np.all(off < 4 * found.single_errors[:3])
    assert np.all(found.single_errors[:3] > 0)
    spread = 0.2 * float(trace.x["a"].max() - trace.x["a"].min()) * 2 * trace.x["a"].norm(dim=1).numpy() / 20
    assert np.allclose(found.single_errors[:3], spread, rtol=0.2)
    assert np.allclose(found.single[3:], trace.x["b"].sum(dim=1).numpy(), atol=1e-4)
    other = SmoothGrad(signed=True, copies=400, level=0.2).explain(subject, seed=4)
    assert not np.array_equal(found.single, other.single)


def test_noise_is_a_share_of_each_part_s_range():
    wide = {"a": torch.tensor([0.0, 10.0]), "b": torch.tensor([1.0, 1.5])}
    copies = noisy(wide, 4000, 0.1, seed=1)
    assert float((copies["a"] - wide["a"]).std()) == pytest.approx(1.0, rel=0.05)
    assert float((copies["b"] - wide["b"]).std()) == pytest.approx(0.05, rel=0.05)


A = torch.tensor([[[1.0, 2], [3, -1], [0, 4]]])
G = torch.tensor([[[2.0, 0], [1, -1], [0, 4]]])
#: mean gradient (1, 1): 1 + 2, 3 − 1, 0 + 4; over the first two tokens (1.5, −.5): 1.5 − 1, 4.5 + .5
BY_HAND = ([3.0, 2, 4], [0.5, 5.0])


def test_cam_by_hand():
    assert cam(A, G, [0, 1, 2])[0].tolist() == BY_HAND[0]
    assert cam(A, G, [0, 1])[0].tolist() == BY_HAND[1]
    assert cam(A, G, [1], over=[0, 1, 2])[0].tolist() == [2.0]


def layered(inputs, recorder, *, stream=None, sign=1.0):
    """Part a is the state itself, its gradient is G, its map `BY_HAND`; the last state is read at token 0 only."""
    state = inputs["a"] * 1.0
    last = torch.cat([(state * G).sum(dim=(1, 2)).reshape(-1, 1, 1).expand(-1, 1, WIDTH), state[:, 1:] * 1.0], dim=1)
    other = inputs["b"] * 1.0
    if recorder.hidden:
        for held in (state, last):
            recorder.keep("a", held)
        recorder.keep("b", other)
    return sign * (last[:, 0].mean(dim=1) + (other * WEIGHTS["b"]).sum(dim=(1, 2)))


def test_gradcam_takes_the_last_state_that_tokens_act_through():
    read = [ReadOut("a", np.array([0]), np.array([1]))]
    subject, trace = toy(layered, read=read)
    trace.x["a"] = A[0]
    found = GRADCAM.explain(subject)
    assert np.allclose(found.values["a"], BY_HAND[0], atol=1e-5)
    weights = WEIGHTS["b"].mean(dim=0)
    assert np.allclose(found.values["b"], (trace.x["b"] * weights).sum(dim=1).clamp(min=0).numpy(), atol=1e-5)
    assert found.provenance.extra["layers"] == {"a": "a 0 of 1", "b": "b 0 of 0"}
    assert not found.provenance.signed


def test_gradcam_cuts_what_speaks_against_the_answer():
    subject, trace = toy(lambda inputs, recorder: layered(inputs, recorder, sign=-1.0))
    trace.x["a"] = A[0]
    assert not GRADCAM.explain(subject).values["a"].any()


class ChannelsFirst(torch.nn.Module):
    """Part a through a layer that captum reads as a picture's: ``[rows, channels, tokens]``."""

    def __init__(self):
        super().__init__()
        generator = torch.Generator().manual_seed(9)
        self.layer = torch.nn.Conv1d(WIDTH, 4, 1)
        self.mixed = torch.randn(4, 3, generator=generator)
        with torch.no_grad():
            self.layer.weight.copy_(torch.randn(4, WIDTH, 1, generator=generator))

    def forward(self, tokens, recorder=None):
        state = self.layer(tokens.transpose(1, 2))
        if recorder is not None and recorder.hidden:
            recorder.keep("a", state.transpose(1, 2))
            state = recorder.states["a"][-1].transpose(1, 2)
        return (torch.tanh(state) * self.mixed).sum(dim=(1, 2)) + state.square().mean(dim=(1, 2))


def test_gradcam_equals_captum_s_on_the_same_layer():
    module = ChannelsFirst()
    subject, trace = toy(
        lambda inputs, recorder: module(inputs["a"], recorder) + (inputs["b"] * 0).sum(dim=(1, 2)), fixed={"b": True}
    )
    trace.slots = {"a": trace.slots["a"], "b": Slots("a", np.zeros(2, int), np.ones((2, 2)))}
    theirs = captum.LayerGradCam(module, module.layer).attribute(trace.x["a"][None], relu_attributions=True)
    assert (theirs > 0).any()
    assert np.allclose(GRADCAM.explain(subject).single, theirs[0, 0].detach().numpy(), atol=1e-5)


def shared(inputs, recorder):
    """Both parts in one stream, the value linear in it."""
    state = torch.cat([inputs["a"], inputs["b"]], dim=1)
    if recorder.hidden:
        recorder.keep("s", state)
    return (state * torch.cat([WEIGHTS["a"], WEIGHTS["b"]])).sum(dim=(1, 2))


def test_llava_cam_weighs_all_tokens_alike():
    subject, trace = toy(shared, shared=True)
    found = LlavaCam(copies=2, level=0).explain(subject)
    weights = torch.cat([WEIGHTS["a"], WEIGHTS["b"]]).mean(dim=0)
    wanted = torch.cat([trace.x["a"], trace.x["b"]]) @ weights
    assert np.allclose(found.single, wanted.clamp(min=0).numpy(), atol=1e-5)


def test_llava_cam_needs_one_stream():
    subject, _ = toy(layered)
    with pytest.raises(MissingCapability, match="one stream"):
        LlavaCam().explain(subject)


LEFT = torch.randn(6, 4, generator=torch.Generator().manual_seed(1)) / 2
RIGHT = torch.randn(4, 4, generator=torch.Generator().manual_seed(2)) / 2
TWO = (ReadOut("a", np.array([0]), np.zeros(0, np.int64)), ReadOut("b", np.array([0]), np.zeros(0, np.int64)))


def bilinear(inputs, recorder=None):
    return ((inputs["a"].flatten(1) @ LEFT + 1) * (inputs["b"].flatten(1) @ RIGHT - 2)).sum(dim=1)


def towers(inputs, recorder=None):
    left = torch.tanh(inputs["a"].flatten(1) @ LEFT)
    right = torch.sigmoid(2 * inputs["b"].flatten(1) @ RIGHT) + inputs["b"].square().sum(dim=(1, 2))[:, None]
    return (torch.nn.functional.normalize(left, dim=1) * torch.nn.functional.normalize(right, dim=1)).sum(dim=1)


def corner_sum(subject):
    rows = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
    return float(subject.game(rows) @ [1, -1, -1, 1])


def test_exclip_of_a_bilinear_tower_is_its_matrix():
    subject, trace = toy(bilinear, read=TWO)
    found = ExClip(nodes=(1,)).explain(subject)
    way = {p: trace.x[p] - trace.base[p] for p in SIZES}
    left = torch.stack([way["a"][i] @ LEFT[2 * i : 2 * i + 2] for i in range(3)])
    right = torch.stack([way["b"][j] @ RIGHT[2 * j : 2 * j + 2] for j in range(2)])
    block = (left @ right.T).double().numpy()
    assert np.allclose(found.interactions["a", "b"], block, atol=1e-4)
    assert block.sum() == pytest.approx(corner_sum(subject), abs=1e-4)
    assert np.allclose(found.single, np.concatenate([block.sum(axis=1), block.sum(axis=0)]) / 2, atol=1e-4)
    assert np.isnan(found.pair[0, 1])
    assert found.pair[0, 0] == 0


def test_exclip_pairs_sum_to_the_interplay_of_the_towers():
    subject, _ = toy(towers, read=TWO)
    found = ExClip(nodes=(1, 2, 24), tolerance=1e-3).explain(subject)
    block = found.interactions["a", "b"]
    assert block.sum() == pytest.approx(corner_sum(subject), abs=2e-3)
    assert found.provenance.extra["nodes"] == 24
    assert found.provenance.extra["completeness_gap"] == pytest.approx(corner_sum(subject) - block.sum(), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "match"), [({}, "dual encoder"), ({"read": TWO, "scale": "probability"}, "similarity or logit")]
)
def test_exclip_refuses_what_is_no_product(options, match):
    reads = {"read": [ReadOut("a", np.array([0]), np.array([3]))]} | options
    subject, _ = toy(towers, **reads)
    with pytest.raises(MissingCapability, match=match):
        ExClip().explain(subject)


@pytest.mark.parametrize(
    "make",
    [
        lambda: IntegratedGradients(steps=0),
        lambda: IntegratedGradients(steps=8, most=4),
        lambda: SmoothGrad(copies=0),
        lambda: SmoothGrad(level=-1),
        lambda: LlavaCam(copies=0),
        lambda: ExClip(nodes=()),
    ],
)
def test_numbers_that_make_no_sense_are_refused(make):
    with pytest.raises(InvalidInput):
        make()


@pytest.mark.parametrize("explainer", [INPUT_GRADIENT, IntegratedGradients(), SmoothGrad()])
def test_a_gradient_that_overflows_is_an_error(explainer):
    subject, _ = toy(lambda inputs, _: (inputs["a"].sum(dim=(1, 2)) * 0).sqrt() + linear(inputs))
    with pytest.raises(ModelError, match="not finite"):
        explainer.explain(subject)
