"""Partial information decomposition against distributions whose decomposition is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chiasm.audits.information import Pid, information, joint, pid
from chiasm.core.errors import InvalidInput
from chiasm.zoo.data import prior

SOLVERS = ("convex", "projections")


def function(decide: object) -> np.ndarray:
    table = np.zeros((2, 2, 2))
    for a, b in itertools.product((0, 1), repeat=2):
        table[a, b, decide(a, b)] += 0.25
    return table


AND = 0.75 * math.log2(4 / 3)  # 0.3113: what either bit tells of a ∧ b, all of it redundant
KNOWN = {
    "and": (function(lambda a, b: a & b), (AND, 0.0, 0.0, 0.5)),
    "xor": (function(lambda a, b: a ^ b), (0.0, 0.0, 0.0, 1.0)),
    "unique": (function(lambda a, b: a), (0.0, 1.0, 0.0, 0.0)),
    "redundant": (np.array([[[0.5, 0], [0, 0]], [[0, 0], [0, 0.5]]]), (1.0, 0.0, 0.0, 0.0)),
    "both": (np.full((2, 2, 1), 0.25), (0.0, 0.0, 0.0, 0.0)),
}


def as_tuple(found: Pid) -> tuple[float, ...]:
    return (found.redundancy, *found.unique, found.synergy)


@pytest.mark.parametrize("solver", SOLVERS)
@pytest.mark.parametrize("name", KNOWN)
def test_known_distributions(name: str, solver: str) -> None:
    table, expected = KNOWN[name]
    assert as_tuple(pid(table, solver)) == pytest.approx(expected, abs=1e-4)  # type: ignore[arg-type]


def prior_table(language: float, image: float) -> np.ndarray:
    """p(shape asked, colouring and frame, answer) of the prior data set, with the picture as one source."""
    table = np.zeros((4, 24 * 4, 4))
    orders = list(itertools.permutations(range(4)))
    for number, order in enumerate(orders):
        chance = (1 - language) / 24 + (language if order == (0, 1, 2, 3) else 0)
        for shape, frame in itertools.product(range(4), repeat=2):
            answer = order[shape]
            shown = image * (frame == answer) + (1 - image) / 4
            table[shape, number * 4 + frame, answer] += chance / 4 * shown
    return table


@pytest.mark.parametrize(("language", "image"), [(0.5, 0.2), (0.0, 0.0), (0.3, 0.9)])
def test_the_prior_data_set_has_the_decomposition_of_its_closed_form(language: float, image: float) -> None:
    truth, found = prior.pid(language, image), pid(prior_table(language, image))
    expected = (truth.redundancy, truth.unique["text"], truth.unique["image"], truth.synergy)
    assert as_tuple(found) == pytest.approx(expected, abs=1e-4)


@given(st.integers(0, 10_000))
def test_atoms_are_not_negative_and_sum_to_the_information_of_both(seed: int) -> None:
    table = np.random.default_rng(seed).dirichlet(np.full(24, 0.3)).reshape(4, 2, 3)
    found = pid(table)
    assert min(as_tuple(found)) >= -1e-6
    assert found.total == pytest.approx(information(table.reshape(8, 3)))
    assert found.redundancy + found.unique[0] == pytest.approx(information(table.sum(axis=1)))
    assert found.redundancy + found.unique[1] == pytest.approx(information(table.sum(axis=0)))


@given(st.integers(0, 10_000))
def test_sources_may_be_swapped_and_relabelled(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.dirichlet(np.full(18, 0.5)).reshape(3, 3, 2)
    one = as_tuple(pid(table))
    other = as_tuple(pid(table.transpose(1, 0, 2)[rng.permutation(3)][:, :, ::-1]))
    assert (other[0], other[2], other[1], other[3]) == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_both_solvers_agree(seed: int) -> None:
    table = np.random.default_rng(seed).dirichlet(np.full(10 * 9 * 4, 0.3)).reshape(10, 9, 4)
    assert as_tuple(pid(table, "projections")) == pytest.approx(as_tuple(pid(table, "convex")), abs=1e-3)


def test_labels_become_a_joint_distribution() -> None:
    table = joint(["a", "b", "a", "a"], [0, 0, 1, 0], ["x", "y", "x", "x"])
    assert table.shape == (2, 2, 2)
    assert table[0, 0, 0] == pytest.approx(0.5)
    assert table.sum() == pytest.approx(1)
    with pytest.raises(InvalidInput, match="one length"):
        joint([1, 2], [1], [1, 2])


@pytest.mark.parametrize("table", [np.ones((2, 2, 2)), np.ones((2, 2)) / 4, -np.ones((1, 1, 1))])
def test_what_is_no_distribution_is_refused(table: np.ndarray) -> None:
    with pytest.raises(InvalidInput, match="probabilities"):
        pid(table)
