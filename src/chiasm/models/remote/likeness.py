"""How alike two answers are: measures for the readings that have text alone, by name or as a function of your own."""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.core.registry import Registry

#: the model's text and the explained answer → how alike they are, higher for more
Measure = Callable[[str, str], float]

#: name → measure; other packages add theirs by entry points of this group
measures: Registry[Measure] = Registry("measure of likeness", "chiasm.likeness")


def plain(text: str | None) -> str:
    """An answer without case, white space and marks at its ends."""
    return (text or "").strip().strip(".,;:!?\"'").casefold()


def exact(said: str, answer: str) -> float:
    """1 where both read the same, case and marks at the ends aside; else 0."""
    return float(plain(said) == plain(answer))


def letters(said: str, answer: str) -> float:
    """Matching characters, 2M/T of Ratcliff and Obershelp, in [0, 1]."""
    return difflib.SequenceMatcher(None, plain(said), plain(answer)).ratio()


def words(said: str, answer: str) -> float:
    """F1 of the words that both have, each as often as both have it, in [0, 1] (as SQuAD scores answers)."""
    one, other = (Counter(plain(word) for word in text.split()) for text in (said, answer))
    shared, total = (one & other).total(), one.total() + other.total()
    return 2.0 * shared / total if total else 1.0


measures.register("exact", exact, "1 where both read the same, else 0")
measures.register("letters", letters, "matching characters (Ratcliff and Obershelp)")
measures.register("words", words, "F1 of the words that both have")


def measure_of(choice: str | Measure) -> tuple[str, Measure]:
    """A measure and what it is called.

    Raises:
        UnknownName: no measure of that name.
        InvalidInput: neither a name nor a function.
    """
    if isinstance(choice, str):
        return choice, measures.get(choice)
    if not callable(choice):
        raise InvalidInput(f"The measure is {choice!r}; give one of {', '.join(measures)} or a function of two texts.")
    return str(getattr(choice, "__name__", type(choice).__name__)), choice


def score(measure: Measure, said: str | None, answer: str) -> float:
    """A measure's value, checked.

    Raises:
        ModelError: it is not one finite number.
    """
    found = measure(said or "", answer)
    if isinstance(found, bool | int | float) and math.isfinite(found):
        return float(found)
    raise ModelError(f"The measure of likeness gave {found!r} for two texts; it must give one finite number.")
