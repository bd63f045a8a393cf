"""Scores of the F_syn study: every metric of every explainer and control on every item, as rows of a table."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from f_syn_games import Item, table_game
from numpy.typing import NDArray

from chiasm.core.coalitions import all_coalitions
from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.core.provenance import Provenance
from chiasm.estimators.estimate import explain_game
from chiasm.metrics.base import Case, Score
from chiasm.metrics.controls import controls, random
from chiasm.metrics.evaluate import evaluate_game
from chiasm.metrics.orders import area, tops
from chiasm.metrics.synergy import FSyn, FSynExact, FSynMid

Floats = NDArray[np.float64]
RANDOMS: Final = 12
"""Random explanations of an item: as many as explainers, so that correlations within an item are over as many."""
DIGITS: Final = 4
"""Decimal places that are kept."""
MIDS: Final = {
    "f_syn_mid half": FSynMid(every=2),
    "f_syn_mid": FSynMid(),
    **{f"f_syn_mid {draws}": FSynMid(draws=draws) for draws in (4, 8)},
}
METRICS: Final = (
    "f_syn", "f_syn_signed", "f_syn_exact", "insertion", "deletion", "srg", "fidelity", "infidelity",
    "pointing_game", "energy", "relevance_mass", "sparseness",
)  # fmt: skip
HEAD: Final = ("model", "data", "kind", "item", "explainer", "control")
SCORES: Final = (
    "f_syn", "f_syn_signed", "f_syn insertion", "f_syn deletion", *MIDS, "f_syn_exact", "f_syn_exact clipped",
    "macro SII", "insertion", "deletion", "srg", "srg image", "srg text", "fidelity", "infidelity", "pointing_game",
    "energy", "relevance_mass", "sparseness", "truth",
)  # fmt: skip
"""Columns of the decoders' table; "macro SII" has every background player by itself, "truth" is how the explainer
ranks what was planted."""
PRIOR_SCORES: Final = ("f_syn", "f_syn_signed", "f_syn_exact", "srg image", "srg text", "truth")
"""Columns of the table of the models of the language prior, which holds no random explanations."""
GAMES: Final = ("game", "item", "explainer", "f_syn", "f_syn_signed", *MIDS, "f_syn_exact", "f_syn_exact clipped")
ITEMS: Final = ("model", "data", "kind", "item", "players", "p full", "p text", "p image", "p empty")


def explanations(item: Item) -> dict[str, Explanation]:
    """What each explainer says; the Shapley values are those of the item's own table."""
    game = item.game()
    said = {
        name: Explanation(game.players, np.asarray(values, np.float64), Provenance(name, ""))
        for name, values in item.singles.items()
    }
    exact = explain_game(game, method="exact", budget=len(item.table))
    return {**said, "shapley": Explanation(game.players, exact.single, Provenance("shapley", ""))}


def halves(item: Item) -> dict[str, Explanation]:
    """Controls that know one part alone: the planted truth in it, random values in the other."""
    players = item.game().players
    guess, known = random(players, RANDOMS), {}
    for part in item.truth:
        single = guess.single.copy()
        single[players.slices[part]] = item.truth[part]
        known[f"{part} oracle"] = Explanation(players, single, Provenance(f"{part} oracle", "control"))
    return known


def rows(item: Item, number: int, randoms: int = RANDOMS) -> Iterator[dict[str, Any]]:
    """One row for each explainer and control."""
    said, known = explanations(item), halves(item)
    game, probabilities = item.game(), table_game(np.exp(item.table), item.sizes, "probability")
    found = evaluate_game(
        game,
        {**said, **known},
        metrics=[*METRICS, *(_named(m, k) for k, m in MIDS.items())],
        truth=item.truth,
        random_seeds=randoms,
    )
    dividends = moebius(np.exp(item.table))
    made = {**known, **controls(game.players, item.truth, seeds=randoms, seed=0)}
    for name, explanation in {**said, **made}.items():
        values = _values({metric: found[name, metric] for metric in found.metrics})
        values["macro SII"] = macro_sii(Case(explanation, probabilities), dividends)
        values["truth"] = truth(explanation, item.truth)
        head = (item.group.model, item.group.data, item.group.kind, number, name, int(name in made))
        yield dict(zip(HEAD, head, strict=True)) | {key: round(values[key], DIGITS) for key in SCORES}


def _values(score: Mapping[str, Score]) -> dict[str, float]:
    """One number for each of `SCORES` that a metric gives."""
    signed = {key.rpartition(", ")[2]: value for key, value in score["f_syn_signed"].values.items()}
    return {
        **{metric: one.value for metric, one in score.items()},
        **{f"f_syn {half}": signed[half] for half in ("insertion", "deletion")},
        **{f"srg {part}": score["srg"].values[part] for part in ("image", "text")},
        "f_syn_exact clipped": next(v for key, v in score["f_syn_exact"].values.items() if "clipped" in key),
        "fidelity": score["fidelity"].values["Spearman"],
        "infidelity": score["infidelity"].values["scaled"],
    }


