"""An explanation as one self-contained HTML file: no network, opens from disk or a mail attachment.

The page says all it has to say without its script, which lights up what works with what as one points at it.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined

from chiasm.core.explanation import Explanation
from chiasm.core.storage import write_atomic
from chiasm.view import findings, wording
from chiasm.view.colours import Scale
from chiasm.view.data import page_data
from chiasm.view.details import details
from chiasm.view.numerals import count, number, percent, shorten
from chiasm.view.pairs import looks, matrices, pair_scale, table
from chiasm.view.panels import FEW, panels
from chiasm.view.shares import inside, share_bars
from chiasm.view.shell import EXPLANATION, embedded, script

#: width of every picture in the page's own units; outlines and numbers are placed in these
CANVAS = 1000


def write_html(explanation: Explanation, path: str | Path) -> Path:
    """Write a self-contained page, atomically.

    Args:
        explanation: what to show; any number of parts, with or without pairs, errors, contents and a prediction.
        path: the file to write.

    Returns:
        The path.

    Raises:
        InvalidInput: the folder does not exist.
    """
    path = Path(path)
    write_atomic(path, render(explanation).encode("utf-8", "replace"))
    return path


def render(explanation: Explanation) -> str:
    """The page as text."""
    return templates().get_template("explanation.html").render(_context(explanation))


@cache
def templates() -> Environment:
    """The templates of all pages."""
    environment = Environment(
        loader=PackageLoader("chiasm.view"),
        autoescape=True,  # labels, answers and texts are other people's
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(shorten=shorten, percent=percent, count=count, zip=zip)
    environment.filters["plain"] = lambda value: f"{value:.6g}"  # coordinates
    return environment


def _context(explanation: Explanation) -> dict[str, Any]:
    explanation, remark = findings.shown(explanation)
    scale = Scale.of(explanation.single)
    of_pairs = pair_scale(explanation)
    drawn = panels(explanation, scale)
    return {
        "canvas": CANVAS,
        "few": FEW,
        "title": wording.title(explanation),
        "other_answer": wording.other_answer(explanation),
        "alternatives": wording.alternatives(explanation),
        "others": wording.others(explanation),
        "target": explanation.provenance.target,
        "unit": wording.unit(explanation),
        "unit_in_words": wording.unit_in_words(explanation),
        "gist": findings.gist(explanation),
        "levels": wording.levels(explanation),
        "combinations": wording.combinations(explanation),
        "shares": share_bars(explanation),
        "inside": inside(explanation),
        "signed": explanation.provenance.signed,
        "remark": remark,
        "scale": scale,
        "limit": number(scale.limit, signed=False),
        "panels": drawn,
        "any_known": bool(np.isfinite(explanation.single).any()),
        "some_unknown": bool(np.isnan(explanation.single).any()),
        "has_pairs": explanation.pair is not None,
        "pair_limit": number(of_pairs.limit, signed=False),
        "pairs": table(explanation, of_pairs),
        "caution": findings.caution(explanation),
        "looks": looks(explanation, drawn, of_pairs),
        "matrices": matrices(explanation, of_pairs),
        "areas": {(a.mark.part, a.mark.index): (panel, a) for panel in drawn for a in panel.areas},
        "details": details(explanation),
        "method": explanation.provenance.method,
        "has_errors": findings.errors_shown(explanation),
        "what_if": wording.what_if(explanation),
        "script": script(*EXPLANATION),
        "data": embedded(
            page_data({explanation.provenance.method: explanation}, {explanation.provenance.method: scale})
        ),
    }
