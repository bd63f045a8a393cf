"""Tables of the F_syn study, from its results alone: ``benchmarks/f_syn/*.csv`` to Markdown.

Correlations within an item are means over the items of Spearman's ρ between explainers; pooled ones put all items into
one ranking, where the items' differences count as success. Intervals are 95 % bootstrap intervals over items.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from f_syn_games import PRIOR
from f_syn_scores import MIDS, RANDOM_GAMES, read
from f_syn_seconds import METRICS
from numpy.typing import NDArray
from scipy.stats import kendalltau, rankdata

from chiasm.metrics.curves import collapse
from chiasm.metrics.fidelity import rank_correlation

Floats = NDArray[np.float64]
Rows = list[dict[str, Any]]
FOLDER: Final = Path(__file__).parent / "f_syn"
FILES: Final = ("decoders", "prior", "games", "items", "large")
DRAWS: Final = 400
ORACLE, REVERSED, HALVES = "oracle", "reversed oracle", ("image oracle", "text oracle")
NAMES: Final = {
    "f_syn": "F_syn, published (clipped)",
    "f_syn_signed": "F_syn, signed",
    "f_syn insertion": "insertion half, signed",
    "f_syn deletion": "deletion half, signed",
    "f_syn_mid half": "F_syn-mid at every second step",
    "f_syn_mid": "F_syn-mid",
    "f_syn_mid 4": "F_syn-mid, 4 draws",
    "f_syn_mid 8": "F_syn-mid, 8 draws",
    "f_syn_exact": "exact reference",
    "insertion": "insertion",
    "deletion": "deletion (lower is better)",
    "srg": "SRG, joint",
    "srg image": "SRG, image",
    "srg text": "SRG, text",
    "fidelity": "fidelity (Spearman)",
    "infidelity": "infidelity, scaled (lower is better)",
    "pointing_game": "pointing game",
    "energy": "energy",
    "relevance_mass": "relevance mass",
    "sparseness": "sparseness",
}
LOWER: Final = ("deletion", "infidelity")
SYNERGY: Final = ("f_syn", "f_syn_signed", *MIDS)
LOCAL: Final = ("pointing_game", "energy", "relevance_mass")
"""Metrics that look at the planted truth themselves: their agreement with it is no finding."""


def results(folder: Path = FOLDER) -> dict[str, Rows]:
    """All results."""
    return {name: read(folder / f"{name}.csv") for name in FILES}


def grid(rows: Rows, column: str, by: Sequence[str], across: str, keep: Callable[[dict[str, Any]], bool]) -> Floats:
    """``float64[items, explainers]`` of a column, in the order of the rows."""
    table: dict[tuple[Any, ...], dict[Any, float]] = {}
    for row in rows:
        if keep(row):
            table.setdefault(tuple(row[name] for name in by), {})[row[across]] = float(row[column])
    return np.array([list(line.values()) for line in table.values()])


BY: Final = ("model", "data", "kind", "item")


def explained(rows: Rows, column: str) -> Floats:
    """Scores of the explainers, ``float64[items, explainers]``; 0 where a score has no meaning (zeros have no Gini)."""
    return np.nan_to_num(grid(rows, column, BY, "explainer", lambda row: not row["control"]))


def at_random(rows: Rows, column: str) -> Floats:
    """Scores of the random explanations, ``float64[items, seeds]``."""
    return grid(rows, column, BY, "explainer", lambda row: str(row["explainer"]).startswith("random"))


def control(rows: Rows, column: str, name: str) -> Floats:
    """Scores of a control, ``float64[items]``."""
    return grid(rows, column, BY, "explainer", lambda row: row["explainer"] == name)[:, 0]


def within(first: Floats, second: Floats) -> Floats:
    """Spearman's ρ of each item, ``float64[items]``."""
    return np.array([rank_correlation(a, b) for a, b in zip(first, second, strict=True)])


def interval(score: Callable[[NDArray[np.intp]], float], n: int) -> tuple[float, float]:
    """Bootstrap interval over items."""
    rng = np.random.default_rng(0)
    found = [score(rng.integers(n, size=n)) for _ in range(DRAWS)]
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(low), float(high)


