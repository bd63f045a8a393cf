"""The conformance kit: Chiasm's estimators pass it, and it catches what it is meant to catch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from chiasm.core import indices
from chiasm.core.coalitions import all_coalitions
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.estimators import estimators
from chiasm.estimators.base import Estimate
from chiasm.testing import ConformanceError, check_estimator

OWN = ["exact", "permutation"]
PEERS = ["kernelshap-iq", "svarm-iq", "permutation-shapiq"]  # boosted trees take a second a fit: see test_shapiq_bridge


@pytest.mark.parametrize("name", [*OWN, *PEERS])
def test_registered_estimators_conform(name):
    if name in PEERS:
        pytest.importorskip("shapiq")
    check_estimator(estimators.get(name), repeats=2)


def test_every_registered_estimator_can_be_had_and_is_summarised():
    for name, entry in estimators.entries().items():
        estimator = estimators.get(name)
        assert estimator.name == name
        assert estimator.indices
        assert entry.summary


class Sound:
    """Everything at once: exact, and so right in every respect."""

    name = "sound"
    indices = ("SII",)

    def run(self, game, index, budget, seed):
        if index.name != "SII":
            raise InvalidInput(index.name)
        if budget < 2**game.n:
            raise BudgetTooSmall("all or nothing")
        single, pair = indices.exact(game(all_coalitions(game.n)), index)
        yield self.change(Estimate(single, pair, np.zeros_like(single), np.zeros_like(pair)), seed)

    def change(self, found, seed):
        del seed
        return found


def test_a_sound_estimator_passes():
    check_estimator(Sound())


def noisy(scale, claimed):
    def change(self, found, seed):
        n = len(found.single)
        rng = np.random.default_rng([seed, n])
        noise = np.triu(rng.normal(size=(n, n)), 1) * scale
        return Estimate(
            found.single + rng.normal(size=n) * scale,
            found.pair + noise + noise.T,
            np.full(n, claimed),
            np.where(np.eye(n), 0.0, claimed),
        )

    return change


class Unseeded:
    def __init__(self):
        self.runs = 0

    def __call__(self, found):
        self.runs += 1
        return replace(found, single=found.single + self.runs * 1e-9)


BROKEN = {
    "shapes": lambda self, e, s: replace(e, single=e.single[:-1]),
    "symmetric": lambda self, e, s: replace(e, pair=np.triu(e.pair)),
    "zero diagonal": lambda self, e, s: replace(e, pair=e.pair + np.eye(len(e.pair))),
    "finite": lambda self, e, s: replace(e, single=e.single * np.nan),
    "errors": lambda self, e, s: replace(e, single_errors=e.single_errors - 1),
    "zero error": lambda self, e, s: replace(e, single=e.single + 0.01),
    "converges": lambda self, e, s: replace(e, pair=-e.pair, single_errors=None, pair_errors=None),
    "calibrated": noisy(0.01, 0.001),
}


@pytest.mark.parametrize("failed", BROKEN)
def test_broken_numbers_are_caught(failed):
    broken = type("Broken", (Sound,), {"change": BROKEN[failed]})()
    with pytest.raises(ConformanceError, match=f"Estimator 'sound' fails '{failed}'") as caught:
        check_estimator(broken)
    assert caught.value.failed == failed
    assert isinstance(caught.value, AssertionError)


def test_errors_that_are_far_too_wide_are_caught():
    with pytest.raises(ConformanceError, match="calibrated"):
        check_estimator(type("Timid", (Sound,), {"change": noisy(0.001, 0.1)})())


def test_right_errors_pass():
    check_estimator(type("Noisy", (Sound,), {"change": noisy(0.01, 0.01)})())


def test_numbers_that_change_without_the_seed_are_caught():
    unseeded = Unseeded()
    broken = type("Unseeded", (Sound,), {"change": lambda self, e, s: unseeded(e)})()
    with pytest.raises(ConformanceError, match="same seed"):
        check_estimator(broken)


def test_misbehaviour_is_caught():
    class Silent(Sound):
        def run(self, game, index, budget, seed):
            for found in super().run(game, index, budget, seed):
                if game.n < 0:
                    yield found

    class Greedy(Sound):
        def run(self, game, index, budget, seed):
            yield from super().run(game, index, budget if budget < 32 else 2**game.n, seed)

    class Obliging(Sound):
        def run(self, game, index, budget, seed):
            return super().run(game, indices.index("SII"), budget, seed)

    class Careless(Sound):
        def run(self, game, index, budget, seed):
            return super().run(game, index, 2**game.n, seed)

    expected = {Silent: "yields", Greedy: "budget", Obliging: "unknown index refused", Careless: "budget"}
    for broken, failed in expected.items():
        with pytest.raises(ConformanceError, match=f"fails '{failed}'"):
            check_estimator(broken())


def test_an_estimator_that_gives_up_on_no_budget_is_caught():
    class Never(Sound):
        def run(self, game, index, budget, seed):
            if budget == 1:
                return iter([Estimate(np.zeros(game.n), np.zeros((game.n, game.n)))])
            return super().run(game, index, budget, seed)

    with pytest.raises(ConformanceError, match="small budget refused"):
        check_estimator(Never())
