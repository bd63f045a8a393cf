"""The tests' own oracle: index values straight from their definitions, sums over subsets with explicit factorials."""

from __future__ import annotations

import itertools
from math import comb, factorial

import numpy as np


def subsets(items):
    items = list(items)
    return itertools.chain.from_iterable(itertools.combinations(items, k) for k in range(len(items) + 1))


def as_function(table):
    """A table in the order of all_coalitions as a function of a set."""
    return lambda s: float(table[sum(1 << i for i in s)])


def derivative(v, s, players):
    """Σ_{L⊆players} (−1)^{|players|−|L|} v(S ∪ L)."""
    return sum((-1) ** (len(players) - len(sub)) * v(frozenset(s) | set(sub)) for sub in subsets(players))


def weights(index, n, size):
    """Weight of a context of s players for interactions of `size` players."""
    m = n - size
    if index == "SII":
        return lambda s: factorial(s) * factorial(m - s) / factorial(m + 1)
    if index == "BII":
        return lambda s: 1 / 2**m
    if index.startswith("WBII:"):
        p = float(index[5:])
        return lambda s: p**s * (1 - p) ** (m - s)
    if index == "Moebius" or (index == "STII" and size == 1):
        return lambda s: float(s == 0)
    if index == "STII":
        return lambda s: 2 / n / comb(n - 1, s)
    raise ValueError(index)


def by_definition(table, n, index):
    """Single and pair values."""
    if index == "FSII":
        return faith_shap(table, n)
    v = as_function(table)
    single, pair = np.zeros(n), np.zeros((n, n))
    w = weights(index, n, 1)
    for i in range(n):
        rest = [k for k in range(n) if k != i]
        single[i] = sum(w(len(s)) * derivative(v, s, [i]) for s in subsets(rest))
    for i, j in itertools.combinations(range(n), 2):
        w = weights(index, n, 2)
        rest = [k for k in range(n) if k not in (i, j)]
        pair[i, j] = pair[j, i] = sum(w(len(s)) * derivative(v, s, [i, j]) for s in subsets(rest))
    return single, pair


def faith_shap(table, n):
    """Faith-Shap of order 2 from the regression that defines it (Tsai et al. 2023, equation 12).

    Least squares over all coalitions but ∅ and N with weights (n−1)/(C(n,s)·s·(n−s)), equality at ∅ and N: one linear
    system with Lagrange multipliers.
    """
    terms = [t for t in subsets(range(n)) if len(t) <= 2]
    sets = [frozenset(s) for s in subsets(range(n))]
    v = as_function(table)
    design = np.array([[float(set(t) <= s) for t in terms] for s in sets])
    values = np.array([v(s) for s in sets])
    inner = np.array([0 < len(s) < n for s in sets])
    weight = np.array([(n - 1) / (comb(n, len(s)) * len(s) * (n - len(s))) if 0 < len(s) < n else 0.0 for s in sets])
    ends = design[~inner]
    k = len(terms)
    system = np.zeros((k + len(ends), k + len(ends)))
    system[:k, :k] = design.T @ (weight[:, None] * design)
    system[:k, k:], system[k:, :k] = ends.T, ends
    right = np.concatenate([design.T @ (weight * values), values[~inner]])
    found = dict(zip(terms, np.linalg.lstsq(system, right, rcond=None)[0], strict=False))
    single = np.array([found[i,] for i in range(n)])
    pair = np.zeros((n, n))
    for i, j in itertools.combinations(range(n), 2):
        pair[i, j] = pair[j, i] = found[i, j]
    return single, pair
