"""Exchange of results with other libraries."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from chiasm.core.errors import MissingDependency

if TYPE_CHECKING:
    from chiasm.core.explanation import Explanation


def to_shapiq(explanation: Explanation) -> Any:
    """An explanation as shapiq's ``InteractionValues``.

    Players are numbered in the order of the parts. Order 0 holds v(∅), order 1 the single values, order 2 the pairs
    (left out where the method has none).

    Raises:
        MissingDependency: shapiq is not installed.
    """
    try:
        from shapiq import InteractionValues
    except ImportError as error:
        raise MissingDependency("shapiq", "the exchange format InteractionValues", "shapiq") from error
    n = len(explanation.players)
    values: dict[tuple[int, ...], float] = {(): explanation.empty or 0.0}
    values.update({(i,): float(explanation.single[i]) for i in range(n)})
    if explanation.pair is not None:
        values.update({(i, j): float(explanation.pair[i, j]) for i, j in itertools.combinations(range(n), 2)})
    index = explanation.provenance.index
    return InteractionValues(
        values=values,
        index={"Moebius": "Moebius"}.get(index, index),
        max_order=2 if explanation.pair is not None else 1,
        min_order=0,
        n_players=n,
        baseline_value=explanation.empty or 0.0,
        estimated=explanation.provenance.method != "exact",
        estimation_budget=explanation.provenance.computed,
    )
