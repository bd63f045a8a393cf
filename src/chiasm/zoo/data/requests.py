"""Which types of a generated data set were asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from chiasm.core.errors import UnknownName
from chiasm.zoo.data.arguments import type_names


def chosen_types(what: str, types: Sequence[str] | None, known: Iterable[str]) -> tuple[str, ...]:
    """The types that were asked for.

    Args:
        what: the kind of thing that a type is, for the message, e.g. ``"question type of 'shapes'"``.
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
            raise UnknownName(what, name, allowed)
    return chosen
