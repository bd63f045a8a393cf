"""Is an explanation of few requests still the right one? ``python benchmarks/frugal.py --references FOLDER``.

Models of the zoo on their own questions of 9 to 11 words, which they answer right, with 7 × 7 patches. An explanation
of ``--budget`` values (250: what as many requests to a closed model would buy) is held against a reference of 4,000:
2,000 that `gp` chose for the probability and 2,000 for the log-probability, all read by one surrogate. References are
kept in the folder, so that a broken-off run goes on; each takes about a minute of a core.

Agreement with the reference:

* **top pair**: the strongest pair across parts (by absolute value). *strict*: it is the reference's own. *fair*: the
  reference cannot tell it from its own first, as their sizes differ by at most 1.96 √(e₁² + e₂²) there; *tied* is how
  many of all pairs that lets pass.
* **top five**: at least four of the five strongest patches (by absolute Shapley value). *strict*: they are among the
  reference's five. *fair*: those count too that it cannot tell from its fifth; *tied* is how many of the patches that
  lets pass (where it is near 49, the fair figure says nothing). *mass* is the reference's absolute values on the five
  patches found, over those on its own five: 1 where nothing that matters is missed.

Methods are those of ``chiasm list explainers`` that ask for values; ``half`` is 2,000 values, the reference's first
half, as a ceiling.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

import chiasm as cx
from chiasm.core.game import Game
from chiasm.core.sample import Sample
from chiasm.core.target import Scale, Target
from chiasm.estimators.estimate import explain_game
from chiasm.estimators.gaussian_process import from_values
from chiasm.models.base import Adapter
from chiasm.models.games import make_game

Floats = NDArray[np.float64]

MODELS: Final = ("llava-shapes", "qwen-shapes", "idefics-shapes", "vilt-shapes", "blip-shapes")
SCALES: Final[tuple[Scale, ...]] = ("probability", "log_probability")
PLAYERS: Final = "grid:7x7,words"
#: values of the reference that are chosen for each scale
REFERENCE: Final = 2000
#: standard errors within which two sizes cannot be told apart
WIDTH: Final = 1.96


def samples(name: str, model: Adapter, n: int, seed: int) -> Iterator[tuple[str, Sample]]:
    """The first n questions of about ten words that the model answers right."""
    found = 0
    for place, sample in enumerate(cx.dataset("shapes", 60 * n, seed)):
        if not 9 <= len(str(sample["text"].data).split()) <= 11:
            continue
        prediction = model.resolve(model.prepare(sample), Target("probability"))[1]
        if prediction.answer == sample.answer:
            yield f"{name}-{seed}-{place}", sample
            found += 1
            if found == n:
                return


def game_of(model: Adapter, sample: Sample, scale: Scale) -> Game:
    """The game of 49 patches and the words."""
    return make_game(model, sample, players=PLAYERS, target=Target(scale)).game


def reference(model: Adapter, sample: Sample) -> dict[str, NDArray[Any]]:
    """The coalitions that `gp` chooses for each scale, half and half, with the answer's log-probability."""
    own = game_of(model, sample, "log_probability")
    asked: list[NDArray[np.bool_]] = []
    for scale in SCALES:

        def values(coalitions: NDArray[np.bool_], scale: Scale = scale) -> Floats:
            asked.append(coalitions.copy())
            return np.exp(own(coalitions)) if scale == "probability" else own(coalitions)

        explain_game(Game(values, own.players, scale=scale), method="gp", budget=REFERENCE, seed=99)
    coalitions = np.concatenate(asked)
    sizes = [len(players) for players in own.players.parts.values()]
    return {"coalitions": np.packbits(coalitions, axis=1), "logs": own(coalitions), "sizes": np.array(sizes)}


