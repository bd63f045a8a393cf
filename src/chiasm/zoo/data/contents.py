"""What the zoo's data sets ask, in how many ways: for lists and docs, without drawing a sample."""

from __future__ import annotations

from chiasm.zoo.data import chimes, prior
from chiasm.zoo.data.captions import CAPTIONS, NEGATIVES
from chiasm.zoo.data.phrases import PHRASES
from chiasm.zoo.data.sets import TYPES


def templates(name: str) -> dict[str, tuple[str, ...]]:
    """Question type → its phrasings; for **captions** kind of false caption → the phrasings it may have.

    Args:
        name: a data set; one that another package brought has none that are known here.
    """
    if name == "captions":
        return {kind: tuple(t for key in keys for t in CAPTIONS[key]) for kind, keys in NEGATIVES.items()}
    if name == "chimes":
        return chimes.PHRASES
    kinds = prior.TYPES if name == "prior" else TYPES.get(name, ())
    # A type whose questions take several forms has a list for each: "counting colour", "counting shape".
    return {
        kind: tuple(t for key, several in PHRASES.items() if key.partition(" ")[0] == kind for t in several)
        for kind in kinds
    }
