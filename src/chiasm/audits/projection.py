"""EMAP: how much of a model's accuracy survives when its parts may no longer work together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chiasm.core.errors import InvalidInput

Floats = NDArray[np.float64]


def additive_projection(grid: ArrayLike) -> Floats:
    """The closest function without interplay of parts, at the samples themselves (Hessel & Lee 2020, eq. 2).

    f̂(x_k) = Σ_p mean over all others of f with part p of sample k − (P − 1) · mean of f.

    Args:
        grid: outputs for every mixture of parts, ``float64[N, …, N, C]``: axis p says which sample part p is from, the
            last one holds outputs such as the logits of C classes.

    Returns:
        ``float64[N, C]``.

    Raises:
        InvalidInput: fewer than two parts, or axes of several lengths.
    """
    fitted = additive_fit(grid)
    return np.asarray(fitted[(np.arange(len(fitted)),) * (fitted.ndim - 1)], np.float64)


def additive_fit(grid: ArrayLike) -> Floats:
    """The same at every mixture of parts, ``float64[N, …, N, C]``.

    Raises:
        InvalidInput: fewer than two parts, or axes of several lengths.
    """
    values = np.asarray(grid, np.float64)
    parts = values.ndim - 1
    if parts < 2 or len(set(values.shape[:-1])) != 1:
        raise InvalidInput(
            f"The grid has the shape {list(values.shape)}; give an axis of N samples for each of two parts or more, "
            f"and a last one for the outputs."
        )
    axes = range(parts)
    alone = [values.mean(axis=tuple(other for other in axes if other != part), keepdims=True) for part in axes]
    whole = values.mean(axis=tuple(axes), keepdims=True)
    return np.asarray(sum(alone) - (parts - 1) * whole, np.float64)


@dataclass(frozen=True)
class EmapGap:
    """What a model loses without interplay between parts.

    Attributes:
        accuracy: share of right answers of the model.
        additive: share of right answers of its additive projection.
        changed: share of samples whose answer the projection changes.
    """

    accuracy: float
    additive: float
    changed: float

    @property
    def gap(self) -> float:
        """Accuracy that is owed to interplay of parts."""
        return self.accuracy - self.additive


def emap_gap(grid: ArrayLike, labels: ArrayLike) -> EmapGap:
    """Accuracy of a model and of its additive projection.

    Args:
        grid: logits for every mixture of parts, ``float64[N, …, N, C]``.
        labels: right classes, ``int[N]``.

    Raises:
        InvalidInput: see `additive_projection`; or as many labels as samples are not given.
    """
    projected = additive_projection(grid)
    values, right = np.asarray(grid, np.float64), np.asarray(labels)
    if right.shape != (len(values),):
        raise InvalidInput(f"{right.size} labels for {len(values)} samples; give one for each.")
    own = values[(np.arange(len(values)),) * (values.ndim - 1)].argmax(axis=1)
    additive = projected.argmax(axis=1)
    return EmapGap(float((own == right).mean()), float((additive == right).mean()), float((own != additive).mean()))
