"""What the traces of encoders share: one picture as pixels, one text as embeddings of its own tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import MissingCapability
from chiasm.core.players import Players
from chiasm.core.target import Target
from chiasm.modalities.base import Masker, TokenMasker
from chiasm.models.fusion_pair import PairAdapter, PairState
from chiasm.models.tokens import Encoded, PartTokens
from chiasm.models.trace import Slots, Trace
from chiasm.models.trace_pictures import whole_layout
from chiasm.models.trace_texts import character_cover, hidden_rows

if TYPE_CHECKING:
    from chiasm.models.base import Prepared


class PairTrace(Trace):
    """Base of the traces of models that take one picture and one text; see `chiasm.models.trace.Trace`.

    Raises:
        MissingCapability: a masker that the tokenizer cannot carry out, or a tokenizer that does not tell which
            characters its tokens stand for.
    """

    embedding: Any

    def __init__(
        self,
        adapter: PairAdapter,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
    ) -> None:
        """Keep the pieces and place the text's tokens and the picture's patches."""
        super().__init__(prepared, players, maskers, target)
        self.adapter, self.model = adapter, adapter.model
        state: PairState = prepared.state
        self.image, self.text = state.image, state.text
        if state.encoded is None or state.own is None:
            raise MissingCapability(
                f"The tokenizer of {adapter.name!r} cannot say which characters a token stands for, so nothing found "
                f"at its tokens can be given to words; use a method that needs values only."
            )
        self.encoded: Encoded = state.encoded
        self.own: PartTokens = state.own
        self.pictures = adapter.picture_rows(prepared, players, maskers[self.image])
        self.rows = adapter.text_rows(prepared, players, maskers[self.text])
        height, width = prepared.contents[self.image].shape[:2]
        self.layouts[self.image] = whole_layout(players[self.image], (3, height, width))
        nobody = self._ids(np.zeros(len(players[self.text]), bool))[1]
        self.stand_ins = frozenset() if nobody else frozenset({self.text})
        if self.stand_ins:
            self.notes.append(
                f"Hidden tokens of part {self.text!r} are stood in for by the embedding of a padding token, which the "
                f"model attends to; the masker {maskers[self.text].name!r} of the game cannot be a point in that space."
            )

    def place(self, image_stream: str, image_first: int, text_stream: str) -> None:
        """Say in which streams, and behind how many tokens, the patches stand, and where the text does."""
        side = self.adapter._patch_size  # noqa: SLF001 - one family
        height, width = self.layouts[self.image].sides
        cover = self.layouts[self.image].cover((height // side, width // side))
        places = image_first + np.arange(cover.shape[1])
        spans = character_cover(self.own.spans, self.players[self.text])
        self.slots = {
            self.image: Slots(image_stream, places, cover),
            self.text: Slots(text_stream, self.own.positions, spans),
        }
        self.slots = {part: self.slots[part] for part in self.players.parts}

    def _ids(self, present: NDArray[np.bool_]) -> tuple[NDArray[np.int64], bool]:
        """Ids of the text of a coalition at the whole text's positions, and whether they are the game's."""
        masker, whole = self.maskers[self.text], self.encoded.ids
        if isinstance(masker, TokenMasker) and masker.mode == "mask":
            return self.rows(present[None])[0][0], True
        if not isinstance(masker, TokenMasker) and not self.stand_ins:
            written = self.rows(present[None])[0][0]
            others = np.setdiff1d(np.arange(len(whole)), self.own.positions)
            if written.shape == whole.shape and np.array_equal(written[others], whole[others]):
                return written, True
        hidden = hidden_rows(self.own.spans, self.players[self.text], present)
        ids = whole.copy()
        ids[self.own.positions[hidden]] = self.adapter._hidden_id()  # noqa: SLF001
        return ids, not hidden.any()

    def _make(self, present: Mapping[str, NDArray[np.bool_]] | None) -> dict[str, Any]:
        """See `Trace`."""
        import torch

        if present is None:
            picture, (ids, _) = self.adapter.whole(self.prepared)
        else:
            picture, ids = self.pictures(present[self.image]), self._ids(present[self.text][0])[0]
        wide = torch.float64 if self.model.dtype == torch.float64 else torch.float32
        own = torch.from_numpy(ids[self.own.positions]).to(self.embedding.weight.device)
        found = {self.image: picture[0].to(wide), self.text: self.embedding(own).to(wide)}
        return {part: found[part] for part in self.players.parts}

    def collated(self, rows: int) -> tuple[Any, Any]:
        """Ids and attention of the whole text, ``int64[rows, tokens]``."""
        whole = (self.encoded.ids, np.ones(len(self.encoded.ids), bool))
        return self.adapter.collate([whole] * rows)


def on_scale(own: Any, other: Any | None, scale: str) -> Any:
    """Log-probabilities (or logits) of an answer and of the one it is held against → the value."""
    if scale == "probability":
        own, other = own.exp(), other.exp() if other is not None else None
    return own if other is None else own - other
