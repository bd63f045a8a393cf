"""A report as data for a page, as Markdown and as CSV."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from chiasm.bench.report import OVERALL, Board, Report
from chiasm.core.errors import InvalidInput
from chiasm.core.registry import views
from chiasm.core.storage import write_atomic
from chiasm.statistics.bootstrap import Estimate

ENDINGS: Final = (".html", ".md", ".csv")


def letters(board: Board) -> dict[str, str]:
    """Explainer → the letters of the groups that it is in; those that share one cannot be told apart."""
    names = "abcdefghijklmnopqrstuvwxyz"
    return {
        name: "".join(names[k % 26] for k, group in enumerate(board.comparison.groups) if name in group)
        for name in board.comparison.means
    }


def as_data(report: Report) -> dict[str, Any]:
    """Everything in JSON types; what is not a number is ``None``."""
    names, table = report.agreement
    return {
        "name": report.name,
        "boards": [_board(board) for board in report.boards],
        "mixed": {
            metric: {
                "reference": one.reference,
                "spread": one.spread,
                "effects": [vars(effect) for effect in one.effects],
            }
            for metric, one in report.mixed.items()
        },
        "collapse": [
            {
                "metric": one.metric,
                "parts": list(one.parts),
                **_estimate(one.agreement),
                "points": [[name, *both] for name, both in one.points.items()],
            }
            for one in report.collapse
        ],
        "agreement": {"metrics": list(names), "tau": [[_number(x) for x in row] for row in table.tolist()]},
        "costs": [[name, passes, seconds] for name, (passes, seconds) in report.costs.items()],
        "accuracy": report.accuracy,
        "failed": report.failed,
    }


def _board(board: Board) -> dict[str, Any]:
    found, tied = board.comparison, letters(board)
    rows = [
        {
            "explainer": name,
            "mean": _estimate(found.means[name]),
            "rank": _estimate(found.ranks[name]),
            "groups": tied[name],
        }
        for name in found.means
    ]
    pairs = [
        {
            "first": one.first,
            "second": one.second,
            "difference": _estimate(one.difference),
            "p": _number(one.p_value),
            "rank_biserial": one.rank_biserial,
            "d": _number(one.d),
            "needed": one.needed,
        }
        for one in found.pairs
    ]
    own = {"metric": board.metric, "scope": board.scope, "level": board.level, "higher": board.higher, "n": found.n}
    return {**own, "friedman": _number(found.friedman), "rows": rows, "controls": board.controls, "pairs": pairs}


def _estimate(estimate: Estimate) -> dict[str, float | None]:
    return {name: _number(getattr(estimate, name)) for name in ("value", "low", "high")}


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def told(estimate: Estimate) -> str:
    """``0.512 [0.498, 0.527]``."""
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def markdown(report: Report, *, pairs: bool = False) -> str:
    """The report as Markdown; ``pairs`` adds all paired tests of the overall boards."""
    lines = [
        f"# {report.name}",
        "",
        "Intervals are 95 %, by a bootstrap of samples. Explainers that share a letter cannot be ",
    ]
    lines[-1] += "told apart (Wilcoxon, Holm-corrected over all pairs). ↑ more is better, ↓ less is."
    lines += ["", "## Accuracy of the models", ""]
    rows = [[str(r["model"]), str(r["dataset"]), f"{r['accuracy']:.3f}", str(r["n"])] for r in report.accuracy]
    lines += [*_table(["model", "data set", "right answers", "samples"], rows), ""]
    for board in (one for one in report.boards if one.scope == OVERALL):
        lines += _of_metric(report, board, pairs=pairs)
    lines += _of_collapse(report) + _of_agreement(report) + _of_costs(report)
    return "\n".join(lines).rstrip() + "\n"


def _of_metric(report: Report, overall: Board, *, pairs: bool) -> list[str]:
    arrow = "↑" if overall.higher else "↓"
    scopes = [board for board in report.boards if board.metric == overall.metric and board.scope != OVERALL]
    tied, found = letters(overall), overall.comparison
    heads = ["explainer", "mean", "mean rank", "", *(f"{board.scope} (n = {board.comparison.n})" for board in scopes)]
    rows = [
        [name, told(found.means[name]), f"{found.ranks[name].value:.2f}", tied[name]]
        + [f"{board.comparison.means[name].value:.3f}" if name in board.comparison.means else "" for board in scopes]
        for name in found.means
    ]
    rows += [
        [
            f"*{name}*",
            f"{value:.3f}",
            "",
            "",
            *(f"{board.controls[name]:.3f}" if name in board.controls else "" for board in scopes),
        ]
        for name, value in overall.controls.items()
    ]
    lines = [
        f"## {overall.metric} {arrow}",
        "",
        f"{found.n} samples that all explainers share.",
        "",
        *_table(heads, rows),
        "",
    ]
    if overall.metric in report.mixed:
        one = report.mixed[overall.metric]
        sure = [
            f"{effect.method} {effect.value:+.3f} ± {effect.error:.3f}"
            for effect in one.effects
            if effect.p_value < 0.05
        ]
        spread = ", ".join(f"{name} {value:.3f}" for name, value in one.spread.items())
        text = ", ".join(sure) or "none"
        lines += [f"Mixed model, against {one.reference}: {text}. Standard deviations: {spread}.", ""]
    if pairs:
        rows = [
            [
                f"{p.first} − {p.second}",
                told(p.difference),
                f"{p.p_value:.2g}",
                f"{p.rank_biserial:+.2f}",
                str(p.needed or "–"),
            ]
            for p in found.pairs
        ]
        lines += [*_table(["pair", "difference", "p", "rank-biserial", "samples needed"], rows), ""]
    return lines


def _of_collapse(report: Report) -> list[str]:
    if not report.collapse:
        return []
    rows = [[one.metric, " against ".join(one.parts), told(one.agreement)] for one in report.collapse]
    text = (
        "Kendall's τ between rankings by one part's score and by another's: near 1 they rank alike, near 0 or below "
        "they contradict each other, which is the collapse."
    )
    return ["## Evaluation collapse", "", text, "", *_table(["metric", "parts", "τ"], rows), ""]


def _of_agreement(report: Report) -> list[str]:
    names, table = report.agreement
    if len(names) < 2:
        return []
    rows = [[name, *(f"{value:+.2f}" for value in row)] for name, row in zip(names, table.tolist(), strict=True)]
    text = "Kendall's τ between the rankings of explainers by two metrics, the better end of each up."
    return ["## Do metrics agree?", "", text, "", *_table(["", *names], rows), ""]


def _of_costs(report: Report) -> list[str]:
    rows = [[name, f"{passes:.0f}", f"{seconds:.2f}"] for name, (passes, seconds) in sorted(report.costs.items())]
    return ["## Cost of an explanation", "", *_table(["explainer", "passes", "seconds, median"], rows), ""]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    cells = [[text.replace("|", "\\|") for text in row] for row in (heads, *rows)]
    first, *rest = (f"| {' | '.join(row)} |" for row in cells)
    return [first, f"|{'---|' * len(heads)}", *rest]


def as_csv(report: Report) -> str:
    """One line for each board and explainer."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["metric", "scope", "explainer", "n", "mean", "low", "high", "rank", "rank_low", "rank_high", "groups"]
    )
    for board in report.boards:
        tied, found = letters(board), board.comparison
        for name, mean in found.means.items():
            rank = found.ranks[name]
            numbers = [mean.value, mean.low, mean.high, rank.value, rank.low, rank.high]
            writer.writerow([board.metric, board.scope, name, found.n, *numbers, tied[name]])
    return file.getvalue()


def write(report: Report, path: str | Path, samples: str | None = None) -> Path:
    """Write the report, as a page (``.html``), Markdown (``.md``) or a table (``.csv``).

    Args:
        report: from `chiasm.bench.report.report`.
        path: the file.
        samples: address of a gallery of the samples, relative to the page, which links to it.

    Raises:
        InvalidInput: another ending, or the folder does not exist.
    """
    path = Path(path)
    if path.suffix not in ENDINGS:
        raise InvalidInput(f"Cannot write {str(path)!r}: the name must end in {', '.join(ENDINGS)}.")
    if path.suffix == ".html":
        return Path(views.get("leaderboard")(as_data(report), path, samples))
    text = markdown(report) if path.suffix == ".md" else as_csv(report)
    write_atomic(path, text.encode("utf-8", "replace"))
    return path
