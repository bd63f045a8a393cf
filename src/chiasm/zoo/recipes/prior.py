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
from torch import Tensor, nn

from chiasm.zoo.data import prior
from chiasm.zoo.data.scenes import Scene
from chiasm.zoo.data.words import VOCABULARY
from chiasm.zoo.recipes.building import GRID, SIDE, scaled_steps
from chiasm.zoo.recipes.decoders import tapped
from chiasm.zoo.recipes.llava import build, encode, logits, processor
from chiasm.zoo.recipes.losses import PATCH_WEIGHT, PLACE_WEIGHT, patch_heads, patch_loss, place_loss, tower_loss
from chiasm.zoo.recipes.packing import pack_row, packed_batch, picture_prefix
from chiasm.zoo.recipes.pictures import Batch, generator, picture_row, ramp, stack
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
TOWER_STEPS: Final = 400
JOINT_STEPS: Final = 1000
KEPT: Final = (30, 60, 100, 170, 280, 450, 700, 1000)
"""Steps of the second phase after which `prior-growth` is kept."""

_NAMED_WEIGHT: Final = 2.0
_ALL_SHOWN: Final = 0.3
"""Part of the second phase after which all objects are there."""
_FIRST_HIDDEN: Final = 0.2
"""How much is hidden at first, relative to the end."""


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

    The beginning is easy: one or two of the four objects, and little hidden. With all four, each colour is there in
    every picture, and a model that cannot yet tell which object is meant learns nothing from it for long.

    Attributes:
        seed: seed of training.
        steps: length of the phase.
        language: how strongly language predicts the answers, 0 … 1.
        pictures: pictures in a batch.
        questions: questions for each picture.
        hidden: in the end, share of pictures with parts hidden, and of questions with words hidden.
    """

    seed: int
    steps: int
    language: float
    pictures: int = 16
    questions: int = 8
    hidden: float = 0.5

    def __call__(self, step: int) -> Batch:
        """The batch of that step; ``expected`` holds the token of each question's `prior.CANONICAL` answer."""
        rng, fraction = generator(self.seed, 1, step), step / self.steps
        prefix = picture_prefix(GRID)
        share = self.hidden * (_FIRST_HIDDEN + (1 - _FIRST_HIDDEN) * ramp(fraction, 0.2, 0.5))
        pictures, rows, scenes, expected = [], [], [], []
        for _ in range(self.pictures):
            # A frame that followed one of the questions would mislead the others: its colour is left to chance.
            scene = _some(rng, prior.draw_case(rng, self.language, 0.0).scene, fraction)
            asked = rng.integers(len(scene.items), size=self.questions)
            questions = [prior.ask(rng, scene, int(number)) for number in asked]
            pictures.append(picture_row(scene, SIDE, GRID, share, rng))
            rows.append(pack_row(questions, prefix, share, rng))
            scenes.append(scene)
            expected.append([VOCABULARY[prior.CANONICAL[scene.items[number].shape]] for number in asked])
        return packed_batch(scenes, pictures, rows) | {"expected": np.array(expected)}


def _some(rng: np.random.Generator, scene: Scene, fraction: float) -> Scene:
    """The scene with as many of its objects as that part of training shows; all of them from `_ALL_SHOWN` on."""
    everything = len(scene.items)
    least = 1 + int((everything - 1) * fraction / _ALL_SHOWN)
    count, order = min(everything, least + int(rng.integers(2))), rng.permutation(everything)
    return Scene(tuple(scene.items[number] for number in sorted(order[:count])), scene.background)


def _tower_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    return tower_loss(heads, batch, encode(model, batch).patches)


def _joint_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    """Answers and patches; and where the object lies that a word names, read off that word in the middle layers.

    Places teach the language model where to look, which answers alone do not within these steps. They do not say what
    is to be seen there: that an answer uses the object's colour is left to the answers.
    """
    seen = encode(model, batch)
    with tapped(model.model.language_model.layers[:-1]) as states:
        given = logits(model, batch, seen).float()
    rows, tokens = batch["named_at"].unbind(-1)
    errors = [
        (head(layer[rows, tokens]).float() - batch["named_place"]).square().mean()
        for head, layer in zip(heads["named"], states, strict=True)
        if len(rows)
    ]
    place = PLACE_WEIGHT * place_loss(heads["token place"], batch, seen.images)
    place = place + _NAMED_WEIGHT * sum(errors) / len(states)
    answers = F.cross_entropy(given.flatten(0, 2), batch["labels"].flatten())
    shown, measures = patch_loss(heads, batch, seen.patches)
    first, wanted = given[:, :, 0].argmax(-1), batch["labels"][:, :, 0]
    clean = batch["whole"] & ~batch["masked"][:, None]
    if errors:
        measures["named error"] = (errors[-1].detach(), torch.ones_like(errors[-1]))
    for name, hits, cases in (
        ("right", first == wanted, clean),
        ("right masked", first == wanted, ~clean),
        ("expected", first == batch["expected"], clean),
    ):
        measures[name] = ((hits & cases).sum(), cases.sum())
    return answers + PATCH_WEIGHT * shown + place, measures


def _plan(name: str, language: float, seed: int, steps_scale: float, kept: tuple[int, ...] = ()) -> Plan:
    torch.manual_seed(seed)
    model = build(WIDTH, TOWER_LAYERS, LAYERS)
    model.set_attn_implementation("eager")
    heads = patch_heads(WIDTH, WIDTH)
    heads["named"] = nn.ModuleList(nn.Linear(WIDTH, 3) for _ in range(LAYERS - 1))
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
        batches=PriorBatches(seed, second, language),
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
