"""The data set **chimes**: a picture of shapes, a sound of beeps, and a question about one, either or both.

What each part tells of the answer is planted: *colour* and *count* are in the picture alone, *pitch* and *beeps* in the
sound alone, *either* in each of the two (there are as many beeps as shapes, and the question asks for the number), and
*same* (are there as many beeps as shapes?) in neither by itself: whatever the picture or the sound, yes and no are as
likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.sample import Sample, Tag
from chiasm.modalities.audio_reading import RATE
from chiasm.zoo.data.arguments import whole_number
from chiasm.zoo.data.requests import chosen_types, sample_id
from chiasm.zoo.data.scenes import COLOURS, SHAPES, SIDE, Item, Scene, mask, place, render

NUMBERS: Final = ("one", "two", "three")
PITCHES: Final[dict[str, tuple[float, float]]] = {"low": (300.0, 480.0), "high": (1200.0, 1900.0)}
"""Pitch → the range of frequencies in hertz."""
SECONDS: Final = 1.0
BEEP: Final = 0.14
"""Seconds of a beep; between two beeps lies at least a third of it."""
_GAP: Final = BEEP / 3
_FLOOR: Final = 0.002
_STREAM: Final = 0xC41E5

PHRASES: Final[dict[str, tuple[str, ...]]] = {
    "colour": ("What colour are the shapes?", "Which colour do the shapes have?"),
    "count": ("How many shapes are there?", "How many shapes do you see?"),
    "pitch": ("Is the sound high or low?", "Are the beeps high or low?"),
    "beeps": ("How many beeps are there?", "How many beeps do you hear?"),
    "either": ("How many are there?", "What is the number?"),
    "same": ("Are there as many beeps as shapes?", "Do you hear as many beeps as you see shapes?"),
}
"""Type of question → how it is put."""
KINDS: Final = tuple(PHRASES)
_DECIDING: Final[dict[str, tuple[str, ...]]] = {
    "colour": ("colour",),
    "count": ("many", "shapes"),
    "pitch": ("high", "low"),
    "beeps": ("many", "beeps"),
    "either": ("many", "number"),
    "same": ("many", "beeps", "shapes"),
}
"""Type → the words that decide, as far as they stand in the question."""
USES: Final[dict[str, tuple[str, ...]]] = {
    "colour": ("image",),
    "count": ("image",),
    "pitch": ("audio",),
    "beeps": ("audio",),
    "either": ("image", "audio"),
    "same": ("image", "audio"),
}
"""Type → the parts beside the question that tell of the answer."""


@dataclass(frozen=True, eq=False)
class Chime:
    """A picture and a sound before they are rendered.

    Attributes:
        items: one to three shapes of one colour and one kind.
        pitch: a name of `PITCHES`.
        hertz: the frequency.
        starts: when each beep begins, in seconds.
        field: colours of the background's corners, ``uint8[2, 2, 3]``.
    """

    items: tuple[Item, ...]
    pitch: str
    hertz: float
    starts: tuple[float, ...]
    field: NDArray[np.uint8]

    def answer(self, kind: str) -> str:
        """The right answer to a question of a type."""
        match kind:
            case "colour":
                return self.items[0].colour
            case "count" | "either":
                return NUMBERS[len(self.items) - 1]
            case "pitch":
                return self.pitch
            case "beeps":
                return NUMBERS[len(self.starts) - 1]
        return "yes" if len(self.items) == len(self.starts) else "no"

    @property
    def picture(self) -> NDArray[np.uint8]:
        """``uint8[256, 256, 3]``."""
        return np.asarray(render(Scene(self.items, self.field)))


def draw(rng: np.random.Generator, *, same: bool) -> Chime:
    """A random picture and sound; ``same``: with as many beeps as shapes, else with another number."""
    colour, shape = (names[int(rng.integers(len(names)))] for names in (tuple(COLOURS), SHAPES))
    wanted = 1 + int(rng.integers(len(NUMBERS)))
    items: list[Item] = []
    while len(items) < wanted:
        item = place(rng, colour, shape, items)
        items = [] if item is None else [*items, item]
    others = [k for k in range(1, len(NUMBERS) + 1) if k != wanted]
    beeps = wanted if same else others[int(rng.integers(len(others)))]
    pitch = tuple(PITCHES)[int(rng.integers(2))]
    free = SECONDS - beeps * BEEP - (beeps - 1) * _GAP
    offsets = np.sort(rng.uniform(0, free, beeps)) + np.arange(beeps) * (BEEP + _GAP)
    field = rng.integers(205, 250, (2, 2, 3)).astype(np.uint8)
    return Chime(tuple(items), pitch, float(rng.uniform(*PITCHES[pitch])), tuple(offsets.tolist()), field)


def sound(chime: Chime, rng: np.random.Generator) -> NDArray[np.float32]:
    """The beeps over a faint noise, ``float32[16000]``: a sine under half a sine, at half of full scale."""
    found = _FLOOR * rng.standard_normal(round(SECONDS * RATE))
    count = round(BEEP * RATE)
    beep = 0.5 * np.sin(2 * np.pi * chime.hertz * np.arange(count) / RATE) * np.sin(np.pi * np.arange(count) / count)
    for start in chime.starts:
        first = round(start * RATE)
        found[first : first + count] += beep[: len(found) - first]
    return np.asarray(found, np.float32)


def samples(n: int, seed: int, types: Sequence[str] | None = None) -> list[Sample]:
    """The first ``n`` samples of **chimes**.

    Sample k depends on ``seed``, ``types`` and k alone.

    Args:
        n: how many.
        seed: not negative.
        types: types of questions to draw from, of `KINDS`; all if ``None``.

    Returns:
        Samples with the parts ``image`` (256 × 256 pixels), ``audio`` (a second at 16,000 a second) and ``text``.
        Truth: boxes of the shapes, times of the beeps in seconds, and spans of the words that decide, each where it
        tells of the answer. Tags: ``type``, ``uses`` (``"image"``, ``"audio"``, ``"either"``, ``"both"``), ``shapes``,
        ``beeps``.

    Raises:
        UnknownName: a type that there is not.
        InvalidInput: ``n`` or ``seed`` is no whole number from 0 on.
    """
    count, start = whole_number("n", n), whole_number("seed", seed)
    kinds = chosen_types("'chimes' has no question type", types, KINDS)
    return [_sample(k, start, kinds) for k in range(count)]


def _sample(index: int, seed: int, kinds: tuple[str, ...]) -> Sample:
    rng = np.random.default_rng(np.random.SeedSequence([_STREAM, seed, index]))
    kind = kinds[int(rng.integers(len(kinds)))]
    chime = draw(rng, same=kind == "either" or bool(rng.random() < 0.5))
    text = PHRASES[kind][int(rng.integers(len(PHRASES[kind])))]
    heard = sound(chime, rng)
    used = USES[kind]
    masks = np.array([mask(item) for item in chime.items]) if "image" in used else np.zeros((0, SIDE, SIDE), bool)
    truth: dict[str, NDArray[Any]] = {
        "image": np.array([item.box for item in chime.items] if "image" in used else [], np.float64).reshape(-1, 4),
        "audio": np.array([(s, s + BEEP) for s in chime.starts] if "audio" in used else [], np.float64).reshape(-1, 2),
        "text": np.array([_span(text, word) for word in _DECIDING[kind] if word in text], np.int64).reshape(-1, 2),
    }
    tags: dict[str, Tag] = {
        "type": kind,
        "uses": {"either": "either", "same": "both"}.get(kind, used[0]),
        "shapes": len(chime.items),
        "beeps": len(chime.starts),
    }
    return Sample(
        image=chime.picture,
        audio=heard,
        text=text,
        answer=chime.answer(kind),
        truth=truth,
        masks={"image": masks},
        tags=tags,
        id=sample_id("chimes", seed, index, types=() if kinds == KINDS else kinds),
    )


def _span(text: str, word: str) -> tuple[int, int]:
    start = text.index(word)
    return start, start + len(word)
