"""How far are estimators from exact pair values at an equal number of distinct values? Prints tables; gates nothing.

Games: known answers (`chiasm.testing.games`), and tables of all 2^n values of the zoo's model on its own questions, in
log-probability and probability (a few minutes each to build, once, into ``--tables``). Development games were looked at
while estimators were tuned; held-out games were not.

    python benchmarks/estimators.py --quick                 # known games and what tables there are; under two minutes
    python benchmarks/estimators.py --build                 # build missing tables, then the whole grid
    python benchmarks/estimators.py --families held-out --budgets 256 512 --estimators gp proxyspex

Columns: geometric mean over games and seeds of Σ(estimate − exact)²/Σ exact² over the pairs across parts (a pair
without an estimate counts as 0), share of those pairs whose exact value lies within 1.96 standard errors, processor
seconds of the estimator (the game's own time is next to none), and games × seeds that the estimator won.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from chiasm.core import indices
from chiasm.core.coalitions import Coalitions, all_coalitions
from chiasm.core.errors import BudgetTooSmall, InvalidInput, MissingDependency
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators import estimators
from chiasm.testing.games import KnownGame, SparsePolynomial, bilinear_sigmoid

Floats = NDArray[np.float64]

ESTIMATORS = ("gp", "permutation", "kernelshap-iq", "proxyspex", "svarm-iq")
BUDGETS = (256, 512, 1024, 2048)
SPLITS = {"development": 1, "held-out": 2}  # seeds of the zoo's questions
KINDS = ("colour", "shape", "existence", "counting")
GRIDS = ("3x3", "2x4", "2x3", "2x2")
MOST_PLAYERS = 14


@dataclass(frozen=True)
class Case:
    """A game with its exact pair values across two parts."""

    family: str
    name: str
    values: Callable[[Coalitions], Floats]
    sizes: tuple[int, int]
    pair: Floats

    @property
    def block(self) -> tuple[slice, slice]:
        """Rows of the first part, columns of the second."""
        return slice(0, self.sizes[0]), slice(self.sizes[0], None)

    def game(self) -> Game:
        """A fresh game without memory."""
        return Game(self.values, Players.abstract({"a": self.sizes[0], "b": self.sizes[1]}))


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


def known_case(family: str, name: str, known: KnownGame, sizes: tuple[int, int]) -> Case:
    return Case(family, name, known.values, sizes, known.exact("SII")[1])


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


def build_tables(folder: Path, weights: str) -> None:
    """All values of the zoo's model on one question of each kind and split, one file each."""
    import chiasm
    from chiasm.models.games import make_game
    from chiasm.zoo import dataset

    folder.mkdir(parents=True, exist_ok=True)
    model = chiasm.load(weights)
    for split, seed in SPLITS.items():
        for kind in KINDS:
            file = folder / f"{split}_{kind}.npz"
            if file.exists():
                continue
            sample = dataset("shapes", n=1, seed=seed, types=[kind])[0]
            games = [make_game(model, sample, players={"image": f"grid:{grid}"}).game for grid in GRIDS]
            game = next(game for game in games if game.n <= MOST_PLAYERS)
            cells = len(game.players.parts["image"])
            started = time.perf_counter()
            np.savez(file, values=game(all_coalitions(game.n)), sizes=(cells, game.n - cells))
            print(f"built {file.name}: {game.n} players, {time.perf_counter() - started:.0f} s", flush=True)


def table_cases(folder: Path) -> Iterator[Case]:
    for file in sorted(folder.glob("*_*.npz")):
        split, _, kind = file.stem.partition("_")
        with np.load(file) as stored:
            log_probability, sizes = stored["values"], tuple(int(k) for k in stored["sizes"])
        for scale, table in (("log", log_probability), ("prob", np.exp(log_probability))):
            bits = 1 << np.arange(sum(sizes))
            pair = indices.exact(table, indices.index("SII"))[1]
            look_up = lambda x, table=table, bits=bits: table[x.astype(np.int64) @ bits]  # noqa: E731
            yield Case(f"zoo {split} {scale}", f"{kind}-{scale}", look_up, (sizes[0], sizes[1]), pair)


