"""MSEA+ARC: maps of the answer's score at several sizes of the picture, less those of earlier tokens unlike it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.routing import as_notes, no_contrast, require_placed
from chiasm.explainers.tam import Lens, context_of, first_read, look, without_interference

if TYPE_CHECKING:
    from chiasm.models.trace import Trace

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def rank_overlap(one: Ints, other: Ints, persistence: float) -> float:
    """Rank-biased overlap of two rankings of one length k, from 0 (nothing shared) to 1 (the same order).

    Σ_d p^(d−1)·|first d of both| / d over the depths d = 1 … k, divided by what equal rankings get (Webber, Moffat &
    Zobel 2010, eq. 4, cut at k).

    Args:
        one: names in order, ``int64[k]``, none twice.
        other: the same.
        persistence: p, how little the weight falls from one rank to the next.
    """
    places = {int(name): rank for rank, name in enumerate(other)}
    pairs = [max(rank, places[int(name)]) for rank, name in enumerate(one) if int(name) in places]
    shared = np.cumsum(np.bincount(np.array(pairs, np.int64), minlength=len(one)))
    depths = np.arange(1, len(one) + 1)
    weights = persistence ** (depths - 1.0)
    return float((weights * shared / depths).sum() / weights.sum())


class MultiScaleMap(WhiteBox):
    """As TAM without its filter, with other weights of the earlier tokens, averaged over sizes of the picture.

    At each size: relu of the answer token's logit at the picture's tokens, less s·(mean of the earlier tokens' maps),
    s by least squares, relu. An earlier token counts by 1 − RBO, the rank-biased overlap of the `top` tokens that the
    model ranks first where that token stands with those where the answer's token is read: maps of tokens that the model
    treats alike belong to the answer and stay. A player gets the sum over its share of the tokens, per token of the
    picture's own size, so that sizes with more tokens weigh no more. The maps of an answer's tokens are summed.

    Args:
        scales: sizes of the picture, as shares of the one that the model sees.
        top: how many first ranks are compared, in the paper 50.
        persistence: of the overlap.

    Raises:
        InvalidInput: no scale, or a number out of range.
    """

    name = "msea-arc"
    line = "score of the answer's token at several sizes of the picture, less unlike earlier tokens'"
    needs = ("hidden_states", "logits")
    signed = False
    source = "Liang et al. 2025, Intra-modal token interactions (arXiv 2509.22415)"
    indices = ("MSEA+ARC",)

    def __init__(self, scales: tuple[float, ...] = (0.5, 1.0, 2.0), top: int = 50, persistence: float = 0.9) -> None:
        """Check the numbers."""
        if not scales or min(scales) <= 0 or top < 1 or not 0 < persistence < 1:
            raise InvalidInput(
                f"MSEA+ARC has scales {scales}, top {top} and persistence {persistence}; give positive scales, at "
                f"least one rank, and a persistence between 0 and 1."
            )
        self.scales, self.top, self.persistence = scales, top, persistence
        self.cost = f"{len(scales)} forward passes, one for each size of the picture"

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        del index, seed
        trace = subject.trace()
        own = look(trace, trace.inputs(subject.whole))  # first: it says in its own words what is missing
        total = np.zeros(len(trace.players))
        tokens: dict[str, list[int]] = {part: [] for part in trace.layouts}
        for scale in self.scales:
            view = trace if scale == 1 else trace.rescaled(scale)
            lens = own if scale == 1 else look(view, view.inputs(subject.whole))
            total += self.values_at(view, lens, trace)
            for part, counts in tokens.items():
                counts.append(len(view.slots[part].positions))
        seen = "; ".join(f"{part!r} by {' / '.join(map(str, counts))} tokens" for part, counts in tokens.items())
        note = f"sizes of the picture × {' / '.join(f'{scale:g}' for scale in self.scales)}: {seen}"
        notes = as_notes(subject, trace, *no_contrast(trace), note)
        return Found((total / len(self.scales))[subject.free], notes=notes, extra={"tokens": tokens})

    def values_at(self, view: Trace, lens: Lens, own: Trace) -> Floats:
        """Maps of all tokens of the answer at one size, on all players; weighed by the tokens of the own size."""
        read = view.read_out[0]
        values = np.zeros(len(view.players))
        for place, token in zip(read.positions, read.tokens, strict=True):
            context = context_of(view, lens, int(place) - first_read(view))
            other = context.tokens != token
            wanted = np.append(context.tokens[other], token)
            weights = self.unlike(lens, context.positions[other], int(place))
            for part, where in view.players.slices.items():
                if where.stop == where.start:
                    continue
                require_placed(view, part)
                slots = view.slots[part]
                scores = lens.scores(slots.positions, wanted)
                found = scores[:, -1]
                if part in view.layouts:
                    found = without_interference(found, list(scores[:, :-1].T), weights)
                share = len(own.slots[part].positions) / max(len(slots.positions), 1)
                values[where] += share * slots.to_players(found)
        return values

    def unlike(self, lens: Lens, positions: Ints, place: int) -> Floats:
        """1 − RBO of the ranking at each of these positions with that where the answer's token is read."""
        ranked = lens.ranking(np.append(positions, place), self.top)
        return np.array([1 - rank_overlap(row, ranked[-1], self.persistence) for row in ranked[:-1]])


MSEA_ARC = MultiScaleMap()
