"""How far are estimators from exact pair values at an equal number of distinct values? Prints tables; gates nothing.

Games: known answers (`chiasm.testing.games`), wide sparse polynomials, and tables of all 2^n values of zoo models on
their own questions in log-probability and probability (`estimator_tables.py`). Development games were looked at while
estimators were tuned; held-out games were not.

    python benchmarks/estimators.py --quick                 # known games and what tables there are
    python benchmarks/estimators.py --build                 # build missing tables, then the whole grid
    python benchmarks/estimators.py --families held-out --budgets 256 512 --estimators gp proxyspex
    python benchmarks/estimators.py --export games          # games as files, for benchmarks/estimator_peers.py
    python benchmarks/estimators.py --peers peers.json      # its scores in the same tables

Columns: geometric mean over games and seeds of Σ(estimate − exact)²/Σ exact² over the pairs across parts (a pair
without an estimate counts as 0); its ratio to that of the best peer game by game (below 1: closer than any peer);
Spearman's correlation with the exact values; share of the ten strongest pairs that were found; share of the pairs
whose exact value lies within 1.96 standard errors; processor seconds of the estimator (the game's own time is next to
none); games that the estimator won. ``--figure FILE`` draws the errors.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from estimator_tables import MODELS, TABLES, build_all
from numpy.typing import NDArray
from pair_scores import pair_scores

from chiasm.core import indices
from chiasm.core.coalitions import Coalitions, all_coalitions
from chiasm.core.errors import BudgetTooSmall, InvalidInput, MissingDependency
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.core.target import Scale
from chiasm.estimators import estimators
from chiasm.testing.games import KnownGame, SparsePolynomial, bilinear_sigmoid

Floats = NDArray[np.float64]

ESTIMATORS = ("gp", "permutation", "kernelshap-iq", "proxyspex", "svarm-iq")
BUDGETS = (256, 512, 1024, 2048)
MOST_TABLED = 18


@dataclass(frozen=True)
class Case:
    """A game with its exact pair values across two parts."""

    family: str
    name: str
    values: Callable[[Coalitions], Floats]
    sizes: tuple[int, int]
    pair: Floats
    scale: Scale = "value"
    source: KnownGame | None = None

    @property
    def block(self) -> tuple[slice, slice]:
        """Rows of the first part, columns of the second."""
        return slice(0, self.sizes[0]), slice(self.sizes[0], None)

    def game(self) -> Game:
        """A fresh game without memory."""
        return Game(self.values, Players.abstract({"a": self.sizes[0], "b": self.sizes[1]}), scale=self.scale)


@dataclass(frozen=True)
class Score:
    """What one run gave."""

    case: Case
    estimator: str
    budget: int
    seed: int
    error: float
    coverage: float
    seconds: float
    rank: float
    top: float


def known_case(family: str, name: str, known: KnownGame, sizes: tuple[int, int]) -> Case:
    return Case(family, name, known.values, sizes, known.exact("SII")[1], source=known)


def wide_polynomial(seed: int, sizes: tuple[int, int] = (49, 8), matter: int = 12) -> SparsePolynomial:
    """Terms of up to four players in which few of the first part's players matter and all of the second's."""
    rng = np.random.default_rng(seed)
    first, n = rng.permutation(sizes[0])[:matter].tolist(), sum(sizes)
    second = list(range(sizes[0], n))
    terms: dict[tuple[int, ...], float] = {
        (i,): float(rng.normal()) * (0.5 if i in first or i >= sizes[0] else 0.05) for i in range(n)
    }
    for i in first:
        for j in second:
            if rng.random() < 0.35:
                terms[i, j] = float(rng.normal())
    for count, ones, others in ((20, 2, 1), (10, 2, 2)):
        for _ in range(count):
            who = [*rng.choice(first, ones, replace=False), *rng.choice(second, others, replace=False)]
            term = tuple(sorted(int(i) for i in who))
            terms[term] = terms.get(term, 0.0) + 0.7 * float(rng.normal())
    return SparsePolynomial(n, terms)


def wide_bilinear(seed: int, sizes: tuple[int, int] = (49, 8), matter: int = 10) -> SparsePolynomial:
    """A sparse bilinear game with hardly any effect of single players."""
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    terms: dict[tuple[int, ...], float] = {(i,): 0.1 * float(rng.normal()) for i in range(n)}
    for i in rng.permutation(sizes[0])[:matter].tolist():
        for j in range(sizes[0], n):
            if rng.random() < 0.4:
                terms[i, j] = 2 * float(rng.normal())
    return SparsePolynomial(n, terms)


def known_cases(seeds: Sequence[int]) -> Iterator[Case]:
    for seed in seeds:
        yield known_case("sigmoid 8x6", f"sigmoid-{seed}", bilinear_sigmoid(14, seed), (8, 6))
        yield known_case("polynomial 49x8", f"polynomial-{seed}", wide_polynomial(seed), (49, 8))
        yield known_case("bilinear 49x8", f"bilinear-{seed}", wide_bilinear(seed), (49, 8))
        wide = (196, 20)
        yield known_case("polynomial 196x20", f"polynomial-wide-{seed}", wide_polynomial(seed, wide), wide)


def table_cases(folder: Path) -> Iterator[Case]:
    for file in sorted(folder.glob("*_*.npz")):
        split = file.stem.partition("_")[0]
        with np.load(file) as stored:
            log_probability, sizes = stored["values"].astype(np.float64), tuple(int(k) for k in stored["sizes"])
        scales: tuple[tuple[Scale, str], ...] = (("log_probability", "log"), ("probability", "prob"))
        for scale, short in scales:
            table = log_probability if short == "log" else np.exp(log_probability)
            bits = 1 << np.arange(sum(sizes))
            pair = indices.exact(table, indices.index("SII"))[1]
            look_up = lambda x, table=table, bits=bits: table[x.astype(np.int64) @ bits]  # noqa: E731
            yield Case(f"zoo {split} {short}", f"{file.stem}_{short}", look_up, (sizes[0], sizes[1]), pair, scale)


def export(cases: Sequence[Case], folder: Path) -> None:
    """Games as files that an environment without Chiasm can play."""
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        n, exact = sum(case.sizes), case.pair[case.block]
        if n <= MOST_TABLED:
            content = {"table": case.values(all_coalitions(n))}
        else:
            known = case.source
            if not isinstance(known, SparsePolynomial):
                continue
            terms = np.zeros((len(known.terms), n), bool)
            for row, term in enumerate(known.terms):
                terms[row, list(term)] = True
            content = {"terms": terms, "coefficients": np.array(list(known.terms.values()))}
        np.savez(folder / f"{case.name}.npz", sizes=np.array(case.sizes), exact=exact, **content)


def peer_scores(file: Path, cases: Sequence[Case]) -> list[Score]:
    """Scores that `estimator_peers.py` wrote, of the games at hand."""
    by_name = {case.name: case for case in cases}
    return [
        Score(
            by_name[one["game"]],
            one["estimator"],
            one["budget"],
            one["seed"],
            **{name: one.get(name, float("nan")) for name in ("error", "coverage", "seconds", "rank", "top")},
        )
        for one in json.loads(file.read_text())
        if one["game"] in by_name
    ]


def run(case: Case, name: str, budget: int, seed: int) -> Score | None:
    """One run, or ``None`` where the estimator refuses the budget or the game."""
    game, started = case.game(), time.process_time()
    try:
        *_, found = estimators.get(name).run(game, indices.index("SII"), budget, seed)
    except (BudgetTooSmall, InvalidInput, MissingDependency):
        return None
    seconds = time.process_time() - started
    exact, pair = case.pair[case.block], found.pair[case.block]
    coverage = float("nan")
    if found.pair_errors is not None:
        errors = found.pair_errors[case.block]
        known = ~np.isnan(errors)
        if known.any():
            coverage = float((np.abs(pair - exact)[known] <= 1.96 * errors[known] + 1e-12).mean())
    return Score(case, name, budget, seed, coverage=coverage, seconds=seconds, **pair_scores(pair, exact))


def geometric(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-30)))))


def report(scores: list[Score], ours: str = "gp") -> None:
    """One table a family: estimator × budget; runs of several seeds count as their geometric mean."""
    for family in dict.fromkeys(score.case.family for score in scores):
        here = [score for score in scores if score.case.family == family]
        print(f"\n{family} ({len({s.case.name for s in here})} games)")
        heads = ("values", "games", "error", "to best", "rank", "top 10", "coverage", "seconds", "won")
        print(f"{'estimator':<20}" + "".join(f"{head:>10}" for head in heads))
        for budget in sorted({score.budget for score in here}):
            of_budget = [score for score in here if score.budget == budget]
            errors: dict[str, dict[str, float]] = {}
            for name in dict.fromkeys(score.estimator for score in of_budget):
                for game in dict.fromkeys(s.case.name for s in of_budget if s.estimator == name):
                    mine = [s.error for s in of_budget if (s.estimator, s.case.name) == (name, game)]
                    errors.setdefault(game, {})[name] = geometric(mine)
            for name in dict.fromkeys(score.estimator for score in of_budget):
                print(_line(name, budget, [s for s in of_budget if s.estimator == name], errors, ours))


def _mean(values: Sequence[float]) -> str:
    """Mean of those that are known."""
    known = [value for value in values if not np.isnan(value)]
    return f"{np.mean(known):.3f}" if known else "–"


def _line(name: str, budget: int, mine: list[Score], errors: dict[str, dict[str, float]], ours: str) -> str:
    """One row; the best peer of a game is any other estimator than our own, and than the row's."""
    played = [game for game in errors if name in errors[game]]
    rivals = {game: [e for who, e in errors[game].items() if who not in (name, ours)] for game in played}
    ratios = [errors[game][name] / min(rivals[game]) for game in played if rivals[game]]
    covered = [s.coverage for s in mine]
    won = sum(errors[game][name] <= min(errors[game].values()) for game in played)
    cells = (
        f"{budget}",
        f"{len(played)}",
        f"{geometric([errors[game][name] for game in played]):.5f}",
        f"{geometric(ratios):.3f}" if ratios else "–",
        _mean([s.rank for s in mine]),
        _mean([s.top for s in mine]),
        _mean(covered),
        f"{np.mean([s.seconds for s in mine]):.2f}",
        f"{won}",
    )
    return f"{name:<20}" + "".join(f"{cell:>10}" for cell in cells)


