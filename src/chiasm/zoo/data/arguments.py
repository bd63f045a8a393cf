"""What a data set may be asked for: whole numbers and question types, or a refusal in words."""

from __future__ import annotations

import operator
from collections.abc import Iterable

import numpy as np

from chiasm.core.errors import InvalidInput


def whole_number(name: str, value: object) -> int:
    """A whole number from 0 on, of Python or of numpy.

    Raises:
        InvalidInput: it is negative, or something else.
    """
    number = None
    if not isinstance(value, bool | np.ndarray) and hasattr(value, "__index__"):
        number = operator.index(value)
    if number is None:
        raise InvalidInput(f"{name}={value!r} is a {type(value).__name__}; give a whole number, e.g. {name}=20.")
    if number < 0:
        raise InvalidInput(f"{name} must not be negative; got {name}={number}.")
    return number


def type_names(types: object) -> list[str]:
    """Names of question types, from whatever yields them; those of a set, which has no order, in that of the alphabet.

    Raises:
        InvalidInput: it is a text, yields nothing, or yields something else than texts.
    """
    if isinstance(types, str):
        several = [name.strip() for name in types.split(",") if name.strip()]
        raise InvalidInput(f"types is the text {types!r}; give a list, e.g. types={several or ['colour']!r}.")
    if not isinstance(types, Iterable):
        raise InvalidInput(f"types={types!r} is a {type(types).__name__}; give a list, e.g. types=['colour'].")
    names = list(types)
    for name in names:
        if not isinstance(name, str):
            raise InvalidInput(f"types has {name!r} in it, a {type(name).__name__}; give names, e.g. types=['colour'].")
    if not names:
        raise InvalidInput("types is empty; leave it out, or name the types that you want.")
    return sorted(names) if isinstance(types, set | frozenset) else names
