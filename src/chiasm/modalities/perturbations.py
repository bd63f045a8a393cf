"""Small changes of a part that should change neither an answer nor its explanation; each keeps the number of players.

A kind of part that is not here is not perturbed; `register` adds one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from scipy.ndimage import shift as shifted

from chiasm.core.errors import InvalidInput
from chiasm.modalities.image_reading import Picture

#: ``(content, random numbers, strength)`` → changed content; a strength of 1 is barely seen
Perturbation = Callable[[Any, np.random.Generator, float], Any]

SYNONYMS: Final[dict[str, str]] = {
    "picture": "image",
    "image": "picture",
    "photo": "photograph",
    "photograph": "photo",
    "colour": "color",
    "color": "colour",
    "big": "large",
    "large": "big",
    "small": "little",
    "little": "small",
    "bigger": "larger",
    "larger": "bigger",
    "shape": "form",
    "form": "shape",
    "round": "circular",
    "car": "automobile",
    "man": "guy",
    "woman": "lady",
    "child": "kid",
    "kid": "child",
    "near": "by",
    "next": "close",
    "below": "under",
    "under": "below",
    "above": "over",
    "over": "above",
    "show": "display",
    "shown": "displayed",
    "see": "spot",
    "picked": "chosen",
}
"""Word → another single word that asks the same; a table of your own may be given."""
_WORD: Final = re.compile(r"\w+")


def noise(content: Picture, rng: np.random.Generator, strength: float) -> Picture:
    """Normal noise on every pixel, 2 grey levels of 255 at strength 1."""
    changed = content + rng.normal(scale=2 * strength, size=content.shape)
    return np.asarray(np.clip(np.rint(changed), 0, 255), np.uint8)


def shift(content: Picture, rng: np.random.Generator, strength: float) -> Picture:
    """A shift by up to 1 % of the sides at strength 1, at least a pixel; the edge's pixels fill up."""
    most = [max(1, round(0.01 * strength * side)) for side in content.shape[:2]]
    by = [int(rng.integers(-m, m + 1)) for m in most]
    if by == [0, 0]:
        by = [1, 0]
    return np.asarray(shifted(content, (*by, 0), order=0, mode="nearest"), np.uint8)


def letter_case(content: str, rng: np.random.Generator, strength: float) -> str:
    """One word's first letter turns to the other case (more words with a larger strength)."""
    words = [found for found in _WORD.finditer(content) if found[0][0].swapcase() != found[0][0]]
    if not words:
        return content
    for k in rng.permutation(len(words))[: max(1, round(strength))]:
        at = words[int(k)].start()
        content = content[:at] + content[at].swapcase() + content[at + 1 :]
    return content


def synonym(content: str, rng: np.random.Generator, strength: float, table: Mapping[str, str] | None = None) -> str:
    """One word of the table is replaced by its synonym (more with a larger strength), keeping its capital.

    Raises:
        InvalidInput: a synonym that is not one word.
    """
    synonyms = SYNONYMS if table is None else table
    words = [found for found in _WORD.finditer(content) if found[0].lower() in synonyms]
    chosen = [words[int(k)] for k in rng.permutation(len(words))[: max(1, round(strength))]]
    for found in sorted(chosen, key=lambda word: -word.start()):
        new = synonyms[found[0].lower()]
        if not _WORD.fullmatch(new):
            raise InvalidInput(f"The synonym {new!r} of {found[0]!r} is not one word; players would not stay the same.")
        new = new.capitalize() if found[0][0].isupper() else new
        content = content[: found.start()] + new + content[found.end() :]
    return content


def jitter(content: dict[str, float | str], rng: np.random.Generator, strength: float) -> dict[str, float | str]:
    """Normal noise on the numbers of a row, 1 % of each at strength 1; 0 and 1, which are choices, and texts stay."""
    return {
        name: value if isinstance(value, str) or value in (0, 1) else value * (1 + 0.01 * strength * rng.normal())
        for name, value in content.items()
    }


_KNOWN: dict[str, dict[str, Perturbation]] = {
    "image": {"noise": noise, "shift": shift},
    "text": {"letter case": letter_case, "synonym": synonym},
    "tabular": {"jitter": jitter},
}


def perturbations(kind: str) -> dict[str, Perturbation]:
    """The perturbations of a kind of part, by name; none for a kind that has none."""
    return dict(_KNOWN.get(kind, {}))


def register(kind: str, name: str, perturbation: Perturbation) -> None:
    """Add a perturbation.

    Raises:
        InvalidInput: the name is taken.
    """
    if name in _KNOWN.get(kind, {}):
        raise InvalidInput(f"{kind!r} has a perturbation {name!r} already; choose another name.")
    _KNOWN.setdefault(kind, {})[name] = perturbation
