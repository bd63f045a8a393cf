"""Gradient×Rollout: the generic attention-model explainability of Chefer, Gur and Wolf."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.routing import Hop, Routes, as_notes, read_by_value, readers, to_players

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch

    from chiasm.models.trace import AttentionMap


def positive_part(maps: Sequence[AttentionMap], slopes: Sequence[torch.Tensor]) -> list[Hop]:
    """Ā = mean over heads of relu(∇A ⊙ A), of the first row (eq. 5)."""
    return [
        Hop(one.query, one.key, (slope[0].float() * one.weights[0].detach().float()).clamp(min=0).mean(dim=0))
        for one, slope in zip(maps, slopes, strict=True)
    ]


class RelevantRoutes(Routes):
    """The update rules, equations 6 to 11; matrices start as the identity, or as nothing.

    Self-attention: R_st ← R_st + Ā R_st for every stream t that s has something from.
    Where s reads q: R_sq ← R_sq + R̄_ssᵀ Ā R̄_qq and R_ss ← R_ss + Ā R_qs. What q has from a third stream t (BLIP's
    question has the picture) goes on as R_ss does: R_st ← R_st + Ā R_qt.
    """

    def mix(self, stream: str, weights: torch.Tensor) -> None:
        """See `Routes`."""
        for source in self.sources(stream):
            held = self.found[stream, source]
            self.found[stream, source] = held + weights @ held

    def read(self, stream: str, key: str, weights: torch.Tensor) -> None:
        """See `Routes`."""
        own, other = normalised(self.found[stream, stream]), normalised(self.found[key, key])
        brought = {key: own.T @ weights @ other}
        for source in self.sources(key):
            if source != key:
                brought[source] = weights @ self.found[key, source]
        for source, matrix in brought.items():
            held = self.found.get((stream, source))
            self.found[stream, source] = matrix if held is None else held + matrix


def normalised(relevance: torch.Tensor) -> torch.Tensor:
    """R̄: the rows of what was added to the identity sum to 1, the identity on top of that (eq. 8, 9).

    A row that nothing was added to stays the identity's.
    """
    import torch

    eye = torch.eye(len(relevance), device=relevance.device, dtype=relevance.dtype)
    added = relevance - eye
    total = added.sum(dim=1, keepdim=True)
    return torch.where(total > 0, added / total.clamp(min=1e-30), torch.zeros_like(added)) + eye


class Chefer(WhiteBox):
    """Rows of the positions that the value is read from, their mean over the answer's tokens.

    What a picture's tokens get in the main stream goes on through the tower before them, whose maps have gradients of
    the same value. The gradient is that of the target, so of a contrast both answers count.
    """

    name = "chefer"
    line = "attention × its positive gradient, rolled out over the layers"
    needs = ("attentions", "gradients")
    cost = "1 forward and backward pass"
    signed = False
    source = "Chefer, Gur & Wolf 2021 (ICCV), equations 5 to 11; Gradient×Rollout"
    indices = ("relevancy",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        del index, seed
        trace = subject.trace()
        run = trace.run(trace.inputs(subject.whole), attentions=True)
        slopes = run.gradients(inputs=False, attentions=True).attentions
        routes = RelevantRoutes().follow(positive_part(run.attentions, slopes))
        values = to_players(trace, read_by_value(routes, readers(trace, contrast=True)), routes)
        return Found(values[subject.free], notes=as_notes(subject, trace))


CHEFER = Chefer()
