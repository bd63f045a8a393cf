"""When an estimate is good enough or dear enough: budgets in values, seconds or passes, and tolerances."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import distinct, of_size
from chiasm.core.errors import InvalidInput
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.base import Estimate

#: 95 % of a normal distribution lie within so many standard deviations
_NORMAL = 1.96
_UNITS = {"": "values", "values": "values", "s": "seconds", "min": "minutes", "h": "hours", "passes": "passes"}
_SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0}
_SHOWN = "a number of values (512), a time ('30s', '5min', '1h') or a number of model passes ('400 passes')"


@dataclass(frozen=True)
class Budget:
    """What an explanation may cost; exactly one of the three is given.

    Attributes:
        values: distinct values of the game.
        seconds: wall time from the first value on, kept as well as the time of the next batch can be foretold.
        passes: forward passes of the model, in the units of `chiasm.core.game.Costs`.
    """

    values: int | None = None
    seconds: float | None = None
    passes: float | None = None

    @classmethod
    def parse(cls, budget: int | str | Budget) -> Budget:
        """Read a budget: 512, "512", "30s", "5min", "1h", "400 passes".

        Raises:
            InvalidInput: something else, or nothing to spend.
        """
        if isinstance(budget, Budget):
            return budget
        if isinstance(budget, int | np.integer) and not isinstance(budget, bool):
            return cls._of(float(budget), "values", budget)
        if not isinstance(budget, str):
            raise InvalidInput(f"The budget is {budget!r}; give {_SHOWN}.")
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", budget)
        if found is None or found[2] not in _UNITS:
            raise InvalidInput(f"The budget is {budget!r}; give {_SHOWN}.")
        return cls._of(float(found[1]), _UNITS[found[2]], budget)

    @classmethod
    def _of(cls, amount: float, unit: str, given: object) -> Budget:
        if unit in _SECONDS and amount > 0:
            return cls(seconds=amount * _SECONDS[unit])
        if unit == "passes" and amount > 0:
            return cls(passes=amount)
        if unit != "values" or amount != int(amount) or not 1 <= amount < 2**31:
            raise InvalidInput(
                f"The budget is {given!r}; it must be at least 1, and values are whole numbers below 2^31."
            )
        return cls(values=int(amount))

    def describe(self) -> str:
        """In words, for provenance and progress."""
        if self.seconds is not None:
            return f"{self.seconds:g} s"
        return f"{self.passes:g} passes" if self.passes is not None else f"{self.values:,} values"


@dataclass(frozen=True)
class Tolerance:
    """When an estimate of the pairs across parts is close enough; exactly one of the three is given.

    Attributes:
        width: every 95 % interval reaches at most so far to either side, in units of the value.
        share: the same, as a share of |v(all) − v(none)|.
        top: the k pairs of largest absolute value are those of largest value with 95 % confidence: the interval of
            the k-th and that of the next do not overlap.
    """

    width: float | None = None
    share: float | None = None
    top: int | None = None

    @classmethod
    def parse(cls, tolerance: float | str | Tolerance) -> Tolerance:
        """Read a tolerance: 0.02, "0.02", "5%", "top3".

        Raises:
            InvalidInput: something else, or nothing to reach.
        """
        if isinstance(tolerance, Tolerance):
            return tolerance
        text = str(tolerance).strip() if isinstance(tolerance, str | float | int | np.number) else ""
        found = re.fullmatch(r"(top)?\s*(\d*\.?\d+(?:e-?\d+)?)\s*(%)?", text)
        number = float(found[2]) if found else 0.0
        if found is None or isinstance(tolerance, bool) or number <= 0 or (found[1] and found[3]):
            raise InvalidInput(
                f"The tolerance is {tolerance!r}; give a half-width in units of the value (0.02), a share of the whole "
                f"effect ('5%'), or a number of pairs to be told from the rest ('top3')."
            )
        if found[1]:
            if number != int(number):
                raise InvalidInput(f"The tolerance is {tolerance!r}; the number of pairs is a whole one, e.g. 'top3'.")
            return cls(top=int(number))
        return cls(share=number / 100) if found[3] else cls(width=number)

    def describe(self) -> str:
        """In words, for provenance and progress."""
        if self.top is not None:
            return f"the {self.top} strongest pairs told from the rest"
        reach = f"{self.share:.3g} of |v(all) − v(none)|" if self.share is not None else f"{self.width:g}"
        return f"every pair's 95 % interval within ± {reach}"

    def met(self, estimate: Estimate, game: Game) -> bool:
        """Whether an estimate is close enough; never where it has no standard errors.

        Args:
            estimate: the estimate.
            game: where it comes from; v(∅) and v(N) are remembered by then.
        """
        values, errors = across(estimate, game.players)
        if not len(values) or not np.isfinite(errors).all():
            return False
        half = _NORMAL * errors
        if self.top is None:
            reach = self.share * abs(game.full() - game.empty()) if self.share is not None else self.width
            return bool(half.max() <= (reach or 0.0))
        if self.top >= len(values):
            return True
        order = np.argsort(-np.abs(values), kind="stable")
        first, rest = order[: self.top], order[self.top :]
        size = np.abs(values)
        return bool((size[first] - half[first]).min() > (size[rest] + half[rest]).max())


def across(estimate: Estimate, players: Players) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and standard errors of the pairs across parts (of all pairs, if there is one part), NaN where unknown."""
    part = np.concatenate([np.full(s.stop - s.start, k) for k, s in enumerate(players.slices.values())])
    i, j = np.triu_indices(len(part), 1)
    apart = part[i] != part[j]
    if apart.any():
        i, j = i[apart], j[apart]
    unknown = np.full(len(i), np.nan)
    return estimate.pair[i, j], unknown if estimate.pair_errors is None else estimate.pair_errors[i, j]


