"""A benchmark's run to look at: a card for each sample, behind it its explanations side by side with their scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from chiasm.bench.run import Benchmark
from chiasm.core.errors import InvalidInput
from chiasm.core.explanation import Explanation
from chiasm.metrics.fidelity import rank_correlation
from chiasm.view.comparison import write_comparison
from chiasm.view.folder import PAGES, key_numbers, thumbnail
from chiasm.view.gallery import Item, Table, write_gallery
from chiasm.view.numerals import number

if TYPE_CHECKING:
    import pandas as pd

#: samples that get a page of their own; each takes some 100 kB
MOST_PAGES: Final = 500
#: agrees with nobody by design
_CHANCE: Final = "random"


def write_run(folder: str | Path, path: str | Path, *, pages: int = MOST_PAGES, most: int | None = None) -> Path:
    """Write a gallery of a benchmark's samples with its mean scores, and a page for each of the first samples.

    Args:
        folder: of the run, finished or not.
        path: the gallery's file. Pages go beside it, into ``pages``.
        pages: how many samples get one.
        most: how many samples are shown, the same number of every model and data set as far as they go; ``None``: all.

    Returns:
        The path of the gallery.

    Raises:
        InvalidInput: there is no benchmark, nothing is computed yet, no sample is asked for, or the folder of the
            gallery does not exist.
    """
    run, path = Benchmark.open(folder), Path(path)
    if most is not None and most < 1:
        raise InvalidInput(f"A gallery of {most} samples shows nothing; ask for 1 or more.")
    if not path.parent.is_dir():
        raise InvalidInput(f"The folder {str(path.parent)!r} does not exist; make it first or choose another path.")
    asked = run.samples
    if asked.empty:
        raise InvalidInput(f"The benchmark in {str(folder)!r} has no results yet; go on: chiasm bench resume {folder}.")
    (path.parent / PAGES).mkdir(exist_ok=True)
    scores = dict(iter(run.scores.groupby(["model", "dataset", "sample"])))
    shown = asked if most is None else _spread(asked, most)
    items = [
        _card(run.store.folder, path.parent, row, scores.get((row.model, row.dataset, row.sample)), place < pages)
        for place, row in enumerate(shown.itertuples())
    ]
    title = f"{run.spec.name}: {len(items)}{f' of {len(asked)}' if len(shown) < len(asked) else ''} samples"
    return write_gallery(
        items, path, title if len(items) <= pages else f"{title}, {pages} with a page", list(_means(run))
    )


def _spread(asked: pd.DataFrame, most: int) -> pd.DataFrame:
    """So many samples, the same number of each model and data set as far as they go, in the order of the run."""
    turn = asked.groupby(["model", "dataset"], sort=False).cumcount()
    chosen = turn.sort_values(kind="stable").index[:most]
    return asked.loc[asked.index.isin(chosen)]


def _card(run: Path, beside: Path, row: Any, scores: pd.DataFrame | None, paged: bool) -> Item:  # noqa: FBT001
    """A sample's card, after its page is written."""
    found = {} if scores is None else _explanations(run, scores)
    name = "-".join(part.replace("/", "_") for part in (row.model, row.dataset, row.sample))
    href = None
    if found and paged:
        page = write_comparison(found, beside / PAGES / f"{name}.html", _table(scores))
        href = page.relative_to(beside).as_posix()
    numbers = {key: value for one in found.values() for key, value in key_numbers(one).items()}
    if (apart := disagreement(found)) is not None:
        numbers["disagreement"] = apart
    return Item(
        id=name,
        dataset=row.dataset,
        model=row.model,
        question=_known(row.question) or name,
        answer=_known(row.answer) or _known(row.error) or "",
        reference=_known(row.reference),
        correct=_known(row.correct),
        thumbnail=thumbnail(next(iter(found.values()))) if found else None,
        numbers=numbers,
        tags={"type": row.stratum} if _known(row.stratum) is not None else {},
        href=href,
    )


def _known(value: Any) -> Any:
    """A cell of a table, or ``None`` where it is empty."""
    import pandas as pd

    return None if pd.isna(value) else value


def _explanations(run: Path, scores: pd.DataFrame) -> dict[str, Explanation]:
    """Explainer → its explanation with the first seed; of one cut of the sample, as all of a run are."""
    rows = scores[scores["explanation"].notna()].sort_values("seed").drop_duplicates("explainer")
    kept = {row.explainer: run / row.explanation for row in rows.itertuples()}
    return {name: Explanation.load(file) for name, file in kept.items() if file.is_file()}


def disagreement(found: Mapping[str, Explanation]) -> float | None:
    """One less the mean rank correlation of every two explainers, chance left out; ``None`` of fewer than two."""
    each = [one.single for name, one in found.items() if name != _CHANCE]
    pairs = [rank_correlation(a, b) for a, b in itertools.combinations(each, 2)]
    return 1.0 - float(np.mean(pairs)) if pairs else None


def _table(scores: pd.DataFrame | None) -> tuple[list[str], list[list[str]]] | None:
    """Scores of one sample as the comparison shows them: rows are explainers, columns metrics."""
    if scores is None:
        return None
    main = scores[~scores["metric"].str.contains("[", regex=False)]
    wide = main.pivot_table(index="explainer", columns="metric", values="value", aggfunc="mean", dropna=False)
    rows = [
        [str(name), *(number(value, signed=False) for value in row)]
        for name, row in zip(wide.index, wide.to_numpy(), strict=True)
    ]
    return ["explainer", *map(str, wide.columns)], rows


def _means(run: Benchmark) -> Iterator[Table]:
    """A table for each model and data set."""
    means = run.means
    main = means[~means["metric"].str.contains("[", regex=False)]
    for (model, dataset), part in main.groupby(["model", "dataset"], sort=False):
        metrics = list(dict.fromkeys(part["metric"]))
        cells = {(row.explainer, row.metric): _mean(row) for row in part.itertuples()}
        explainers = list(dict.fromkeys(part["explainer"]))
        yield Table(
            f"{model} on {dataset}: mean score ± standard error, over the samples that every explainer has a score of",
            ["explainer", *metrics],
            [[name, *(cells.get((name, metric), "–") for metric in metrics)] for name in explainers],
        )


def _mean(row: Any) -> str:
    if not np.isfinite(row.mean) or row.n_shared < 1:
        return "–"
    text = number(row.mean, signed=False)
    spread = row.sd / np.sqrt(row.n_shared) if row.n_shared > 1 else np.nan
    return text if not np.isfinite(spread) else f"{text} ± {number(spread, signed=False)}"
