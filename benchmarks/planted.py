"""Do explanations find what was planted? ``python benchmarks/planted.py llava-shapes --budget 400``.

For correctly answered questions whose deciding object and words are known: is the strongest image player on the object,
and is (deciding word, patch on the object) among the three strongest cross-modal pairs?

``--exact`` takes all 65,536 values of games of 16 players instead of an estimate; only question types that the model
knows are asked, and questions that no cut brings to 16 players are left out and counted. ``--results FILE`` keeps one
line a sample, from which a broken-off run goes on.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from math import comb, sqrt
from pathlib import Path
from typing import Any, Final

import numpy as np
from exact_games import check, exact_values
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.estimators.estimate import explain_game
from chiasm.modalities import modalities
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame, make_game
from chiasm.models.hub import load
from chiasm.zoo import catalog, dataset

TYPES: Final = ("colour", "shape", "existence")
SIXTEEN: Final = ("grid:3x3,words", "grid:3x3,tokens", "grid:2x4,words", "grid:2x5,tokens", "grid:2x5,words")
"""Ways to cut a sample, of which the first that gives 16 players is taken for exact games."""
CLOSE: Final = 1e-3
"""Largest difference between enumerated values and those of the library's game that counts as rounding."""
COVERED: Final = 0.05
"""A player is on the truth if the truth covers at least this share of it."""


@dataclass(frozen=True)
class Hits:
    """What one explanation found.

    Attributes:
        region: the image player that supports the answer most (largest value) is on a deciding object.
        region_by_size: the same for the largest absolute value, for or against the answer.
        word: the text player that supports the answer most is a deciding word.
        pair: (deciding word, patch on a deciding object) is among the three strongest cross-modal pairs.
        first: the same for the strongest pair alone.
    """

    region: bool
    region_by_size: bool
    word: bool
    pair: bool
    first: bool


def on_truth(match: ModelGame) -> dict[str, NDArray[np.bool_]]:
    """Part → ``bool[players]``: which players lie on the planted truth."""
    sample, found = match.prepared.sample, {}
    for name, truth in sample.truth.items():
        players = match.game.players[name]
        placement = match.prepared.contexts[name].placement
        found[name] = modalities.get(players.kind).overlap(players, truth, placement) >= COVERED
    return found


def hits(explanation: Explanation, planted: dict[str, NDArray[np.bool_]]) -> Hits:
    """Hold an explanation of an image and a text against the planted truth."""
    pairs = [
        all(planted[part][index] for part, index in pair.players)
        for pair in explanation.top_pairs(3, ("image", "text"))
    ]
    return Hits(
        region=bool(planted["image"][explanation.values["image"].argmax()]),
        region_by_size=bool(planted["image"][np.abs(explanation.values["image"]).argmax()]),
        word=bool(planted["text"][explanation.values["text"].argmax()]),
        pair=any(pairs),
        first=pairs[0],
    )


def candidates(kind: str, n: int, seed: int) -> Iterator[Sample]:
    """Samples of a type that have a planted object: 4 for each that is wanted."""
    for sample in dataset("shapes", 4 * n, seed, [kind]):
        if len(sample.truth["image"]):  # "Is there a …?" - "no": nothing is there to be found
            yield sample


def right(model: Adapter, sample: Sample) -> bool:
    """Whether the model's own answer is the right one."""
    _, prediction = model.resolve(model.prepare(sample), model.default_target)
    return prediction.answer == sample.answer


def by_chance(planted: dict[str, NDArray[np.bool_]]) -> dict[str, float]:
    """Probability of each hit for an explanation that is a random order of players and of pairs."""
    image, text = float(planted["image"].mean()), float(planted["text"].mean())
    pairs = planted["image"].size * planted["text"].size
    good = int(planted["image"].sum() * planted["text"].sum())
    none = comb(pairs - good, 3) / comb(pairs, 3)
    return {"region": image, "region_by_size": image, "word": text, "pair": 1 - none, "first": good / pairs}