def half_width(estimate: Estimate, players: Players) -> float | None:
    """Largest half-width of the 95 % intervals of the pairs across parts; ``None`` without standard errors."""
    _, errors = across(estimate, players)
    return float(_NORMAL * errors.max()) if len(errors) and np.isfinite(errors).all() else None


#: share of a time that may go into finding out how long a value takes, and into values at all (the rest is estimation)
_TRIAL, _VALUES = 0.1, 0.8
#: coalitions of the largest trial
_MOST_TRIED = 256


def values_within(game: Game, seconds: float, seed: int) -> int:
    """How many values of a game a time is enough for, found out by trying some.

    The values that are tried are remembered; at least one batch is, whatever it takes.

    Args:
        game: the game.
        seconds: wall time.
        seed: of the coalitions that are tried.

    Returns:
        At least 1, beside those that were tried.
    """
    rng = np.random.default_rng([seed, game.n])
    game.empty(), game.full()  # the first call of a model takes longer than any other
    count, tried, spent = 8, 0, 0.0
    while True:
        drawn = of_size(rng.integers(0, game.n + 1, count), game.n, rng)
        drawn = drawn[distinct(drawn)[0]]
        drawn = drawn[~game.known(drawn)]
        started = time.perf_counter()
        if len(drawn):
            game(drawn)
        last = time.perf_counter() - started
        tried, spent = tried + len(drawn), spent + last
        if not len(drawn) or count >= _MOST_TRIED or spent + 2 * last > _TRIAL * seconds:
            break
        count *= 2
    per_value = spent / tried if tried else 0.0
    if per_value == 0.0:  # everything is known, or too fast to be timed
        return 2**31 - 1
    return max(1, int(min((_VALUES * seconds - spent) / per_value, 2**31 - 1)))


class Watch:
    """Says when to stop: where the time is over, or an estimate is close enough.

    Args:
        seconds: wall time, or ``None`` for any.
        tolerance: how close, or ``None`` for never.
        started: when the time began, as `time.perf_counter` says it.

    Attributes:
        why: the reason for stopping, in words, once there is one.
    """

    def __init__(self, seconds: float | None, tolerance: Tolerance | None, started: float) -> None:
        """Nothing has been seen yet."""
        self.seconds, self.tolerance = seconds, tolerance
        self.why: str | None = None
        self._started, self._last = started, time.perf_counter()

    def enough(self, estimate: Estimate, game: Game) -> bool:
        """Whether to stop at an estimate: it is close enough, or another step like the last would be too long."""
        now = time.perf_counter()
        step, self._last = now - self._last, now
        if self.tolerance is not None and self.tolerance.met(estimate, game):
            self.why = f"stopped early: {self.tolerance.describe()}"
        elif self.seconds is not None and now - self._started + step > self.seconds:
            self.why = f"stopped by the clock: the time of {self.seconds:g} s would not have lasted for another step"
        return self.why is not None
