"""Interactions of more than two: triples of players, whole parts, and whether pairs explain a game at all.

`triples` gives an index for sets of three players, `part_dividends` for any number of whole parts, and `explained` says
how much of the game's variance its values for single players and pairs account for on coalitions that they were not
made from. Where that is nearly all, there is nothing for triples to find.

The indices are those of `chiasm.estimators.derivatives`. STII and FSII of a triple are those whose top order is 3; they
differ from STII and FSII of pairs, whose top order is 2, and must not be added to them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, all_coalitions, distinct, of_size
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.core.indices import index as find_index
from chiasm.core.players import PlayerId, Players
from chiasm.estimators.derivatives import Derivatives, Ints, across_parts, rounds, sets_of, size_law
from chiasm.estimators.gp_triples import surrogate, triple_values
from chiasm.estimators.moderated import Means
from chiasm.estimators.support import MOST_ENUMERATED, MOST_VALUES, Purse, family, missing, rows

if TYPE_CHECKING:
    from chiasm.core.explanation import Explanation
    from chiasm.estimators.base import Estimate

Floats = NDArray[np.float64]
#: pairs or triples of players, each by part and index
Sets = Sequence[tuple[PlayerId, ...]]

#: values of one draw of a triple
_VALUES = 8
#: as for 'permutation': when nearly all values of a small game are remembered, stop after this many budgets of requests
_REPEATS = 4
#: triples that are asked for at most: beyond that, name the pairs they are to contain
_MOST_TRIPLES = 100_000
#: draws in search of coalitions that are not remembered, in units of those wanted; least that counts as fresh enough
_SEARCH, _LEAST_FRESH = 16, 16


@dataclass(frozen=True, eq=False)
class Triples:
    """Values of triples of players.

    Attributes:
        positions: columns of a coalition, ``int64[k, 3]``, increasing in each row.
        values: ``float64[k]``.
        errors: standard errors, ``float64[k]``; 0 where exact, NaN where there were too few draws to tell.
        all_players: whom the positions count.
        index: name of the index.
    """

    positions: Ints
    values: Floats
    errors: Floats
    all_players: Players
    index: str

    @property
    def players(self) -> list[tuple[PlayerId, ...]]:
        """Each triple by part and index."""
        ids = list(self.all_players)
        return [tuple(ids[i] for i in row) for row in self.positions]

    def strongest(self, count: int) -> Triples:
        """The triples of largest absolute value, the strongest first."""
        first = np.argsort(-np.abs(self.values), kind="stable")[:count]
        return Triples(self.positions[first], self.values[first], self.errors[first], self.all_players, self.index)


def triples(
    game: Game,
    index: str | Index = "SII",
    *,
    of: Sets | None = None,
    method: Literal["gp", "sampled"] = "gp",
    budget: int | None = None,
    seed: int = 0,
) -> Triples:
    """Interaction index of triples of players.

    Exact where the budget reaches for all 2^n values (n ≤ 20). Otherwise by one of two methods:

    * ``"gp"``: a Gaussian-process surrogate of the game has every triple in closed form
      (`chiasm.estimators.gp_triples`). Much closer at a scarce budget; its standard errors are model-based.
    * ``"sampled"``: each triple by itself, 8 values a draw, with sizes of its contexts spread evenly over the index's
      law; unbiased, with moderated standard errors (`chiasm.estimators.moderated`), which the even spread makes a
      little wide.

    Args:
        game: the game; values that it remembers cost nothing.
        index: SII, BII, WBII:p, STII or FSII of top order 3, or Moebius.
        of: triples, or pairs: then every triple that contains one of them (see `strongest_pairs`). By default all.
        method: where not all values can be had.
        budget: new values allowed, by default what `chiasm.estimate` takes.
        seed: the same seed gives the same numbers.

    Raises:
        InvalidInput: fewer than three players, an unknown index or method, sets of another size, over 100,000 triples,
            or over 8,192 values for ``"gp"``.
        UnknownName: a part that does not exist.
        BudgetTooSmall: neither all values, nor n + 2 (``"gp"``) or 8 for each triple (``"sampled"``), are within the
            budget.

    Example:
        >>> from chiasm.core.players import Players
        >>> both = Game(lambda s: s.all(axis=1).astype(float), Players.abstract({"image": 2, "text": 1}))
        >>> triples(both).players, triples(both).values
        ([(('image', 0), ('image', 1), ('text', 0))], array([1.]))
    """
    from chiasm.estimators.choice import default_budget, whole

    wanted, n = find_index(index), game.n
    chosen = _chosen(game.players, of)
    law = size_law(wanted, 3, n - 3)
    allowed = default_budget(n) if budget is None else whole("budget", budget, 1)
    if n <= MOST_ENUMERATED and missing(game) <= allowed:
        with game.allowance(allowed):
            table = np.concatenate([game(rows(k, min(k + 4096, 1 << n), n)) for k in range(0, 1 << n, 4096)])
        return Triples(chosen, exact_of(table, chosen, wanted), np.zeros(len(chosen)), game.players, wanted.name)
    _check(method, n, len(chosen), allowed)
    rng = np.random.default_rng([whole("seed", seed, 0), n])
    with game.allowance(allowed):
        if method == "gp":
            values, errors = triple_values(surrogate(game, allowed, rng), wanted, chosen)
        else:
            values, errors = _sampled(game, Derivatives(chosen, n, law, rng), allowed, rng, exact=law[0] == 1)
    return Triples(chosen, values, errors, game.players, wanted.name)


def _check(method: str, n: int, count: int, budget: int) -> None:
    """Refuse a method that does not exist, and a budget that is not for it."""
    if method not in ("gp", "sampled"):
        raise InvalidInput(f"The method of triples is {method!r}; it must be 'gp' or 'sampled'.")
    if method == "gp" and budget > MOST_VALUES:
        raise InvalidInput(f"'gp' takes at most {MOST_VALUES:,} values; lower the budget or use method='sampled'.")
    least = n + 2 if method == "gp" else _VALUES * count
    if budget < least:
        reason = f"{n} players" if method == "gp" else f"{count:,} triples, eight for each,"
        raise BudgetTooSmall(
            f"{reason} need at least {least:,} values of the game by the method {method!r}; the budget allows "
            f"{budget:,}. Raise it{'' if method == 'gp' else ', or name fewer triples or pairs in of='}."
        )


def _sampled(
    game: Game, draws: Derivatives, budget: int, rng: np.random.Generator, *, exact: bool
) -> tuple[Floats, Floats]:
    """Means and errors of draws; one draw of each is enough where every draw is the same."""
    purse, most_asked = Purse(game, budget), game.counts.requested + _REPEATS * budget
    part = np.repeat(np.arange(len(game.players.parts)), [len(p) for p in game.players.parts.values()])
    means = Means(np.unique(part[draws.sets], axis=0, return_inverse=True)[1].ravel())
    step, met = max(1, game.values_per_call // _VALUES), False
    while not (met and exact):
        for which in rounds(len(draws.sets), step, rng):
            some = which[: purse.left // _VALUES]
            if not len(some) or (met and game.counts.requested >= most_asked):
                return means.mean(), means.error()
            corners, _ = draws.draw(some)
            y, c = np.zeros(len(draws.sets)), np.zeros(len(draws.sets), np.int64)
            y[some] = game(corners.reshape(-1, game.n)).reshape(-1, _VALUES) @ draws.signs
            c[some] = 1
            means.add(y, c)
        met = True
    return means.mean(), np.zeros(len(draws.sets))


def _chosen(players: Players, of: Sets | None) -> Ints:
    """Positions of the triples that are wanted, each once, in order."""
    n = len(players)
    if n < 3:
        raise InvalidInput(f"Triples need three or more players; there are {n}.")
    if of is None:
        if comb(n, 3) > _MOST_TRIPLES:
            raise InvalidInput(f"{n} players have {comb(n, 3):,} triples; name in 'of' the pairs that they contain.")
        return sets_of(3, n)
    found: set[tuple[int, ...]] = set()
    for members in of:
        row = {players.position(player) for player in members}
        if len(row) not in (2, 3) or len(row) != len(members):
            raise InvalidInput(f"{members!r} is neither a pair nor a triple of different players (part, index).")
        missing_one = [()] if len(row) == 3 else [(k,) for k in range(n) if k not in row]
        found.update(tuple(sorted((*row, *rest))) for rest in missing_one)
    if not found or len(found) > _MOST_TRIPLES:
        raise InvalidInput(f"'of' asks for {len(found):,} triples; ask for 1 to {_MOST_TRIPLES:,}.")
    return np.array(sorted(found), np.int64)


def strongest_pairs(found: Estimate | Explanation, players: Players, count: int) -> list[tuple[PlayerId, PlayerId]]:
    """The pairs across parts (all pairs if one part has them all) of largest absolute value, for `triples`.

    Args:
        found: has ``pair``, ``float64[n, n]``; NaN counts for nothing.
        players: the free players of the game.
        count: how many.
    """
    if found.pair is None:
        raise InvalidInput("The explanation has no values of pairs; name the pairs yourself.")
    pairs = across_parts(players)
    size = np.nan_to_num(np.abs(found.pair[pairs[:, 0], pairs[:, 1]]))
    ids = list(players)
    return [(ids[i], ids[j]) for i, j in pairs[np.argsort(-size, kind="stable")[:count]]]


def exact_of(table: Floats, sets: Ints, index: str | Index) -> Floats:
    """Exact index values of sets of any one order, from all 2^n values.

    Args:
        table: ``float64[2**n]`` in the order of `chiasm.core.coalitions.all_coalitions`.
        sets: positions, ``int64[sets, order]``, without repeats in a row.
        index: for STII and FSII the one whose top order is that of the sets.

    Returns:
        ``float64[sets]``.
    """
    n, order = int(table.size).bit_length() - 1, sets.shape[1]
    law = size_law(find_index(index), order, n - order)
    size = np.zeros(1, np.int64)
    for _ in range(n - order):
        size = np.concatenate([size, size + 1])
    weight = (law / [comb(n - order, s) for s in range(n - order + 1)])[size]
    found = np.empty(len(sets))
    for k, members in enumerate(sets):
        derivative = table
        for i in sorted(members.tolist(), reverse=True):  # from the highest bit, so that the others keep their place
            halves = derivative.reshape(-1, 2, 1 << i)
            derivative = (halves[:, 1] - halves[:, 0]).ravel()
        found[k] = derivative @ weight
    return found


def part_dividends(
    part_values: Mapping[tuple[str, ...], float], index: str | Index = "Moebius"
) -> dict[tuple[str, ...], float]:
    """Joint interaction of whole parts, for every choice of one or more of the P parts; exact from the 2^P values.

    The last entry, that of all parts, is the order-P dividend: what only all of them together make.

    Args:
        part_values: `chiasm.core.game.Game.part_values`, or ``part_values`` of an explanation.
        index: ``"Moebius"`` (the dividend), ``"SII"``, ``"BII"`` or ``"WBII:p"`` of the game between parts.

    Returns:
        names of parts → value, in the order of size.

    Raises:
        InvalidInput: a value is missing, or an index whose value depends on its top order (STII, FSII).

    Example:
        >>> part_dividends({(): 0.0, ("image",): 0.25, ("text",): 0.25, ("image", "text"): 1.0})
        {('image',): 0.25, ('text',): 0.25, ('image', 'text'): 0.5}
    """
    wanted = find_index(index)
    if family(wanted) in ("STII", "FSII"):
        raise InvalidInput(f"{wanted.name} of parts depends on a top order; use Moebius, SII, BII or WBII:p.")
    names = max(part_values, key=len, default=())
    by_set = {frozenset(key): value for key, value in part_values.items()}
    coalitions = [frozenset(name for name, there in zip(names, row, strict=True) if there) for row in _table(names)]
    lacking = [sorted(one) for one in coalitions if one not in by_set]
    if lacking or not names or len(by_set) != len(coalitions):
        raise InvalidInput(
            f"Dividends of the parts {', '.join(names) or '(none)'} need the values of all {len(coalitions)} "
            f"coalitions of parts; there are {len(by_set)}{f', without {lacking[0]}' if lacking else ''}."
        )
    table = np.array([by_set[one] for one in coalitions], np.float64)
    found: dict[tuple[str, ...], float] = {}
    for order in range(1, len(names) + 1):
        values = exact_of(table, sets_of(order, len(names)), wanted)
        found.update(zip(combinations(names, order), values.tolist(), strict=True))
    return found


def _table(names: Sequence[str]) -> Coalitions:
    return all_coalitions(len(names))


@dataclass(frozen=True)
class Explained:
    """How much of a game single values and pairs account for.

    Attributes:
        r2: share of the variance, 1 − Var(v − v̂)/Var(v); below 0 where v̂ is worse than a constant, NaN where the
            game does not vary.
        error: standard error of that share (jackknife).
        values: coalitions that were compared.
        fresh: how many of them the game had not been asked for before.
    """

    r2: float
    error: float
    values: int
    fresh: int


def explained(
    game: Game, found: Estimate | Explanation, index: str | Index, *, budget: int = 256, seed: int = 0
) -> Explained:
    """Does order 2 explain the game? The share of its variance that single values and pairs account for.

    The values make a game of order 2 again (`second_order`), which is compared with the game on coalitions that it does
    not remember, of uniform sizes, or with each player present with chance p for BII (½) and WBII:p. A share near 1
    says that triples and above hardly matter. A low one says that they do OR that the values are off: with exact
    values, or standard errors that are small, it is the former. FSII is the index made for this.

    Args:
        game: the game.
        found: values of single players and pairs of it; a pair that is NaN counts as 0.
        index: which index they are.
        budget: new values allowed.
        seed: of the coalitions.

    Raises:
        InvalidInput: an index without a second-order game, or values without pairs.
        BudgetTooSmall: a budget below 16 where the game does not remember all its values.
    """
    wanted = find_index(index)
    coalitions, fresh = _fresh(game, wanted, budget, np.random.default_rng([seed, game.n]))
    with game.allowance(budget):
        values = game(coalitions)
    left = values - second_order(found, wanted, coalitions)
    m = len(values)
    # all sums without one row at once; about the mean, so that large constants cost no digits
    off, v = left - left.mean(), values - values.mean()
    without = [(np.sum(x**2) - x**2) - x**2 / (m - 1) for x in (off, v)]
    with np.errstate(invalid="ignore", divide="ignore"):
        r2 = 1 - np.sum(off**2) / np.sum(v**2)
        each = 1 - without[0] / without[1]
        error = np.sqrt((m - 1) / m * np.sum((each - each.mean()) ** 2))
    return Explained(float(r2), float(error), m, fresh)


def _fresh(game: Game, index: Index, budget: int, rng: np.random.Generator) -> tuple[Coalitions, int]:
    """Distinct coalitions that the game does not remember, or any where it remembers nearly all."""
    n = game.n
    law = size_law(index if family(index) in ("BII", "WBII") else find_index("SII"), 1, n)
    drawn = of_size(rng.choice(n + 1, size=_SEARCH * budget, p=law), n, rng)
    drawn = drawn[distinct(drawn)[0]]
    known = game.known(drawn)
    new = drawn[~known][:budget]
    if len(new) >= min(_LEAST_FRESH, budget) and budget >= _LEAST_FRESH:
        return new, len(new)
    if budget < _LEAST_FRESH and not known.all():
        raise BudgetTooSmall(f"A share of the variance needs {_LEAST_FRESH} or more new values; {budget} are allowed.")
    some = np.concatenate([drawn[known], new])
    return some, len(new)


def second_order(found: Estimate | Explanation, index: str | Index, coalitions: Coalitions) -> Floats:
    """The game of order 2 that values of single players and pairs stand for, up to a constant; ``float64[batch]``.

    ========================= ============================================================================
    SII                       Σ_i (φ_i − ½ Σ_j φ_ij) s_i + Σ_ij φ_ij s_i s_j, that is 2-SII (Bordt & von Luxburg 2023)
    FSII, STII, Moebius       Σ_i φ_i s_i + Σ_ij φ_ij s_i s_j
    BII (p = ½), WBII:p       Σ_i φ_i (s_i − p) + Σ_ij φ_ij (s_i − p)(s_j − p)
    ========================= ============================================================================
    """
    wanted = find_index(index)
    if found.pair is None:
        raise InvalidInput("The explanation has no values of pairs.")
    single, pair = found.single, np.nan_to_num(found.pair)
    head, _, tail = wanted.name.partition(":")
    if head not in ("SII", "FSII", "STII", "Moebius", "BII", "WBII"):
        raise InvalidInput(f"No game of order 2 is known for the index {wanted.name}.")
    p = float(tail or 0.5) if head in ("BII", "WBII") else 0.0
    if head == "SII":
        single = single - pair.sum(1) / 2
    x = coalitions - p
    return np.asarray(x @ single + ((x @ pair) * x).sum(1) / 2, np.float64)
