"""What each part gives, and what only parts together give, from the 2^P values of whole parts of many samples.

A *table* holds, for each sample, the value of every coalition of its parts, in the order of
`chiasm.core.coalitions.all_coalitions`: column r is the value with the parts whose bits are set in r.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput
from chiasm.core.indices import exact, index, moebius

Floats = NDArray[np.float64]

#: more parts than this have more coalitions than an audit can pay for
MOST_PARTS = 12


def checked(table: ArrayLike) -> Floats:
    """A table of part values as ``float64[samples, 2^P]``.

    Raises:
        InvalidInput: it has not 2^P columns with P from 1 to `MOST_PARTS`, no row, or values that are not finite.
    """
    values = np.atleast_2d(np.asarray(table, np.float64))
    columns = values.shape[1]
    if values.ndim != 2 or columns & (columns - 1) or not 2 <= columns <= 1 << MOST_PARTS:
        raise InvalidInput(
            f"A table of part values has a column for each of the 2^P coalitions of its parts; this one has the shape "
            f"{list(np.shape(table))}."
        )
    if not len(values):
        raise InvalidInput("The table of part values has no row; give at least one sample.")
    if not np.isfinite(values).all():
        raise InvalidInput("The table of part values holds values that are not finite; leave failed samples out.")
    return values


@cache
def _weights(parts: int) -> tuple[Floats, Floats]:
    """Linear maps from the values of a table to Shapley values ``[P, 2^P]`` and to pair indices ``[P, P, 2^P]``."""
    rows = [exact(row, index("SII")) for row in np.eye(1 << parts)]
    return np.stack([single for single, _ in rows], -1), np.stack([pair for _, pair in rows], -1)


def interaction_values(table: ArrayLike) -> Floats:
    """Shapley interaction values of the parts, as InterSHAP takes them.

    Off the diagonal stands half the Shapley interaction index of two parts, on it a part's Shapley value less its
    share of all interactions, so that the whole matrix sums to v(all) − v(∅).

    Args:
        table: values of part coalitions, ``float64[samples, 2^P]``.

    Returns:
        ``float64[samples, P, P]``.

    Raises:
        InvalidInput: see `checked`.
    """
    values = checked(table)
    parts = values.shape[1].bit_length() - 1
    single, pair = _weights(parts)
    found = np.einsum("sr,abr->sab", values, pair) / 2
    diagonal = np.arange(parts)
    found[:, diagonal, diagonal] = values @ single.T - found.sum(axis=2)
    return np.asarray(found, np.float64)


def intershap(table: ArrayLike) -> Floats:
    """Cross-modal interaction score of each sample: Σ_{a≠b} |Φ_ab| / Σ |Φ_ab| (Wenderoth et al. 2025, local).

    Args:
        table: values of part coalitions, ``float64[samples, 2^P]``. As published the value is the probability of the
            class predicted on the whole sample, and absent parts are drawn from other samples.

    Returns:
        ``float64[samples]`` in [0, 1]; NaN for a sample whose value no part moves.

    Raises:
        InvalidInput: see `checked`.
    """
    return share_of_interaction(interaction_values(table))


def share_of_interaction(matrices: Floats) -> Floats:
    """Share of the absolute values off the diagonal of ``float64[samples, P, P]``; NaN where all are zero."""
    sizes = np.abs(matrices)
    whole = sizes.sum(axis=(1, 2))
    beside = whole - np.trace(sizes, axis1=1, axis2=2)
    share: Floats = np.divide(beside, whole, out=np.full(len(whole), np.nan), where=whole > 0)
    return share


def intershap_global(table: ArrayLike) -> float:
    """InterSHAP of a data set: absolute interaction values averaged over samples, then their share off the diagonal.

    Unlike the mean of `intershap`, samples that no part moves weigh nothing, and samples that all parts move much weigh
    more. NaN where no part moves any sample.
    """
    return float(share_of_interaction(np.abs(interaction_values(table)).mean(axis=0)[None])[0])


def shapley_shares(table: ArrayLike) -> Floats:
    """Share of each part in the absolute Shapley values of all parts: |φ_a| / Σ_b |φ_b|.

    Returns:
        ``float64[samples, P]``; rows sum to 1, NaN for a sample whose value no part moves.
    """
    values = checked(table)
    single, _ = _weights(values.shape[1].bit_length() - 1)
    sizes = np.abs(values @ single.T)
    whole = sizes.sum(axis=1, keepdims=True)
    shares: Floats = np.divide(sizes, whole, out=np.full_like(sizes, np.nan), where=whole > 0)
    return shares


def joint_dividend(table: ArrayLike) -> Floats:
    """What only all parts together give: the Möbius coefficient of the coalition of all parts, ``float64[samples]``."""
    return np.array([moebius(row)[-1] for row in checked(table)])


def cooperation(scores: ArrayLike) -> float:
    """SHAPE's cross-modal cooperation (Hu et al. 2022): v(all) − v(∅) − Σ_a (v({a}) − v(∅)).

    Args:
        scores: a measure of the whole data set, such as accuracy, for every coalition of parts, ``float64[2^P]``;
            that of the empty coalition is what guessing the most frequent answer gives, as published.

    Returns:
        Positive where the parts are worth more together than the sum of what each is worth alone; negative where they
        tell the same.

    Raises:
        InvalidInput: see `checked`.
    """
    values = checked(scores)[0]
    parts = values.size.bit_length() - 1
    alone = values[1 << np.arange(parts)]
    return float(values[-1] - values[0] - (alone - values[0]).sum())


def background_table(
    value: Callable[[NDArray[np.intp]], ArrayLike], sample: int, others: ArrayLike, parts: int
) -> Floats:
    """Part values of one sample where absent parts come from other samples, as InterSHAP is published.

    v(S) is the mean, over the other samples b, of the value of the input that has the parts S of this sample and the
    rest of b. The published code draws new background samples for each coalition; drawing them once, as here, takes
    their noise out of the differences between coalitions.

    Args:
        value: called with ``int[batch, P]``, the number of the sample that each part is taken from; returns
            ``float64[batch]``.
        sample: number of the sample.
        others: numbers of the background samples.
        parts: P.

    Returns:
        ``float64[2^P]``.

    Raises:
        InvalidInput: no background sample.
    """
    backgrounds = np.asarray(others, np.intp)
    if not backgrounds.size:
        raise InvalidInput("No background sample is given; absent parts are drawn from at least one other sample.")
    present = all_coalitions(parts)
    which = np.where(present[:, None, :], sample, backgrounds[None, :, None])[:-1]  # all parts present: one value
    mixed = np.asarray(value(which.reshape(-1, parts)), np.float64).reshape(len(present) - 1, -1).mean(axis=1)
    whole = np.asarray(value(np.full((1, parts), sample, np.intp)), np.float64)
    return np.concatenate([mixed, whole])
