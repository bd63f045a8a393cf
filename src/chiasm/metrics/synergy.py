"""Synergistic Faithfulness F_syn (Ky, Ghamizi & Cordy 2026): do the top players of several parts need each other?

At each fraction k the top players of a part are one macro-player. Their synergy before a background B of the others is
the discrete derivative Δ(B) = Σ_Q (−1)^(m−|Q|) v(B ∪ the macro-players of Q), over the subsets Q of the m parts. For
two parts and all players in them, Δ(∅) is the paper's S_ins and Δ(the rest) its S_del:

    S_ins(k) = v(I_k,T_k) − v(I_k,∅) − v(∅,T_k) + v(∅,∅)
    S_del(k) = v(I∖I_k,T∖T_k) − v(I∖I_k,T) − v(I,T∖T_k) + v(I,T)
    F_syn    = ∫ ½ [clip₀¹(S_ins/Z) + clip₀¹(S_del/Z)] dk,  Z = max(|v(I,T) − v(∅,∅)|, floor), floor 0.05

The Shapley interaction index of the macro-players is ∫ E[Δ(B)] dq, B holding each of the others with probability q.
S_ins and S_del are its integrand at q = 0 and q = 1; `FSynMid` adds q = ½ with Simpson's weights 1:4:1, which is exact
for games of order 5; `FSynExact` takes the integral itself, with the background dealt into a few groups. With more
than two parts the others are background too: absent in S_ins and present in S_del.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, all_coalitions
from chiasm.core.errors import InvalidInput, MissingCapability, UnknownName
from chiasm.core.indices import uniform
from chiasm.metrics.base import About, Case, Floats, Score, count_distinct
from chiasm.metrics.orders import Counting, area, part_ranks, spread, tops

_SOURCE: Final = "Ky, Ghamizi & Cordy 2026"


@dataclass(frozen=True, eq=False)
class Design:
    """Coalitions of the derivatives of macro-players.

    Attributes:
        coalitions: ``bool[orders, steps + 1, backgrounds, 2^m, n]``.
        signs: ``float64[2^m]``.
    """

    coalitions: Coalitions
    signs: Floats

    def derivatives(self, case: Case) -> Floats:
        """Δ(B): ``float64[orders, steps + 1, backgrounds]``."""
        return np.asarray(case.probabilities(self.coalitions) @ self.signs, np.float64)


@dataclass(frozen=True)
class _Synergy:
    """What the forms of F_syn share.

    Attributes:
        parts: which parts' macro-players; by default every pair of parts (and their mean) and, if there are more than
            two, the joint derivative of all.
        steps: steps of k.
        counting: ``"part"``: the fraction k of each part; ``"joint"``: of all players, ranked together.
        floor: least Z, in units of the target.
        ties: orders of tied players that are averaged.
    """

    parts: tuple[str, ...] | None = None
    steps: int = 10
    counting: Counting = "part"
    floor: float = 0.05
    ties: int = 4

    def tuples(self, case: Case) -> list[tuple[str, ...]]:
        """The sets of parts that are scored, pairs first.

        Raises:
            MissingCapability: fewer than two parts have players.
            UnknownName: a part that the game lacks.
            InvalidInput: fewer than two parts are asked for, or a part twice.
        """
        there = case.parts
        if len(there) < 2:
            raise MissingCapability(f"F_syn needs two parts with players; there is {', '.join(there)} alone.")
        if self.parts is None:
            pairs: list[tuple[str, ...]] = list(combinations(there, 2))
            return [*pairs, tuple(there)] if len(there) > 2 else pairs
        for name in self.parts:
            if name not in there:
                raise UnknownName("part", name, there)
        if len(set(self.parts)) != len(self.parts) or len(self.parts) < 2:
            raise InvalidInput(f"F_syn needs two different parts or more; got {self.parts}.")
        return [self.parts]

    def bits(self, case: Case, orders: int) -> NDArray[np.bool_]:
        """Which background groups are present: ``bool[orders, steps + 1, backgrounds, groups]``."""
        del case
        ends = np.array([[False], [True]])
        return np.broadcast_to(ends, (orders, self.steps + 1, 2, 1))

    def designs(self, case: Case) -> dict[tuple[str, ...], Design]:
        """The coalitions for each set of parts."""
        top = tops(case, steps=self.steps, counting=self.counting, ties=self.ties)
        bits = self.bits(case, len(top))
        dealt = _dealt(case, top, bits.shape[-1], self.ties)
        return {names: _design(case, names, top, bits, dealt) for names in self.tuples(case)}

    def coalitions(self, case: Case) -> Coalitions:
        """See `chiasm.metrics.base.Metric`."""
        n = case.game.n
        ends = np.array([np.zeros(n, bool), np.ones(n, bool)])
        return np.concatenate([ends, *(d.coalitions.reshape(-1, n) for d in self.designs(case).values())])

    def normaliser(self, case: Case) -> float:
        """Z."""
        empty, full = case.probabilities(np.array([np.zeros(case.game.n, bool), np.ones(case.game.n, bool)]))
        return max(abs(float(full - empty)), self.floor)

    def notes(self, case: Case) -> tuple[str, ...]:
        """What the scale of the game means for Z."""
        if case.game.scale in ("probability", "log_probability"):
            return ()
        return (f"the target is a {case.game.scale}, for which Z ≥ {self.floor:g} was not meant",)

    def _score(self, case: Case, found: dict[str, Floats], extra: dict[str, float], used: Coalitions) -> Score:
        """Scores by set of parts, ``float64[orders]`` each, to one score: the mean over the pairs."""
        pairs = [value for name, value in found.items() if name.count(" × ") == 1] or list(found.values())
        main = np.mean(pairs, axis=0)
        named = {name: float(value.mean()) for name, value in found.items()} if len(found) > 1 else {}
        name = "mean of pairs" if len(pairs) > 1 else next(iter(found))
        return Score(
            {name: float(main.mean()), **{k: v for k, v in named.items() if k != name}, **extra},
            error=spread(main),
            notes=self.notes(case),
            values_used=count_distinct(used),
        )


@dataclass(frozen=True)
class FSyn(_Synergy):
    """F_syn as published, or signed.

    Attributes:
        form: ``"clipped"`` as published, or ``"signed"``: without the clip, so that redundancy shows as a negative.
    """

    form: Literal["clipped", "signed"] = "clipped"

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        cost = "42 (players 16 + 4) to 58 a pair of parts"
        if self.form == "clipped":
            line = "synergy of the top players of two parts, added to nothing and taken from everything; as published"
            return About("f_syn", line, "single", "higher", 0, 1, cost, _SOURCE, ("game",))
        line = "the same without the clip: below 0 the top players of two parts are redundant"
        return About(
            "f_syn_signed", line, "single", "higher", -np.inf, np.inf, cost, f"ours, after {_SOURCE}", ("game",)
        )

    def score(self, case: Case) -> Score:
        """Insertion and deletion halves are among the values."""
        z = self.normaliser(case)
        found, extra = {}, {}
        for names, design in self.designs(case).items():
            raw = design.derivatives(case) / z
            halves = area(raw if self.form == "signed" else np.clip(raw, 0, 1), axis=1)  # [orders, 2]
            name = " × ".join(names)
            found[name] = halves.mean(axis=1)
            for k, half in enumerate(("insertion", "deletion")):
                extra[f"{name}, {half}"] = float(halves[:, k].mean())
        return self._score(case, found, extra, self.coalitions(case))


@dataclass(frozen=True)
class FSynMid(_Synergy):
    """F_syn with the middle context.

    Attributes:
        draws: random backgrounds at q = ½ for each step, in pairs that are each other's complement; ``"all"`` takes
            every one of the 2^groups, so that games of order 5 in macro-players and groups are exact.
        groups: groups that the background players are dealt into.
        every: the middle context is asked for at every so many steps; in between, what sets it apart from the mean of
            the two ends is interpolated. 2 asks for a third less, and is less close (docs: studies, F_syn).
    """

    draws: int | Literal["all"] = 2
    groups: int = 6
    every: int = 1

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "synergy of the top players of two parts in the empty, half and full context (weights 1:4:1)"
        cost = "102 (players 16 + 4) to 128 a pair of parts"
        return About("f_syn_mid", line, "single", "higher", -np.inf, np.inf, cost, f"ours, after {_SOURCE}", ("game",))

    def bits(self, case: Case, orders: int) -> NDArray[np.bool_]:
        """Empty, full, then the drawn ones; the same for every explanation of the sample."""
        if self.draws != "all" and (self.draws < 2 or self.draws % 2):
            raise InvalidInput(f"Middle contexts are drawn in pairs; draws is {self.draws!r}, give 2, 4, … or 'all'.")
        shape = (orders, self.steps + 1)
        if self.draws == "all":
            middle = np.broadcast_to(all_coalitions(self.groups), (*shape, 2**self.groups, self.groups))
        else:
            rng = np.random.default_rng([case.seed, 0x51D])
            half = rng.random((self.steps + 1, self.draws // 2, self.groups)) < 0.5
            middle = np.broadcast_to(np.concatenate([half, ~half], axis=1), (*shape, self.draws, self.groups))
        middle = middle & self._measured()[:, None, None]  # elsewhere empty, a context that is asked for anyway
        ends = np.zeros((*shape, 2, self.groups), bool)
        ends[:, :, 1] = True
        return np.concatenate([ends, middle], axis=2)

    def _measured(self) -> NDArray[np.bool_]:
        """Steps at which the middle context is asked for, the last one among them (at the first, Δ is 0)."""
        if self.every < 1:
            raise InvalidInput(f"The middle context is asked for at every step or so many; every is {self.every}.")
        step = np.arange(self.steps + 1)
        return np.asarray((step % self.every == 0) | (step == self.steps))

    def score(self, case: Case) -> Score:
        """The clipped score and the middle context alone are among the values."""
        z, steps, measured = self.normaliser(case), np.arange(self.steps + 1), self._measured()
        found, extra = {}, {}
        for names, design in self.designs(case).items():
            raw = design.derivatives(case) / z
            ends = (raw[:, :, 0] + raw[:, :, 1]) / 2
            apart = raw[:, :, 2:].mean(axis=2) - ends
            apart = np.array([np.interp(steps, steps[measured], one[measured]) for one in apart])
            index, middle = ends + 2 / 3 * apart, ends + apart  # (1 : 4 : 1)/6 of empty, middle, full
            name = " × ".join(names)
            found[name] = area(index, axis=1)
            extra[f"{name}, middle"] = float(area(middle, axis=1).mean())
            extra[f"{name}, clipped"] = float(area(np.clip(index, 0, 1), axis=1).mean())
        return self._score(case, found, extra, self.coalitions(case))


@dataclass(frozen=True)
class FSynExact(_Synergy):
    """The reference of F_syn: the exact Shapley interaction index of the macro-game at each step.

    Attributes:
        groups: groups that the background players are dealt into; 2^(groups + 2) values a step and pair of parts.
    """

    groups: int = 6

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "exact Shapley interaction of the top players of two parts, the others dealt into 6 groups"
        cost = "256 a step and pair of parts: 1,400 (players 16 + 4) to 2,200"
        return About("f_syn_exact", line, "single", "higher", -np.inf, np.inf, cost, _SOURCE, ("game",))

    def bits(self, case: Case, orders: int) -> NDArray[np.bool_]:
        """All coalitions of the groups."""
        del case
        return np.broadcast_to(all_coalitions(self.groups), (orders, self.steps + 1, 2**self.groups, self.groups))

    def indices(self, case: Case) -> dict[tuple[str, ...], Floats]:
        """SII of the macro-players at each step, in units of the target: ``float64[orders, steps + 1]``."""
        sizes = all_coalitions(self.groups).sum(axis=1)
        weights = np.array([uniform(int(size), self.groups) for size in sizes])
        return {names: design.derivatives(case) @ weights for names, design in self.designs(case).items()}

    def score(self, case: Case) -> Score:
        """The clipped score is among the values."""
        z = self.normaliser(case)
        found, extra = {}, {}
        for names, index in self.indices(case).items():
            name = " × ".join(names)
            found[name] = area(index / z, axis=1)
            extra[f"{name}, clipped"] = float(area(np.clip(index / z, 0, 1), axis=1).mean())
        return self._score(case, found, extra, self.coalitions(case))


def _dealt(case: Case, top: NDArray[np.bool_], groups: int, ties: int) -> NDArray[np.int64]:
    """Random order of the players in which the background is dealt into groups, ``int64[orders, n]``.

    It goes by a player's place within its part and not by its index, so that the order in which players are written
    down changes nothing.
    """
    if groups == 1:
        return np.zeros((len(top), case.game.n), np.int64)
    place = part_ranks(case, case.seed, ties)
    slices = [case.game.players.slices[name] for name in case.parts]
    start = np.concatenate([np.full(where.stop - where.start, where.start) for where in slices])
    shuffled = np.random.default_rng([case.seed, case.game.n, 0xDEA1]).permutation(case.game.n)
    dealt = shuffled[place[: len(top)] + start]  # where players of different parts alone are tied, one order serves all
    return np.broadcast_to(dealt, (len(top), case.game.n))


def _design(
    case: Case, names: tuple[str, ...], top: NDArray[np.bool_], bits: NDArray[np.bool_], dealt: NDArray[np.int64]
) -> Design:
    """The coalitions of one set of parts.

    Args:
        case: the explanation.
        names: the parts whose top players are macro-players.
        top: ``bool[orders, steps + 1, n]``.
        bits: ``bool[orders, steps + 1, backgrounds, groups]``.
        dealt: ``int64[orders, n]``.
    """
    macro = np.stack([top & case.members(name) for name in names])  # [m, orders, steps + 1, n]
    rest = np.logical_not(macro.any(axis=0))
    order = np.argsort(dealt, axis=1)[:, None]
    seen = np.cumsum(np.take_along_axis(rest, np.broadcast_to(order, rest.shape), axis=2), axis=2) - 1
    group = np.empty(rest.shape, np.int64)
    np.put_along_axis(group, np.broadcast_to(order, rest.shape), seen % bits.shape[-1], axis=2)
    index = np.broadcast_to(group[:, :, None], (*bits.shape[:3], case.game.n))
    background = np.take_along_axis(bits, index, axis=3) & rest[:, :, None]
    subsets = all_coalitions(len(names))  # [2^m, m]
    added = np.einsum("qm,mokn->okqn", subsets.astype(np.int64), macro.astype(np.int64)) > 0
    signs = (-1.0) ** (len(names) - subsets.sum(axis=1))
    coalitions = background[:, :, :, None] | added[:, :, None]
    coalitions[~macro.any(axis=-1).all(axis=0)] = False  # an empty macro-player has no synergy: nothing need be asked
    return Design(coalitions, signs)


F_SYN: Final = FSyn()
F_SYN_SIGNED: Final = FSyn(form="signed")
F_SYN_MID: Final = FSynMid()
F_SYN_EXACT: Final = FSynExact()
