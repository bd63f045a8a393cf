"""Items of the F_syn study: exact games of the zoo's decoders, their planted truth, and what explainers say of them.

An item is a file of all 2^n log-probabilities of the model's own answer (`exact_games.py`) and of the single values of
each explainer. What is there is not computed again, so a broken-off run goes on.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from exact_games import check, exact_values
from numpy.typing import NDArray

import chiasm as cx
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.core.sample import Sample
from chiasm.explainers.explain import explain_all
from chiasm.metrics.truth import planted
from chiasm.models.base import Adapter
from chiasm.models.games import make_game
from chiasm.zoo import catalog

EIGHT: Final = (
    "integrated-gradients", "input-gradient", "gradcam", "attn-lrp", "chefer", "rollout", "tam", "llava-cam"
)  # fmt: skip
"""The explainers of the published study; "Gradient×Rollout" is ``chefer``."""
BY_VALUES: Final = ("occlusion", "keep-one-in", "lime")
"""Explainers that ask for values; the exact Shapley values join them, from the item's own table."""
BUDGET: Final = 128
"""Values of the explainers that have a budget."""
CUTS: Final = ("grid:3x3,words", "grid:2x4,words", "grid:2x3,words")
"""Ways to cut a sample; the first that gives no more than `MOST` players is taken."""
MOST: Final = 15
CLOSE: Final = 1e-3
"""Largest difference between enumerated values and those of the library's game that counts as rounding."""
DECODERS: Final = ("llava-shapes", "qwen-shapes", "idefics-shapes")
QUESTIONS: Final = {
    "shapes": ("colour", "shape", "existence", "relation", "comparison"),
    "digits": ("naming", "larger"),
}
PRIOR: Final = ("prior-shortcut", *(f"prior-growth-{step}" for step in catalog.ENTRIES["prior-growth"].checkpoints),
                "prior-grounded")  # fmt: skip


@dataclass(frozen=True)
class Group:
    """Samples of one kind, explained for one model.

    Attributes:
        model: name in the zoo.
        data: data set.
        kind: question type.
        seed: of the samples.
        right: whether only questions that the model answers right are taken.
    """

    model: str
    data: str
    kind: str
    seed: int
    right: bool

    @property
    def name(self) -> str:
        """For file names and tables."""
        return f"{self.model} {self.data} {self.kind}"


@dataclass(frozen=True, eq=False)
class Item:
    """One exact game with what is said of it.

    Attributes:
        group: where it is from.
        sample: id of the sample.
        answer: the model's own, whose probability is the game.
        sizes: part → number of players.
        truth: part → share of each player that the planted truth covers.
        table: log-probabilities, ``float64[2^n]``, in the order of `chiasm.core.coalitions.all_coalitions`.
        singles: method → ``float64[n]``.
    """

    group: Group
    sample: str
    answer: str
    sizes: dict[str, int]
    truth: dict[str, NDArray[np.float64]]
    table: NDArray[np.float64]
    singles: dict[str, NDArray[np.float64]]

    def game(self) -> Game:
        """The game, played from the table."""
        return table_game(self.table, self.sizes, scale="log_probability")

    def save(self, file: Path) -> None:
        """Write one file."""
        about = {"group": asdict(self.group), "sample": self.sample, "answer": self.answer, "sizes": self.sizes}
        arrays = {f"truth {name}": shares for name, shares in self.truth.items()}
        arrays |= {f"single {name}": values for name, values in self.singles.items()}
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(".part")
        with part.open("wb") as out:
            np.savez(out, about=json.dumps(about), table=self.table.astype(np.float32), **arrays)
        part.rename(file)

    @classmethod
    def load(cls, file: Path) -> Item:
        """Read what `save` wrote."""
        with np.load(file) as found:
            about = json.loads(str(found["about"]))
            truth, singles = (
                {key.removeprefix(head): found[key] for key in found if key.startswith(head)}
                for head in ("truth ", "single ")
            )
            table = found["table"].astype(np.float64)
        group = Group(**about["group"])
        return cls(group, about["sample"], about["answer"], about["sizes"], truth, table, singles)


def table_game(table: NDArray[np.float64], sizes: dict[str, int], scale: Any = "value") -> Game:
    """A game whose values are read from a table of all of them."""
    weights = 1 << np.arange(sum(sizes.values()))
    return Game(lambda rows: table[rows @ weights], Players.abstract(sizes), batch_size=1 << 14, scale=scale)


def groups(seed: int, decoders: tuple[str, ...] = DECODERS, prior: tuple[str, ...] = PRIOR) -> list[Group]:
    """What is studied: the decoders' question types, then the models that grow out of a language prior."""
    answered = [
        Group(m, data, kind, seed, right=True) for m in decoders for data in QUESTIONS for kind in QUESTIONS[data]
    ]
    return answered + [Group(model, "prior", "colour", seed, right=False) for model in prior]


def collect(wanted: list[Group], n: int, folder: Path) -> Iterator[Path]:
    """Files of the first n items of each group; those that are missing are computed.

    Raises:
        SystemExit: too few samples can be used.
    """
    model: tuple[str, Adapter] | None = None
    for group in wanted:
        files = [folder / f"{group.name} {group.seed} {k}.npz".replace(" ", "_") for k in range(n)]
        if not all(file.exists() for file in files):
            if model is None or model[0] != group.model:
                model = (group.model, cx.load(f"zoo:{group.model}"))
            began, samples = time.process_time(), _usable(model[1], group, n)
            for file, (sample, cut) in zip(files, samples, strict=True):
                if not file.exists():
                    item(model[1], group, sample, cut).save(file)
            sys.stderr.write(f"{group.name}: {time.process_time() - began:.0f} s of processor\n")
        yield from files


def _usable(model: Adapter, group: Group, n: int) -> list[tuple[Sample, str]]:
    """Samples with planted truth in each part, cut into few enough players, and how they are cut."""
    found: list[tuple[Sample, str]] = []
    for sample in cx.dataset(group.data, 10 * n, seed=group.seed, types=[group.kind]):
        prepared = model.prepare(sample)
        cuts = [cut for cut in CUTS if sum(len(p) for p in prepared.players(_by_part(cut)).parts.values()) <= MOST]
        if not cuts or not all(len(truth) for truth in sample.truth.values()):
            continue
        if group.right and model.resolve(prepared, model.default_target)[1].answer != sample.answer:
            continue
        found.append((sample, cuts[0]))
        if len(found) == n:
            return found
    raise SystemExit(f"{group.name}: only {len(found)} of {10 * n} samples can be used.")


def _by_part(cut: str) -> dict[str, str]:
    return dict(zip(("image", "text"), cut.split(","), strict=True))


def item(model: Adapter, group: Group, sample: Sample, cut: str) -> Item:
    """Enumerate a game and explain it.

    Raises:
        SystemExit: enumerated values are not those of the library's game.
    """
    match = make_game(model, sample, players=cut, target=cx.Target("log_probability"))
    table = exact_values(match, model.forward)
    if (off := check(match, table, 32)) > CLOSE:
        raise SystemExit(f"{sample.id}: enumerated values differ by {off} from those of the library's game.")
    said = explain_all(model, sample, [*EIGHT, *BY_VALUES], players=cut, target=match.target, budget=BUDGET)
    return Item(
        group,
        str(sample.id),
        match.prediction.answer,
        {name: len(part) for name, part in match.game.players.parts.items()},
        planted(match.prepared, match.game.players),
        table,
        {name: explanation.single for name, explanation in said.items()},
    )
