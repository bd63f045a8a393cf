"""Games with known answers, for tests of estimators and explainers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import comb
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chiasm.core import indices
from chiasm.core.coalitions import Coalitions, all_coalitions
from chiasm.core.errors import InvalidInput
from chiasm.core.game import Game
from chiasm.core.players import Players

Floats = NDArray[np.float64]


class KnownGame(Protocol):
    """A game whose index values are known.

    Attributes:
        n: number of players.
    """

    @property
    def n(self) -> int:
        """Number of players."""
        ...

    def values(self, coalitions: Coalitions) -> Floats:
        """``bool[batch, n]`` → ``float64[batch]``."""
        ...

    def exact(self, index: str) -> tuple[Floats, Floats]:
        """Single ``float64[n]`` and pair ``float64[n, n]`` values of an index."""
        ...


def game_of(known: KnownGame, parts: Mapping[str, int] | None = None, batch_size: int = 256) -> Game:
    """A `Game` of a known game; one part named ``"a"`` unless parts are given."""
    return Game(known.values, Players.abstract(parts or {"a": known.n}), batch_size=batch_size)


@dataclass(frozen=True)
class SparsePolynomial:
    """v(S) = Σ of a(W) over the terms W that are wholly in S: a sum of unanimity games.

    The coefficients a(W) are the game's Möbius coefficients, so every index is a sum over the terms, for any number of
    players (Grabisch & Roubens 1999 for SII and BII, Sundararajan et al. 2020 for STII, Tsai et al. 2023 for FSII):

    ====== ==================== ======================================= ==============
    index  single i, w = |W|                                            pair ij
    ====== ==================== ======================================= ==============
    SII    a(W)/w                                                       a(W)/(w−1)
    WBII:p a(W)·p^(w−1)                                                 a(W)·p^(w−2)
    STII   a(i)                                                         a(W)/C(w, 2)
    FSII   a(i) − ⅔ Σ a(W)·C(w−1, 2)/C(w+1, 3) over w > 2               6·a(W)/(w(w+1))
    ====== ==================== ======================================= ==============

    Attributes:
        n: number of players.
        terms: players → coefficient; ``()`` is v(∅).

    Raises:
        InvalidInput: a term names a player twice or one that does not exist.
    """

    n: int
    terms: Mapping[tuple[int, ...], float]

    def __post_init__(self) -> None:
        """Check the terms."""
        for term in self.terms:
            if len(set(term)) != len(term) or not all(0 <= i < self.n for i in term):
                raise InvalidInput(f"The term {term} needs different players among 0…{self.n - 1}.")

    def values(self, coalitions: Coalitions) -> Floats:
        """``bool[batch, n]`` → ``float64[batch]``."""
        total = np.zeros(len(coalitions))
        for term, coefficient in self.terms.items():
            total += coefficient * coalitions[:, list(term)].all(axis=1)
        return total

    def exact(self, index: str) -> tuple[Floats, Floats]:
        """Single ``float64[n]`` and pair ``float64[n, n]`` values of an index."""
        single, pair = np.zeros(self.n), np.zeros((self.n, self.n))
        for term, coefficient in self.terms.items():
            one, two = _shares(indices.index(index).name, len(term))
            who = np.array(term, np.intp)
            single[who] += one * coefficient
            pair[np.ix_(who, who)] += two * coefficient
        np.fill_diagonal(pair, 0.0)
        return single, pair


def _shares(index: str, w: int) -> tuple[float, float]:
    """What a term of w players gives to each of its players and to each of its pairs."""
    head, _, tail = index.partition(":")
    if w == 0:
        return 0.0, 0.0
    alone = float(w == 1)
    if head in ("BII", "WBII"):
        p = float(tail) if tail else 0.5
        return p ** (w - 1), p ** (w - 2) if w > 1 else 0.0
    if w == 1:
        return 1.0, 0.0
    two = {"SII": 1 / (w - 1), "STII": 1 / comb(w, 2), "FSII": 6 / (w * (w + 1)), "Moebius": float(w == 2)}
    one = {"SII": 1 / w, "FSII": -(2 / 3) * comb(w - 1, 2) / comb(w + 1, 3)}
    return one.get(head, alone), two[head]


@dataclass(frozen=True)
class BilinearSigmoid:
    """v(S) = scale·σ(b + Σ_i∈S w_i + Σ_ij⊆S A_ij): saturates, with interactions of every order. Up to 20 players.

    Attributes:
        bias: b.
        weights: ``float64[n]``.
        matrix: ``float64[n, n]``; the entries above the diagonal count.
        scale: the range of the values.
    """

    bias: float
    weights: Floats
    matrix: Floats
    scale: float = 1.0

    @property
    def n(self) -> int:
        """Number of players."""
        return len(self.weights)

    def values(self, coalitions: Coalitions) -> Floats:
        """``bool[batch, n]`` → ``float64[batch]``."""
        x = coalitions.astype(np.float64)
        logit = self.bias + x @ self.weights + ((x @ np.triu(self.matrix, 1)) * x).sum(axis=1)
        return np.asarray(self.scale / (1 + np.exp(-logit)), np.float64)

    @cached_property
    def _table(self) -> Floats:
        return self.values(all_coalitions(self.n))

    def exact(self, index: str) -> tuple[Floats, Floats]:
        """Single and pair values, by enumeration."""
        return indices.exact(self._table, indices.index(index))


def unanimity(n: int, winners: tuple[int, ...]) -> SparsePolynomial:
    """v(S) = 1 if all winners are in S, else 0."""
    return SparsePolynomial(n, {winners: 1.0})


def additive(n: int, seed: int = 0) -> SparsePolynomial:
    """v(S) = v(∅) + Σ weights: every single value is its weight under every index, every pair 0."""
    rng = np.random.default_rng(seed)
    return SparsePolynomial(n, {(): 0.5, **{(i,): float(rng.normal()) for i in range(n)}})


def dummy_pair(n: int, seed: int = 0) -> SparsePolynomial:
    """A random game of n ≥ 4 players in which the last two never change a value."""
    inner = sparse_polynomial(n - 2, seed=seed)
    return SparsePolynomial(n, inner.terms)


def sparse_polynomial(n: int, seed: int = 0, terms: int | None = None, order: int = 4) -> SparsePolynomial:
    """Random terms of 1…order players (at most n), normal coefficients.

    Args:
        n: number of players.
        seed: the same seed gives the same game.
        terms: how many terms are drawn, 3n by default; terms drawn twice are added up.
        order: largest size of a term.
    """
    rng = np.random.default_rng(seed)
    found: dict[tuple[int, ...], float] = {(): float(rng.normal())}
    for _ in range(3 * n if terms is None else terms):
        size = int(rng.integers(1, min(order, n) + 1))
        term = tuple(sorted(int(i) for i in rng.choice(n, size, replace=False)))
        found[term] = found.get(term, 0.0) + float(rng.normal())
    return SparsePolynomial(n, found)


def bilinear_sigmoid(n: int, seed: int = 0, density: float = 0.3) -> BilinearSigmoid:
    """A random saturated game of up to 20 players.

    Args:
        n: number of players.
        seed: the same seed gives the same game.
        density: share of the pairs that interact before the sigmoid.
    """
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(n, n)) * (rng.random((n, n)) < density) * 1.5
    return BilinearSigmoid(float(rng.normal()), rng.normal(size=n), matrix)
