"""What was measured of the zoo's models as Markdown tables, which also read well in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from chiasm.core.errors import InvalidInput
from chiasm.zoo.accuracy import ALL_TYPES, Calibration, Row, Shares

CARD: Final = ("<!-- accuracy: written by python -m chiasm.zoo.evaluate NAME --card -->", "<!-- /accuracy -->")
"""Between these two lines of a model card stand the checksum of its weights and its tables."""
DOCS: Final = ("<!-- table: written by python -m chiasm.zoo.evaluate --docs docs/zoo.md -->", "<!-- /table -->")
"""Between these two lines of a page stand the tables of all models."""


CHANCE: Final = "chance"
"""First row of a table: what is right without a model."""


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table; the first column to the left, the others to the right."""
    widths = [max(len(row[k]) for row in (head, *lines)) for k in range(len(head))]
    rule = [("-" * (width + 2) if k == 0 else "-" * (width + 1) + ":") for k, width in enumerate(widths)]

    def row(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(padded)} |"

    return "\n".join([row(head), f"|{'|'.join(rule)}|", *map(row, lines)])


def cell(shares: Sequence[float] | None) -> str:
    """Mean over the seeds in per cent, and from which to which: ``"99.7 (99.3–100)"``; a dash for nothing measured."""
    if not shares:
        return "–"
    mean = f"{100 * sum(shares) / len(shares):.1f}"
    return mean if min(shares) == max(shares) else f"{mean} ({_short(min(shares))}–{_short(max(shares))})"


def _short(share: float) -> str:
    return f"{100 * share:.1f}".removesuffix(".0")


def overview(models: Mapping[str, Shares], chance: Shares | None = None) -> str:
    """One table for each data set: models down, question types across.

    Args:
        models: name → shares, as `chiasm.zoo.accuracy.shares` gives them.
        chance: what is right without a model, the first row of each table; a data set that it lacks has no such row.
    """
    tables = []
    for data in dict.fromkeys(data for shares in models.values() for data in shares):
        rows = {name: shares[data] for name, shares in models.items() if shares.get(data)}
        kinds = list(dict.fromkeys(kind for found in rows.values() for kind in found))
        if chance and data in chance:
            rows = {CHANCE: chance[data], **rows}
        lines = [[name, *(cell(found.get(kind)) for kind in kinds)] for name, found in rows.items()]
        tables.append(f"**{data}**\n\n{markdown(['model', *kinds], lines)}")
    return "\n\n".join(tables)


def detail(rows: Sequence[Row], chance: Mapping[str, Sequence[float]] | None = None) -> str:
    """One model on one data set by amount of masking, in per cent; two tables if types are calibrated one by one.

    Args:
        rows: one for each amount of masking.
        chance: question type → what is right without a model for each seed; the first row, if given.
    """
    kinds = list(rows[0].accuracy)
    together = ALL_TYPES in rows[0].calibration
    head = ["hidden", *kinds, "mean", *(["confidence", "calibration error", "floor"] if together else [])]
    lines = []
    by_chance = Row(CHANCE, {kind: sum(chance[kind]) / len(chance[kind]) for kind in kinds}, {}) if chance else None
    for row in [*([by_chance] if by_chance else []), *rows]:
        shares = [*row.accuracy.values(), sum(row.accuracy.values()) / len(kinds)]
        cells = [f"{100 * share:.1f}" for share in shares]
        lines.append([row.hidden, *cells, *(_calibration(row.calibration.get(ALL_TYPES)) if together else [])])
    tables = [markdown(head, lines)]
    if not together:
        head = ["hidden", *(f"{kind}: {what}" for kind in kinds for what in ("confidence", "error", "floor"))]
        tables.append(
            markdown(
                head,
                [[row.hidden, *(c for kind in kinds for c in _calibration(row.calibration.get(kind)))] for row in rows],
            )
        )
    return "\n\n".join(tables)


def _calibration(found: Calibration | None) -> list[str]:
    """Confidence, calibration error and floor; dashes where there is none."""
    if found is None:
        return ["–"] * 3
    return [f"{100 * share:.1f}" for share in (found.confidence, found.error, found.floor)]


def write_between(page: Path, marks: tuple[str, str], text: str) -> None:
    """Replace what stands between two marks of a page; the first is known by its beginning, up to the colon.

    Raises:
        InvalidInput: there is no such page, or it has no such marks.
    """
    before, _, after = _parts(page, marks)
    page.write_text(f"{before}{marks[0]}\n\n{text}\n\n{marks[1]}{after}", encoding="utf-8")


def between(page: Path, marks: tuple[str, str]) -> str:
    """What stands between two marks of a page, without empty lines around it.

    Raises:
        InvalidInput: there is no such page, or it has no such marks.
    """
    return _parts(page, marks)[1].strip()


def _parts(page: Path, marks: tuple[str, str]) -> tuple[str, str, str]:
    """What stands before, between and behind the marks."""
    if not page.is_file():
        raise InvalidInput(f"There is no page {page}; write it first, with the lines {marks[0]!r} and {marks[1]!r}.")
    before, start, rest = page.read_text(encoding="utf-8").partition(marks[0].partition(":")[0] + ":")
    _, close, rest = rest.partition("-->")
    inside, end, after = rest.partition(marks[1])
    if not (start and close and end):
        raise InvalidInput(f"{page} has no place for the table: it needs the lines {marks[0]!r} and {marks[1]!r}.")
    return before, inside, after
