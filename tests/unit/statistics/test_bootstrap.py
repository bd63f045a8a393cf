"""Intervals cover what they should, clusters count once, and figures of the same resamples may be subtracted."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.core.errors import InvalidInput
from chiasm.statistics.bootstrap import Bootstrap, difference, holm, mean_of, ratio


def covered(draw, figure, truth: float, n: int, simulations: int = 600) -> float:
    hits = 0
    for seed in range(simulations):
        rng = np.random.default_rng(seed)
        found = Bootstrap(np.arange(n), replicates=500, seed=seed).estimate(draw(rng, n), figure)
        hits += found.low <= truth <= found.high
    return hits / simulations


def test_the_interval_of_a_share_covers_it() -> None:
    assert 0.93 <= covered(lambda rng, n: mean_of(rng.random(n) < 0.3), ratio, 0.3, 150) <= 0.97


def test_the_interval_of_a_ratio_of_skewed_sums_covers_it() -> None:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        positive, negative = rng.exponential(1.0, n), rng.exponential(0.5, n)
        return np.stack([positive, positive + negative], axis=1)

    assert 0.93 <= covered(draw, ratio, 2 / 3, 150) <= 0.97


def test_the_interval_of_a_difference_of_paired_figures_covers_it() -> None:
    def draw(rng: np.random.Generator, n: int) -> np.ndarray:
        ease = rng.normal(size=n)
        return np.concatenate([mean_of(ease + rng.normal(0, 0.3, n) + 0.2), mean_of(ease)], axis=1)

    assert 0.93 <= covered(draw, difference(ratio, 2), 0.2, 100) <= 0.97


def test_rows_of_one_cluster_are_drawn_together() -> None:
    values = np.random.default_rng(0).normal(size=50)
    copies = Bootstrap(np.tile(np.arange(50), 20), seed=1).estimate(mean_of(np.tile(values, 20)), ratio)
    once = Bootstrap(np.arange(50), seed=1).estimate(mean_of(values), ratio)
    assert (copies.low, copies.high) == pytest.approx((once.low, once.high))
    alone = Bootstrap(np.arange(1000), seed=1).estimate(mean_of(np.tile(values, 20)), ratio)
    assert alone.high - alone.low < (once.high - once.low) / 3


def test_a_share_of_none_or_all_is_not_certain() -> None:
    found = Bootstrap(np.arange(100)).estimate(mean_of(np.zeros(100)), ratio, share=True)
    assert (found.value, found.low) == (0.0, 0.0)
    assert found.high == pytest.approx(1 - 0.025 ** (1 / 100))  # Clopper-Pearson
    found = Bootstrap(np.arange(100)).estimate(mean_of(np.ones(100)), ratio, share=True)
    assert found.low == pytest.approx(0.025 ** (1 / 100))


def test_missing_values_weigh_nothing_and_are_not_counted() -> None:
    values = np.array([1.0, 3.0, np.nan, np.nan])
    found = Bootstrap(np.arange(4)).estimate(mean_of(values), ratio)
    assert (found.value, found.n) == (2.0, 2)
    assert np.isnan(Bootstrap(np.arange(2)).estimate(mean_of([np.nan, np.nan]), ratio).low)


def test_the_p_value_is_small_for_a_sure_difference_and_uniform_without_one() -> None:
    rng = np.random.default_rng(0)
    columns = np.concatenate([mean_of(rng.normal(1, 1, 80)), mean_of(rng.normal(0, 1, 80))], axis=1)
    assert Bootstrap(np.arange(80)).estimate(columns, difference(ratio, 2)).p_value < 0.002
    under_null = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        columns = np.concatenate([mean_of(rng.normal(size=60)), mean_of(rng.normal(size=60))], axis=1)
        under_null.append(Bootstrap(np.arange(60), 400, seed).estimate(columns, difference(ratio, 2)).p_value)
    assert 0.02 <= np.mean(np.array(under_null) <= 0.05) <= 0.08
    assert np.mean(under_null) == pytest.approx(0.5, abs=0.05)
    certain = np.concatenate([mean_of(np.ones(8)), mean_of(np.zeros(8))], axis=1)
    assert Bootstrap(np.arange(8)).estimate(certain, difference(ratio, 2)).p_value == pytest.approx(2 / 2**8)


def test_memory_does_not_grow_with_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).normal(size=3000)
    whole = Bootstrap(np.arange(3000), 300, 5).estimate(mean_of(values), ratio)
    monkeypatch.setattr("chiasm.statistics.bootstrap.HELD", 3000 * 7)
    pieces = Bootstrap(np.arange(3000), 300, 5).estimate(mean_of(values), ratio)
    assert pieces.replicates == pytest.approx(whole.replicates)


def test_sums_of_some_rows_and_of_the_rest_are_those_of_all() -> None:
    rng = np.random.default_rng(3)
    values, clusters = mean_of(rng.normal(size=60)), rng.integers(0, 20, 60)
    some, rest = np.arange(60)[:25], np.arange(60)[25:]
    draws = Bootstrap(clusters, 300)
    whole, first, second = draws.sums([(values, None), (values, some), (values, rest)])
    left = first.rest_of(whole)
    assert left.drawn == pytest.approx(second.drawn)
    assert left.estimate(ratio).value == pytest.approx(second.estimate(ratio).value)
    both = first.beside(second).estimate(difference(ratio, 2))
    assert both.replicates == pytest.approx(ratio(first.drawn) - ratio(second.drawn))
    masked = draws.estimate(
        np.concatenate([mask_rows(values, some), mask_rows(values, rest)], axis=1), difference(ratio, 2)
    )
    assert (both.low, both.high) == pytest.approx((masked.low, masked.high))


def mask_rows(values: np.ndarray, rows: np.ndarray) -> np.ndarray:
    found = np.zeros_like(values)
    found[rows] = values[rows]
    return found


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, float("nan")]) == pytest.approx([0.03, 0.06, 0.06, np.nan], nan_ok=True)


def test_bad_input_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no sample"):
        Bootstrap([])
    with pytest.raises(InvalidInput, match="100 or more"):
        Bootstrap([1], replicates=5)
    with pytest.raises(InvalidInput, match="not finite"):
        Bootstrap([1, 2]).estimate([[np.nan], [1]], ratio)
    with pytest.raises(InvalidInput, match="a row for each"):
        Bootstrap([1, 2]).estimate([[1.0]], ratio)
