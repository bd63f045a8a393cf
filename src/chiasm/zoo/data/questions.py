"""Questions about a scene, with the objects and the words that decide the answer."""

from __future__ import annotations

import itertools
import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from chiasm.zoo.data.geometry import direction, half, larger, size
from chiasm.zoo.data.phrases import PHRASES, PLACES, PLURALS, RELATIONS, fill, pick
from chiasm.zoo.data.scenes import COLOURS, DIGITS, SHAPES, SIDE, Item, Scene

HARD: Final = 0.9
"""Share of "no" questions that take colour and shape from two objects of the scene, where that is possible."""


@dataclass(frozen=True)
class Question:
    """One question and its truth.

    Attributes:
        kind: a kind of `KINDS`.
        text: the question.
        answer: one of `ANSWERS`.
        words: character spans (start, end) of the words that decide, in reading order: change one, and another answer
            may be right. Two alternatives ("left or right") are among them where the type has questions with others;
            words that every question of the type shares in some form ("colour", "small or large") are not.
        items: indices of the scene's objects that decide.
        hard: for existence "no": the colour and the shape are both in the scene, on different objects.
        mentions: (index into ``words``, index of the object) for each word by which an object is fully named.
    """

    kind: str
    text: str
    answer: str
    words: tuple[tuple[int, int], ...]
    items: tuple[int, ...]
    hard: bool = False
    mentions: tuple[tuple[int, int], ...] = ()


def _phrase(
    rng: np.random.Generator, kind: str, phrases: str, answer: str, items: tuple[int, ...], **words: str
) -> Question:
    template = pick(rng, PHRASES[phrases])
    text, spans = fill(template, words)
    return Question(kind, text, answer, spans, items, mentions=_mentions(template, items))


_NAMING: Final = ({"colour", "shape", "digit", "place"}, {"colour2", "shape2"})
"""Places in a phrase that name the first and the second object."""


