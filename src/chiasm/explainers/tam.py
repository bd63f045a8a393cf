"""Token Activation Map: the score of the answer's token at every position, less what earlier tokens explain."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import MissingCapability
from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.routing import as_notes, no_contrast, require_one_stream, require_placed

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Trace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
#: positions that go through the output layer at once
_AT_ONCE = 64


def without_interference(own: Floats, earlier: Sequence[Floats], weights: Floats) -> Floats:
    """relu(own − s·I), I the weighted mean of earlier tokens' maps, s = ⟨own, I⟩/⟨I, I⟩ (estimated causal inference).

    Args:
        own: map of the token, ``float64[places]``.
        earlier: maps of the tokens before it.
        weights: how much each of these counts, not negative.
    """
    total = float(np.sum(weights))
    if not len(earlier) or total <= 0:
        return np.maximum(own, 0)
    mixed = np.asarray(weights) @ np.stack(earlier) / total
    power = float(mixed @ mixed)
    return np.maximum(own - (float(own @ mixed) / power if power > 0 else 0.0) * mixed, 0)


def rank_gaussian(plane: Floats, side: int = 3) -> Floats:
    """Each value becomes a mean of the sorted values around it, weighted by a Gaussian around the middle rank.

    The Gaussian's width is the coefficient of variation of the values: where they differ little, the median.

    Args:
        plane: ``float64[rows, columns]``, not negative.
        side: of the square around a value; the plane is mirrored at its edges.
    """
    if min(plane.shape) <= side // 2:
        return plane.copy()
    padded = np.pad(plane, side // 2, mode="reflect")
    around = np.lib.stride_tricks.sliding_window_view(padded, (side, side)).reshape(*plane.shape, side**2)
    ranked = np.sort(around, axis=-1)
    mean = ranked.mean(axis=-1)
    width = ranked.std(axis=-1) / np.where(mean > 0, mean, 1)
    ranks = np.arange(side**2) - side**2 // 2
    kernel = np.exp(-(ranks**2) / np.maximum(2 * width[..., None] ** 2, 1e-12))
    found: Floats = np.where(mean > 0, (ranked * kernel).sum(axis=-1) / kernel.sum(axis=-1), 0.0)
    return found


def planes_of(trace: Trace, part: str) -> list[tuple[slice, tuple[int, int]]]:
    """Where a part's tokens tile rectangles: which of its tokens, and (rows, columns) of each; none of a text."""
    layout = trace.layouts.get(part)
    if layout is None:
        return []
    tokens, tiles = len(trace.slots[part].positions), len(layout.boxes)
    each = tokens // tiles
    while each > 0 and tokens - each * tiles < 2:  # at most one token of the whole picture comes first
        rows = round(math.sqrt(each * layout.sides[0] / layout.sides[1]))
        if rows > 0 and each % rows == 0 and rows * layout.sides[1] * rows == each * layout.sides[0]:
            first = tokens - each * tiles
            return [(slice(first + k * each, first + (k + 1) * each), (rows, each // rows)) for k in range(tiles)]
        each -= 1
    return []


@contextmanager
def overheard_ids(trace: Trace) -> Iterator[list[Ints]]:
    """Token ids that the model looks up within this block."""
    heard: list[Ints] = []

    def before(_module: Any, args: Any, kwargs: Any) -> None:
        ids = args[0] if args else kwargs["input"]
        heard.append(ids.detach().cpu().numpy())

    handle = trace.model.get_input_embeddings().register_forward_pre_hook(before, with_kwargs=True)
    try:
        yield heard
    finally:
        handle.remove()


@dataclass(frozen=True, eq=False)
class Lens:
    """What the output layer says at positions of the main stream.

    Attributes:
        stream: the stream.
        ids: ``int64[tokens]``: the token at each position.
        state: last hidden states, ``Tensor[tokens, width]``.
    """

    trace: Trace
    stream: str
    ids: Ints
    state: torch.Tensor

    def scores(self, positions: Ints, tokens: Ints) -> Floats:
        """Logits not below zero, ``float64[positions, tokens]``."""
        found = []
        for start in range(0, len(positions), _AT_ONCE):
            table = self.trace.head(self.state[positions[start : start + _AT_ONCE].tolist()]).detach()
            found.append(table[:, tokens.tolist()].clamp(min=0).double().cpu().numpy())
        return np.concatenate(found) if found else np.zeros((0, len(tokens)))

    def ranking(self, positions: Ints, top: int) -> Ints:
        """Tokens of largest logit, best first, ``int64[positions, top]`` (or as many as there are)."""
        found = []
        for start in range(0, len(positions), _AT_ONCE):
            table = self.trace.head(self.state[positions[start : start + _AT_ONCE].tolist()]).detach()
            found.append(table.topk(min(top, table.shape[-1]), dim=-1).indices.cpu().numpy())
        return np.concatenate(found).astype(np.int64)


def look(trace: Trace, inputs: Any = None) -> Lens:
    """Run the model and keep the last hidden states of the stream that the answer is read from.

    Raises:
        MissingCapability: the model scores no vocabulary there.
    """
    stream = require_one_stream(trace)
    with overheard_ids(trace) as heard:
        run = trace.run(inputs, hidden=True, grad=False)
    trace.head(run.hidden[stream][-1][:, :1])  # says in its own words what is missing
    states = run.hidden[stream]
    ids = [one for one in heard if one.shape[-1] == states[-1].shape[1]]
    if not ids:
        raise MissingCapability("The model looks up no token ids, so there are no earlier tokens to compare with.")
    return Lens(trace, stream, np.asarray(ids[0][0], np.int64), states[-1][0].detach())


@dataclass(frozen=True, eq=False)
class Context:
    """The tokens before the one that is explained.

    Attributes:
        positions: where the score that weighs each is read: a prompt's token at itself, an answer's where it is said.
        tokens: which they are.
    """

    positions: Ints
    tokens: Ints


def context_of(trace: Trace, lens: Lens, answered: int) -> Context:
    """Tokens of the texts, and the answer's first ones.

    Args:
        trace: of the sample.
        lens: see `look`.
        answered: how many of the answer's tokens come before.
    """
    texts = [slots.positions for part, slots in trace.slots.items() if part not in trace.layouts]
    prompt = np.sort(np.concatenate([np.zeros(0, np.int64), *texts]))
    said = first_read(trace) + np.arange(answered)
    return Context(np.concatenate([prompt, said]), lens.ids[np.concatenate([prompt, said + 1])])


def first_read(trace: Trace) -> int:
    """The position that the answer's first token is read from."""
    return int(trace.read_out[0].positions[0]) - max(trace.target.token or 0, 0)


class TokenActivationMap(WhiteBox):
    """The map of each token of the answer, summed over the answer's tokens (or that of ``target.token``).

    Image tokens stand for the patches that they were made of; the tower before them is not looked into. A text's own
    tokens get the score of the answer's token at them, nothing subtracted, on the same scale.
    """

    name = "tam"
    line = "score of the answer's token at every position, less what earlier tokens explain; smoothed"
    needs = ("hidden_states", "logits")
    cost = "1 forward pass"
    signed = False
    source = "Li et al. 2025 (ICCV), Token Activation Map"
    indices = ("TAM",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        del index, seed
        trace = subject.trace()
        lens = look(trace, trace.inputs(subject.whole))
        read = trace.read_out[0]
        values = np.zeros(len(trace.players))
        for place, token in zip(read.positions, read.tokens, strict=True):
            context = context_of(trace, lens, int(place) - first_read(trace))
            values += self.map_of(trace, lens, int(token), context)
        smoothed = all(planes_of(trace, part) for part in trace.layouts)
        note = () if smoothed else ("the tokens tile no rectangle, so the map is not smoothed",)
        return Found(values[subject.free], notes=as_notes(subject, trace, *no_contrast(trace), *note))

    def map_of(self, trace: Trace, lens: Lens, token: int, context: Context) -> Floats:
        """One token's map on all players."""
        other = context.tokens != token
        tokens = np.append(context.tokens[other], token)
        weights = lens.scores(context.positions[other], np.array([token]))[:, 0]
        values = np.zeros(len(trace.players))
        for part, where in trace.players.slices.items():
            if where.stop == where.start:
                continue
            require_placed(trace, part)
            slots = trace.slots[part]
            if part not in trace.layouts:
                values[where] = slots.to_players(lens.scores(slots.positions, np.array([token]))[:, 0])
                continue
            scores = lens.scores(slots.positions, tokens)
            found = without_interference(scores[:, -1], list(scores[:, :-1].T), weights)
            values[where] = slots.to_players(smooth(found, planes_of(trace, part)))
        return values


def smooth(values: Floats, planes: list[tuple[slice, tuple[int, int]]]) -> Floats:
    """`rank_gaussian` on each rectangle of a part's tokens."""
    found = values.copy()
    for which, shape in planes:
        found[which] = rank_gaussian(values[which].reshape(shape)).ravel()
    return found


TAM = TokenActivationMap()
