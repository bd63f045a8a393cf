"""Characters as readers see them: grapheme clusters, scripts without spaces, and where a space is needed.

The rules are those of Unicode's UAX #29 that matter to a text cut at white space, made from the character database
of Python itself, so that no further package is needed.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

ZWJ: Final = "\u200d"

#: Han, kana and bopomofo: scripts whose words stand without spaces, so each character counts as a word. Hangul is
#: written with spaces and is not among them.
_SPACELESS: Final = (
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u3038-\u303c\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"
    "\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9d"
    "\U0001b000-\U0001b16f\U00020000-\U000323af"
)
spaceless: Final = re.compile(f"[{_SPACELESS}]")
"""Matches one character of a script without spaces."""

_PICTOGRAPHIC: Final = re.compile(
    "[©®‼⁉™ℹ\u2190-\u21ff\u2300-\u23ff\u2460-\u24ff\u25a0-\u27bf\u2900-\u297f\u2b00-\u2bff〰〽㊗㊙\U0001f000-\U0001f1e5\U0001f200-\U0001faff]"
)


@lru_cache(maxsize=4096)
def extends(char: str) -> bool:
    """Whether a character belongs to the one before it (combining mark, joiner, variation selector, skin tone, tag)."""
    return (
        unicodedata.category(char) in {"Mn", "Me", "Mc"}
        or char in "\u200c\u200d\uff9e\uff9f"
        or "\U0001f3fb" <= char <= "\U0001f3ff"
        or "\U000e0020" <= char <= "\U000e007f"
    )


def _hangul(char: str) -> str:
    """Kind of a Hangul jamo or syllable: L, V, T, LV or LVT; empty for anything else."""
    code = ord(char)
    if 0x1100 <= code <= 0x115F or 0xA960 <= code <= 0xA97C:
        return "L"
    if 0x1160 <= code <= 0x11A7 or 0xD7B0 <= code <= 0xD7C6:
        return "V"
    if 0x11A8 <= code <= 0x11FF or 0xD7CB <= code <= 0xD7FB:
        return "T"
    if 0xAC00 <= code <= 0xD7A3:
        return "LVT" if (code - 0xAC00) % 28 else "LV"
    return ""


def _is_flag_letter(char: str) -> bool:
    return "\U0001f1e6" <= char <= "\U0001f1ff"


def _joined(text: str, start: int, i: int) -> bool:
    """Whether the character at i stays in the cluster that began at start."""
    before, char = text[i - 1], text[i]
    if extends(char):
        return True
    if before == ZWJ and _PICTOGRAPHIC.match(char):
        base = i - 2
        while base > start and extends(text[base]) and text[base] != ZWJ:
            base -= 1
        return base >= start and _PICTOGRAPHIC.match(text[base]) is not None and not extends(text[base])
    if _is_flag_letter(before) and _is_flag_letter(char):
        return i - start == 1
    pair = (_hangul(before), _hangul(char))
    return (
        (pair[0] == "L" and pair[1] in {"L", "V", "LV", "LVT"})
        or (pair[0] in {"LV", "V"} and pair[1] in {"V", "T"})
        or (pair[0] in {"LVT", "T"} and pair[1] == "T")
    )


def clusters(text: str, start: int = 0, end: int | None = None) -> list[tuple[int, int]]:
    """Grapheme clusters of a stretch without white space.

    Args:
        text: the whole text.
        start: first character of the stretch.
        end: one past its last character.

    Returns:
        (start, end) of each cluster, in characters of the text.
    """
    stop = len(text) if end is None else end
    cuts = [start]
    for i in range(start + 1, stop):
        if not _joined(text, cuts[-1], i):
            cuts.append(i)
    return list(zip(cuts, [*cuts[1:], stop], strict=True)) if stop > start else []


@lru_cache(maxsize=4096)
def is_opening(char: str) -> bool:
    """Opening punctuation: brackets and first quotation marks."""
    return unicodedata.category(char) in {"Ps", "Pi"}


@lru_cache(maxsize=4096)
def is_punctuation(char: str) -> bool:
    """Any punctuation."""
    return unicodedata.category(char).startswith("P")


@lru_cache(maxsize=4096)
def is_closing(char: str) -> bool:
    """Punctuation that stands right after a word: closing brackets and quotation marks, stops, commas."""
    return unicodedata.category(char) in {"Pe", "Pf"} or char in ".,;:!?…、。，．！？；：｡､،؛؟۔।॥"


def _last(text: str) -> str:
    """The last character that is not a mark on the one before it."""
    base = len(text) - 1
    while base and extends(text[base]):
        base -= 1
    return text[base]


def needs_space(left: str, right: str) -> bool:
    """Whether two stretches that come to touch would fuse into a word that neither of them was.

    ``"un" + "able"`` needs a space; ``"red" + "?"``, ``"(" + "red"`` and anything next to a Han or kana character
    do not.
    """
    if not left or not right or left[-1].isspace() or right[0].isspace():
        return False
    a, b = _last(left), right[0]
    if spaceless.match(a) or spaceless.match(b) or is_opening(a):
        return False
    return not is_punctuation(b) or is_opening(b)


def letters_meet(left: str, right: str) -> bool:
    """As `needs_space`, for two stretches with no punctuation where they touch."""
    return needs_space(left, right) and not is_punctuation(_last(left)) and not is_punctuation(right[0])
