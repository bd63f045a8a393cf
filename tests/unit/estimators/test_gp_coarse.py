"""From coarse to fine: blocks are neighbours, few values find what matters, and the law of estimators holds."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import BudgetTooSmall
from chiasm.core.game import Game
from chiasm.core.indices import index
from chiasm.core.players import PartPlayers, Players, Regions, Spans
from chiasm.estimators import estimators
from chiasm.estimators.estimate import explain_game
from chiasm.estimators.gp_coarse import FEW, GP_COARSE, SIDE, blocks, positions
from chiasm.testing import check_estimator

PATCHES, WORDS = 49, 8
#: the patches of one object and the word that asks for it
PLANTED, WORD = (16, 17, 23, 24), PATCHES + 5


def grid(side=7, pixels=4):
    label_map = np.kron(np.arange(side * side).reshape(side, side), np.ones((pixels, pixels), int)).astype(np.int32)
    return PartPlayers("image", "image", tuple(f"p{k}" for k in range(side * side)), Regions(label_map))


def words(count=WORDS):
    bounds = np.stack([np.arange(count) * 3, np.arange(count) * 3 + 2], axis=1)
    return PartPlayers("text", "text", tuple(f"w{k}" for k in range(count)), Spans(bounds))


def planted(coalitions):
    """An answer that needs some of the object and its word; every other patch matters a little."""
    object_there = coalitions[:, PLANTED].sum(1) / len(PLANTED)
    rest = coalitions[:, :PATCHES].sum(1) / PATCHES
    return 3.0 * object_there * coalitions[:, WORD] + 0.3 * rest


def test_it_conforms_and_is_registered():
    check_estimator(GP_COARSE, repeats=1, indices=("SII",))
    assert estimators.get("gp-coarse") is GP_COARSE


def test_blocks_are_neighbours_and_words_of_a_short_text_stand_alone():
    group = blocks(Players([grid(), words()]))
    assert group[PATCHES:].tolist() == list(range(group[PATCHES], group[PATCHES] + WORDS))
    for block in np.unique(group[:PATCHES]):
        row, column = np.divmod(np.flatnonzero(group[:PATCHES] == block), 7)
        assert len(row) <= SIDE
        assert np.ptp(row) + np.ptp(column) <= 2
    assert len(np.unique(group[:PATCHES])) <= PATCHES // 3
    assert not set(group[:PATCHES]) & set(group[PATCHES:])


def test_long_texts_and_elements_without_a_place():
    group = blocks(Players([words(FEW + 8)]))
    assert (np.diff(group) >= 0).all()
    assert np.bincount(group).max() <= SIDE
    nowhere = PartPlayers("table", "tabular", tuple(map(str, range(FEW + 8))))
    assert len(np.unique(blocks(Players([nowhere])))) == FEW + 8
    assert positions(nowhere) is None


def test_positions_are_middles():
    label_map = np.array([[0, 0, 1], [2, -1, 1]], np.int32)
    part = PartPlayers("image", "image", ("a", "b", "c"), Regions(label_map))
    assert positions(part).tolist() == [[0, 0.5], [0.5, 2], [1, 0]]


def test_few_values_find_what_is_planted():
    found = explain_game(Game(planted, Players([grid(), words()])), method="gp-coarse", budget=250)
    assert found.provenance.computed == 250
    assert set(np.argsort(-found.single[:PATCHES])[:4]) == set(PLANTED)
    assert {found.players.position(p) for p in found.top_pairs(1)[0].players} <= {*PLANTED, WORD}
    pairs = found.pair[list(PLANTED), WORD]
    assert pairs == pytest.approx(np.full(4, 0.75), abs=0.1)
    assert np.abs(np.delete(found.pair[:PATCHES, WORD], PLANTED)).max() < 0.15


def test_players_of_a_block_are_told_apart_only_where_it_matters():
    seen = []

    def values(coalitions):
        seen.append(coalitions)
        return planted(coalitions)

    players = Players([grid(), words()])
    explain_game(Game(values, players), method="gp-coarse", budget=250)
    asked, group = np.concatenate(seen), blocks(players)
    apart = {b for b in np.unique(group) if len({asked[:, k].tobytes() for k in np.flatnonzero(group == b)}) > 1}
    assert {group[k] for k in PLANTED} <= apart
    assert len(apart) < np.sum(np.bincount(group) > 1)


def test_too_few_values_are_refused():
    with pytest.raises(BudgetTooSmall, match="'gp-coarse' needs at least 59"):
        GP_COARSE.run(Game(planted, Players([grid(), words()])), index("SII"), 50, 0)
