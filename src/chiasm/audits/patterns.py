"""Which sorts of units work together over a data set, and which groups of samples there are by that."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from chiasm.audits.table import Table

Floats = NDArray[np.float64]
Place = tuple[str, str, str, str]
#: fewest samples that a cell of a map, or a group, is told of
FEWEST: Final = 10
#: most sorts of one part in a map: the most frequent
MOST_SORTS: Final = 12
#: numbers of groups that are tried
GROUPS: Final = range(2, 7)
#: silhouettes below this show no substantial structure (Kaufman & Rousseeuw 1990)
LEAST: Final = 0.25
#: samples that groups are looked for in, and sets without groups that they are held against
LOOKED_AT: Final = 500
DRAWS: Final = 19
#: marks of a group, and samples in its middle
MARKS: Final = 3
EXAMPLES: Final = 5


@dataclass(frozen=True, eq=False)
class Map:
    """Mean interaction of two parts, by sorts of their units.

    Attributes:
        parts: the two.
        rows, columns: sorts of the first and of the second.
        values: mean over samples of the sum of pair values of two sorts, NaN where fewer than `FEWEST` have both.
        counts: samples that have both.
    """

    parts: tuple[str, str]
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: Floats
    counts: NDArray[np.int64]


def maps(table: Table) -> list[Map]:
    """The maps of any two parts that have pair values; of each part the sorts that most samples have."""
    places, values = _vectors(table)
    there, sums = np.isfinite(values).sum(axis=0), np.nansum(values, axis=0)
    found: list[Map] = []
    for a, b in combinations(table.parts, 2):
        mine = [k for k, place in enumerate(places) if place[:2] == (a, b)]
        rows = tuple(dict.fromkeys(places[k][2] for k in mine))
        columns = tuple(sorted({places[k][3] for k in mine}))
        means, counts = np.full((len(rows), len(columns)), np.nan), np.zeros((len(rows), len(columns)), np.int64)
        for k in mine:
            at = rows.index(places[k][2]), columns.index(places[k][3])
            counts[at] = there[k]
            if there[k] >= FEWEST:
                means[at] = sums[k] / there[k]
        up, across = (np.flatnonzero(np.isfinite(means).any(axis=axis)) for axis in (1, 0))
        if len(up):
            kept = np.ix_(up, across)
            named = tuple(rows[k] for k in up), tuple(columns[k] for k in across)
            found.append(Map((a, b), *named, means[kept], counts[kept]))
    return found


def _vectors(table: Table) -> tuple[list[Place], Floats]:
    """Pairs of sorts, in order, and each row's sums ``float64[rows, pairs]``, NaN where it lacks one of the two."""
    counts: dict[tuple[str, str], int] = {}
    for row in table.rows:
        held = {(part, sort) for a, b, one, two, _ in row.get("between", ()) for part, sort in ((a, one), (b, two))}
        for place in held:
            counts[place] = counts.get(place, 0) + 1
    kept = {
        place
        for part in table.parts
        for place in sorted((place for place in counts if place[0] == part), key=lambda place: -counts[place])[
            :MOST_SORTS
        ]
    }
    sums = [
        {(a, b, one, two): value for a, b, one, two, value in row.get("between", ()) if {(a, one), (b, two)} <= kept}
        for row in table.rows
    ]
    places = sorted(set().union(*sums))
    return places, np.array([[row.get(place, np.nan) for place in places] for row in sums]).reshape(len(sums), -1)


@dataclass(frozen=True, eq=False)
class Pattern:
    """Samples whose units work together alike.

    Attributes:
        share: of the samples that have any interaction.
        marks: what sets the group apart: two sorts, the mean share of their sum in the absolute sums of a sample (with
            its sign), and the same over all samples.
        right: share of right answers, ``None`` where it is not known.
        samples: names of those nearest to the group's middle.
    """

    share: float
    marks: tuple[tuple[str, float, float], ...]
    right: float | None
    samples: tuple[str, ...]


