"""An audit as data for a page, as JSON, and as Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chiasm.audits.findings import Finding, told
from chiasm.audits.measures import Measure
from chiasm.audits.patterns import Map, maps, patterns
from chiasm.audits.run import Audit
from chiasm.core.registry import views
from chiasm.core.storage import write_atomic
from chiasm.statistics.bootstrap import Estimate


def as_data(audit: Audit, pages: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Everything that an audit found, in JSON types; what is not a number is ``None``.

    Args:
        audit: what was found.
        pages: name of a sample → address of its page.
    """
    summary = audit.summary
    return {
        "models": list(audit.models),
        "data": audit.store.about.get("data"),
        "samples": len(summary.table.rows),
        "failed": audit.failed.to_dict("records"),
        "parts": list(summary.table.parts),
        "pages": dict(pages or {}),
        "maps": [_map(one) for one in maps(summary.table)],
        "patterns": [
            {
                "share": one.share,
                "marks": [list(mark) for mark in one.marks],
                "right": one.right,
                "samples": one.samples,
            }
            for one in patterns(summary.table)
        ],
        "findings": [_finding(one) for one in audit.findings],
        "figures": [_figure(one.measure, one.estimate) for one in summary.figures],
        "strata": [
            {
                **_figure(one.measure, one.estimate),
                "column": one.stratum.column,
                "level": one.stratum.level,
                "difference": _estimate(one.difference),
                "difference_told": told(one.difference, one.measure.unit, signed=True),
                "p": _number(one.p_value),
            }
            for one in summary.contrasts
        ],
        "changes": [
            {
                **_figure(one.measure, one.first),
                "second": _estimate(one.second),
                "second_told": told(one.second, one.measure.unit),
                "difference": _estimate(one.difference),
                "difference_told": told(one.difference, one.measure.unit, signed=True),
                "p": _number(one.p_value),
            }
            for one in audit.changes
        ],
    }


def _map(one: Map) -> dict[str, Any]:
    values = [[_number(value) for value in row] for row in one.values.tolist()]
    counts = one.counts.tolist()
    return {"parts": one.parts, "rows": one.rows, "columns": one.columns, "values": values, "counts": counts}


def _finding(finding: Finding) -> dict[str, Any]:
    return {**vars(finding), "samples": list(finding.samples)}


def _figure(measure: Measure, estimate: Estimate) -> dict[str, Any]:
    own = {"name": measure.name, "line": measure.line, "unit": measure.unit, "source": measure.source}
    return {**own, **_estimate(estimate), "told": told(estimate, measure.unit)}


def _estimate(estimate: Estimate) -> dict[str, Any]:
    numbers = {name: _number(getattr(estimate, name)) for name in ("value", "low", "high")}
    return {**numbers, "n": estimate.n}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def markdown(audit: Audit) -> str:
    """The report as Markdown: findings, figures, differences between strata, differences between models."""
    data = as_data(audit)
    lines = [f"# Audit of {' against '.join(data['models'])} on {data['data']}", ""]
    lines += [
        f"{data['samples']} samples, {len(data['failed'])} failed. Intervals are 95 %, by a bootstrap of samples.",
        "",
    ]
    lines += ["## Findings", "", *(f"- {one['sentence']}" for one in data["findings"]), ""]
    figures = [[one["line"], one["told"], str(one["n"]), one["source"]] for one in data["figures"]]
    lines += ["## Figures", "", *_table(["figure", "value [95 %]", "samples", "source"], figures), ""]
    strata = [
        [f"{one['column']}: {one['level']}", one["line"], one["told"], one["difference_told"], _p(one["p"])]
        for one in data["strata"]
        if one["p"] is not None and one["p"] < 0.05
    ]
    if strata:
        heads = ["stratum", "figure", "value", "less the rest", "p (Holm)"]
        lines += ["## Strata that differ", "", *_table(heads, strata), ""]
    changes = [
        [one["line"], one["told"], one["second_told"], one["difference_told"], _p(one["p"])] for one in data["changes"]
    ]
    if changes:
        heads = ["figure", *data["models"], "difference", "p (Holm)"]
        lines += ["## Second model less first, on the same samples", "", *_table(heads, changes), ""]
    return "\n".join([*lines, *_maps(data["maps"]), *_patterns(data["patterns"])])


def _maps(several: Sequence[dict[str, Any]]) -> list[str]:
    lines: list[str] = []
    for one in several:
        first, second = one["parts"]
        rows = [
            [name, *("" if value is None else f"{value:+.3g}" for value in values)]
            for name, values in zip(one["rows"], one["values"], strict=True)
        ]
        lines += [f"## Mean interaction of {first} and {second}, by sort", ""]
        lines += [*_table([f"{first}, {second}", *one["columns"]], rows), ""]
    return lines


def _patterns(several: Sequence[dict[str, Any]]) -> list[str]:
    if not several:
        return []
    lines = ["## Groups of samples whose interactions are alike", ""]
    for one in several:
        marks = "; ".join(
            f"{what} {own:+.0%} of the interaction, {rest:+.0%} in all" for what, own, rest in one["marks"]
        )
        right = "" if one["right"] is None else f", {one['right']:.0%} right"
        lines.append(f"- {one['share']:.0%} of samples{right}: {marks}. E.g. {', '.join(one['samples'])}.")
    return [*lines, ""]


def _p(value: float | None) -> str:
    return "" if value is None else f"{value:.2g}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[text.replace("|", "\\|").replace("\n", " ") for text in row] for row in (heads, *rows)]
    first, *rest = (f"| {' | '.join(row)} |" for row in cells)
    return [first, f"|{'---|' * len(heads)}", *rest]


def write(audit: Audit, path: str | Path, pages: Mapping[str, str] | None = None) -> Path:
    """Write the report, as a page (``.html``), as data (``.json``) or as Markdown (``.md``).

    Args:
        audit: what was found.
        path: the file.
        pages: name of a sample → address of its page, relative to the report.

    Raises:
        InvalidInput: the folder does not exist.
    """
    path = Path(path)
    if path.suffix == ".html":
        return Path(views.get("audit")(as_data(audit, pages), path))
    text = json.dumps(as_data(audit), indent=1, ensure_ascii=False) if path.suffix == ".json" else markdown(audit)
    write_atomic(path, text.encode("utf-8", "replace"))
    return path
