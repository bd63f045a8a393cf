"""The study of F_syn: its page says what its results say, and what it computes is what it says it computes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from metric_help import told

import chiasm as cx
from chiasm.core.coalitions import all_coalitions
from chiasm.core.indices import exact, index
from chiasm.core.players import Players
from chiasm.metrics.base import Case
from chiasm.metrics.orders import area, tops
from chiasm.metrics.synergy import FSynExact
from chiasm.testing.games import bilinear_sigmoid, sparse_polynomial

ROOT = Path(__file__).parents[3]
if not (ROOT / "benchmarks").is_dir():
    pytest.skip("an installed package has no benchmarks", allow_module_level=True)
sys.path.insert(0, str(ROOT / "benchmarks"))
import f_syn_games as games  # noqa: E402
import f_syn_scores as scores  # noqa: E402
import f_syn_tables as tables  # noqa: E402

PAGE = ROOT / "docs" / "studies" / "f_syn.md"
SIZES = {"image": 4, "text": 3}


def test_the_tables_of_the_page_are_those_of_the_results():
    page = PAGE.read_text(encoding="utf-8")
    assert tables.filled(page, tables.results()) == page, "run: python benchmarks/f_syn_study.py --report"


def test_every_figure_is_there_and_shown():
    page = PAGE.read_text(encoding="utf-8")
    for name in ("correlations", "controls", "collapse", "rankings"):
        assert (ROOT / "docs" / "images" / f"f_syn-{name}.png").is_file()
        assert f"](../images/f_syn-{name}.png)" in page


def test_moebius_coefficients_of_a_known_game():
    known = sparse_polynomial(7, seed=3)
    found = scores.moebius(known.values(all_coalitions(7)))
    wanted = np.zeros(128)
    for term, value in known.terms.items():
        wanted[sum(1 << i for i in term)] += value
    assert found == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_macro_index_is_that_of_the_merged_game(seed):
    """SII of the game in which the top players of a part are one player and every other is one by itself."""
    known = bilinear_sigmoid(7, seed)
    table = known.values(all_coalitions(7))
    players = games.table_game(table, SIZES).players
    case = Case(told(players, np.random.default_rng(seed).normal(size=7)), games.table_game(table, SIZES))
    curve = []
    for top in tops(case, steps=10, counting="part", ties=4)[0]:
        macro = [np.flatnonzero(top[:4]), 4 + np.flatnonzero(top[4:]), *np.flatnonzero(~top)[:, None]]
        rows = all_coalitions(len(macro))
        whole = np.zeros((len(rows), 7), bool)
        for column, members in enumerate(macro):
            whole[:, members] = rows[:, [column]]
        curve.append(exact(known.values(whole), index("SII"))[1][0, 1])
    z = max(abs(table[-1] - table[0]), 0.05)
    found = scores.macro_sii(case, scores.moebius(table))
    assert found == pytest.approx(float(area(np.array(curve))) / z, abs=1e-12)
    assert found == pytest.approx(FSynExact(groups=7).score(case).value, abs=1e-12)  # groups of one player


def test_truth_is_the_chance_that_a_planted_player_comes_first():
    players = Players.abstract(SIZES)
    planted = {"image": np.array([1.0, 0, 0, 0.2]), "text": np.array([0, 1.0, 0])}
    said = told(players, [3, 1, 0, 0, 5, 7, 9])
    assert scores.truth(said, planted) == pytest.approx(((1 + 1 + 0 + 0.5) / 4 + 0.5) / 2)
    assert scores.truth(told(players, np.zeros(7)), planted) == 0.5
    assert scores.truth(said, {"image": np.ones(4), "text": planted["text"]}) == 0.5  # all of a part tells nothing


def test_auroc_and_correlations_by_hand():
    best, worst = np.array([1.0, 2.0]), np.array([[0.0, 1.0], [3.0, 2.0]])
    assert tables.auroc(best, worst) == pytest.approx([0.75, 0.25])
    assert tables.pooled_auroc(best, worst) == pytest.approx((1 + 0.5 + 0 + 0 + 1 + 1 + 0 + 0.5) / 8)
    first = np.array([[0.0, 1, 2], [10, 11, 12]])
    reverse = np.array([[2.0, 1, 0], [12, 11, 10]])
    pooled, inside, bounds = tables.correlation(first, reverse)
    assert pooled > 0.5  # the items differ, which is all that pooling sees here
    assert (inside, bounds) == (-1, (-1, -1))


def test_items_are_enumerated_explained_and_read_back(tmp_path):
    model = cx.load("zoo:llava-shapes")
    group = games.Group("llava-shapes", "shapes", "colour", 7000, right=True)
    (sample,) = cx.dataset("shapes", 1, seed=7000, types=["colour"])
    made = games.item(model, group, sample, "grid:1x2,words")
    made.save(tmp_path / "one.npz")
    back = games.Item.load(tmp_path / "one.npz")
    assert (back.group, back.sizes, back.answer) == (group, made.sizes, sample.answer)
    assert back.table == pytest.approx(made.table, abs=1e-5)
    assert len(back.table) == 2 ** sum(made.sizes.values())
    assert set(back.singles) == {*games.EIGHT, *games.BY_VALUES}
    assert list(back.truth) == ["image", "text"]
    rows = list(scores.rows(back, 0, randoms=1))
    known = ["image oracle", "text oracle", "oracle", "reversed oracle", "random 0"]
    assert [row["explainer"] for row in rows][-6:] == ["shapley", *known]
    assert {row["explainer"]: row["truth"] for row in rows}["oracle"] == 1
    about = scores.about(back, 0)
    assert about["p full"] == pytest.approx(np.exp(made.table[-1]), abs=1e-3)
    assert about["p empty"] == pytest.approx(np.exp(made.table[0]), abs=1e-3)
    assert about["p image"] == pytest.approx(np.exp(made.table[3]), abs=1e-3)  # the two patches are the lowest bits