def read(file: Path) -> dict[str, dict[str, Floats]]:
    """Scale → what the surrogate reads off a reference, and off its first half; kept beside the file."""
    beside = file.with_suffix(".read.npz")
    if not beside.exists():
        data = np.load(file)
        n = int(data["sizes"].sum())
        coalitions = np.unpackbits(data["coalitions"], axis=1)[:, :n].astype(bool)
        found: dict[str, Floats] = {}
        for scale in SCALES:
            values = np.exp(data["logs"]) if scale == "probability" else data["logs"]
            whole = from_values(coalitions, values, scale=scale)
            half = from_values(coalitions[:REFERENCE], values[:REFERENCE], scale=scale)
            for name in ("single", "pair", "single_errors", "pair_errors"):
                found[f"{scale}.{name}"] = np.asarray(getattr(whole, name))
            found |= {f"{scale}.half_single": half.single, f"{scale}.half_pair": half.pair}
        np.savez(beside, allow_pickle=False, **found)
    data = np.load(beside)
    return {scale: {k.split(".")[1]: data[k] for k in data.files if k.startswith(scale)} for scale in SCALES}


def agreement(known: dict[str, Floats], single: Floats, pair: Floats, first: int) -> dict[str, float]:
    """The figures of one explanation; ``first`` is how many patches there are."""
    sizes, errors = np.abs(known["pair"][:first, first:]), known["pair_errors"][:first, first:]
    best = np.unravel_index(sizes.argmax(), sizes.shape)
    found = np.unravel_index(np.abs(pair[:first, first:]).argmax(), sizes.shape)
    tied = sizes[best] - sizes <= WIDTH * np.hypot(errors[best], errors)
    patch, patch_errors = np.abs(known["single"][:first]), known["single_errors"][:first]
    five, own = np.argsort(-patch)[:5], np.argsort(-np.abs(single[:first]))[:5]
    level = patch[five[-1]] - patch <= WIDTH * np.hypot(patch_errors[five[-1]], patch_errors)
    return {
        "pair strict": float(found == best),
        "pair fair": float(tied[found]),
        "pairs tied": float(tied.sum()),
        "five strict": float(len(set(five.tolist()) & set(own.tolist())) >= 4),
        "five fair": float(level[own].sum() >= 4),
        "patches tied": float(level.sum()),
        "mass": float(patch[own].sum() / patch[five].sum()),
    }


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    parser.add_argument("--n", type=int, default=3, help="samples of each model")
    parser.add_argument("--seed", type=int, default=7000)
    parser.add_argument("--budget", type=int, default=250)
    parser.add_argument("--methods", nargs="+", default=["gp"])
    parser.add_argument("--references", type=Path, required=True)
    parser.add_argument("--known", action="store_true", help="only samples whose reference is there already")
    options = parser.parse_args(arguments)
    options.references.mkdir(parents=True, exist_ok=True)
    rows: dict[tuple[str, str], list[dict[str, float]]] = {}
    for name in options.models:
        model = cx.load(f"zoo:{name}")
        for label, sample in samples(name, model, options.n, options.seed):
            file = options.references / f"{label}.npz"
            if not file.exists() and options.known:
                continue
            if not file.exists():
                np.savez(file, allow_pickle=False, **reference(model, sample))
            for scale, known in read(file).items():
                first = len(game_of(model, sample, scale).players.parts["image"])
                half = agreement(known, known["half_single"], known["half_pair"], first)
                rows.setdefault((scale, "half"), []).append(half)
                for method in options.methods:
                    found = explain_game(game_of(model, sample, scale), method=method, budget=options.budget)
                    rows.setdefault((scale, method), []).append(agreement(known, found.single, found.pair, first))
            print(label, flush=True)
    show(rows)


def show(rows: dict[tuple[str, str], list[dict[str, float]]]) -> None:
    """Means over samples."""
    names = list(next(iter(rows.values()))[0])
    print(f"{'scale':16s} {'method':10s} {'n':>3s} " + " ".join(f"{name:>12s}" for name in names))
    for (scale, method), found in sorted(rows.items()):
        means = " ".join(f"{np.mean([row[name] for row in found]):12.2f}" for name in names)
        print(f"{scale:16s} {method:10s} {len(found):3d} {means}")


if __name__ == "__main__":
    main(sys.argv[1:])
