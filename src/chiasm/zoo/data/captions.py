"""Captions of scenes, true ones and hard negatives, for models that compare a picture with a text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.sample import Sample
from chiasm.zoo.data.arguments import whole_number
from chiasm.zoo.data.geometry import direction, lies
from chiasm.zoo.data.phrases import RELATIONS, fill, pick
from chiasm.zoo.data.requests import chosen_types, sample_id
from chiasm.zoo.data.scenes import COLOURS, SHAPES, Item, Scene, draw_scene, mask, render

CAPTIONS: Final[dict[str, tuple[str, ...]]] = {
    "one": (
        "a {colour} {shape}",
        "there is a {colour} {shape}",
        "a picture of a {colour} {shape}",
        "an image showing a {colour} {shape}",
    ),
    "two": (
        "a {colour} {shape} and a {colour2} {shape2}",
        "a picture of a {colour} {shape} with a {colour2} {shape2}",
        "there is a {colour} {shape} and a {colour2} {shape2}",
    ),
    "relation": (
        "a {colour} {shape} {relation} a {colour2} {shape2}",
        "the {colour} {shape} is {relation} the {colour2} {shape2}",
        "a picture of a {colour} {shape} {relation} a {colour2} {shape2}",
    ),
}
"""Kind of caption → its phrasings."""

NEGATIVES: Final = {
    "colour": ("one", "two", "relation"),
    "shape": ("one", "two", "relation"),
    "swap": ("two", "relation"),
    "relation": ("relation",),
}
"""Kind of hard negative → the kinds of caption that have one."""
MOST_CAPTIONED: Final = 3
"""Largest number of objects of a captioned scene."""

_OPPOSITES: Final = {
    "left of": "right of",
    "to the left of": "to the right of",
    "right of": "left of",
    "to the right of": "to the left of",
    "above": "below",
    "below": "above",
}
_STREAM: Final = 0xCA97
"""Keeps the random numbers of the data set apart from those of training, whatever the seeds."""


@dataclass(frozen=True)
class Caption:
    """A sentence about a scene, true or false.

    Attributes:
        kind: a key of `CAPTIONS`.
        template: one of its phrasings.
        words: place in the template → word; ``relation`` is one of `phrases.RELATIONS`.
        items: indices of the scene's objects that a true caption speaks of; for a negative those of its caption.
    """

    kind: str
    template: str
    words: Mapping[str, str]
    items: tuple[int, ...]

    @property
    def text(self) -> str:
        """The sentence."""
        return fill(self.template, dict(self.words))[0]

    @property
    def names(self) -> list[tuple[str, str]]:
        """Colour and shape of the one or two objects it speaks of."""
        return [(self.words["colour" + n], self.words["shape" + n]) for n in ("", "2") if "colour" + n in self.words]

    @property
    def way(self) -> str | None:
        """Which way the first object lies: left, right, above or below; ``None`` without relation."""
        return RELATIONS[self.words["relation"]][0] if "relation" in self.words else None

    def differing(self, other: Caption) -> tuple[tuple[int, int], ...]:
        """Character spans of this caption's words that a caption of the same phrasing has otherwise."""
        spans = fill(self.template, dict(self.words))[1]
        names = _places(self.template, self.words)
        return tuple(span for name, span in zip(names, spans, strict=True) if self.words[name] != other.words[name])


def _places(template: str, words: Mapping[str, str]) -> list[str]:
    """The names of the words in the order in which they stand."""
    return sorted(words, key=lambda name: template.index("{" + name + "}"))


def _of(scene: Scene, name: tuple[str, str]) -> list[int]:
    return [k for k, item in enumerate(scene.items) if (item.colour, item.shape) == name]


def could_hold(scene: Scene, caption: Caption) -> bool:
    """Whether any reading makes the caption true; a hard negative must not pass even this.

    Every object named must be there (in "a … and a …" one object could pass for both), and for a relation any two
    objects of those names may stand that way, by however little.
    """
    found = [_of(scene, name) for name in caption.names]
    if not all(found) or caption.way is None:
        return all(found)
    return any(lies(scene.items[a], scene.items[b], caption.way) for a in found[0] for b in found[1] if a != b)


def caption(scene: Scene, rng: np.random.Generator, kind: str | None = None) -> Caption | None:
    """A random true caption.

    Args:
        scene: what it is about: shapes.
        rng: source of all chance.
        kind: a key of `CAPTIONS`; any if ``None``.

    Returns:
        The caption, or ``None`` if the scene (or this throw of the dice) has none of that kind. Two objects are only
        named together if each is the only one of its colour and shape, and only related along an axis along which a
        gap runs between their boxes (`geometry.direction`).
    """
    kind = pick(rng, list(CAPTIONS)) if kind is None else kind
    template = pick(rng, CAPTIONS[kind])
    if kind == "one":
        item = scene.items[int(rng.integers(len(scene.items)))]
        words = {"colour": item.colour, "shape": item.shape}
        return Caption(kind, template, words, tuple(_of(scene, (item.colour, item.shape))))
    single = [k for k, item in enumerate(scene.items) if len(_of(scene, (item.colour, item.shape))) == 1]
    if len(single) < 2:
        return None
    a, b = (single[k] for k in rng.permutation(len(single))[:2])
    first, second = scene.items[a], scene.items[b]
    words = {"colour": first.colour, "shape": first.shape, "colour2": second.colour, "shape2": second.shape}
    if kind == "relation":
        ways = {direction(first, second, across=True), direction(first, second, across=False)}
        possible = [name for name, (way, _) in RELATIONS.items() if way in ways]
        if not possible:
            return None
        words["relation"] = pick(rng, possible)
    return Caption(kind, template, words, (a, b))


