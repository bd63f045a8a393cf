"""The figures of an audit: each a function of sums of columns over samples, with its range and source.

What a figure says is put in one line with the names of the parts; how sure it is comes from
`chiasm.statistics.bootstrap`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, permutations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.audits.information import Pid, pid
from chiasm.audits.links import auroc
from chiasm.audits.mixtures import gather, spread
from chiasm.audits.parts import interaction_values, intershap, shapley_shares, share_of_interaction
from chiasm.audits.table import Floats, Table
from chiasm.statistics.bootstrap import Figure, mean_of, ratio

Unit = Literal["share", "difference of shares", "value", "bits"]


@dataclass(frozen=True, eq=False)
class Measure:
    """A figure of a table.

    Attributes:
        name: in reports and thresholds, e.g. ``"image_reliance"``.
        line: what it is, a phrase.
        columns: ``float64[rows, k]``.
        figure: of their sums.
        unit: what it is counted in; ``"share"`` and ``"bits"`` begin at 0.
        source: where it comes from.
        counts: it is a share of samples that each have it or not.
        compared: strata are compared by it.
        replicates: resamples that a costly figure is content with.
    """

    name: str
    line: str
    columns: Floats
    figure: Figure
    unit: Unit
    source: str
    counts: bool = False
    compared: bool = True
    replicates: int | None = None


def measures(table: Table) -> list[Measure]:
    """All figures that the columns of a table allow, in the order of a report."""
    found = [*_answers(table), *_values(table), *_mixtures(table), *_pairs(table), *_influence(table), *_sorts(table)]
    return [*found, *_information(table), *_links(table)]


def _share(name: str, line: str, values: Floats, source: str = "") -> Measure:
    """A share of samples."""
    return Measure(name, line, mean_of(values), ratio, "share", source, counts=True)


def _mean(name: str, line: str, values: Floats, unit: Unit, source: str) -> Measure:
    """A mean over samples."""
    return Measure(name, line, mean_of(values), ratio, unit, source)


def _answers(table: Table) -> Iterator[Measure]:
    """What becomes of answers, and of their truth, when parts are taken away."""
    if table.answers is None:
        return
    right, every, parts = table.right, table.answers[:, -1], table.parts
    if right is not None:
        yield _share("accuracy", "right answers", right[:, -1])
        for k, part in enumerate(parts):
            yield _share(f"accuracy_without_{part}", f"right answers without the {part}", right[:, table.without(k)])
        for k, part in enumerate(parts if len(parts) > 2 else ()):
            yield _share(f"accuracy_{part}_only", f"right answers from the {part} alone", right[:, 1 << k])
        yield _cooperation(table, right)
    for k, part in enumerate(parts):
        changed = (table.answers[:, table.without(k)] != every).astype(np.float64)
        yield _share(f"{part}_reliance", f"answers that change when the {part} is removed", changed)
    for k, part in enumerate(parts):
        alone = (table.answers[:, 1 << k] == every).astype(np.float64)
        yield _share(f"{part}_prior", f"answers that the {part} alone already gives", alone)


def _cooperation(table: Table, right: Floats) -> Measure:
    """SHAPE on accuracy; its base, guessing the most frequent answer, is a largest sum and so a figure of sums too."""
    references = [row["reference"] for row in table.rows]
    names = sorted({name for name in references if name is not None})
    one_hot = np.array([[reference == name for name in names] for reference in references], np.float64)
    known = np.isfinite(right[:, -1])
    parts = len(table.parts)
    kept = [*(1 << k for k in range(parts)), right.shape[1] - 1]
    columns = np.concatenate([known[:, None], np.where(known[:, None], right[:, kept], 0.0), one_hot], axis=1)

    def figure(sums: Floats) -> Floats:
        n = np.maximum(sums[..., :1], 1)
        shares = sums[..., 1 : parts + 2] / n
        base = (sums[..., parts + 2 :] / n).max(axis=-1)
        return np.asarray(shares[..., -1] - base - (shares[..., :-1] - base[..., None]).sum(axis=-1), np.float64)

    line = "accuracy above guessing, less what each part by itself has above guessing"
    # Guessing is right on all of a stratum that is one reference: the figure is of whole data sets.
    return Measure(
        "cooperation", line, columns, figure, "difference of shares", "SHAPE, Hu et al. 2022", compared=False
    )


def _values(table: Table) -> Iterator[Measure]:
    """What whole parts give to the value of the answer."""
    shares = shapley_shares(table.values)
    for k, part in enumerate(table.parts):
        yield _mean(
            f"{part}_share", f"share of the {part} in what the parts give", shares[:, k], "share", "Shapley 1953"
        )
    if len(table.parts) < 2:
        return
    matrices = interaction_values(table.values)
    for a, b in combinations(range(len(table.parts)), 2):
        name, line = f"{table.parts[a]}_{table.parts[b]}", f"{table.parts[a]} and {table.parts[b]}"
        line = f"value that {line} have together beyond their sum (below 0: they tell the same)"
        yield _mean(f"{name}_interplay", line, 2 * matrices[:, a, b], "value", "Grabisch & Roubens 1999")
    for prefix, line, values in (
        ("", "absent parts at their baseline", table.values),
        ("published_", "absent parts drawn from other samples", table.background),
    ):
        if values is not None:
            yield from _intershap(prefix, line, values)


def _intershap(prefix: str, how: str, values: Floats) -> Iterator[Measure]:
    source, sizes = "InterSHAP, Wenderoth et al. 2025", np.abs(interaction_values(values))
    line = f"share of interaction in what parts give ({how})"
    yield _mean(f"{prefix}intershap", f"mean {line}", intershap(values), "share", source)
    size = sizes.shape[1]

    def figure(sums: Floats) -> Floats:
        return share_of_interaction(sums.reshape(-1, size, size)).reshape(sums.shape[:-1])

    columns = sizes.reshape(len(sizes), -1)
    yield Measure(f"{prefix}intershap_global", f"{line}, samples weighted", columns, figure, "share", source)


def _pairs(table: Table) -> Iterator[Measure]:
    """What units of different parts give together."""
    gain, loss = table.column("positive"), table.column("negative")
    if not np.isfinite(gain).any():
        return
    both = gain + loss
    share: Floats = np.divide(gain, both, out=np.full_like(both, np.nan), where=both > 0)
    source = "MultiSHAP"
    yield _mean("synergy_ratio", "share of synergy among pair values, P / (P + |Q|)", share, "share", source)
    dominant = np.where(both > 0, (gain > loss).astype(np.float64), np.nan)
    yield _share("synergy_dominant", "samples with more synergy than suppression, P > |Q|", dominant, source)
    yield _mean("synergy", "sum of positive pair values of a sample", gain, "value", source)
    yield _mean("suppression", "sum of negative pair values of a sample, as a size", loss, "value", source)
    whole = np.sum([table.own(part) for part in table.parts], axis=0)
    for part in table.parts:
        own = np.divide(table.own(part), whole, out=np.full_like(whole, np.nan), where=whole > 0)
        yield _mean(f"{part}_shap", f"share of the {part}'s units in Σ|φ|", own, "share", "MM-SHAP, Parcalabescu 2023")


def _mixtures(table: Table) -> Iterator[Measure]:
    """EMAP: what is left when parts may not work together."""
    found, source = gather(table.rows), "EMAP, Hessel & Lee 2020"
    if found is None:
        return
    count = len(table.rows)
    if found.values is not None:
        rest, whole = (spread(found.rows, one, count) for one in found.unexplained())
        columns = np.nan_to_num(np.stack([rest, whole], axis=1))

        def share(sums: Floats) -> Floats:
            return np.asarray(
                np.divide(sums[..., 0], sums[..., 1], out=np.full(sums.shape[:-1], np.nan), where=sums[..., 1] > 0)
            )

        line = "share of the value's variance over mixtures that no sum over parts has"
        yield Measure("emap_interplay", line, columns, share, "share", source, compared=False)
        return
    own, additive = found.own(), found.projected()
    changed = spread(found.rows, (own != additive).astype(np.float64), count)
    line = "answers that change when parts may not work together (closest sum over parts)"
    yield replace(_share("emap_changed", line, changed, source), compared=False)
    if table.right is None:
        return
    right = np.full((2, len(found.rows)), np.nan)
    for k, row in enumerate(found.rows):
        if (reference := table.rows[row]["reference"]) is not None:
            right[:, k] = [table.judge(str(one[k]), reference) for one in (own, additive)]
    line = "right answers of the closest sum over parts"
    yield replace(_share("emap_accuracy", line, spread(found.rows, right[1], count), source), compared=False)
    gap = spread(found.rows, right[0] - right[1], count)
    line = "accuracy that is owed to parts working together"
    yield replace(_mean("emap_gap", line, gap, "difference of shares", source), compared=False)


def _influence(table: Table) -> Iterator[Measure]:
    """Who bends whose explanation."""
    held = [row.get("influence") for row in table.rows]
    if all(one is None for one in held):
        return
    for (a, away), (b, bent) in permutations(enumerate(table.parts), 2):
        excess = np.array([np.nan if one is None else one["l1"][a][b] - one["null"][b] for one in held], np.float64)
        line = f"change of the explanation of the {bent} when the {away} is away, above that between two seeds"
        yield _mean(f"{away}_bends_{bent}", line, excess, "difference of shares", "after Granger 1969")


def _links(table: Table) -> Iterator[Measure]:
    """How well what parts give tells right answers from wrong ones."""
    if table.right is None:
        return
    scores: dict[str, tuple[str, Floats]] = {"intershap": ("share of interaction", intershap(table.values))}
    matrices = interaction_values(table.values)
    for a, b in combinations(range(len(table.parts)), 2):
        first, second = table.parts[a], table.parts[b]
        scores[f"{first}_{second}_interplay"] = (f"interplay of {first} and {second}", 2 * matrices[:, a, b])
    for part, column in zip(table.parts, shapley_shares(table.values).T, strict=True):
        scores[f"{part}_share"] = (f"share of the {part}", column)
    for name in ("positive", "negative"):
        word = "synergy" if name == "positive" else "suppression"
        scores[word] = (word, table.column(name))
    for name, (what, score) in scores.items():
        if (found := auroc(score, table.right[:, -1])) is not None:
            line = f"how often a right answer has more {what} than a wrong one (a half: it tells nothing)"
            yield Measure(f"right_by_{name}", line, *found, "share", "AUROC", compared=False)


def _sorts(table: Table) -> Iterator[Measure]:
    """Which sorts of units carry synergy."""
    for part in table.parts:
        several = len(table.sorts(part, least=1)) > 1  # of one sort there is nothing to compare
        for sort in table.sorts(part) if several else ():
            line = f"share of the {part}'s synergy that units of the sort '{sort}' carry, where there are any"
            name = f"{part}_synergy_of_{sort.replace(' ', '_')}"
            columns = mean_of(table.synergy_of(part, sort))
            yield Measure(name, line, columns, ratio, "share", "Chiasm", compared=False)


def _information(table: Table) -> Iterator[Measure]:
    """Partial information of the model's answer, by what it answers to each of two parts alone."""
    if table.answers is None:
        return
    for a, b in combinations(range(len(table.parts)), 2):
        columns, places = _cells(table.answers[:, 1 << a], table.answers[:, 1 << b], table.answers[:, -1])
        first, second = table.parts[a], table.parts[b]
        prefix, known = "" if len(table.parts) == 2 else f"{first}_{second}_", dict[bytes, Pid]()
        atoms: dict[str, tuple[str, Callable[[Pid], float]]] = {
            "redundancy": (f"{first} and {second} both tell of the answer, each alone", lambda found: found.redundancy),
            f"unique_{first}": (f"only the {first} tells of the answer", lambda found: found.unique[0]),
            f"unique_{second}": (f"only the {second} tells of the answer", lambda found: found.unique[1]),
            "pid_synergy": (f"only {first} and {second} together tell of the answer", lambda found: found.synergy),
        }
        for name, (line, atom) in atoms.items():
            figure = _Decomposition(places, known, atom)
            source = "PID, Bertschinger et al. 2014"
            yield Measure(f"{prefix}{name}", line, columns, figure, "bits", source, compared=False, replicates=200)


