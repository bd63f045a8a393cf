"""Indices: which quantity is wanted of a game.

Every index for a pair is one integral, φ_ij = ∫ E_{S~Bernoulli(q)}[Δ_ij(S)] dμ(q), and the index is the measure μ;
the same holds for single players with ∂_i. (Shapley interaction, Banzhaf, Shapley-Taylor and Faith-Shap
indices in one form.) From μ follow the weights of a coalition by its size, which is all that exact values and most
estimators need.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import comb, lgamma

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput, UnknownName

#: (size of S, number of other players) → weight of the discrete derivative at S
SizeWeight = Callable[[int, int], float]


def _beta(a: float, b: float) -> float:
    return float(np.exp(lgamma(a) + lgamma(b) - lgamma(a + b)))


def uniform(s: int, others: int) -> float:
    """∫ q^s (1−q)^(m−s) dq: the Shapley measure μ(dq) = dq."""
    return _beta(s + 1, others - s + 1)


def taylor(s: int, others: int) -> float:
    """The measure 2(1−q) dq of the Shapley-Taylor index (top order 2)."""
    return 2 * _beta(s + 1, others - s + 2)


def faithful(s: int, others: int) -> float:
    """The measure 6 q(1−q) dq of the Faith-Shap index (top order 2)."""
    return 6 * _beta(s + 2, others - s + 2)


def bernoulli(p: float) -> SizeWeight:
    """A point mass at p: Banzhaf (½) and weighted Banzhaf."""
    return lambda s, others: p**s * (1 - p) ** (others - s)


def at_empty(s: int, others: int) -> float:
    """A point mass at 0: the derivative at the empty coalition, which is the Möbius coefficient."""
    del others
    return 1.0 if s == 0 else 0.0


@dataclass(frozen=True)
class Index:
    """An index of single players and pairs.

    Attributes:
        name: the field's abbreviation, e.g. ``"SII"``.
        single: size weights of ∂_i, or ``None`` where single values come from the Möbius form alone (FSII, FBII).
        pair: size weights of Δ_ij.
        summary: one line with the source.
        efficient: whether single values alone sum to v(N) − v(∅).
    """

    name: str
    single: SizeWeight | None
    pair: SizeWeight
    summary: str
    efficient: bool = False


_INDICES = {
    index.name: index
    for index in (
        Index(
            "SII",
            uniform,
            uniform,
            "Shapley value and Shapley interaction index (Grabisch & Roubens 1999)",
            efficient=True,
        ),
        Index("BII", bernoulli(0.5), bernoulli(0.5), "Banzhaf value and Banzhaf interaction index"),
        Index("STII", at_empty, taylor, "Shapley-Taylor interaction index of order 2 (Sundararajan et al. 2020)"),
        Index("FSII", None, faithful, "Faith-Shap interaction index of order 2 (Tsai et al. 2023)"),
        Index("Moebius", at_empty, at_empty, "Möbius coefficients (Harsanyi dividends)"),
    )
}


def index(name: str | Index) -> Index:
    """The index of that name.

    ``"SII"``, ``"BII"``, ``"STII"``, ``"FSII"``, ``"Moebius"``, or ``"WBII:p"`` for the weighted Banzhaf index with
    presence probability p, e.g. ``"WBII:0.3"``. Upper and lower case are alike.

    Raises:
        UnknownName: no such index.
        InvalidInput: p is not inside (0, 1).
    """
    if isinstance(name, Index):
        return name
    for known, found in _INDICES.items():
        if known.lower() == name.lower():
            return found
    head, colon, tail = name.partition(":")
    if head.upper() == "WBII" and colon:
        try:
            p = float(tail)
        except ValueError:
            p = -1.0
        if not 0 < p < 1:
            raise InvalidInput(f"{name!r}: the presence probability {tail!r} must be a number between 0 and 1.")
        return Index(f"WBII:{p!r}", bernoulli(p), bernoulli(p), f"weighted Banzhaf index with p = {p!r}")
    raise UnknownName("index", name, index_names())


def index_names() -> list[str]:
    """Names that `index` takes."""
    return [*_INDICES, "WBII:p"]


def moebius(table: NDArray[np.float64]) -> NDArray[np.float64]:
    """Möbius coefficients of a full table of values.

    Args:
        table: ``float64[2**n]``; entry r is the value of the coalition whose bits are r.

    Returns:
        ``float64[2**n]``: a(S) = Σ_{T⊆S} (−1)^{|S|−|T|} v(T), by one pass a player.
    """
    a = np.array(table, np.float64)
    n = int(a.size).bit_length() - 1
    for i in range(n):
        block = a.reshape(-1, 2, 1 << i)
        block[:, 1] -= block[:, 0]
    return a


def exact(table: NDArray[np.float64], index: Index) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Exact index values from all 2^n values of a game.

    Args:
        table: ``float64[2**n]`` in the order of `all_coalitions`.
        index: the quantity wanted.

    Returns:
        single: ``float64[n]``.
        pair: ``float64[n, n]``, symmetric with zeros on the diagonal.
    """
    n = int(table.size).bit_length() - 1
    single = _faithful_single(moebius(table), n) if index.single is None else np.zeros(n)
    quadratic = np.zeros((n, n))
    linear = np.zeros(n)
    constant = 0.0
    chunk = 1 << min(n, 16)
    low = all_coalitions(min(n, 16))
    w = _size_tables(n, index)
    for start in range(0, 1 << n, chunk):
        bits = np.zeros((chunk, n), bool)
        bits[:, : low.shape[1]] = low
        bits[:, low.shape[1] :] = [(start >> i) & 1 for i in range(low.shape[1], n)]
        v, size = table[start : start + chunk], bits.sum(1)
        x = bits.astype(np.float64)
        if index.single is not None:
            # i in T: +m(t-1); i not in T: -m(t)
            single += (v * (w.single_in[size] + w.single_out[size])) @ x - (v * w.single_out[size]).sum()
        a11, a10, a00 = v * w.both[size], v * w.one[size], v * w.none[size]
        quadratic += x.T @ ((a11 - 2 * a10 + a00)[:, None] * x)
        linear += (a10 - a00) @ x
        constant += a00.sum()
    pair = quadratic + linear[:, None] + linear[None, :] + constant
    np.fill_diagonal(pair, 0.0)
    return single, pair


