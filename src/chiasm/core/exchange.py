"""Exchange of results with other libraries."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from chiasm.core.errors import InvalidInput, MissingDependency

if TYPE_CHECKING:
    from chiasm.core.explanation import Explanation

_SHARED = ("SII", "BII", "STII", "FSII", "Moebius")


def to_shapiq(explanation: Explanation) -> Any:
    """An explanation as shapiq's ``InteractionValues``.

    Players are numbered in the order of the parts. Order 0 holds v(∅), order 1 the single values, order 2 the pairs
    (left out where the method has none, and single pairs where it knows nothing of them).

    Raises:
        MissingDependency: shapiq is not installed.
        InvalidInput: shapiq has no such index, or v(∅) is not known.
    """
    index = explanation.provenance.index
    if index not in _SHARED:
        raise InvalidInput(f"shapiq has no index {index!r}; it shares {', '.join(_SHARED)} with Chiasm.")
    if explanation.empty is None:
        raise InvalidInput("The value of the empty coalition is not known, and shapiq's format needs it.")
    try:
        from shapiq import InteractionValues
    except ImportError as error:
        raise MissingDependency("shapiq", "the exchange format InteractionValues", "shapiq") from error
    n = len(explanation.players)
    values: dict[tuple[int, ...], float] = {(): explanation.empty}
    values.update({(i,): float(explanation.single[i]) for i in range(n)})
    if explanation.pair is not None:
        pair = explanation.pair
        known = [(i, j) for i, j in itertools.combinations(range(n), 2) if not np.isnan(pair[i, j])]
        values.update({(i, j): float(pair[i, j]) for i, j in known})
    return InteractionValues(
        values=values,
        index=index,
        max_order=2 if explanation.pair is not None else 1,
        min_order=0,
        n_players=n,
        baseline_value=explanation.empty,
        estimated=explanation.provenance.method != "exact",
        estimation_budget=explanation.provenance.computed,
    )
