"""Which token belongs to which player, for any tokenizer that tells where its tokens stand in the text."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chiasm.core.errors import InvalidInput, ModelError


class TokenPlayers(NamedTuple):
    """Tokens and the players that own them.

    Attributes:
        owners: ``int32[tokens]``: the player of each token, −1 for none.
        tokenless: the players that own no token: the tokenizer dropped their characters, or a token reaches over
            several players and another has more of it. Masking tokens cannot hide such a player; an adapter must
            refuse or merge it.
    """

    owners: NDArray[np.int32]
    tokenless: list[int]


def token_players(offsets: ArrayLike, spans: ArrayLike, text: str) -> TokenPlayers:
    """Give each token to the player that has most of its characters.

    Only characters that are not white space count, so a leading space in a token (``" cat"``, ``"▁cat"``) is nobody's.
    Among equals the first player in the text wins. A token with no character of a player (special tokens with an
    empty span, tokens of white space) has no owner. Byte-level pieces of one character all go to its player.

    Args:
        offsets: ``int[tokens, 2]``: start and end of each token in characters of ``text``, end exclusive.
        spans: ``int[players, 2]``: start and end of each player, disjoint, in any order.
        text: the text.

    Returns:
        Owners and the players without a token.

    Raises:
        InvalidInput: spans of another shape, outside the text, or overlapping.
        ModelError: offsets of another shape or outside the text: the tokenizer does not speak of this text.
    """
    tokens, bounds = _pairs(offsets), _pairs(spans)
    if tokens is None or _outside(tokens, text):
        raise ModelError(
            f"The token offsets do not lie in the text of {len(text)} characters; the tokenizer must return offsets "
            f"into the text as given (a fast tokenizer with return_offsets_mapping=True)."
        )
    if bounds is None or _outside(bounds, text):
        raise InvalidInput(
            f"The players' spans do not lie in the text of {len(text)} characters; give int[players, 2]."
        )
    # owner of each character; white space has none
    char_owner = np.full(len(text), -1, np.int64)
    for player, (start, end) in enumerate(bounds.tolist()):
        if (char_owner[start:end] >= 0).any():
            raise InvalidInput(f"Player {player} at {(start, end)} overlaps another player; spans must be disjoint.")
        char_owner[start:end] = player
    char_owner[[i for i, char in enumerate(text) if char.isspace()]] = -1
    owners = np.array([_majority(char_owner[start:end]) for start, end in tokens.tolist()], np.int32)
    having = set(owners.tolist())
    return TokenPlayers(owners, [player for player in range(len(bounds)) if player not in having])


def _pairs(values: ArrayLike) -> NDArray[np.int64] | None:
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros((0, 2), np.int64)
    if array.ndim != 2 or array.shape[1] != 2 or not np.issubdtype(array.dtype, np.integer):
        return None
    return array.astype(np.int64)


def _outside(pairs: NDArray[np.int64], text: str) -> bool:
    return bool(pairs.size and (pairs.min() < 0 or pairs.max() > len(text) or (pairs[:, 0] > pairs[:, 1]).any()))


def _majority(owners: NDArray[np.int64]) -> int:
    """The player that owns most of some characters, the first in the text among equals; −1 where none does."""
    owned = owners[owners >= 0]
    if len(owned) == 0:
        return -1
    players, first, counts = np.unique(owned, return_index=True, return_counts=True)
    best = np.flatnonzero(counts == counts.max())
    return int(players[best[np.argmin(first[best])]])
