"""Attention rollout: attention of all layers multiplied, as if layers did nothing but mix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.routing import Routes, as_notes, mean_of_heads, no_contrast, read_by_value, readers, to_players

if TYPE_CHECKING:
    import torch


class MixedRoutes(Routes):
    """Half of every token stays (the residual connection), half is what it attends to; rows over all streams sum to 1.

    Self-attention: R_st ← ½ R_st + ½ A R_st for every stream t. Where s reads q: R_st ← ½ R_st + ½ A R_qt.
    """

    def mix(self, stream: str, weights: torch.Tensor) -> None:
        """See `Routes`."""
        self.read(stream, stream, weights)

    def read(self, stream: str, key: str, weights: torch.Tensor) -> None:
        """See `Routes`."""
        new = {source: 0.5 * self.found[stream, source] for source in self.sources(stream)}
        for source in self.sources(key):
            brought = 0.5 * (weights @ self.found[key, source])
            new[source] = new[source] + brought if source in new else brought
        self.found.update({(stream, source): matrix for source, matrix in new.items()})


class Rollout(WhiteBox):
    """Abnar and Zuidema's rollout, over every layer between the input and the answer, towers included.

    What the answer's positions have from a picture's tokens in the main stream goes on through the tower before them.
    """

    name = "rollout"
    line = "attention of all layers multiplied, half of each token stays"
    needs = ("attentions",)
    cost = "1 forward pass"
    signed = False
    source = "Abnar & Zuidema 2020, section 3.2: R_l = (½ W_l + ½ I) R_(l−1)"
    indices = ("rollout",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        del index, seed
        trace = subject.trace()
        run = trace.run(trace.inputs(subject.whole), attentions=True, grad=False)
        routes = MixedRoutes().follow(mean_of_heads(run.attentions))
        values = to_players(trace, read_by_value(routes, readers(trace, contrast=False)), routes)
        return Found(values[subject.free], notes=as_notes(subject, trace, *no_contrast(trace)))


ROLLOUT = Rollout()
