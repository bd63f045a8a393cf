"""One diverging colour scale for every picture, word and cell: blue below zero, nothing at zero, orange above.

Blue and orange stay apart under the common kinds of colour blindness. The ends are light enough that dark text on
the strongest tint keeps a contrast of 4.5 : 1 (WCAG AA).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.view.numerals import number, prints_as_zero

RGB = tuple[int, int, int]

RAISES: RGB = (230, 97, 0)
LOWERS: RGB = (20, 120, 230)
PAPER: RGB = (255, 255, 255)
INK: RGB = (27, 31, 36)
#: opacity of the strongest tint behind words and numbers
STRONGEST = 0.8
#: opacity of the strongest tint over a picture, which must stay visible under it
VEIL = 0.66


def css(colour: RGB) -> str:
    """``#rrggbb``."""
    return "#{:02x}{:02x}{:02x}".format(*colour)


def tint(colour: RGB, opacity: float) -> str:
    """A colour laid over the paper of a page, light or dark, as a CSS colour."""
    if not opacity:
        return "transparent"
    red, green, blue = colour
    return f"rgb({red} {green} {blue} / calc({opacity:g} * var(--strength, 1)))"


def mix(over: RGB, opacity: float, under: RGB = PAPER) -> RGB:
    """A colour laid over another."""
    red, green, blue = (round(a * opacity + b * (1 - opacity)) for a, b in zip(over, under, strict=True))
    return red, green, blue


def contrast(a: RGB, b: RGB) -> float:
    """Contrast ratio of two colours, 1 to 21 (WCAG 2.2)."""

    def luminance(colour: RGB) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


@dataclass(frozen=True)
class Scale:
    """What colour a value has. Values are not changed: only what is shown is scaled, and the page says by how much.

    Attributes:
        limit: the largest absolute value, which gets the strongest tint; 0 where there is nothing to show.
    """

    limit: float

    @classmethod
    def of(cls, *arrays: NDArray[np.float64]) -> Scale:
        """The scale that fits all finite values of some arrays."""
        largest = [float(np.abs(a[np.isfinite(a)]).max(initial=0.0)) for a in arrays]
        return cls(max(largest, default=0.0))

    def share(self, value: float) -> float:
        """A value as a share of the limit, in [−1, 1]; 0 for what is not a number."""
        if not math.isfinite(value) or self.limit <= 0:
            return 0.0
        return max(-1.0, min(1.0, value / self.limit))

    def colour(self, value: float) -> RGB:
        """The pure colour of a value's side of zero."""
        return RAISES if value > 0 else LOWERS

    def opacity(self, value: float) -> float:
        """How strongly the colour covers what lies under it."""
        return round(STRONGEST * abs(self.share(value)), 3)

    def veil(self, value: float) -> float:
        """How strongly the colour covers a picture."""
        return round(VEIL * abs(self.share(value)), 3)

    def tint(self, value: float) -> str:
        """The colour of a value on paper, as a CSS colour; a dark page weakens it by its variable ``--strength``."""
        return tint(self.colour(value), self.opacity(value))

    def number(self, value: float) -> str:
        """A value in words, with as many decimals as the limit calls for."""
        return number(value, self.limit)

    def error(self, error: float) -> str:
        """``± 0.03``, or nothing where there is no standard error."""
        if math.isnan(error):
            return ""
        if error > 0 and prints_as_zero(error, self.limit):
            unit = number(self.limit or 1.0, self.limit, signed=False)
            decimals = len(unit.partition(".")[2])
            return f"± under {10.0**-decimals:.{decimals}f}"
        return f"± {number(error, self.limit, signed=False)}"
