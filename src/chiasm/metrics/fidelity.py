"""Does an explanation predict the game it explains?

An explanation stands for a simple game, v̂(S) = c + Σ_i∈S e_i + Σ_ij⊆S I_ij. For indices whose single values hold a
share of the pairs (SII, Banzhaf), e_i = φ_i − p Σ_j I_ij with p = ½ (the p of a weighted Banzhaf index), which for SII
is the efficient game of order 2 (k-SII); for STII, FSII and Möbius coefficients e_i = φ_i, and so for methods with an
index of their own. Without pairs, e_i = φ_i. The constant c is always free: many indices do not give it.

Coalitions hold each player with probability p, drawn by the case's seed: the same for every explanation, and for all
metrics of this module. The scale is that of the explained target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy.stats import spearmanr

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.metrics.base import About, Case, Floats, Score, count_distinct, pair_places, undefined

_BOOTSTRAPS: Final = 200
_CONSTANT: Final = "the game has the same value on all coalitions drawn: there is nothing to predict"


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The simple game that an explanation stands for, without its constant.

    Attributes:
        single: e_i, ``float64[n]``.
        pair: I_ij, symmetric ``float64[n, n]``; zero where the method gives none.
    """

    single: Floats
    pair: Floats

    def __call__(self, coalitions: Coalitions) -> Floats:
        """``bool[batch, n]`` → ``float64[batch]``."""
        x = coalitions.astype(np.float64)
        return np.asarray(x @ self.single + ((x @ np.triu(self.pair, 1)) * x).sum(axis=1), np.float64)


def surrogate(explanation: Explanation, *, pairs: bool = True) -> Surrogate:
    """The game of order 2 that an explanation stands for, or the additive one.

    Args:
        explanation: with or without pairs.
        pairs: whether pairs are used if there are any.
    """
    n = len(explanation.players)
    if explanation.pair is None or not pairs:
        return Surrogate(explanation.single, np.zeros((n, n)))
    pair = np.nan_to_num(explanation.pair)  # what a method left without a value, see `_notes`
    name = explanation.provenance.index
    head, _, tail = name.partition(":")
    held = float(tail) if head == "WBII" and tail else {"SII": 0.5, "BII": 0.5}.get(name, 0.0)
    return Surrogate(explanation.single - held * pair.sum(axis=1), pair)


@dataclass(frozen=True)
class _Drawn:
    """What the metrics of this module share.

    Attributes:
        count: coalitions drawn.
        p: probability of a player's presence.
    """

    count: int = 128
    p: float = 0.5

    def coalitions(self, case: Case) -> Coalitions:
        """The drawn coalitions; the full one is the first."""
        if self.count < 8 or not 0 < self.p < 1:
            raise InvalidInput(f"Draw 8 coalitions or more with p between 0 and 1; got {self.count} and {self.p}.")
        rng = np.random.default_rng([case.seed, case.game.n, 0xF1D])
        drawn = rng.random((self.count, case.game.n)) < self.p
        return np.concatenate([np.ones((1, case.game.n), bool), drawn])

    def drawn(self, case: Case) -> tuple[Coalitions, Floats]:
        """The drawn coalitions and their values, without the full one."""
        coalitions = self.coalitions(case)
        return coalitions[1:], case.values(coalitions)[1:]


@dataclass(frozen=True)
class Fidelity(_Drawn):
    """R² and Spearman correlation of the simple game with the real one."""

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "R² of the game that singles and pairs stand for, on random coalitions, up to a constant"
        return About(
            "fidelity", line, "both", "higher", -np.inf, 1, f"{self.count}", "Muschalik et al. 2024", ("game",)
        )

    def score(self, case: Case) -> Score:
        """R² (with pairs where there are any), Spearman, R² after the best scaling, and the additive part's R²."""
        coalitions, values = self.drawn(case)
        if _constant(values):
            return undefined("R²", _CONSTANT)
        guess = surrogate(case.explanation)(coalitions)
        named = {
            "R²": _r2(values, guess),
            "Spearman": rank_correlation(guess, values),
            "R² scaled": _scaled(guess, values),
        }
        if case.explanation.pair is not None:
            named["R² additive"] = _r2(values, surrogate(case.explanation, pairs=False)(coalitions))
        error = _bootstrap(lambda rows: _r2(values[rows], guess[rows]), len(values), case.seed)
        return Score(named, error, _notes(case), count_distinct(coalitions))


@dataclass(frozen=True)
class Infidelity(_Drawn):
    """Mean squared difference between the foretold and the real fall of the target when players are taken away."""

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "squared error of the foretold fall of the target when random players are taken away"
        return About("infidelity", line, "both", "lower", 0, np.inf, f"{self.count + 1}", "Yeh et al. 2019", ("game",))

    def score(self, case: Case) -> Score:
        """Raw; after the best scaling (as the paper compares methods); as a share of the squares of the falls."""
        coalitions = self.coalitions(case)
        values = case.values(coalitions)
        guess = surrogate(case.explanation)(coalitions)
        real, told = values[0] - values[1:], guess[0] - guess[1:]
        raw, squares = float(((told - real) ** 2).mean()), float((told**2).mean())
        best = float((told * real).mean()) / squares if squares else 0.0
        scaled, whole = float(((best * told - real) ** 2).mean()), float((real**2).mean())
        named = {"raw": raw, "scaled": scaled}
        if whole:
            named["share"] = raw / whole
        error = float(((told - real) ** 2).std(ddof=1) / np.sqrt(len(real)))
        return Score(named, error, _notes(case), count_distinct(coalitions))