def draw(scores: list[Score], file: Path) -> None:
    """Errors against budgets, one panel a family, both axes logarithmic."""
    from matplotlib.figure import Figure

    families = list(dict.fromkeys(score.case.family for score in scores))
    names = list(dict.fromkeys(score.estimator for score in scores))
    figure = Figure(figsize=(4.2 * len(families), 3.8), layout="constrained")
    panels = figure.subplots(1, len(families), squeeze=False, sharey=True)[0]
    for panel, family in zip(panels, families, strict=True):
        for name, colour, marker in zip(names, _COLOURS, _MARKERS, strict=False):
            mine = [s for s in scores if (s.case.family, s.estimator) == (family, name)]
            budgets = sorted({s.budget for s in mine})
            errors = [geometric([s.error for s in mine if s.budget == budget]) for budget in budgets]
            panel.loglog(budgets, errors, color=colour, marker=marker, label=name)
        ticks = sorted({s.budget for s in scores if s.case.family == family})
        panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
        panel.minorticks_off()
        panel.set(title=family, xlabel="distinct values of the game")
        panel.grid(visible=True, alpha=0.3)
    panels[0].set_ylabel("squared error of the pairs / Σ exact²\n(geometric mean over games)")
    panels[0].legend(frameon=False)
    figure.savefig(file, dpi=150)


