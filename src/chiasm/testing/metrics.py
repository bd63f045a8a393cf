"""Does a metric keep its protocol?"""

from __future__ import annotations

from typing import Final, get_args

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, keys
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.core.players import Players
from chiasm.estimators.estimate import explain_game
from chiasm.metrics.again import Again
from chiasm.metrics.base import Better, Case, Floats, Judges, Metric, Need, Score
from chiasm.metrics.controls import oracle, random
from chiasm.testing.errors import ConformanceError
from chiasm.testing.games import bilinear_sigmoid

_PARTS: Final = {"a": 5, "b": 3}
#: needs of a metric that a game without a model can serve
_SERVED: Final = frozenset({"game", "truth", "others", "again"})
_CLOSE: Final = 1e-9


def check_metric(metric: Metric, *, seed: int = 0) -> None:
    """Run a metric through what every metric of Chiasm must pass, on a game of 8 players in two parts.

    Checked, by the name in the error: ``about`` (all fields filled in, and from the lists that there are),
    ``coalitions`` (shape and type), ``asks in advance`` (a score computes no value that was not announced, unless the
    metric explains again), ``range``, ``same score`` (twice the same for the same explanation and seed; the
    explanation is left as it was), ``player order`` (players written in another order within their parts, scores the
    same), ``ties`` (the same, where players have equal values), ``constant`` (explanations of one value give a score,
    or NaN with a note), ``not a number`` (NaN is refused), ``single player`` (parts of one player are judged or refused
    in words).

    A metric that needs a twin or a model is checked for ``about`` alone.

    Args:
        metric: what to check.
        seed: of game and explanations.

    Raises:
        ConformanceError: the first property that does not hold, with what was seen.
    """
    check = _Check(metric, seed)
    check.about()
    if not set(metric.about.needs) <= _SERVED:
        return
    try:
        check.scores()
    except MissingCapability:
        if "again" not in metric.about.needs:
            raise
        return  # it needs a model, which a plain game is none
    if "again" in metric.about.needs:
        return  # what follows is scored with explanations that no method made
    check.player_order()
    check.ties()
    check.constant()
    check.not_a_number()
    check.single_player()


