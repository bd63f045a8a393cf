"""How much came from each part alone and from combinations, as bars; and which pairs are inside a combination."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from chiasm.core.explanation import Explanation
from chiasm.view import findings, wording
from chiasm.view.colours import STRONGEST, Scale, tint
from chiasm.view.numerals import count

#: combinations of parts that are drawn; beyond four parts there are more than anyone reads
MOST_SHARES = 15


@dataclass(frozen=True)
class ShareRow:
    """A bar around a zero line.

    Attributes:
        label, number: what it is, and how much.
        left, width: of the bar, in percent.
        tint: its colour.
        whisker: left end and width of its interval, in percent; ``None`` where it is exact.
        error: half the interval's width in words; empty where it is exact.
    """

    label: str
    number: str
    left: float
    width: float
    tint: str
    whisker: tuple[float, float] | None = None
    error: str = ""


@dataclass(frozen=True)
class ShareBars:
    """Bars around one zero line.

    Attributes:
        rows: the bars.
        zero: where the zero line is, in percent.
        total: what they sum to, in words.
        combined: whether there are combinations.
        left_out: how many small ones are not drawn.
    """

    rows: tuple[ShareRow, ...]
    zero: float
    total: str
    combined: bool
    left_out: int = 0


def share_bars(explanation: Explanation) -> ShareBars | None:
    """The bars of what came from where; ``None`` where the method does not tell."""
    every = wording.shares(explanation)
    if not every:
        return None
    kept = sorted(every, key=lambda share: -abs(share.value))[:MOST_SHARES]
    shown = [share for share in every if share in kept]
    rows, zero, scale = _bars([(share.label, share.value, 0.0) for share in shown])
    return ShareBars(
        rows=rows,
        zero=zero,
        total=scale.number(sum(share.value for share in every)),
        combined=wording.has_combinations(explanation),
        left_out=len(every) - len(shown),
    )


def inside(explanation: Explanation) -> ShareBars | None:
    """Interactions between parts, those above zero and those below it summed apart; ``None`` where there are none.

    Pairs within two standard errors of zero are left out: of noise alone both sums would grow with the players. Errors
    of pairs are not independent, so the interval is the widest that theirs allow: two times the sum of them.
    """
    names = [name for name, part in explanation.players.parts.items() if len(part)]
    if explanation.pair is None or len(names) < 2 or not explanation.provenance.signed:
        return None
    exact = findings.is_exact(explanation)
    blocks = list(itertools.combinations(names, 2))
    values = np.concatenate([explanation.interactions[block].ravel() for block in blocks])
    errors = np.zeros_like(values)
    if not exact:
        if explanation.pair_errors is None:
            return None  # nothing tells noise from findings
        errors = np.concatenate([explanation.interaction_errors[block].ravel() for block in blocks])
    clear = np.isfinite(values) & np.isfinite(errors) & (np.abs(values) > findings.CONFIDENT * errors)
    sums = []
    for name, chosen in (("work together", clear & (values > 0)), ("give less together", clear & (values < 0))):
        label = f"{name} ({count(int(chosen.sum()), 'pair')})"
        sums.append((label, float(values[chosen].sum()), findings.CONFIDENT * float(errors[chosen].sum())))
    if not any(value for _, value, _ in sums):
        return None
    rows, zero, scale = _bars(sums)
    return ShareBars(rows=rows, zero=zero, total=scale.number(sum(value for _, value, _ in sums)), combined=True)


def _bars(found: list[tuple[str, float, float]]) -> tuple[tuple[ShareRow, ...], float, Scale]:
    """Bars of (label, value, half the interval), where their zero line is, and their scale."""
    low = min(0.0, *(value - spread for _, value, spread in found))
    high = max(0.0, *(value + spread for _, value, spread in found))
    extent = (high - low) or 1.0
    scale = Scale(max(-low, high))
    rows = tuple(
        ShareRow(
            label=label,
            number=scale.number(value),
            left=round(100 * (min(0.0, value) - low) / extent, 2),
            width=round(100 * abs(value) / extent, 2),
            tint=tint(scale.colour(value), STRONGEST),
            whisker=(round(100 * (value - spread - low) / extent, 2), round(200 * spread / extent, 2))
            if spread
            else None,
            error=scale.error(spread) if spread else "",
        )
        for label, value, spread in found
    )
    return rows, round(100 * -low / extent, 2), scale
