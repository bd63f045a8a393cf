"""Partial information decomposition: what two sources tell of a target alone, both alike, and only together.

Of Bertschinger et al. (2014, "Quantifying unique information", Entropy 16): among all joint distributions q of sources
and target with the same pairs (source 1, target) and (source 2, target) as p, take the least I_q(Y; X₁X₂). What p tells
beyond it is synergy. The problem is convex; see `pid` for the two ways in which it is solved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_matrix

from chiasm.core.errors import InvalidInput, ModelError

Floats = NDArray[np.float64]
Solver = Literal["auto", "convex", "projections"]

#: cells of a table beyond which the convex program takes more than some ten seconds
MOST_CONVEX: Final = 20_000
#: rounds of projections at most, steps of scaling in each, and the change of information in bits at which they end
ROUNDS: Final = 5000
STEPS: Final = 100
SMALL: Final = 1e-8


@dataclass(frozen=True)
class Pid:
    """What two sources tell of a target, in bits; the four sum to `total`.

    Attributes:
        redundancy: what either source tells alone.
        unique: what only the first, and only the second source tells.
        synergy: what only both together tell.
    """

    redundancy: float
    unique: tuple[float, float]
    synergy: float

    @property
    def total(self) -> float:
        """I(Y; X₁X₂)."""
        return self.redundancy + sum(self.unique) + self.synergy


def information(table: ArrayLike) -> float:
    """Mutual information in bits of the rows and columns of a joint distribution, ``float64[a, b]``."""
    p = np.asarray(table, np.float64)
    independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True)
    there = p > 0
    return float((p[there] * np.log2(p[there] / independent[there])).sum())


def joint(first: ArrayLike, second: ArrayLike, target: ArrayLike) -> Floats:
    """Joint distribution of three columns of labels, ``float64[labels of first, of second, of target]``.

    Raises:
        InvalidInput: columns of several lengths, or empty ones.
    """
    columns = [np.unique(np.asarray(column), return_inverse=True)[1].ravel() for column in (first, second, target)]
    sizes = [len(column) for column in columns]
    if len(set(sizes)) != 1 or not sizes[0]:
        raise InvalidInput(f"The columns have {sizes} entries; give three of one length, not empty.")
    table = np.zeros([int(column.max()) + 1 for column in columns])
    np.add.at(table, tuple(columns), 1 / sizes[0])
    return table


def pid(table: ArrayLike, solver: Solver = "auto") -> Pid:
    """Partial information decomposition of a joint distribution.

    Args:
        table: p(x₁, x₂, y), ``float64[a, b, c]``, not negative, sum 1.
        solver: ``"convex"``: the convex program, by cvxpy's interior-point solver; ``"projections"``: alternating
            projections, which need no solver and take tables of any size, and come within some thousandths of a bit;
            ``"auto"``: the program up to `MOST_CONVEX` cells.

    Raises:
        InvalidInput: the table is no joint distribution of three variables.
        ModelError: the solver found no solution.
        MissingDependency: ``"convex"`` without cvxpy.
    """
    p = np.asarray(table, np.float64)
    if p.ndim != 3 or p.min(initial=0) < 0 or not np.isclose(p.sum(), 1):
        raise InvalidInput(
            f"The table has the shape {list(p.shape)} and sums to {p.sum():.6g}; give the probabilities p(x₁, x₂, y)."
        )
    size = int((p.sum(axis=1)[:, None] * p.sum(axis=0)[None] > 0).sum())
    small = solver == "convex" or (solver == "auto" and size <= MOST_CONVEX)
    least = _by_program(p) if small else _by_projections(p)
    whole = information(p.reshape(-1, p.shape[2]))
    first, second = information(p.sum(axis=1)), information(p.sum(axis=0))
    least = min(max(least, first, second), whole)  # bounds that the solver may miss by its tolerance
    unique = least - second, least - first
    return Pid(first - unique[0], unique, whole - least)


def _by_projections(p: Floats) -> float:
    """Least I_q(Y; X₁X₂) by alternating projections (after Banerjee et al. 2018, "Computing the unique information").

    I_q(Y; X₁X₂) is the least divergence of q from a product r(x₁, x₂) p(y). With r held, the best q rescales r to the
    marginals of (x₁, y) and (x₂, y), for each y apart; with q held, the best r is its marginal. Both sets are convex,
    so the steps in turn end at the minimum (Csiszár & Tusnády 1984).
    """
    rows, columns, chance = p.sum(axis=1).T, p.sum(axis=0).T, p.sum(axis=(0, 1))
    there = chance > 0
    rows, columns, chance = rows[there], columns[there], chance[there]
    r = rows.sum(axis=0)[:, None] * columns.sum(axis=0)[None]
    before = np.inf
    for _ in range(ROUNDS):
        q = _rescaled(r, rows, columns)
        r = q.sum(axis=0)
        now = information(q.reshape(len(q), -1))
        if before - now < SMALL:
            break
        before = now
    return now


def _rescaled(r: Floats, rows: Floats, columns: Floats) -> Floats:
    """For each y the matrix closest to r with these marginals, ``float64[c, a, b]``, by iterative scaling."""
    scale = np.ones_like(columns)
    for _ in range(STEPS):
        left = _ratio(rows, np.einsum("ab,cb->ca", r, scale))
        reached = np.einsum("ab,ca->cb", r, left)
        off = np.abs(reached * scale - columns).max()
        scale = _ratio(columns, reached)
        if off < SMALL / 10:
            break
    return np.asarray(left[:, :, None] * r[None] * scale[:, None, :], np.float64)


def _ratio(a: Floats, b: Floats) -> Floats:
    return np.divide(a, b, out=np.zeros_like(a), where=b > 0)


def _by_program(p: Floats) -> float:
    """Least I_q(Y; X₁X₂) by the convex program over the cells that the marginals leave possible."""
    try:
        import cvxpy
    except ImportError as error:
        from chiasm.core.errors import MissingDependency

        raise MissingDependency("cvxpy", "the convex program of a decomposition", "audit") from error
    rows, columns = p.sum(axis=1), p.sum(axis=0)
    cells = np.argwhere((rows[:, None] > 0) & (columns[None] > 0))
    q = cvxpy.Variable(len(cells), nonneg=True)
    pairs = cells[:, 0] * p.shape[1] + cells[:, 1]
    same_pair = _membership(pairs)
    of_pair = same_pair.T @ (same_pair @ q)
    limits = []
    for axis, marginal in ((0, rows), (1, columns)):
        group = cells[:, axis] * p.shape[2] + cells[:, 2]
        names = np.unique(group)
        limits.append(_membership(group) @ q == marginal.ravel()[names])
    problem = cvxpy.Problem(cvxpy.Minimize(cvxpy.sum(cvxpy.rel_entr(q, of_pair))), limits)
    try:
        problem.solve(solver=cvxpy.CLARABEL)
    except cvxpy.SolverError as error:
        raise ModelError(f"The decomposition of a table of {p.shape} was not solved: {error}.") from error
    if q.value is None:
        raise ModelError(f"The decomposition of a table of {p.shape} was not solved: {problem.status}.")
    chance = p.sum(axis=(0, 1))
    entropy = -(chance[chance > 0] * np.log2(chance[chance > 0])).sum()
    return float(entropy + problem.value / np.log(2))


def _membership(groups: NDArray[np.intp]) -> csr_matrix:
    """``float64[groups, cells]``: 1 where the cell is of the group, groups in the order of their numbers."""
    _, which = np.unique(groups, return_inverse=True)
    return csr_matrix((np.ones(len(which)), (which, np.arange(len(which)))))
