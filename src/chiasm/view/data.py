"""The numbers of an explanation for the script of its page."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation
from chiasm.view import findings
from chiasm.view.colours import Scale
from chiasm.view.pairs import pair_scale

#: significant digits of the numbers given to the script; what is written on the page has three at most
DIGITS = 4
#: interactions smaller than this share of the largest are what sums of floating-point numbers leave of a zero
NOTHING = 1e-12


def page_data(explanations: dict[str, Explanation], scales: dict[str, Scale]) -> dict[str, Any]:
    """What the script needs to light up partners.

    Args:
        explanations: method → explanation as drawn, all of the same players.
        scales: method → scale of its single values.

    Returns:
        ``labels``: part → label of each player. ``methods``: for each, ``quantity`` (values of one may share a scale),
        ``limit`` and ``pairLimit`` (the strongest tints), ``single`` and ``errors`` by part, and ``pairs``: for each
        two parts ``first``, ``second``, ``values`` and ``errors`` row by row (``None`` for what the method lacks).
    """
    first = next(iter(explanations.values()))
    return {
        "labels": {name: list(part.labels) for name, part in first.players.parts.items()},
        "methods": {name: _method(explanation, scales[name]) for name, explanation in explanations.items()},
    }


def _method(explanation: Explanation, scale: Scale) -> dict[str, Any]:
    errors = explanation.standard_errors if findings.errors_shown(explanation) else None
    names = [name for name, part in explanation.players.parts.items() if len(part)]
    blocks = list(itertools.combinations(names, 2)) or [(names[0], names[0])]
    return {
        "quantity": f"{explanation.provenance.index} {explanation.provenance.target}",
        "limit": _short(scale.limit),
        "pairLimit": _short(pair_scale(explanation).limit),
        "single": {name: _row(values) for name, values in explanation.values.items()},
        "errors": None if errors is None else {name: _row(values) for name, values in errors.items()},
        "pairs": [] if explanation.pair is None else [_block(explanation, block) for block in blocks],
    }


def _block(explanation: Explanation, parts: tuple[str, str]) -> dict[str, Any]:
    values = explanation.interactions[parts]
    values = np.where(np.abs(values) <= NOTHING * pair_scale(explanation).limit, 0.0, values)
    if parts[0] == parts[1]:
        np.fill_diagonal(values, np.nan)
    known = explanation.pair_errors is not None and not findings.is_exact(explanation)
    errors = explanation.interaction_errors[parts] if known else None
    return {
        "first": parts[0],
        "second": parts[1],
        "values": [_row(row) for row in values],
        "errors": None if errors is None else [_row(row) for row in errors],
    }


def _row(values: NDArray[np.float64]) -> list[float | None]:
    return [_short(value) for value in values.tolist()]


def _short(value: float) -> float | None:
    if not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")
