"""Conditions under which an audit fails, so that it can guard a release: ``image_reliance<0.2``."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from chiasm.audits.summary import Summary
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.statistics.bootstrap import Estimate

_FORM: Final = re.compile(r"\s*([\w.-]+?)(?:\.(low|high))?\s*(<=|>=|<|>)\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)\s*")
_HOW: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True)
class Limit:
    """One condition.

    Attributes:
        text: as it was given.
        figure: name of the figure.
        end: ``"value"``, or ``"low"`` or ``"high"`` end of its interval.
        how: the comparison.
        bound: what it is compared with.
    """

    text: str
    figure: str
    end: str
    how: str
    bound: float

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read ``"image_reliance<0.2"``, or ``"image_reliance.high<0.2"`` for an end of the interval.

        Raises:
            InvalidInput: it is no such condition.
        """
        found = _FORM.fullmatch(text)
        if found is None:
            raise InvalidInput(
                f"Cannot read the condition {text!r}; write a figure, <, <=, > or >=, and a number, e.g. "
                f"image_reliance<0.2, or of an end of its interval, image_reliance.high<0.2."
            )
        name, end, how, bound = found.groups()
        return cls(text.strip(), name, end or "value", how, float(bound))

    def holds(self, summary: Summary) -> tuple[bool, Estimate]:
        """Whether the condition holds, and the figure.

        Raises:
            UnknownName: the audit has no such figure.
            InvalidInput: the figure is not defined on this data.
        """
        known = [one.measure.name for one in summary.figures]
        if self.figure not in known:
            raise UnknownName("figure", self.figure, known)
        estimate = summary[self.figure]
        value = getattr(estimate, self.end)
        if not np.isfinite(value):
            raise InvalidInput(f"{self.figure} has no {self.end} on this data, so {self.text!r} cannot be judged.")
        return _HOW[self.how](value, self.bound), estimate
