"""The leader board of a benchmark as one self-contained page."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from chiasm.core.storage import write_atomic
from chiasm.view.html import templates

#: side of a scatter plot, and the room around its points
SIDE: Final = 420
EDGE: Final = 48


def write_leaderboard(data: Mapping[str, Any], path: str | Path, samples: str | None = None) -> Path:
    """Write the page, atomically.

    Args:
        data: from `chiasm.bench.leaderboard.as_data`.
        path: the file to write.
        samples: address of the gallery of samples, relative to the page, if there is one.

    Returns:
        The path.

    Raises:
        InvalidInput: the folder does not exist.
    """
    path = Path(path)
    by_metric: dict[str, list[dict[str, Any]]] = {}
    for board in data["boards"]:
        by_metric.setdefault(board["metric"], []).append({**board, "rows": _rows(board)})
    page = (
        templates()
        .get_template("leaderboard.html")
        .render(
            title=f"Benchmark {data['name']}",
            report=data,
            metrics=list(by_metric.items()),
            scatters=[_collapse(one) for one in data["collapse"]],
            cost=_cost(data),
            samples=samples,
            side=SIDE,
            edge=EDGE,
        )
    )
    write_atomic(path, page.encode("utf-8", "replace"))
    return path


def _rows(board: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Means with the places of their bars and intervals, in percent of the widest."""
    ends = [
        row["mean"][end] for row in board["rows"] for end in ("value", "low", "high") if row["mean"][end] is not None
    ]
    ends += list(board["controls"].values())
    low, high = min(0.0, *ends), max(0.0, *ends)
    extent = (high - low) or 1.0

    def place(value: float | None) -> float:
        return 0.0 if value is None else round(100 * (value - low) / extent, 2)

    found = []
    for row in board["rows"]:
        mean = row["mean"]
        left, right = sorted((place(0.0), place(mean["value"])))
        whisker = (place(mean["low"]), round(place(mean["high"]) - place(mean["low"]), 2))
        found.append({**row, "left": left, "width": round(right - left, 2), "zero": place(0.0), "whisker": whisker})
    return found


def _scaled(values: Sequence[float]) -> tuple[list[float], float, float]:
    """Places between the edges of a plot, and the ends of the axis."""
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5
    return [EDGE + (value - low) / (high - low) * (SIDE - 2 * EDGE) for value in values], low, high


def _collapse(one: Mapping[str, Any]) -> dict[str, Any]:
    names, first, second = zip(*one["points"], strict=True)
    xs, x_low, x_high = _scaled(first)
    ys, y_low, y_high = _scaled(second)
    points = [(name, x, SIDE - y) for name, x, y in zip(names, xs, ys, strict=True)]
    return {**one, "places": points, "x": (x_low, x_high), "y": (y_low, y_high)}


def _cost(data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Passes (logarithmic) against the first metric's overall means."""
    boards = data["boards"]
    if not boards or not data["costs"]:
        return None
    means = {row["explainer"]: row["mean"]["value"] for row in boards[0]["rows"]}
    rows = [(name, passes, means[name]) for name, passes, _ in data["costs"] if name in means]
    if len(rows) < 2:
        return None
    xs, x_low, x_high = _scaled([math.log10(passes + 1) for _, passes, _ in rows])
    ys, y_low, y_high = _scaled([mean for _, _, mean in rows])
    points = [(row[0], x, SIDE - y) for row, x, y in zip(rows, xs, ys, strict=True)]
    ends = (10**x_low - 1, 10**x_high - 1)
    return {"metric": boards[0]["metric"], "places": points, "x": ends, "y": (y_low, y_high)}
