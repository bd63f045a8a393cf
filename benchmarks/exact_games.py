"""All values of a decoder's game at once: what is the same in many coalitions is computed once.

A plain pass reads the whole prompt for every coalition. Two things are the same in many of them: the picture tokens
in all coalitions with the same image players, and, in a causal model, a word's states in all coalitions with the same
words before it. So each masked picture is one row, behind which stands, packed, every word once for every choice of the
words before it; a mask lets each copy see its own past alone, at the positions of the whole prompt. For 9 image and 7
text players these are 512 rows of some 400 tokens in place of 65,536 of 75. The values are those of the library's own
game, but for rounding; `check` holds them against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput
from chiasm.models import compat
from chiasm.models.decoder_scoring import read
from chiasm.models.decoder_values import DecoderValues
from chiasm.models.games import ModelGame

ROW_TOKENS = 6000
"""Tokens of one forward pass, so that a pass fits the caches of a processor."""


@dataclass(frozen=True)
class Packed:
    """One prompt with every word in every context.

    Attributes:
        source: ``int64[nodes]``, which token of the prompt each node is.
        sees: ``bool[nodes, nodes]``, which other nodes each may attend to.
        ends: ``int64[2**words]``, the node that is read off for each coalition of words, first word = lowest bit.
    """

    source: NDArray[np.int64]
    sees: NDArray[np.bool_]
    ends: NDArray[np.int64]


def pack(owners: NDArray[np.int64]) -> Packed:
    """Every token once for each choice of the players that stand before it.

    Args:
        owners: ``int64[tokens]``, the text player of each token, −1 for what is always there; players stand in order.

    Raises:
        InvalidInput: players that do not stand in order, or a prompt that ends with a player's token.
    """
    words = owners[owners >= 0]
    if owners[-1] >= 0 or (np.diff(words) < 0).any():
        raise InvalidInput("The text players must stand in order, and the prompt must go on behind the last one.")
    source, known, chosen = [], [], []  # of each node: its token, how many players are decided, which are present
    decided = 0
    for token, owner in enumerate(owners.tolist()):
        decided = max(decided, owner + 1)
        for choice in range(1 << decided):
            if owner < 0 or choice >> owner & 1:
                source.append(token)
                known.append(decided)
                chosen.append(choice)
    where, bits, picked = np.array(source), np.array(known), np.array(chosen)
    past = where[:, None] >= where[None, :]
    sees = past & ((picked[:, None] & ((1 << bits[None, :]) - 1)) == picked[None, :])
    return Packed(where.astype(np.int64), sees, np.flatnonzero(where == len(owners) - 1).astype(np.int64))


def exact_values(match: ModelGame, forward: Any) -> NDArray[np.float64]:
    """All 2^n values of a game of one picture and one text, in the order of `chiasm.core.coalitions.all_coalitions`.

    Args:
        match: a decoder's game with words hidden from attention and an answer of one token.
        forward: the adapter's `chiasm.models.decoder_forward.Forward`.

    Raises:
        InvalidInput: another masker, several tokens, or image players that do not come first.
    """
    cells = len(match.game.all_players["image"])
    # the image players come first, so they are the lowest bits
    return all_words(match, forward, all_coalitions(cells)).T.ravel()


def all_words(match: ModelGame, forward: Any, pictures: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values of some masks of the picture with every coalition of words.

    Args:
        match: as for `exact_values`.
        forward: as there.
        pictures: ``bool[masks, image players]``.

    Returns:
        ``float64[masks, 2**words]``.

    Raises:
        InvalidInput: as there.
    """
    values = match.game._values  # noqa: SLF001 - a benchmark may look inside
    players = match.game.all_players
    if not isinstance(values, DecoderValues) or list(players.parts) != ["image", "text"]:
        raise InvalidInput("Only games of a decoder with the parts image and text are enumerated this way.")
    if match.maskers["text"] != "attention" or len(values.asks) != 1 or len(values.asks[0].ids) != 1:
        raise InvalidInput("Words must be hidden by 'attention', and the answer must be a single token.")
    prompt = match.prepared.state.prompt
    owners = np.full(len(prompt.ids), -1, np.int64)
    owners[prompt.parts["text"].positions] = values._texts.owners["text"]  # noqa: SLF001
    packed = pack(owners)
    words = len(players["text"])
    masks = np.concatenate([pictures, np.ones((len(pictures), words), bool)], axis=1)
    step = max(1, ROW_TOKENS // len(packed.source))
    found = [
        _scores(values, forward, values.rows(masks[start : start + step]), packed)
        for start in range(0, len(masks), step)
    ]
    return np.concatenate(found)


def _scores(values: DecoderValues, forward: Any, rows: list[Any], packed: Packed) -> NDArray[np.float64]:
    """Values of all coalitions of words for some masked pictures, ``float64[rows, 2**words]``."""
    inputs = forward.inputs(rows, ())
    device = compat.device_of(forward.model)
    source = torch.from_numpy(packed.source).to(device)
    inputs["input_ids"] = inputs["input_ids"][:, source]
    inputs["position_ids"] = inputs["position_ids"][..., source]
    hidden = torch.zeros(packed.sees.shape, dtype=forward.model.dtype, device=device)
    hidden.masked_fill_(~torch.from_numpy(packed.sees).to(device), torch.finfo(forward.model.dtype).min)
    inputs["attention_mask"] = hidden.expand(len(rows), 1, -1, -1)
    with torch.inference_mode():
        ends = torch.from_numpy(packed.ends).to(device)
        logits = forward.model(**inputs, logits_to_keep=ends, use_cache=False).logits.float()
    ask = values.asks[0]
    scores = read(logits.reshape(-1, 1, logits.shape[-1]), 0, ask, values.target.scale)
    return np.asarray(scores.reshape(len(rows), -1).double().cpu().numpy())


def check(match: ModelGame, table: NDArray[np.float64], n: int = 64, seed: int = 0) -> float:
    """Largest difference between enumerated values and the library's own game on random coalitions."""
    size = match.game.n
    numbers = np.random.default_rng(seed).choice(len(table), size=min(n, len(table)), replace=False)
    coalitions = (numbers[:, None] >> np.arange(size)[None, :] & 1).astype(bool)
    return float(np.abs(match.game(coalitions) - table[numbers]).max())
