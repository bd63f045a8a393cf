"""What a value is, by its content: a digest that is equal in every process and on every machine, or a refusal.

Things are known by their content as far as it can be told: numbers, texts, arrays, lists, tables, and Chiasm's own
dataclasses and functions (whose code is Chiasm's own). Of anybody else's object or function only its author knows what
decides how it behaves; such a thing is refused, unless it says so itself in an attribute ``fingerprint`` (a text).
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FunctionType, MethodType
from typing import Any

import numpy as np

from chiasm.core.errors import ChiasmError

_PACKAGE = __name__.partition(".")[0]


class NoContent(ChiasmError, TypeError):
    """A thing cannot be told by its content; the message says which."""


def digest(thing: Any) -> str:
    """Content → 32 hexadecimal digits; things of different content have different ones.

    Args:
        thing: see the module; nested as you like. The order of a mapping plays no part, that of a list does.

    Raises:
        NoContent: some object in it cannot be told by its content.
    """
    return _digest(thing).hex()


@functools.cache
def code_of(*rooms: str) -> str:
    """Digest of the source of some of Chiasm's folders, so that values made by other code are never taken over.

    A version number alone does not do: it stays the same in a checkout that is being worked on.
    """
    package = Path(__file__).parents[1]
    files = sorted(path for room in rooms for path in (package / room).rglob("*.py"))
    return digest([[path.relative_to(package).as_posix(), path.read_bytes()] for path in files])


def _digest(thing: Any) -> bytes:
    """A kind and its pieces, each with its length, so that no two contents are written alike."""
    kind, pieces = _written(thing)
    hashed = hashlib.blake2b(digest_size=16)
    for piece in (kind.encode(), *pieces):
        hashed.update(len(piece).to_bytes(8, "little"))
        hashed.update(piece)
    return hashed.digest()


def _written(thing: Any) -> tuple[str, list[Any]]:
    """The kind of a thing, and its content in bytes."""
    pieces: list[Any]
    match thing:
        case None | bool() | int():
            kind, pieces = type(thing).__name__, [repr(thing).encode()]
        case float():
            kind, pieces = "float", [thing.hex().encode()]
        case str():
            kind, pieces = "str", [thing.encode("utf-8", "surrogatepass")]
        case bytes():
            kind, pieces = "bytes", [thing]
        case np.ndarray() | np.generic():
            kind, pieces = _array(np.asarray(thing))
        case list() | tuple():
            kind, pieces = "list", [_digest(item) for item in thing]
        case Mapping():
            kind, pieces = "mapping", sorted(_digest(key) + _digest(value) for key, value in thing.items())
        case _:
            kind, pieces = _behaviour(thing)
    return kind, pieces


def _array(array: np.ndarray[Any, Any]) -> tuple[str, list[Any]]:
    if array.dtype.hasobject:
        raise NoContent(f"an array of {array.dtype}s cannot be told by its content")
    data = np.ascontiguousarray(array)
    return "array", [str(array.dtype).encode(), repr(array.shape).encode(), data.reshape(-1).view(np.uint8).data]


def _behaviour(thing: Any) -> tuple[str, list[Any]]:
    """Things that do something: what they say of themselves, or Chiasm's own."""
    own = thing if isinstance(thing, type | FunctionType) else type(thing)
    name = f"{own.__module__}.{own.__qualname__}"
    said = getattr(thing, "fingerprint", None)
    if isinstance(said, str) and said and not isinstance(thing, type):
        return "fingerprint", [name.encode(), said.encode()]
    if isinstance(thing, functools.partial):
        return "partial", [_digest(thing.func), _digest(list(thing.args)), _digest(thing.keywords)]
    if isinstance(thing, MethodType):
        return "method", [_digest(thing.__self__), thing.__func__.__qualname__.encode()]
    if own.__module__.partition(".")[0] == _PACKAGE:
        if isinstance(thing, FunctionType) and _found_by_name(thing):
            return "function", [name.encode()]
        if dataclasses.is_dataclass(thing) and not isinstance(thing, type):
            given = {f.name: getattr(thing, f.name) for f in dataclasses.fields(thing) if f.init}
            return "object", [name.encode(), _digest(given)]
    raise NoContent(
        f"{_shown(thing)} cannot be told by its content: give it an attribute 'fingerprint', a text that "
        f"changes whenever what it does may"
    )


def _found_by_name(function: Callable[..., Any]) -> bool:
    """Whether the module holds that very function under its name: no closure, and nothing put in its place."""
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def _shown(thing: Any) -> str:
    name = getattr(thing, "__qualname__", None) or getattr(thing, "name", None)
    return f"{name!r} ({type(thing).__name__})" if isinstance(name, str) else f"a {type(thing).__name__}"
