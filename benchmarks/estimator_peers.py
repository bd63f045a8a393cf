"""Peers from the newest shapiq, in an environment of their own: reads games from files, writes scores as JSON.

shapiq 1.5 and later (with ProxySHAP) needs a newer Python than Chiasm's oldest. So the games travel as files:

    python benchmarks/estimators.py --export games                       # in Chiasm's environment
    python benchmarks/estimator_peers.py games --out peers.json          # where shapiq ≥ 1.5 and xgboost are
    python benchmarks/estimators.py --peers peers.json                   # tables with both

Each peer gets exactly the budget that the others get, as distinct coalitions; how many it asked for is recorded.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapiq
from numpy.typing import NDArray
from pair_scores import pair_scores

warnings.filterwarnings("ignore")
Floats = NDArray[np.float64]


def proxyshap(**options: Any) -> Callable[[int, int], Any]:
    return lambda n, seed: shapiq.approximator.ProxySHAP(n, max_order=2, index="SII", random_state=seed, **options)


PEERS: dict[str, Callable[[int, int], Any]] = {
    "proxyshap": proxyshap(),
    "proxyshap-adjusted": proxyshap(adjustment=True, k_folds=5),
    "proxyspex-new": lambda n, seed: shapiq.approximator.ProxySPEX(n=n, index="SII", max_order=2, random_state=seed),
    "kernelshap-iq-new": lambda n, seed: shapiq.KernelSHAPIQ(n, 2, "SII", pairing_trick=True, random_state=seed),
    "svarm-iq-new": lambda n, seed: shapiq.SVARMIQ(n, 2, "SII", pairing_trick=True, random_state=seed),
}


class Counted:
    """A value function that remembers which coalitions it was asked for."""

    def __init__(self, values: Callable[[NDArray[np.bool_]], Floats]) -> None:
        self.values = values
        self.seen: dict[bytes, None] = {}

    def __call__(self, coalitions: NDArray[Any]) -> Floats:
        """Values of a batch."""
        rows = np.atleast_2d(np.asarray(coalitions)).astype(bool)
        self.seen.update(dict.fromkeys(row.tobytes() for row in rows))
        return self.values(rows)


def value_function(stored: Any) -> Callable[[NDArray[np.bool_]], Floats]:
    """The game in a file: a table of all values, or the terms of a polynomial."""
    if "table" in stored:
        table, bits = stored["table"].astype(np.float64), 1 << np.arange(int(stored["sizes"].sum()))
        return lambda x: table[x.astype(np.int64) @ bits]
    terms, coefficients = stored["terms"].astype(np.float64), stored["coefficients"]
    size = terms.sum(1)
    return lambda x: (x.astype(np.float64) @ terms.T >= size - 0.5) @ coefficients


def run(stored: Any, name: str, budget: int, seed: int) -> dict[str, Any]:
    """Score of one peer on one game."""
    sizes, exact = stored["sizes"], stored["exact"]
    n, first = int(sizes.sum()), int(sizes[0])
    game = Counted(value_function(stored))
    started = time.process_time()
    found = PEERS[name](n, seed).approximate(budget, game).dict_values
    seconds = time.process_time() - started
    pair = np.array([[found.get((i, j), 0.0) for j in range(first, n)] for i in range(first)])
    return {
        "estimator": name,
        "budget": budget,
        "seed": seed,
        **pair_scores(pair, exact),
        "seconds": seconds,
        "asked": len(game.seen),
    }


def scores(
    folder: Path, names: Sequence[str], budgets: Sequence[int], seeds: Sequence[int]
) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.npz")):
        with np.load(file) as opened:
            stored = dict(opened)
        for budget in budgets:
            # near 2^n values shapiq's samplers hardly end
            if budget * 4 > 2 ** int(stored["sizes"].sum()):
                continue
            for name in names:
                for seed in seeds:
                    try:
                        score = run(stored, name, budget, seed)
                    except (ValueError, IndexError, np.linalg.LinAlgError) as error:
                        print(f"{file.stem} {name} {budget}: {error}", flush=True)
                        continue
                    yield {"game": file.stem, **score}
        print(file.stem, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("games", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--budgets", type=int, nargs="+", default=[256, 512, 1024, 2048])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--estimators", nargs="+", default=["proxyshap", "proxyshap-adjusted"])
    given = parser.parse_args(arguments)
    found = json.loads(given.out.read_text()) if given.out.exists() else []
    for score in scores(given.games, given.estimators, given.budgets, given.seeds):
        found.append(score)
        given.out.write_text(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
