"""Estimators of the library shapiq (1.4 and later), as peers: its sampling and its formulas, Chiasm's cache and budget.

What shapiq's numbers mean here, checked against enumeration in the tests:

* order 1 of SII is the Shapley value, of STII v(i) − v(∅), of BII the Banzhaf value, of FSII (regression and ProxySPEX)
  the Faith-Shap value of maximal order 2: the same as `chiasm.core.indices`. SVARM-IQ gives FSII for pairs only, so
  FSII is not offered there.
* shapiq centres the game at v(∅) and reports it as order 0; orders 1 and 2 do not depend on it.
* The regressions hold v(∅) and v(N) by a weight of 1e8, not exactly: at full budget they agree with the exact values to
  about 1e-7 of the values' range.
* order 1 of FBII (regression) is v̂(i) − v̂(∅) of its fit; with half the sum of the player's pairs it is the Banzhaf
  value, so that the regression serves BII.
* ``k-SII`` is another quantity and is not offered. ProxySHAP (shapiq 1.5 and later) serves SII; its FSII of single
  players is not the Faith-Shap value (shapiq 1.8 at full budget).
* Left out: InconsistentKernelSHAPIQ, which does not reach SII at full budget either, and SPEX, whose decoding took 15
  to 70 s at 12 players and left 40 % of the pairs' squares at 1,000 values.

None of them has standard errors. shapiq is imported at the first use (about 2 s).
"""

from __future__ import annotations

import importlib
import importlib.metadata
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import BudgetTooSmall, InvalidInput, MissingDependency
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.base import Estimate
from chiasm.estimators.support import MOST_ENUMERATED, check_index, ends, family, missing, new_among

#: ProxySPEX grows trees with leaves of at least 20 coalitions; on fewer than two leaves' worth shapiq fails
_LEAST_FOR_TREES = 64


