"""Seconds and accuracy of F_syn on games too large to enumerate: 16 patches and the words of a question.

Every explainer has a game of its own, so nothing is shared between them; each score is taken on a fresh game. Seconds
are those of the processor. One file an item; what is there is not measured again.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from f_syn_games import BUDGET, EIGHT, Group

import chiasm as cx
from chiasm.explainers.explain import explain_all
from chiasm.metrics.base import Case
from chiasm.metrics.synergy import FSyn, FSynExact, FSynMid
from chiasm.models.base import Adapter
from chiasm.models.games import make_game

CUT: Final = "grid:4x4,words"
METHODS: Final = (*EIGHT, "occlusion", "keep-one-in", "lime", "kernelshap")
METRICS: Final = {
    "f_syn": FSyn(),
    "f_syn_signed": FSyn(form="signed"),
    "f_syn_mid half": FSynMid(every=2),
    "f_syn_mid": FSynMid(),
    "f_syn_mid 4": FSynMid(draws=4),
    "f_syn_exact": FSynExact(),
}
COLUMNS: Final = (
    "model", "kind", "item", "players", "explainer", *METRICS, "f_syn_exact clipped",
    *(f"{name} {what}" for name in METRICS for what in ("values", "seconds")),
)  # fmt: skip


def measured(groups: list[Group], n: int, folder: Path) -> list[dict[str, Any]]:
    """One row for each explainer of the first n items of each group that the model answers right.

    A metric that a file lacks is added to it.
    """
    found = []
    for group in groups:
        files = [folder / f"large {group.name} {group.seed} {k}.json".replace(" ", "_") for k in range(n)]
        known = [json.loads(file.read_text(encoding="utf-8")) if file.exists() else {} for file in files]
        if not all(_whole(rows) for rows in known):
            model = cx.load(f"zoo:{group.model}")
            samples = _right(model, group, n)
            for number, (file, sample) in enumerate(zip(files, samples, strict=True)):
                if not _whole(known[number]):
                    began = time.process_time()
                    known[number] = _measure(model, group, sample, number, known[number])
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_text(json.dumps(known[number]), encoding="utf-8")
                    sys.stderr.write(f"{file.stem}: {time.process_time() - began:.0f} s of processor\n")
        found += [row for rows in known for row in rows.values()]
    return found


def _whole(rows: dict[str, dict[str, Any]]) -> bool:
    return all(name in rows and rows[name].keys() >= set(COLUMNS) for name in METHODS)


def _right(model: Adapter, group: Group, n: int) -> list[cx.Sample]:
    found = []
    for sample in cx.dataset(group.data, 10 * n, seed=group.seed, types=[group.kind]):
        _, prediction = model.resolve(model.prepare(sample), model.default_target)
        if prediction.answer == sample.answer:
            found.append(sample)
    return found[:n]


def _measure(
    model: Adapter, group: Group, sample: cx.Sample, number: int, known: dict[str, dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Explainer → row; what is known is kept."""
    said = explain_all(model, sample, list(METHODS), players=CUT, budget=BUDGET)
    rows = {}
    for name, explanation in said.items():
        row: dict[str, Any] = {"model": group.model, "kind": group.kind, "item": number, "explainer": name}
        row |= known.get(name, {})
        for key, metric in METRICS.items():
            if key in row:
                continue
            game = make_game(model, sample, players=CUT).game
            began = time.process_time()
            score = metric.score(Case(explanation, game))
            row |= {f"{key} seconds": round(time.process_time() - began, 4), f"{key} values": game.counts.computed}
            row |= {key: round(score.value, 4), "players": game.n}
            if key == "f_syn_exact":
                row["f_syn_exact clipped"] = round(next(v for k, v in score.values.items() if "clipped" in k), 4)
        rows[name] = row
    return rows
