"""EMAP's projection against its own definition: the least-squares fit of a sum over parts."""

from __future__ import annotations

import numpy as np
import pytest

from chiasm.audits.projection import additive_projection, emap_gap
from chiasm.core.errors import InvalidInput


@pytest.mark.parametrize("parts", [2, 3])
def test_it_is_the_least_squares_fit_of_an_additive_function(parts: int) -> None:
    n = 4
    grid = np.random.default_rng(parts).normal(size=(*[n] * parts, 1))
    places = np.indices([n] * parts).reshape(parts, -1).T
    design = np.concatenate([np.eye(n)[places[:, part]] for part in range(parts)], axis=1)
    fit = design @ np.linalg.lstsq(design, grid.ravel(), rcond=None)[0]
    same = (places == places[:, :1]).all(axis=1)
    assert additive_projection(grid)[:, 0] == pytest.approx(fit[same])


def test_an_additive_model_loses_nothing_and_an_exclusive_or_all() -> None:
    a, b = np.tile([0, 0, 1, 1], 10), np.tile([0, 1, 0, 1], 10)
    additive = (a[:, None] + b[None])[:, :, None] * np.array([-1.0, 1.0]) + np.array([1.5, -1.5])
    found = emap_gap(additive, (a & b))
    assert (found.accuracy, found.additive, found.changed, found.gap) == (1.0, 1.0, 0.0, 0.0)
    exclusive = (a[:, None] ^ b[None])[:, :, None] * np.array([-2.0, 2.0]) + np.array([1.1, -1.0])
    found = emap_gap(exclusive, a ^ b)
    assert found.accuracy == 1.0
    assert (found.additive, found.changed, found.gap) == (0.5, 0.5, 0.5)


def test_bad_grids_are_refused() -> None:
    with pytest.raises(InvalidInput, match="axis of N samples"):
        additive_projection(np.zeros((3, 4, 2)))
    with pytest.raises(InvalidInput, match="labels"):
        emap_gap(np.zeros((3, 3, 2)), [0, 1])
