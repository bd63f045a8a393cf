"""Comparisons of methods against closed forms and simulations whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel

from chiasm.core.errors import InvalidInput
from chiasm.statistics.comparing import compare, groups, mixed, needed, rank_agreement


def table(shifts: dict[str, float], n: int = 60, seed: int = 0, noise: float = 0.3) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    ease = rng.normal(size=n)
    return pd.DataFrame({name: ease + shift + noise * rng.normal(size=n) for name, shift in shifts.items()})


def test_planted_differences_are_found_and_equal_methods_are_one_group() -> None:
    found = compare(table({"c": 0.0, "a": 1.0, "b": 1.0, "d": 0.5}), replicates=500)
    assert list(found.means)[-2:] == ["d", "c"]
    assert found.friedman < 1e-6
    assert found.pair("a", "c").p_value < 1e-6
    assert found.pair("a", "b").p_value > 0.05
    assert [set(group) for group in found.groups] == [{"a", "b"}, {"d"}, {"c"}]
    assert found.ranks["c"].value > 3
    difference = found.pair("c", "d").difference
    assert difference.low < -0.5 < difference.high or difference.low < 0.5 < difference.high


def test_lower_may_be_better() -> None:
    found = compare(table({"a": 1.0, "b": 0.0}), higher=False, replicates=200)
    assert list(found.means) == ["b", "a"]
    assert found.ranks["b"].value < 1.5
    assert np.isnan(found.friedman)


def test_effect_sizes_by_hand() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0, 4.0], "b": [0.0, 0.0, 4.0, 0.0]})
    one = compare(frame, replicates=200).pair("a", "b")
    sign = 1 if one.first == "a" else -1
    # differences 1, 2, −1, 4 have the ranks 1.5, 3, 1.5, 4
    assert one.rank_biserial * sign == pytest.approx((1.5 + 3 - 1.5 + 4) / 10)
    assert one.d * sign == pytest.approx(1.5 / np.std([1, 2, -1, 4], ddof=1))


def test_methods_that_never_differ() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [1.0, 2.0, 3.0], "c": [1.0, 2.0, 3.0]})
    found = compare(frame, replicates=200)
    assert found.friedman == 1.0
    assert all(one.p_value == 1.0 and one.d == 0.0 and one.needed is None for one in found.pairs)
    assert len(found.groups) == 1


def test_false_alarms_are_rare_over_all_pairs() -> None:
    alarms = sum(
        any(one.p_value < 0.05 for one in compare(table(dict.fromkeys("abcde", 0.0), 40, seed), replicates=100).pairs)
        for seed in range(30)
    )
    assert alarms <= 4


def test_rows_of_one_cluster_are_one_witness() -> None:
    frame, samples = table({"a": 0.4, "b": 0.3, "c": 0.0}, 20), np.arange(20)
    once = compare(frame, replicates=100)
    copied = compare(pd.concat([frame] * 6), clusters=np.tile(samples, 6), replicates=100)  # six models that agree
    assert copied.n == 120
    assert copied.friedman == pytest.approx(once.friedman)
    for one in once.pairs:
        twin = copied.pair(one.first, one.second)
        assert (twin.p_value, twin.d, twin.needed) == (pytest.approx(one.p_value), pytest.approx(one.d), one.needed)
        assert twin.difference.low == pytest.approx(one.difference.low, abs=0.03)
    with pytest.raises(InvalidInput, match="one cluster"):
        compare(frame, clusters=np.zeros(20), replicates=100)


def test_the_samples_needed_give_the_power_that_was_asked_for() -> None:
    d = 0.5
    n = needed(d)
    assert n == 34  # Cohen 1988 for a paired t-test, two-sided 5 %, power 80 %
    rng = np.random.default_rng(0)
    hits = [ttest_rel(rng.normal(d, 1, n), np.zeros(n)).pvalue < 0.05 for _ in range(600)]
    assert 0.75 <= np.mean(hits) <= 0.85


def test_groups_overlap_and_are_largest() -> None:
    apart = {frozenset(pair) for pair in ("ac", "ad", "bd")}
    assert groups(list("abcd"), apart) == (("a", "b"), ("b", "c"), ("c", "d"))
    assert groups(list("abc"), set()) == (("a", "b", "c"),)


def test_rank_agreement_is_one_for_the_same_ranking_and_covers_its_truth() -> None:
    first = table({"a": 2.0, "b": 1.0, "c": 0.0})
    same = rank_agreement(first, 2 * first + 1, replicates=200)
    assert same.value == 1.0
    turned = rank_agreement(first, -first, replicates=200)
    assert turned.value == -1.0
    noise = rank_agreement(
        table(dict.fromkeys("abcd", 0.0), 30, 1), table(dict.fromkeys("abcd", 0.0), 30, 2), replicates=200
    )
    assert noise.high - noise.low > 0.5


def long(shift: float, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = []
    for setting in range(5):
        level = rng.normal(0, 0.5)
        for sample in range(12):
            ease = level + rng.normal(0, 1.0)
            for method, own in (("base", 0.0), ("better", shift), ("same", 0.0)):
                rows.append((f"m{setting}", f"m{setting}-s{sample}", method, ease + own + rng.normal(0, 0.2)))
    return pd.DataFrame(rows, columns=["setting", "sample", "method", "value"])


def test_the_mixed_model_finds_effects_and_spreads() -> None:
    found = mixed(long(0.4, 0), "base")
    effects = {one.method: one for one in found.effects}
    assert effects["better"].value == pytest.approx(0.4, abs=0.1)
    assert effects["better"].p_value < 0.001
    assert effects["same"].p_value > 0.05
    assert effects["better"].error == pytest.approx(0.2 * np.sqrt(2 / 60), rel=0.25)
    assert found.spread["sample"] == pytest.approx(1.0, abs=0.3)
    assert found.spread["rest"] == pytest.approx(0.2, abs=0.04)


def test_bad_tables_are_refused() -> None:
    with pytest.raises(InvalidInput, match="gaps"):
        compare(pd.DataFrame({"a": [1.0, np.nan], "b": [1.0, 2.0]}))
    with pytest.raises(InvalidInput, match="gaps"):
        rank_agreement(pd.DataFrame({"a": [1.0]}), pd.DataFrame({"b": [1.0]}))
    with pytest.raises(InvalidInput, match="reference"):
        mixed(long(0.1, 0), "none")
