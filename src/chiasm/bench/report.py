"""What a benchmark's scores say: leader boards, which explainers cannot be told apart, and what it cost."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from chiasm.bench.run import Benchmark
from chiasm.bench.tables import CONTROLS
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.metrics import metrics as known_metrics
from chiasm.statistics.bootstrap import Bootstrap, Estimate, difference, holm, mean_of, ratio
from chiasm.statistics.comparing import Comparison, Mixed, compare, mixed, rank_agreement

if TYPE_CHECKING:
    import pandas as pd

#: name of the board of all models and data sets
OVERALL: Final = "all models and data sets"
#: fewest samples of a board
FEWEST: Final = 5


@dataclass(frozen=True, eq=False)
class Board:
    """Explainers by one metric on some samples.

    Attributes:
        metric: its label in the run.
        scope: what the samples are of: `OVERALL`, a model or a data set.
        level: ``"model"`` or ``"dataset"``; empty where it is overall.
        higher: whether more is better.
        comparison: means, ranks, pairs and groups.
        controls: name → mean of oracle and reversed oracle on the same samples, as far as they have scores.
    """

    metric: str
    scope: str
    level: str
    higher: bool
    comparison: Comparison
    controls: dict[str, float]


@dataclass(frozen=True, eq=False)
class Collapse:
    """Do explainers rank alike by what they say of one part and of another? Where τ is near 0 or below, the two
    contradict each other: the evaluation collapse of Ky, Ghamizi & Cordy 2026.

    Attributes:
        metric: e.g. ``"srg"``.
        parts: the two parts.
        agreement: Kendall's τ with its interval.
        points: explainer → mean score by each of the parts.
    """

    metric: str
    parts: tuple[str, str]
    agreement: Estimate
    points: dict[str, tuple[float, float]]


@dataclass(frozen=True, eq=False)
class Report:
    """Everything that the scores of a run say.

    Attributes:
        name: of the benchmark.
        boards: by metric: overall, by model, by data set.
        mixed: metric → mixed model over all settings, where there are two or more.
        collapse: for each metric that is known by part.
        agreement: metrics, and Kendall's τ between their overall means, ``float64[k, k]``.
        costs: explainer → mean passes and median seconds of an explanation.
        accuracy: rows of the models' accuracy.
        failed: rows of what failed, the commonest first.
    """

    name: str
    boards: tuple[Board, ...]
    mixed: dict[str, Mixed]
    collapse: tuple[Collapse, ...]
    agreement: tuple[tuple[str, ...], np.ndarray[Any, np.dtype[np.float64]]]
    costs: dict[str, tuple[float, float]]
    accuracy: list[dict[str, Any]]
    failed: list[dict[str, Any]]


def report(run: Benchmark, metrics: Sequence[str] | None = None, replicates: int = 1000) -> Report:
    """Work out a report.

    Args:
        run: finished or not.
        metrics: labels; by default those of the spec.
        replicates: resamples.

    Raises:
        UnknownName: a metric that the run has not.
        InvalidInput: no metric has enough samples that all explainers share.
    """
    scores = run.scores
    labels = {one.label: one.metric for one in run.spec.metrics}
    for name in metrics or ():
        if name not in labels:
            raise UnknownName("metric of this run", name, labels)
    wanted = list(labels if metrics is None else metrics)
    higher = {name: _higher(labels[name]) for name in wanted}
    boards = tuple(itertools.chain.from_iterable(_boards(scores, name, higher[name], replicates) for name in wanted))
    if not boards:
        raise InvalidInput(
            f"No metric of {run.spec.name!r} has {FEWEST} samples that all explainers share yet; "
            f"go on with the run, or run it again with more samples (--samples) if it is done."
        )
    own = scores[~scores["explainer"].isin(CONTROLS) & (scores["metric"] == scores["metric"].iloc[0])]
    costs = own.groupby("explainer").agg(passes=("passes", "mean"), seconds=("seconds", "median"))
    return Report(
        name=run.spec.name,
        boards=boards,
        mixed={name: found for name in wanted if (found := _mixed(scores, name)) is not None},
        collapse=tuple(_collapse(scores, wanted, replicates)),
        agreement=_agreement(boards),
        costs={str(name): (float(row.passes), float(row.seconds)) for name, row in costs.iterrows()},
        accuracy=run.accuracy.to_dict("records"),
        failed=run.errors().to_dict("records"),
    )


def _higher(metric: str) -> bool:
    return known_metrics.get(metric).about.better != "lower"


def shared(scores: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Scores of one metric on the samples that all explainers share, controls left out; seeds are averaged.

    Returns:
        A row for each (model, dataset, sample), a column for each explainer.
    """
    rows = scores[(scores["metric"] == metric) & ~scores["explainer"].isin(CONTROLS)]
    table = rows.pivot_table(index=["model", "dataset", "sample"], columns="explainer", values="value", aggfunc="mean")
    return table.dropna()


