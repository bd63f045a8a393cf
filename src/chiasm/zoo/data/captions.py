"""Captions of scenes, true ones and hard negatives, for models that compare a picture with a text."""

from __future__ import annotations

from typing import Final

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