def correlation(first: Floats, second: Floats) -> tuple[float, float, tuple[float, float]]:
    """Pooled ρ, mean ρ within items, and the interval of the latter."""
    each = within(first, second)
    return (
        rank_correlation(first.ravel(), second.ravel()),
        float(each.mean()),
        interval(lambda rows: float(each[rows].mean()), len(each)),
    )


def number(value: float, places: int = 3) -> str:
    return "–" if np.isnan(value) else f"{value:.{places}f}".replace("-", "−")


def spanned(value: float, bounds: tuple[float, float], places: int = 3) -> str:
    return (
        "–"
        if np.isnan(value)
        else f"{number(value, places)} [{number(bounds[0], places)}, {number(bounds[1], places)}]"
    )


def markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = "|".join(["---"] + ["--:"] * (len(header) - 1))
    return "\n".join([f"| {' | '.join(header)} |", f"|{rule}|", *(f"| {' | '.join(line)} |" for line in lines)])


def correlations(found: dict[str, Rows]) -> str:
    """Question 1: each score against the exact one."""
    rows, games = found["decoders"], found["games"]
    lines = []
    pairs = [(name, "f_syn_exact") for name in SYNERGY]
    for name, reference in [("f_syn", "f_syn_exact clipped"), *pairs]:
        line = [NAMES[name] + ("; against the clipped reference" if reference.endswith("clipped") else "")]
        pooled, inside, bounds = correlation(explained(rows, name), explained(rows, reference))
        line += [number(pooled), spanned(inside, bounds)]
        pooled, inside, _ = correlation(at_random(rows, name), at_random(rows, reference))
        line += [number(pooled), number(inside)]
        for kind in RANDOM_GAMES:
            both = [game_grid(games, kind, column) for column in (name, reference)]
            line.append(number(correlation(*both)[1]))
        lines.append(line)
    header = ["score", "explainers, pooled", "**explainers, within item**", "random explanations, pooled",
              "random explanations, within", "random smooth games, within", "random rough games, within"]  # fmt: skip
    return markdown(header, lines)


def game_grid(games: Rows, kind: str, column: str) -> Floats:
    """Scores of random explanations of random games, ``float64[games, seeds]``."""
    return grid(games, column, ("item",), "explainer", lambda row: row["game"] == kind)


def by_kind(found: dict[str, Rows]) -> str:
    """Question 1 by model and question type: mean ρ within an item."""
    rows = found["decoders"]
    models, kinds = (list(dict.fromkeys(key(row) for row in rows)) for key in (lambda r: r["model"], _kind))
    lines = []
    for what, keep in [
        *((model, lambda row, m=model: row["model"] == m) for model in models),
        *((kind, lambda row, k=kind: _kind(row) == k) for kind in kinds),
    ]:
        some = [row for row in rows if keep(row)]
        exact, names = explained(some, "f_syn_exact"), ("f_syn", "f_syn_signed", "f_syn_mid")
        means = [number(float(within(explained(some, name), exact).mean())) for name in names]
        lines.append([what, str(len(exact)), *means])
    return markdown(["of", "items", *(NAMES[k] for k in ("f_syn", "f_syn_signed", "f_syn_mid"))], lines)


def _kind(row: dict[str, Any]) -> str:
    return f"{row['data']}: {row['kind']}"


def costs(found: dict[str, Rows]) -> str:
    """Question 2: values and seconds, one explanation at a time."""
    rows = found["large"]
    lines = []
    exact = {what: _column(rows, f"f_syn_exact {what}") for what in ("values", "seconds")}
    for name in METRICS:
        own = {what: _column(rows, f"{name} {what}") for what in ("values", "seconds")}
        pooled, inside, bounds = correlation(*(_large(rows, column) for column in (name, "f_syn_exact")))
        lines.append(
            [
                NAMES[name],
                f"{own['values'].mean():.0f}",
                f"{own['seconds'].mean():.2f}",
                *(f"{exact[what].sum() / own[what].sum():.1f}×" for what in ("values", "seconds")),
                *([number(pooled), spanned(inside, bounds)] if name != "f_syn_exact" else ["1", "1"]),
            ]
        )
    header = ["score", "distinct values", "seconds", "fewer values", "**fewer seconds**", "ρ pooled", "ρ within item"]
    return markdown(header, lines)