def _changed(true: Caption, kind: str) -> Iterator[Caption]:
    """Every caption that differs from a true one in the way of that kind of negative, false or not."""
    words = true.words
    changes: list[dict[str, str]] = []
    if kind in ("colour", "shape"):
        options = list(COLOURS) if kind == "colour" else list(SHAPES)
        changes = [{name: o} for name in (kind, kind + "2") if name in words for o in options if o != words[name]]
    elif kind == "swap" and "colour2" in words:
        pairs = [(name, name + "2") for name in ("colour", "shape") if words[name] != words[name + "2"]]
        changes = [{a: words[b], b: words[a]} for a, b in pairs]
    elif kind == "relation" and "relation" in words:
        changes = [{"relation": _OPPOSITES[words["relation"]]}]
    for change in changes:
        yield replace(true, words={**words, **change})


def negative(scene: Scene, true: Caption, kind: str, rng: np.random.Generator) -> Caption | None:
    """A random hard negative: the caption with one thing changed that makes it false.

    Args:
        scene: the scene.
        true: a true caption of it.
        kind: ``"colour"`` or ``"shape"`` (another one for one object), ``"swap"`` (two objects trade their colours or
            their shapes) or ``"relation"`` (it points the opposite way).
        rng: source of all chance.

    Returns:
        A caption that no reading makes true of the scene, or ``None`` if there is none of that kind.
    """
    false = [changed for changed in _changed(true, kind) if not could_hold(scene, changed)]
    return false[int(rng.integers(len(false)))] if false else None


def negatives(scene: Scene, true: Caption, rng: np.random.Generator) -> dict[str, Caption]:
    """One hard negative of each kind that the caption has (see `negative`)."""
    found = {kind: negative(scene, true, kind, rng) for kind in NEGATIVES}
    return {kind: caption for kind, caption in found.items() if caption is not None}


def scene_and_captions(
    index: int, seed: int, types: Sequence[str] | None = None
) -> tuple[Scene, str, Caption, dict[str, Caption]]:
    """Scene number ``index`` of the data set, before rendering.

    Args:
        index: place in the data set, from 0.
        seed: seed of the data set.
        types: kinds of negative to choose from; all of `NEGATIVES` if ``None``.

    Returns:
        The scene, the kind of negative, the true caption, and one negative of each kind that it has: that kind
        among them.

    Raises:
        UnknownName: a type is not a kind of negative.
        InvalidInput: ``types`` is empty or no list of names.
    """
    kinds = _checked(types)
    rng = np.random.default_rng(np.random.SeedSequence([_STREAM, seed, index]))
    kind = kinds[int(rng.integers(len(kinds)))]
    while True:
        scene = draw_scene(rng, MOST_CAPTIONED)
        true = caption(scene, rng, pick(rng, NEGATIVES[kind]))
        if true is not None:
            others = negatives(scene, true, rng)
            if kind in others:
                return scene, kind, true, others


def samples(n: int, seed: int, types: Sequence[str] | None = None) -> list[Sample]:
    """The first ``n`` samples of the captions data set with that seed.

    Sample k depends on ``seed``, ``types`` and k alone, not on ``n``.

    Args:
        n: how many samples.
        seed: seed of the data set, not negative. The zoo's models never trained on these pictures, whatever the seed.
        types: kinds of hard negative: ``"colour"``, ``"shape"``, ``"swap"``, ``"relation"``; all if ``None``.

    Returns:
        Samples with the parts ``image`` (RGB picture of 256 × 256 pixels, two or three shapes) and ``text``, a true
        caption. The tag ``negative`` is a false caption that differs from it in what the tag ``type`` says;
        ``truth["text"]`` holds the spans of the words that differ, ``truth["image"]`` and ``masks["image"]`` the boxes
        and the pixels of the objects they speak of.

    Raises:
        UnknownName: a type is not one of those above.
        InvalidInput: ``n`` or ``seed`` is no whole number from 0 on, or ``types`` is empty or no list of names.
    """
    n, seed = whole_number("n", n), whole_number("seed", seed)
    kinds = _checked(types)
    return [_sample(index, seed, kinds) for index in range(n)]


def _checked(types: Sequence[str] | None) -> tuple[str, ...]:
    return chosen_types("'captions' has no kind of negative", types, NEGATIVES)


def _deciding(scene: Scene, kind: str, true: Caption, false: Caption) -> list[Item]:
    """The objects that make the one caption true and the other false."""
    if kind in ("colour", "shape"):
        renamed = [old for old, new in zip(true.names, false.names, strict=True) if old != new]
        return [scene.items[k] for name in renamed for k in _of(scene, name)]
    return [scene.items[k] for k in true.items]


def _sample(index: int, seed: int, kinds: tuple[str, ...]) -> Sample:
    scene, kind, true, others = scene_and_captions(index, seed, kinds)
    false = others[kind]
    items = _deciding(scene, kind, true, false)
    pixels: NDArray[np.bool_] = np.stack([mask(item) for item in items])
    return Sample(
        image=render(scene),
        text=true.text,
        truth={
            "image": np.array([item.box for item in items], dtype=np.float64),
            "text": np.array(true.differing(false), dtype=np.int64),
        },
        masks={"image": pixels},
        tags={"type": kind, "negative": false.text, "caption": true.kind, "objects": len(scene.items)},
        id=sample_id("captions", seed, index, types=() if kinds == tuple(NEGATIVES) else kinds),
    )
