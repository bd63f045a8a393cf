"""What an explanation says, in sentences. Used by the page, the figure and the terminal."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from chiasm.core.explanation import Explanation, TopPair, TopPlayer
from chiasm.view.numerals import number, percent, shorten

#: scale of the target → unit as it stands after a number, and what it is where that needs a word
_UNITS = {
    "log_probability": ("nats", "natural logarithm of a probability"),
    "probability": ("of probability", "from 0 to 1"),
    "logit": ("logits", ""),
    "similarity": ("of similarity", ""),
}
_TURNING = {"R", "AL", "AN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
#: a value within this many standard errors of zero may as well be zero
CONFIDENT = 1.96

SYNERGY = "A combination above zero is synergy: together the parts give more than the sum of what each gives alone."
REDUNDANCY = (
    "A combination below zero is redundancy: the parts give partly the same, so either one alone already does much of "
    "it (or one takes away what the other gives)."
)


def quoted(label: str, length: int = 60) -> str:
    """A label in quotation marks, cut where it is very long."""
    text = shorten(label, length)
    if any(unicodedata.bidirectional(c) in _TURNING for c in text):
        text = f"\u2068{text}\u2069"  # isolated, so that it does not turn the sentence around it
    return f"“{text}”"


def title(explanation: Explanation) -> str:
    """The first sentence: what the model answered, or what was explained where there is no answer."""
    prediction = explanation.prediction
    if prediction is None:
        return f"What {shorten(explanation.provenance.target, 120)} is made of"
    sure = "" if prediction.probability is None else f" ({percent(prediction.probability)})"
    return f"The model answered {quoted(prediction.answer, 200)}{sure}."


def other_answer(explanation: Explanation) -> str | None:
    """A sentence when what is explained is not what the model answered."""
    prediction = explanation.prediction
    if prediction is None or prediction.explained in (None, prediction.answer):
        return None
    p = prediction.explained_probability
    sure = "" if p is None else f", to which the model gives {percent(p)}"
    return f"Explained here is another answer, {quoted(str(prediction.explained), 200)}{sure}."


def alternatives(explanation: Explanation, k: int = 5) -> list[tuple[str, float]]:
    """The likeliest answers beside the model's own."""
    prediction = explanation.prediction
    if prediction is None:
        return []
    return [(answer, p) for answer, p in prediction.alternatives if answer != prediction.answer][:k]


def unit(explanation: Explanation) -> str:
    """The unit of all values as it stands after a number; empty where the target has none."""
    return _UNITS.get(str(explanation.provenance.target_spec.get("scale")), ("", ""))[0]


def unit_in_words(explanation: Explanation) -> str:
    """The unit with what it is, e.g. ``nats (natural logarithm of a probability)``; empty where there is none."""
    name, meaning = _UNITS.get(str(explanation.provenance.target_spec.get("scale")), ("", ""))
    return f"{name.removeprefix('of ')} ({meaning})" if meaning else name.removeprefix("of ")


def _is_log_probability(explanation: Explanation) -> bool:
    spec = explanation.provenance.target_spec
    return spec.get("scale") == "log_probability" and not spec.get("against")


def level(explanation: Explanation, value: float) -> str:
    """A value of the game; log-probabilities are also given as a probability."""
    text = number(value, signed=False)
    return f"{text} ({percent(math.exp(min(0.0, value)))})" if _is_log_probability(explanation) else text


def levels(explanation: Explanation) -> str | None:
    """How far the value moves between everything absent and everything present."""
    empty, full = explanation.empty, explanation.full
    if empty is None or full is None:
        return None
    return (
        f"With everything hidden it is {level(explanation, empty)}; with everything shown it is "
        f"{level(explanation, full)}: a difference of {number(full - empty)}, which the bars divide up."
    )


@dataclass(frozen=True)
class Share:
    """What one part alone, or one combination of parts, gives.

    Attributes:
        parts: the parts.
        label: the same in words.
        value: the contribution.
    """

    parts: tuple[str, ...]
    label: str
    value: float


def listed(names: tuple[str, ...]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def shares(explanation: Explanation) -> list[Share]:
    """What came from each part alone and what only from their combinations; empty where it is not known."""
    if () not in explanation.part_values:
        return []
    found = explanation.contributions
    if len(found) == 1:
        return [Share(parts, listed(parts), value) for parts, value in found.items()]
    return [
        Share(parts, f"{parts[0]} alone" if len(parts) == 1 else f"only {listed(parts)} together", value)
        for parts, value in found.items()
    ]


def has_combinations(explanation: Explanation) -> bool:
    """Whether more than one part contributes, so that combinations exist."""
    return any(len(share.parts) > 1 for share in shares(explanation))


def reading(pair: TopPair) -> str:
    """An interaction in plain words."""
    if math.isnan(pair.value):
        return "unknown"
    if pair.value == 0:
        return "do not interact"
    if not math.isnan(pair.error) and abs(pair.value) < CONFIDENT * pair.error:
        return "too uncertain to tell"
    return "work together" if pair.value > 0 else "give less together"


def strongest_players(explanation: Explanation, k: int, part: str | None = None) -> list[TopPlayer]:
    """The strongest players that have a value other than zero, of one part or of all."""
    known = [top for top in explanation.top(len(explanation.players), part) if not math.isnan(top.value) and top.value]
    return sorted(known, key=lambda top: -abs(top.value))[:k]


def strongest_pairs(explanation: Explanation, k: int) -> list[TopPair]:
    """The strongest pairs that are not zero; none where the method gives no pairs."""
    if explanation.pair is None:
        return []
    return [pair for pair in explanation.top_pairs(k) if pair.value != 0]


def gist(explanation: Explanation) -> list[str]:
    """The two or three sentences that a reader in a hurry needs."""
    found = []
    parts = shares(explanation)
    if len(parts) > 1 and any(share.value for share in parts):
        largest = max(parts, key=lambda share: abs(share.value))
        found.append(f"The largest share comes from {largest.label} ({number(largest.value)}).")
    if players := strongest_players(explanation, 1):
        label, part, value = quoted(players[0].label), players[0].player[0], number(players[0].value)
        found.append(f"The strongest single player is {label} of {part} ({value}).")
    pairs = strongest_pairs(explanation, 1)
    if pairs:
        a, b = (quoted(label) for label in pairs[0].labels)
        found.append(f"The strongest pair is {a} with {b} ({number(pairs[0].value)}): they {_they(pairs[0])}.")
    return found


def _they(pair: TopPair) -> str:
    words = reading(pair)
    return f"may do nothing, {words}" if words.startswith("too") else words


def typical_error(errors: NDArray[np.float64] | None) -> float | None:
    """The median standard error, zeros of a diagonal left out; ``None`` where there is none."""
    if errors is None:
        return None
    known = errors[np.isfinite(errors) & (errors > 0)]
    return float(np.median(known)) if known.size else None
