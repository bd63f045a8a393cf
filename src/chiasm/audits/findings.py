"""What an audit found, in plain words, the largest and surest first, each with the samples behind it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chiasm.audits.measures import Unit
from chiasm.audits.summary import Change, Contrast, Summary
from chiasm.statistics.bootstrap import Estimate

#: a part whose removal changes less than this share of answers is hardly used
UNUSED: Final = 0.1
#: … and one whose removal changes more than this is relied on
RELIED: Final = 0.5
#: p-values, corrected, below which a difference is told
SURE: Final = 0.05
#: an AUROC that tells nothing
HALF: Final = 0.5
#: examples that a finding names
EXAMPLES: Final = 20


@dataclass(frozen=True)
class Finding:
    """One sentence.

    Attributes:
        sentence: with its numbers.
        kind: ``"use"``, ``"stratum"``, ``"information"``, ``"right"``, ``"words"``, ``"change"``.
        weight: by which findings are ordered: size of the effect, less what is uncertain of it.
        samples: names of samples that show it.
    """

    sentence: str
    kind: str
    weight: float
    samples: tuple[str, ...] = ()


def findings(summary: Summary, changes: Sequence[Change], models: Sequence[str]) -> list[Finding]:
    """All findings, the weightiest first."""
    found = [*_use(summary), *_together(summary), *_right(summary), *_strata(summary), *_changes(changes, models)]
    return sorted(found, key=lambda finding: -finding.weight)


_NOTHING: Final = 1e-9


def told(estimate: Estimate, unit: Unit, *, signed: bool = False) -> str:
    """A figure with its interval, e.g. ``4 % [2, 7]``."""
    share = unit in {"share", "difference of shares"}
    factor, end = (100.0, " %") if share else (1.0, " bits" if unit == "bits" else "")
    sign = "+" if signed else ""

    def one(value: float, sign: str = "") -> str:
        value = value if abs(value) > _NOTHING else 0.0  # what rounding leaves
        return f"{factor * value:{sign}.0f}" if share and abs(value) >= 0.01 else f"{factor * value:{sign}.2g}"

    return f"{one(estimate.value, sign)}{end} [{one(estimate.low, sign)}, {one(estimate.high, sign)}]"


def _named(summary: Summary, mask: NDArray[np.bool_]) -> tuple[str, ...]:
    names = summary.table.names
    return tuple(names[k] for k in np.flatnonzero(mask)[:EXAMPLES]) if names else ()


def _use(summary: Summary) -> Iterator[Finding]:
    """Whether each part is used."""
    table = summary.table
    if table.answers is None:
        return
    for k, part in enumerate(table.parts):
        reliance = summary[f"{part}_reliance"]
        changed = table.answers[:, table.without(k)] != table.answers[:, -1]
        amount = told(reliance, "share")
        if reliance.high < UNUSED:
            text = f"The model hardly uses the {part}: removing it changes {amount} of the answers."
            yield Finding(text, "use", 2 - reliance.high, _named(summary, ~changed))
        elif reliance.low > RELIED:
            text = f"The model relies on the {part}: removing it changes {amount} of the answers."
            yield Finding(text, "use", reliance.low, _named(summary, changed))
        else:
            text = f"Removing the {part} changes {amount} of the answers."
            yield Finding(text, "use", 0.5, _named(summary, changed))
    if table.right is not None:
        text = f"{told(summary['accuracy'], 'share')} of the answers are right"
        rest = [f"{told(summary[f'accuracy_without_{part}'], 'share')} without the {part}" for part in table.parts]
        yield Finding(f"{text}; {', '.join(rest)}.", "use", 1.5, _named(summary, table.right[:, -1] == 0))


def _together(summary: Summary) -> Iterator[Finding]:
    """What only parts together give, and what words carry it."""
    names = {one.measure.name: one for one in summary.figures}
    if "pid_synergy" in names:
        parts = {name: names[name].estimate for name in names if name.startswith("unique_")}
        synergy, redundancy = names["pid_synergy"].estimate, names["redundancy"].estimate
        sources = {
            "the combination of the parts": synergy,
            "either part alone": redundancy,
            **{f"the {name.removeprefix('unique_')} alone": one for name, one in parts.items()},
        }
        source, most = max(sources.items(), key=lambda item: item[1].value)
        text = f"The model's answer is told mostly by {source}: {told(most, 'bits')}."
        yield Finding(text, "information", max(0.0, most.low) / 2)
    for name, one in names.items():
        if "_synergy_of_" in name and one.estimate.low > 0.5:
            part, sort = name.split("_synergy_of_")
            share = told(one.estimate, "share")
            text = f"Where the {part} has a {sort.replace('_', ' ')}, it carries {share} of the {part}'s synergy."
            yield Finding(text, "words", one.estimate.low / 2)


def _right(summary: Summary) -> Iterator[Finding]:
    """What goes with right answers, and how much of them needs parts to work together."""
    for one in summary.figures:
        name, estimate = one.measure.name, one.estimate
        if name == "emap_gap" and estimate.low > 0:
            text = f"{told(estimate, 'difference of shares')} of the answers are right only because parts work together"
            yield Finding(f"{text} (EMAP).", "information", estimate.low)
        if not name.startswith("right_by_") or estimate.low <= HALF <= estimate.high:
            continue
        what = name.removeprefix("right_by_").replace("_", " ")
        more, share = ("more", estimate) if estimate.value > HALF else ("less", _mirrored(estimate))
        text = f"A right answer has {more} {what} than a wrong one in {told(share, 'share')} of such pairs."
        yield Finding(text, "right", share.low - HALF)


def _mirrored(estimate: Estimate) -> Estimate:
    return replace(estimate, value=1 - estimate.value, low=1 - estimate.high, high=1 - estimate.low)


def _strata(summary: Summary) -> Iterator[Finding]:
    """Where strata differ from the rest; of strata that are the same samples, or each other's rest, the first."""
    told_of: set[tuple[str, frozenset[bytes]]] = set()
    for one in summary.contrasts:
        if not one.p_value < SURE:
            continue
        mask = np.zeros(len(summary.table.rows), bool)
        mask[one.stratum.rows] = True
        same = (one.measure.name, frozenset({mask.tobytes(), (~mask).tobytes()}))
        if same in told_of:
            continue
        told_of.add(same)
        unit = one.measure.unit
        more = "more" if one.difference.value > 0 else "less"
        text = (
            f"Where {one.stratum.column} is {one.stratum.level}: {one.measure.line} {told(one.estimate, unit)}, "
            f"{more} than elsewhere ({told(one.difference, unit, signed=True)}, p = {one.p_value:.2g})."
        )
        nearer = min(abs(one.difference.low), abs(one.difference.high))
        yield Finding(text, "stratum", nearer if unit != "value" else nearer / 2, _rows(summary, one))


def _rows(summary: Summary, contrast: Contrast) -> tuple[str, ...]:
    mask = np.zeros(len(summary.table.rows), bool)
    mask[contrast.stratum.rows] = True
    return _named(summary, mask)


def _changes(changes: Sequence[Change], models: Sequence[str]) -> Iterator[Finding]:
    """What differs between two models."""
    for one in changes:
        if not one.p_value < SURE:
            continue
        unit = one.measure.unit
        text = (
            f"{models[1]} against {models[0]}, {one.measure.line}: {told(one.second, unit)} against "
            f"{told(one.first, unit)} ({told(one.difference, unit, signed=True)}, p = {one.p_value:.2g})."
        )
        nearer = min(abs(one.difference.low), abs(one.difference.high))
        yield Finding(text, "change", 1 + (nearer if unit != "value" else nearer / 2))
