"""AtMan: what the value loses when the attention to a player's tokens is turned down in every layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.routing import AGAINST, as_notes, require_placed

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Trace

Floats = NDArray[np.float64]
#: (scores ``[rows, heads, queries, keys]``, how much of each key goes ``[rows, 1, 1 or queries, keys]``) → scores
Rule = Callable[["torch.Tensor", "torch.Tensor"], "torch.Tensor"]
#: scores below this are a mask's
_MASKED = -1e4


def scaled(scores: torch.Tensor, gone: torch.Tensor) -> torch.Tensor:
    """As published: scores, counted from the least of their row that no mask hides, times 1 − gone."""
    visible = scores > _MASKED
    least = scores.masked_fill(~visible, float("inf")).amin(dim=-1, keepdim=True)
    return ((scores - least) * (1 - gone)).where(visible, scores)


def cut(scores: torch.Tensor, gone: torch.Tensor) -> torch.Tensor:
    """Attention weights times 1 − gone before they are normalised: log(1 − gone) on the scores."""
    import torch

    lowest = torch.finfo(scores.dtype).min / 4
    return scores + torch.log1p(-gone).clamp(min=lowest)


@dataclass(frozen=True, eq=False)
class Turned:
    """The hook between scores and softmax.

    Attributes:
        gone: stream → ``Tensor[rows, keys]``: how much of each key's attention goes.
        rule: how.
        keeps_own: a token may always attend to itself, as when the game hides it.
    """

    gone: dict[str, torch.Tensor]
    rule: Rule
    keeps_own: bool

    def __call__(self, query: str, key: str, scores: torch.Tensor) -> torch.Tensor:
        """See `chiasm.models.trace.Trace.run`."""
        import torch

        gone = self.gone.get(key.removesuffix(AGAINST))
        if gone is None or len(gone) != len(scores):
            return scores
        queries, keys = scores.shape[-2:]
        wide = torch.zeros(len(gone), 1, 1, keys, device=scores.device, dtype=torch.float32)
        wide[:, 0, 0, : gone.shape[1]] = gone  # the other answer of a contrast may be longer
        if self.keeps_own and query == key:
            wide = wide * ~torch.eye(queries, keys, dtype=torch.bool, device=scores.device)
        return self.rule(scores, wide.to(scores.dtype))


class AtMan(WhiteBox):
    """v(whole) less v with the attention to a player's tokens turned down, in all heads and layers that read them.

    A token goes by the share of it that belongs to the player. With a ``threshold``, tokens of the same part whose
    embeddings are that similar go along, by their cosine similarity, so that what is said twice is missed.

    Attributes:
        share: how much of the attention goes, 0.9 as published.
        threshold: of the cosine similarity; ``None`` for the player's own tokens alone.
    """

    needs = ("attentions",)
    cost = "1 + players forward passes"
    indices = ("AtMan",)
    source = "Deiseroth et al. 2023, equations 3 to 6"

    def __init__(self, name: str, line: str, rule: Rule, share: float, threshold: float | None) -> None:
        """Say what it is."""
        self.name, self.line, self.rule, self.share, self.threshold = name, line, rule, share, threshold

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        import torch

        del index, seed
        trace, free = subject.trace(), np.flatnonzero(subject.free)
        inputs = trace.inputs(subject.whole)
        first = trace.run(inputs, hidden=True, grad=False, eager=True)
        states = {part: first.hidden[slots.stream][0][0, slots.positions] for part, slots in trace.slots.items()}
        lengths = {slots.stream: first.hidden[slots.stream][0].shape[1] for slots in trace.slots.values()}
        whole = float(first.value.detach()[0])
        values = np.zeros(len(free))
        for start in range(0, len(free), trace.batch_size):
            rows = free[start : start + trace.batch_size]
            gone = {s: torch.zeros(len(rows), n, device=first.value.device) for s, n in lengths.items()}
            for k, player in enumerate(rows):
                part, positions, share = self.tokens_of(trace, states, int(player))
                own = torch.as_tensor(self.share * share, dtype=torch.float32, device=first.value.device)
                gone[trace.slots[part].stream][k, positions.tolist()] = own
            batch = {part: tensor.expand(len(rows), *tensor.shape) for part, tensor in inputs.items()}
            found = trace.run(batch, grad=False, scores=Turned(gone, self.rule, keeps_own=self.rule is cut)).value
            values[start : start + len(rows)] = whole - found.double().cpu().numpy()
        note = "values of attention turned down in the model, not of players hidden from it"
        return Found(values, notes=as_notes(subject, trace, note))

    def tokens_of(
        self, trace: Trace, states: dict[str, torch.Tensor], player: int
    ) -> tuple[str, NDArray[np.int64], Floats]:
        """A player's part, the positions of that part's tokens, and how far each of them belongs to the player."""
        import torch

        part = next(name for name, where in trace.players.slices.items() if where.start <= player < where.stop)
        require_placed(trace, part)
        slots = trace.slots[part]
        share = slots.cover[player - trace.players.slices[part].start]
        if self.threshold is not None:
            unit = torch.nn.functional.normalize(states[part].float(), dim=-1)
            cosine = (unit @ unit.T).clamp(min=0).double().cpu().numpy()
            cosine[cosine < self.threshold] = 0
            np.fill_diagonal(cosine, 1)
            share = (share[:, None] * cosine).max(axis=0)
        return part, slots.positions, np.asarray(share, np.float64)


ATMAN = AtMan("atman", "what the value loses when attention to a player is turned down", scaled, 0.9, 0.7)
KNOCKOUT = AtMan("attention-knockout", "what the value loses when nothing attends to a player", cut, 1.0, None)
