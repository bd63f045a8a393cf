"""The **prior** data set: how much language and picture tell of the answer is set, and known in bits.

Four shapes lie in a picture with a coloured frame, and the question asks for the colour of one of them. Three dice
decide, in this order:

- the *colouring* f of the shapes is `CANONICAL` with probability ``language``, else a random permutation of it;
- the shape q that is asked about is uniform and independent of f; the answer is Y = f(q);
- the frame's colour b is Y with probability ``image``, else uniform over the four colours.

So the words (q) see Y through a symmetric channel over K = 4 colours that is right with probability s + (1 − s)/K,
s = ``language``. The picture shows f and b; q is independent of f, so Y is uniform whatever f is, and f tells nothing
of Y: the picture alone sees Y through such a channel of strength ``image``, the frame. Both together tell Y: 2 bits.
Two symmetric channels are always ordered, the weaker being the stronger one with more noise behind it (strengths
multiply), so that the weaker source knows nothing of Y that the stronger does not. That fixes the partial information
decomposition of Bertschinger et al. (2014, "Quantifying unique information", Entropy 16): see `pid`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.core.sample import Sample
from chiasm.zoo.data import backgrounds
from chiasm.zoo.data.arguments import whole_number
from chiasm.zoo.data.phrases import PHRASES, fill, pick
from chiasm.zoo.data.questions import Question
from chiasm.zoo.data.requests import chosen_types, sample_id
from chiasm.zoo.data.scenes import GAP, SIDE, Item, Scene, mask, paint, place, render

CANONICAL: Final = {"circle": "red", "square": "blue", "triangle": "green", "star": "yellow"}
"""Shape → the colour that language leads to expect."""
SHAPES: Final = tuple(CANONICAL)
ANSWERS: Final = tuple(CANONICAL.values())
"""The four colours: of the objects, of the frame, and all answers."""
FRAME: Final = 14
"""Width of the frame in pixels, along all four sides of the picture."""
TYPES: Final = ("colour",)
"""What is asked."""

_STREAM: Final = 0x9121042
"""Keeps the random numbers of the data set apart from those of training, whatever the seeds."""


@dataclass(frozen=True)
class Decomposition:
    """What two parts tell of the answer, in bits; the four kinds sum to the information of both together.

    Attributes:
        redundancy: what either part tells alone.
        unique: part → what that part tells and the other does not.
        synergy: what only both together tell.
    """

    redundancy: float
    unique: Mapping[str, float]
    synergy: float

    @property
    def total(self) -> float:
        """What both parts together tell."""
        return self.redundancy + sum(self.unique.values()) + self.synergy


@dataclass(frozen=True, eq=False)
class Case:
    """One draw of the generator, before rendering.

    Attributes:
        scene: the four objects, in the order of `SHAPES`, on a background that includes the frame.
        frame: colour of the frame, one of `ANSWERS`.
        question: asks for the colour of ``scene.items[question.items[0]]``.
    """

    scene: Scene
    frame: str
    question: Question

    @property
    def shape(self) -> str:
        """The shape asked about."""
        return self.scene.items[self.question.items[0]].shape

    @property
    def canonical(self) -> bool:
        """Whether the answer is what language leads to expect."""
        return self.question.answer == CANONICAL[self.shape]

    @property
    def cue_right(self) -> bool:
        """Whether the frame has the colour of the answer."""
        return self.frame == self.question.answer


def _checked(name: str, strength: float) -> float:
    if not 0 <= strength <= 1:
        raise InvalidInput(f"{name}={strength!r} is no strength; it goes from 0 (tells nothing) to 1 (tells all).")
    return float(strength)


def channel_information(strength: float) -> float:
    """Bits that a symmetric channel tells of a uniform one of four answers.

    It passes the answer on with probability ``strength``, else a uniform one of the four: log₂ 4 − H(p, (1−p)/3, …)
    with p = strength + (1 − strength)/4.

    Raises:
        InvalidInput: the strength is not within 0 … 1.
    """
    count = len(ANSWERS)
    wrong = (1 - _checked("strength", strength)) / count
    chances = [strength + wrong, *[wrong] * (count - 1)]
    return math.log2(count) + sum(chance * math.log2(chance) for chance in chances if chance > 0)


def pid(language: float, image: float) -> Decomposition:
    """Partial information decomposition of the generator, in closed form.

    With I(s) the information of a channel of strength s: redundancy is the smaller of I(language) and I(image),
    the part with the stronger channel has the difference to itself, and 2 bits − the larger is synergy.

    Args:
        language: how strongly the words alone predict the answer, 0 … 1.
        image: how strongly the picture alone does, 0 … 1.

    Returns:
        Bits, by the parts ``text`` and ``image`` of a sample.

    Raises:
        InvalidInput: a strength is not within 0 … 1.
    """
    text, picture = (
        channel_information(_checked(name, strength)) for name, strength in (("language", language), ("image", image))
    )
    shared = min(text, picture)
    unique = {"text": text - shared, "image": picture - shared}
    return Decomposition(shared, unique, math.log2(len(ANSWERS)) - max(text, picture))


def draw_colouring(rng: np.random.Generator, language: float) -> dict[str, str]:
    """Shape → colour: `CANONICAL` with probability ``language``, else a random permutation.

    The same dice are thrown at any strength, so that scenes of equal seed differ in their colours alone.
    """
    expected, order = rng.random() < language, rng.permutation(len(ANSWERS))
    if expected:
        return dict(CANONICAL)
    return {shape: ANSWERS[number] for shape, number in zip(SHAPES, order, strict=True)}


def draw_frame(rng: np.random.Generator, answer: str, image: float) -> str:
    """Colour of the frame: the answer with probability ``image``, else any of the four."""
    follows, other = rng.random() < image, pick(rng, ANSWERS)
    return answer if follows else other


def draw_scene(rng: np.random.Generator, colours: Mapping[str, str], frame: str) -> Scene:
    """The four shapes at random places, in these colours, inside a frame of that colour.

    Args:
        rng: source of all chance.
        colours: shape → colour.
        frame: colour of the frame.

    Returns:
        A scene whose background is as large as the picture, with the frame painted on it.
    """
    items: list[Item] = []
    while len(items) < len(SHAPES):
        items = []
        for shape in SHAPES:
            item = place(rng, colours[shape], shape, items, edge=FRAME + GAP)
            if item is None:
                break
            items.append(item)
    plain = Scene((), backgrounds.plain(rng))
    background = np.array(Image.new("RGB", (SIDE, SIDE), paint(rng, frame)))
    inside = slice(FRAME, SIDE - FRAME)
    background[inside, inside] = np.asarray(render(plain))[inside, inside]
    return Scene(tuple(items), background)


def ask(rng: np.random.Generator, scene: Scene, number: int) -> Question:
    """The question for the colour of the ``number``-th object of a scene, in a random phrasing."""
    item = scene.items[number]
    text, words = fill(pick(rng, PHRASES["colour"]), {"shape": item.shape})
    return Question("colour", text, item.colour, words, (number,), mentions=((0, number),))


def draw_case(rng: np.random.Generator, language: float, image: float) -> Case:
    """One draw of the generator (see the module's docstring)."""
    colours, asked = draw_colouring(rng, language), int(rng.integers(len(SHAPES)))
    frame = draw_frame(rng, colours[SHAPES[asked]], image)
    scene = draw_scene(rng, colours, frame)
    return Case(scene, frame, ask(rng, scene, asked))


def case(index: int, seed: int, *, language: float = 0.0, image: float = 0.0) -> Case:
    """Case number ``index`` of the data set, before rendering."""
    return draw_case(np.random.default_rng(np.random.SeedSequence([_STREAM, seed, index])), language, image)


def samples(
    n: int, seed: int, types: Sequence[str] | None = None, *, language: float = 0.0, image: float = 0.0
) -> list[Sample]:
    """The first ``n`` samples of the prior data set with that seed.

    Sample k depends on ``seed``, the strengths and k alone, not on ``n``. Places, sizes and wording are the same at
    any strength: where two strengths differ, they differ in colours.

    Args:
        n: how many samples.
        seed: seed of the data set, not negative. The zoo's models never trained on these pictures, whatever the seed.
        types: question types, of `TYPES`: there is one, so that it may be left out.
        language: how strongly the question alone predicts the answer, from 0 (not at all) to 1 (always right).
        image: how strongly the picture alone does, by the colour of its frame, from 0 to 1.

    Returns:
        Samples with the parts ``image`` (RGB picture of 256 × 256 pixels) and ``text``. ``truth["image"]`` is the box
        of the object asked about and ``masks["image"]`` its pixels, ``truth["text"]`` the span of its shape's word.
        The frame, `FRAME` pixels wide, is no part of that truth: it decides nothing, it goes along with the answer.
        Tags: ``type``, ``shape`` (asked about), ``frame`` (its colour), ``canonical`` (the answer is the expected
        one), ``cue_right`` (the frame has the answer's colour), and the strengths ``language`` and ``image``.

    Raises:
        UnknownName: a type is not one of `TYPES`.
        InvalidInput: ``n`` or ``seed`` is no whole number from 0 on, ``types`` is empty or no list of names, or a
            strength is not within 0 … 1.
    """
    n, seed = whole_number("n", n), whole_number("seed", seed)
    chosen_types("'prior' has no question type", types, TYPES)
    strengths = {"language": _checked("language", language), "image": _checked("image", image)}
    set_ones = {name: strength for name, strength in strengths.items() if strength}
    names = [sample_id("prior", seed, index, options=set_ones) for index in range(n)]
    return [_sample(case(index, seed, **strengths), name, strengths) for index, name in enumerate(names)]


def _sample(drawn: Case, name: str, strengths: Mapping[str, float]) -> Sample:
    question = drawn.question
    item = drawn.scene.items[question.items[0]]
    return Sample(
        image=render(drawn.scene),
        text=question.text,
        answer=question.answer,
        truth={
            "image": np.array([item.box], dtype=np.float64),
            "text": np.array(question.words, dtype=np.int64).reshape(-1, 2),
        },
        masks={"image": mask(item)[None]},
        tags={
            "type": question.kind,
            "shape": drawn.shape,
            "frame": drawn.frame,
            "canonical": drawn.canonical,
            "cue_right": drawn.cue_right,
            **strengths,
        },
        id=name,
    )
