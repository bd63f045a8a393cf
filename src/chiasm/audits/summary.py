"""From rows to figures with intervals: overall, by stratum, and between two models on the same samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from chiasm.audits.measures import Measure, measures
from chiasm.audits.strata import Stratum, strata
from chiasm.audits.table import Table
from chiasm.core.errors import InvalidInput
from chiasm.statistics.bootstrap import Bootstrap, Estimate, difference, holm


@dataclass(frozen=True, eq=False)
class Figured:
    """A figure of all samples.

    Attributes:
        measure: which.
        estimate: with its interval.
    """

    measure: Measure
    estimate: Estimate


@dataclass(frozen=True, eq=False)
class Contrast:
    """A figure of one stratum, and how it differs from that of the other samples.

    Attributes:
        measure: which figure.
        stratum: whose.
        estimate: the figure of the stratum.
        difference: stratum less rest.
        p_value: of the difference, corrected for all contrasts of the audit (Holm).
    """

    measure: Measure
    stratum: Stratum
    estimate: Estimate
    difference: Estimate
    p_value: float = float("nan")


@dataclass(frozen=True, eq=False)
class Change:
    """A figure of two models on the same samples.

    Attributes:
        measure: of the first model.
        first, second: the figures.
        difference: second less first, paired by sample.
        p_value: of the difference, corrected for all figures of the comparison (Holm).
    """

    measure: Measure
    first: Estimate
    second: Estimate
    difference: Estimate
    p_value: float = float("nan")


@dataclass(frozen=True, eq=False)
class Summary:
    """Everything that an audit of one model found.

    Attributes:
        table: the rows.
        figures: of all samples.
        contrasts: of strata.
    """

    table: Table
    figures: tuple[Figured, ...]
    contrasts: tuple[Contrast, ...]

    def __getitem__(self, name: str) -> Estimate:
        """The figure of that name.

        Raises:
            KeyError: there is none.
        """
        for one in self.figures:
            if one.measure.name == name:
                return one.estimate
        raise KeyError(name)


def summarise(table: Table, by: Sequence[str] | None = None, replicates: int = 2000, seed: int = 0) -> Summary:
    """Figures of all samples and of strata.

    Args:
        table: rows of one model.
        by: columns to group by, see `chiasm.audits.strata.strata`.
        replicates: resamples.
        seed: of the resamples.

    Raises:
        UnknownName: no such column.
        InvalidInput: fewer than 100 resamples.
    """
    found = measures(table)
    groups = strata(table, by)
    draws = _draws(table, replicates, seed)
    sums = draws.sums([(one.columns, None) for one in found])
    figures = tuple(
        Figured(one, some.fewer(one.replicates).estimate(one.figure, share=one.counts))
        for one, some in zip(found, sums, strict=True)
    )
    return Summary(table, figures, _contrasts([one for one in found if one.compared], groups, draws))


def _draws(table: Table, replicates: int, seed: int) -> Bootstrap:
    return Bootstrap(table.clusters or np.arange(len(table.rows)), replicates, seed)


def _contrasts(found: Sequence[Measure], groups: Sequence[Stratum], draws: Bootstrap) -> tuple[Contrast, ...]:
    whole = draws.sums([(one.columns, None) for one in found])
    contrasts: list[Contrast] = []
    for group in groups:
        for one, all_rows, some in zip(
            found, whole, draws.sums([(one.columns, group.rows) for one in found]), strict=True
        ):
            rest = some.rest_of(all_rows)
            between = some.beside(rest).estimate(difference(one.figure, len(all_rows.whole)))
            own = some.estimate(one.figure, share=one.counts)
            itself = group.column == "correct" and one.name == "accuracy"  # right answers are right: no comparison
            if np.isfinite(own.value) and np.isfinite(between.value) and not itself:
                contrasts.append(Contrast(one, group, own, between))
    corrected = holm([one.difference.p_value for one in contrasts])
    return tuple(replace(one, p_value=float(p)) for one, p in zip(contrasts, corrected, strict=True))


def compare(first: Table, second: Table, replicates: int = 2000, seed: int = 0) -> tuple[Change, ...]:
    """Figures of two models on the same samples, paired.

    Args:
        first: rows of one model.
        second: rows of the other, of the same samples in the same order.
        replicates: resamples.
        seed: of the resamples.

    Raises:
        InvalidInput: the tables have other samples or parts.
    """
    if len(first.rows) != len(second.rows) or first.parts != second.parts:
        raise InvalidInput(
            f"The first model has {len(first.rows)} samples with the parts {first.parts}, the second "
            f"{len(second.rows)} with {second.parts}; compare two models on the same samples."
        )
    draws = _draws(first, replicates, seed)
    other = {one.name: one for one in measures(second)}
    pairs = [(one, other[one.name]) for one in measures(first) if one.name in other]
    sums = iter(draws.sums([(one.columns, None) for pair in pairs for one in pair]))
    changes: list[Change] = []
    for one, two in pairs:
        a, b = next(sums).fewer(one.replicates), next(sums).fewer(two.replicates)
        estimates = (a.estimate(one.figure, share=one.counts), b.estimate(two.figure, share=two.counts))
        between = difference(two.figure, len(b.whole), one.figure)
        changes.append(Change(one, *estimates, b.beside(a).estimate(between)))
    corrected = holm([change.difference.p_value for change in changes])
    return tuple(replace(change, p_value=float(p)) for change, p in zip(changes, corrected, strict=True))
