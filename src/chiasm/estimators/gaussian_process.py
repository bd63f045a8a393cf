"""Gaussian-process surrogate of the game: indices in closed form, coalitions chosen for the wanted pairs.

The game, on the scale of its logits if its values are probabilities (`chiasm.estimators.gp_links`), is taken for a draw
of a Gaussian process on coalitions (`chiasm.estimators.gp_kernel`). Its posterior given some values has every index,
with standard errors (`chiasm.estimators.gp_readers`), and says which values would lower those errors most
(`chiasm.estimators.gp_choice`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chiasm.core import indices
from chiasm.core.coalitions import Coalitions, distinct, keys
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.core.target import Scale
from chiasm.estimators.base import Estimate
from chiasm.estimators.exact import EXACT
from chiasm.estimators.gp_choice import CANDIDATES, Chooser, candidates, first_design, wanted_pairs
from chiasm.estimators.gp_indices import measures
from chiasm.estimators.gp_kernel import Kernel, Posterior, fit, standardise
from chiasm.estimators.gp_links import Link, link_of
from chiasm.estimators.gp_readers import MOST_LINEARISED, Reader, reader_of
from chiasm.estimators.gp_sampled import BACKGROUNDS
from chiasm.estimators.gp_table import Weights
from chiasm.estimators.support import MOST_ENUMERATED, MOST_VALUES, check_index, ends, missing, new_among

Floats = NDArray[np.float64]

#: share of the budget in the first design, and its least size
_FIRST, _LEAST_FIRST = 0.25, 48
#: share of the budget in each further batch
_BATCH = 0.125
#: values that hyperparameters are fitted on at most, and the growth after which they are fitted again
_FITTED_ON, _REFIT = 512, 1.5
#: steps of the optimiser at the first fit and at later ones, which set out from the last
_STEPS_FIRST, _STEPS_LATER = 40, 30
#: errors are widened by √(1 + this/values) beyond what leave-one-out residuals say: hyperparameters that were fitted to
#: few values are too sure of themselves. On development games of 13 to 15 players (`benchmarks/estimators.py`) errors
#: were 1.6, 1.36 and 1.1 times what they should be at 256, 512 and 1,024 values
_WORTH = 400.0


@dataclass
class GaussianProcess:
    """Active Gaussian-process regression of the game.

    Serves every index, with standard errors: posterior standard deviations (of the index linearised about the mean,
    where there is a link), times the root mean square of the standardised leave-one-out residuals and
    √(1 + 400/values). They are model-based: they hold as far as the game resembles a draw of the process, and the
    factor corrects their size, not their shape.

    Values that carry noise of their own weigh by it, where the game tells their variances (`Game.variances`).

    A game of log-probabilities or probabilities is fitted on its logits; what comes out is the index of the values as
    they are.

    Pairs across parts are what coalitions are chosen for (all pairs, if there is one part only). Time grows with the
    cube of the budget.

    Values are needed for the fit before they can help: at 57 players 512 values leave some 2 % of the pairs' squares
    unexplained, but at 216 players more than half, and then the errors are too small. Beyond some 1,000 values of a
    smooth game errors are rather too large.

    Attributes:
        name: ``"gp"``.
        indices: all.
    """

    name: str = "gp"
    indices: tuple[str, ...] = ("SII", "BII", "WBII", "STII", "FSII", "Moebius")

    def run(self, game: Game, index: Index, budget: int, seed: int) -> Iterator[Estimate]:
        """Yield after every batch: a quarter of the budget first, then an eighth at a time.

        Raises:
            InvalidInput: an index that is not Chiasm's, or more than 8,192 values that are not all there are.
            BudgetTooSmall: fewer than n + 2 values.
        """
        check_index(self, index)
        n = game.n
        if n <= MOST_ENUMERATED and 2**n <= budget + game.counts.computed and missing(game) <= budget:
            return EXACT.run(game, index, budget, seed)
        needed = min(n + 2, 2**n) - (2 - new_among(game, ends(n)))
        if budget < needed:
            raise BudgetTooSmall(
                f"The estimator 'gp' needs at least {needed} new values of the game for {n} players; "
                f"the budget allows {budget}."
            )
        if budget > MOST_VALUES:
            raise InvalidInput(
                f"The estimator 'gp' takes at most {MOST_VALUES:,} values, as its time grows with their cube; the "
                f"budget is {budget:,}. Lower it or use 'kernelshap-iq' or 'permutation'."
            )
        return _Run(game, index, budget, seed).estimates()


class _Surrogate:
    """A surrogate that grows with its values, and what is read off it.

    Args:
        n: number of players.
        index: the index.
        link: from latent to given values.
        rng: the source of chance.
    """

    def __init__(self, n: int, index: Index, link: Link, rng: np.random.Generator) -> None:
        self.index, self.link, self.rng = index, link, rng
        one, self.measure = measures(index, n)
        self.weights = Weights(n, one, self.measure) if n <= MOST_LINEARISED and not link.linear else None
        self.kernel, self.fitted_at = Kernel.start(n), 0

    def reader(self, coalitions: Coalitions, values: Floats, variances: Floats, *, last: bool) -> Reader:
        """The surrogate of all values so far; hyperparameters are fitted again when there is much more to learn."""
        m = len(values)
        x, latent = coalitions.astype(np.float64), self.link.latent(values)
        own = variances / self.link.slope(latent) ** 2  # of the latent values, to first order
        if m >= _REFIT * self.fitted_at or (last and m > self.fitted_at):
            some = np.sort(self.rng.permutation(m)[:_FITTED_ON])
            steps = _STEPS_LATER if self.fitted_at else _STEPS_FIRST
            _, scale, z = standardise(latent)
            self.kernel = fit(self.kernel, x[some], z[some], steps, own[some] / scale**2)
            self.fitted_at = m
        posterior = Posterior(self.kernel, x, latent, own)
        backgrounds = BACKGROUNDS if last else BACKGROUNDS // 4
        return reader_of(posterior, self.index, self.link, self.weights, self.rng, backgrounds=backgrounds)

    def estimate(self, reader: Reader) -> Estimate:
        """Means and calibrated standard errors."""
        single, pair = reader.means()
        single_errors, pair_errors = reader.errors()
        factor = inflation(reader.posterior)
        return Estimate(single, pair, factor * single_errors, factor * pair_errors)


def inflation(posterior: Posterior) -> float:
    """What errors are multiplied by: the size of leave-one-out residuals (at least 1), and √(1 + 400/values)."""
    own = max(1.0, float(np.sqrt(np.mean(posterior.left_out() ** 2))))
    return own * float(np.sqrt(1.0 + _WORTH / len(posterior.z)))


class _Run:
    """One run: what is known so far, and the next batch."""

    def __init__(self, game: Game, index: Index, budget: int, seed: int) -> None:
        self.game, self.budget = game, budget
        self.rng = np.random.default_rng([seed, game.n])
        self.surrogate = _Surrogate(game.n, index, link_of(game.scale), self.rng)
        self.chooser = Chooser(wanted_pairs(game.players))
        free = _remembered_corners(game)
        first = min(budget, max(int(budget * _FIRST), _LEAST_FIRST))
        design = np.concatenate([first_design(game.n, first, self.rng), free])
        self.coalitions = design[distinct(design)[0]]
        self.values = game(self.coalitions)
        self.total = min(budget + len(free), 2**game.n)

    def estimates(self) -> Iterator[Estimate]:
        """The estimate after each batch."""
        step = max(1, int(np.ceil(self.budget * _BATCH)))
        while True:
            count = min(step, self.total - len(self.values))
            variances = self.game.variances(self.coalitions)
            reader = self.surrogate.reader(self.coalitions, self.values, variances, last=count <= 0)
            yield self.surrogate.estimate(reader)
            if count <= 0:
                return
            seen = set(keys(self.coalitions))
            among = candidates(self.game.n, self.surrogate.measure, seen, max(CANDIDATES, 2 * count), self.rng)
            batch = self.chooser.batch(reader, among, count, self.rng)
            self.coalitions = np.concatenate([self.coalitions, batch])
            self.values = np.concatenate([self.values, self.game(batch)])


def from_values(
    coalitions: ArrayLike,
    values: ArrayLike,
    index: str | Index = "SII",
    scale: Scale = "value",
    seed: int = 0,
    *,
    variances: ArrayLike | None = None,
) -> Estimate:
    """The same surrogate of values that are there, for a game that cannot be asked.

    Args:
        coalitions: ``bool[m, n]``, in any order; the estimate is best where sizes are spread evenly. A coalition that
            is given twice counts once.
        values: ``float64[m]``.
        index: the index, or its name.
        scale: of the values.
        seed: of what is drawn by chance.
        variances: of the noise of each value, ``float64[m]``, where values were drawn by chance.

    Raises:
        InvalidInput: shapes that do not match, negative variances, values that are not finite, fewer than n + 2 or more
            than 8,192 coalitions, or two values of one coalition.
        ModelError: a value that its scale does not have.
    """
    given, numbers = np.atleast_2d(np.asarray(coalitions)).astype(bool), np.asarray(values, np.float64)
    if given.ndim != 2 or numbers.shape != (len(given),):
        raise InvalidInput(
            f"Coalitions have shape {given.shape} and values {numbers.shape}; give (m, players) and (m,)."
        )
    if not np.isfinite(numbers).all():
        raise InvalidInput(f"The value of coalition {int(np.flatnonzero(~np.isfinite(numbers))[0])} is not finite.")
    first, inverse = distinct(given)
    if (numbers[first][inverse] != numbers).any():
        row = int(np.flatnonzero(numbers[first][inverse] != numbers)[0])
        raise InvalidInput(f"Coalition {row} was given before with another value; give the mean of the two.")
    n = given.shape[1]
    if not min(n + 2, 2**n) <= len(first) <= MOST_VALUES:
        raise InvalidInput(
            f"{len(first)} distinct coalitions of {n} players; the estimator 'gp' takes {n + 2} to {MOST_VALUES:,}."
        )
    surrogate = _Surrogate(n, indices.index(index), link_of(scale), np.random.default_rng([seed, n]))
    own = np.zeros(len(given)) if variances is None else np.asarray(variances, np.float64)
    if own.shape != numbers.shape or not (own >= 0).all():
        raise InvalidInput(f"Variances have shape {own.shape}, least {own.min(initial=0)}; give {numbers.shape}, ≥ 0.")
    return surrogate.estimate(surrogate.reader(given[first], numbers[first], own[first], last=True))


def _remembered_corners(game: Game) -> Coalitions:
    """Coalitions of whole parts (the two ends among them) whose values the game remembers: they cost nothing."""
    corners = ends(game.n)
    if len(game.players.slices) <= 4:
        parts = [s for s in game.players.slices.values() if s.stop > s.start]
        rows = np.zeros((1 << len(parts), game.n), bool)
        for r in range(len(rows)):
            for bit, where in enumerate(parts):
                rows[r, where] = bool(r >> bit & 1)
        corners = rows
    return corners[game.known(corners)]


#: the estimator ``"gp"``
GP = GaussianProcess()
