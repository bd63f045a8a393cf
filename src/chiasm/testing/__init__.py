"""Public conformance kit: what estimators, explainers, metrics, modalities and adapters must pass; known games."""

from __future__ import annotations

from chiasm.testing.errors import ConformanceError
from chiasm.testing.estimators import check_estimator
from chiasm.testing.explainers import check_explainer
from chiasm.testing.metrics import check_metric
from chiasm.testing.modalities import check_modality

__all__ = ["ConformanceError", "check_estimator", "check_explainer", "check_metric", "check_modality"]
