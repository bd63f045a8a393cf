"""From the surrogate to index values: means, standard errors, and what a further value would tell.

A reader knows one posterior, one link and one index. Without a link (identity) all is closed form; with one, the index
is that of g(posterior mean), and errors come from the index linearised about it (delta method). For few players that is
done on all coalitions (`chiasm.estimators.gp_table`); for more, indices are a closed form plus a sampled remainder
(`chiasm.estimators.gp_sampled`), and slopes are replaced by a sum of products, which has closed forms too.
"""

from __future__ import annotations

from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from chiasm.core import indices
from chiasm.core.indices import Index
from chiasm.estimators.gp_indices import Pairs, Tilt, errors, means, measures, pair_covariance
from chiasm.estimators.gp_kernel import Posterior
from chiasm.estimators.gp_links import Link
from chiasm.estimators.gp_sampled import BACKGROUNDS, Sampled, slope_tilt
from chiasm.estimators.gp_table import Linearised, Table, Weights

Floats = NDArray[np.float64]

#: most players for which errors are computed on all coalitions, and for which means are
MOST_LINEARISED, MOST_TABLED = 16, 20
#: nodes of the index's measure while coalitions are chosen: the choice needs no more digits
CHOICE_NODES = 8


class Reader(Protocol):
    """What is read off a posterior.

    Attributes:
        posterior: the surrogate.
    """

    posterior: Posterior

    def means(self) -> tuple[Floats, Floats]:
        """Index values of single players ``float64[n]`` and pairs ``float64[n, n]``."""
        ...

    def errors(self) -> tuple[Floats, Floats]:
        """Their standard errors."""
        ...

    def covariances(self, pairs: Pairs, z: Floats) -> tuple[Floats, Floats]:
        """Prior covariances of pair indices with values at candidates ``z`` and at the coalitions of the posterior.

        In units of the standardised latent values: ``float64[candidates, pairs]``, ``float64[m, pairs]``.
        """
        ...


class LinearReader:
    """Of a game that is the surrogate itself."""

    def __init__(self, posterior: Posterior, index: Index) -> None:
        """Keep them."""
        self.posterior, self.index = posterior, index

    def means(self) -> tuple[Floats, Floats]:
        """See `Reader`."""
        return means(self.posterior, self.index)

    def errors(self) -> tuple[Floats, Floats]:
        """See `Reader`."""
        return errors(self.posterior, self.index)

    def covariances(self, pairs: Pairs, z: Floats) -> tuple[Floats, Floats]:
        """See `Reader`."""
        kernel = self.posterior.kernel
        measure = measures(self.index, kernel.n, CHOICE_NODES)[1]
        here = pair_covariance(kernel, measure, z, pairs)
        return here, pair_covariance(kernel, measure, self.posterior.coalitions, pairs)


class TableReader:
    """Of g(f) for few players, all coalitions at once."""

    def __init__(self, posterior: Posterior, index: Index, link: Link, weights: Weights) -> None:
        """The posterior mean on all coalitions."""
        self.posterior, self.index, self.link, self.weights = posterior, index, link, weights
        self.table = Table(posterior.kernel)
        self.latent = self.table.mean(posterior)

    @cached_property
    def _linearised(self) -> Linearised:
        slopes = self.link.mean_slope(self.latent, typical_sd(self.posterior))
        return Linearised(self.table, self.weights, slopes)

    def means(self) -> tuple[Floats, Floats]:
        """See `Reader`."""
        return indices.exact(self.link.value(self.latent), self.index)

    def errors(self) -> tuple[Floats, Floats]:
        """See `Reader`."""
        posterior, n = self.posterior, self.posterior.kernel.n
        covariance = self._linearised.covariances(posterior.coalitions)
        left = self._linearised.prior - (posterior.whiten(covariance) ** 2).sum(0)
        found = posterior.scale * np.sqrt(np.maximum(left, 0.0))
        pair = np.zeros((n, n))
        i, j = np.triu_indices(n, 1)
        pair[i, j] = pair[j, i] = found[n:]
        return found[:n], pair

    def covariances(self, pairs: Pairs, z: Floats) -> tuple[Floats, Floats]:
        """See `Reader`."""
        form = self._linearised
        return form.covariances(z, pairs), form.covariances(self.posterior.coalitions, pairs)


class SampledReader:
    """Of g(f) for many players."""

    def __init__(
        self, posterior: Posterior, index: Index, link: Link, rng: np.random.Generator, *, backgrounds: int
    ) -> None:
        """Keep them."""
        self.posterior, self.index, self.link, self.rng, self.backgrounds = posterior, index, link, rng, backgrounds

    @cached_property
    def _sampled(self) -> Sampled:
        return Sampled(self.posterior, self.index, self.link, self.rng, self.backgrounds)

    @cached_property
    def _tilt(self) -> Tilt:
        return slope_tilt(self.posterior, self.index, self.link, self.rng)

    def means(self) -> tuple[Floats, Floats]:
        """See `Reader`; all coalitions where they are few enough, else a closed form and a sampled remainder."""
        if self.posterior.kernel.n <= MOST_TABLED:
            latent = Table(self.posterior.kernel).mean(self.posterior)
            return indices.exact(self.link.value(latent), self.index)
        return self._sampled.single, self._sampled.pair

    def errors(self) -> tuple[Floats, Floats]:
        """See `Reader`; what sampling adds is included."""
        single, pair = errors(self.posterior, self.index, self._tilt)
        if self.posterior.kernel.n <= MOST_TABLED:
            return single, pair
        return np.hypot(single, self._sampled.single_error), np.hypot(pair, self._sampled.pair_error)

    def covariances(self, pairs: Pairs, z: Floats) -> tuple[Floats, Floats]:
        """See `Reader`."""
        kernel = self.posterior.kernel
        measure = measures(self.index, kernel.n, CHOICE_NODES)[1]
        here = pair_covariance(kernel, measure, z, pairs, self._tilt)
        return here, pair_covariance(kernel, measure, self.posterior.coalitions, pairs, self._tilt)


def typical_sd(posterior: Posterior, count: int = 128) -> float:
    """Root mean square of the posterior standard deviation over coalitions of all sizes."""
    rng = np.random.default_rng(0)
    some = (rng.random((count, posterior.kernel.n)) < rng.random((count, 1))).astype(np.float64)
    return float(np.sqrt(np.mean(posterior.predict(some)[1] ** 2)))


def reader_of(
    posterior: Posterior,
    index: Index,
    link: Link,
    weights: Weights | None,
    rng: np.random.Generator,
    *,
    backgrounds: int = BACKGROUNDS,
) -> Reader:
    """The reader for a link and a number of players.

    Args:
        posterior: the surrogate.
        index: the index.
        link: from the surrogate to values.
        weights: of the index on all coalitions, for up to `MOST_LINEARISED` players.
        rng: the source of chance.
        backgrounds: how much is sampled where there are many players.
    """
    if link.linear:
        return LinearReader(posterior, index)
    if weights is not None:
        return TableReader(posterior, index, link, weights)
    return SampledReader(posterior, index, link, rng, backgrounds=backgrounds)