@dataclass(frozen=True)
class _SizeTables:
    """Signed weights of v(T) by |T|, for each way in which the players at hand may lie in T."""

    single_in: NDArray[np.float64]
    single_out: NDArray[np.float64]
    both: NDArray[np.float64]
    one: NDArray[np.float64]
    none: NDArray[np.float64]


def _size_tables(n: int, index: Index) -> _SizeTables:
    def table(weight: SizeWeight | None, others: int, shift: int, sign: float) -> NDArray[np.float64]:
        inside = [t - shift if weight and 0 <= t - shift <= others else None for t in range(n + 1)]
        return np.array([sign * weight(s, others) if weight and s is not None else 0.0 for s in inside])

    return _SizeTables(
        single_in=table(index.single, n - 1, 1, 1.0),
        single_out=table(index.single, n - 1, 0, 1.0),
        both=table(index.pair, n - 2, 2, 1.0),
        one=table(index.pair, n - 2, 1, -1.0),
        none=table(index.pair, n - 2, 0, 1.0),
    )


def _faithful_single(a: NDArray[np.float64], n: int) -> NDArray[np.float64]:
    """Order-1 values of the Faith-Shap index of maximal order 2.

    Tsai et al. 2023, theorem 19, with l = 2 and |S| = 1:
    φ_i = a(i) − (1/3)·2·Σ_{T∋i, |T|>2} C(|T|−1, 2) / C(|T|+1, 3) · a(T).
    """
    rows = np.arange(a.size)
    size = np.zeros(a.size, np.int64)
    for i in range(n):
        size += (rows >> i) & 1
    factor = np.array([0.0, 1.0, 0.0, *(-(2 / 3) * comb(t - 1, 2) / comb(t + 1, 3) for t in range(3, n + 1))])[: n + 1]
    weighted = factor[size] * a
    return np.array([weighted[(rows >> i) & 1 == 1].sum() for i in range(n)])