def _boards(scores: pd.DataFrame, metric: str, higher: bool, replicates: int) -> Iterator[Board]:  # noqa: FBT001
    table = shared(scores, metric)
    if table.shape[1] < 2:
        return
    held = scores[(scores["metric"] == metric) & scores["explainer"].isin(CONTROLS)]
    controls = held.pivot_table(
        index=["model", "dataset", "sample"], columns="explainer", values="value", aggfunc="mean"
    )
    scopes = [(OVERALL, "", table)]
    for level in ("model", "dataset"):
        if len(set(table.index.get_level_values(level))) > 1:
            scopes += [(str(name), level, part) for name, part in table.groupby(level=level, sort=False)]
    for scope, level, part in scopes:
        if len(part) < FEWEST:
            continue
        clusters = part.index.get_level_values("dataset") + " " + part.index.get_level_values("sample")
        means = controls.reindex(part.index).mean().dropna()
        found = compare(part, higher=higher, clusters=clusters.to_numpy(str), replicates=replicates)
        yield Board(metric, scope, level, higher, found, {str(name): float(value) for name, value in means.items()})


def _mixed(scores: pd.DataFrame, metric: str) -> Mixed | None:
    """Explainers against chance, or against the worst where chance is not among them."""
    table = shared(scores, metric)
    settings = table.index.get_level_values("model") + " · " + table.index.get_level_values("dataset")
    if settings.nunique() < 2 or table.shape[1] < 2 or len(table) < FEWEST * settings.nunique():
        return None
    long = table.assign(setting=settings, unit=settings + " " + table.index.get_level_values("sample"))
    long = long.melt(id_vars=["setting", "unit"], var_name="method", value_name="value")
    reference = "random" if "random" in table.columns else str(table.mean().idxmin())
    return mixed(long.rename(columns={"unit": "sample"}), reference)


def _collapse(scores: pd.DataFrame, wanted: Sequence[str], replicates: int) -> Iterator[Collapse]:
    for metric in wanted:
        names = [name for name in dict.fromkeys(scores["metric"]) if name.startswith(f"{metric}[") and "," not in name]
        parts = [name.removeprefix(f"{metric}[").removesuffix("]") for name in names]
        if len(parts) != 2 or any("×" in part for part in parts):
            continue
        first, second = (shared(scores, name) for name in names)
        both = first.index.intersection(second.index)
        first, second = first.loc[both], second.loc[both]
        if len(both) < FEWEST or list(first.columns) != list(second.columns) or first.shape[1] < 3:
            continue
        clusters = (both.get_level_values("dataset") + " " + both.get_level_values("sample")).to_numpy(str)
        found = rank_agreement(first, second, clusters=clusters, replicates=replicates)
        means = {str(name): (float(first[name].mean()), float(second[name].mean())) for name in first.columns}
        yield Collapse(metric, (parts[0], parts[1]), found, means)


def _agreement(boards: Sequence[Board]) -> tuple[tuple[str, ...], np.ndarray[Any, np.dtype[np.float64]]]:
    """Kendall's τ between metrics by their overall means, the better end up."""
    from scipy.stats import kendalltau

    overall = [board for board in boards if board.scope == OVERALL]
    names = sorted(set.intersection(*(set(board.comparison.means) for board in overall))) if overall else []
    columns = [
        [(1 if board.higher else -1) * board.comparison.means[name].value for name in names] for board in overall
    ]
    table = np.array([[float(kendalltau(a, b).statistic) for b in columns] for a in columns])
    return tuple(board.metric for board in overall), table


@dataclass(frozen=True, eq=False)
class Difference:
    """One explainer by one metric in two runs, on the samples that both have.

    Attributes:
        metric, explainer: which.
        first, second: means.
        difference: second less first.
        p_value: corrected for all differences (Holm).
    """

    metric: str
    explainer: str
    first: float
    second: float
    difference: Estimate
    p_value: float


def compare_runs(first: Benchmark, second: Benchmark, replicates: int = 1000) -> list[Difference]:
    """What changed between two runs: every explainer and metric that both have, paired by model, data set and sample.

    Raises:
        InvalidInput: they share no score.
    """
    keys = ["metric", "explainer", "model", "dataset", "sample"]
    tables = [run.scores.dropna(subset=["value"]).groupby(keys)["value"].mean() for run in (first, second)]
    both = tables[0].to_frame("first").join(tables[1].to_frame("second"), how="inner")
    if both.empty:
        raise InvalidInput("The two runs share no model, data set, sample, explainer and metric.")
    found = []
    for (metric, explainer), part in both.groupby(level=["metric", "explainer"], sort=True):
        if len(part) < FEWEST or "[" in str(metric):
            continue
        clusters = part.index.get_level_values("dataset") + " " + part.index.get_level_values("sample")
        columns = np.concatenate([mean_of(part["second"]), mean_of(part["first"])], axis=1)
        estimate = Bootstrap(clusters.to_numpy(str), replicates).estimate(columns, difference(ratio, 2))
        means = float(part["first"].mean()), float(part["second"].mean())
        found.append(Difference(str(metric), str(explainer), *means, estimate, estimate.p_value))
    corrected = holm([one.p_value for one in found])
    return [
        Difference(one.metric, one.explainer, one.first, one.second, one.difference, float(p))
        for one, p in zip(found, corrected, strict=True)
    ]
