"""Public conformance kit: what a third-party estimator or adapter must pass, and games with known answers."""

from __future__ import annotations

from chiasm.testing.errors import ConformanceError
from chiasm.testing.estimators import check_estimator

__all__ = ["ConformanceError", "check_estimator"]
