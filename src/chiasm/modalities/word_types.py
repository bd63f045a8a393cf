"""What sort of word a word is, by a small English lexicon that a user may replace or add to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

#: the sort of a word that no list holds
OTHER: Final = "other"


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


#: sort → its words, in lower case; where a word is in several lists the first counts
LEXICON: Final[Mapping[str, tuple[str, ...]]] = {
    "question word": _listed("what which who whom whose where when why how"),
    "negation": _listed("no not none nothing nobody never neither nor without isn't aren't don't doesn't can't"),
    "number": _listed(
        "zero one two three four five six seven eight nine ten eleven twelve many number count first second third "
        "half both several"
    ),
    "comparison": _listed(
        "more less fewer most least same different equal than bigger larger smaller taller longer shorter biggest "
        "largest smallest as each every all any some"
    ),
    "colour": _listed(
        "colour color red orange yellow green blue purple violet pink brown black white grey gray gold silver beige "
        "cyan magenta teal turquoise"
    ),
    "place": _listed(
        "left right above below under over behind front between beside near far top bottom up down middle centre "
        "center corner inside outside on in at next"
    ),
    "size": _listed("big large small little tiny huge tall short long wide narrow thick thin size"),
    "function word": _listed(
        "a an the this that these those there here it its is are was were be been being do does did has have had can "
        "could will would shall should may might must of to for from by with and or but if then so i you he she we "
        "they them his her their my your our"
    ),
}


def word_types(words: Sequence[str], lexicon: Mapping[str, Sequence[str]] | None = None) -> list[str]:
    """The sort of each word.

    Args:
        words: as they stand in the text; case and punctuation around them do not count. Of several words together
            (a phrase) the first that is in a list other than that of function words decides.
        lexicon: sort → its words; they come before `LEXICON`.

    Returns:
        A sort for each: a name of the lexicon, ``"number"`` for digits, or `OTHER`.
    """
    sorts: dict[str, str] = {}
    for table in (lexicon or {}, LEXICON):
        for sort, several in table.items():
            for word in several:
                sorts.setdefault(word.casefold(), sort)
    return [_sort(word, sorts) for word in words]


def _sort(phrase: str, sorts: Mapping[str, str]) -> str:
    pieces = re.findall(r"[^\W_]+(?:['’][^\W_]+)*", phrase.casefold()) or [phrase.casefold()]
    found = ["number" if piece.isnumeric() else sorts.get(piece.replace("’", "'"), OTHER) for piece in pieces]
    return next((sort for sort in found if sort not in {OTHER, "function word"}), found[-1])
