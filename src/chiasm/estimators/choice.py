"""Which estimator: names that carry an index, the budget where none is given, and the choice behind "auto"."""

from __future__ import annotations

from importlib.util import find_spec
from math import comb

import numpy as np

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.indices import Index
from chiasm.core.indices import index as find_index
from chiasm.estimators import estimators
from chiasm.estimators.support import MOST_ENUMERATED, check_index, family

#: smallest and largest budget that is chosen where none is given
_BUDGETS = (2048, 8192)
#: values per unknown of the regression on all pairs from which "auto" prefers it; see `choose`
_WORTH_REGRESSION = 2.5


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


def check_method(method: str, index: str | Index, budget: int | None, seed: int) -> None:
    """Refuse what cannot work, before a model is loaded or run.

    Raises:
        UnknownName: no such estimator or index.
        InvalidInput: an index that the estimator does not serve, or a budget or seed that is no whole number in range.
    """
    name, wanted = parse_method(method, index)
    if name != "auto":
        check_index(estimators.get(name), wanted)
    if budget is not None:
        whole("budget", budget, 1)
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

    All 2^n for few players, and for ``"exact"`` as far as it goes; else three for each unknown, within 2,048 … 8,192.
    """
    if method.partition("-")[0] == "exact" and n <= MOST_ENUMERATED:
        return 1 << n
    low, high = _BUDGETS
    return min(1 << min(n, 62), max(low, min(high, 3 * unknowns(n))))


def choose(n: int, index: Index, budget: int) -> tuple[str, str]:
    """The estimator behind ``method="auto"``, and why, in words.

    Exact where all 2^n values are within the budget. Otherwise, for SII, the regression of shapiq from 2.5 values for
    each unknown on, and random orders below. Measured (error² over Σ exact² of the pairs, permutation / kernelshap-iq;
    median of 3 games × 2 seeds, saturated bilinear, random network and sparse polynomial, for 13 and 16 players; 2
    sparse polynomials of order 5 for 30 and 57; the first row is 2.2 for 16 players):

    ============ ================== ================== ================== ==================
    values per   13 players         16 players         30 players         57 players
    unknown      (280 at 3)         (410 at 3)         (1,398 at 3)       (4,962 at 3)
    ============ ================== ================== ================== ==================
    2.0          2.1 2.5 .76 /      2.1 1.7 .43 /      .60 .72 /          .97 .90 /
                 2.2 3.0 .45        2.3 1.7 .22        1.8 1.8            8.4 8.4
    2.5          1.6 1.9 .43 /      2.0 1.3 .37 /      .52 .68 /          .70 .69 /
                 .83 1.2 .15        .92 1.1 .16        .52 .59            .92 1.1
    3.0          1.1 1.7 .30 /      1.7 1.1 .35 /      .43 .43 /          .57 .51 /
                 .43 .66 .10        .43 .60 .09        .28 .25            .50 .62
    ============ ================== ================== ================== ==================

    Near one value for each unknown the regression's pairs are off by factors of hundreds. Its single values are
    better than those of random orders at every budget, by 2 to 30 times. It has no standard errors.
    """
    if n <= MOST_ENUMERATED and 2**n <= budget:
        return "exact", f"all 2^{n} = {2**n:,} values are within the budget"
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
        return "permutation", "shapiq is not installed (pip install 'chiasm[shapiq]'); its regression would be closer"
    return "kernelshap-iq", (
        f"at {budget:,} values for {unknowns(n):,} single and pair values the regression is the closest; "
        f"it has no standard errors ('permutation' has)"
    )
