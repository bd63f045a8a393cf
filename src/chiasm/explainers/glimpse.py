"""GLIMPSE: positive attention gradients, heads and layers weighted by themselves, answer tokens by what they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import MissingCapability
from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.routing import as_notes, no_contrast, require_one_stream, require_placed

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from chiasm.models.trace import Run, Trace

Floats = NDArray[np.float64]
#: temperature of the weights of heads; how fast the prior of layers grows with their depth
HEADS, DEPTH = 1.0, 0.1


def fused(weights: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """Heads of a layer as one, ``[tokens, tokens]``: Σ_h w_h relu(∇A_h) ⊙ A_h, rows summing to 1 (or 0).

    w is the softmax over heads of the mean attention under the positive gradient, Σ relu(∇A)⊙A / Σ relu(∇A).
    """
    rising = slope.clamp(min=0)
    gained = rising * weights
    mean = gained.sum(dim=(1, 2)) / rising.sum(dim=(1, 2)).clamp(min=1e-30)
    found = (mean / HEADS).softmax(dim=0)[:, None, None] * gained
    found = found.sum(dim=0)
    total = found.sum(dim=1, keepdim=True)
    return found / total.where(total > 0, 1)


def layer_shares(slopes: Sequence[torch.Tensor]) -> Floats:
    """Weight of each layer: ‖Σ_h ∇A_h‖₁ times a prior that grows with depth; they sum to 1, or are all 0."""
    norms = np.array([float(slope.sum(dim=0).abs().sum()) for slope in slopes])
    shares: Floats = norms * np.exp(DEPTH * np.arange(1, len(norms) + 1))
    total = float(shares.sum())
    return shares / total if total > 0 else shares


def token_shares(chances: Floats, read: Floats) -> Floats:
    """Weight of each answer token: its probability times what it reads of the other parts; sums to 1, or all alike."""
    weights = chances * read
    total = float(weights.sum())
    return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))


class Glimpse(WhiteBox):
    """R ← R + (I + α_l E_l) R over the layers, for each token of the answer from the gradient of its own logit.

    The maps of a part are summed over the answer's tokens, each weighted by its probability and by what it reads of
    the other parts. Not taken over: the optional flow from function words to content words, which needs a list of
    them. Image tokens stand for their patches; the tower before them is not looked into.
    """

    name = "glimpse"
    line = "attention × its positive gradient, with weights of heads, layers and answer tokens"
    needs = ("attentions", "gradients", "hidden_states", "logits")
    cost = "1 forward pass, 1 backward pass for each token of the answer"
    signed = False
    source = "Shen 2025, GLIMPSE (arXiv 2506.18985), sections on fusion, propagation and aggregation"
    indices = ("GLIMPSE",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        del index, seed
        trace = subject.trace()
        require_one_stream(trace)
        read = trace.read_out[0]
        run = trace.run(trace.inputs(subject.whole), attentions=True, hidden=True)
        trace.head(run.hidden[read.stream][-1][:, :1])  # says in its own words what is missing
        rows, chances = [], []
        for k, (place, token) in enumerate(zip(read.positions, read.tokens, strict=True)):
            logits = _logits(trace, run, read.stream, int(place))
            chances.append(float(logits.softmax(dim=-1)[int(token)].detach()))
            row = _row(run, read.stream, int(place), logits[int(token)], keep=k + 1 < len(read.positions))
            rows.append(row.double().cpu().numpy())
        values = np.zeros(len(trace.players))
        read_of = {part: np.array([row[slots.positions].mean() for row in rows]) for part, slots in trace.slots.items()}
        for part, where in trace.players.slices.items():
            if where.stop == where.start:
                continue
            require_placed(trace, part)
            others = [found for name, found in read_of.items() if name != part]
            shares = token_shares(np.array(chances), np.mean(others, axis=0) if others else np.ones(len(rows)))
            values[where] = trace.slots[part].to_players((shares @ np.stack(rows))[trace.slots[part].positions])
        return Found(values[subject.free], notes=as_notes(subject, trace, *no_contrast(trace)))


def _logits(trace: Trace, run: Run, stream: str, position: int) -> torch.Tensor:
    """Logits at a position, with their graph."""
    import torch

    with torch.enable_grad():
        return trace.head(run.hidden[stream][-1][:, position])[0]


def _row(run: Run, stream: str, position: int, scalar: torch.Tensor, *, keep: bool) -> torch.Tensor:
    """What a position has from every token of its stream, by the gradient of a scalar; less the token itself."""
    slopes = run.gradients(scalar, inputs=False, attentions=True, keep=keep).attentions
    own = [k for k, one in enumerate(run.attentions) if (one.query, one.key) == (stream, stream)]
    steps = [fused(run.attentions[k].weights[0].detach().float(), slopes[k][0].float()) for k in own]
    shares = layer_shares([slopes[k][0].float() for k in own])
    row = None
    for step, share in zip(reversed(steps), reversed(shares), strict=True):  # rows of the product, from the last layer
        if row is None:
            row = step.new_zeros(len(step))
            row[position] = 1
        row = 2 * row + float(share) * (row @ step)  # R + (I + αE) R
    if row is None:
        raise MissingCapability(f"The model gave no attention maps of the stream {stream!r}.")
    return row


GLIMPSE = Glimpse()
