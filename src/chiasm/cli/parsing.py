"""What stands on the command line → fields of a description."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chiasm.core.errors import InvalidInput

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
#: what a sample calls other things than parts
_RESERVED = frozenset({"answer", "truth", "masks", "tags", "id"})
_STATES = {"present": True, "absent": False}
#: arguments of a data set that have options of their own
_ARGUMENTS = ("name", "n", "seed", "types")
#: fields of a description that are tables: the command line changes single entries
_TABLES = ("parts", "fixed", "remote")


def parse_parts(
    images: Sequence[str] | None, texts: Sequence[str] | None, parts: Sequence[str] | None
) -> dict[str, str]:
    """Parts by name: pictures, then what ``--part`` names, then texts, each in the order given.

    Models read the parts in this order, and those that take several were trained on questions that come last.

    Args:
        images: values of ``--image``: the parts ``image``, ``image2``, ``image3`` …
        texts: values of ``--text``: the parts ``text``, ``text2`` …
        parts: values of ``--part``, ``NAME=VALUE`` each.

    Raises:
        InvalidInput: a part without a name or value, a name that cannot be used, or one that is given twice.
    """
    found, questions = _numbered("image", images), _numbered("text", texts)
    for given in parts or ():
        name, equals, value = given.partition("=")
        if not equals or not value:
            raise InvalidInput(f"--part {given!r} has no name and value; write NAME=VALUE, e.g. --part audio=talk.wav.")
        if not _NAME.fullmatch(name):
            raise InvalidInput(f"--part {given!r}: {name!r} is not a name; use letters, digits and underscores.")
        if name in _RESERVED:
            raise InvalidInput(f"--part {given!r}: {name!r} is not a part of a sample; choose another name.")
        if name in found or name in questions:
            raise InvalidInput(f"Part {name!r} is given twice; give the second another name, e.g. {name}_b.")
        found[name] = value
    return {**found, **questions}


def _numbered(name: str, values: Sequence[str] | None) -> dict[str, str]:
    return {name if i == 0 else f"{name}{i + 1}": value for i, value in enumerate(values or ())}


def joined(values: Sequence[str] | None) -> str | None:
    """An option that takes a list, given once or several times, as one text with commas; ``None`` if not given."""
    return ",".join(values) if values else None


def parse_fixed(given: Sequence[str] | None) -> dict[str, bool]:
    """``["text=present", "image:3=absent"]`` → ``{"text": True, "image:3": False}``.

    Raises:
        InvalidInput: not of that form, or a player that is held in two ways.
    """
    found: dict[str, bool] = {}
    for text in given or ():
        key, equals, state = text.partition("=")
        if not equals or state not in _STATES:
            raise InvalidInput(
                f"--fix {text!r}: write PART=present, PART=absent, or the same of one player, e.g. text:3=absent."
            )
        part, colon, number = key.partition(":")
        if not part or (colon and not number.isdecimal()):
            raise InvalidInput(f"--fix {text!r}: {key!r} names no part or player; write e.g. text or text:3.")
        if found.get(key, _STATES[state]) != _STATES[state]:
            raise InvalidInput(f"--fix holds {key!r} both present and absent; leave one of them out.")
        found[key] = _STATES[state]
    return found


def parse_types(given: Sequence[str] | None) -> list[str] | None:
    """``["colour,size", "sum"]`` → ``["colour", "size", "sum"]``; a comma at the end is let pass.

    Raises:
        InvalidInput: ``--types`` is given and names none.
    """
    if not given:
        return None
    found = [name.strip() for several in given for name in several.split(",") if name.strip()]
    if not found:
        raise InvalidInput(f"--types {given[0]!r} names no type; write e.g. --types colour,size, or leave it out.")
    return found


def parse_options(
    given: Sequence[str] | None, kinds: Mapping[str, Collection[str]], option: str = "--option"
) -> dict[str, Any]:
    """``["language=0.8"]`` → ``{"language": 0.8}``: each value as what its option takes.

    Args:
        given: values of ``--option``, ``NAME=VALUE`` each.
        kinds: option → what it takes, of ``"int"``, ``"float"``, ``"bool"``, ``"str"``; where none of these is known, a
            value that looks like a number becomes one.
        option: what the user knows it by.

    Raises:
        InvalidInput: not of that form, or given twice.
    """
    found: dict[str, Any] = {}
    for text in given or ():
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier() or name in _ARGUMENTS:
            raise InvalidInput(f"{option} {text!r}: write NAME=VALUE, e.g. language=0.8.")
        if name in found:
            raise InvalidInput(f"{option} {name} is given twice; leave one of them out.")
        found[name] = _value(value, kinds.get(name, frozenset()))
    return found


def _value(text: str, kinds: Collection[str]) -> Any:
    """The first of the kinds that a text can be read as; else the text, which whoever takes it may refuse."""
    known = {"bool", "int", "float", "str"} & set(kinds) or {"int", "float", "str"}
    if "bool" in known and text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind, read in (("int", int), ("float", float)):
        if kind in known:
            try:
                return read(text)
            except ValueError:
                continue
    return text


def merge(file: Mapping[str, Any], line: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a description file with those of the command line, which win; tables are joined entry by entry.

    Raises:
        InvalidInput: a table of the file is something else.
    """
    fields = dict(file)
    for name, value in line.items():
        if value is None or value in ([], {}):
            continue
        if name in _TABLES and fields.get(name) is not None:
            if not isinstance(fields[name], dict):
                raise InvalidInput(f"{name!r} of the description is {fields[name]!r}; write a table, NAME: VALUE.")
            value = {**fields[name], **value}  # noqa: PLW2901 - the entry to store
        fields[name] = value
    return fields