def patterns(table: Table, seed: int = 0) -> list[Pattern]:
    """Groups of samples by their interactions, whatever the size of these: k-means of vectors of unit length.

    The number of groups is that with the largest silhouette (Rousseeuw 1987). Any data can be parted, so groups are
    told only where they part better than all of `DRAWS` sets without groups that have the values of the data in each
    column and their rank correlations (a test as SigClust's, Liu et al. 2008, for columns of any skew), and where each
    has `FEWEST` samples or more.

    Args:
        table: the rows.
        seed: of the draws.

    Returns:
        The largest first; empty where samples show no groups.
    """
    places, values = _vectors(table)
    enough = np.isfinite(values).sum(axis=0) >= FEWEST
    places, values = (
        [place for place, some in zip(places, enough, strict=True) if some],
        np.nan_to_num(values[:, enough]),
    )
    there = np.flatnonzero(np.abs(values).sum(axis=1) > 0)
    if len(there) < 2 * FEWEST:
        return []
    rng = np.random.default_rng(seed)
    looked_at = values[np.sort(rng.permutation(there)[:LOOKED_AT])]
    silhouette, centres = _parted(_unit(looked_at), seed)
    if silhouette < LEAST:
        return []
    draws = (_without_groups(looked_at, rng) for _ in range(DRAWS))
    if any(_parted(_unit(one), seed)[0] >= silhouette for one in draws):
        return []
    far = np.linalg.norm(_unit(values[there])[:, None] - centres[None], axis=2)
    groups = [np.flatnonzero(far.argmin(axis=1) == k) for k in range(len(centres))]
    if min(map(len, groups)) < FEWEST:
        return []
    shares = values[there] / np.abs(values[there]).sum(axis=1, keepdims=True)
    ordered = sorted(range(len(groups)), key=lambda k: -len(groups[k]))
    return [_pattern(table, there, groups[k][np.argsort(far[groups[k], k])], shares, places) for k in ordered]


def _pattern(
    table: Table, there: NDArray[np.intp], members: NDArray[np.intp], shares: Floats, places: Sequence[Place]
) -> Pattern:
    """One group.

    Args:
        table: the rows.
        there: rows that have any interaction.
        members: which of these are in the group, nearest to its middle first.
        shares: of pairs of sorts in these rows, ``float64[there, places]``.
        places: the pairs of sorts.
    """
    own, every = shares[members].mean(axis=0), shares.mean(axis=0)
    marks = tuple(
        (f"{one} ({a}) with {two} ({b})", float(own[k]), float(every[k]))
        for k in np.argsort(-np.abs(own - every), kind="stable")[:MARKS]
        for a, b, one, two in [places[k]]
    )
    rows = there[members]
    right = np.array([]) if table.right is None else table.right[rows, -1]
    right = right[np.isfinite(right)]
    names = tuple(table.names[row] for row in rows[:EXAMPLES]) if table.names else ()
    return Pattern(len(rows) / len(there), marks, float(right.mean()) if len(right) else None, names)


def _without_groups(values: Floats, rng: np.random.Generator) -> Floats:
    """As many rows from a normal copula: columns keep their values and rank correlations; nothing parts the rows."""
    ranks = norm.ppf((rankdata(values, axis=0) - 0.5) / len(values))
    spread = np.atleast_2d(np.cov(ranks.T))
    drawn = rng.multivariate_normal(np.zeros(len(spread)), spread, len(values))
    size = np.sqrt(np.diag(spread))
    levels = norm.cdf(np.divide(drawn, size, out=np.zeros_like(drawn), where=size > 0))
    return np.stack(
        [np.quantile(column, level, method="inverted_cdf") for column, level in zip(values.T, levels.T, strict=True)],
        axis=1,
    )


def _unit(values: Floats) -> Floats:
    """Rows of length 1; what is 0 stays so."""
    size = np.linalg.norm(values, axis=1, keepdims=True)
    return np.asarray(np.divide(values, size, out=np.zeros_like(values), where=size > 0), np.float64)


def _parted(vectors: Floats, seed: int) -> tuple[float, Floats]:
    """The best silhouette of all numbers of groups, and the middles of these groups."""
    from sklearn.cluster import KMeans
    from sklearn.metrics import silhouette_score

    different = len(np.unique(vectors.round(9), axis=0))
    best, centres = 0.0, vectors[:1]
    for k in GROUPS:
        if k > min(different, len(vectors) - 1):
            break
        found = KMeans(k, n_init=3, random_state=seed).fit(vectors)
        if (score := float(silhouette_score(vectors, found.labels_))) > best:
            best, centres = score, found.cluster_centers_
    return best, centres