def run(case: Case, name: str, budget: int, seed: int) -> Score | None:
    """One run, or ``None`` where the estimator refuses the budget or the game."""
    game, started = case.game(), time.process_time()
    try:
        *_, found = estimators.get(name).run(game, indices.index("SII"), budget, seed)
    except (BudgetTooSmall, InvalidInput, MissingDependency):
        return None
    seconds = time.process_time() - started
    exact, pair = case.pair[case.block], np.nan_to_num(found.pair[case.block])
    coverage = float("nan")
    if found.pair_errors is not None:
        errors = found.pair_errors[case.block]
        known = ~np.isnan(errors)
        if known.any():
            coverage = float((np.abs(pair - exact)[known] <= 1.96 * errors[known] + 1e-12).mean())
    error = float(((pair - exact) ** 2).sum() / (exact**2).sum())
    return Score(case, name, budget, seed, error, coverage, seconds)


def report(scores: list[Score]) -> None:
    """One table a family: estimator × budget."""
    for family in dict.fromkeys(score.case.family for score in scores):
        here = [score for score in scores if score.case.family == family]
        print(f"\n{family} ({len({s.case.name for s in here})} games)")
        print(f"{'estimator':<16}{'values':>7}{'error':>10}{'coverage':>10}{'seconds':>9}{'won':>8}")
        for budget in dict.fromkeys(score.budget for score in here):
            of_budget = [score for score in here if score.budget == budget]
            best = {
                key: min(s.error for s in of_budget if (s.case.name, s.seed) == key)
                for key in {(s.case.name, s.seed) for s in of_budget}
            }
            for name in dict.fromkeys(score.estimator for score in of_budget):
                mine = [score for score in of_budget if score.estimator == name]
                mean = np.exp(np.mean(np.log([max(s.error, 1e-30) for s in mine])))
                covered = [s.coverage for s in mine if not np.isnan(s.coverage)]
                coverage = f"{np.mean(covered):.3f}" if covered else "–"
                won = sum(s.error <= best[s.case.name, s.seed] for s in mine)
                seconds = np.mean([s.seconds for s in mine])
                print(f"{name:<16}{budget:>7}{mean:>10.4f}{coverage:>10}{seconds:>9.2f}{won:>5}/{len(best)}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="256 and 512 values, one seed, first game of each family")
    parser.add_argument("--build", action="store_true", help="build missing tables of the zoo's model first")
    parser.add_argument("--tables", type=Path, default=Path(tempfile.gettempdir(), "chiasm-estimator-tables"))
    parser.add_argument("--weights", default="zoo:llava-shapes", help="model of the tables")
    parser.add_argument("--budgets", type=int, nargs="+", default=list(BUDGETS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--estimators", nargs="+", default=list(ESTIMATORS))
    parser.add_argument("--families", nargs="+", default=[""], help="only families whose name contains one of these")
    given = parser.parse_args(arguments)
    if given.build:
        build_tables(given.tables, given.weights)
    cases = [*known_cases((10,) if given.quick else (10, 11)), *table_cases(given.tables)]
    cases = [case for case in cases if any(word in case.family for word in given.families)]
    budgets, seeds = given.budgets, given.seeds
    if given.quick:
        budgets, seeds = [256, 512], seeds[:1]
        cases = list({case.family: case for case in reversed(cases)}.values())[::-1]
    scores = []
    for case in cases:
        for budget in budgets:
            for name in given.estimators:
                found = [run(case, name, budget, seed) for seed in seeds if budget < 2 ** sum(case.sizes)]
                scores += [score for score in found if score is not None]
        print(f"{case.family}: {case.name} done", file=sys.stderr, flush=True)
    report(scores)
    return 0


if __name__ == "__main__":
    sys.exit(main())
