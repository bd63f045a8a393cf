"""A cooperative game: coalitions in, values of the target out; batched, cached and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, all_coalitions, distinct, keys
from chiasm.core.errors import BudgetTooSmall, InvalidInput, ModelError
from chiasm.core.players import PlayerId, Players
from chiasm.core.target import Scale

#: coalitions ``bool[batch, n]`` → values ``float[batch]``
ValueFunction = Callable[[Coalitions], NDArray[Any]]
#: players (or whole parts) held present (True) or absent (False) while the others are explained
Fixed = Mapping[str | PlayerId, bool]


@dataclass(frozen=True)
class Costs:
    """What values cost, in units of one plain forward pass of the model.

    The cost of some coalitions is ``cell`` for each, and ``encode[part]`` for each distinct choice of that part's
    players: a dual encoder pays for its towers and next to nothing for a cell, a fusion encoder for cells alone.

    Attributes:
        encode: part → cost of one distinct coalition of its players.
        cell: cost of one coalition when its parts are encoded.
    """

    encode: Mapping[str, float] = field(default_factory=dict)
    cell: float = 1.0


class Memory(Protocol):
    """Values that outlive a game, such as those of an earlier run."""

    def get(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """``bool[batch, players]``, fixed players included → ``float64[batch]``, NaN where nothing is known."""
        ...

    def put(self, coalitions: Coalitions, values: NDArray[np.float64]) -> None:
        """Remember values."""
        ...


@dataclass
class Counts:
    """What a game was asked for.

    Attributes:
        requested: values asked for, duplicates included.
        cached: values that were answered from memory.
        computed: values that the value function was called for: the cost of an explanation.
        passes: what those cost, in plain forward passes of the model, by its `Costs`.
    """

    requested: int = 0
    cached: int = 0
    computed: int = 0
    passes: float = 0.0


class Game:
    """Values of coalitions of players.

    The value function sees distinct coalitions only, in batches of at most ``batch_size``; everything is
    remembered, so that asking twice costs nothing.

    Args:
        values: value function over ALL players, the fixed ones included.
        players: all players.
        fixed: whole parts (by name) or single players (by ``(part, index)``) that are held present or absent.
        batch_size: largest batch that the value function is given.
        scale: of the values; an estimator may make use of it that a probability has a logit.
        memory: values known from before; they are asked for first, count as cached, and new ones are added.
        on_batch: called after each batch, for progress displays.

    Attributes:
        costs: what values cost, as the value function says (``values.costs``), else one pass each.

    Raises:
        InvalidInput: every player is fixed, something else than a part or a player is, or the batch size is not a
            positive whole number.
    """

    def __init__(
        self,
        values: ValueFunction,
        players: Players,
        *,
        fixed: Fixed | None = None,
        batch_size: int = 256,
        scale: Scale = "value",
        memory: Memory | None = None,
        on_batch: Callable[[Counts], None] | None = None,
    ) -> None:
        """Set up an empty cache."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise InvalidInput(f"The batch size is {batch_size!r}; give a whole number of at least 1.")
        self._values = values
        self.all_players = players
        self.fixed = dict(fixed or {})
        self._background = np.zeros(len(players), bool)
        self._free = np.ones(len(players), bool)
        # Parts first, so that a single player may differ from the rest of its part.
        for which, present in sorted(self.fixed.items(), key=lambda item: not isinstance(item[0], str)):
            where = _place(players, which, present)
            self._background[where] = present
            self._free[where] = False
        self.players = players.subset(self._free)
        self.batch_size = batch_size
        self.scale: Scale = scale
        self.costs: Costs = getattr(values, "costs", Costs())
        self._encoded: dict[str, set[bytes]] = {part: set() for part in self.costs.encode if part in players.parts}
        self._memory = memory
        self.on_batch = on_batch
        self.counts = Counts()
        self._cache: dict[bytes, float] = {}
        self._limit: int | None = None

    @property
    def n(self) -> int:
        """Number of free players."""
        return len(self.players)

    @property
    def values_per_call(self) -> int:
        """How many values one call of the value function may give: a good size for an estimator's step."""
        return self.batch_size

    def expand(self, coalitions: Coalitions) -> Coalitions:
        """Coalitions of the free players ``bool[b, n]`` → of all players, the fixed ones filled in."""
        whole = np.broadcast_to(self._background, (len(coalitions), len(self._background))).copy()
        whole[:, self._free] = coalitions
        return whole

    def __call__(self, coalitions: NDArray[Any]) -> NDArray[np.float64]:
        """Values of a batch of coalitions of the free players.

        Args:
            coalitions: ``bool[batch, n]`` (0/1 integers are taken too).

        Returns:
            ``float64[batch]``.

        Raises:
            InvalidInput: wrong shape.
            BudgetTooSmall: the batch needs more new values than the budget in force leaves.
            ModelError: the value function gave a number that is not finite, or not one number a coalition.
        """
        coalitions = np.atleast_2d(np.asarray(coalitions)).astype(bool)
        if coalitions.ndim != 2 or coalitions.shape[1] != self.n:
            raise InvalidInput(f"Coalitions have shape {coalitions.shape}; this game needs (batch, {self.n}).")
        names = keys(coalitions)
        self._remember(coalitions, names)
        unknown = np.array([k for k, name in enumerate(names) if name not in self._cache], np.intp)
        if len(unknown):
            first, _ = distinct(coalitions[unknown])
            self._compute(coalitions[unknown[first]])
        self.counts.requested += len(names)
        self.counts.cached = self.counts.requested - self.counts.computed
        return np.array([self._cache[name] for name in names], np.float64)

    def _remember(self, coalitions: Coalitions, names: list[bytes]) -> None:
        """Take over what the memory knows of coalitions that are not in the cache."""
        if self._memory is None:
            return
        unknown = [k for k, name in enumerate(names) if name not in self._cache]
        if unknown:
            values = self._memory.get(self.expand(coalitions[unknown]))
            known = zip(unknown, values.tolist(), np.isfinite(values).tolist(), strict=True)
            self._cache.update({names[k]: value for k, value, there in known if there})

    def _compute(self, coalitions: Coalitions) -> None:
        if self._limit is not None and self.counts.computed + len(coalitions) > self._limit:
            left = self._limit - self.counts.computed
            raise BudgetTooSmall(f"{len(coalitions)} new values are needed and the budget leaves {left}.")
        coalitions = self._side_by_side(coalitions)
        for start in range(0, len(coalitions), self.batch_size):
            batch = coalitions[start : start + self.batch_size]
            whole = self.expand(batch)
            result = np.asarray(self._values(whole))
            if not np.issubdtype(result.dtype, np.number) and result.dtype != np.bool_:
                raise ModelError(f"The value function returned {result.dtype} values; it must return real numbers.")
            result = result.astype(np.float64)
            if result.shape != (len(batch),):
                raise ModelError(
                    f"The value function returned shape {result.shape} for {len(batch)} coalitions; "
                    f"it must return one number a coalition."
                )
            if not np.isfinite(result).all():
                bad = batch[~np.isfinite(result)][0]
                raise ModelError(
                    f"The value of a coalition of {int(bad.sum())} of {self.n} players is "
                    f"{result[~np.isfinite(result)][0]}; a model in half precision may overflow: load it in float32."
                )
            self._cache.update(zip(keys(batch), result.tolist(), strict=True))
            if self._memory is not None:
                self._memory.put(whole, result)
            self.counts.computed += len(batch)
            self.counts.passes += self._price(whole)
            if self.on_batch is not None:
                self.on_batch(self.counts)

    def _side_by_side(self, coalitions: Coalitions) -> Coalitions:
        """Coalitions that share the dearest encoding next to each other, so that one batch can make use of it."""
        part = max(self._encoded, key=lambda name: self.costs.encode[name], default=None)
        if part is None or len(coalitions) <= self.batch_size:
            return coalitions
        own = keys(self.expand(coalitions)[:, self.all_players.slices[part]])
        return coalitions[sorted(range(len(own)), key=own.__getitem__)]

    def _price(self, whole: Coalitions) -> float:
        """Passes that coalitions of all players cost, given what is encoded already."""
        total = self.costs.cell * len(whole)
        for part, seen in self._encoded.items():
            new = set(keys(whole[:, self.all_players.slices[part]])) - seen
            self._encoded[part] |= new
            total += self.costs.encode[part] * len(new)
        return total

    def known(self, coalitions: Coalitions) -> NDArray[np.bool_]:
        """For each coalition, whether its value is remembered (and so costs nothing)."""
        names = keys(coalitions)
        self._remember(coalitions, names)
        return np.array([name in self._cache for name in names], bool)

    def variances(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """Variances of the noise of values that were given, ``float64[batch]``: 0 unless the value function tells them.

        A value function whose values are drawn by chance (sampled answers) has a method ``variances`` of its own, of
        coalitions of all players ``bool[batch, all players]`` whose values it gave.

        Raises:
            ModelError: it tells variances that are negative, not finite, or not one for each coalition.
        """
        tell = getattr(self._values, "variances", None)
        if tell is None:
            return np.zeros(len(coalitions))
        found = np.asarray(tell(self.expand(np.asarray(coalitions, bool))), np.float64)
        if found.shape != (len(coalitions),) or not np.isfinite(found).all() or (found < 0).any():
            raise ModelError(
                f"The value function told variances of shape {found.shape}, least {found.min(initial=0.0)}; it must "
                f"tell one number of at least 0 for each of {len(coalitions)} coalitions."
            )
        return found

    @contextmanager
    def allowance(self, budget: int) -> Iterator[None]:
        """Within this block at most ``budget`` new values may be computed."""
        before = self._limit
        granted = self.counts.computed + budget
        self._limit = granted if before is None else min(before, granted)  # an inner grant cannot outgrow the outer
        try:
            yield
        finally:
            self._limit = before

    @property
    def budget_left(self) -> int | None:
        """New values that may still be computed, or ``None`` without a limit."""
        return None if self._limit is None else self._limit - self.counts.computed

    def empty(self) -> float:
        """Value with every free player absent."""
        return float(self(np.zeros((1, self.n), bool))[0])

    def full(self) -> float:
        """Value with every free player present."""
        return float(self(np.ones((1, self.n), bool))[0])

    def part_values(self) -> dict[tuple[str, ...], float]:
        """Values of all coalitions of whole parts, ``{(): …, ("a",): …, ("a", "b"): …}``; 2^P values."""
        names = [name for name, part in self.players.parts.items() if len(part)]
        table = all_coalitions(len(names))
        coalitions = np.zeros((len(table), self.n), bool)
        for column, name in enumerate(names):
            coalitions[:, self.players.slices[name]] = table[:, [column]]
        values = self(coalitions)
        return {
            tuple(name for name, present in zip(names, row, strict=True) if present): float(value)
            for row, value in zip(table, values, strict=True)
        }


def _place(players: Players, which: str | PlayerId, present: object) -> slice | int:
    """Where a fixed part or player stands in a coalition, checked."""
    if not isinstance(present, bool | np.bool_):
        raise InvalidInput(f"{which!r} is fixed as {present!r}; say True (present) or False (absent).")
    if isinstance(which, str):
        return players.slices[players[which].part]
    if not isinstance(which, tuple) or len(which) != 2 or not isinstance(which[1], int | np.integer):
        raise InvalidInput(f"Cannot fix {which!r}; name a part ('text') or a player (('text', 3)).")
    return players.position(which)
