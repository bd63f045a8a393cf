"""What explainers that follow attention share: streams of tokens, where the answer is read, and the way to players.

A map of attention says where tokens take information from, not whether that information matters for the value:
attention is routing, not cause. What is found here is never signed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import MissingCapability

if TYPE_CHECKING:
    import torch

    from chiasm.explainers.base import Subject
    from chiasm.models.trace import AttentionMap, Trace

Floats = NDArray[np.float64]
#: the streams of a second pass, of the answer that a contrast subtracts, end in this
AGAINST = ":against"


@dataclass(frozen=True, eq=False)
class Hop:
    """One layer: tokens of a stream take from those of a stream, ``weights[query tokens, key tokens]``."""

    query: str
    key: str
    weights: torch.Tensor


def mean_of_heads(maps: Iterable[AttentionMap]) -> list[Hop]:
    """Attention of the first row, averaged over heads."""
    return [Hop(one.query, one.key, one.weights[0].detach().float().mean(dim=0)) for one in maps]


@dataclass(eq=False)
class Routes:
    """What each token of a stream has by now from each token of the streams: ``found[reading, read]``, matrices.

    A subclass says what a layer does to them.
    """

    found: dict[tuple[str, str], torch.Tensor] = field(default_factory=dict)

    def follow(self, hops: Iterable[Hop]) -> Routes:
        """Go through layers in the order of computation."""
        for hop in hops:
            for stream, tokens in zip((hop.query, hop.key), hop.weights.shape, strict=True):
                if (stream, stream) not in self.found:
                    self.found[stream, stream] = _eye(tokens, hop.weights)
            if hop.query == hop.key:
                self.mix(hop.query, hop.weights)
            else:
                self.read(hop.query, hop.key, hop.weights)
        return self

    def mix(self, stream: str, weights: torch.Tensor) -> None:
        """A layer of self-attention."""
        raise NotImplementedError

    def read(self, stream: str, key: str, weights: torch.Tensor) -> None:
        """A layer in which a stream reads another one."""
        raise NotImplementedError

    def sources(self, stream: str) -> list[str]:
        """The streams that one has something from, itself among them."""
        return [read for reading, read in self.found if reading == stream]

    def of(self, reading: str, read: str) -> torch.Tensor | None:
        """``found[reading, read]``, or ``None`` where nothing came from there."""
        return self.found.get((reading, read))


def _eye(tokens: int, like: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.eye(tokens, device=like.device, dtype=like.dtype)


def readers(trace: Trace, *, contrast: bool) -> dict[str, NDArray[np.int64]]:
    """Stream → positions that the value is read from, each once.

    Args:
        trace: of the sample.
        contrast: with those of the answer that a contrast subtracts. Gradients know its sign; attention alone does
            not, so methods without gradients leave them out.
    """
    found: dict[str, NDArray[np.int64]] = {}
    for read in trace.read_out:
        if read.sign > 0 or contrast:
            before = found.get(read.stream, np.zeros(0, np.int64))
            found[read.stream] = np.union1d(before, read.positions)
    return found


def read_by_value(routes: Routes, start: Mapping[str, NDArray[np.int64]]) -> dict[str, torch.Tensor]:
    """Stream → what the value has from each of its tokens: the mean over the positions that it is read from.

    Where it is read from several streams (the towers of a dual encoder, the passes of a contrast), theirs are added.
    """
    found: dict[str, torch.Tensor] = {}
    for stream, positions in start.items():
        for source in routes.sources(stream):
            rows = routes.found[stream, source][positions.tolist()].mean(dim=0)
            found[source] = found[source] + rows if source in found else rows
    return found


def to_players(trace: Trace, relevance: Mapping[str, torch.Tensor], routes: Routes | None = None) -> Floats:
    """Relevance of tokens → relevance of all players.

    Args:
        trace: of the sample.
        relevance: stream → ``Tensor[tokens]``.
        routes: where given, what a part's tokens in the main stream got goes on through the tower before them.

    Returns:
        ``float64[all players]``.

    Raises:
        MissingCapability: nothing can be given to the players of a part.
    """
    values = np.zeros(len(trace.players))
    for part, where in trace.players.slices.items():
        if where.stop == where.start:
            continue
        slots, tower = trace.slots[part], trace.towers.get(part)
        streams = [slots.stream, slots.stream + AGAINST]
        rows = [relevance[s].detach().double().cpu().numpy()[slots.positions] for s in streams if s in relevance]
        if not rows:
            raise MissingCapability(
                f"No attention leads from the value to the tokens of part {part!r} in the stream {slots.stream!r}; "
                f"use a method that needs gradients or values."
            )
        found = np.sum(rows, axis=0)
        if routes is None or tower is None:
            require_placed(trace, part)
            values[where] = slots.to_players(found)
            continue
        on_tower = found @ tower.merge
        through = routes.of(tower.stream, tower.slots.stream)
        if through is not None:
            on_tower = on_tower @ through.double().cpu().numpy()
        values[where] = tower.slots.to_players(on_tower[tower.slots.positions])
    return values


def require_placed(trace: Trace, part: str) -> None:
    """Refuse a part whose tokens in the main stream belong to none of its players.

    Raises:
        MissingCapability: they do not.
    """
    if not trace.slots[part].cover.any():
        raise MissingCapability(
            f"The tokens that part {part!r} has in the stream {trace.slots[part].stream!r} lie nowhere in it, so "
            f"nothing found there can be given to its players; use rollout, chefer or a gradient method, which go on "
            f"through the tower before them, or a method that needs values only."
        )


def require_one_stream(trace: Trace) -> str:
    """The stream that the answer is read from, where all parts stand in it.

    Raises:
        MissingCapability: they do not, so no scores of the answer are to be had at their tokens.
    """
    stream = trace.read_out[0].stream
    for part, slots in trace.slots.items():
        if slots.stream != stream:
            raise MissingCapability(
                f"The tokens of part {part!r} do not stand in the stream that the answer is read from ({stream!r}) but "
                f"in {slots.stream!r}, so the answer has no scores at them; a decoder's do. Use chefer, which follows "
                f"attention from stream to stream, or a gradient method."
            )
    return stream


def as_notes(subject: Subject, trace: Trace, *more: str) -> tuple[str, ...]:
    """Notes of the trace that bear on attention, and further ones; baselines do where players are held absent."""
    absent = not subject.whole.all()
    return (*(note for note in trace.notes if absent or "stood in for" not in note), *more)


def no_contrast(trace: Trace) -> tuple[str, ...]:
    """A note where the target is a contrast and the method cannot know of it."""
    if trace.target.against is None:
        return ()
    return (f"of the contrast, the answer {trace.target.answer!r} alone: attention has no sign",)
