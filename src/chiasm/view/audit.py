"""The report of an audit as one self-contained page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from chiasm.core.storage import write_atomic
from chiasm.view.colours import Scale
from chiasm.view.html import templates

#: figures of one kind stand together under a heading: begin or end of a name → heading
GROUPS: Final = {
    "accuracy": "Right answers",
    "_reliance": "Answers that change without a part",
    "_prior": "Answers that one part alone gives",
    "_share": "What the parts give",
    "intershap": "What only the parts together give",
    "_interplay": "What only the parts together give",
    "cooperation": "What only the parts together give",
    "emap": "What only the parts together give",
    "_bends_": "Who bends whose explanation",
    "synerg": "Pairs of units",
    "suppression": "Pairs of units",
    "_shap": "Pairs of units",
    "_synergy_of_": "Sorts of units that carry synergy",
}
#: corrected p-values below which a difference stands out
SURE: Final = 0.05
OTHER: Final = "What is known of the answer, in bits"


def write_audit(data: Mapping[str, Any], path: str | Path) -> Path:
    """Write the page of an audit, atomically.

    Args:
        data: from `chiasm.audits.report.as_data`.
        path: the file to write.

    Returns:
        The path.

    Raises:
        InvalidInput: the folder does not exist.
    """
    page = (
        templates()
        .get_template("audit.html")
        .render(
            title=f"Audit of {' against '.join(data['models'])}",
            audit=data,
            groups=_groups(data["figures"]),
            strata=_strata(data["strata"]),
            maps=[_map(one) for one in data["maps"]],
        )
    )
    path = Path(path)
    write_atomic(path, page.encode("utf-8", "replace"))
    return path


def _map(one: Mapping[str, Any]) -> dict[str, Any]:
    """A map as rows of texts and tints."""
    limit = max((abs(value) for row in one["values"] for value in row if value is not None), default=0.0)
    scale = Scale(limit or 1.0)
    rows = [
        (name, [("", "transparent") if v is None else (scale.number(v), scale.tint(v)) for v in values])
        for name, values in zip(one["rows"], one["values"], strict=True)
    ]
    return {"parts": one["parts"], "columns": one["columns"], "rows": rows}


def _heading(name: str) -> str:
    if "_synergy_of_" in name:
        return GROUPS["_synergy_of_"]
    if name.endswith(("pid_synergy", "redundancy")) or "unique_" in name:
        return OTHER
    if name.startswith("right_by_"):
        return "What goes with right answers"
    return next((heading for piece, heading in GROUPS.items() if piece in name), OTHER)


def _groups(figures: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for figure in figures:
        found.setdefault(_heading(figure["name"]), []).append({**figure, **_bar(figure)})
    return list(found.items())


def _bar(figure: Mapping[str, Any]) -> dict[str, float]:
    """Where a figure and its interval lie on a bar from 0 (or −1, for what may be negative) to its largest, percent."""
    if figure["value"] is None or figure["low"] is None:
        return {}
    share = figure["unit"] in {"share", "difference of shares"}
    top = 1.0 if share else max(abs(figure["low"]), abs(figure["high"]), 1e-12)
    start = -top if figure["low"] < 0 else 0.0

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - start) / (top - start))), 2)

    return {
        "zero": place(0.0),
        "left": place(min(0.0, figure["value"])),
        "width": round(abs(place(figure["value"]) - place(0.0)), 2),
        "from_": place(figure["low"]),
        "span": round(place(figure["high"]) - place(figure["low"]), 2),
    }


def _strata(rows: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Differences between strata by column, the surest first; only those that are not all alike."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: 1.0 if row["p"] is None else row["p"]):
        found.setdefault(row["column"], []).append({**row, "sure": row["p"] is not None and row["p"] < SURE})
    return list(found.items())
