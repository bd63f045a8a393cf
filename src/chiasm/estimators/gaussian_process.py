"""Gaussian-process surrogate of the game: indices in closed form, coalitions chosen for the wanted pairs.

The game is taken for a draw of a Gaussian process on coalitions (`chiasm.estimators.gp_kernel`). Its posterior given
some values has every index in closed form, with standard errors (`chiasm.estimators.gp_indices`), and says which
values would lower those errors most (`chiasm.estimators.gp_choice`).

The scale of the values is taken as it is (identity link).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, distinct, keys
from chiasm.core.errors import BudgetTooSmall, InvalidInput
from chiasm.core.game import Game
from chiasm.core.indices import Index
from chiasm.estimators.base import Estimate
from chiasm.estimators.exact import EXACT
from chiasm.estimators.gp_choice import CANDIDATES, Chooser, candidates, first_design, wanted_pairs
from chiasm.estimators.gp_indices import errors, means, measures
from chiasm.estimators.gp_kernel import Kernel, Posterior, fit, standardise
from chiasm.estimators.support import MOST_ENUMERATED, MOST_VALUES, check_index, ends, missing, new_among

Floats = NDArray[np.float64]

#: share of the budget in the first design, and its least size
_FIRST, _LEAST_FIRST = 0.25, 48
#: nodes of the index's measure while coalitions are chosen: the choice needs no more digits
_NODES = 8
#: share of the budget in each further batch
_BATCH = 0.125
#: values that hyperparameters are fitted on at most, and the growth after which they are fitted again
_FITTED_ON, _REFIT = 512, 1.9
#: steps of the optimiser at the first fit and at later ones, which set out from the last
_STEPS_FIRST, _STEPS_LATER = 40, 40
#: latest batches whose residuals calibrate the errors: the fits that judged earlier ones were worse than the last
_JUDGES = 2


@dataclass
class GaussianProcess:
    """Active Gaussian-process regression of the game.

    Serves every index, with standard errors: posterior standard deviations, times the root mean square of the
    standardised residuals that the last two chosen batches had before they were absorbed (at least 1). They are
    model-based: they hold as far as the game resembles a draw of the process, and the factor corrects their size, not
    their shape.

    Pairs across parts are what coalitions are chosen for (all pairs, if there is one part only). Time grows with the
    cube of the budget.

    Values are needed for the fit before they can help: at 57 players 256 values leave a third of the pairs' squares
    unexplained and 512 leave 0.1 to 5 %; at 216 players 512 values are too few, and then the errors are too small.

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


class _Run:
    """One run: what is known so far, and the next batch."""

    def __init__(self, game: Game, index: Index, budget: int, seed: int) -> None:
        self.game, self.index, self.budget = game, index, budget
        self.rng = np.random.default_rng([seed, game.n])
        n = game.n
        self.measure = measures(index, n, _NODES)[1]
        self.chooser = Chooser(wanted_pairs(game.players), self.measure)
        free = _remembered_corners(game)
        first = min(budget, max(int(budget * _FIRST), _LEAST_FIRST))
        design = np.concatenate([first_design(n, first, self.rng), free])
        self.coalitions = design[distinct(design)[0]]
        self.values = game(self.coalitions)
        self.total = min(budget + len(free), 2**n)
        self.kernel, self.fitted_at = Kernel.start(n), 0
        self.scores: list[Floats] = []

    def estimates(self) -> Iterator[Estimate]:
        """The estimate after each batch."""
        step = max(1, int(np.ceil(self.budget * _BATCH)))
        while True:
            posterior = self._posterior()
            yield self._estimate(posterior)
            count = min(step, self.total - len(self.values))
            if count <= 0:
                return
            self._absorb(posterior, count)

    def _posterior(self) -> Posterior:
        """The surrogate of all values so far; hyperparameters are fitted again when there is much more to learn."""
        m = len(self.values)
        if m >= _REFIT * self.fitted_at:
            some = np.sort(self.rng.permutation(m)[:_FITTED_ON])
            z = standardise(self.values)[2][some]
            steps = _STEPS_LATER if self.fitted_at else _STEPS_FIRST
            self.kernel = fit(self.kernel, self.coalitions[some].astype(np.float64), z, steps)
            self.fitted_at = m
        return Posterior(self.kernel, self.coalitions.astype(np.float64), self.values)

    def _absorb(self, posterior: Posterior, count: int) -> None:
        """Choose, evaluate and add a batch; its residuals go to the calibration."""
        seen = set(keys(self.coalitions))
        among = candidates(self.game.n, self.measure, seen, max(CANDIDATES, 2 * count), self.rng)
        batch: Coalitions = self.chooser.batch(posterior, among, count, self.rng)
        values = self.game(batch)
        mean, sd = posterior.predict(batch.astype(np.float64))
        self.scores.append((values - mean) / sd)
        self.coalitions = np.concatenate([self.coalitions, batch])
        self.values = np.concatenate([self.values, values])

    def _estimate(self, posterior: Posterior) -> Estimate:
        single, pair = means(posterior, self.index)
        single_errors, pair_errors = errors(posterior, self.index)
        factor = self._inflation(posterior)
        return Estimate(single, pair, factor * single_errors, factor * pair_errors)

    def _inflation(self, posterior: Posterior) -> float:
        """Root mean square of the last batches' residuals, at least 1; of leave-one-out residuals before them."""
        scores = np.concatenate(self.scores[-_JUDGES:]) if self.scores else posterior.left_out()
        return max(1.0, float(np.sqrt(np.mean(scores**2))))


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
