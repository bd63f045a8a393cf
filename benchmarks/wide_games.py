"""Pairs of 49 patches with the words of a question on the zoo's models: estimators against a long unbiased run.

    python benchmarks/wide_games.py truth --folder FOLDER            # minutes a game; goes on where it stopped
    python benchmarks/wide_games.py score --folder FOLDER --budgets 512 1024 2048

Truth of a pair (patch i, word j) of the Shapley interaction index: every player enters at a random time. At the time of
patch i all others are present that came before, so the change that i makes there is a sample of its derivative at a
uniformly drawn presence, and the mean over all coalitions of words, each with its probability at that time, is taken
exactly. One chain of 50 pictures, each with every coalition of words, thus gives one unbiased sample of every pair.

Error: (Σ(estimate − truth)² − Σ se²) / (Σ truth² − Σ se²) over the pairs of patches and words, se the standard error of
the truth, so that its noise neither helps nor hurts anyone. The truth's own noise, Σ se² / Σ truth², is printed.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from exact_games import all_words
from numpy.typing import NDArray

from chiasm.core import indices
from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import BudgetTooSmall, InvalidInput, MissingDependency
from chiasm.core.game import Game
from chiasm.core.target import Target
from chiasm.estimators import estimators

Floats = NDArray[np.float64]

SEED = 3003
GRID = "grid:7x7"
MOST_WORDS = 9
DECODERS = ("llava-shapes", "qwen-shapes", "idefics-shapes")
KINDS = ("colour", "shape", "existence")
SCALES = ("log_probability", "probability")
CHAINS = 200
ESTIMATORS = ("gp", "permutation", "kernelshap-iq", "proxyspex", "svarm-iq", "multishap")


def game_of(model: Any, name: str, kind: str, scale: str) -> tuple[Any, str]:
    """The first question of a kind with few words that the model answers rightly, as a game."""
    import chiasm
    from chiasm.models.games import make_game

    for sample in chiasm.dataset("shapes", n=40, seed=SEED, types=[kind]):
        match = make_game(model, sample, players={"image": GRID}, target=Target(scale))  # type: ignore[arg-type]
        if len(match.game.players["text"]) <= MOST_WORDS and match.prediction.answer == sample.answer:
            return match, str(sample["text"].data)
    raise InvalidInput(f"{name} answers no question of kind {kind} rightly.")


def chain(match: Any, forward: Any, rng: np.random.Generator) -> Floats:
    """One sample of the index of every pair in both scales, ``float64[scales, patches, words]``."""
    cells, words = len(match.game.players["image"]), len(match.game.players["text"])
    times = rng.random(cells)
    order = np.argsort(times)
    pictures = np.zeros((cells + 1, cells), bool)
    for step, patch in enumerate(order):
        pictures[step + 1] = pictures[step]
        pictures[step + 1, patch] = True
    table = all_words(match, forward, pictures)  # log-probabilities
    changes = [np.diff(values, axis=0) for values in (table, np.exp(table))]  # what each patch adds, for all words
    texts = all_coalitions(words)
    found = np.empty((2, cells, words))
    for step, patch in enumerate(order):
        q = times[patch]
        size = texts.sum(axis=1)
        for word in range(words):
            has = texts[:, word]
            others = np.where(has, size - 1, size)
            weight = q**others * (1 - q) ** (words - 1 - others)
            for scale, change in enumerate(changes):
                found[scale, patch, word] = (np.where(has, weight, -weight) * change[step]).sum()
    return found


def truth(folder: Path, chains: int, models: Sequence[str], kinds: Sequence[str]) -> None:
    """Chains of all games; each file grows until it has enough of them."""
    import chiasm

    folder.mkdir(parents=True, exist_ok=True)
    for name in models:
        model = chiasm.load(f"zoo:{name}")
        for kind in kinds:
            file = folder / f"{name}_{kind}.npz"
            found = list(np.load(file)["chains"]) if file.exists() else []
            match, text = game_of(model, name, kind, SCALES[0])
            started = time.process_time()
            while len(found) < chains:
                found.append(chain(match, model.forward, np.random.default_rng([SEED, len(found)])))
                if len(found) % 20 == 0 or len(found) == chains:
                    np.savez(file.with_suffix(".part.npz"), chains=np.array(found))
                    file.with_suffix(".part.npz").replace(file)
            mean, error = summary(np.array(found))
            noise = (error**2).sum(axis=(1, 2)) / (mean**2).sum(axis=(1, 2))
            seconds = time.process_time() - started
            print(f"{file.stem}: {text!r}, {len(found)} chains, noise {noise.round(4)}, {seconds:.0f} s", flush=True)


def summary(chains: Floats) -> tuple[Floats, Floats]:
    """Mean and standard error over chains."""
    return chains.mean(axis=0), chains.std(axis=0, ddof=1) / np.sqrt(len(chains))


def score(folder: Path, budgets: Sequence[int], names: Sequence[str]) -> None:
    """A line for each game, budget and estimator, then geometric means."""
    import chiasm

    every: dict[tuple[str, int, str], list[tuple[float, float, float]]] = {}
    for name in DECODERS:
        files = sorted(folder.glob(f"{name}_*.npz"))
        model = chiasm.load(f"zoo:{name}") if files else None
        for file, (place, scale) in itertools.product(files, enumerate(SCALES)):
            mean, error = (both[place] for both in summary(np.load(file)["chains"]))
            match, _ = game_of(model, name, file.stem.split("_")[1], scale)
            for budget in budgets:
                for method in names:
                    found = one(match.game, method, budget, mean, error)
                    if found is not None:
                        every.setdefault((scale, budget, method), []).append(found)
                        print(f"{file.stem:24} {scale:16} {budget:5} {method:14} {words(*found)}", flush=True)
    print("\ngeometric means over games")
    for (scale, budget, method), rows in sorted(every.items()):
        errors, cover, seconds = map(np.array, zip(*rows, strict=True))
        middle = np.exp(np.log(np.maximum(errors, 1e-4)).mean())
        spent = words(float(middle), float(np.nanmean(cover)), float(seconds.mean()))
        print(f"{scale:16} {budget:5} {method:14} {spent}  {len(rows)} games")


def words(error: float, cover: float, seconds: float) -> str:
    """Scores in a line."""
    return f"error {error:.4f}  95 % cover {cover:.3f}  {seconds:6.1f} s"


def one(base: Game, method: str, budget: int, mean: Floats, error: Floats) -> tuple[float, float, float] | None:
    """Error, coverage and the estimator's own processor seconds; ``None`` where it refuses."""
    spent = 0.0

    def values(coalitions: NDArray[np.bool_]) -> Floats:
        nonlocal spent
        before = time.process_time()
        found = base(coalitions)
        spent += time.process_time() - before
        return found

    game = Game(values, base.all_players, batch_size=base.batch_size, scale=base.scale)
    started = time.process_time()
    try:
        *_, found = estimators.get(method).run(game, indices.index("SII"), budget, 0)
    except (BudgetTooSmall, InvalidInput, MissingDependency):
        return None
    own = time.process_time() - started - spent
    block = np.nan_to_num(found.pair[game.players.slices["image"], game.players.slices["text"]])
    noise = (error**2).sum()
    off = (((block - mean) ** 2).sum() - noise) / ((mean**2).sum() - noise)
    cover = float("nan")
    if found.pair_errors is not None:
        errors = found.pair_errors[game.players.slices["image"], game.players.slices["text"]]
        known = np.isfinite(errors)
        if known.any():  # the truth has an error of its own
            whole = 1.96 * np.sqrt(errors[known] ** 2 + error[known] ** 2)
            cover = float((np.abs(block - mean)[known] <= whole).mean())
    return float(off), cover, own


def main() -> None:
    """Build truths, or score estimators."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["truth", "score"])
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--chains", type=int, default=CHAINS)
    parser.add_argument("--models", nargs="+", default=list(DECODERS), help="of the truth")
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), help="of the truth")
    parser.add_argument("--budgets", type=int, nargs="+", default=[512, 1024, 2048])
    parser.add_argument("--estimators", nargs="+", default=list(ESTIMATORS))
    given = parser.parse_args()
    if given.what == "truth":
        truth(given.folder, given.chains, given.models, given.kinds)
    else:
        score(given.folder, given.budgets, given.estimators)


if __name__ == "__main__":
    main()
