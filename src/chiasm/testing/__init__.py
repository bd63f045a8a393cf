"""Public conformance kit: what third-party estimators, explainers, metrics and adapters must pass; known games."""

from __future__ import annotations

from chiasm.testing.errors import ConformanceError
from chiasm.testing.estimators import check_estimator
from chiasm.testing.explainers import check_explainer
from chiasm.testing.metrics import check_metric

__all__ = ["ConformanceError", "check_estimator", "check_explainer", "check_metric"]
