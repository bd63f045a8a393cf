"""SmoothGrad: the gradient averaged over noisy copies of the input."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from chiasm.core.errors import InvalidInput
from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.gradients import batches, noisy, notes_of, slopes, to_players

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Trace

    Tensors = dict[str, torch.Tensor]


class SmoothGrad(WhiteBox):
    """Mean gradient over copies x + N(0, σ²), noise in all parts at once (Smilkov et al. 2017).

    Without a sign, as published, the value of a player is the sum of the absolute mean gradient over its numbers: how
    much the value reacts to a change there, whichever way. With a sign it is the sum of x ⊙ mean gradient, the variant
    of the paper's section 3.5, which for σ = 0 is Input×Gradient; standard errors are those of the mean over copies.

    Args:
        signed: which of the two.
        copies: noisy copies.
        level: σ as a share of the range of a part's input, in the paper 10 to 20 %.

    Raises:
        InvalidInput: no copies, or a negative level.
    """

    def __init__(self, *, signed: bool = False, copies: int = 24, level: float = 0.15) -> None:
        """Check the numbers."""
        if copies < 1 or level < 0:
            raise InvalidInput(f"SmoothGrad has {copies} copies and level {level}; give ≥ 1 and ≥ 0.")
        self.signed, self.copies, self.level = signed, copies, level
        self.name = "smoothgrad-input" if signed else "smoothgrad"
        mean = "gradient averaged over noisy copies"
        self.line = f"input times {mean}" if signed else f"size of the {mean}"
        self.cost = f"{copies} forward and backward passes"
        self.indices = (self.name,)

    source = "Smilkov et al. 2017, SmoothGrad (arXiv 1706.03825), section 3"

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox.find`."""
        del index
        trace = subject.trace()
        inputs = trace.inputs(subject.whole)
        sums: dict[str, torch.Tensor] = {}
        each: list[np.ndarray] = []
        for slope in self._slopes(trace, inputs, seed):
            for part, found in slope.items():
                sums[part] = sums[part] + found.sum(dim=0) if part in sums else found.sum(dim=0)
            if self.signed:
                rows = range(len(next(iter(slope.values()))))
                each += [to_players(subject, trace, {p: inputs[p] * slope[p][k] for p in inputs}) for k in rows]
        note = f"noise of {self.level:.0%} of each part's range, {self.copies} copies"
        if self.signed:
            errors = np.std(each, axis=0, ddof=1) / np.sqrt(self.copies) if self.copies > 1 and self.level else None
            return Found(np.mean(each, axis=0), errors, notes=notes_of(trace, note))
        mean = {part: (total / self.copies).abs() for part, total in sums.items()}
        return Found(to_players(subject, trace, mean), notes=notes_of(trace, note))

    def _slopes(self, trace: Trace, inputs: dict[str, torch.Tensor], seed: int) -> Iterator[Tensors]:
        """Gradients of the noisy copies, batch by batch."""
        for batch in batches(trace, self.copies):
            # each batch has a seed of its own, so that the copies need not all be in memory at once
            copies = noisy(inputs, batch.stop - batch.start, self.level, seed * self.copies + batch.start)
            yield slopes(trace, copies)[1]


SMOOTHGRAD = SmoothGrad()
SMOOTHGRAD_INPUT = SmoothGrad(signed=True)
