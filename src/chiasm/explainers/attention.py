"""Raw attention: where the answer's position looks in the last layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chiasm.core.errors import MissingCapability
from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.routing import Hop, as_notes, mean_of_heads, no_contrast, readers, to_players

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Trace


def last_hops(hops: list[Hop]) -> dict[tuple[str, str], torch.Tensor]:
    """(query stream, key stream) → the last map between them."""
    return {(hop.query, hop.key): hop.weights for hop in hops}


def chain(pairs: set[tuple[str, str]], start: str, end: str) -> list[tuple[str, str]]:
    """The shortest way of maps from the stream that reads to the one that is read; empty if there is none.

    A stream that reads its own tokens is one map.
    """
    ways = [[pair] for pair in sorted(pairs) if pair[0] == start and (pair[1] != start or start == end)]
    seen = {start}
    while ways:
        way = ways.pop(0)
        last = way[-1][1]
        if last == end:
            return way
        if last not in seen:
            seen.add(last)
            ways += [[*way, pair] for pair in sorted(pairs) if pair[0] == last and pair[1] != last]
    return []


class RawAttention(WhiteBox):
    """Mean over heads of the last layer's attention from the positions that the value is read from.

    Where the stream that the value is read from does not hold a part's tokens, the last maps on the shortest way to
    them are multiplied (BLIP's answer reads the question, and that the picture). Towers before the main stream are
    not looked into: a token of a picture stands for the patches that it was made of.
    """

    name = "attention"
    line = "attention of the answer's position in the last layer, mean of heads"
    needs = ("attentions",)
    cost = "1 forward pass"
    signed = False
    source = "Bahdanau et al. 2015; as a baseline in Chefer et al. 2021 (ICCV), section 5"
    indices = ("attention",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        del index, seed
        trace = subject.trace()
        last = last_hops(mean_of_heads(trace.run(trace.inputs(subject.whole), attentions=True, grad=False).attentions))
        values = to_players(trace, looked_at(trace, last))
        return Found(values[subject.free], notes=as_notes(subject, trace, *no_contrast(trace)))


def looked_at(trace: Trace, last: dict[tuple[str, str], torch.Tensor]) -> dict[str, torch.Tensor]:
    """Stream → share of the attention that each token of it gets, for the streams of the parts.

    Raises:
        MissingCapability: no maps lead to a part.
    """
    found: dict[str, torch.Tensor] = {}
    for stream in dict.fromkeys(slots.stream for slots in trace.slots.values()):
        for start, positions in readers(trace, contrast=False).items():
            way = chain(set(last), start, stream)
            if not way:
                continue  # the other tower of a dual encoder
            rows = last[way[0]][positions.tolist()].mean(dim=0)
            for pair in way[1:]:
                rows = rows @ last[pair]
            found[stream] = found[stream] + rows if stream in found else rows
    if not found:
        raise MissingCapability("The model gave no attention maps of the streams that the sample's parts stand in.")
    return found


RAW_ATTENTION = RawAttention()
