"""What an explanation says, in sentences. Used by the page, the figure and the terminal."""

from __future__ import annotations

import math
import unicodedata
from dataclasses import dataclass

import numpy as np

from chiasm.core.explanation import Explanation, Prediction
from chiasm.core.players import PlayerId, Regions, Spans
from chiasm.view.numerals import number, percent, prints_as_zero, shorten

#: scale of the target → unit as it stands after a number, and what it is where the target's own words do not say it
_UNITS = {
    "log_probability": ("nats", "in nats (natural logarithm of a probability)"),
    "probability": ("of probability", "on a scale from 0 to 1"),
    "logit": ("logits", ""),
    "similarity": ("of similarity", ""),
}
_TURNING = {"R", "AL", "AN", "LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
#: scale of the target → what a model that compares its parts says of them
_FITS = {
    "similarity": "Similarity of the parts",
    "logit": "Fit of the parts (logit)",
    "probability": "Probability that the parts fit",
    "log_probability": "Log-probability that the parts fit",
}
#: combinations of parts that get a sentence
_MOST_SENTENCES = 3


def quoted(label: str, length: int = 60) -> str:
    """A label in quotation marks, cut where it is very long."""
    text = shorten(label, length)
    if any(unicodedata.bidirectional(c) in _TURNING for c in text):
        text = f"\u2068{text}\u2069"  # isolated, so that it does not turn the sentence around it
    return f"“{text}”"


def title(explanation: Explanation) -> str:
    """The first sentence: what the model answered, or what was explained where there is no answer of its own."""
    prediction = explanation.prediction
    if prediction is None:
        return f"What {shorten(explanation.provenance.target, 120)} is made of"
    if _only_compares(explanation):
        return _fit(explanation, prediction)
    remarks = [] if prediction.probability is None else [percent(prediction.probability)]
    remarks += [] if prediction.complete else ["cut at the model’s length limit"]
    answer = prediction.answer if prediction.complete else f"{shorten(prediction.answer, 190)} …"
    aside = f" ({', '.join(remarks)})" if remarks else ""
    return f"The model answered {quoted(answer, 200)}{aside}."


def _only_compares(explanation: Explanation) -> bool:
    """Whether the model says how well its parts fit and has no answer of its own."""
    return explanation.provenance.adapter == "dual encoder"


def _fit(explanation: Explanation, prediction: Prediction) -> str:
    """The title for a model that compares its parts."""
    if prediction.alternatives:
        sure = "" if prediction.probability is None else f" ({percent(prediction.probability)})"
        return f"Of the candidates, {quoted(prediction.answer, 200)} fits best{sure}."
    spec = explanation.provenance.target_spec
    text = _FITS.get(str(spec.get("scale")), "How well the parts fit")
    if against := spec.get("against"):
        text += f", compared with {quoted(str(against))}"
    if explanation.provenance.fixed:
        text += ", with what is held fixed"
    return text if explanation.full is None else f"{text}: {level(explanation, explanation.full)}"


def other_answer(explanation: Explanation) -> str | None:
    """A sentence when what is explained is not what the model answered."""
    prediction = explanation.prediction
    if prediction is None or prediction.explained in (None, prediction.answer):
        return None
    p = prediction.explained_probability
    which = quoted(str(prediction.explained), 200)
    if _only_compares(explanation):
        return f"Explained here is {which}{'' if p is None else f' ({percent(p)})'}."
    sure = "" if p is None else f", to which the model gives {percent(p)}"
    return f"Explained here is another answer, {which}{sure}."


def others(explanation: Explanation) -> str:
    """What the alternatives are called."""
    return "other candidates" if _only_compares(explanation) else "other answers"


def alternatives(explanation: Explanation, k: int = 5) -> list[tuple[str, float]]:
    """The likeliest answers beside the model's own."""
    prediction = explanation.prediction
    if prediction is None:
        return []
    return [(answer, p) for answer, p in prediction.alternatives if answer != prediction.answer][:k]


def unit(explanation: Explanation) -> str:
    """The unit of all values as it stands after a number; empty where the target has none."""
    if not explanation.provenance.signed:  # an order has no unit
        return ""
    return _UNITS.get(str(explanation.provenance.target_spec.get("scale")), ("", ""))[0]


def unit_in_words(explanation: Explanation) -> str:
    """The unit with what it is, e.g. ``on a scale from 0 to 1``; empty where the target's own words say it."""
    return _UNITS.get(str(explanation.provenance.target_spec.get("scale")), ("", ""))[1]


def with_unit(explanation: Explanation, what: str) -> str:
    """The label of an axis, e.g. ``value (probability)``."""
    name = unit(explanation).removeprefix("of ")
    return f"{what} ({name})" if name else what


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
    what = "every explained player" if partial(explanation) else "everything"
    divided = ", which the bars divide up" if shares(explanation) else ""
    return (
        f"With {what} hidden it is {level(explanation, empty)}; with {what} shown it is "
        f"{level(explanation, full)}: a difference of {number(full - empty)}{divided}."
    )


def partial(explanation: Explanation) -> bool:
    """Whether some of the sample is never hidden or never shown: held fixed, or owned by no player."""
    return bool(explanation.provenance.fixed) or any(
        _uncovered(part.geometry, part.content) for part in explanation.players.parts.values()
    )


def _uncovered(geometry: object, content: object) -> bool:
    """Whether elements (pixels, samples, characters other than white space) belong to no player."""
    if isinstance(geometry, Regions):
        return bool((geometry.label_map < 0).any())
    if not isinstance(geometry, Spans) or not isinstance(content, str | np.ndarray):
        return False
    owned = np.zeros(len(content) + 1, bool)
    for start, end in geometry.bounds.tolist():
        owned[start:end] = True
    if isinstance(content, np.ndarray):
        return not owned[:-1].all()
    return any(not mine and not c.isspace() for mine, c in zip(owned.tolist(), content, strict=False))


def held(explanation: Explanation, part: str) -> str:
    """What of a part was held fixed, e.g. ``held absent: image[3]``; empty where nothing was."""
    found: dict[bool, list[str]] = {}
    for who, present in explanation.provenance.fixed.items():
        if who == part:
            found.setdefault(present, []).insert(0, "the whole part")
        elif who.startswith(f"{part}["):
            found.setdefault(present, []).append(who)
    texts = []
    for present, names in sorted(found.items(), reverse=True):
        shown = ", ".join(names) if len(names) <= 6 else f"{', '.join(names[:5])} and {len(names) - 5} more"
        texts.append(f"held {state(present=present)}: {shown}")
    return "; ".join(texts)


def state(*, present: bool) -> str:
    """``present`` or ``absent``."""
    return "present" if present else "absent"


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


def combinations(explanation: Explanation) -> list[str]:
    """A sentence on each of the strongest combinations of parts, in words that its sign and its parts' signs allow."""
    every = shares(explanation)
    limit = max((abs(share.value) for share in every), default=0.0)
    alone = {share.parts[0]: share.value for share in every if len(share.parts) == 1}
    told = [share for share in every if len(share.parts) > 1 and not prints_as_zero(share.value, limit)]
    told = sorted(told, key=lambda share: -abs(share.value))[:_MOST_SENTENCES]
    return [_combined(share, alone) for share in every if share in told]


def _combined(share: Share, alone: dict[str, float]) -> str:
    more = "more" if share.value > 0 else "less"
    who = listed(share.parts)
    if len(share.parts) > 2:
        return f"{who}: together {more} than the smaller combinations add up to."
    if not all(alone[part] > 0 for part in share.parts):
        return f"{who}: together {more} than what each gives alone adds up to."
    name = "synergy" if share.value > 0 else "redundancy or saturation"
    return f"{who}: together they give {more} than the sum of what each gives alone ({name})."


def sentence(text: str) -> str:
    """A note as a sentence: a capital at the start, a full stop at the end."""
    text = text.strip()
    return text if not text else text[0].upper() + text[1:] + ("" if text[-1] in ".!?…" else ".")


@dataclass(frozen=True)
class Without:
    """One card of the strip "what if".

    Attributes:
        removed: the players that were hidden, for their pictures; empty where whole parts were.
        label: what was hidden, in words.
        answer: what the model answers then.
        probability: of that answer, or ``None``.
        changed: whether it is another answer than to the whole sample.
        before: how likely it was with the whole sample, as the end of a phrase, if it is the same answer.
    """

    removed: tuple[PlayerId, ...]
    label: str
    answer: str
    probability: float | None
    changed: bool
    before: str


def what_if(explanation: Explanation) -> list[Without]:
    """What the model answers when something is hidden, in words; nothing where it was not asked."""
    own = explanation.prediction.answer if explanation.prediction is not None else None
    sure = explanation.prediction.probability if explanation.prediction is not None else None
    before = "" if sure is None else f", {percent(sure)} before"
    found = []
    for one in explanation.what_if:
        players = tuple(player for player in one.removed if not isinstance(player, str))
        names = [
            f"the {name}" if isinstance(name, str) else f"“{explanation.players.label(name)}”" for name in one.removed
        ]
        label = f"without {' and '.join(names)}"
        found.append(Without(players, label, one.answer or "(nothing)", one.probability, one.answer != own, before))
    return found
