"""Which estimator: names that carry an index, the budget where none is given, and the choice behind "auto"."""

from __future__ import annotations

from importlib.util import find_spec
from math import comb

import numpy as np

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.game import Costs, Game
from chiasm.core.indices import Index
from chiasm.core.indices import index as find_index
from chiasm.estimators import estimators
from chiasm.estimators.limits import Budget, Tolerance, values_within
from chiasm.estimators.spending import grid_budget
from chiasm.estimators.support import MOST_ENUMERATED, MOST_VALUES, check_index, family

#: smallest and largest budget that is chosen where none is given
_BUDGETS = (2048, 8192)
#: most players for which the Gaussian process was shown to be the closest
_MOST_GP = 64
#: values per unknown of the regression on all pairs from which "auto" prefers it; see `choose`
_WORTH_REGRESSION = 2.5

#: values that ``gp`` can take in a second, which grows with the cubic root of the time (``benchmarks/estimators.py``)
_GP_VALUES_IN_A_SECOND = 800.0
#: values of a game whose cells are nearly free, where the user names no number: some 64 masks of each part
_GRID = 4096
#: cells are nearly free below this share of what encoding the parts costs
_FREE = 0.01


def unknowns(n: int) -> int:
    """Unknowns of a regression on single players and all pairs: 1 + n + n(n−1)/2."""
    return 1 + n + comb(n, 2)


def parse_method(method: str, index: str | Index) -> tuple[str, Index]:
    """Estimator and index that a method's name and an index ask for together.

    ``"permutation"`` leaves the index to the other argument; ``"permutation-bii"`` and ``"exact-wbii:0.3"`` carry it.
    ``"auto"`` takes a suffix too. SII, the default everywhere, gives way to a suffix; any other index must agree.

    Raises:
        UnknownName: no such estimator or index.
        InvalidInput: name and argument ask for different indices.
    """
    wanted = find_index(index)
    if method == "auto" or method in estimators:
        return method, wanted
    head, dash, tail = method.rpartition("-")
    if not dash or (head != "auto" and head not in estimators):
        raise UnknownName("estimator", method, ["auto", *estimators])
    carried = find_index(tail)
    if wanted.name not in ("SII", carried.name):
        raise InvalidInput(
            f"The method {method!r} asks for {carried.name} and index={wanted.name!r} for another index; give one."
        )
    return head, carried


def check_method(
    method: str,
    index: str | Index,
    budget: int | str | Budget | None,
    seed: int,
    tolerance: float | str | Tolerance | None = None,
) -> None:
    """Refuse what cannot work, before a model is loaded or run.

    Raises:
        UnknownName: no such estimator or index.
        InvalidInput: an index that the estimator does not serve, or a budget, seed or tolerance that is none.
    """
    name, wanted = parse_method(method, index)
    if name != "auto":
        check_index(estimators.get(name), wanted)
    if budget is not None:
        Budget.parse(budget)
    if tolerance is not None:
        Tolerance.parse(tolerance)
    whole("seed", seed, 0)


