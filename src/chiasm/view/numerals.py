"""Numbers as people read them."""

from __future__ import annotations

import math

MINUS = "\u2212"
NOTHING = "–"
_PERCENT = "\u00a0%"  # a space that does not break


def number(value: float, limit: float | None = None, *, signed: bool = True) -> str:
    """A number with two or three significant digits.

    Args:
        value: the number; what is not a number becomes a dash.
        limit: the largest absolute number it stands beside, so that a column has the same decimals throughout.
        signed: whether a plus sign is written.
    """
    if math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else f"{MINUS}∞"
    size = abs(value) if limit is None else max(abs(limit), abs(value))
    if size == 0:
        return "0"
    magnitude = math.floor(math.log10(size))
    if -4 <= magnitude <= 6:
        decimals = min(6, max(0, 2 - magnitude if magnitude >= 0 else 1 - magnitude))
        text = f"{value:+.{decimals}f}"
        if float(text) == 0:
            return text.lstrip("+-")
    else:
        text = f"{value:+.2e}" if value else "0"
    if not signed:
        text = text.lstrip("+")
    return text.replace("-", MINUS)


def prints_as_zero(value: float, limit: float | None = None) -> bool:
    """Whether a reader sees a zero."""
    return not any(c in "123456789" for c in number(value, limit).partition("e")[0]) and math.isfinite(value)


def percent(probability: float) -> str:
    """``98 %``; near 0 and 1 with a decimal, and never a rounded 0 % or 100 % that is not one."""
    share = 100 * probability
    if math.isnan(share):
        return f"{NOTHING}{_PERCENT}"
    if 0 < share < 0.1:
        return f"under 0.1{_PERCENT}"
    if 99.9 < share < 100:
        return f"over 99.9{_PERCENT}"
    decimals = 0 if 1 <= share <= 99 or share in (0.0, 100.0) else 1
    return f"{share:.{decimals}f}{_PERCENT}"


def whole(n: int) -> str:
    """A whole number, thousands parted by commas, as in messages and notes."""
    return f"{n:,}"


def count(n: int, noun: str, plural: str | None = None) -> str:
    """``1 value``, ``2 values``, ``1,000 values``."""
    return f"{whole(n)} {noun if n == 1 else plural or f'{noun}s'}"


def shorten(text: str, length: int) -> str:
    """A text cut at ``length`` characters, with an ellipsis where something was cut off."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: max(1, length - 1)].rstrip() + "…"