def about(item: Item, number: int) -> dict[str, Any]:
    """Probabilities of the answer with whole parts."""
    one = Case(explanations(item)["shapley"], item.game())
    game = item.game()
    ends = {"full": ("image", "text"), "text": ("text",), "image": ("image",), "empty": ()}
    there = np.array(
        [np.any([one.members(part) for part in parts] or [np.zeros(game.n, bool)], axis=0) for parts in ends.values()]
    )
    shares = np.exp(game(there)).round(DIGITS).tolist()
    head = (item.group.model, item.group.data, item.group.kind, number, game.n, *shares)
    return dict(zip(ITEMS, head, strict=True))


def _named(metric: FSynMid, name: str) -> Any:
    """A metric under another name, so that several of its settings stand in one table."""

    class Named:
        about = metric.about.__class__(**{**vars(metric.about), "name": name})
        coalitions = staticmethod(metric.coalitions)
        score = staticmethod(metric.score)

    return Named()


def moebius(table: Floats) -> Floats:
    """Möbius coefficients a(S) of all values, ``float64[2^n]``, both in the order of `all_coalitions`."""
    found = table.copy()
    for bit in range(len(table).bit_length() - 1):
        pairs = found.reshape(-1, 2, 1 << bit)
        pairs[:, 1] -= pairs[:, 0]
    return found


def macro_sii(case: Case, dividends: Floats) -> float:
    """∫ SII/Z dk of the two macro-players, every player of the background by itself: Σ a(W)/(|W∖(I∪T)|+1).

    The sum runs over the coalitions W that hold players of both; with those merged, |W∖(I∪T)| + 2 players are left. It
    is a second way to the reference, which deals the background into six groups.
    """
    n = case.game.n
    bits, coalitions = 1 << np.arange(n), np.arange(1 << n)
    size = all_coalitions(n).sum(axis=1)
    first, second = (case.members(part) for part in case.parts)
    ends = case.game(np.array([np.zeros(n, bool), np.ones(n, bool)]))
    curves = []
    for order in tops(case, steps=10, counting="part", ties=4):
        curve = []
        for top in order:
            one, other = int(bits @ (top & first)), int(bits @ (top & second))
            both = coalitions[(coalitions & one > 0) & (coalitions & other > 0)]
            curve.append(float((dividends[both] / (size[both & ~(one | other)] + 1)).sum()))
        curves.append(curve)
    return float(area(np.array(curves)).mean()) / max(abs(float(ends[1] - ends[0])), 0.05)


def truth(explanation: Explanation, planted: Mapping[str, Floats]) -> float:
    """How an explainer ranks what was planted: in each part the probability that a planted player comes before one that
    is not (ties count half), mean over the parts; ½ is chance.
    """
    each = []
    for part, shares in planted.items():
        on, values = np.asarray(shares) >= 0.05, explanation.values[part]
        if on.any() and not on.all():
            ahead = values[on][:, None] - values[~on][None, :]
            each.append(float(((ahead > 0) + 0.5 * (ahead == 0)).mean()))
    return float(np.mean(each))


#: kind of random game → values of its coalitions
RANDOM_GAMES: Final = ("smooth", "rough")


def random_game(kind: str, seed: int, sizes: Mapping[str, int]) -> Game:
    """``smooth``: a random network of one hidden layer of tanh, which has interactions of every order; ``rough``: each
    coalition's value is drawn by itself.
    """
    n = sum(sizes.values())
    rng = np.random.default_rng([seed, RANDOM_GAMES.index(kind), 0x6A3E])
    if kind == "rough":
        return table_game(rng.normal(size=1 << n), dict(sizes))
    hidden = np.tanh(all_coalitions(n) @ rng.normal(size=(n, 32)) + rng.normal(size=32))
    return table_game(hidden @ rng.normal(size=32), dict(sizes))


def game_rows(kind: str, number: int, explainers: int) -> Iterator[dict[str, Any]]:
    """Random explanations of a random game of 9 + 5 players: what correlation costs nothing?"""
    game = random_game(kind, number, {"image": 9, "text": 5})
    metrics = {"f_syn": FSyn(), "f_syn_signed": FSyn(form="signed"), **MIDS}
    for k in range(explainers):
        case = Case(random(game.players, k), game, seed=number)
        values = {name: metric.score(case).value for name, metric in metrics.items()}
        exact: Score = FSynExact().score(case)
        values["f_syn_exact"] = exact.value
        values["f_syn_exact clipped"] = next(v for key, v in exact.values.items() if "clipped" in key)
        yield dict(zip(GAMES[:3], (kind, number, k), strict=True)) | {
            key: round(values[key], DIGITS) for key in GAMES[3:]
        }


def write(file: Path, columns: Iterable[str], lines: Iterable[Mapping[str, Any]]) -> None:
    """A CSV file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, list(columns), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)


def read(file: Path) -> list[dict[str, Any]]:
    """What `write` wrote; what looks like a number is one."""
    with file.open(newline="", encoding="utf-8") as lines:
        return [{key: _number(value) for key, value in line.items()} for line in csv.DictReader(lines)]


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
