"""The rules of explainers that follow attention, each against figures worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chiasm.explainers.atman import cut, scaled
from chiasm.explainers.attention import chain, last_hops
from chiasm.explainers.attn_lrp import propagation
from chiasm.explainers.chefer import RelevantRoutes, normalised, positive_part
from chiasm.explainers.glimpse import fused, layer_shares, token_shares
from chiasm.explainers.msea_arc import MultiScaleMap, rank_overlap
from chiasm.explainers.rollout import MixedRoutes
from chiasm.explainers.routing import Hop
from chiasm.explainers.tam import rank_gaussian, without_interference
from chiasm.models.trace import AttentionMap


def hop(query, key, weights):
    return Hop(query, key, torch.tensor(weights, dtype=torch.float64))


def attention(rows, columns, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, columns, generator=generator, dtype=torch.float64).softmax(dim=-1)


def close(found, wanted):
    return torch.allclose(found, torch.tensor(wanted, dtype=found.dtype), atol=1e-9)


# rollout


def test_rows_of_rollout_sum_to_one_over_all_streams():
    hops = [
        Hop("s", "s", attention(3, 3, 0)),
        Hop("q", "q", attention(4, 4, 1)),
        Hop("q", "s", attention(4, 3, 2)),
        Hop("q", "q", attention(4, 4, 3)),
        Hop("a", "q", attention(2, 4, 4)),
    ]
    routes = MixedRoutes().follow(hops)
    for stream in ("s", "q", "a"):
        total = sum(routes.found[stream, source].sum(dim=1) for source in routes.sources(stream))
        assert torch.allclose(total, torch.ones_like(total), atol=1e-9)
    assert set(routes.sources("a")) == {"a", "q", "s"}


def test_rollout_of_two_layers_by_hand():
    routes = MixedRoutes().follow([hop("s", "s", [[1, 0], [0.5, 0.5]]), hop("s", "s", [[1, 0], [1, 0]])])
    # (½A + ½I) of each: [[1, 0], [.25, .75]], then [[1, 0], [.5, .5]]
    assert close(routes.found["s", "s"], [[1, 0], [0.625, 0.375]])


def test_rollout_where_one_stream_reads_another_by_hand():
    routes = MixedRoutes().follow([hop("s", "s", [[0, 1], [0, 1]]), hop("q", "s", [[1, 0]])])
    assert close(routes.found["q", "q"], [[0.5]])
    assert close(routes.found["q", "s"], [[0.25, 0.25]])  # half of [½, ½], the first token's row


# Chefer


def test_relevance_of_two_layers_of_self_attention_by_hand():
    routes = RelevantRoutes().follow([hop("s", "s", [[0.2, 0], [0.3, 0.1]]), hop("s", "s", [[0, 0.4], [0.5, 0]])])
    assert close(routes.found["s", "s"], [[1.32, 0.44], [0.9, 1.1]])


def test_relevance_where_streams_read_each_other_by_hand():
    routes = RelevantRoutes().follow(
        [
            hop("s", "s", [[0.5, 0.5], [0, 0]]),
            hop("q", "q", [[0, 1], [0, 3]]),
            hop("s", "q", [[0.2, 0], [0, 0.4]]),
        ]
    )
    assert close(normalised(routes.found["s", "s"]), [[1.5, 0.5], [0, 1]])
    assert close(normalised(routes.found["q", "q"]), [[1, 1], [0, 2]])
    assert close(routes.found["s", "q"], [[0.3, 0.3], [0.1, 0.9]])
    assert close(routes.found["s", "s"], [[1.5, 0.5], [0, 1]])
    routes.read("q", "s", torch.tensor([[1.0, 0], [0, 0]], dtype=torch.float64))
    assert close(routes.found["q", "s"], [[1.5, 0.5], [1.5, 0.5]])
    assert close(routes.found["q", "q"], [[1.3, 1.3], [0, 4]])


def test_relevance_goes_on_to_what_the_stream_that_is_read_has_read():
    routes = RelevantRoutes().follow(
        [hop("v", "v", [[0.0]]), hop("q", "q", [[0.0]]), hop("q", "v", [[0.5]]), hop("a", "q", [[2.0]])]
    )
    assert close(routes.found["a", "v"], [[1.0]])  # 2 × 0.5


def test_only_what_raises_the_value_counts_and_heads_are_averaged():
    weights = torch.tensor([[[[0.5, 0.5]], [[0.2, 0.8]]]])
    slope = torch.tensor([[[[2.0, -1.0]], [[1.0, 0.5]]]])
    (step,) = positive_part([AttentionMap("s", "t", weights)], [slope])
    assert torch.allclose(step.weights, torch.tensor([[(1.0 + 0.2) / 2, (0.0 + 0.4) / 2]]))


# raw attention


def test_the_last_map_counts_and_streams_are_reached_through_others():
    last = last_hops([hop("s", "s", [[0.0]]), hop("s", "s", [[1.0]]), hop("s", "q", [[2.0]])])
    assert last["s", "s"].item() == 1
    pairs = {("a", "a"), ("a", "q"), ("q", "q"), ("q", "v"), ("v", "v")}
    assert chain(pairs, "a", "v") == [("a", "q"), ("q", "v")]
    assert chain(pairs, "q", "q") == [("q", "q")]
    assert chain(pairs, "v", "a") == []


# TAM


def test_interference_that_was_put_in_is_taken_out():
    rng = np.random.default_rng(0)
    own, other = np.zeros(24), np.zeros(24)
    own[:6] = rng.random(6) + 0.5
    other[10:20] = rng.random(10) + 0.5  # apart from the own map, so least squares finds the factor exactly
    found = without_interference(own + 0.7 * other, [2 * other, 0 * other], np.array([1.0, 3.0]))
    assert np.allclose(found, own, atol=1e-12)
    nothing = without_interference(0.7 * other, [other], np.array([2.0]))
    assert np.allclose(nothing, 0, atol=1e-12)


def test_overlap_of_rankings_by_hand():
    p = 0.9
    assert rank_overlap(np.array([4, 2, 7]), np.array([4, 2, 7]), p) == pytest.approx(1)
    assert rank_overlap(np.array([4, 2, 7]), np.array([1, 3, 5]), p) == 0
    # depth 1: nothing, depth 2: both, so p · 1 of 1 + p
    assert rank_overlap(np.array([4, 2]), np.array([2, 4]), p) == pytest.approx(p / (1 + p))
    # the first is shared, the third is the other's second: shares 1, 1/2, 2/3
    wanted = (1 + p / 2 + p**2 * 2 / 3) / (1 + p + p**2)
    assert rank_overlap(np.array([4, 2, 7]), np.array([4, 7, 9]), p) == pytest.approx(wanted)


class Spoken:
    """A lens whose positions rank tokens as they are told to."""

    def __init__(self, rows):
        self.rows = np.array(rows)

    def ranking(self, positions, top):
        return self.rows[positions][:, :top]


def test_tokens_that_are_treated_alike_are_not_taken_for_interference():
    lens = Spoken([[1, 2, 3], [7, 8, 9], [1, 2, 3]])
    weights = MultiScaleMap().unlike(lens, np.array([0, 1]), 2)
    assert weights == pytest.approx([0, 1])
    own, alike, unlike = np.array([2.0, 0, 0, 1]), np.array([2.0, 0, 0, 1]), np.array([0, 0, 3.0, 0])
    assert np.allclose(without_interference(own + unlike, [alike, unlike], weights), own)


def test_without_earlier_tokens_a_map_stays_but_for_its_sign():
    own = np.array([1.0, -2.0, 3.0])
    assert without_interference(own, [], np.zeros(0)).tolist() == [1, 0, 3]
    assert without_interference(own, [own], np.zeros(1)).tolist() == [1, 0, 3]


def test_the_filter_removes_specks_and_keeps_what_is_even():
    speck = np.full((6, 7), 2.0)
    assert np.allclose(rank_gaussian(speck), 2)
    speck[3, 3] = 50
    assert rank_gaussian(speck)[3, 3] < 10
    assert rank_gaussian(np.zeros((4, 4))).max() == 0


def test_the_filter_by_hand():
    plane = np.array([[1.0, 2, 3], [4, 5, 6], [7, 8, 9]])
    ranks, width = np.arange(9) - 4, np.std(np.arange(1, 10)) / 5
    kernel = np.exp(-(ranks**2) / (2 * width**2))
    assert rank_gaussian(plane)[1, 1] == pytest.approx((np.arange(1, 10) * kernel).sum() / kernel.sum())


# AtMan


def test_attention_that_is_cut_is_shared_among_the_rest():
    scores = torch.tensor([[[[0.3, -1.0, 2.0]]]])
    weights = scores.softmax(dim=-1)
    gone = torch.tensor([[[[0.0, 1.0, 0.5]]]])
    found = cut(scores, gone).softmax(dim=-1)
    wanted = weights * (1 - gone)
    assert torch.allclose(found, wanted / wanted.sum(), atol=1e-6)


def test_scores_are_scaled_from_the_least_of_their_row_and_masks_stay():
    hidden = torch.finfo(torch.float32).min
    scores = torch.tensor([[[[-2.0, 1.0, 3.0, hidden]]]])
    gone = torch.tensor([[[[0.0, 0.9, 0.0, 0.9]]]])
    assert torch.allclose(scaled(scores, gone), torch.tensor([[[[0.0, 0.3, 5.0, hidden]]]]))


# GLIMPSE


def test_heads_are_weighted_by_their_attention_under_rising_gradients():
    weights = torch.tensor([[[0.5, 0.5]], [[0.2, 0.8]]])
    slope = torch.tensor([[[1.0, -1.0]], [[1.0, 3.0]]])
    share = torch.tensor([0.5, (0.2 + 2.4) / 4]).softmax(dim=0)
    wanted = share[0] * torch.tensor([0.5, 0.0]) + share[1] * torch.tensor([0.2, 2.4])
    assert torch.allclose(fused(weights, slope)[0], wanted / wanted.sum())


def test_layers_and_answer_tokens_share_one():
    slopes = [torch.full((2, 3, 3), 1.0), torch.full((2, 3, 3), -2.0)]
    found = layer_shares(slopes)
    assert found.sum() == pytest.approx(1)
    assert found[1] / found[0] == pytest.approx(2 * np.exp(0.1))
    assert token_shares(np.array([0.5, 1.0]), np.array([0.4, 0.6])).tolist() == pytest.approx([0.25, 0.75])
    assert token_shares(np.array([0.5, 1.0]), np.zeros(2)).tolist() == [0.5, 0.5]


# AttnLRP


def relevance(function, *inputs):
    with propagation():
        value = function(*inputs).sum()
    return value, [x.detach() * slope for x, slope in zip(inputs, torch.autograd.grad(value, inputs), strict=True)]


def numbers(*shape, seed=0):
    found = torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return found.requires_grad_()


@pytest.mark.parametrize(
    "function",
    [
        lambda x, y: torch.nn.functional.silu(x) * y,
        lambda x, y: torch.matmul(x, y.transpose(0, 1)),
        lambda x, y: x @ y.transpose(0, 1),
        lambda x, y: torch.nn.functional.layer_norm(x, (5,)) + torch.nn.functional.gelu(y),
        lambda x, y: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) + torch.tanh(y),
        lambda x, y: x / x.norm(dim=-1, keepdim=True) * y,
        lambda x, y: x * torch.sigmoid(1.702 * x) + y,
    ],
    ids=["gate", "matmul", "at", "layer norm", "rms norm", "division", "quick gelu"],
)
def test_every_rule_keeps_the_relevance(function):
    x, y = numbers(4, 5), numbers(4, 5, seed=1)
    value, found = relevance(function, x, y)
    assert sum(one.sum() for one in found).item() == pytest.approx(value.item(), abs=1e-9)
    assert function(x, y).sum().item() == pytest.approx(value.item(), abs=1e-9)


def test_a_product_gives_half_to_each_side():
    x, y = numbers(3), numbers(3, seed=1)
    _, (of_x, of_y) = relevance(lambda a, b: a * b, x, y)
    assert torch.allclose(of_x, of_y)
    assert torch.allclose(of_x + of_y, (x * y).detach())


def test_softmax_follows_the_taylor_rule():
    x, v = numbers(6), numbers(6, seed=1).detach()
    _, (found,) = relevance(lambda a: torch.softmax(a, dim=0) * v, x)
    s = x.detach().softmax(dim=0)
    of_s = s * v
    assert torch.allclose(found, x.detach() * (of_s - s * of_s.sum()))


def test_the_rules_end_with_their_block():
    x, y = numbers(3), numbers(3, seed=1)
    with propagation():
        pass
    assert torch.allclose(torch.autograd.grad((x * y).sum(), x)[0], y)
