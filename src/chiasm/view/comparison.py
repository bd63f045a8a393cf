"""Several methods on one prediction, side by side on one self-contained page.

One convention of colour for all of them: white is nothing, blue lowers, orange raises, and each method's strongest tint
is its own largest absolute value, which its panel names: values of different methods are of different kinds, and a
common scale would compare what cannot be compared. Methods without a sign run from white, their smallest value, to
orange, their largest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.core.storage import write_atomic
from chiasm.view import findings, wording
from chiasm.view.colours import Scale
from chiasm.view.data import page_data
from chiasm.view.details import Line, details
from chiasm.view.html import CANVAS, templates
from chiasm.view.numerals import number
from chiasm.view.pairs import PairRow, pair_scale, table
from chiasm.view.panels import FEW, Panel, panels
from chiasm.view.shell import EXPLANATION, embedded, script

#: pairs that each method's panel lists
_PAIRS = 5
#: headings of the details that are the same for all methods and stand on the page once
_COMMON = {"Explained", "Held fixed", "Model", "Fingerprint", "Made", "Versions"}


@dataclass(frozen=True)
class Column:
    """One method as it is shown.

    Attributes:
        method: its name.
        quantity: what its values are.
        signed: whether they have a sign.
        remark: how what is shown differs from the values; empty where it does not.
        limit, unit: its scale in words.
        panels: its parts.
        pairs: its strongest pairs; empty where it has none.
        has_pairs: whether it gives pairs.
        pair_limit: their scale in words.
        caution: what a reader of the pairs must know.
        details: how it was made.
    """

    method: str
    quantity: str
    signed: bool
    remark: str
    limit: str
    unit: str
    panels: list[Panel]
    pairs: list[PairRow]
    has_pairs: bool
    pair_limit: str
    caution: str | None
    details: list[Line]


#: what explanations scored: names of the columns, then a row of texts for each explanation, its name first
ScoreTable = tuple[Sequence[str], Sequence[Sequence[str]]]


def write_comparison(
    explanations: Mapping[str, Explanation],
    path: str | Path,
    scores: ScoreTable | None = None,
    notes: Sequence[str] = (),
) -> Path:
    """Write one page with a panel for each method, atomically.

    Args:
        explanations: name → explanation, all of one prediction and of the same players.
        path: the file to write.
        scores: what they scored, and perhaps others (``Scores.table()``); those of each stand under its values, all of
            them at the page's end.
        notes: what a reader of the scores must know; they stand under them.

    Returns:
        The path.

    Raises:
        InvalidInput: there is none, they explain different players, or the folder does not exist.
    """
    path = Path(path)
    write_atomic(path, render_comparison(explanations, scores, notes).encode("utf-8", "replace"))
    return path


def render_comparison(
    explanations: Mapping[str, Explanation], scores: ScoreTable | None = None, notes: Sequence[str] = ()
) -> str:
    """The page as text; see `write_comparison`."""
    if not explanations:
        raise InvalidInput("There is nothing to compare: give at least one explanation.")
    first = next(iter(explanations.values()))
    for name, explanation in explanations.items():
        if list(explanation.players) != list(first.players):
            raise InvalidInput(f"The explanation {name!r} is of other players than the first; compare like with like.")
    columns = [_column(name, explanation) for name, explanation in explanations.items()]
    drawn = {name: findings.shown(explanation)[0] for name, explanation in explanations.items()}
    context: dict[str, Any] = {
        "canvas": CANVAS,
        "few": FEW,
        "title": wording.title(first),
        "other_answer": wording.other_answer(first),
        "target": first.provenance.target,
        "unit_in_words": wording.unit_in_words(first),
        "columns": columns,
        "scores": scores,
        "notes": notes,
        "scored": {row[0]: list(zip(scores[0][1:], row[1:], strict=True)) for row in scores[1]} if scores else {},
        "panels": columns[0].panels,
        "areas": {(a.mark.part, a.mark.index): (panel, a) for panel in columns[0].panels for a in panel.areas},
        "common": [line for line in details(first) if line[0] in _COMMON or line[0].startswith("Part ")],
        "script": script(*EXPLANATION),
        "data": embedded(page_data(drawn, {name: Scale.of(one.single) for name, one in drawn.items()})),
    }
    return templates().get_template("comparison.html").render(context)


def _column(name: str, explanation: Explanation) -> Column:
    visible, remark = findings.shown(explanation)
    scale, signed = Scale.of(visible.single), explanation.provenance.signed
    pairs = table(explanation, pair_scale(explanation)) if explanation.pair is not None else []
    lines = [line for line in details(explanation) if line[0] not in _COMMON and not line[0].startswith("Part ")]
    return Column(
        method=name,
        quantity=explanation.provenance.index,
        signed=signed,
        remark=remark,
        limit=number(scale.limit, signed=False) if np.isfinite(visible.single).any() else "0",
        unit=wording.unit(explanation) if signed else "",
        panels=panels(visible, scale),
        pairs=pairs[:_PAIRS],
        has_pairs=explanation.pair is not None,
        pair_limit=number(pair_scale(explanation).limit, signed=False),
        caution=findings.caution(explanation),
        details=lines,
    )