def _mentions(template: str, items: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """Where each object has been fully named: at the last word that names it."""
    fields = [name for _, name, _, _ in string.Formatter().parse(template) if name]
    found = []
    for names, item in zip(_NAMING, items, strict=False):
        places = [place for place, field in enumerate(fields) if field in names]
        if places:
            found.append((places[-1], item))
    return tuple(found)


def _where(scene: Scene, colour: str | None = None, shape: str | None = None) -> tuple[int, ...]:
    return tuple(
        index for index, item in enumerate(scene.items) if colour in (None, item.colour) and shape in (None, item.shape)
    )


def unique(scene: Scene) -> list[int]:
    """Indices of the objects that their colour and shape tell from all others."""
    return [i for i, item in enumerate(scene.items) if len(_where(scene, item.colour, item.shape)) == 1]


def _pairs(scene: Scene) -> list[tuple[int, int]]:
    """Every two objects that can be named, in either order."""
    return list(itertools.permutations(unique(scene), 2))


def _names(first: Item, second: Item | None = None) -> dict[str, str]:
    names = {"colour": first.colour, "shape": first.shape}
    return names if second is None else names | {"colour2": second.colour, "shape2": second.shape}


def _ask_colour(scene: Scene, rng: np.random.Generator) -> Question | None:
    single = [shape for shape in SHAPES if len(_where(scene, shape=shape)) == 1]
    if not single:
        return None
    shape = pick(rng, single)
    items = _where(scene, shape=shape)
    return _phrase(rng, "colour", "colour", scene.items[items[0]].colour, items, shape=shape)


def _ask_shape(scene: Scene, rng: np.random.Generator) -> Question | None:
    single = [colour for colour in COLOURS if len(_where(scene, colour=colour)) == 1]
    if not single:
        return None
    colour = pick(rng, single)
    items = _where(scene, colour=colour)
    return _phrase(rng, "shape", "shape", scene.items[items[0]].shape, items, colour=colour)


def _ask_size(scene: Scene, rng: np.random.Generator) -> Question | None:
    sizes = [(i, answer) for i in unique(scene) if (answer := size(scene.items[i])) is not None]
    if not sizes:
        return None
    return ask_size(scene, *pick(rng, sizes), rng)


def ask_size(scene: Scene, index: int, answer: str, rng: np.random.Generator) -> Question:
    """The question for the size of one object, which is ``answer``, in a random phrasing."""
    return _phrase(rng, "size", "size", answer, (index,), **_names(scene.items[index]))


def _absent(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """A colour and a shape that no single object has together."""
    present = {(item.colour, item.shape) for item in scene.items}
    mixed = sorted({(a.colour, b.shape) for a in scene.items for b in scene.items} - present)
    if mixed and rng.random() < HARD:
        return mixed[int(rng.integers(len(mixed)))]
    others = [(colour, shape) for colour in COLOURS for shape in SHAPES if (colour, shape) not in present]
    return others[int(rng.integers(len(others)))]


def _ask_existence(scene: Scene, rng: np.random.Generator) -> Question:
    there = rng.random() < 0.5
    if there:
        item: Item = scene.items[int(rng.integers(len(scene.items)))]
        colour, shape = item.colour, item.shape
    else:
        colour, shape = _absent(scene, rng)
    text, words = fill(pick(rng, PHRASES["existence"]), {"colour": colour, "shape": shape})
    hard = not there and bool(_where(scene, colour=colour)) and bool(_where(scene, shape=shape))
    items = _where(scene, colour, shape)
    mentions = ((1, items[0]),) if len(items) == 1 else ()
    return Question("existence", text, "yes" if there else "no", words, items, hard, mentions)


def _ask_counting(scene: Scene, rng: np.random.Generator) -> Question:
    item: Item = scene.items[int(rng.integers(len(scene.items)))]
    of_scene = rng.random() < 0.85
    if rng.random() < 0.5:
        colour = item.colour if of_scene else pick(rng, list(COLOURS))
        items = _where(scene, colour=colour)
        question = _phrase(rng, "counting", "counting colour", str(len(items)), items, colour=colour)
        return replace(question, mentions=())  # it names a group, not an object
    shape = item.shape if of_scene else pick(rng, SHAPES)
    items = _where(scene, shape=shape)
    return _phrase(rng, "counting", "counting shape", str(len(items)), items, shapes=PLURALS[shape])


def _ask_relation(scene: Scene, rng: np.random.Generator) -> Question | None:
    ways = [
        (two, across, way)
        for two in _pairs(scene)
        for across in (True, False)
        if (way := direction(scene.items[two[0]], scene.items[two[1]], across=across)) is not None
    ]
    if not ways:
        return None
    two, across, truth = pick(rng, ways)
    names = _names(scene.items[two[0]], scene.items[two[1]])
    if rng.random() < 0.3:
        way, other = ("left", "right") if across else ("above", "below")
        phrases = "relation across" if across else "relation down"
        return _phrase(rng, "relation", phrases, truth, two, way=way, other=other, **names)
    relation = pick(rng, [name for name, (way, other) in RELATIONS.items() if truth in (way, other)])
    answer = "yes" if RELATIONS[relation][0] == truth else "no"
    return _phrase(rng, "relation", "relation", answer, two, relation=relation, **names)


def _ask_comparison(scene: Scene, rng: np.random.Generator) -> Question | None:
    orders = [
        (two, is_larger)
        for two in _pairs(scene)
        if (is_larger := larger(scene.items[two[0]], scene.items[two[1]])) is not None
    ]
    if not orders:
        return None
    two, is_larger = pick(rng, orders)
    order = pick(rng, ("larger", "bigger", "smaller"))
    answer = "yes" if is_larger == (order != "smaller") else "no"
    return _phrase(rng, "comparison", "comparison", answer, two, order=order, **_names(*(scene.items[i] for i in two)))


def _alone(scene: Scene, place: str) -> int | None:
    """The only digit in that half of the picture, if all others lie in the opposite one."""
    halves = [half(item, across=place in ("left", "right")) for item in scene.items]
    return halves.index(place) if None not in halves and halves.count(place) == 1 else None


def _ask_naming(scene: Scene, rng: np.random.Generator) -> Question | None:
    if rng.random() < 0.5:
        index = int(rng.integers(len(scene.items)))  # no two digits of a scene share a colour
        item = scene.items[index]
        return _phrase(rng, "naming", "naming colour", item.shape, (index,), colour=item.colour)
    places = [(place, single) for place in PLACES if (single := _alone(scene, place)) is not None]
    if not places:
        return None
    place, single = pick(rng, places)
    phrases = "naming place" if place in ("left", "right") else "naming height"
    return _phrase(rng, "naming", phrases, scene.items[single].shape, (single,), place=place)


def _ask_place(scene: Scene, rng: np.random.Generator) -> Question | None:
    index, across = int(rng.integers(len(scene.items))), rng.random() < 0.5
    item = scene.items[index]
    answer = half(item, across=across)
    if answer is None:
        return None
    way, other = ("left", "right") if across else ("top", "bottom")
    phrases = "place across" if across else "place down"
    return _phrase(rng, "place", phrases, answer, (index,), digit=item.shape, way=way, other=other)


def _everything(scene: Scene) -> tuple[int, ...]:
    return tuple(range(len(scene.items)))


def _ask_larger(scene: Scene, rng: np.random.Generator) -> Question:
    order = pick(rng, ("greatest", "smallest"))
    answer = (max if order == "greatest" else min)(item.shape for item in scene.items)
    return _phrase(rng, "larger", "larger", answer, _everything(scene), order=order)


def _ask_sum(scene: Scene, rng: np.random.Generator) -> Question | None:
    if len(scene.items) != 2:
        return None
    answer = str(sum(int(item.shape) for item in scene.items))
    return _phrase(rng, "sum", "sum", answer, _everything(scene), sum=pick(rng, ("sum", "total")))


def _ask_parity(scene: Scene, rng: np.random.Generator) -> Question:
    index = int(rng.integers(len(scene.items)))
    item, parity = scene.items[index], pick(rng, ("even", "odd"))
    answer = "yes" if int(item.shape) % 2 == int(parity == "odd") else "no"
    return _phrase(rng, "parity", "parity", answer, (index,), colour=item.colour, parity=parity)


GRID: Final = 8
"""Columns and rows that position questions speak of."""


def _ask_position(scene: Scene, rng: np.random.Generator) -> Question | None:
    named = unique(scene)
    if not named or scene.items[0].shape in DIGITS:
        return None
    index, across = named[int(rng.integers(len(named)))], rng.random() < 0.5
    item = scene.items[index]
    answer = str(1 + int((item.x if across else item.y) * GRID / SIDE))
    phrases = "position across" if across else "position down"
    return _phrase(rng, "position", phrases, answer, (index,), **_names(item))


_SHAPES: Final[dict[str, Callable[[Scene, np.random.Generator], Question | None]]] = {
    "colour": _ask_colour,
    "shape": _ask_shape,
    "size": _ask_size,
    "existence": _ask_existence,
    "counting": _ask_counting,
    "relation": _ask_relation,
    "comparison": _ask_comparison,
}
_DIGITS: Final[dict[str, Callable[[Scene, np.random.Generator], Question | None]]] = {
    "naming": _ask_naming,
    "place": _ask_place,
    "larger": _ask_larger,
    "sum": _ask_sum,
    "parity": _ask_parity,
}
KINDS: Final = {"shapes": tuple(_SHAPES), "digits": tuple(_DIGITS)}
"""Family of scenes → the types of question about it."""
DRILL: Final = "position"
"""A type that only training asks, about shapes: it teaches where things are, which relations then build on."""
_ASKERS: Final = _SHAPES | _DIGITS | {DRILL: _ask_position}


def ask(scene: Scene, kind: str, rng: np.random.Generator) -> Question | None:
    """A random question of one kind about the scene.

    Args:
        scene: what the question is about.
        kind: a kind that `KINDS` has for the scene's family, or `DRILL`.
        rng: source of all chance.

    Returns:
        The question, or ``None`` if the scene (or this throw of the dice) allows none of that kind.
    """
    return _ASKERS[kind](scene, rng)
