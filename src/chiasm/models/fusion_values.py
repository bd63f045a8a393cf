"""The value function of models in which a picture and a text meet, and sizes of its batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from chiasm.core.coalitions import Coalitions
from chiasm.core.game import Costs
from chiasm.core.players import Players
from chiasm.modalities.base import Masker
from chiasm.models import weights
from chiasm.models.base import Prepared
from chiasm.models.function import PerMask
from chiasm.models.fusion_pair import Floats, PairAdapter, PairState
from chiasm.models.pass_costs import relative, weights_in


class FusionValues:
    """The value function of a model in which picture and text meet.

    What the picture alone decides is computed once for each distinct mask of it, texts are tokenised once for each
    distinct mask of theirs, and what both decide is computed once a coalition.

    Args:
        adapter: the adapter.
        prepared: the sample.
        players: its players.
        maskers: part → masker.
        encoder: pixel values ``float[b, 3, H, W]`` → what the picture alone decides, one row a picture.
        score: those rows, ids and attention ``int64[b, tokens]`` → values ``float64[b]``, or whatever `pieces` is
            to give.
        batch_size: coalitions in one call of the model.

    Attributes:
        batch_size: see above; smaller after the memory of a GPU ran out.
        images, texts: memories of what each part becomes under its masks.
        costs: what values cost; a picture costs its tower, where the model has one (BLIP).
    """

    def __init__(
        self,
        adapter: PairAdapter,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        *,
        encoder: Callable[[Any], Any],
        score: Callable[[Any, Any, Any], Any],
        batch_size: int,
    ) -> None:
        """Nothing is computed yet."""
        self.batch_size = batch_size
        state: PairState = prepared.state
        self._chunks = weights.Chunks(batch_size)
        self.images = adapter.encoded_pictures(prepared, players, maskers[state.image], encoder, self._chunks)
        self.texts = PerMask(adapter.text_rows(prepared, players, maskers[state.text]))
        self._names = (state.image, state.text)
        self._players = players
        self._collate = adapter.collate
        self._score = score
        self.costs = _costs(adapter, prepared)

    def __call__(self, coalitions: Coalitions) -> Floats:
        """``bool[batch, players]`` → ``float64[batch]``."""
        return np.concatenate([*self.pieces(coalitions), np.zeros(0)])

    def pieces(self, coalitions: Coalitions) -> list[Any]:
        """What ``score`` gives for each batch of the coalitions, in order."""
        import torch

        with torch.inference_mode():
            found = self._chunks.run(len(coalitions), lambda rows: self._run(coalitions[rows]))
        self.batch_size = self._chunks.size
        return found

    def _run(self, coalitions: Coalitions) -> Any:
        import torch

        present = self._players.split(coalitions)
        seen = torch.stack(self.images(present[self._names[0]]))
        ids, attention = self._collate(self.texts(present[self._names[1]]))
        return self._score(seen, ids, attention)


def _costs(adapter: PairAdapter, prepared: Prepared) -> Costs:
    """A picture costs its tower where the model has one that sees no text (BLIP), else nothing (ViLT)."""
    state: PairState = prepared.state
    tower = getattr(adapter.model, "vision_model", None)
    if tower is None:
        return Costs({state.image: 0.0}, 1.0)
    alone = weights_in(tower)
    text = len(adapter.tokens(prepared.contents[state.text]))
    return relative({state.image: alone * _patches(tower)}, (weights_in(adapter.model) - alone) * text)


def _patches(tower: Any) -> int:
    """Tokens that a tower of pictures of one size reads."""
    return int((tower.config.image_size // tower.config.patch_size) ** 2 + 1)


def log_softmax(logits: Floats) -> Floats:
    """Along the last axis."""
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True), np.float64)


def row_bytes(width: int, inner: int, heads: int, tokens: int, size: int) -> int:
    """A generous estimate of what one row of a transformer needs at its peak, in bytes.

    Args:
        width: hidden size.
        inner: width of the feed-forward layer.
        heads: attention heads.
        tokens: length of the sequence.
        size: bytes of a number.
    """
    return size * tokens * (8 * width + 2 * inner + 2 * heads * tokens)