@dataclass(frozen=True)
class PredictiveSynergy(_Drawn):
    """Do the pairs of an explanation foretell what its single values cannot?

    On fresh random coalitions the game is regressed on what the explanation says: on Σ φ_i of the players present; on
    the same sum of one part alone; and on that sum together with the sum of its pairs. Each sum has one coefficient,
    not below 0 (an explanation of the wrong sign foretells nothing), beside a constant; each coalition is foretold from
    all the others. Methods without a scale are thus not punished; an R² below 0 is worse than the mean. Sums of pairs
    run over (s_i − p)(s_j − p), so that they hold nothing that single players could say.
    """

    @property
    def about(self) -> About:
        """See `chiasm.metrics.base.Metric`."""
        line = "gain in R² by an explanation's pairs over its single values, on fresh coalitions"
        cost = f"{self.count}, shared with fidelity"
        return About("predictive_synergy", line, "both", "higher", -np.inf, np.inf, cost, "ours", ("game",))

    def score(self, case: Case) -> Score:
        """Gain, then R² jointly, additive, and of each part alone.

        Raises:
            MissingCapability: the method gives no pairs.
        """
        if case.explanation.pair is None:
            method = case.explanation.provenance.method
            raise MissingCapability(f"predictive_synergy judges pairs; the method {method!r} gives none.")
        coalitions, values = self.drawn(case)
        if _constant(values):
            return undefined("gain", _CONSTANT)
        centred = coalitions.astype(np.float64) - self.p
        each = centred * case.explanation.single
        additive = each.sum(axis=1)
        pairs = ((centred @ np.triu(np.nan_to_num(case.explanation.pair), 1)) * centred).sum(axis=1)
        alone = {name: _foretold(values, [each[:, case.members(name)].sum(axis=1)]) for name in case.parts}
        left = {"joint": _foretold(values, [additive, pairs]), "additive": _foretold(values, [additive])}
        r2 = {name: _explained(values, rest) for name, rest in left.items()}
        named = {"gain": r2["joint"] - r2["additive"], "R² joint": r2["joint"], "R² additive": r2["additive"]}
        named |= {f"R² {name} alone": _explained(values, rest) for name, rest in alone.items()}

        def gain(rows: Any) -> float:
            joint, single = (_explained(values[rows], rest[rows]) for rest in left.values())
            return joint - single

        return Score(named, _bootstrap(gain, len(values), case.seed), _notes(case), count_distinct(coalitions))


def rank_correlation(x: Floats, y: Floats) -> float:
    """Spearman's ρ; 0 where either side is constant: it ranks nothing."""
    if _constant(x) or _constant(y):
        return 0.0
    result: Any = spearmanr(x, y)
    return float(result.statistic)


def _constant(values: Floats) -> bool:
    return bool(np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())))


def _r2(values: Floats, guess: Floats) -> float:
    """1 − the variance of what is left over the variance of the values; the constant is free."""
    whole = float(values.var())
    return 1 - float((values - guess).var()) / whole if whole else float("nan")


def _scaled(guess: Floats, values: Floats) -> float:
    """R² after the best scaling that keeps the sign."""
    if _constant(guess):
        return 0.0
    return max(float(np.corrcoef(guess, values)[0, 1]), 0.0) ** 2


def _foretold(values: Floats, features: list[Floats]) -> Floats:
    """What a regression leaves of each value when it is fitted on all the others, ``float64[batch]``.

    Features whose coefficient would be negative are left out.
    """
    x = np.ones((len(values), 1))
    for kept in (features, features[:1], features[1:]):
        trial = np.stack([np.ones(len(values)), *kept], axis=1)
        if (np.linalg.pinv(trial) @ values)[1:].min(initial=0.0) >= 0:
            x = trial
            break
    hat = x @ np.linalg.pinv(x)
    leverage = np.minimum(np.diagonal(hat), 1 - 1e-9)
    return np.asarray((values - hat @ values) / (1 - leverage), np.float64)


def _explained(values: Floats, left: Floats) -> float:
    """R² by what is left of each value; the mean, too, is that of all the others."""
    whole = float(((values - values.mean()) ** 2).sum()) * (len(values) / (len(values) - 1)) ** 2
    return 1 - float((left**2).sum()) / whole if whole else float("nan")


def _bootstrap(score: Callable[[Any], float], n: int, seed: int) -> float:
    """Standard error over resampled coalitions."""
    rng = np.random.default_rng([seed, 0xB007])
    found = np.array([score(rng.integers(n, size=n)) for _ in range(_BOOTSTRAPS)])
    return float(np.nanstd(found, ddof=1))


def _notes(case: Case) -> tuple[str, ...]:
    """What counts as 0 because the method gave it no value."""
    pair = case.explanation.pair
    if pair is None or not np.isnan(pair).any():
        return ()
    across = int(np.isnan(pair[pair_places(case.explanation)]).sum())
    inside = int(np.isnan(pair[np.triu_indices(len(pair), 1)]).sum()) - across
    told = [(across, "pairs that are judged"), (inside, "pairs within a part")]
    return tuple(f"{count} {what} have no value and count as 0" for count, what in told if count)


FIDELITY: Final = Fidelity()
INFIDELITY: Final = Infidelity()
PREDICTIVE_SYNERGY: Final = PredictiveSynergy()
