"""Text → players: tokens, words, phrases, sentences, given character spans."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np

from chiasm.core.errors import InvalidInput, ModelError, UnknownName
from chiasm.modalities.base import Context
from chiasm.modalities.text_clusters import clusters, is_opening, is_punctuation, spaceless

#: (start, end) in characters of the text, end exclusive
Span = tuple[int, int]

KNOWN: Final[dict[str, str]] = {
    "tokens": "the model's own tokens",
    "words": "stretches between white space; Chinese and Japanese by the character (or by the token, if longer)",
    "phrases": "English phrases, by a list of function words; by punctuation in other languages",
    "sentences": "sentences, by punctuation",
}
"""Name → what it does."""


_CHUNK: Final = re.compile(r"\S+")
_FULL_STOPS: Final = "。！？｡"  # a sentence may end here with no space after it
_CLOSERS: Final = "\"'”’»)]}」』）】》〉］｝"
_SENTENCE_END: Final = re.compile(rf"[.!?…؟۔।॥{_FULL_STOPS}]+[{re.escape(_CLOSERS)}]*$")
_STRONG_END: Final = re.compile(rf"[!?؟۔।॥{_FULL_STOPS}][.!?…{re.escape(_CLOSERS)}]*$")
_ONE_STOP: Final = re.compile(rf"(?<![.])[.][{re.escape(_CLOSERS)}]*$")
_PHRASE_END: Final = re.compile(rf"[,;:.!?…、，；：،؛؟۔।॥{_FULL_STOPS}—–][{re.escape(_CLOSERS)}]*$|[)\]}}）」』】]$")


def _listed(names: str) -> frozenset[str]:
    return frozenset(names.split())


_ABBREVIATIONS: Final = _listed(
    "mr mrs ms dr prof st sr jr vs etc e.g i.e cf fig figs eq ref al inc ltd co approx dept est vol pp p ca"
)

#: English words that open a phrase when they follow a content word.
FUNCTION_WORDS: Final = _listed(
    """
    a an the this that these those my your his her its our their some any no every each both either neither all another
    of in on at by for with without from to into onto over under above below between among behind beside near through
    during before after against about around along across past inside outside toward towards within upon off out up down
    and or but nor so yet because although though while if when where unless until since than as whether
    i you he she it we they me him them us who whom whose which what why how there here
    is are was were am be been being do does did has have had can could will would shall should may might must not
    """
)


@runtime_checkable
class TextSegmenter(Protocol):
    """Anything that cuts a text into players; pass your own in place of a name."""

    def cut(self, text: str, context: Context) -> tuple[tuple[str, ...], list[Span]]:
        """Labels of the players, and where each stands: disjoint, in the order of the text."""
        ...


def text_segmenter(spec: Any) -> TextSegmenter:
    """The segmenter that a word stands for; an object that is one already is given back.

    Raises:
        UnknownName: no segmenter has that name.
        InvalidInput: neither a name nor a segmenter.
    """
    if isinstance(spec, TextSegmenter) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no segmenter of texts; give one of {', '.join(KNOWN)}, or CharSpans.")
    found = _NAMED.get(spec.strip().lower())
    if found is None:
        raise UnknownName("text segmenter", spec, KNOWN)
    return found


def words(text: str) -> list[Span]:
    """Words: stretches between white space, with the punctuation that touches them.

    Han, hiragana, katakana and bopomofo are written without spaces: each such character is a word of its own, with
    the punctuation next to it. Other scripts without spaces (Thai, Khmer, Lao …) stay whole between white space. A
    grapheme cluster (combining marks, joined emoji, flags) is never split. Every character that is not white space
    belongs to exactly one word.
    """
    found: list[Span] = []
    for chunk in _CHUNK.finditer(text):
        if spaceless.search(chunk[0]) or any(stop in chunk[0] for stop in _FULL_STOPS):
            found += _split_spaceless(text, chunk.start(), chunk.end())
        else:
            found.append(chunk.span())
    return found


def _split_spaceless(text: str, start: int, end: int) -> list[Span]:
    """Words of a chunk that holds characters of a script without spaces."""
    pieces: list[Span] = []
    kind = "closed"  # of the last piece: "closed" takes punctuation only, "prefix" takes anything, "open" takes letters
    opened: int | None = None  # where opening punctuation at the end of an "open" piece begins
    for a, b in clusters(text, start, end):
        char, opened_before = text[a], opened
        opened = None
        single = spaceless.match(char) is not None
        if is_opening(char):
            # Within letters it stays, as it does in a chunk of letters alone: f(x).
            join, after = kind in {"prefix", "open"}, "open" if kind == "open" else "prefix"
            opened = (a if opened_before is None else opened_before) if kind == "open" else None
        elif is_punctuation(char):
            join, after = bool(pieces), kind if pieces else "prefix"
            after = "closed" if char in _FULL_STOPS else after
        else:
            join, after = kind == "prefix" or (kind == "open" and not single), "closed" if single else "open"
        if single and opened_before is not None:
            # It opens what follows: Sony「新 is Sony and 「新.
            pieces[-1] = (pieces[-1][0], opened_before)
            pieces.append((opened_before, b))
        elif join:
            pieces[-1] = (pieces[-1][0], b)
        else:
            pieces.append((a, b))
        kind = after
    return pieces


def _group(text: str, starts: Callable[[str, str, str], bool]) -> list[Span]:
    """Join neighbouring words; ``starts(word, white space, next word)`` says where a new group begins."""
    groups: list[Span] = []
    last: Span | None = None
    for start, end in words(text):
        if last is None or starts(text[last[0] : last[1]], text[last[1] : start], text[start:end]):
            groups.append((start, end))
        else:
            groups[-1] = (groups[-1][0], end)
        last = (start, end)
    return groups


def _bare(word: str) -> str:
    return word.strip("".join(c for c in set(word) if is_punctuation(c))).lower()


def _is_function_word(word: str) -> bool:
    return _bare(word).split("'")[0].split("’")[0] in FUNCTION_WORDS


def phrases(text: str) -> list[Span]:
    """Phrases of English, by a list of function words: no parser, no model.

    A phrase begins at a function word (article, preposition, pronoun, auxiliary, conjunction, question word) that
    follows a content word, after punctuation, at an opening bracket and on a new line:
    ``What colour | is the car | to the left | of the red ball?``. In other languages punctuation and lines alone cut.
    """

    def starts(word: str, gap: str, following: str) -> bool:
        if "\n" in gap or _PHRASE_END.search(word) or is_opening(following[0]):
            return True
        return _is_function_word(following) and not _is_function_word(word)

    return _group(text, starts)


def sentences(text: str) -> list[Span]:
    """Sentences, by punctuation.

    A sentence ends after ``. ! ? …`` and closing quotes before white space, at once after ``。！？``, at an empty line.
    A full stop does not end it after a common abbreviation (``Dr.``, ``e.g.``), after an initial (``J.``), or when the
    next word begins with a small letter.
    """

    def starts(word: str, gap: str, following: str) -> bool:
        if gap.count("\n") > 1:
            return True
        if not _SENTENCE_END.search(word):
            return False
        if _STRONG_END.search(word):
            return True
        small = following.lstrip(_CLOSERS + "(“‘«")[:1].islower()
        if small or not _ONE_STOP.search(word):
            return not small
        stem = _bare(word)
        initial = len(stem) == 1 and stem.isalpha() and stem != "i"
        return not (stem in _ABBREVIATIONS or initial)

    return _group(text, starts)


def trim(text: str, start: int, end: int) -> Span:
    """A span without the white space at its two ends; empty when there is nothing else."""
    inner = text[start:end]
    left = len(inner) - len(inner.lstrip())
    return start + left, max(start + left, end - (len(inner) - len(inner.rstrip())))


def labels_of(texts: Sequence[str]) -> tuple[str, ...]:
    """A readable and different label for each player.

    White space within is one space; a text with nothing to see is spelt ``"U+200B"``; the second of two equal ones
    is ``"the (2)"``.
    """
    plain = [" ".join(text.split()) if _visible(text) else " ".join(f"U+{ord(c):04X}" for c in text) for text in texts]
    spoken_for = set(plain)
    counts: dict[str, int] = {}
    labels = []
    for label in plain:
        number = counts.get(label, 0) + 1
        while number > 1 and f"{label} ({number})" in spoken_for:
            number += 1
        counts[label] = number
        labels.append(label if number == 1 else f"{label} ({number})")
    return tuple(labels)


def _visible(text: str) -> bool:
    return any(not unicodedata.category(c).startswith(("C", "Z", "M")) for c in text)


def _labelled(text: str, spans: list[Span]) -> tuple[tuple[str, ...], list[Span]]:
    return labels_of([text[start:end] for start, end in spans]), spans


def _token_bounds(text: str, context: Context) -> list[Span]:
    """The model's tokens without the white space at their ends, sorted; empty ones are left out.

    Raises:
        ModelError: the token spans do not lie in the text.
    """
    bounds = np.asarray(context.token_spans if context.token_spans is not None else ())
    if bounds.size == 0:
        return []
    if bounds.ndim != 2 or bounds.shape[1] != 2 or bounds.min() < 0 or bounds.max() > len(text):
        raise ModelError(
            f"The model's token spans {bounds.tolist()[:5]}… do not lie in a text of {len(text)} characters."
        )
    trimmed = sorted(trim(text, int(start), int(end)) for start, end in bounds)
    return [(start, end) for start, end in trimmed if start < end]


def joined(spans: Sequence[Span], tokens: Sequence[Span]) -> list[Span]:
    """Spans in order, neighbours made one where a token stands for characters of both.

    Args:
        spans: disjoint, in the order of the text.
        tokens: sorted, without white space at their ends.
    """
    found: list[Span] = []
    reach, k = 0, 0  # the furthest end of the tokens that begin before the end of the last player
    for start, end in spans:
        if found and reach > start:
            found[-1] = (found[-1][0], end)
        else:
            found.append((start, end))
        while k < len(tokens) and tokens[k][0] < end:
            reach, k = max(reach, tokens[k][1]), k + 1
    return found


@dataclass(frozen=True)
class Rule:
    """Players by a rule on the text: words, phrases, sentences.

    Where the model tells of its tokens (``Context.token_spans``), neighbouring players that share one become one
    player: no masker of tokens can hide half a token. So ``你好`` is one word for a model that has it as one token,
    and two words for a model that has a token a character, or whose tokens are not known.

    Attributes:
        spans: text → spans, disjoint and in order.
    """

    spans: Callable[[str], list[Span]]

    def cut(self, text: str, context: Context) -> tuple[tuple[str, ...], list[Span]]:
        """Labels and spans.

        Raises:
            ModelError: the token spans do not lie in the text.
        """
        return _labelled(text, joined(self.spans(text), _token_bounds(text, context)))


@dataclass(frozen=True)
class Tokens:
    """The model's own tokens (``Context.token_spans``); tokens that share a character make one player.

    White space at a token's ends is not part of the player; tokens of white space alone are always present.
    """

    def cut(self, text: str, context: Context) -> tuple[tuple[str, ...], list[Span]]:
        """Labels and spans.

        Raises:
            InvalidInput: the model has no tokenizer that tells where its tokens are.
            ModelError: the token spans do not lie in the text.
        """
        if context.token_spans is None:
            raise InvalidInput("This model tells of no tokens of the text, so 'tokens' has no players; take 'words'.")
        merged: list[Span] = []
        for start, end in _token_bounds(text, context):
            if merged and start < merged[-1][1]:
                merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
            else:
                merged.append((start, end))
        return _labelled(text, merged)


@dataclass(frozen=True)
class CharSpans:
    """Given stretches of the text as players, e.g. ``CharSpans([(8, 14), (22, 25)])``.

    White space at the ends of a span is left out of it. With ``rest="player"`` every stretch between the spans is one
    more player, called ``"rest"``, ``"rest (2)"`` …; the players stand in the order of the text.

    Attributes:
        spans: (start, end) each, in characters, end exclusive; in order and without overlap.
        rest: other characters are always ``"present"``, or ``"player"``.

    Raises:
        InvalidInput: a span is not two whole numbers with 0 ≤ start < end, spans overlap or are out of order.
    """

    spans: Sequence[Span]
    rest: Literal["present", "player"] = "present"

    def __post_init__(self) -> None:
        """Check the spans, and freeze what was given as a list."""
        rows = [tuple(span) for span in self.spans]
        if not rows:
            raise InvalidInput("There are no spans; give at least one (start, end).")
        if self.rest not in {"present", "player"}:
            raise InvalidInput(f"rest is {self.rest!r}; it is 'present' or 'player'.")
        for i, row in enumerate(rows):
            whole = len(row) == 2 and all(isinstance(v, int | np.integer) for v in row)
            if not whole or not 0 <= row[0] < row[1]:
                raise InvalidInput(
                    f"Span {i + 1} is {row}; a span is (start, end) in characters with 0 <= start < end."
                )
            if i and row[0] < rows[i - 1][1]:
                raise InvalidInput(
                    f"Span {i + 1} {row} starts before span {i} {rows[i - 1]} ends; sort and separate them."
                )
        object.__setattr__(self, "spans", tuple((int(start), int(end)) for start, end in rows))

    def cut(self, text: str, context: Context) -> tuple[tuple[str, ...], list[Span]]:
        """Labels and spans.

        Raises:
            InvalidInput: a span passes the end of the text or holds white space alone.
        """
        del context
        given = []
        for start, end in self.spans:
            if end > len(text):
                raise InvalidInput(
                    f"The span {(start, end)} passes the end of the text, which has {len(text)} characters."
                )
            inner = trim(text, start, end)
            if inner[0] == inner[1]:
                raise InvalidInput(
                    f"The span {(start, end)} holds white space alone ({text[start:end]!r}); leave it out."
                )
            given.append(inner)
        if self.rest == "present":
            return _labelled(text, given)
        between = zip([0, *(end for _, end in given)], [*(start for start, _ in given), len(text)], strict=True)
        others = [span for span in (trim(text, a, b) for a, b in between) if span[0] < span[1]]
        ordered = sorted([*given, *others])
        left = set(others)
        return labels_of(["rest" if span in left else text[span[0] : span[1]] for span in ordered]), ordered


_NAMED: Final[dict[str, TextSegmenter]] = {
    "tokens": Tokens(),
    "token": Tokens(),
    "words": Rule(words),
    "word": Rule(words),
    "phrases": Rule(phrases),
    "phrase": Rule(phrases),
    "sentences": Rule(sentences),
    "sentence": Rule(sentences),
}
