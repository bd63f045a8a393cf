"""Text and tokens: which tokens of a model's input spell which characters of a part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, ModelError

#: characters that no text of a user holds (private use area); they stand for a text while a template is taken apart
_OPEN, _CLOSE = "\ue000", "\ue001"


@dataclass(frozen=True, eq=False)
class Encoded:
    """A tokenised text.

    Attributes:
        ids: ``int64[tokens]``.
        offsets: ``int64[tokens, 2]``: the characters of each token; (0, 0) for tokens that stand for none.
        special: ``bool[tokens]``: added by the tokenizer (start, end …), no part of the text.
    """

    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]
    special: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PartTokens:
    """The tokens of one text part within a model's input.

    Attributes:
        positions: ``int64[k]``: columns of ``input_ids``.
        spans: ``int64[k, 2]``: the characters of each of them in the part's own text.
    """

    positions: NDArray[np.int64]
    spans: NDArray[np.int64]


def require_fast(tokenizer: Any) -> None:
    """Refuse a tokenizer that cannot say which characters a token stands for.

    Raises:
        ModelError: a slow tokenizer.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise ModelError(
            f"{type(tokenizer).__name__} cannot say which characters a token stands for. Convert it once: load it with "
            f"AutoTokenizer(…, use_fast=True) and save it with save_pretrained (a tokenizer.json must be written)."
        )


def encode(tokenizer: Any, text: str, *, add_special_tokens: bool = True, **options: Any) -> Encoded:
    """Tokenise a text with the characters of each token.

    Raises:
        ModelError: a slow tokenizer.
    """
    require_fast(tokenizer)
    found = tokenizer(
        text,
        add_special_tokens=add_special_tokens,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        return_attention_mask=False,
        **options,
    )
    return Encoded(
        np.asarray(found["input_ids"], np.int64).reshape(-1),
        np.asarray(found["offset_mapping"], np.int64).reshape(-1, 2),
        np.asarray(found["special_tokens_mask"], bool).reshape(-1),
    )


def tokens_within(encoded: Encoded, start: int, end: int, lead: int = 0) -> PartTokens:
    """The tokens that stand for at least one character of a stretch of the encoded text.

    A token that reaches over an edge of the stretch counts with the characters that it has inside.

    Args:
        encoded: the whole text, e.g. a prompt.
        start: first character of the stretch.
        end: the character after its last.
        lead: how many characters of the part's own text come before the stretch (templates may trim a text).
    """
    low = np.maximum(encoded.offsets[:, 0], start)
    high = np.minimum(encoded.offsets[:, 1], end)
    positions = np.flatnonzero((high > low) & ~encoded.special)
    spans = np.stack([low[positions], high[positions]], axis=1) - start + lead
    return PartTokens(positions.astype(np.int64), spans.astype(np.int64).reshape(-1, 2))


def unknown_words(text: str, ids: NDArray[np.int64], own: PartTokens, unknown: int | None) -> list[str]:
    """The stretches of a text that are read as the unknown token, which are all alike to the model.

    Args:
        text: the part's own text.
        ids: ids of the whole input.
        own: the part's tokens in it.
        unknown: id of the unknown token, or ``None``.
    """
    places = zip(own.positions, own.spans, strict=True)
    return [text[start:end].strip() for position, (start, end) in places if ids[position] == unknown]


@dataclass(frozen=True)
class Piece:
    """Where a part lies in a rendered prompt.

    Attributes:
        start: first character in the prompt.
        end: the character after the last.
        lead: how many characters of the part's own text the template left out at its front.
    """

    start: int
    end: int
    lead: int = 0


@dataclass(frozen=True)
class Rendered:
    """A prompt and where each text lies in it.

    Attributes:
        prompt: the whole prompt.
        pieces: part → where.
    """

    prompt: str
    pieces: dict[str, Piece]


