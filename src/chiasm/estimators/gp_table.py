"""The surrogate on all 2^n coalitions of few players: Walsh transforms in place of covariance matrices.

Without its gates D a member of the prior covariance depends on the coalitions' symmetric difference alone, so Walsh
functions are its eigenvectors: D H Λ H D with H the Hadamard matrix and Λ_T = 2⁻ⁿ a Π_i (1 ± exp(−c θ_i)), minus for
players in T. A product with K costs n 2^n operations, so the surrogate's mean is known on all coalitions for next to
nothing, and an index φ = Σ_S w(S) g(f(S)), linearised about that mean to weights w(S) g′(f(S)), has its covariance with
every value, and its own posterior variance, for two transforms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard

from chiasm.core.coalitions import all_coalitions
from chiasm.estimators.gp_indices import Measure, Pairs
from chiasm.estimators.gp_kernel import Kernel, Posterior

Floats = NDArray[np.float64]

#: players that one matrix product of a transform takes together
_TOGETHER = 5
#: Hadamard matrices of so many players
_WALSH: tuple[Floats, ...] = tuple(hadamard(1 << k).astype(np.float64) for k in range(_TOGETHER + 1))
#: numbers of a block of weights that is transformed at once, so that it stays in a processor's cache
_BLOCK = 1 << 17


class Table:
    """The prior on all coalitions.

    Args:
        kernel: its hyperparameters.
    """

    def __init__(self, kernel: Kernel) -> None:
        """Eigenvalues of the members, and their gates."""
        self.n = kernel.n
        members = kernel.members
        log_gates = (members.both - members.none) / 2  # of presence against absence
        gated = np.flatnonzero(log_gates.any(axis=1))
        groups = [np.setdiff1d(np.arange(len(log_gates)), gated), *gated[:, None]]
        differ = np.exp(members.one - (members.both + members.none) / 2)
        self.parts: list[tuple[Floats, Floats]] = []
        for group in groups:
            eigenvalues = np.zeros(1 << self.n)
            for amplitude, e in zip(np.exp(members.log_amplitude[group]), differ[group], strict=True):
                found = np.array([amplitude])
                for other in e:  # the first player is the lowest bit
                    found = np.concatenate([found * (1 + other), found * (1 - other)])
                eigenvalues += found
            gates = np.zeros(1)
            for out, gate in zip(members.none[group[0]] / 2, log_gates[group[0]], strict=True):
                gates = np.concatenate([gates, gates + gate]) + out
            self.parts.append((eigenvalues / (1 << self.n), np.exp(gates)))

    def rows(self, coalitions: Floats) -> NDArray[np.int64]:
        """Places of coalitions among all."""
        return coalitions.astype(np.int64) @ (1 << np.arange(self.n))

    def product(self, columns: Floats) -> tuple[Floats, Floats]:
        """K x and xᵀK x of each row x of ``float64[c, 2^n]``."""
        found, form = np.zeros_like(columns), np.zeros(len(columns))
        for eigenvalues, gates in self.parts:
            walsh = _hadamard(columns * gates)
            weighted = walsh * eigenvalues
            form += np.einsum("cs,cs->c", walsh, weighted)
            weighted = _hadamard(weighted)
            weighted *= gates
            found += weighted
        return found, form

    def mean(self, posterior: Posterior) -> Floats:
        """Posterior mean of all values, ``float64[2^n]``."""
        weights = np.zeros((1, 1 << self.n))
        weights[0, self.rows(posterior.coalitions)] = posterior.alpha
        return np.asarray(posterior.shift + posterior.scale * self.product(weights)[0][0], np.float64)


def _hadamard(x: Floats) -> Floats:
    """Rows times the Hadamard matrix of their length, a few players at a time."""
    rows, size = x.shape
    n = size.bit_length() - 1
    while n > 0:
        some = min(_TOGETHER, n)
        n -= some
        # the lowest players become the highest: after a full turn all are in place
        x = (x.reshape(rows, -1, 1 << some) @ _WALSH[some]).transpose(0, 2, 1).reshape(rows, size)
    return x


def size_weights(measure: Measure, others: int) -> Floats:
    """Weight of a discrete derivative at a coalition of 0…others of the other players, ``float64[others + 1]``."""
    s = np.arange(others + 1)[:, None]
    with np.errstate(under="ignore"):
        return np.asarray((measure.q**s * (1 - measure.q) ** (others - s)) @ measure.w, np.float64)


class Weights:
    """The weights w(S) of an index on all coalitions: φ = Σ_S w(S) v(S).

    Args:
        n: number of players.
        one, two: the index's measures for single players and for pairs.
    """

    def __init__(self, n: int, one: Measure, two: Measure) -> None:
        """Weights by size."""
        self.bits = np.ascontiguousarray(all_coalitions(n).T)
        size = self.bits.sum(0)
        single, pair = size_weights(one, n - 1), size_weights(two, n - 2)
        self._in, self._out = np.append(0.0, single)[size], -np.append(single, 0.0)[size]
        both = np.concatenate([[0.0, 0.0], pair])
        self._both, self._one, self._none = (
            both[size],
            -np.append(both[1:], 0.0)[size],
            np.append(pair, [0.0, 0.0])[size],
        )

    def of(self, players: tuple[int, ...]) -> Floats:
        """Weights of φ_i or φ_ij, ``float64[2^n]``."""
        if len(players) == 1:
            return np.asarray(np.where(self.bits[players[0]], self._in, self._out), np.float64)
        a, b = self.bits[players[0]], self.bits[players[1]]
        return np.asarray(np.where(a & b, self._both, np.where(a | b, self._one, self._none)), np.float64)


class Linearised:
    """An index of g(f) near the posterior mean of f, as a linear form of f: K w for all single and pair indices.

    Args:
        table: the prior on all coalitions.
        weights: of the index.
        slopes: g′ on all coalitions, ``float64[2^n]``.

    Attributes:
        prior: prior variances, ``float64[n + n(n−1)/2]``: single players first, then pairs as `numpy.triu_indices`.
    """

    def __init__(self, table: Table, weights: Weights, slopes: Floats) -> None:
        """Transform, a few indices at a time."""
        n = table.n
        forms = [(k,) for k in range(n)] + [(i, j) for i in range(n) for j in range(i + 1, n)]
        self._table = table
        self._place = {form: k for k, form in enumerate(forms)}
        self._covariance = np.empty((len(forms), 1 << n))
        self.prior: Floats = np.empty(len(forms))
        step = max(1, _BLOCK >> n)
        for start in range(0, len(forms), step):
            part = slice(start, start + step)
            block = np.stack([weights.of(form) for form in forms[part]])
            self._covariance[part], self.prior[part] = table.product(block * slopes)

    def covariances(self, coalitions: Floats, pairs: Pairs | None = None) -> Floats:
        """Prior covariances of indices (all, or some pairs) with values, ``float64[coalitions, indices]``."""
        found = self._covariance[:, self._table.rows(coalitions)].T
        if pairs is None:
            return found
        i, j = np.minimum(*pairs), np.maximum(*pairs)
        return found[:, [self._place[form] for form in zip(i.tolist(), j.tolist(), strict=True)]]