#: different answers that are told apart in the table of a decomposition; rarer ones count as one
MOST_ANSWERS: Final = 12


def _cells(*answers: NDArray[np.str_]) -> tuple[Floats, NDArray[np.intp]]:
    """For each cell of the joint table of answers that some row is in, a column of 1 and 0, and where it is."""
    found = [np.unique(_common(column), return_inverse=True)[1].ravel() for column in answers]
    places, which = np.unique(np.stack(found, axis=1), axis=0, return_inverse=True)
    return np.eye(len(places))[which.ravel()], places


def _common(answers: NDArray[np.str_]) -> NDArray[np.str_]:
    """The answers with all but the most frequent ones made one."""
    names, which, counts = np.unique(answers, return_inverse=True, return_counts=True)
    if len(names) <= MOST_ANSWERS:
        return answers
    kept = np.argsort(-counts, kind="stable")[: MOST_ANSWERS - 1]
    return np.where(np.isin(which.ravel(), kept), answers, "")


@dataclass(frozen=True, eq=False)
class _Decomposition:
    """One of the four kinds of information, in bits, from counts of cells.

    Attributes:
        places: of each cell, ``int[cells, 3]``.
        known: counts → decomposition; the four kinds of one table share it, since they are asked about the same counts.
        atom: which kind.
    """

    places: NDArray[np.intp]
    known: dict[bytes, Pid]
    atom: Callable[[Pid], float]

    def __call__(self, sums: Floats) -> Floats:
        flat = np.ascontiguousarray(sums.reshape(-1, sums.shape[-1]))
        return np.array([self.atom(self._of(counts)) for counts in flat]).reshape(sums.shape[:-1])

    def _of(self, counts: Floats) -> Pid:
        key = counts.tobytes()
        if key not in self.known:
            table = np.zeros(self.places.max(axis=0) + 1)
            table[tuple(self.places.T)] = counts / counts.sum()
            self.known[key] = pid(table)
        return self.known[key]
