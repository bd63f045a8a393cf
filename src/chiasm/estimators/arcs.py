"""Arcs of a circle of players: a design in which every value serves many orders at once.

Seat the players in a circle at random. The arcs (runs of neighbouring seats) of length k are n coalitions of size k;
growing an arc seat by seat, to either side, walks through an order of the players. Two facts make this a good design:

* For seats i and j, the arc between them is a set of uniform size 0…n−2, uniform among the sets of its size: what the
  Shapley interaction index averages over. Its four values v(arc), v(arc+i), v(arc+j), v(arc+i+j) are values of arcs.
* All arcs together, n(n−1) values and the two ends, give each pair two such differences (the two arcs between i and j,
  complementary contexts) and each player two marginal contributions at every size. Independent orders give one
  difference for every two values; arcs give one for each value.

An arc [l, r] has the centre c = l + r (mod 2n); length and centre differ in parity. The arcs of one centre are a
*half-set*, about (n−1)/2 of them. Neighbouring centres c, c+1 together form a whole order (each arc is the one before
with one seat more), and the arcs of centre c, with those of c−1 and c+1 for the two extensions, give one difference for
each of about (n−1)/2 pairs. So part of a circle costs h + 2 half-sets and gives h half-sets of differences and h + 1
orders. Opposite centres c and c+n hold the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Arcs:
    """Which coalitions a design needs and how values combine; all in seats, before players are seated.

    Attributes:
        seats: ``bool[rows, n]``; row 0 is the empty coalition, row 1 the full one, then the arcs.
        orders: number of orders; each holds every seat once.
        without, with_: rows of the marginal contributions, ``intp[orders·n]``.
        seat, size: the seat that joins and how many were there before.
        corners: rows of v(S+ij), v(S+i), v(S+j), v(S), ``intp[4, differences]``.
        pair_seats: i and j, ``intp[2, differences]``.
        pair_size: |S|.
    """

    seats: Coalitions
    orders: int
    without: Rows
    with_: Rows
    seat: Rows
    size: Rows
    corners: Rows
    pair_seats: Rows
    pair_size: Rows

    @property
    def cost(self) -> int:
        """New values that it needs at most, the two ends not counted."""
        return len(self.seats) - 2


def cost(n: int, h: int) -> int:
    """Values (the two ends not counted) of h half-sets of differences, whatever the first centre's parity."""
    if h == 2 * n:
        return n * (n - 1)
    return (h + 2) // 2 * (n - 1) + (h % 2) * (n // 2)


@lru_cache(maxsize=16)
def arcs(n: int, h: int, first: int) -> Arcs:
    """The design of h half-sets of differences.

    Args:
        n: number of players, at least 2.
        h: 1…n, or 2n for the whole circle.
        first: 0 or 1, the first centre. Only an average over both is free of a preference for even or odd sizes
            when h is odd.
    """
    closed = h == 2 * n
    centres = np.arange(first, first + (h if closed else h + 2))
    count = len(centres)
    lengths = np.arange(n + 1)
    row = np.full((count, n + 1), -1, np.intp)  # rows of the arcs of (centre, length)
    fits = (centres[:, None] + lengths) % 2 == 1
    row[:, 0], row[:, n] = 0, 1
    inner = fits & (lengths > 0) & (lengths < n)
    row[inner] = np.arange(2, 2 + inner.sum())
    at, length = np.nonzero(inner)
    left = (centres[at] - length + 1) // 2
    seats = np.zeros((2 + len(at), n), bool)
    seats[1] = True
    seats[2:] = (np.arange(n) - left[:, None]) % n < length[:, None]

    # orders: between centres c and c+1, the arcs of each length lie in the one whose parity fits
    c = np.arange(count if closed else count - 1)[:, None]
    after = (c + 1) % count
    m = lengths[None, :-1]
    here = (centres[c] + m) % 2 == 1
    without = np.where(here, row[c, m], row[after, m])
    with_ = np.where(here, row[after, m + 1], row[c, m + 1])
    seat = np.where(here, (centres[c] + m + 1) // 2, (centres[c] - m) // 2) % n

    # differences: the arc (centre, length), one seat more on either side, and on both
    inside = np.arange(count) if closed else np.arange(1, count - 1)
    at, length = np.nonzero(fits[inside, : n - 1])
    at = inside[at]
    before, after = (at - 1) % count, (at + 1) % count
    corners = np.stack([row[at, length + 2], row[before, length + 1], row[after, length + 1], row[at, length]])
    outer = np.stack([(centres[at] - length - 1) // 2, (centres[at] + length + 1) // 2]) % n
    return Arcs(
        seats=seats,
        orders=len(c),
        without=without.ravel(),
        with_=with_.ravel(),
        seat=seat.ravel(),
        size=np.broadcast_to(m, without.shape).ravel(),
        corners=corners,
        pair_seats=outer,
        pair_size=length,
    )
