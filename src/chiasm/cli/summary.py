"""An explanation in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from chiasm.cli.terminal import safe, unicode
from chiasm.core.explanation import Explanation
from chiasm.view import findings, wording
from chiasm.view.colours import Scale
from chiasm.view.numerals import count, percent, shorten
from chiasm.view.pairs import pair_scale

#: players of each part, and pairs, that are listed
TOP = 5
#: a window of fewer columns gets short bars and no standard errors
_NARROW = 60
#: values that cost less than this share of a pass each are said to share passes
_SHARED = 0.8
_RAISES, _LOWERS = "color(208)", "color(33)"


def show(explanation: Explanation, console: Console, written: Sequence[str] = ()) -> None:
    """Answer, what came from where, the strongest players and pairs, how it was made, and the files written."""
    console.print(Text(safe(wording.title(explanation)), style="bold"))
    for line in _about(explanation):
        console.print(Text(safe(line)))
    _shares(explanation, console)
    _players(explanation, console)
    _pairs(explanation, console)
    if caution := findings.caution(explanation):
        console.print(Padding(Text.assemble(("Caution: ", "bold yellow"), caution), (0, 0, 0, 2)))
    console.print()
    for line in (made(explanation), *map(wording.sentence, explanation.provenance.notes)):
        console.print(Text(safe(line), style="dim"))
    for path in written:
        console.print(Text.assemble("Wrote ", (safe(path), "bold")), soft_wrap=True)


def show_all(explanations: Mapping[str, Explanation], console: Console, written: Sequence[str] = ()) -> None:
    """Several methods on one prediction: the strongest players of each, one below the other."""
    first = next(iter(explanations.values()))
    console.print(Text(safe(wording.title(first)), style="bold"))
    for line in _about(first):
        console.print(Text(safe(line)))
    for name, explanation in explanations.items():
        console.print()
        console.rule(Text(safe(name), style="bold"), align="left")
        _players(explanation, console)
        _pairs(explanation, console)
        console.print()
        for line in (made(explanation), *map(wording.sentence, explanation.provenance.notes)):
            console.print(Text(safe(line), style="dim"))
    for path in written:
        console.print(Text.assemble("Wrote ", (safe(path), "bold")), soft_wrap=True)


def _about(explanation: Explanation) -> list[str]:
    lines = []
    if other := wording.other_answer(explanation):
        lines.append(other)
    if others := wording.alternatives(explanation):
        listed = ", ".join(f"{shorten(answer, 40)} {percent(p)}" for answer, p in others)
        lines.append(f"{wording.others(explanation).capitalize()}: {listed}.")
    unit = wording.unit_in_words(explanation)
    lines.append(f"Explained: {explanation.provenance.target}{f', {unit}' if unit else ''}.")
    if levels := wording.levels(explanation):
        lines.append(levels)
    return lines


def _half(console: Console) -> int:
    return 12 if console.width >= _NARROW else 5


def _error(scale: Scale, error: float, console: Console) -> str:
    return scale.error(error) if console.width >= _NARROW else ""


def _bar(value: float, scale: Scale, console: Console, *, negative: bool) -> Text:
    """A bar around a zero line; without negative bars beside it the left half is left out."""
    block, axis = ("█", "│") if unicode(console) else ("#", "|")
    half = _half(console)
    length = round(half * abs(scale.share(value)))
    bar = block * length
    if value < 0:
        return Text.assemble((bar.rjust(half), _LOWERS), axis, " " * half)
    return Text.assemble(" " * (half if negative else 0), axis, (bar.ljust(half), _RAISES))


def _heading(console: Console, text: str) -> None:
    console.print()
    console.print(Text(safe(text), style="bold"))


def _table(console: Console, rows: Sequence[Sequence[Text | str]], right: frozenset[int]) -> None:
    for column in reversed(range(len(rows[0]))):
        if all(not str(row[column]) for row in rows):  # nothing known, e.g. no standard errors
            rows = [[cell for i, cell in enumerate(row) if i != column] for row in rows]
            right = frozenset(i - (i > column) for i in right if i != column)
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for column in range(len(rows[0])):
        table.add_column(justify="right" if column in right else "left", no_wrap=column in right, overflow="fold")
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(safe(cell)) for cell in row))
    console.print(Padding(table, (0, 0, 0, 2), expand=False))


def _shares(explanation: Explanation, console: Console) -> None:
    shares = wording.shares(explanation)
    if not shares:
        return
    scale = Scale(max(abs(share.value) for share in shares))
    negative = any(share.value < 0 for share in shares)
    _heading(console, "How much came from where")
    rows = [
        (share.label, _bar(share.value, scale, console, negative=negative), scale.number(share.value))
        for share in shares
    ]
    _table(console, rows, frozenset({2}))
    for line in wording.combinations(explanation):
        console.print(Padding(Text(safe(line), style="dim"), (0, 0, 0, 2)))


def _players(explanation: Explanation, console: Console) -> None:
    explanation, remark = findings.shown(explanation)
    if not explanation.provenance.signed:
        console.print(Text(f"Values without a sign: larger means more important. {remark}".rstrip(), style="dim"))
    scale = Scale.of(explanation.single)
    exact = not findings.errors_shown(explanation)
    for name, part in explanation.players.parts.items():
        top = findings.strongest_players(explanation, TOP, name)
        if not top:
            continue
        negative = any(player.value < 0 for player in top)
        left = len(part) - len(top)
        _heading(console, f"Strongest in {shorten(name, 40)}" + (f" (of {count(len(part), 'player')})" if left else ""))
        rows = [
            (
                shorten(player.label, 40),
                _bar(player.value, scale, console, negative=negative),
                scale.number(player.value),
                "" if exact else _error(scale, player.error, console),
            )
            for player in top
        ]
        _table(console, rows, frozenset({2, 3}))


def _pairs(explanation: Explanation, console: Console) -> None:
    pairs = findings.strongest_pairs(explanation, TOP)
    if not pairs:
        return
    scale = pair_scale(explanation)
    exact = findings.is_exact(explanation)
    _heading(console, "Strongest pairs")
    rows = [
        (
            *(shorten(findings.label(explanation, player), 30) for player in pair.players),
            scale.number(pair.value),
            "" if exact else _error(scale, pair.error, console),
            findings.reading(pair, exact=exact, limit=scale.limit),
        )
        for pair in pairs
    ]
    _table(console, rows, frozenset({2, 3}))


def made(explanation: Explanation) -> str:
    """One paragraph: values, seconds, method, what was hidden and how."""
    by = explanation.provenance
    text = f"Method {by.method}, index {by.index}."
    if findings.is_exact(explanation):
        text = f"Method exact: no sampling error. Index {by.index}."
    if by.computed:
        shared = 0 < by.passes < _SHARED * by.computed
        price = f" for the price of {by.passes:,.0f} passes of the model" if shared else ""
        text = f"{count(by.computed, 'value')} computed in {by.seconds:.1f} s{price}. {text}"
    hidden = [f"{part} by {masker}" for part, masker in by.maskers.items()]
    if hidden:
        text += f" Absent players are hidden: {', '.join(hidden)}."
    if by.fixed:
        held = (f"{who} {wording.state(present=on)}" for who, on in by.fixed.items())
        text += f" Held fixed: {', '.join(held)}."
    return text
