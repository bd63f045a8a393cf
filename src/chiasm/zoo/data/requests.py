"""Which types of a generated data set were asked for, and what its samples are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from chiasm.core.errors import UnknownName
from chiasm.zoo.data.arguments import type_names

_LONGEST: Final = 40
"""Characters of an id that say what was asked for; more are told by a digest."""


class UnknownType(UnknownName):
    """A data set has no question type of that name."""

    def __init__(self, what: str, name: str, known: Iterable[str]) -> None:
        """Build the message.

        Args:
            what: the data set and the kind of thing that its types are, e.g. ``"'shapes' has no question type"``.
            name: the name as given.
            known: the types that the data set has.
        """
        super().__init__(what, name, known)
        hint = str(self).partition(f"{name!r}.")[2]
        self.args = (f"{what} {name!r}.{hint}",)


def chosen_types(what: str, types: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """The types that were asked for.

    Args:
        what: begins the message, e.g. ``"'shapes' has no question type"``.
        types: names of types; all if ``None``.
        known: the types that the data set has.

    Raises:
        UnknownName: a type is not among them.
        InvalidInput: ``types`` is empty, or no list of names.
    """
    allowed = tuple(known)
    if types is None:
        return allowed
    chosen = tuple(type_names(types))
    for name in chosen:
        if name not in allowed:
            raise UnknownType(what, name, allowed)
    return chosen


def sample_id(
    name: str, seed: int, index: int, *, types: Sequence[str] = (), options: Mapping[str, float] | None = None
) -> str:
    """The id of a sample: ``shapes-1-000000``, or ``shapes-1-colour+size-000000`` where something was asked for.

    Samples of the same place and seed differ with the types and options that they were drawn from; so do their ids.

    Args:
        name: the data set.
        seed: its seed.
        index: place in it, from 0.
        types: the types that were asked for, in their order, on which samples depend; none if all were, in their own.
        options: other options that differ from their defaults.
    """
    said = "-".join(
        [*(["+".join(types)] if types else []), *(f"{key}={value!r}" for key, value in sorted((options or {}).items()))]
    )
    if len(said) > _LONGEST:
        said = sha256(said.encode()).hexdigest()[:12]
    return "-".join([name, str(seed), *([said] if said else []), f"{index:06d}"])
