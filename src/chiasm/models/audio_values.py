"""The value function of models that hear: coalitions in, values of the target out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.game import Costs
from chiasm.core.target import Target
from chiasm.models.audio_forward import Forward, Row
from chiasm.models.decoder_scoring import Ask, plan, read
from chiasm.models.weights import Chunks


class AudioDecoderValues:
    """Values of coalitions, see `chiasm.models.base.Values`.

    Args:
        forward: the model.
        rows: coalitions → rows.
        target: the resolved target.
        asks: the answer to score and, for a contrast, the one to take away.
        chunks: rows of one forward pass.
    """

    def __init__(
        self,
        forward: Forward,
        rows: Callable[[Coalitions], list[Row]],
        target: Target,
        asks: Sequence[Ask],
        chunks: Chunks,
    ) -> None:
        """Plan the passes."""
        self._forward, self._rows, self._target = forward, rows, target
        self._asks, self._passes, self._chunks = list(asks), plan(asks), chunks
        self.batch_size = chunks.size
        self.costs = Costs({}, float(len(self._passes)))

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``."""
        found = self._chunks.run(len(coalitions), partial(self._piece, coalitions))
        return np.concatenate([*found, np.zeros(0)])

    def _piece(self, coalitions: Coalitions, piece: slice) -> NDArray[np.float64]:
        rows = self._rows(coalitions[piece])
        values: list[Any] = [None] * len(self._asks)
        for one in self._passes:
            logits = self._forward.logits(rows, one.suffix, one.keep)
            for k, column in one.asks:
                values[k] = read(logits, column, self._asks[k], self._target.scale).float().cpu().double().numpy()
        return np.asarray(values[0] if len(values) == 1 else values[0] - values[1], np.float64)