def wilson(share: float, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927)."""
    z = 1.96
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return centre - half, centre + half


@dataclass(frozen=True)
class Settings:
    """How samples are explained; a line of results holds for equal settings alone.

    Attributes:
        scale: of the target.
        players: how each part is cut; for exact games the first of `SIXTEEN` that gives 16 players.
        method: estimator.
        budget: values of each game; by default what suits the number of players.
        seed: of the samples.
        exact: all values of games of 16 players.
    """

    scale: str = "probability"
    players: str = "grid:3x3,words"
    method: str = "auto"
    budget: int | None = None
    seed: int = 2000
    exact: bool = False


def sixteen(model: Adapter, sample: Sample, target: Target) -> tuple[str, ModelGame] | None:
    """The game of 16 players of a sample, and how it is cut, or ``None`` if none of `SIXTEEN` gives as many."""
    for players in SIXTEEN:
        match = make_game(model, sample, players=players, target=target)
        if match.game.n == 16:
            return players, match
    return None


def explain(model: Adapter, sample: Sample, settings: Settings) -> tuple[Explanation, ModelGame, str] | None:
    """The explanation of a sample, its game, and how it was cut; ``None`` where no cut gives 16 players.

    Raises:
        SystemExit: enumerated values are not those of the library's game.
    """
    target = Target(settings.scale)
    if not settings.exact:
        match = make_game(model, sample, players=settings.players, target=target)
        found = explain_game(match.game, index="SII", method=settings.method, budget=settings.budget, seed=0)
        return found, match, settings.players
    cut = sixteen(model, sample, target)
    if cut is None:
        return None
    players, match = cut
    table = exact_values(match, model.forward)
    if (off := check(match, table, 32)) > CLOSE:
        raise SystemExit(f"{sample.id}: enumerated values differ by {off} from those of the library's game.")
    weights = 1 << np.arange(match.game.n)
    game = Game(lambda coalitions: table[coalitions @ weights], match.game.players, batch_size=4096)
    return explain_game(game, index="SII", method="exact", budget=len(table)), match, players


def lines_of(
    model: Adapter, kind: str, n: int, settings: Settings, known: dict[str, dict[str, Any]], *, uncut: list[str]
) -> Iterator[dict[str, Any]]:
    """One line for each of the first n correctly answered samples; those that are known are not computed again.

    Args:
        model: is asked and explained.
        kind: question type.
        n: how many lines.
        settings: how samples are explained.
        known: lines of earlier runs, as `read_lines` gives them.
        uncut: takes the correctly answered samples that no cut brings to 16 players.

    Raises:
        SystemExit: the model is so often wrong that 4 n samples do not hold n such.
    """
    found = 0
    for sample in candidates(kind, n, settings.seed):
        line = known.get(f"{kind} {sample.id}")
        if line is None and right(model, sample):
            began = time.monotonic()
            explained = explain(model, sample, settings)
            if explained is None:
                uncut.append(str(sample.id))
            else:
                explanation, match, players = explained
                planted = on_truth(match)
                line = {
                    "kind": kind,
                    "sample": sample.id,
                    "players": players,
                    "hits": asdict(hits(explanation, planted)),
                }
                line |= {"chance": by_chance(planted), "seconds": round(time.monotonic() - began, 2)}
        if line is None:
            continue
        yield line
        found += 1
        if found == n:
            return
    raise SystemExit(
        f"Fewer than {n} of {4 * n} {kind} questions could be used ({len(uncut)} not cut into 16 players)."
    )


def summary(lines: Sequence[dict[str, Any]], uncut: Sequence[str]) -> dict[str, Any]:
    """Shares of hits over samples of one question type, the shares that chance gives, and how many were left out."""
    names = list(Hits.__dataclass_fields__)
    return {
        "shares": {name: float(np.mean([line["hits"][name] for line in lines])) for name in names},
        "chance": {name: float(np.mean([line["chance"][name] for line in lines])) for name in names},
        "n": len(lines),
        "left out": len(uncut),
        "seconds": round(sum(line["seconds"] for line in lines), 1),
    }


def table(results: dict[tuple[str, str], dict[str, Any]]) -> str:
    """The results as a Markdown table: share [95 % interval] (chance); left out: questions not cut into 16 players."""
    lines = [
        "| model | type | n | supporting patch | largest patch (±) | supporting word | pair in top 3 | first pair |",
        "|---|---|--:|--:|--:|--:|--:|--:|",
    ]
    for (model, kind), result in results.items():
        cells = []
        for name, share in result["shares"].items():
            low, high = wilson(share, result["n"])
            cells.append(f"{share:.2f} [{low:.2f}, {high:.2f}] ({result['chance'][name]:.2f})")
        count = f"{result['n']}" + (f" ({result['left out']} left out)" if result["left out"] else "")
        lines.append(f"| {model} | {kind} | {count} | {' | '.join(cells)} |")
    return "\n".join(lines)


def read_lines(file: Path | None, head: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Lines of earlier runs with the same model and settings, by question type and sample.

    A last line that a crash tore is cut off the file, so that the next one does not go on in the middle of it.

    Raises:
        SystemExit: another line is not JSON.
    """
    if file is None or not file.exists():
        return {}
    *whole, torn = file.read_bytes().split(b"\n")
    lines = []
    for number, text in enumerate(whole, start=1):
        try:
            lines.append(json.loads(text))
        except ValueError as error:
            raise SystemExit(f"Line {number} of {file} is not JSON: remove it, or name another file.") from error
    if torn:
        sys.stderr.write(f"{file}: the last line is torn and is measured again\n")
        with file.open("r+b") as out:
            out.truncate(file.stat().st_size - len(torn))
    return {f"{line['kind']} {line['sample']}": line for line in lines if line["of"] == head}


