"""The study behind docs/studies/f_syn.md: is Synergistic Faithfulness true, cheap and telling?

    python benchmarks/f_syn_study.py            # everything: games, scores, tables, figures
    python benchmarks/f_syn_study.py --report   # tables and figures of the page from benchmarks/f_syn/*.csv (seconds)

Exact games of three decoders of the zoo on seven question types, and of ten models between a language prior and none
(`f_syn_games.py`); scores of twelve explainers and the controls (`f_syn_scores.py`); seconds and accuracy on larger
games (`f_syn_seconds.py`); the page's tables and figures (`f_syn_tables.py`, `f_syn_figures.py`).
A broken-off run goes on; more items (--n, --prior, --large) add to those that are there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from f_syn_figures import draw
from f_syn_games import DECODERS, Group, Item, collect, groups
from f_syn_scores import (
    GAMES,
    HEAD,
    ITEMS,
    PRIOR_SCORES,
    RANDOM_GAMES,
    RANDOMS,
    SCORES,
    about,
    game_rows,
    rows,
    write,
)
from f_syn_seconds import COLUMNS, measured
from f_syn_tables import FOLDER, filled, results

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "studies" / "f_syn.md"
IMAGES = ROOT / "docs" / "images"
SEED = 8000
"""Of the samples; scores were designed on others, of seed 7000."""
LARGE = ("colour", "relation")


def compute(options: argparse.Namespace) -> None:
    """Write the results."""
    wanted = groups(SEED)
    answered, prior = ([g for g in wanted if g.right is right] for right in (True, False))
    tables: dict[str, list[dict[str, Any]]] = {"decoders": [], "prior": [], "items": []}
    for name, some, n in (("decoders", answered, options.n), ("prior", prior, options.prior)):
        for k, file in enumerate(collect(some, n, options.work)):
            item = Item.load(file)
            found = rows(item, k % n, RANDOMS if name == "decoders" else 0)
            tables[name] += [row for row in found if name == "decoders" or not row["control"]]
            tables["items"].append(about(item, k % n))
    large = [Group(model, "shapes", kind, SEED, right=True) for model in DECODERS for kind in LARGE]
    write(FOLDER / "large.csv", COLUMNS, measured(large, options.large, options.work))
    write(FOLDER / "decoders.csv", (*HEAD, *SCORES), tables["decoders"])
    columns = (*HEAD, *PRIOR_SCORES)
    write(FOLDER / "prior.csv", columns, [{key: row[key] for key in columns} for row in tables["prior"]])
    write(FOLDER / "items.csv", ITEMS, tables["items"])
    games = [row for kind in RANDOM_GAMES for k in range(options.games) for row in game_rows(kind, k, RANDOMS)]
    write(FOLDER / "games.csv", GAMES, games)


def report() -> None:
    """Write the tables and figures of the page from the results."""
    found = results()
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), found), encoding="utf-8")
    draw(found, IMAGES)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--report", action="store_true", help="tables and figures alone, from the results that are there"
    )
    parser.add_argument("--n", type=int, default=4, help="items of each model and question type")
    parser.add_argument("--prior", type=int, default=16, help="items of each model of the language prior")
    parser.add_argument("--large", type=int, default=1, help="larger games of each model and question type")
    parser.add_argument("--games", type=int, default=30, help="random games of each kind")
    parser.add_argument(
        "--work", type=Path, default=Path("out", "f_syn"), help="folder of games, from which a run goes on"
    )
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    if not options.report:
        compute(options)
    report()
    return 0


if __name__ == "__main__":
    sys.exit(main())
