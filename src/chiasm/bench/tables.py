"""The tables of a benchmark's store, and what they hold together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from chiasm.runs.parts import Schema
from chiasm.runs.store import Store

if TYPE_CHECKING:
    import pandas as pd

#: names of the controls among the explainers
CONTROLS: Final = ("oracle", "reversed oracle")

TABLES: Final[dict[str, Schema]] = {
    "scores": {
        "model": "string",
        "dataset": "string",
        "sample": "string",
        "explainer": "string",
        "seed": "whole",
        "metric": "string",
        "value": "float",
        "error": "string",
        "passes": "whole",
        "seconds": "float",
        "note": "string",
        "explanation": "string",
        "fingerprint": "string",
    },
    "samples": {
        "model": "string",
        "dataset": "string",
        "sample": "string",
        "place": "whole",
        "question": "string",
        "answer": "string",
        "reference": "string",
        "correct": "truth",
        "stratum": "string",
        "error": "string",
        "probability": "float",
        "players": "whole",
        "values_asked": "whole",
        "values_computed": "whole",
        "fingerprint": "string",
    },
}
"""Table → columns.

``scores``: one row for each model, data set, sample, explainer, seed and metric; what a metric gives besides its score
has rows of its own, called ``srg[part]``. ``value`` is NaN where it failed
(``error`` says why) or has no meaning for this sample (``note`` says why). ``passes`` and ``seconds`` are what the
explanation cost, rows of the model's forward passes and wall time. ``explanation`` is its file in the run's folder,
``fingerprint`` that of the model.

``samples``: one row for each model, data set and sample: what the model answered, and whether that is right.
"""


#: A cell that was computed anew, because a metric was added, gives rows that were there: the last of them counts.
_SCORES: Final = """
SELECT s.* EXCLUDE (line) FROM scores AS s JOIN cells AS c USING (cell)
QUALIFY row_number() OVER (
    PARTITION BY model, dataset, sample, explainer, seed, metric ORDER BY (s.error IS NOT NULL), c.finished DESC
) = 1
"""


def scores(store: Store) -> pd.DataFrame:
    """All scores, sorted by what they are of."""
    return store.query(f"{_SCORES} ORDER BY model, dataset, sample, explainer, seed, metric")


def samples(store: Store) -> pd.DataFrame:
    """All samples that were asked, by model."""
    return store.query("SELECT * EXCLUDE (line) FROM samples ORDER BY model, dataset, place")


#: Samples count where every explainer of the benchmark (controls apart) has a score of the metric with every seed: else
#: an explainer that fails on what is hard would look better for it.
_MEANS: Final = f"""
WITH last AS ({_SCORES}), found AS (
    SELECT model, dataset, metric, sample, explainer, avg(value) AS value
    FROM last
    GROUP BY model, dataset, metric, sample, explainer
    HAVING count(*) = count(*) FILTER (WHERE isfinite(value))
), asked AS (
    SELECT model, dataset, metric, explainer, count(DISTINCT sample) AS n_asked,
        count(*) FILTER (WHERE error IS NOT NULL) AS n_failed
    FROM last GROUP BY ALL
), rivals AS (
    SELECT model, dataset, count(DISTINCT explainer) AS n
    FROM asked WHERE NOT list_contains({list(CONTROLS)}, explainer) GROUP BY ALL
), shared AS (
    SELECT model, dataset, metric, sample
    FROM found JOIN rivals USING (model, dataset)
    WHERE NOT list_contains({list(CONTROLS)}, explainer)
    GROUP BY model, dataset, metric, sample, n HAVING count(*) = n
)
SELECT model, dataset, metric, explainer, avg(value) AS mean, stddev_samp(value) AS sd, count(value) AS n_shared,
    any_value(n_asked) AS n_asked, any_value(n_failed) AS n_failed
FROM asked LEFT JOIN (found SEMI JOIN shared USING (model, dataset, metric, sample))
    USING (model, dataset, metric, explainer)
GROUP BY model, dataset, metric, explainer
ORDER BY model, dataset, metric, mean DESC NULLS LAST, explainer
"""  # noqa: S608 - no word of a user's


def means(store: Store) -> pd.DataFrame:
    """Mean score of each explainer by model, data set and metric, over the samples that all explainers share.

    Columns: ``model, dataset, metric, explainer, mean, sd, n_shared, n_asked, n_failed``; several seeds of one sample
    are averaged first.
    """
    return store.query(_MEANS)


def accuracy(store: Store) -> pd.DataFrame:
    """How often each model is right on each data set: ``model, dataset, accuracy, n, n_failed``."""
    return store.query(
        "SELECT model, dataset, avg(CAST(correct AS DOUBLE)) AS accuracy, count(correct) AS n,"
        " count(error) AS n_failed FROM samples GROUP BY ALL ORDER BY ALL"
    )
