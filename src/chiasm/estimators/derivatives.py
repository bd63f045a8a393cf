"""Random discrete derivatives: 2^k values of the game for one difference of order k at a random context.

Every index of a set T of k players is φ_T = ∫ E_{S~Bernoulli(q)}[Δ_T(S)] dμ(q), so that Δ_T at a context S whose size
follows the index's law and whose members are uniform given the size is an unbiased draw of φ_T. The measure μ for any
order k, "top order" of the indices that have one (Grabisch & Roubens 1999; Sundararajan et al. 2020; Tsai et al. 2023):

====== ====================== =================================
index  μ                      coefficient of a(W) in φ_T, w = |W|
====== ====================== =================================
SII    dq                     1/(w−k+1)
WBII:p point mass at p        p^(w−k)
STII   k(1−q)^(k−1) dq        1/C(w, k)
FSII   Beta(k, k)             B(w, k)/B(k, k)
Möbius point mass at 0        1 for w = k, else 0
====== ====================== =================================
"""

from __future__ import annotations

from itertools import combinations
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput
from chiasm.core.indices import Index, index_names
from chiasm.core.players import Players

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

#: step of a sequence in [0, 1) that is spread evenly at whatever length it ends (the golden ratio)
_STEP = (sqrt(5) - 1) / 2


def across_parts(players: Players) -> Ints:
    """Positions of the pairs of players of different parts (all pairs if one part has them all), ``[pairs, 2]``."""
    part = np.repeat(np.arange(len(players.parts)), [len(p) for p in players.parts.values()])
    i, j = np.triu_indices(len(part), 1)
    across = part[i] != part[j]
    return np.stack([i, j], axis=1)[across if across.any() else slice(None)].astype(np.int64)


def size_law(index: Index, order: int, others: int) -> Floats:
    """Probability of each size 0…others of the context under an index, ``float64[others + 1]``.

    Args:
        index: the index; for STII and FSII the one whose top order is ``order``.
        order: number of players of the set whose derivative is taken.
        others: number of players outside the set.

    Raises:
        InvalidInput: no measure is known for the index.
    """
    from scipy.special import betaln, gammaln  # takes a while to import

    s = np.arange(others + 1.0)
    sets = gammaln(others + 1) - gammaln(s + 1) - gammaln(others - s + 1)
    head, _, tail = index.name.partition(":")
    if head == "Moebius":
        return np.asarray(s == 0, np.float64)
    if head in ("BII", "WBII"):
        p = float(tail) if tail else 0.5
        law = np.exp(sets + s * np.log(p) + (others - s) * np.log1p(-p))
    elif head in ("SII", "STII", "FSII"):
        a, b = {"SII": (1, 1), "STII": (1, order), "FSII": (order, order)}[head]
        law = np.exp(sets + betaln(s + a, others - s + b) - betaln(a, b))
    else:
        raise InvalidInput(f"No measure is known for the index {index.name}; known: {', '.join(index_names())}.")
    return np.asarray(law / law.sum(), np.float64)


class Derivatives:
    """Draws derivatives of given sets of players, at contexts whose sizes run evenly through the index's law.

    The k-th draw of a set has its size at the place u + k·0.618… (mod 1) of the law's distribution function, u uniform:
    each draw is unbiased, and a few draws of one set have sizes that differ as much as they can.

    Args:
        sets: positions of the players of each set, ``int64[sets, order]``.
        n: number of players.
        law: `size_law` for n − order other players.
        rng: source of chance.
    """

    def __init__(self, sets: Ints, n: int, law: Floats, rng: np.random.Generator) -> None:
        """Give each set its place to start from."""
        self.sets = sets
        order = sets.shape[1]
        self._n, self._rng = n, rng
        self._cdf = np.cumsum(law)[:-1]
        self._place = rng.random(len(sets))
        self._corner = ((np.arange(2**order)[:, None] >> np.arange(order)) & 1).astype(bool)
        self.signs = np.where((order - self._corner.sum(1)) % 2, -1.0, 1.0)

    def draw(self, which: Ints) -> tuple[Coalitions, Ints]:
        """One draw for each of some sets, no set twice.

        Args:
            which: rows of ``sets``.

        Returns:
            corners: ``bool[draws, 2**order, n]``; corner c holds player i of the set if bit i of c is set, and the
                derivative is the sum of the corners' values times ``signs``.
            sizes: of the contexts, ``int64[draws]``.
        """
        members = self.sets[which]
        sizes = np.searchsorted(self._cdf, self._place[which], side="right")
        self._place[which] = (self._place[which] + _STEP) % 1
        order = self._rng.random((len(which), self._n))
        np.put_along_axis(order, members, 2.0, axis=1)  # the set itself comes last and so stays out of the context
        contexts = order.argsort(axis=1).argsort(axis=1) < sizes[:, None]
        corners = np.repeat(contexts[:, None], len(self._corner), axis=1)
        for column, inside in enumerate(self._corner.T):
            corners[np.arange(len(which)), :, members[:, column]] = inside
        return corners, sizes.astype(np.int64)


def rounds(count: int, step: int, rng: np.random.Generator) -> list[Ints]:
    """All of 0…count−1 once in random order, in pieces of at most ``step``."""
    order = rng.permutation(count)
    return [order[k : k + step] for k in range(0, count, step)]


def sets_of(order: int, n: int) -> Ints:
    """All sets of that many of n players, ``int64[sets, order]``."""
    return np.array(list(combinations(range(n), order)), np.int64).reshape(-1, order)