def whole(name: str, value: int, least: int) -> int:
    """A whole number of at least ``least``, below 2^31 as seeds of other libraries must be.

    Raises:
        InvalidInput: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not least <= value < 2**31:
        raise InvalidInput(f"The {name} is {value!r}; give a whole number from {least} to 2^31 − 1.")
    return int(value)


def default_budget(n: int, method: str = "auto") -> int:
    """Distinct values where the user names no number.

    All 2^n for few players, and for ``"exact"`` as far as it goes. For ``"auto"`` and ``"gp"`` 1,024 to 30 players and
    2,048 to 64; else three for each unknown of a regression, within 2,048 … 8,192.
    """
    name = method.partition("-")[0]
    if name == "exact" and n <= MOST_ENUMERATED:
        return 1 << n
    if name in ("auto", "gp") and n <= _MOST_GP:
        return min(1 << n, 1024 if n <= 30 else 2048)
    low, high = _BUDGETS
    return min(1 << min(n, 62), max(low, min(high, 3 * unknowns(n))))


def budget_for(game: Game, method: str) -> int:
    """`default_budget`, and more where values are nearly free once the parts are encoded."""
    usual = default_budget(game.n, method)
    if method.partition("-")[0] in ("auto", "crossed") and nearly_free(game.costs):
        return max(usual, min(_GRID, 1 << min(game.n, 30)))
    return usual


def allowed_values(game: Game, method: str, limit: Budget | None, seed: int) -> int:
    """A budget in any unit as distinct values of a game.

    A time is turned into values by trying some, of which the game then knows the values; what ``gp`` itself needs is
    foreseen. A number of passes buys one value each (less what they share), or, of a game whose cells are nearly free,
    the largest grid of masks that it pays for.

    Args:
        game: the game.
        method: estimator or ``"auto"``.
        limit: the budget, or ``None`` for what suits the number of players.
        seed: of the values that are tried.

    Returns:
        Values that may be computed, beside those that were tried.
    """
    if limit is None:
        return budget_for(game, method)
    if limit.values is not None:
        return limit.values
    if limit.passes is not None:
        return _values_for(limit.passes, game, method)
    seconds = limit.seconds or 0.0
    found = values_within(game, seconds, seed)
    if method in ("auto", "gp") and game.n > np.log2(found):
        found = min(found, max(_GP_VALUES_IN_A_SECOND * seconds ** (1 / 3), enough_for_gp(game.n)), MOST_VALUES)
    return max(1, min(int(found), int(2 ** min(game.n, 30))))


def _values_for(passes: float, game: Game, method: str) -> int:
    """Values that passes of the model pay for."""
    if method == "crossed" or (method == "auto" and nearly_free(game.costs)):
        return max(1, grid_budget(passes, game.players, game.costs))
    return max(1, int(passes))


def nearly_free(costs: Costs) -> bool:
    """Whether a value costs next to nothing once the parts are encoded, as in a dual encoder."""
    return len(costs.encode) > 1 and costs.cell < _FREE * sum(costs.encode.values())


def enough_for_gp(n: int) -> int:
    """Values below which the Gaussian process has too few residuals to judge its own errors."""
    return max(200, 4 * n)


def choose(n: int, index: Index, budget: int, costs: Costs | None = None) -> tuple[str, str]:
    """The estimator behind ``method="auto"``, and why, in words.

    Exact where all 2^n values are within the budget; the Gaussian process to 64 players, where it was the closest on
    the games of ``python benchmarks/estimators.py`` and has standard errors; beyond that, for
    SII, shapiq's regression from 2.5 values for each unknown on, and random orders below. Near one value for each
    unknown the regression's pairs are off by factors of hundreds, and it has no standard errors.
    """
    if n <= MOST_ENUMERATED and 2**n <= budget:
        return "exact", f"all 2^{n} = {2**n:,} values are within the budget"
    if costs is not None and nearly_free(costs):
        return "crossed", f"2^{n} values are beyond the budget, and a value is nearly free once its parts are encoded"
    if n <= _MOST_GP and enough_for_gp(n) <= budget <= MOST_VALUES:
        return "gp", f"2^{n} values are beyond the budget, and it is the closest for up to {_MOST_GP} players"
    return _beyond_gp(n, index, budget)


def _beyond_gp(n: int, index: Index, budget: int) -> tuple[str, str]:
    """The choice where neither enumeration nor the Gaussian process serves."""
    if family(index) == "FSII":
        return "kernelshap-iq", "FSII of single players is defined by a regression"
    if family(index) != "SII":
        return "permutation", f"2^{n} values are beyond the budget and random orders estimate {index.name} unbiased"
    if budget < _WORTH_REGRESSION * unknowns(n):
        return "permutation", (
            f"{budget:,} values are too few for a regression on {unknowns(n):,} single and pair values; "
            f"random orders are unbiased and tell their errors"
        )
    if find_spec("shapiq") is None:
        return "permutation", "shapiq is not installed (pip install shapiq); its regression would be closer"
    return "kernelshap-iq", (
        f"at {budget:,} values for {unknowns(n):,} single and pair values the regression is closer; "
        f"it has no standard errors ('permutation' has)"
    )