def costs_by_size(found: dict[str, Rows]) -> str:
    """Question 2 by the number of players: the speed-up grows with the steps that differ."""
    lines = []
    for players in sorted({row["players"] for row in found["large"]}):
        rows = [row for row in found["large"] if row["players"] == players]
        exact = {what: _column(rows, f"f_syn_exact {what}") for what in ("values", "seconds")}
        line = [f"{players:.0f}", f"{exact['values'].mean():.0f}"]
        for name in ("f_syn", "f_syn_mid half", "f_syn_mid"):
            line += [f"{exact[what].sum() / _column(rows, f'{name} {what}').sum():.1f}×" for what in exact]
        lines.append(line)
    header = ["players", "values of the reference"]
    header += [f"{name}: {what}" for name in ("F_syn", "mid, every second step", "F_syn-mid") for what in exact]
    return markdown(header, lines)


def _column(rows: Rows, name: str) -> Floats:
    return np.array([float(row[name]) for row in rows])


def _large(rows: Rows, column: str) -> Floats:
    return grid(rows, column, ("model", "kind", "item"), "explainer", lambda _: True)


def auroc(better: Floats, worse: Floats) -> Floats:
    """For each item the share of pairs in which the better one scores higher, ties half: ``float64[items]``.

    Args:
        better: ``float64[items]``.
        worse: ``float64[items, seeds]`` or ``[items]``.
    """
    more = better[:, None] - worse.reshape(len(better), -1)
    return np.asarray(((more > 0) + 0.5 * (more == 0)).mean(axis=1))


def pooled_auroc(better: Floats, worse: Floats) -> float:
    """The same over all items at once: a score of one item against those of all others too."""
    ranks = rankdata(np.concatenate([better, worse.ravel()]))
    return float((ranks[: len(better)].sum() - len(better) * (len(better) + 1) / 2) / (len(better) * worse.size))


def separation(found: dict[str, Rows]) -> str:
    """Question 3: do the scores tell oracle, random and reversed oracle apart?"""
    rows = found["decoders"]
    names = [name for name in NAMES if name not in (*LOCAL, "sparseness")]
    lines = []
    for name in names:
        sign = -1 if name in LOWER else 1
        best, worst = (sign * control(rows, name, which) for which in (ORACLE, REVERSED))
        chance = sign * at_random(rows, name)
        each = auroc(best, worst)
        bounds = interval(lambda take, each=each: float(each[take].mean()), len(each))
        lines.append(
            [
                NAMES[name],
                spanned(float(each.mean()), bounds, 2),
                number(pooled_auroc(best, worst), 2),
                number(float(auroc(best, chance).mean()), 2),
                number(1 - float(auroc(worst, chance).mean()), 2),
                *(number(float(auroc(best, sign * control(rows, name, which)).mean()), 2) for which in HALVES),
                *(number(sign * float(one.mean())) for one in (best, chance, worst)),
            ]
        )
    header = ["score", "**oracle over reversed, paired**", "pooled", "oracle over random, paired",
              "random over reversed, paired", "oracle over image oracle", "oracle over text oracle", "mean: oracle",
              "random", "reversed"]  # fmt: skip
    return markdown(header, lines)


def collapses(found: dict[str, Rows]) -> str:
    """Question 4: τ of the rankings by image and by text as the language prior goes."""
    lines = []
    for model in PRIOR:
        one = collapse_of(found, model)
        rows = [row for row in found["prior"] if row["model"] == model]
        image, text = explained(rows, "srg image"), explained(rows, "srg text")
        lines.append(
            [
                f"`{model}`",
                number(text_alone(found, model), 2),
                number(float(image.mean()), 3),
                number(float(text.mean()), 3),
                number(float(explained(rows, "f_syn_exact").mean()), 3),
                spanned(one.tau, (one.low, one.high), 2),
                number(one.within, 2),
            ]
        )
    header = ["model", "text alone", "SRG image", "SRG text", "F_syn, exact", "**τ**", "τ within item"]
    return markdown(header, lines)


