"""The modality of texts: content is a ``str``, players are stretches of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.core.players import PartPlayers, Spans
from chiasm.modalities import text_maskers, text_segmenters
from chiasm.modalities.base import Context, Masker, Placement
from chiasm.modalities.text_maskers import Delete, Empty, Neutral, text_masker
from chiasm.modalities.text_segmenters import CharSpans, text_segmenter
from chiasm.modalities.word_types import word_types

__all__ = ["TEXT", "CharSpans", "Delete", "Empty", "Neutral", "TextModality"]


@dataclass(frozen=True)
class TextModality:
    """Texts: tokens, words, phrases, sentences, character spans; deletion, neutral words, token masks."""

    kind: str = "text"
    default_segmenter: str = "words"
    default_masker: str = "delete"

    @property
    def segmenters(self) -> dict[str, str]:
        """Name of each way to cut → what it does, in a line."""
        return dict(text_segmenters.KNOWN)

    @property
    def maskers(self) -> dict[str, str]:
        """Name of each masker → what it does, in a line."""
        return dict(text_maskers.KNOWN)

    def read(self, data: Any) -> str:
        """A text, unchanged.

        Raises:
            InvalidInput: anything but ``str``, or a text with half a surrogate pair.
        """
        if isinstance(data, bytes | bytearray):
            raise InvalidInput("The text is given as bytes; decode them first, e.g. data.decode('utf-8').")
        if not isinstance(data, str):
            raise InvalidInput(
                f"The text is a {type(data).__name__} ({str(data)[:60]!r}); give a str, e.g. str(value)."
            )
        try:
            data.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidInput(
                f"The text has a lone surrogate {data[error.start]!a} at character {error.start}, which no tokenizer "
                f"takes; decode the bytes it came from with errors='replace'."
            ) from None
        return data

    def segment(self, part: str, content: str, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a text into players; an empty text has none.

        Args:
            part: name of the part.
            content: the text.
            segmenter: ``"tokens"``, ``"words"``, ``"phrases"``, ``"sentences"``, `CharSpans`, an object with ``cut``.
            context: what the model's adapter knows of the part.

        Raises:
            UnknownName: no such segmenter.
            InvalidInput: the segmenter does not fit the text or the model.
        """
        labels, spans = text_segmenter(segmenter).cut(content, context)
        return PartPlayers(part, self.kind, labels, Spans(np.array(spans, np.int64).reshape(-1, 2)), content)

    def masker(self, spec: Any) -> Masker:
        """The masker for ``"delete"``, ``"empty"``, ``"neutral"``, ``"neutral:WORD"`` (any model), ``"attention"`` (or
        ``"pad"``) and ``"mask"`` (models with a tokenizer), or an object that is one.

        Raises:
            UnknownName: no such masker.
            InvalidInput: its argument cannot be used.
        """
        return text_masker(spec)

    def sorts(self, players: PartPlayers, lexicon: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """What sort of word each player is, see `chiasm.modalities.word_types.word_types`."""
        words = list(players.labels)
        if isinstance(players.geometry, Spans) and isinstance(players.content, str):  # a label may have a number
            words = [players.content[start:end] for start, end in players.geometry.bounds.tolist()]
        return word_types(words, lexicon)

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """The share of each player's characters that the truth covers.

        Args:
            players: players with `Spans`.
            truth: character spans ``int[k, 2]``, end exclusive; their union counts.
            placement: not used: a text is seen as it is given.

        Returns:
            ``float64[players]`` in [0, 1].

        Raises:
            InvalidInput: truth of another shape or outside the text, or players that are no stretches.
        """
        del placement
        if not isinstance(players.geometry, Spans):
            raise InvalidInput(f"The players of part {players.part!r} are no stretches of a text.")
        bounds, spans = players.geometry.bounds, np.asarray(truth)
        if spans.size == 0 or len(bounds) == 0:
            return np.zeros(len(players))
        if spans.ndim != 2 or spans.shape[1] != 2 or not np.issubdtype(spans.dtype, np.integer):
            raise InvalidInput(
                f"The truth of a text is {spans.dtype}{list(spans.shape)}; give character spans int[k, 2]."
            )
        length = len(players.content) if isinstance(players.content, str) else int(max(bounds.max(), spans.max()))
        if (spans[:, 0] > spans[:, 1]).any() or spans.min() < 0 or spans.max() > length:
            raise InvalidInput(f"The truth spans {spans.tolist()} do not lie in a text of {length} characters.")
        covered = np.zeros(length, bool)
        for start, end in spans:
            covered[start:end] = True
        total = np.concatenate([[0], np.cumsum(covered)])
        hit = total[bounds[:, 1]] - total[bounds[:, 0]]
        return np.asarray(hit / np.maximum(bounds[:, 1] - bounds[:, 0], 1), np.float64)


TEXT: Final = TextModality()
