"""How the numbers were made: the lines at the foot of a page."""

from __future__ import annotations

from chiasm.core.errors import ChiasmError
from chiasm.core.explanation import Explanation
from chiasm.core.indices import index as find_index
from chiasm.view.findings import is_exact, typical_error
from chiasm.view.numerals import count, number, whole
from chiasm.view.wording import sentence, state, unit_in_words

Line = tuple[str, str]


def details(explanation: Explanation) -> list[Line]:
    """Pairs of a heading and what stands under it; headings of which nothing is known are left out.

    A line without a heading belongs to the one above it.
    """
    made = explanation.provenance
    lines: list[Line | None] = [
        ("Explained", ", ".join(filter(None, (made.target, unit_in_words(explanation))))),
        *_parts(explanation),
        ("Held fixed", "; ".join(_fixed(explanation))) if made.fixed else None,
        ("Method", made.method),
        ("Index", _index(made.index)),
        ("Values", _values(explanation)),
        ("Standard error", _errors(explanation)),
        ("Efficiency gap", _gap(explanation)),
        ("Seed", str(made.seed)) if made.seed is not None else None,
        ("Time", f"{made.seconds:.1f} s") if made.seconds else None,
        ("Model", " · ".join(filter(None, (made.model, made.adapter)))) if made.model or made.adapter else None,
        ("Fingerprint", made.fingerprint) if made.fingerprint else None,
        *(("Notes" if i == 0 else "", sentence(note)) for i, note in enumerate(made.notes)),
        ("Made", made.created),
        ("Versions", " · ".join(f"{name} {version}" for name, version in made.versions.items())),
    ]
    return [line for line in lines if line is not None and line[1]]


def _parts(explanation: Explanation) -> list[Line]:
    made = explanation.provenance
    lines = []
    for name, part in explanation.players.parts.items():
        text = count(len(part), "player")
        if name in made.segmenters:
            text += f" ({made.segmenters[name]})"
        if name in made.maskers and len(part):
            text += f"; absent ones are hidden by the baseline “{made.maskers[name]}”"
        lines.append((f"Part “{name}”", text))
    return lines


def _fixed(explanation: Explanation) -> list[str]:
    return [f"{what}: {state(present=on)}" for what, on in explanation.provenance.fixed.items()]


def _index(name: str) -> str:
    try:
        return f"{name}: {find_index(name).summary}"
    except ChiasmError:  # a white-box method has a quantity of its own
        return name


def _values(explanation: Explanation) -> str:
    made = explanation.provenance
    if not made.requested and made.budget is None:
        return ""
    text = f"{count(made.computed, 'value')} of the game computed"
    if made.budget is not None:
        text += f", {whole(made.budget)} allowed"
    return f"{text}; {whole(made.cached)} of {whole(made.requested)} requests answered from memory"


def _errors(explanation: Explanation) -> str:
    if is_exact(explanation):
        return "none: the values are exact"
    known = [
        f"typically {number(size, signed=False)} for {what}"
        for size, what in (
            (typical_error(explanation.single_errors), "a single player"),
            (typical_error(explanation.pair_errors), "a pair"),
        )
        if size is not None
    ]
    return "; ".join(known) or "this method gives none"


def _gap(explanation: Explanation) -> str:
    gap = explanation.efficiency_gap
    if gap is None:
        return ""
    return f"{number(gap) if abs(gap) > 1e-9 else '0'} (sum of all players’ values minus what there is to divide)"
