from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.modalities.alignment import token_players


def owners(offsets, spans, text):
    found = token_players(offsets, spans, text)
    assert found.owners.dtype == np.int32
    return found.owners.tolist(), found.tokenless


def test_plain() -> None:
    assert owners([(0, 0), (0, 3), (3, 7), (0, 0)], [(0, 3), (4, 7)], "the cat") == ([-1, 0, 1, -1], [])


def test_white_space_belongs_to_nobody() -> None:
    # " a" has more spaces of nobody than letters; a newline token is nobody's
    assert owners([(0, 4), (4, 5), (5, 6)], [(3, 4), (5, 6)], "   a\nb") == ([0, -1, 1], [])
    # a phrase with white space inside does not own it
    assert owners([(1, 2), (1, 3)], [(0, 3)], "a b") == ([-1, 0], [])


def test_largest_overlap_then_first() -> None:
    text = "abcdef"
    assert owners([(0, 6)], [(0, 2), (2, 6)], text) == ([1], [0])
    assert owners([(0, 6)], [(0, 3), (3, 6)], text) == ([0], [1])
    assert owners([(0, 6)], [(3, 6), (0, 3)], text) == ([1], [0])  # the first in the text, in any order of players
    assert owners([(1, 4)], [(0, 2), (3, 6)], text) == ([0], [1])
    assert owners([(2, 3)], [(0, 2), (3, 6)], text) == ([-1], [0, 1])


def test_byte_pieces_share_a_character() -> None:
    assert owners([(0, 1), (0, 1), (0, 1), (1, 2)], [(0, 1), (1, 2)], "👩x") == ([0, 0, 0, 1], [])


def test_empty() -> None:
    assert owners([], [], "") == ([], [])
    assert owners([(0, 0)], np.zeros((0, 2)), "") == ([-1], [])
    assert owners([], [(0, 1)], "a") == ([], [0])


def test_bad_input() -> None:
    for offsets in ([(0, 4)], [(-1, 2)], [(2, 1)], [1, 2], [(0.5, 1.0)]):
        with pytest.raises(ModelError, match="fast tokenizer"):
            token_players(offsets, [(0, 1)], "abc")
    for spans in ([(0, 4)], [(0, 2), (1, 3)], [(0, 1, 2)]):
        with pytest.raises(InvalidInput):
            token_players([(0, 1)], spans, "abc")