@dataclass
class ShapiqEstimator:
    """One approximator of shapiq.

    Attributes:
        name: as in the registry.
        indices: what it estimates for single players AND pairs in our sense.
        make: (module ``shapiq.approximator``, n, index, seed) → approximator.
        least: (n, index) → distinct values that one estimate needs, the two ends included.
        spend: (n, index, distinct values allowed) → the budget to give to shapiq, by its own way of counting.
        options: further arguments of ``approximate``.
        needs: packages beside shapiq.
        least_players: with fewer, shapiq's formulas divide by sizes that do not exist (or 2^n is below ``least``).
        since: where not every supported shapiq has it, (name in ``shapiq.approximator``, first version that does, the
            Python that this version needs).
    """

    name: str
    indices: tuple[str, ...]
    make: Callable[[Any, int, str, int], Any]
    least: Callable[[int, str], int]
    spend: Callable[[int, str, int], int]
    options: tuple[tuple[str, Any], ...] = ()
    needs: tuple[str, ...] = ()
    least_players: int = 3
    since: tuple[str, str, str] | None = None

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield once: shapiq asks for all its values in one go (the game still works through them in batches).

        Raises:
            InvalidInput: an index it does not serve, or too few players for its formulas.
            BudgetTooSmall: fewer values than one estimate needs.
            MissingDependency: shapiq (or lightgbm, xgboost) is not installed, or a shapiq without this approximator.
        """
        check_index(self, index)
        n, which = game.n, family(index)
        if n < self.least_players:
            raise InvalidInput(f"{self.name!r} needs {self.least_players} or more players; {n} are few: use 'exact'.")
        allowed = _allowed(game, budget)
        least = self.least(n, which)
        if allowed < min(least, 2**n):
            raise BudgetTooSmall(
                f"{self.name!r} needs at least {least} values of the game for {index.name} of {n} players; "
                f"the budget (with v(∅) and v(N) where they are known) allows {allowed}."
            )
        approximator = self.make(self._import(), n, which, seed)
        return self._run(approximator, game, self.spend(n, which, allowed), which)

    def _import(self) -> Any:
        purpose = f"the estimator {self.name!r}"
        try:
            importlib.import_module("shapiq")
        except ImportError as error:
            raise MissingDependency("shapiq", purpose, "shapiq") from error
        approximators = importlib.import_module("shapiq.approximator")
        if self.since is not None and not hasattr(approximators, self.since[0]):
            _, version, python = self.since
            has = importlib.metadata.version("shapiq")
            why = f"{purpose} (shapiq {has} is there and has none; {version} needs Python {python} or newer)"
            raise MissingDependency(f"'shapiq>={version}'", why)
        for package in self.needs:
            try:
                importlib.import_module(package)
            except ImportError as error:
                raise MissingDependency(package, purpose, "shapiq" if package == "lightgbm" else None) from error
        return approximators

    def _run(self, approximator: Any, game: Game, spend: int, which: str) -> Iterator[Estimate]:
        seen: list[NDArray[np.float64]] = []

        def ask(coalitions: NDArray[Any]) -> NDArray[np.float64]:
            seen.append(game(coalitions))
            return seen[-1].copy()  # ProxySHAP subtracts v(∅) in place

        with warnings.catch_warnings():
            # notes on its sampling near 2^n values and on feature names of its trees: nothing a user could act on
            warnings.filterwarnings("ignore", module=r"shapiq|sklearn|lightgbm")
            try:
                found = approximator.approximate(spend, ask, **dict(self.options)).dict_values
            except IndexError as error:  # shapiq 1.4 on trees without a single split
                if "lightgbm" not in self.needs:
                    raise
                if np.ptp(np.concatenate(seen)):
                    raise BudgetTooSmall(
                        f"The trees of {self.name!r} found nothing to split in {spend} values; raise the budget."
                    ) from error
                found = {}  # a constant game: every index of it is 0
        estimate = _read(found, game.n)
        faithful = which == "BII" and getattr(approximator, "index", "") == "FBII"
        yield Estimate(estimate.single + estimate.pair.sum(1) / 2, estimate.pair) if faithful else estimate


def _allowed(game: Game, budget: int) -> int:
    """Distinct coalitions that shapiq may ask for: the budget, and what is remembered and surely asked for."""
    n = game.n
    if n <= MOST_ENUMERATED and 2**n <= budget + game.counts.computed and missing(game) <= budget:
        return 1 << n
    known = 2 - new_among(game, ends(n))
    return min(budget + known, 1 << n)


def _read(values: dict[tuple[int, ...], float], n: int) -> Estimate:
    """Sparse values of shapiq as arrays; an interaction that it leaves out is 0."""
    single: NDArray[np.float64] = np.zeros(n)
    pair: NDArray[np.float64] = np.zeros((n, n))
    for players, value in values.items():
        if len(players) == 1:
            single[players[0]] = value
        elif len(players) == 2:
            i, j = players
            pair[i, j] = pair[j, i] = value
    return Estimate(single, pair)


def _as_is(n: int, index: str, allowed: int) -> int:
    """The same number: it counts distinct coalitions as we do."""
    del n, index
    return allowed


def _unknowns(n: int, index: str) -> int:
    """A regression on all pairs has 1 + n + n(n−1)/2 unknowns."""
    del index
    return 1 + n + comb(n, 2)


def _round(n: int, index: str) -> tuple[int, int, int, int]:
    """Costs of shapiq's permutation sampling: (fixed, each order) as distinct values, then the same as it counts.

    It counts every request and asks for the same coalition up to four times; were its own count the budget, it would
    use a third of it (SII) or a quarter (STII).
    """
    if index == "STII":
        return n + 2, comb(n, 2) + n, n + 2, 4 * comb(n, 2)
    return 2, 2 * (n - 1), 1, 2 * n + 4 * (n - 1)


def _least_orders(n: int, index: str) -> int:
    fixed, each, _, _ = _round(n, index)
    return fixed + each


def _spend_orders(n: int, index: str, allowed: int) -> int:
    fixed, each, fixed_counted, each_counted = _round(n, index)
    orders = max(1, (allowed - fixed) // each)
    return fixed_counted + orders * each_counted


def _make_regression(shapiq: Any, n: int, index: str, seed: int) -> Any:
    if index == "FSII":
        return shapiq.RegressionFSII(n, 2, pairing_trick=True, random_state=seed)
    if index == "BII":
        return shapiq.RegressionFBII(n, 2, pairing_trick=True, random_state=seed)
    return shapiq.KernelSHAPIQ(n, 2, index, pairing_trick=True, random_state=seed)


def _make_svarm(shapiq: Any, n: int, index: str, seed: int) -> Any:
    return shapiq.SVARMIQ(n, 2, index, pairing_trick=True, random_state=seed)


def _make_shapiq(shapiq: Any, n: int, index: str, seed: int) -> Any:
    return shapiq.SHAPIQ(n, 2, index, pairing_trick=True, random_state=seed)


def _make_permutation(shapiq: Any, n: int, index: str, seed: int) -> Any:
    if index == "STII":
        return shapiq.PermutationSamplingSTII(n, 2, random_state=seed)
    return shapiq.PermutationSamplingSII(n, 2, index, random_state=seed)


def _make_proxyspex(shapiq: Any, n: int, index: str, seed: int) -> Any:
    return shapiq.ProxySPEX(n=n, index=index, max_order=2, random_state=seed)


def _make_proxyshap(shapiq: Any, n: int, index: str, seed: int) -> Any:
    # as it ships: how it adjusts for the trees' residuals has changed between its versions
    return shapiq.ProxySHAP(n=n, max_order=2, index=index, random_state=seed)


#: weighted regression: SII (KernelSHAP-IQ, Fumagalli et al. 2024), FSII and BII (Tsai et al. 2023)
KERNELSHAP_IQ = ShapiqEstimator("kernelshap-iq", ("SII", "FSII", "BII"), _make_regression, _unknowns, _as_is)
#: one weighted mean over all coalitions for each value, without strata (SHAP-IQ, Fumagalli et al. 2023)
SHAPIQ = ShapiqEstimator("shap-iq", ("SII", "BII", "STII"), _make_shapiq, lambda n, _: 2 * n + 2, _as_is)
#: stratified sampling (Kolpaczki et al. 2024)
SVARM_IQ = ShapiqEstimator("svarm-iq", ("SII", "BII", "STII"), _make_svarm, lambda n, _: 2 * n + 2, _as_is)
#: permutation sampling (Tsai et al. 2023; Sundararajan et al. 2020)
PERMUTATION_SHAPIQ = ShapiqEstimator(
    "permutation-shapiq", ("SII", "STII"), _make_permutation, _least_orders, _spend_orders, (("batch_size", 1),)
)
#: boosted trees and their sparse Fourier transform (Butler et al. 2025)
PROXYSPEX = ShapiqEstimator(
    "proxyspex",
    ("SII", "STII", "FSII"),
    _make_proxyspex,
    lambda _n, _index: _LEAST_FOR_TREES,
    _as_is,
    needs=("lightgbm",),
    least_players=6,
)
#: boosted trees, their exact interactions and a correction for their residuals
PROXYSHAP = ShapiqEstimator(
    "proxyshap",
    ("SII",),
    _make_proxyshap,
    lambda _n, _index: _LEAST_FOR_TREES,
    _as_is,
    needs=("xgboost",),
    least_players=6,
    since=("ProxySHAP", "1.5", "3.12"),
)