#: told apart by people who see no red or green too, and by their markers (Okabe & Ito 2008)
_COLOURS = ("#000000", "#D55E00", "#0072B2", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_MARKERS = ("o", "s", "^", "v", "D", "P", "X")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="256 and 512 values, one seed, first game of each family")
    parser.add_argument("--build", action="store_true", help="build missing tables of the zoo's models first")
    parser.add_argument("--tables", type=Path, default=TABLES)
    parser.add_argument("--models", nargs="+", default=list(MODELS), help="models of the tables")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--estimators", nargs="*", default=list(ESTIMATORS))
    parser.add_argument("--families", nargs="+", default=[""], help="only families whose name contains one of these")
    parser.add_argument("--export", type=Path, help="write the games there and stop")
    parser.add_argument("--peers", type=Path, nargs="+", default=[], help="scores of estimator_peers.py, or of --out")
    parser.add_argument("--figure", type=Path, help="draw the errors there")
    parser.add_argument("--out", type=Path, help="write the scores there too, as JSON")
    given = parser.parse_args(arguments)
    if given.build:
        build_all(given.tables, given.models)
    cases = [*known_cases((10,) if given.quick else (10, 11)), *table_cases(given.tables)]
    cases = [case for case in cases if any(word in case.family for word in given.families)]
    if given.export is not None:
        export(cases, given.export)
        return 0
    budgets, seeds = given.budgets, given.seeds
    if given.quick:
        budgets, seeds = [256, 512], seeds[:1]
        cases = list({case.family: case for case in reversed(cases)}.values())[::-1]
    scores = [score for file in given.peers for score in peer_scores(file, cases)]
    scores = [score for score in scores if score.budget in budgets]
    for case in cases if given.estimators else []:
        for budget in budgets:
            if 4 * budget > 2 ** sum(case.sizes):  # near 2^n values shapiq's samplers hardly end
                continue
            for name in given.estimators:
                found = [run(case, name, budget, seed) for seed in seeds]
                scores += [score for score in found if score is not None]
        print(f"{case.family}: {case.name} done", file=sys.stderr, flush=True)
        if given.out is not None:
            write(scores, given.out)
    report(scores)
    if given.figure is not None:
        draw(scores, given.figure)
    return 0


def write(scores: Sequence[Score], file: Path) -> None:
    """Scores as JSON, as `peer_scores` reads them."""
    kept = ("estimator", "budget", "seed", "error", "coverage", "seconds", "rank", "top")
    file.write_text(json.dumps([{"game": s.case.name, **{key: getattr(s, key) for key in kept}} for s in scores]))


if __name__ == "__main__":
    sys.exit(main())