def collapse_of(found: dict[str, Rows], model: str) -> Any:
    """`chiasm.metrics.curves.Collapse` of a model."""
    rows = [row for row in found["prior"] if row["model"] == model]
    return collapse(explained(rows, "srg image"), explained(rows, "srg text"))


def text_alone(found: dict[str, Rows], model: str) -> float:
    """Strength of the language prior: mean share of the answer's probability that is left without the picture."""
    rows = [row for row in found["items"] if row["model"] == model]
    return float(np.mean([float(row["p text"]) / float(row["p full"]) for row in rows]))


def rankings(found: dict[str, Rows]) -> str:
    """Question 5: does a metric rank explainers as the planted truth does?"""
    rows = found["decoders"]
    planted, lines = explained(rows, "truth"), []
    for name in NAMES:
        values = (-1 if name in LOWER else 1) * explained(rows, name)

        def agreed(take: NDArray[np.intp], values: Floats = values) -> float:
            return float(kendalltau(values[take].mean(axis=0), planted[take].mean(axis=0)).statistic)

        every = np.arange(len(planted))
        inside = within(values, planted)
        bounds = interval(lambda take, inside=inside: float(inside[take].mean()), len(inside))
        line = [
            NAMES[name] + (" †" if name in LOCAL else ""),
            spanned(agreed(every), interval(agreed, len(planted)), 2),
            spanned(float(inside.mean()), bounds, 2),
        ]
        lines.append(line)
    return markdown(["metric", "**τ of the explainers' means**", "ρ within item"], lines)


def leaders(found: dict[str, Rows]) -> str:
    """The explainers by planted truth, with what some metrics say of them."""
    rows = found["decoders"]
    names = list(dict.fromkeys(row["explainer"] for row in rows if not row["control"]))
    columns = (
        "truth",
        "f_syn",
        "f_syn_signed",
        "f_syn_mid",
        "f_syn_exact",
        "srg",
        "srg image",
        "srg text",
        "fidelity",
    )
    means = {column: explained(rows, column).mean(axis=0) for column in columns}
    order = np.argsort(-means["truth"])
    lines = [[f"`{names[k]}`", *(number(float(means[column][k]), 2) for column in columns)] for k in order]
    lines += [
        [name, *(number(float(control(rows, column, name).mean()), 2) for column in columns)]
        for name in (ORACLE, REVERSED)
    ]
    lines.append(["random", *(number(float(at_random(rows, column).mean()), 2) for column in columns)])
    header = ["explainer", "planted truth", "F_syn", "signed", "mid", "exact", "SRG", "SRG image", "SRG text",
              "fidelity"]  # fmt: skip
    return markdown(header, lines)


def references(found: dict[str, Rows]) -> str:
    """How good is the reference itself?"""
    rows = found["decoders"]
    pooled, inside, bounds = correlation(explained(rows, "f_syn_exact"), explained(rows, "macro SII"))
    far = np.abs(explained(rows, "f_syn_exact") - explained(rows, "macro SII"))
    line = [number(pooled, 4), spanned(inside, bounds, 4), number(float(far.mean()), 4), number(float(far.max()), 3)]
    return markdown(["ρ pooled", "ρ within item", "mean difference", "largest"], [line])


TABLES: Final[dict[str, Callable[[dict[str, Rows]], str]]] = {
    "correlations": correlations,
    "by kind": by_kind,
    "references": references,
    "costs": costs,
    "costs by size": costs_by_size,
    "separation": separation,
    "collapse": collapses,
    "rankings": rankings,
    "leaders": leaders,
}


def filled(page: str, found: dict[str, Rows]) -> str:
    """A page with its tables written anew, each between ``<!-- table: NAME -->`` and ``<!-- /table -->``.

    Raises:
        SystemExit: the page has no place for one of the tables.
    """
    for name, table in TABLES.items():
        place = re.compile(rf"(<!-- table: {name} -->\n).*?(\n<!-- /table -->)", re.DOTALL)
        if not place.search(page):
            raise SystemExit(f"The page has no place for the table {name!r}: <!-- table: {name} --> … <!-- /table -->")
        text = table(found)
        page = place.sub(lambda match, text=text: match[1] + "\n" + text + "\n" + match[2], page)
    return page