def measure(name: str, kinds: Sequence[str], n: int, settings: Settings, file: Path | None) -> dict[str, Any]:
    """Results of one model by question type; types that it does not know are left out, and said so."""
    known_types = catalog.known_types(name)
    head = {"model": name, "weights": catalog.weights_checksum(catalog.path(name)), **asdict(settings)}
    known, results = read_lines(file, head), {}
    model = load(f"zoo:{name}")
    for kind in kinds:
        if kind not in known_types:
            sys.stderr.write(f"{name} is right on fewer than 90 % of {kind} questions: left out\n")
            continue
        lines: list[dict[str, Any]] = []
        uncut: list[str] = []
        for line in lines_of(model, kind, n, settings, known, uncut=uncut):
            if file is not None and f"{kind} {line['sample']}" not in known:
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("a", encoding="utf-8") as out:
                    out.write(json.dumps({"of": head, **line}) + "\n")
            lines.append(line)
        results[kind] = summary(lines, uncut)
        sys.stderr.write(f"{name} {kind}: {len(lines)} questions, {results[kind]['seconds']:.0f} s\n")
    return results


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print the table."""
    parser = argparse.ArgumentParser(prog="python benchmarks/planted.py", description=__doc__)
    parser.add_argument("models", nargs="*", default=["llava-shapes"])
    parser.add_argument("--n", type=int, default=100, help="correctly answered questions of each type")
    parser.add_argument("--types", nargs="+", default=TYPES, help="question types of the data set shapes")
    parser.add_argument("--exact", action="store_true", help="exact games of 16 players")
    parser.add_argument("--scale", default="probability", choices=("probability", "log_probability"))
    parser.add_argument("--players", default="grid:3x3,words")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--budget", type=int, help="values of each game; by default what suits the number of players")
    parser.add_argument("--seed", type=int, default=2000, help="seed of the samples")
    parser.add_argument("--results", type=Path, help="file of one line a sample; a run goes on from what it holds")
    parser.add_argument("--json", type=Path, help="write the numbers to this file too")
    options = parser.parse_args(arguments)
    if options.exact and (options.players, options.method, options.budget) != ("grid:3x3,words", "auto", None):
        parser.error("--exact sets players, method and budget itself; leave --players, --method and --budget out")
    chosen = {"players": "16", "method": "exact"} if options.exact else vars(options)
    settings = Settings(
        options.scale, chosen["players"], chosen["method"], options.budget, options.seed, exact=options.exact
    )
    results = {
        (name, kind): result
        for name in options.models
        for kind, result in measure(name, options.types, options.n, settings, options.results).items()
    }
    sys.stdout.write(table(results) + "\n")
    if options.json:
        rows = [
            {"model": name, "weights": catalog.weights_checksum(catalog.path(name)), "kind": kind, **result}
            for (name, kind), result in results.items()
        ]
        options.json.write_text(json.dumps({**asdict(settings), "results": rows}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
