"""Designs of the Gaussian-process estimator: distinct, balanced, and worth more than chance."""

from __future__ import annotations

from math import comb

import numpy as np
import pytest

from chiasm.core.coalitions import all_coalitions, keys
from chiasm.core.indices import index
from chiasm.core.players import Players
from chiasm.estimators.gp_choice import Chooser, candidates, first_design, wanted_pairs
from chiasm.estimators.gp_indices import errors, measures
from chiasm.estimators.gp_kernel import MEMBERS, Kernel, Posterior
from chiasm.estimators.gp_readers import LinearReader

DESIGNS = [(n, count) for n in (2, 3, 4, 5, 6, 9) for count in range(2, min(2**n, 70) + 1)]


def test_the_first_design_is_exact_in_number_distinct_and_paired():
    for n, count in [*DESIGNS, (9, 511), (9, 512), (14, 3000), (57, 128), (57, 513), (200, 64), (1, 2)]:
        found = first_design(n, count, np.random.default_rng(count))
        names = set(keys(found))
        assert found.shape == (count, n)
        assert len(names) == count
        assert not found[0].any()
        assert found[1].all()
        assert sum(key not in names for key in keys(~found)) == count % 2


def test_sizes_are_uniform_over_the_layers_that_are_not_full():
    sizes = np.bincount(first_design(12, 200, np.random.default_rng(0)).sum(1), minlength=13)
    full = np.array([comb(12, k) for k in range(13)])
    assert (sizes[:2] == full[:2]).all()
    assert np.ptp(sizes[2:-2]) <= 2


def test_candidates_are_new_and_distinct():
    rng = np.random.default_rng(0)
    for n, name in [(6, "SII"), (13, "STII"), (57, "SII"), (57, "Moebius"), (30, "BII")]:
        seen = first_design(n, 48, rng)
        measure = measures(index(name), n)[1]
        found = candidates(n, measure, set(keys(seen)), 500, rng)
        assert len(set(keys(found)) | set(keys(seen))) == len(found) + len(seen)
        assert len(found) >= min(120, 2**n - 48)


def test_few_players_have_every_other_coalition_as_candidate():
    seen = set(keys(all_coalitions(7)[:100]))
    found = candidates(7, measures(index("SII"), 7)[1], seen, 500, np.random.default_rng(0))
    assert len(found) == 28


def test_pairs_across_parts_are_wanted_or_all_pairs_of_one_part():
    i, j = wanted_pairs(Players.abstract({"a": 2, "b": 1, "c": 2}))
    assert list(zip(i.tolist(), j.tolist(), strict=True)) == [
        (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4),
    ]  # fmt: skip
    assert len(wanted_pairs(Players.abstract({"a": 4}))[0]) == 6


@pytest.mark.parametrize("parts", [{"a": 4, "b": 3}, {"a": 15, "b": 10}])  # 12 pairs; 150, projected
def test_the_chosen_batch_lowers_the_errors_of_the_wanted_pairs_more_than_chance(parts):
    players = Players.abstract(parts)
    n, sii = len(players), index("SII")
    rng = np.random.default_rng(0)
    kernel = Kernel(rng.uniform(0.01, 0.5, n), np.zeros(MEMBERS), np.zeros((2, n)))
    start = first_design(n, 30, rng)
    pairs = wanted_pairs(players)

    def total(coalitions):
        posterior = Posterior(kernel, coalitions.astype(float), coalitions.sum(1).astype(float))
        return float(((errors(posterior, sii)[1][pairs] / posterior.scale) ** 2).sum())

    posterior = Posterior(kernel, start.astype(float), start.sum(1).astype(float))
    measure = measures(sii, n)[1]
    among = candidates(n, measure, set(keys(start)), 400, rng)
    batch = Chooser(pairs).batch(LinearReader(posterior, sii), among, 20, rng)
    assert len(set(keys(batch))) == 20
    by_chance = [total(np.concatenate([start, among[rng.permutation(len(among))[:20]]])) for _ in range(5)]
    assert total(np.concatenate([start, batch])) < min(by_chance)


def test_the_first_choice_is_the_best_single_coalition():
    """Greedy step against brute force: the posterior with each candidate added."""
    n, sii = 5, index("SII")
    rng = np.random.default_rng(1)
    kernel = Kernel(rng.uniform(0.05, 0.5, n), np.zeros(MEMBERS), np.zeros((2, n)), -6.0)
    every = all_coalitions(n)[rng.permutation(32)]
    start, among = every[:8], every[8:]
    pairs = wanted_pairs(Players.abstract({"a": 3, "b": 2}))

    def total(coalitions):
        posterior = Posterior(kernel, coalitions.astype(float), np.arange(len(coalitions), dtype=float))
        return float(((errors(posterior, sii)[1][pairs] / posterior.scale) ** 2).sum())

    posterior = Posterior(kernel, start.astype(float), np.arange(8.0))
    batch = Chooser(pairs).batch(LinearReader(posterior, sii), among, 2, rng)
    best = min(range(len(among)), key=lambda k: total(np.concatenate([start, among[[k]]])))
    np.testing.assert_array_equal(batch[0], among[best])
    rest = [k for k in range(len(among)) if k != best]
    second = min(rest, key=lambda k: total(np.concatenate([start, batch[:1], among[[k]]])))
    np.testing.assert_array_equal(batch[1], among[second])
