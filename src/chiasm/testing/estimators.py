"""Does an estimator keep its protocol, and are its numbers and errors true?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, keys
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import Index, uniform
from chiasm.core.indices import index as find_index
from chiasm.core.players import Players
from chiasm.estimators.base import Estimate, Estimator
from chiasm.testing.errors import ConformanceError
from chiasm.testing.games import KnownGame, bilinear_sigmoid, sparse_polynomial

Floats = NDArray[np.float64]

#: players of the games that are used
_FEW, _MORE = 6, 8
#: games, players and budgets at which errors are compared with the truth: all values, and few samples of each quantity
_CALIBRATED: tuple[tuple[Callable[[int, int], KnownGame], int, int], ...] = (
    (bilinear_sigmoid, _MORE, 2**_MORE),
    (bilinear_sigmoid, 12, 250),
    (sparse_polynomial, 12, 250),
)
#: an estimate at the largest budget must leave less than this share of the exact values' squares unexplained
_WORST = 0.5
#: estimates that count as exact differ by less than this from values of size 1
_EXACT = 1e-5
#: shares of |z| < 2 and medians of |z| (0.95 and 0.67 for a normal z) between which errors count as calibrated
_COVERAGE, _MEDIAN = (0.85, 1.0), (0.3, 1.1)


def check_estimator(
    estimator: Estimator, *, seed: int = 0, indices: Sequence[str] | None = None, repeats: int = 3
) -> None:
    """Run an estimator through everything that Chiasm's own estimators must pass.

    Checked, by the name in the error: ``unknown index refused``, ``small budget refused``, ``yields``, ``shapes``,
    ``finite``, ``symmetric``, ``zero diagonal``, ``errors``, ``budget``, ``same seed``, ``zero error`` (an estimate
    that claims no error anywhere is exact), ``converges``, ``calibrated`` (at plenty and at scarce budgets; an error of
    0 on a value that is wrong counts as infinitely far off).

    Args:
        estimator: what to check.
        seed: of games and runs.
        indices: which indices to try, by default all that the estimator lists (``"WBII"`` with p = 0.3).
        repeats: runs over which errors are averaged; calibration takes ten times as many.

    Raises:
        ConformanceError: the first property that does not hold, with what was seen.
    """
    check = _Check(estimator, seed, repeats)
    check.unknown_index_refused()
    for name in indices if indices is not None else estimator.indices:
        index = find_index("WBII:0.3" if name == "WBII" else name)
        check.small_budget_refused(index)
        check.form(index)
        check.converges(index)
        check.calibrated(index)


class _Counted:
    """A known game that counts the distinct coalitions it was asked for."""

    def __init__(self, known: KnownGame) -> None:
        """Start at none."""
        self.known, self.seen = known, set[bytes]()
        half = known.n // 2
        self.game = Game(self._values, Players.abstract({"a": half, "b": known.n - half}), batch_size=32)

    def _values(self, coalitions: Coalitions) -> Floats:
        self.seen.update(keys(coalitions))
        return self.known.values(coalitions)


@dataclass
class _Check:
    estimator: Estimator
    seed: int
    repeats: int

    def fail(self, name: str, detail: str) -> ConformanceError:
        """The error for a property that does not hold."""
        return ConformanceError(f"Estimator {self.estimator.name!r}", name, detail)

    def run(self, known: KnownGame, index: Index, budget: int, seed: int) -> Estimate:
        """The last estimate, with the budget checked."""
        counted = _Counted(known)
        last = None
        for last in self.estimator.run(counted.game, index, budget, seed):  # noqa: B007 - only the last one counts
            pass
        if last is None:
            raise self.fail("yields", f"no estimate of {index.name} at a budget of {budget}")
        if len(counted.seen) > budget:
            raise self.fail("budget", f"{len(counted.seen)} distinct values were computed; {budget} were allowed")
        return last

    def unknown_index_refused(self) -> None:
        """An index that does not exist raises InvalidInput."""
        index = Index("NOSUCH", uniform, uniform, "an index that no estimator knows")
        try:
            self.run(sparse_polynomial(_FEW, self.seed), index, 2**_FEW, self.seed)
        except InvalidInput:
            return
        raise self.fail("unknown index refused", f"an index named {index.name!r} did not raise InvalidInput")

    def small_budget_refused(self, index: Index) -> None:
        """A budget of 1 raises BudgetTooSmall."""
        try:
            self.run(sparse_polynomial(_FEW, self.seed), index, 1, self.seed)
        except BudgetTooSmall:
            return
        raise self.fail("small budget refused", f"a budget of 1 for {index.name} did not raise BudgetTooSmall")

    def form(self, index: Index) -> None:
        """Shapes, symmetry, NaN and errors of every estimate; the same numbers for the same seed."""
        known, budget = bilinear_sigmoid(_FEW, self.seed), 2**_FEW
        for found in self.estimator.run(_Counted(known).game, index, budget, self.seed):
            self._form_of(found, _FEW)
        first, second = (self.run(known, index, budget, self.seed) for _ in range(2))
        for name, array in _arrays(first):
            if not np.array_equal(array, dict(_arrays(second))[name], equal_nan=True):
                raise self.fail("same seed", f"{name} of {index.name} differ between two runs with seed {self.seed}")
        claimed = dict(_arrays(first))
        if all(not claimed.get(name, np.ones(1)).any() for name in ("single_errors", "pair_errors")):
            single, pair = known.exact(index.name)
            off = max(np.abs(first.single - single).max(), np.abs(first.pair - pair).max())
            if not off <= _EXACT:
                raise self.fail("zero error", f"{index.name} claims to be exact and is off by {off:.2g}")

    def _form_of(self, found: Estimate, n: int) -> None:
        for name, array in _arrays(found):
            shape = (n,) if name.startswith("single") else (n, n)
            if array.shape != shape:
                raise self.fail("shapes", f"{name} has shape {array.shape}; {n} players need {shape}")
            if name.startswith("pair") and not np.array_equal(array, array.T, equal_nan=True):
                raise self.fail("symmetric", f"{name} is not a symmetric matrix")
            if name.startswith("pair") and np.diagonal(array).any():
                raise self.fail("zero diagonal", f"{name} has {np.diagonal(array)} on its diagonal")
            if np.isinf(array).any() or (name == "single" and np.isnan(array).any()):
                raise self.fail("finite", f"{name} holds infinite values or NaN: {array}")
            if name.endswith("errors") and (array < 0).any():
                raise self.fail("errors", f"{name} holds negative standard errors: {array.min()}")

    def converges(self, index: Index) -> None:
        """More values bring the estimate closer to the exact values."""
        errors: dict[int, float] = {}
        for budget in (2**_MORE // 4, 2**_MORE // 2, 2**_MORE):
            try:
                errors[budget] = float(np.mean([self._error(index, budget, r) for r in range(self.repeats)]))
            except BudgetTooSmall:
                continue
        if 2**_MORE not in errors:
            raise self.fail("converges", f"refuses {2**_MORE} values for {_MORE} players, which are all there are")
        last, seen = errors[2**_MORE], {budget: f"{error:.2g}" for budget, error in errors.items()}
        if not last < _WORST or last > max(_EXACT, 0.75 * max(errors.values()) if len(errors) > 1 else _WORST):
            raise self.fail("converges", f"relative squared error of {index.name} by budget: {seen}")

    def _error(self, index: Index, budget: int, repeat: int) -> float:
        """Squared error of single and pair values over the sum of their squares; a NaN counts as 0."""
        known = sparse_polynomial(_MORE, self.seed + repeat)
        found = self.run(known, index, budget, self.seed + repeat)
        single, pair = known.exact(index.name)
        got = np.concatenate([found.single, np.nan_to_num(found.pair).ravel()])
        wanted = np.concatenate([single, pair.ravel()])
        return float(((got - wanted) ** 2).sum() / (wanted**2).sum())

    def calibrated(self, index: Index) -> None:
        """Standard errors, where there are any, are of the size of the real errors, at plenty and at scarce budgets."""
        for make, n, budget in _CALIBRATED:
            scores: dict[str, list[Floats]] = {"single": [], "pair": []}
            for repeat in range(10 * self.repeats):
                known = make(n, self.seed + repeat)
                try:
                    found = self.run(known, index, budget, self.seed + repeat)
                except BudgetTooSmall:
                    break
                for name, z in self._scores(found, *known.exact(index.name)):
                    scores[name].append(z)
                if not any(len(z) for found_z in scores.values() for z in found_z):
                    break  # no errors, or none but zeros
            for name, lists in scores.items():
                what = f"{name} values of {index.name} ({n} players, {budget} values)"
                # at a scarce budget errors of one size serve values that are known well or are 0: a low median is right
                self._calibrated(what, lists, _MEDIAN[0] if budget == 2**n else 0.0)

    def _calibrated(self, what: str, scores: list[Floats], least: float) -> None:
        z = np.abs(np.concatenate([*scores, np.zeros(0)]))
        if not len(z):
            return
        within, median = float((z < 2).mean()), float(np.median(z))
        if not (_COVERAGE[0] <= within <= _COVERAGE[1] and least <= median <= _MEDIAN[1]):
            raise self.fail(
                "calibrated",
                f"{what}: {within:.0%} lie within 2 standard errors of the truth and the median |z| is {median:.2f}; "
                f"expected {_COVERAGE[0]:.0%} or more and {least} to {_MEDIAN[1]}",
            )

    @staticmethod
    def _scores(found: Estimate, single: Floats, pair: Floats) -> Iterator[tuple[str, Floats]]:
        """Distances from the truth in standard errors; infinite where a wrong value has the error 0."""
        above = np.triu_indices(len(single), 1)
        for name, off, errors in (
            ("single", found.single - single, found.single_errors),
            ("pair", (found.pair - pair)[above], None if found.pair_errors is None else found.pair_errors[above]),
        ):
            if errors is not None:
                told = (errors > _EXACT) | ((errors >= 0) & (np.abs(off) > _EXACT))
                with np.errstate(divide="ignore"):
                    yield name, off[told] / errors[told]


def _arrays(found: Estimate) -> Iterator[tuple[str, Floats]]:
    """The arrays of an estimate that are there, by name."""
    for name in ("single", "pair", "single_errors", "pair_errors"):
        if (array := getattr(found, name)) is not None:
            yield name, array
