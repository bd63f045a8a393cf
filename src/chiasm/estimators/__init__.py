"""Estimators: a game, an index and a budget in; index values with standard errors out."""

from __future__ import annotations

from chiasm.core.registry import Registry
from chiasm.estimators.base import Estimator

estimators: Registry[Estimator] = Registry("estimator", "chiasm.estimators")
estimators.register("exact", "chiasm.estimators.exact:EXACT", "all 2^n values, up to 20 players; no error")
estimators.register(
    "permutation", "chiasm.estimators.permutation:PERMUTATION", "random orders; unbiased, with standard errors"
)
estimators.register(
    "kernelshap-iq", "chiasm.estimators.shapiq_bridge:KERNELSHAP_IQ", "weighted regression on pairs (shapiq)"
)
estimators.register(
    "gp",
    "chiasm.estimators.gaussian_process:GP",
    "Gaussian-process surrogate that chooses its coalitions; with standard errors",
)
estimators.register(
    "crossed",
    "chiasm.estimators.crossed:CROSSED",
    "Gaussian-process surrogate on a grid: each mask of a part with each of the other; for dual encoders",
)
estimators.register(
    "crossed-sampling",
    "chiasm.estimators.crossed_sampling:CROSSED_SAMPLING",
    "sample covariances on grids of random masks; unbiased, with standard errors",
)
estimators.register("svarm-iq", "chiasm.estimators.shapiq_bridge:SVARM_IQ", "stratified sampling (shapiq)")
estimators.register(
    "permutation-shapiq", "chiasm.estimators.shapiq_bridge:PERMUTATION_SHAPIQ", "permutation sampling (shapiq)"
)
estimators.register(
    "proxyspex", "chiasm.estimators.shapiq_bridge:PROXYSPEX", "sparse Fourier transform of boosted trees (shapiq)"
)
estimators.register("shap-iq", "chiasm.estimators.shapiq_bridge:SHAPIQ", "one weighted mean over all values (shapiq)")
estimators.register(
    "proxyshap", "chiasm.estimators.shapiq_bridge:PROXYSHAP", "boosted trees and their residuals (shapiq 1.5 or newer)"
)
estimators.register(
    "multishap", "chiasm.estimators.multishap:MULTISHAP", "each pair across parts by itself; unbiased, a reference"
)
estimators.register(
    "fixlip", "chiasm.estimators.fixlip:FIXLIP", "weighted Banzhaf regression on pairs across parts; standard errors"
)
