"""Which coalitions to evaluate: a first design over all sizes, then those that tell most about the wanted pairs."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, all_coalitions, distinct, keys, of_size
from chiasm.core.players import Players
from chiasm.estimators.gp_indices import Measure, Pairs
from chiasm.estimators.gp_readers import Reader
from chiasm.estimators.support import MOST_ENUMERATED

Floats = NDArray[np.float64]

#: candidates that a batch is chosen among; as many as make choice a small part of the time
CANDIDATES = 1500
#: wanted pairs that are looked at (a random part of more), and columns that they are projected to
_MOST_PAIRS, _COLUMNS = 1024, 96
#: share of the candidates drawn by the index's measure; the others have a uniform size
_BY_MEASURE = 0.75


def wanted_pairs(players: Players) -> Pairs:
    """All pairs of players of different parts; all pairs, if only one part has players."""
    part = np.concatenate([np.full(s.stop - s.start, k) for k, s in enumerate(players.slices.values())])
    i, j = np.triu_indices(len(part), 1)
    across = part[i] != part[j]
    return (i[across], j[across]) if across.any() else (i, j)


def first_design(n: int, count: int, rng: np.random.Generator) -> Coalitions:
    """Distinct coalitions with sizes uniform over the layers that are not yet full, paired with their complements.

    The empty and the full coalition come first.

    Args:
        n: number of players.
        count: how many, from 2 to 2^n.
        rng: the source of chance.

    Returns:
        ``bool[count, n]``.
    """
    ends = np.stack([np.zeros(n, bool), np.ones(n, bool)])
    halves = [_of_one_size(n, k, m, rng) for k, m in enumerate(_layers(n, (count - 1) // 2, rng), start=1) if m]
    if not halves:
        return ends
    half = np.concatenate(halves)
    half = half[rng.permutation(len(half))]
    both = np.stack([half, ~half], axis=1).reshape(-1, n)
    return np.concatenate([ends, both])[:count]


def _layers(n: int, pairs: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """How many of ``pairs`` complement pairs have a smaller half of 1…n//2 players."""
    middle = [2 * k == n for k in range(1, n // 2 + 1)]
    room = np.array([comb(n, k) // (1 + half) for k, half in enumerate(middle, start=1)], np.float64)
    share = np.array([0.5 if half else 1.0 for half in middle])
    low, high = 0.0, float(pairs) * 2 + float((room / share).max(initial=0.0))
    for _ in range(200):  # bisect for the level at which the layers hold all pairs
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(room, level * share).sum() < pairs else (low, level)
    filled = np.minimum(room, high * share)
    counts = np.diff(np.floor(np.concatenate([[0.0], np.cumsum(filled)]) + rng.random() + 1e-9)).astype(np.int64)
    counts = np.minimum(counts, np.minimum(room, 2.0**62).astype(np.int64))
    while (off := pairs - int(counts.sum())) != 0:
        able = np.flatnonzero(counts < room) if off > 0 else np.flatnonzero(counts > 0)
        if not len(able):
            break
        counts[rng.choice(able)] += 1 if off > 0 else -1
    return counts


def _of_one_size(n: int, k: int, count: int, rng: np.random.Generator) -> Coalitions:
    """Distinct coalitions of k players; of half the players, none is the complement of another."""
    middle = 2 * k == n
    total = comb(n, k) // (1 + middle)
    if total <= 4 * count:
        chosen = rng.permutation(total)[:count]
        if middle:  # the first player is in: one of each pair of complements
            subsets = np.array([(0, *rest) for rest in itertools.combinations(range(1, n), k - 1)])[chosen]
        else:
            subsets = np.array(list(itertools.combinations(range(n), k)))[chosen]
        found = np.zeros((count, n), bool)
        found[np.arange(count)[:, None], subsets] = True
        return found
    found = np.zeros((0, n), bool)
    while len(found) < count:
        more = of_size(np.full(count, k, np.int64), n, rng)
        if middle:
            more ^= ~more[:, :1]
        found = np.concatenate([found, more])
        found = found[distinct(found)[0]]
    return found[:count]


def candidates(n: int, measure: Measure, seen: set[bytes], count: int, rng: np.random.Generator) -> Coalitions:
    """Distinct coalitions that were not seen, most drawn as the index weighs them.

    A rate q by the measure, the others present at that rate, and two random players present or absent alike: the
    corners of the differences that the index averages. The rest have a uniform size.

    Args:
        n: number of players.
        measure: of the pair index.
        seen: keys of coalitions that are left out.
        count: how many, if there are as many.
        rng: the source of chance.
    """
    if n <= MOST_ENUMERATED and 2**n <= 4 * (count + len(seen)):
        found = all_coalitions(n)
    else:
        by_measure = int(count * _BY_MEASURE)
        weight = np.abs(measure.w) / np.abs(measure.w).sum()
        # the nodes stand for a density: jitter spreads them over the rates between
        q = measure.q[rng.choice(len(weight), by_measure, p=weight)]
        drawn = rng.random((by_measure, n)) < q[:, None]
        for _ in range(2):
            drawn[np.arange(by_measure), rng.integers(n, size=by_measure)] = rng.random(by_measure) < 0.5
        found = np.concatenate([drawn, of_size(rng.integers(0, n + 1, count), n, rng)])
        found = found[distinct(found)[0]]
    found = found[[key not in seen for key in keys(found)]]
    return found[np.sort(rng.permutation(len(found))[:count])] if len(found) > count else found


@dataclass(frozen=True, eq=False)
class Chooser:
    """Greedy choice of a batch: each coalition shrinks the summed posterior variance of the wanted pairs most.

    Evaluating s lowers the variance of φ by Cov(φ, f(s))²/(Var f(s) + σ²); the covariances given what was chosen before
    follow by rank-one downdates (pivoted Cholesky). The sum over many pairs is kept by a random projection.

    Attributes:
        pairs: the wanted pairs.
    """

    pairs: Pairs

    def batch(self, reader: Reader, among: Coalitions, count: int, rng: np.random.Generator) -> Coalitions:
        """The chosen coalitions, ``bool[min(count, len(among)), n]``."""
        count = min(count, len(among))
        if count == len(among) or not len(self.pairs[0]):
            return among[:count]
        z, posterior = among.astype(np.float64), reader.posterior
        target, white = self._covariances(reader, z, rng)
        kernel, m = posterior.kernel, len(posterior.coalitions)
        rows = np.concatenate([white, np.zeros((count, len(z)))])
        left = np.maximum(kernel.variance(z) - (white**2).sum(0), 0.0) + kernel.noise
        score = (target**2).sum(0)
        chosen: list[int] = []
        for t in range(m, m + count):
            best = int(np.argmax(score / left))
            chosen.append(best)
            cross = kernel.covariance(z[[best]], z)[0] - rows[:t, best] @ rows[:t]
            step = cross / np.sqrt(left[best])
            shared = target[:, best] / np.sqrt(left[best])
            target -= np.outer(shared, step)
            rows[t] = step
            left = np.maximum(left - step**2, kernel.noise)
            score = (target**2).sum(0)
            score[chosen] = -1.0
        return among[chosen]

    def _covariances(self, reader: Reader, z: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
        """Posterior Cov(φ, f(z)), projected, ``[columns, candidates]``, and L⁻¹ Cov(f(X), f(z))."""
        i, j = self.pairs
        if len(i) > _MOST_PAIRS:
            some = np.sort(rng.permutation(len(i))[:_MOST_PAIRS])
            i, j = i[some], j[some]
        posterior = reader.posterior
        here, there = reader.covariances((i, j), z)
        if len(i) > _COLUMNS:
            projection = rng.standard_normal((len(i), _COLUMNS))
            here, there = here @ projection, there @ projection
        white = posterior.whiten(posterior.kernel.covariance(posterior.coalitions, z))
        return np.ascontiguousarray(here.T - posterior.whiten(there).T @ white), white
