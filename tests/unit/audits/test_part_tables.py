"""Measures of part tables against closed forms, and InterSHAP's published checks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiasm.audits import parts
from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import InvalidInput

SIZES = st.integers(1, 4)


def tables(size: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(5, 1 << size))


@given(SIZES, st.integers(0, 1000))
def test_interaction_values_sum_to_what_all_parts_give(size: int, seed: int) -> None:
    table = tables(size, seed)
    found = parts.interaction_values(table)
    assert found.sum(axis=(1, 2)) == pytest.approx(table[:, -1] - table[:, 0], abs=1e-10)
    assert found == pytest.approx(np.swapaxes(found, 1, 2))


def test_interaction_values_of_two_parts_by_hand() -> None:
    # v(∅) = 1, v(a) = 4, v(b) = 2, v(ab) = 10: Δ = 5, φ_a = 5.5, φ_b = 3.5
    found = parts.interaction_values([[1.0, 4.0, 2.0, 10.0]])[0]
    assert found == pytest.approx(np.array([[3.0, 2.5], [2.5, 1.0]]))
    assert parts.intershap([[1.0, 4.0, 2.0, 10.0]]) == pytest.approx([5 / 9])
    assert parts.shapley_shares([[1.0, 4.0, 2.0, 10.0]]) == pytest.approx(np.array([[5.5 / 9, 3.5 / 9]]))


@given(SIZES, st.integers(0, 1000))
def test_an_additive_model_has_no_interaction(size: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = (all_coalitions(size) @ rng.normal(size=(size, 5))).T + rng.normal()
    assert parts.intershap(table) == pytest.approx(0, abs=1e-10)
    assert parts.cooperation(table[0]) == pytest.approx(0, abs=1e-10)
    if size > 1:
        assert parts.joint_dividend(table) == pytest.approx(0, abs=1e-10)


def test_the_joint_dividend_is_what_no_smaller_coalition_gives() -> None:
    product = all_coalitions(3).all(axis=1).astype(float) * 7
    assert parts.joint_dividend(product[None]) == pytest.approx([7])
    assert parts.joint_dividend((product + all_coalitions(3)[:, 0])[None]) == pytest.approx([7])


def test_a_sample_that_nothing_moves_has_no_score_and_no_weight_in_the_global_one() -> None:
    table = np.array([[0.5, 0.5, 0.5, 0.5], [0.0, 0.0, 0.0, 1.0], [0.0, 9.0, 9.0, 18.0]])
    local = parts.intershap(table)
    assert np.isnan(local[0])
    assert local[1:] == pytest.approx([1.0, 0.0])
    assert np.isnan(parts.shapley_shares(table)[0]).all()
    assert parts.intershap_global(table) == pytest.approx(1 / 19)
    assert np.isnan(parts.intershap_global(table[:1]))


def test_cooperation_of_redundant_and_of_synergistic_parts() -> None:
    assert parts.cooperation([0.5, 1.0, 1.0, 1.0]) == pytest.approx(-0.5)
    assert parts.cooperation([0.5, 0.5, 0.5, 1.0]) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (np.zeros((2, 3)), "2\\^P coalitions"),
        (np.zeros((2, 1)), "2\\^P coalitions"),
        (np.zeros((0, 4)), "no row"),
        ([[0, np.nan, 0, 0]], "not finite"),
    ],
)
def test_bad_tables_are_refused(table: np.ndarray, words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        parts.intershap(table)


class HighDimensional:
    """InterSHAP's synthetic data: bits decide the label, each shown by many noisy values around −1 or 1.

    Every combination of bits comes equally often, so that what is found is the function's and not the draw's.
    """

    def __init__(self, size: int, setting: str, samples: int = 200, dimensions: int = 400, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.setting, self.size = setting, size
        every = all_coalitions(max(size, 2))
        bits = every[rng.permutation(samples) % len(every)]
        means = np.where(bits, 1.0, -1.0)
        noise = rng.normal(0, 1, (samples, max(size, 2), dimensions))
        signal = means[:, :, None] + noise
        if setting == "uniqueness":  # both bits lie in the first part, the others are noise
            signal[:, 0] = np.concatenate([signal[:, 0, : dimensions // 2], signal[:, 1, : dimensions // 2]], axis=1)
            signal[:, 1:] = noise[:, 1:]
        self.signal = signal

    def __call__(self, which: np.ndarray) -> np.ndarray:
        """Probability of the label 1 by the exact function, of mixtures of samples ``int[batch, P]``."""
        mixed = np.stack([self.signal[which[:, part], part] for part in range(self.size)], axis=1)
        if self.setting == "uniqueness":
            half = mixed.shape[2] // 2
            read = np.stack([mixed[:, 0, :half].mean(axis=1), mixed[:, 0, half:].mean(axis=1)], axis=1) > 0
        else:
            read = mixed.mean(axis=2) > 0
        return (read.sum(axis=1) == 1).astype(float)

    def tables(self, samples: int) -> np.ndarray:
        found = []
        for sample in range(samples):
            table = parts.background_table(self, sample, np.arange(len(self.signal)), self.size)
            found.append(table if table[-1] == 1 else 1 - table)  # the class that is predicted
        return np.array(found)


def test_published_check_unique_data_has_at_most_one_percent() -> None:
    table = HighDimensional(2, "uniqueness").tables(30)
    assert parts.intershap(table).max() <= 0.01
    assert parts.intershap_global(table) <= 0.01


def test_published_check_exclusive_or_has_at_least_98_percent() -> None:
    table = HighDimensional(2, "synergy").tables(30)
    assert parts.intershap(table).min() >= 0.98
    assert parts.intershap_global(table) >= 0.98


def exactly_one(size: int) -> float:
    """Global score of "exactly one bit is set" under uniform bits, by enumeration of samples and backgrounds."""
    bits = all_coalitions(size)
    label = (bits.sum(axis=1) == 1).astype(float)

    def value(which: np.ndarray) -> np.ndarray:
        mixed = np.stack([bits[which[:, part], part] for part in range(size)], axis=1)
        return (mixed.sum(axis=1) == 1).astype(float)

    every = np.arange(1 << size)
    rows = [parts.background_table(value, int(k), every, size) for k in every]
    return parts.intershap_global([row if label[k] else 1 - row for k, row in enumerate(rows)])


def test_published_check_the_order_by_number_of_modalities() -> None:
    # With more modalities "exactly one" is told better by each alone: the share of interaction falls.
    population = [exactly_one(size) for size in (2, 3, 4)]
    assert population[0] == pytest.approx(1.0)
    assert population == sorted(population, reverse=True)
    for size, expected in zip((2, 3, 4), population, strict=True):
        data = HighDimensional(size, "synergy", samples=160, dimensions=50, seed=size)
        assert parts.intershap_global(data.tables(160)) == pytest.approx(expected, abs=1e-6)


def test_backgrounds_leave_the_sample_itself_alone_and_average_the_rest() -> None:
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])

    def value(which: np.ndarray) -> np.ndarray:
        return values[which[:, 0], 0] * values[which[:, 1], 1]

    found = parts.background_table(value, 0, [1, 2], 2)
    assert found == pytest.approx([(2 * 20 + 4 * 40) / 2, 1 * 30.0, 3 * 10.0, 10.0])
    with pytest.raises(InvalidInput, match="background"):
        parts.background_table(value, 0, [], 2)
