"""Tower passes, model passes and seconds until the pairs across parts are known: designs that share against none.

    python benchmarks/passes.py dual                     # zoo:clip-captions, exact truth: every mask of each part
    python benchmarks/passes.py decoder --tables FOLDER  # zoo:llava-shapes, truth by exact_games.py (minutes a game),
                                                         # and the same counts behind the prompt of throughput
    python benchmarks/passes.py throughput               # a LLaVA with 24 x 24 patches and random weights
    python benchmarks/passes.py all --tables FOLDER

Error: Σ(estimate − exact)²/Σ exact² over the pairs across parts, geometric mean over seeds; goal ≤ 0.05 (--goal). Every
method goes up a ladder of budgets, each √2 of the last, and stops at the first that reaches the goal. "Unshared" is
what MultiSHAP and FIxLIP do: both towers, or the whole prompt, for every coalition; FIxLIP is held against the Banzhaf
index, which it estimates. Their model time is values × the measured seconds of one value in batches of 64 without any
reuse; the shared methods run the model. Estimator time is in both. ">" marks a method that ran out of ladder. Seconds
are the process's own, on one thread, or wall time with a GPU.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from long_prompt import clock, seconds_of, throughput
from numpy.typing import NDArray

from chiasm.core import indices
from chiasm.core.coalitions import Coalitions, all_coalitions
from chiasm.core.errors import BudgetTooSmall
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators import estimators
from chiasm.estimators.gp_indices import means
from chiasm.estimators.gp_kernel import Kernel, Posterior, fit, standardise
from chiasm.estimators.nested import nested_coalitions

Floats = NDArray[np.float64]

CAPTION_GRID, QUESTION_GRID = "3x4", "3x3"
MOST_WORDS = 8
PEERS = (("multishap", "SII"), ("fixlip", "BII"), ("gp", "SII"))
LADDER = tuple(round(2 ** (k / 2)) for k in range(16, 41))
MOST_GP = 1024
"""Values from which the Gaussian process takes long."""


@dataclass(frozen=True)
class Reached:
    """The first budget at which a method reached the goal.

    Attributes:
        error: mean over seeds.
        values: distinct values.
        towers: runs of a tower (dual encoder), or passes in units of a whole one (decoder).
        seconds: of model and estimator.
        enough: whether the goal was reached.
    """

    method: str
    error: float
    values: float
    towers: float
    seconds: float
    enough: bool = True

    def line(self) -> str:
        """One row of the table."""
        mark = " " if self.enough else ">"
        return (
            f"  {self.method:28s} error {self.error:8.4f}  values {mark}{self.values:9,.0f}  "
            f"passes {mark}{self.towers:11,.1f}  seconds {mark}{self.seconds:9.2f}"
        )


def off(found: Floats, exact: Floats, first: int) -> float:
    """The error of pairs across two parts; a pair without an estimate counts as 0."""
    wanted = exact[:first, first:]
    return float(((np.nan_to_num(found[:first, first:]) - wanted) ** 2).sum() / (wanted**2).sum())


def mean_log(values: Sequence[float]) -> float:
    return float(np.exp(np.mean(np.log(np.maximum(values, 1e-12)))))


def unshared(
    table: Floats, sizes: tuple[int, int], seconds: float, per_value: float, args: argparse.Namespace
) -> Iterator[Reached]:
    """Peers on a table of all values, at the price of values that share nothing."""
    n = sum(sizes)
    bits = 1 << np.arange(n)
    exact = {name: indices.exact(table, indices.index(name))[1] for name in {name for _, name in PEERS}}
    for method, name in PEERS:
        best: Reached | None = None
        for budget in (b for b in LADDER if b <= 1 << n and (method != "gp" or b <= MOST_GP)):
            errors, values, spent = [], [], []
            for seed in range(args.seeds):
                game = Game(lambda c: table[c @ bits], Players.abstract({"image": sizes[0], "text": sizes[1]}))
                started = clock()
                try:
                    *_, found = estimators.get(method).run(game, indices.index(name), budget, seed)
                except BudgetTooSmall:
                    break
                spent.append(clock() - started)
                errors.append(off(found.pair, exact[name], sizes[0]))
                values.append(game.counts.computed)
            if errors:
                count = float(np.mean(values))
                best = Reached(
                    f"unshared {method} ({name})",
                    mean_log(errors),
                    count,
                    per_value * count,
                    float(np.mean(spent)) + seconds * count,
                    mean_log(errors) <= args.goal,
                )
                if best.enough:
                    break
        if best is not None:
            yield best


def dual(args: argparse.Namespace) -> list[tuple[Reached, list[Reached]]]:
    """The dual encoder: crossed grids against both towers for every pair."""
    import chiasm
    from chiasm.models.games import make_game
    from chiasm.zoo import dataset

    model = chiasm.load("zoo:clip-captions", device=args.device)
    rows = []
    samples = iter(dataset("captions", n=60, seed=31))
    while len(rows) < args.items:
        sample = next(samples)
        values: Any = make_game(model, sample, players={"image": f"grid:{CAPTION_GRID}"}).game._values  # noqa: SLF001
        sizes = tuple(len(part) for part in values._players.parts.values())  # noqa: SLF001
        if sizes[1] > MOST_WORDS:
            continue
        pictures = np.stack(values.images._compute(all_coalitions(sizes[0])))  # noqa: SLF001
        texts = np.stack(values.texts._compute(all_coalitions(sizes[1])))  # noqa: SLF001
        table = (pictures @ texts.T).T.ravel()
        some = np.random.default_rng(0).random((256, sum(sizes))) < 0.5
        started = clock()
        for k in range(0, 256, 64):
            values.images._compute(some[k : k + 64, : sizes[0]])  # noqa: SLF001
            values.texts._compute(some[k : k + 64, sizes[0] :])  # noqa: SLF001
        naive = clock() - started
        print(f"{sample['text'].data!r}: {sizes[0]} + {sizes[1]} players, {naive / 256 * 1e3:.2f} ms an unshared value")
        ours = crossed_until(model, sample, table, sizes, args)
        print(ours.line(), flush=True)
        peers = []
        for one in unshared(table, sizes, naive / 256, 2.0, args):
            print(one.line(), flush=True)
            peers.append(one)
        rows.append((ours, peers))
    return rows


def crossed_until(model: Any, sample: Any, table: Floats, sizes: tuple[int, int], args: argparse.Namespace) -> Reached:
    """``crossed`` on the model itself, from nothing, up the ladder."""
    from chiasm.models.games import make_game

    exact = indices.exact(table, indices.index("SII"))[1]
    for budget in LADDER:
        errors, values_used, towers, seconds = [], [], [], []
        for seed in range(args.seeds):
            game = make_game(model, sample, players={"image": f"grid:{CAPTION_GRID}"}).game
            started = clock()
            *_, found = estimators.get("crossed").run(game, indices.index("SII"), budget, seed)
            seconds.append(clock() - started)
            inner: Any = game._values  # noqa: SLF001
            errors.append(off(found.pair, exact, sizes[0]))
            values_used.append(game.counts.computed)
            towers.append(inner.images.computed + inner.texts.computed)
        if mean_log(errors) <= args.goal:
            break
    means_of = [float(np.mean(x)) for x in (values_used, towers, seconds)]
    return Reached("crossed (SII)", mean_log(errors), *means_of, mean_log(errors) <= args.goal)


def decoder(args: argparse.Namespace) -> list[tuple[Reached, list[Reached]]]:
    """The decoder: nested coalitions behind shared prefixes against whole prompts for every coalition."""
    import chiasm
    from chiasm.models.games import make_game

    model = chiasm.load("zoo:llava-shapes", device=args.device)
    rows = []
    for sample, table in question_tables(model, args):
        match = make_game(model, sample, players={"image": f"grid:{QUESTION_GRID}"})
        parts = match.game.players.parts
        sizes = (len(parts["image"]), len(parts["text"]))
        naive = seconds_of(match.game._values, sum(sizes), reuse=False) / 128  # noqa: SLF001
        costs = match.game.costs
        print(
            f"{sample['text'].data!r}: {sizes[0]} + {sizes[1]} players, {naive * 1e3:.2f} ms an unshared value; costs "
            f"{costs.encode['image']:.3f} a picture, {costs.cell:.3f} a coalition"
        )
        ours = nested_until(model, sample, table, sizes, args)
        print(ours.line(), flush=True)
        peers = []
        for one in unshared(table, sizes, naive, 1.0, args):
            print(one.line(), flush=True)
            peers.append(one)
        rows.append((ours, peers))
    return rows


def nested_until(model: Any, sample: Any, table: Floats, sizes: tuple[int, int], args: argparse.Namespace) -> Reached:
    """A Gaussian process on a nested design, on the model itself, from nothing, up a ladder of masks."""
    from chiasm.estimators.spending import passes
    from chiasm.models.games import make_game

    exact = indices.exact(table, indices.index("SII"))[1]
    for masks in (24, 32, 48, 64, 96, 128, 192, 256, 384, 512):
        errors, values, cost, seconds = [], [], [], []
        for seed in range(args.seeds):
            game = make_game(model, sample, players={"image": f"grid:{QUESTION_GRID}"}).game
            coalitions = nested_coalitions(game.players, "image", masks, args.each, seed)
            started = clock()
            pair = surrogate_pairs(coalitions, game(coalitions), seed)
            seconds.append(clock() - started)
            errors.append(off(pair, exact, sizes[0]))
            values.append(len(coalitions))
            cost.append(passes(game.costs, game.players, coalitions))
        if mean_log(errors) <= args.goal:
            break
    means_of = [float(np.mean(x)) for x in (values, cost, seconds)]
    return Reached(f"nested × {args.each}, prefix (SII)", mean_log(errors), *means_of, mean_log(errors) <= args.goal)


def surrogate_pairs(coalitions: Coalitions, values: Floats, seed: int) -> Floats:
    """SII of the Gaussian process of ``gp`` on given coalitions."""
    x = coalitions.astype(np.float64)
    some = np.random.default_rng(seed).permutation(len(x))[:512]
    kernel = fit(Kernel.start(x.shape[1]), x[some], standardise(values)[2][some], 40)
    return means(Posterior(kernel, x, values), indices.index("SII"))[1]


def question_tables(model: Any, args: argparse.Namespace) -> Iterator[tuple[Any, Floats]]:
    """Questions of the zoo with all their values; tables are kept in a folder."""
    from exact_games import exact_values

    from chiasm.models.games import make_game
    from chiasm.zoo import dataset

    args.tables.mkdir(parents=True, exist_ok=True)
    for kind in ("colour", "existence", "counting", "shape")[: args.items]:
        for sample in dataset("shapes", n=6, seed=21, types=[kind]):
            match = make_game(model, sample, players={"image": f"grid:{QUESTION_GRID}"})
            if match.game.n <= 17 and len(match.game._values.asks[0].ids) == 1:  # type: ignore[attr-defined]  # noqa: SLF001
                break
        file = args.tables / f"passes_{kind}.npy"
        if not file.exists():
            np.save(file, exact_values(match, model.forward))
        yield sample, np.load(file)


def behind_long_prompts(rows: list[tuple[Reached, list[Reached]]], seconds: dict[int, float], each: int) -> None:
    """Model seconds at equal error if the questions of the zoo had the prompt of 576 patches: values × seconds each.

    An extrapolation: the values that each method needed are those of the zoo's own games.
    """
    per_value = seconds[min(seconds, key=lambda k: abs(k - each) if k else float("inf"))]
    print("\n576 patches: values needed on the zoo's questions × seconds of a value behind the long prompt")
    for k, one in enumerate(rows[0][1]):
        faster = [peers[k].values * seconds[0] / (ours.values * per_value) for ours, peers in rows]
        print(f"  {one.method:28s} {mean_log(faster):8.1f} × seconds")


def summary(title: str, rows: list[tuple[Reached, list[Reached]]]) -> None:
    """Geometric means of how many times less was spent than by each peer; a peer that ran out counts as it stood."""
    print(f"\n{title}: peers' spending over ours, geometric mean of {len(rows)} items")
    for k, one in enumerate(rows[0][1]):
        fewer = mean_log([peers[k].towers / ours.towers for ours, peers in rows])
        faster = mean_log([peers[k].seconds / ours.seconds for ours, peers in rows])
        missed = sum(not peers[k].enough for _, peers in rows)
        note = f"  ({missed} did not reach the goal)" if missed else ""
        print(f"  {one.method:28s} {fewer:8.1f} × passes  {faster:8.1f} × seconds{note}")
    reached = sum(ours.enough for ours, _ in rows)
    print(f"  ours reached the goal on {reached} of {len(rows)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["dual", "decoder", "throughput", "all"])
    parser.add_argument("--items", type=int, default=4, help="captions and questions")
    parser.add_argument("--seeds", type=int, default=2, help="runs of each method at each budget")
    parser.add_argument("--goal", type=float, default=0.05, help="error to be reached")
    parser.add_argument("--each", type=int, default=8, help="texts for each masked picture (decoder)")
    parser.add_argument("--tables", type=Path, default=Path(tempfile.gettempdir()) / "chiasm-passes")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    if args.what in ("dual", "all"):
        summary("dual encoder", dual(args))
    rows = decoder(args) if args.what in ("decoder", "all") else []
    if rows:
        summary("decoder", rows)
    if args.what in ("throughput", "decoder", "all"):
        seconds = throughput(args.device)
        if rows:
            behind_long_prompts(rows, seconds, args.each)


if __name__ == "__main__":
    main()
