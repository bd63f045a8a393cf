"""From a game to an explanation: any estimator on any function of coalitions, no model needed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import comb
from typing import Any

import numpy as np

from chiasm.core.errors import BudgetSpent, BudgetTooSmall
from chiasm.core.explanation import Explanation, Prediction
from chiasm.core.game import Counts, Fixed, Game, ValueFunction
from chiasm.core.indices import Index
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.core.target import Scale
from chiasm.estimators import estimators
from chiasm.estimators.base import Estimate, Estimator
from chiasm.estimators.choice import allowed_values, choose, enough_for_gp, parse_method, whole
from chiasm.estimators.limits import Budget, Tolerance, Watch, across

#: more parts than this have no table of part values: 2^P values and 3^P terms are for eyes that will not read them
_MOST_PARTS = 10


def estimate(
    values: ValueFunction,
    parts: Mapping[str, int],
    *,
    index: str | Index = "SII",
    method: str = "auto",
    budget: int | str | Budget | None = None,
    tolerance: float | str | Tolerance | None = None,
    seed: int = 0,
    fixed: Fixed | None = None,
    batch_size: int = 256,
    scale: Scale = "value",
    progress: Callable[[Counts], None] | None = None,
) -> Explanation:
    """Single and pair values of any function of coalitions.

    Args:
        values: coalitions ``bool[batch, n]`` → ``float[batch]``; n players in the order of ``parts``.
        parts: name of each part → number of its players.
        index: ``"SII"``, ``"BII"``, ``"STII"``, ``"FSII"``, ``"Moebius"``, ``"WBII:p"``.
        method: an estimator (``chiasm list estimators``), ``"estimator-index"`` such as ``"permutation-bii"`` (an
            ``index`` other than SII must then agree), or ``"auto"``: exact where the budget allows, else as
            `chiasm.estimators.choice.choose` says.
        budget: distinct values that may be computed, those of whole parts included; a text for a time ("30s",
            "5min") or for passes of the model ("400 passes"). By default all 2^n or, for many players, three values
            for each single and pair value (2,048 to 8,192).
        tolerance: stop earlier, once every pair's 95 % interval is within ± 0.02 (say), "5%" of the whole effect, or
            "top3" pairs are told from the rest (`chiasm.estimators.limits.Tolerance`).
        seed: the same seed gives the same numbers.
        fixed: parts or players ``(part, index)`` that are held present (True) or absent (False).
        batch_size: largest batch that ``values`` is given.
        scale: what the values are; of a (log-)probability, ``gp`` makes use.
        progress: called with the counts after each batch.

    Returns:
        The explanation; ``provenance.method`` and ``provenance.notes`` tell what was chosen and why.

    Raises:
        UnknownName: no such estimator, index or part.
        InvalidInput: an option that cannot be used, or an index that the estimator does not serve.
        BudgetTooSmall: the budget is below what one estimate needs.
        ModelError: ``values`` returned something else than one finite number a coalition.
        MissingDependency: the estimator needs a package that is not installed.

    Example:
        >>> import numpy as np
        >>> both = lambda present: (present[:, 0] & present[:, 2]).astype(float)
        >>> estimate(both, {"image": 2, "text": 2}).interactions["image", "text"].round(6)
        array([[1., 0.],
               [0., 0.]])
    """
    game = Game(values, Players.abstract(parts), fixed=fixed, batch_size=batch_size, scale=scale, on_batch=progress)
    return explain_game(game, index=index, method=method, budget=budget, tolerance=tolerance, seed=seed)


def explain_game(
    game: Game,
    *,
    index: str | Index = "SII",
    method: str = "auto",
    budget: int | str | Budget | None = None,
    tolerance: float | str | Tolerance | None = None,
    seed: int = 0,
    provenance: Provenance | None = None,
    prediction: Prediction | None = None,
    on_estimate: Callable[[Estimate], None] | None = None,
) -> Explanation:
    """Run an estimator on a game. What every game-based explainer ends in.

    Values of whole parts count in the budget; where 2^P is over half of it or P > 10, they are left out with a note.

    Args:
        game: the game; values that it remembers cost nothing.
        index: as in `estimate`, like ``method``, ``budget``, ``tolerance`` and ``seed``.
        method: estimator or ``"auto"``.
        budget: what new values may cost.
        tolerance: when to stop before that.
        seed: of the estimator.
        provenance: what is known of model, target and masks; the rest is filled in here.
        prediction: the model's answer.
        on_estimate: called with each estimate; an exception that it raises ends the run.
    """
    started, before = time.perf_counter(), replace(game.counts)
    name, wanted = parse_method(method, index)
    seed = whole("seed", seed, 0)
    limit = None if budget is None else Budget.parse(budget)
    near = None if tolerance is None else Tolerance.parse(tolerance)
    given = provenance or Provenance(name, wanted.name)
    notes = list(given.notes)
    allowed = allowed_values(game, name, limit, seed)
    tried = game.counts.computed - before.computed  # to learn how long a value takes
    if limit is not None and limit.values is None:
        notes.append(f"budget: {limit.describe()}, enough for {tried + allowed:,} values")
    if name == "auto":
        name, why = choose(game.n, wanted, allowed, game.costs)
        notes.append(f"method: {name}, because {why}")
    estimator = estimators.get(name)
    watch = Watch(limit.seconds if limit else None, near, started)
    with game.allowance(allowed):
        found, part_values = _found_with_parts(
            game, estimator, wanted, watch, budget=allowed, seed=seed, on_estimate=on_estimate
        )
    notes += _shortcomings(game, name, found, allowed)
    if watch.why:
        notes.append(watch.why)
    elif near is not None:
        notes.append(f"the tolerance was not reached within the budget: {near.describe()}")
    if not part_values:
        notes.append(f"no values of whole parts: 2^P is over half of the budget, or there are over {_MOST_PARTS} parts")
    return Explanation(
        players=game.players,
        single=found.single,
        single_errors=found.single_errors,
        pair=found.pair,
        pair_errors=found.pair_errors,
        part_values=part_values,
        prediction=prediction,
        provenance=replace(
            given,
            method=name,
            index=wanted.name,
            fixed={_words(player): present for player, present in game.fixed.items()},
            budget=tried + allowed,
            seed=seed,
            seconds=time.perf_counter() - started,
            notes=notes,
            **_since(before, game.counts),
        ),
    )


def _shortcomings(game: Game, name: str, found: Estimate, budget: int) -> Iterator[str]:
    """What to know of an estimate that had too few values."""
    if name == "gp" and budget < enough_for_gp(game.n):
        least = enough_for_gp(game.n)
        yield f"with fewer than {least:,} values for {game.n} players the standard errors of gp are too small"
    values, _ = across(found, game.players)  # some estimators look at no others
    unmet = int(np.isnan(values).sum())
    if unmet:
        which = "pairs across parts" if len(values) < comb(game.n, 2) else "pairs"
        yield f"{unmet:,} of {len(values):,} {which} never met within the budget and have no value; raise it"


def _since(before: Counts, now: Counts) -> dict[str, Any]:
    """What was asked for between two moments, as fields of the provenance."""
    return {name: getattr(now, name) - getattr(before, name) for name in ("requested", "cached", "computed", "passes")}


def _found_with_parts(  # noqa: C901 - each way to stop has its branch
    game: Game,
    estimator: Estimator,
    index: Index,
    watch: Watch,
    *,
    budget: int,
    seed: int,
    on_estimate: Callable[[Estimate], None] | None,
) -> tuple[Estimate, dict[tuple[str, ...], float]]:
    """The last estimate and the values of whole parts (empty if too many), together within the budget."""
    parts = sum(len(part) > 0 for part in game.players.parts.values())
    spent = game.counts.computed
    enumerated = estimator.name == "exact"  # then every part value is among the values and free afterwards
    part_values: dict[tuple[str, ...], float] = {}
    if parts <= _MOST_PARTS and not enumerated and 1 << parts <= budget // 2:
        part_values = game.part_values()
    last = None
    taken = game.counts.computed - spent
    try:
        for estimate_so_far in estimator.run(game, index, budget - taken, seed):
            last = estimate_so_far
            if on_estimate is not None:
                on_estimate(last)
            if watch.enough(last, game):
                break
    except BudgetSpent as error:
        if last is None:
            raise
        watch.why = f"stopped early: {error}"
    except BudgetTooSmall as error:
        if taken:
            raise BudgetTooSmall(
                f"{error} ({taken} of the budget of {budget:,} went to values of whole parts.) Raise the budget."
            ) from error
        raise
    if last is None:
        raise BudgetTooSmall(f"The estimator {estimator.name!r} gave no estimate within {budget} values.")
    if parts <= _MOST_PARTS and enumerated:
        part_values = game.part_values()
    return last, part_values


def _words(player: str | tuple[str, int]) -> str:
    return player if isinstance(player, str) else f"{player[0]}[{player[1]}]"
