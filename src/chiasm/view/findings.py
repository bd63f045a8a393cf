"""Which players and pairs stand out, how sure that is, and the words for it. Noise is never stated as fact."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation, TopPair, TopPlayer
from chiasm.core.players import PlayerId
from chiasm.view.numerals import number, prints_as_zero
from chiasm.view.wording import quoted, shares

#: a value within this many standard errors of zero may as well be zero
CONFIDENT = 2.0

NO_ERRORS = (
    "This method gives no standard errors: treat small interactions as possible noise; repeat with another --seed or "
    "use permutation or gp."
)
SOME_ERRORS = (
    "Pairs without ± were drawn too rarely for a standard error: they may be noise and are listed last; a larger "
    "--budget gives them one."
)


def shown(explanation: Explanation) -> tuple[Explanation, str]:
    """What is drawn of an explanation, and how that differs from its values, as a sentence or nothing.

    Of values without a sign only the differences speak; they are drawn above the smallest one.
    """
    if explanation.provenance.signed or not np.isfinite(explanation.single).any():
        return explanation, ""
    least = float(np.nanmin(explanation.single))
    if least == 0.0:
        return explanation, ""
    moved = replace(explanation, single=explanation.single - least)
    return moved, f"Shown is how far each value lies above the smallest, {number(least)}."


def is_exact(explanation: Explanation) -> bool:
    """Whether the values have no sampling error."""
    return explanation.provenance.method == "exact"


def errors_shown(explanation: Explanation) -> bool:
    """Whether standard errors are worth showing: the method has them, and they are not all zero by construction."""
    errors = explanation.single_errors
    nothing_drawn = errors is not None and explanation.pair is None and not errors.any()  # such as occlusion
    return errors is not None and not is_exact(explanation) and not nothing_drawn


def is_clear(value: float, error: float) -> bool:
    """Whether a value is further from zero than its standard error allows for; never with an unknown error."""
    return not math.isnan(error) and abs(value) > CONFIDENT * error


def reading(pair: TopPair, *, exact: bool = False, limit: float | None = None) -> str:
    """An interaction in plain words, after “they …”.

    Args:
        pair: the pair.
        exact: whether the method has no sampling error.
        limit: the largest number it stands beside, as in `chiasm.view.numerals.number`.
    """
    if math.isnan(pair.value):
        return "unknown"
    known = exact or not math.isnan(pair.error)
    if pair.value == 0 and (exact or pair.error == 0):
        return "do not interact"
    if known and not exact and not is_clear(pair.value, pair.error):
        return "not distinguishable from 0"
    if prints_as_zero(pair.value, limit):
        return "about zero"
    words = "work together" if pair.value > 0 else "give less together"
    return words if known else f"seem to {words}"


def caution(explanation: Explanation) -> str | None:
    """What a reader of the pairs must know about their noise; ``None`` where every error is known or zero."""
    pairs = [] if is_exact(explanation) else _known_pairs(explanation)
    if not any(math.isnan(pair.error) for pair in pairs):
        return None
    return NO_ERRORS if explanation.pair_errors is None else SOME_ERRORS


def _known_pairs(explanation: Explanation) -> list[TopPair]:
    """Every pair that is not zero, by falling absolute value; none where the method gives no pairs."""
    if explanation.pair is None:
        return []
    n = len(explanation.players)
    return [pair for pair in explanation.top_pairs(n * n) if pair.value != 0]


def strongest_pairs(explanation: Explanation, k: int) -> list[TopPair]:
    """The strongest pairs that are not zero; none where the method gives no pairs.

    Where the method has standard errors, pairs that are clear of theirs come first, those that are not come next, and
    those of which no error is known come last: a single lucky draw is no finding.
    """
    return sorted(_known_pairs(explanation), key=lambda pair: _rank(explanation, pair.value, pair.error))[:k]


def _rank(explanation: Explanation, value: float, error: float) -> int:
    if is_exact(explanation) or is_clear(value, error):
        return 0
    return 2 if math.isnan(error) else 1


def strongest_players(explanation: Explanation, k: int, part: str | None = None) -> list[TopPlayer]:
    """The strongest players that have a value other than zero, of one part or of all."""
    known = [top for top in explanation.top(len(explanation.players), part) if not math.isnan(top.value) and top.value]
    return sorted(known, key=lambda top: -abs(top.value))[:k]


def label(explanation: Explanation, player: PlayerId) -> str:
    """A player's label, with its part's name before it where another part is drawn in the same way."""
    own = explanation.players.parts[player[0]]
    alike = [
        name
        for name, part in explanation.players.parts.items()
        if len(part) and part.geometry is not None and type(part.geometry) is type(own.geometry)
    ]
    text = own.labels[player[1]]
    return f"{player[0]} {text}" if len(alike) > 1 else text


def gist(explanation: Explanation) -> list[str]:
    """The two or three sentences that a reader in a hurry needs."""
    found = []
    parts = shares(explanation)
    if len(parts) > 1 and any(share.value for share in parts):
        largest = max(parts, key=lambda share: abs(share.value))
        found.append(f"The largest share comes from {largest.label} ({number(largest.value)}).")
    if sentence := _strongest_player(explanation):
        found.append(sentence)
    if sentence := _strongest_pair(explanation):
        found.append(sentence)
    return found


def _strongest_player(explanation: Explanation) -> str | None:
    players = strongest_players(explanation, len(explanation.players))
    if not players:
        return None
    errors = explanation.single_errors is not None
    first = min(players, key=lambda top: _rank(explanation, top.value, top.error))  # the first of equal rank
    if errors and _rank(explanation, first.value, first.error):
        return "No single player can be told from 0 by its standard error."
    return f"The strongest single player is {_whose(explanation, first.player)} ({number(first.value)})."


def _strongest_pair(explanation: Explanation) -> str | None:
    pairs = strongest_pairs(explanation, 1)
    if not pairs:
        return None
    pair = pairs[0]
    if explanation.pair_errors is not None and _rank(explanation, pair.value, pair.error):
        return "No pair can be told from 0 by its standard error."
    a, b = (_whose(explanation, player) for player in pair.players)
    words = reading(pair, exact=is_exact(explanation))
    return f"The strongest pair is {a} with {b} ({number(pair.value)}): they {words}."


def _whose(explanation: Explanation, player: PlayerId) -> str:
    return f"{quoted(explanation.players.label(player))} of {player[0]}"


def typical_error(errors: NDArray[np.float64] | None) -> float | None:
    """The median standard error, zeros of a diagonal left out; ``None`` where there is none."""
    if errors is None:
        return None
    known = errors[np.isfinite(errors) & (errors > 0)]
    return float(np.median(known)) if known.size else None
