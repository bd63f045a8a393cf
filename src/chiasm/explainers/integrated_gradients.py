"""Integrated Gradients along the straight path from the game's baseline to the sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from chiasm.core.errors import InvalidInput
from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.gradients import batches, ends, notes_of, slopes, to_players

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Trace


class IntegratedGradients(WhiteBox):
    """Sum over a player of (x − x₀) ⊙ ∫₀¹ ∂v/∂x (x₀ + α(x − x₀)) dα (Sundararajan, Taly, Yan 2017, eq. 1).

    x₀ is the game's own baseline, ``Trace.inputs`` with no explained player present; all parts move together, so the
    values sum to v(N) − v(∅). The integral is the trapezoidal rule: its ends are the two values that completeness
    speaks of, and a finer path uses the points of the coarser one. The path is made finer until the values of all
    players miss v(N) − v(∅) by at most `tolerance` of the sum of their sizes; what is left is told.

    Args:
        steps: of the first path.
        most: of the finest.
        tolerance: see above.

    Raises:
        InvalidInput: steps below 1, or fewer at most than at first.
    """

    name = "integrated-gradients"
    line = "gradients along the path from the baseline, times the way; they sum to v(N) − v(∅)"
    source = "Sundararajan et al. 2017, Axiomatic attribution (arXiv 1703.01365), eq. 1"
    indices = ("integrated-gradients",)

    def __init__(self, steps: int = 16, most: int = 256, tolerance: float = 0.01) -> None:
        """Check the numbers."""
        if not 1 <= steps <= most:
            raise InvalidInput(f"Integrated Gradients has {steps} steps, at most {most}; give 1 or more.")
        self.steps, self.most, self.tolerance = steps, most, tolerance
        self.cost = f"{steps + 1} to {most + 1} forward and backward passes, by the completeness gap"

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox.find`."""
        del index, seed
        trace = subject.trace()
        whole, nobody = ends(subject, trace)
        way = {part: whole[part] - nobody[part] for part in whole}
        sums, corners = _along(trace, nobody, way, np.array([0.0, 1.0]))
        inner = {part: 0.5 * total for part, total in sums.items()}
        steps, effect = 1, float(corners[1] - corners[0])
        while True:
            finer = self.steps if steps == 1 else 2 * steps
            if finer > 1:
                points = np.arange(1, finer) / finer
                fresh = points if steps == 1 else points[::2]
                more, _ = _along(trace, nobody, way, fresh)
                inner = {part: inner[part] + more[part] for part in inner}
            steps = finer
            each = {part: way[part] * inner[part] / steps for part in way}
            gap = effect - sum(float(tensor.cpu().double().sum()) for tensor in each.values())
            values = to_players(subject, trace, each)
            if abs(gap) <= self.tolerance * np.abs(values).sum() or 2 * steps > self.most or not np.any(values):
                break
        note = (
            f"path of {steps} steps from the game's baseline; v(N) − v(∅) is {effect:.4g} along it, and the "
            f"contributions miss that by {gap:.2g}"
        )
        return Found(
            values,
            notes=notes_of(trace, note, baseline=True),
            extra={"steps": steps, "effect": effect, "completeness_gap": gap},
        )


def _along(
    trace: Trace, start: dict[str, torch.Tensor], way: dict[str, torch.Tensor], points: np.ndarray
) -> tuple[dict[str, torch.Tensor], np.ndarray]:
    """Gradients summed over points of the path, part → ``Tensor[*shape]``; and the values there."""
    import torch

    total: dict[str, torch.Tensor] = {part: torch.zeros_like(tensor) for part, tensor in start.items()}
    values = []
    for batch in batches(trace, len(points)):
        path = {}
        for part, begin in start.items():
            share = torch.as_tensor(points[batch], dtype=begin.dtype, device=begin.device)
            path[part] = begin + share.reshape(-1, *[1] * begin.ndim) * way[part]
        value, slope = slopes(trace, path)
        values.append(value)
        for part, found in slope.items():
            total[part] += found.sum(dim=0)
    return total, np.concatenate(values)


INTEGRATED_GRADIENTS = IntegratedGradients()
