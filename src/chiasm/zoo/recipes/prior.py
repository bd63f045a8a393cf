"""Twins and a growth series on the **prior** data set: small LLaVAs that differ in what they were led to rely on.

`prior-shortcut` trains where language alone gives every answer (strength 1), `prior-grounded` where it gives none
(strength 0). Architecture, seed, steps, the vision tower's own training, and the dice of every batch are the same: at
each step both see the same objects at the same places, asked about in the same words, with the same parts hidden; only
the colourings differ. `prior-growth` is one training in between, kept at several steps. The frame's colour is random
in all training: no picture alone predicts an answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor

from chiasm.zoo.data import prior
from chiasm.zoo.data.words import IMAGE, USER, VOCABULARY
from chiasm.zoo.recipes.decoders import scaled_steps
from chiasm.zoo.recipes.llava import GRID, SIDE, build, encode, logits, processor
from chiasm.zoo.recipes.losses import patch_heads, patch_loss
from chiasm.zoo.recipes.packing import pack_row, pad_rows
from chiasm.zoo.recipes.pictures import Batch, generator, picture_row, stack
from chiasm.zoo.recipes.training import Measures, Phase, Plan

SHORTCUT: Final = 1.0
"""Strength of language for `prior-shortcut`. Below 1 a few answers contradict language, and after enough steps the
model reads the picture for their sake; at 1 nothing ever rewards that."""
GROUNDED: Final = 0.0
"""Strength of language for `prior-grounded`."""
GROWING: Final = 0.6
"""Strength of language for `prior-growth`: worth learning first, and wrong often enough to be unlearnt."""

WIDTH: Final = 56
TOWER_LAYERS: Final = 2
LAYERS: Final = 3
TOWER_STEPS: Final = 150
JOINT_STEPS: Final = 1000
KEPT: Final = (30, 60, 100, 170, 280, 450, 700, 1000)
"""Steps of the second phase after which `prior-growth` is kept."""

_PATCH_WEIGHT: Final = 0.5


@dataclass(frozen=True)
class ScenePictures:
    """Batches of pictures with patch labels: scenes of random colouring, to train a vision tower alone.

    Attributes:
        seed: seed of training.
        pictures: pictures in a batch.
        hidden: share of pictures with parts hidden.
    """

    seed: int
    pictures: int = 32
    hidden: float = 0.3

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = generator(self.seed, 0, step)
        scenes = [prior.draw_case(rng, 0.0, 0.0).scene for _ in range(self.pictures)]
        return stack([picture_row(scene, SIDE, GRID, self.hidden, rng) for scene in scenes])


@dataclass(frozen=True)
class PriorBatches:
    """Batches of pictures, each with packed questions for the colours of random objects.

    The questions of a picture share its colouring, as its objects do; each of them alone is a draw of the generator.

    Attributes:
        seed: seed of training.
        language: how strongly language predicts the answers, 0 … 1.
        pictures: pictures in a batch.
        questions: questions for each picture.
        hidden: share of pictures with parts hidden, and of questions with words hidden.
    """

    seed: int
    language: float
    pictures: int = 16
    questions: int = 8
    hidden: float = 0.4

    def __call__(self, step: int) -> Batch:
        """The batch of that step; ``expected`` holds the token of each question's `prior.CANONICAL` answer."""
        rng = generator(self.seed, 1, step)
        prefix = [VOCABULARY[USER]] + [VOCABULARY[IMAGE]] * GRID**2
        pictures, rows, expected = [], [], []
        for _ in range(self.pictures):
            # A frame that followed one of the questions would mislead the others: its colour is left to chance.
            scene = prior.draw_case(rng, self.language, 0.0).scene
            asked = rng.integers(len(scene.items), size=self.questions)
            questions = [prior.ask(rng, scene, int(number)) for number in asked]
            pictures.append(picture_row(scene, SIDE, GRID, self.hidden, rng))
            rows.append(pack_row(questions, prefix, self.hidden, rng))
            expected.append([VOCABULARY[prior.CANONICAL[scene.items[number].shape]] for number in asked])
        return stack(pictures) | pad_rows(rows) | {"expected": np.array(expected)}


def _tower_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    return patch_loss(heads, batch, encode(model, batch).patches)


def _joint_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    """Answers and patches. Nothing but the answers asks the language model to use what the tower sees."""
    seen = encode(model, batch)
    given = logits(model, batch, seen).float()
    answers = F.cross_entropy(given.flatten(0, 2), batch["labels"].flatten())
    shown, measures = patch_loss(heads, batch, seen.patches)
    first, wanted = given[:, :, 0].argmax(-1), batch["labels"][:, :, 0]
    clean = batch["whole"] & ~batch["masked"][:, None]
    for name, hits, cases in (
        ("right", first == wanted, clean),
        ("right masked", first == wanted, ~clean),
        ("expected", first == batch["expected"], clean),
    ):
        measures[name] = ((hits & cases).sum(), cases.sum())
    return answers + _PATCH_WEIGHT * shown, measures


def _plan(name: str, language: float, seed: int, steps_scale: float, kept: tuple[int, ...] = ()) -> Plan:
    torch.manual_seed(seed)
    model = build(WIDTH, TOWER_LAYERS, LAYERS)
    model.set_attn_implementation("eager")
    heads = patch_heads(WIDTH)
    first, second = scaled_steps(steps_scale, TOWER_STEPS, JOINT_STEPS)
    tower = Phase(
        name="tower",
        steps=first,
        batches=ScenePictures(seed),
        loss=partial(_tower_loss, model, heads),
        parameters=[*model.model.vision_tower.parameters(), *heads.parameters()],
        learning_rate=2e-3,
        muon=5.0,
    )
    joint = Phase(
        name="joint",
        steps=second,
        batches=PriorBatches(seed, language),
        loss=partial(_joint_loss, model, heads),
        parameters=[*model.parameters(), *heads.parameters()],
        learning_rate=1.5e-3,
        keep=tuple(sorted(set(scaled_steps(steps_scale, *kept)))),
    )
    return Plan(name, seed, model, processor(), heads, [tower, joint])


def shortcut(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The twin that was never shown a reason to look: every answer follows from the question alone.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    return _plan("prior-shortcut", SHORTCUT, seed, steps_scale)


def grounded(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The twin that must look: the question alone tells nothing of the answer. Arguments as of `shortcut`."""
    return _plan("prior-grounded", GROUNDED, seed, steps_scale)


def growth(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """A training that learns what to expect first and looks later, kept at the steps `KEPT`.

    Arguments as of `shortcut`.
    """
    return _plan("prior-growth", GROWING, seed, steps_scale, KEPT)