def render(template: Callable[[Mapping[str, str]], str], texts: Mapping[str, str]) -> Rendered:
    """Fill a template with texts and find where each text lies in the result.

    The template is rendered a second time with marks in the place of the texts, which shows its fixed stretches; the
    prompt must then be those stretches with the texts between them, whole or with white space trimmed at their ends.

    Args:
        template: texts by part → prompt; the texts must come in the order of the mapping.
        texts: part → text.

    Raises:
        ModelError: the template does something else to the texts.
        InvalidInput: a text holds the marks.
    """
    for name, text in texts.items():
        if _OPEN in text or _CLOSE in text:
            raise InvalidInput(f"The text of part {name!r} holds the private character U+E000 or U+E001; remove it.")
    marks = {name: f"{_OPEN}{k}{_CLOSE}" for k, name in enumerate(texts)}
    marked, prompt = template(marks), template(texts)
    fixed, rest = [], marked
    for name, mark in marks.items():
        before, found, rest = rest.partition(mark)
        if not found or mark in rest:
            how = "twice" if found else "nowhere, or out of order"
            raise ModelError(
                f"The chat template writes the text of part {name!r} {how}; which tokens are its own cannot be told."
            )
        fixed.append(before)
    trims: Sequence[Callable[[str], str]] = (str, str.strip, str.rstrip, str.lstrip)
    for trim in trims:
        written = {name: trim(text) for name, text in texts.items()}
        if "".join(part + text for part, text in zip(fixed, written.values(), strict=True)) + rest == prompt:
            return _place(prompt, fixed, texts, written)
    raise ModelError(
        "The chat template changes the text it is given (beyond trimming its ends), so tokens cannot be matched with "
        "the text's characters. Use a template that writes texts as they are."
    )


def _place(prompt: str, fixed: Sequence[str], texts: Mapping[str, str], written: Mapping[str, str]) -> Rendered:
    pieces, at = {}, 0
    for before, (name, text) in zip(fixed, texts.items(), strict=True):
        at += len(before)
        shown = written[name]
        lead = len(text) - len(text.lstrip()) if shown and not text.startswith(shown) else 0
        pieces[name] = Piece(at, at + len(shown), lead)
        at += len(shown)
    return Rendered(prompt, pieces)


def expand(rendered: Rendered, placeholder: str, replacements: Sequence[str]) -> Rendered:
    """Replace each placeholder of a picture by the tokens that the picture becomes.

    Args:
        rendered: a prompt with one placeholder a picture.
        placeholder: e.g. ``"<image>"``.
        replacements: what stands for each picture, in order.

    Raises:
        InvalidInput: a text holds the placeholder.
        ModelError: the prompt has more or fewer placeholders than there are pictures.
    """
    for name, piece in rendered.pieces.items():
        if placeholder in rendered.prompt[piece.start : piece.end]:
            raise InvalidInput(
                f"The text of part {name!r} holds {placeholder!r}, which stands for a picture; remove it."
            )
    stretches = rendered.prompt.split(placeholder)
    if len(stretches) - 1 != len(replacements):
        raise ModelError(
            f"The prompt has {len(stretches) - 1} placeholders {placeholder!r} for {len(replacements)} pictures; the "
            f"chat template does not fit the model."
        )
    out, moved, old = stretches[0], [(0, 0)], len(stretches[0])
    for replacement, stretch in zip(replacements, stretches[1:], strict=True):
        old += len(placeholder)
        out += replacement
        moved.append((old, len(out) - old))
        out += stretch
        old += len(stretch)
    pieces = {}
    for name, piece in rendered.pieces.items():
        shift = [by for start, by in moved if start <= piece.start][-1]
        pieces[name] = Piece(piece.start + shift, piece.end + shift, piece.lead)
    return Rendered(out, pieces)


def continuations(tokenizer: Any, prompt: str, answer: str) -> list[list[int]]:
    """The ways in which an answer may be spelled after a prompt, without an end token.

    These are the tokens of the answer alone and after a space, and (where the prompt's own tokens stay as they are)
    of prompt and answer written together, without and with a space between.

    Args:
        tokenizer: a fast tokenizer.
        prompt: the whole prompt (or its end).
        answer: the answer.

    Raises:
        InvalidInput: the answer holds something that the tokenizer has no token for.
    """
    require_fast(tokenizer)
    found: list[list[int]] = []
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    for text in (answer, " " + answer):
        alone = tokenizer(text, add_special_tokens=False)["input_ids"]
        joint = tokenizer(prompt + text, add_special_tokens=False)["input_ids"]
        for way in (alone, joint[len(before) :] if joint[: len(before)] == before else []):
            if way and list(way) not in found:
                found.append(list(way))
    unknown = tokenizer.unk_token_id
    known = [way for way in found if unknown is None or unknown not in way]
    if not known:
        raise InvalidInput(f"The answer {answer!r} cannot be written in the model's own tokens; give another answer.")
    return known
