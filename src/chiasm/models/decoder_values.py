"""The value function of a decoder: coalitions of patches and words in, values of the target out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, distinct, keys
from chiasm.core.errors import ModelError
from chiasm.core.game import Costs
from chiasm.core.players import Players
from chiasm.core.target import Target
from chiasm.modalities.base import Masker
from chiasm.models import compat
from chiasm.models.decoder_forward import Features, Forward, patches
from chiasm.models.decoder_prefix import Prefixes, shared_length
from chiasm.models.decoder_rows import MaskedRows, State
from chiasm.models.decoder_scoring import Ask, Pass, plan, read
from chiasm.models.pass_costs import relative, weights_in
from chiasm.models.weights import Chunks

if TYPE_CHECKING:
    from chiasm.models.base import Prepared


class DecoderValues:
    """Values of coalitions, see `chiasm.models.base.Values`.

    Args:
        forward: the model.
        prepared: the sample.
        players: its players.
        maskers: part → masker.
        target: the resolved target.
        asks: the answer to score and, for a contrast, the one to take away.
        chunks: rows of one forward pass.
        prefix_bytes: how much memory the keys and values of prefixes may take; 0 for reading every prompt as a whole.

    Attributes:
        batch_size: coalitions of one call.
        prefixes: what is lent to coalitions that share their masked pictures, or ``None`` where
            `chiasm.models.decoder_prefix.shared_length` forbids it.
        costs: what values cost (`chiasm.core.game.Costs`).

    Raises:
        MissingCapability: a masker that the model cannot carry out.
        InvalidInput: players that a token masker cannot hide.
    """

    def __init__(
        self,
        forward: Forward,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        *,
        target: Target,
        asks: Sequence[Ask],
        chunks: Chunks,
        prefix_bytes: int = 0,
    ) -> None:
        """Check the maskers and plan the passes."""
        self.forward, self.players, self.target = forward, players, target
        self.state: State = prepared.state
        self.asks, self.passes = list(asks), plan(asks)
        self.batch_size, self._chunks = chunks.size, chunks
        self.rows = MaskedRows(forward, prepared, players, maskers)
        self._images, self._texts = self.rows.images, self.rows.texts
        self.prefixes = self._prefixes(prefix_bytes) if prefix_bytes else None
        self.costs = self._costs()

    def __call__(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]`` → ``float64[batch]``; coalitions with the same masked pictures are read together."""
        values = np.zeros(len(coalitions), np.float64)
        alone, together = self._grouped(coalitions)
        for places, work in ((alone, self._values), (together, self._values_behind)):
            found = self._chunks.run(len(places), lambda piece: work(coalitions[places[piece]]))  # noqa: B023
            values[places] = np.concatenate([*found, np.zeros(0)])
        return values

    def _prefixes(self, most_bytes: int) -> Prefixes | None:
        ends = np.stack([np.ones(len(self.players), bool), np.zeros(len(self.players), bool)])
        texts = self._texts(self.players.split(ends), len(ends))
        length = shared_length(self.forward, texts)
        if not length:
            return None
        return Prefixes(self.forward, texts[0][0][:length], list(self.state.sights.values()), most_bytes)

    def _costs(self) -> Costs:
        """A picture costs its vision tower and, if it is the only one, its prefix; a coalition what is left to read.

        With several pictures the prefix belongs to all of them together; it is then counted with the coalitions.
        """
        model, sights = self.forward.model, self.state.sights
        language = compat.language_part(model)
        reads, sees = weights_in(language), weights_in(compat.core_model(model))
        sees -= weights_in(language)
        length = len(self.state.prompt.ids)
        cell = sum(reads * (length + len(one.suffix)) for one in self.passes)
        encode = {part: sees * patches(model, sight) for part, sight in sights.items()}
        if self.prefixes is not None and len(sights) == 1:
            shared = reads * self.prefixes.length
            (part,) = sights
            encode[part] += shared
            cell -= shared * len(self.passes)
        return relative(encode, cell)

    def _pictured(self, coalitions: Coalitions) -> Coalitions:
        """The masks of all pictures, side by side."""
        masks = self.players.split(coalitions)
        return np.concatenate([masks[part] for part in self.state.sights], axis=1)

    def _grouped(self, coalitions: Coalitions) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Which rows are read as a whole, and which behind prefixes, those of one masked picture side by side."""
        places = np.arange(len(coalitions))
        if self.prefixes is None:
            return places, places[:0]
        pictured = self._pictured(coalitions)
        behind = self.prefixes.worth(keys(pictured))
        if self._texts.by_content and behind.any():  # masked contents may change the tokens before them
            texts = self._texts(self.players.split(coalitions), len(coalitions))
            behind &= np.array([self.prefixes.fits(text) for text in texts], bool)
        order = np.argsort(distinct(pictured)[1], kind="stable")
        return places[~behind], order[behind[order]]

    def _values(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """Values by plain passes over whole prompts."""
        rows = self.rows(coalitions)
        return self._read(lambda one: self.forward.logits(rows, one.suffix, one.keep))

    def _values_behind(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """Values by passes over what follows the prefixes."""
        if self.prefixes is None:
            raise ModelError("This prompt has no prefix that its coalitions share.")
        lender, masks = self.prefixes, self.players.split(coalitions)
        pictured = self._pictured(coalitions)
        first, which = distinct(pictured)

        def pictures(missing: list[int]) -> list[list[Features]]:
            some = first[missing]
            return self._images({part: masks[part][some] for part in self.state.sights}, len(some))

        lent = lender.get(keys(pictured[first]), pictures)
        texts = self._texts(masks, len(coalitions))
        return self._read(lambda one: lender.logits(lent, which.tolist(), texts, one.suffix, one.keep))

    def _read(self, logits_of: Callable[[Pass], Any]) -> NDArray[np.float64]:
        """The values of a batch from the logits of each pass."""
        values: list[Any] = [None] * len(self.asks)
        for one in self.passes:
            logits = logits_of(one)
            for k, column in one.asks:
                values[k] = read(logits, column, self.asks[k], self.target.scale).float().cpu().double().numpy()
        return np.asarray(values[0] if len(values) == 1 else values[0] - values[1], np.float64)
