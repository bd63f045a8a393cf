"""Distinct coalitions of players that are present with probability p each, and how likely each was to be drawn.

A coalition S arrives at an exponential time of rate P(S) = p^|S| (1−p)^(n−|S|), the order in which distinct coalitions
appear among independent draws. Given the time τ at which sampling stopped, the first arrival that was NOT taken, each
one had the chance π(S) = 1 − exp(−P(S) τ) of being taken, and sums weighted by P(S)/π(S) are unbiased for sums over all
coalitions (Horvitz-Thompson; "rank conditioning", Cohen & Kaplan 2007). With few draws all weights are alike, with all
2^n coalitions they are P(S): one design from independent draws to full enumeration.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, distinct, keys
from chiasm.estimators.support import MOST_ENUMERATED

Floats = NDArray[np.float64]
Known = Callable[[Coalitions], NDArray[np.bool_]]

#: draws at once, and in all, where there are too many to enumerate: with p near 0 or 1 few of them may be distinct
_CHUNK, _MOST_DRAWS = 4096, 2_000_000


@dataclass(frozen=True, eq=False)
class Sample:
    """Distinct coalitions in order of arrival.

    Attributes:
        coalitions: ``bool[m, n]``.
        times: of their arrival, ``float64[m]``, increasing.
        end: when sampling stopped, ∞ if every coalition is there.
        p: chance of each player.
    """

    coalitions: Coalitions
    times: Floats
    end: float
    p: float

    def __len__(self) -> int:
        """Number of coalitions."""
        return len(self.coalitions)

    def first(self, count: int) -> Sample:
        """What had been sampled when that many coalitions were there."""
        if count >= len(self):
            return self
        return Sample(self.coalitions[:count], self.times[:count], float(self.times[count]), self.p)

    def weights(self) -> tuple[Floats, Floats]:
        """Weight P/π of each coalition, up to a common factor, and the chance 1 − π that it is not in the sample."""
        size, n = self.coalitions.sum(1), self.coalitions.shape[1]
        logs = size * np.log(self.p) + (n - size) * np.log1p(-self.p)
        if np.isinf(self.end):
            return np.exp(logs - logs.max()), np.zeros(len(self))
        rate = np.exp(logs) * self.end
        # P/(1 − exp(−Pτ)) = (x/(1 − exp(−x)))/τ with x = Pτ
        with np.errstate(invalid="ignore", divide="ignore"):
            weight = np.where(rate > 0, rate / -np.expm1(-rate), 1.0)
        return weight / weight.max(), np.exp(-rate)


def arrivals(n: int, p: float, rng: np.random.Generator) -> Iterator[tuple[Coalitions, Floats]]:
    """Distinct coalitions in order of arrival, in pieces, with their times; it ends when there are no more."""
    if n > MOST_ENUMERATED:
        yield from _streamed(n, p, rng)
        return
    rows = np.arange(1 << n, dtype=np.int64)
    size = np.zeros(len(rows), np.int64)
    for i in range(n):
        size += (rows >> i) & 1
    rate = np.exp(size * np.log(p) + (n - size) * np.log1p(-p))
    times = rng.exponential(size=len(rows)) / rate
    order = np.argsort(times)
    for start in range(0, len(order), _CHUNK):
        piece = order[start : start + _CHUNK]
        yield ((piece[:, None] >> np.arange(n)) & 1).astype(bool), times[piece]


def _streamed(n: int, p: float, rng: np.random.Generator) -> Iterator[tuple[Coalitions, Floats]]:
    seen: set[bytes] = set()
    now = 0.0
    for _ in range(_MOST_DRAWS // _CHUNK):
        drawn = rng.random((_CHUNK, n)) < p
        times = now + rng.exponential(size=_CHUNK).cumsum()
        now = float(times[-1])
        first = distinct(drawn)[0]
        names = keys(drawn[first])
        new = np.array([name not in seen for name in names], bool)
        seen.update(names)
        yield drawn[first][new], times[first][new]


def take(n: int, p: float, budget: int, rng: np.random.Generator, known: Known | None = None) -> Sample:
    """Distinct coalitions as they arrive, until the budget is spent or there are no more.

    Args:
        n: number of players.
        p: chance of each to be present, inside (0, 1).
        budget: coalitions that may be taken.
        rng: source of chance.
        known: says which of some coalitions cost nothing and so are taken beside the budget.
    """
    coalitions, times, spent = [], [], 0
    for rows, at in arrivals(n, p, rng):
        cost = np.ones(len(rows), np.int64) if known is None else (~known(rows)).astype(np.int64)
        fits = int((spent + cost.cumsum() <= budget).sum())
        coalitions.append(rows[:fits])
        times.append(at[:fits])
        spent += int(cost[:fits].sum())
        if fits < len(rows):
            return Sample(np.concatenate(coalitions), np.concatenate(times), float(at[fits]), p)
    taken, when = np.concatenate(coalitions), np.concatenate(times)
    all_there = n <= MOST_ENUMERATED
    return Sample(taken, when, np.inf if all_there else float(when[-1]), p)
