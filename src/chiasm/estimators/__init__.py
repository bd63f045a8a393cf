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
estimators.register("svarm-iq", "chiasm.estimators.shapiq_bridge:SVARM_IQ", "stratified sampling (shapiq)")
estimators.register(
    "permutation-shapiq", "chiasm.estimators.shapiq_bridge:PERMUTATION_SHAPIQ", "permutation sampling (shapiq)"
)
estimators.register(
    "proxyspex", "chiasm.estimators.shapiq_bridge:PROXYSPEX", "sparse Fourier transform of boosted trees (shapiq)"
)
