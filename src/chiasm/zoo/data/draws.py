"""A scene and a question for a data set: as in training, but balanced where chance is not, and beyond doubt.

Training asks whatever a scene allows (`questions.ask`). A data set that is to tell what a model takes from the picture
has to be stricter:

- *size*: the answer and the shape asked about are drawn first, each as often, and the scene is made to fit: an object
  of that shape takes a radius of that size. Large and small radii mirror each other about the middle, as
  `geometry.size` demands. So neither the shape's name nor always saying "small" is right more often than a guess.
- *place* and *naming* by place: the whole ink of a digit, not its middle alone, lies on the side that is said. Where
  it does not, new scenes are drawn until the same can be asked: left, right, top and bottom (and naming by colour) stay
  as frequent as they are in training.

All other types are those of `questions.ask`.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

import numpy as np

from chiasm.zoo.data import backgrounds
from chiasm.zoo.data.geometry import LARGE, SMALL, aside, size
from chiasm.zoo.data.phrases import PLACES, SIZES, pick
from chiasm.zoo.data.questions import Question, ask, ask_size, unique
from chiasm.zoo.data.scenes import MARGIN, RADII, SHAPES, SIDE, Family, Item, Scene, apart, draw_scene

_PLACE: Final = re.compile(rf"\b(?:{'|'.join(PLACES)})\b")


def draw(rng: np.random.Generator, family: Family, kind: str, *, photo: bool) -> tuple[Scene, Question]:
    """A random scene of held-out glyphs and photographs, and a question of one kind about it.

    Args:
        rng: source of all chance.
        family: what the objects of the scene are.
        kind: a kind that `questions.KINDS` has for the family.
        photo: a piece of a photograph lies behind them instead of a plain field.
    """
    if kind == "size":
        return _sized(rng, photo=photo)
    scene, question = _asked(rng, family, kind, photo=photo)
    said = _place(question)
    if _beyond_doubt(scene, question, said):
        return scene, question
    while not (_place(question) == said and _beyond_doubt(scene, question, said)):
        scene, question = _asked(rng, family, kind, photo=False)  # a photograph for each would take long
    return (_on_photograph(rng, scene) if photo else scene), question


def _asked(rng: np.random.Generator, family: Family, kind: str, *, photo: bool) -> tuple[Scene, Question]:
    """The first scene that allows a question of that kind, as in training."""
    while True:
        scene = draw_scene(rng, family=family, photo=photo, held_out=True)
        question = ask(scene, kind, rng)
        if question is not None:
            return scene, question


def _on_photograph(rng: np.random.Generator, scene: Scene) -> Scene:
    return Scene(scene.items, backgrounds.photo(rng, "held out", SIDE))


def _place(question: Question) -> str:
    """The place that a question or its answer gives a digit, or ``""`` if it speaks of none."""
    if question.kind == "place":
        return question.answer
    if question.kind != "naming":
        return ""
    found = _PLACE.search(question.text)
    return found[0] if found else ""


def _beyond_doubt(scene: Scene, question: Question, place: str) -> bool:
    """Whether the ink of every digit that the place speaks of lies wholly on one side of the picture's middle."""
    if not place:
        return True
    spoken_of = question.items if question.kind == "place" else range(len(scene.items))
    return all(aside(scene.items[index], across=place in ("left", "right")) for index in spoken_of)


def _sized(rng: np.random.Generator, *, photo: bool) -> tuple[Scene, Question]:
    """A question for a size, drawn by answer and by shape, and a scene that it fits."""
    answer, shape = pick(rng, SIZES), pick(rng, SHAPES)
    while True:
        scene = draw_scene(rng, held_out=True)
        fitting = [index for index in unique(scene) if scene.items[index].shape == shape]
        if not fitting:
            continue
        index = pick(rng, fitting)
        item = _resized(rng, scene.items[index], answer)
        others = scene.items[:index] + scene.items[index + 1 :]
        inside = min(item.box) >= MARGIN and max(item.box) <= SIDE - MARGIN
        if inside and all(apart(item.box, other.box) for other in others):
            break
    scene = replace(scene, items=(*scene.items[:index], item, *scene.items[index + 1 :]))
    if photo:
        scene = _on_photograph(rng, scene)
    return scene, ask_size(scene, index, answer, rng)


def _resized(rng: np.random.Generator, item: Item, answer: str) -> Item:
    """The object with a random radius of that size, where it lies."""
    while True:
        large = replace(item, radius=float(rng.uniform(LARGE, RADII[1])))
        if size(large) == "large":
            return large if answer == "large" else replace(item, radius=SMALL + LARGE - large.radius)