class _Check:
    def __init__(self, metric: Metric, seed: int) -> None:
        self.metric, self.seed = metric, seed
        self.known = bilinear_sigmoid(sum(_PARTS.values()), seed)

    def fail(self, name: str, detail: str) -> ConformanceError:
        """The error for a property that does not hold."""
        return ConformanceError(f"Metric {self.metric.about.name!r}", name, detail)

    def about(self) -> None:
        """Fields."""
        about = self.metric.about
        for field, allowed in (("judges", get_args(Judges)), ("better", get_args(Better))):
            if getattr(about, field) not in allowed:
                raise self.fail("about", f"{field} is {getattr(about, field)!r}; allowed: {', '.join(allowed)}")
        unknown = set(about.needs) - set(get_args(Need))
        if unknown:
            raise self.fail("about", f"needs {', '.join(sorted(unknown))}; there is {', '.join(get_args(Need))}")
        empty = [name for name in ("name", "line", "cost", "source") if not getattr(about, name)]
        if empty or not about.low < about.high:
            raise self.fail("about", f"empty: {', '.join(empty) or 'none'}; range {about.low} to {about.high}")

    def game(self, order: NDArray[np.intp] | None = None) -> Game:
        """The game, its players written in some order."""
        n = self.known.n
        place = np.arange(n) if order is None else order

        def values(coalitions: Coalitions) -> Floats:
            back = np.zeros((len(coalitions), n), bool)
            back[:, place] = coalitions
            return self.known.values(back)

        return Game(values, Players.abstract(_PARTS))

    def explanation(self, game: Game) -> Explanation:
        """A true one."""
        return explain_game(game, method="exact", index="SII", seed=self.seed)

    def case(self, explanation: Explanation, game: Game, truth: dict[str, Floats] | None = None) -> Case:
        """A case with everything that a plain game can offer."""
        shares = truth or {name: np.linspace(1, 0, size) for name, size in _PARTS.items()}
        others = {"oracle": oracle(game.players, shares)}
        return Case(explanation, game, shares, self.seed, others, Again(explanation, game, {}))

    def scores(self) -> None:
        """Coalitions, values asked for, range, the same score twice."""
        explanation = self.explanation(self.game())
        before = [a if a is None else a.copy() for a in (explanation.single, explanation.pair)]
        found = []
        for _ in range(2):
            game = self.game()
            case = self.case(explanation, game)
            wanted = self.metric.coalitions(case)
            if wanted.ndim != 2 or wanted.shape[1] != game.n or wanted.dtype != np.bool_:
                raise self.fail("coalitions", f"{wanted.dtype}{list(wanted.shape)}; bool[any, {game.n}] is needed")
            game(wanted)
            announced = game.counts.computed
            score = self.metric.score(case)
            if "again" not in self.metric.about.needs and game.counts.computed > announced:
                extra = game.counts.computed - announced
                raise self.fail("asks in advance", f"{extra} values were computed that coalitions() did not announce")
            if score.values_used > len(set(keys(wanted))) and "again" not in self.metric.about.needs:
                raise self.fail("asks in advance", f"values_used is {score.values_used}, {announced} were announced")
            self._in_range(score)
            found.append(score)
        if not _same(found[0], found[1], 0.0):
            raise self.fail("same score", f"{dict(found[0].values)} and then {dict(found[1].values)}")
        now = [explanation.single, explanation.pair]
        for old, new in zip(before, now, strict=True):
            if old is not None and new is not None and not np.array_equal(old, new):
                raise self.fail("same score", "the explanation was changed")

    def _in_range(self, score: Score) -> None:
        about, value = self.metric.about, score.value
        if np.isfinite(value) and not about.low - _CLOSE <= value <= about.high + _CLOSE:
            raise self.fail("range", f"a score of {value}; {about.range} was promised")

    def player_order(self) -> None:
        """Written in another order within their parts, players are the same players."""
        rng = np.random.default_rng(self.seed)
        order = np.concatenate([rng.permutation(5), 5 + rng.permutation(3)])
        game, other = self.game(), self.game(order)
        self._alike("player order", [(game, self.explanation(game)), (other, self.explanation(other))], order)

    def ties(self) -> None:
        """Of two equal players none comes first by where it stands; written backwards, all else is the same.

        Two of one part, so that a mean over the orders of ties that come with their reverses is exact.
        """
        order = np.array([4, 3, 2, 1, 0, 7, 6, 5])
        game, other = self.game(), self.game(order)
        tied, moved = random(game.players, self.seed), random(other.players, self.seed)
        tied.single[:] = [9, 9, 4, 3, 0, 8, 2, 1]
        moved.single[:] = tied.single[order]
        if tied.pair is not None and moved.pair is not None:
            moved.pair[:] = tied.pair[np.ix_(order, order)]
        self._alike("ties", [(game, tied), (other, moved)], order)

    def _alike(self, name: str, pairs: list[tuple[Game, Explanation]], order: NDArray[np.intp]) -> None:
        """The score of an explanation, and of the same one with its players written in another order."""
        shares = {part: np.linspace(1, 0, size) for part, size in _PARTS.items()}
        there = dict(zip(shares, np.split(np.concatenate(list(shares.values()))[order], [5]), strict=True))
        first, second = (
            self.metric.score(self.case(explanation, game, truth))
            for (game, explanation), truth in zip(pairs, (shares, there), strict=True)
        )
        if not _same(first, second, self._tolerance(first, second)):
            raise self.fail(name, f"{dict(first.values)} and, reordered, {dict(second.values)}")

    def _tolerance(self, *scores: Score) -> float:
        """Metrics that draw coalitions by player may differ by their own errors."""
        if all(score.error is None for score in scores):
            return 1e-6
        return 1e-6 + 4 * sum(score.error or 0.0 for score in scores)

    def constant(self) -> None:
        """An explanation that says nothing has a score, or none with a note; `Score` itself refuses NaN without one."""
        game = self.game()
        for value in (0.0, 1.0):
            flat = random(game.players, self.seed)
            flat.single[:] = value
            if flat.pair is not None:
                flat.pair[:] = value * (1 - np.eye(game.n))
            self._in_range(self.metric.score(self.case(flat, game)))

    def not_a_number(self) -> None:
        """NaN among single values is refused."""
        game = self.game()
        broken = random(game.players, self.seed)
        broken.single[1] = np.nan
        try:
            self.metric.score(self.case(broken, game))
        except InvalidInput:
            return
        raise self.fail("not a number", "an explanation with NaN among its single values was scored")

    def single_player(self) -> None:
        """A part of one player, and a game of one part."""
        for parts in ({"a": 4, "b": 1}, {"a": 1, "b": 1}, {"a": 5}):
            known = bilinear_sigmoid(sum(parts.values()), self.seed)
            game = Game(known.values, Players.abstract(parts))
            shares: dict[str, Floats] = {name: np.linspace(1, 0, size) for name, size in parts.items()}
            explanation = self.explanation(game)
            others = {"oracle": oracle(game.players, shares)}
            case = Case(explanation, game, shares, self.seed, others, Again(explanation, game, {}))
            try:
                self.metric.coalitions(case)
                self._in_range(self.metric.score(case))
            except MissingCapability:
                continue


def _same(first: Score, second: Score, tolerance: float) -> bool:
    """Equal first values; with no tolerance, all of them and the errors."""
    if tolerance:
        return bool(np.isclose(first.value, second.value, rtol=0, atol=tolerance, equal_nan=True))
    return list(first.values) == list(second.values) and np.array_equal(
        list(first.values.values()), list(second.values.values()), equal_nan=True
    )
