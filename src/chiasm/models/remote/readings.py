"""What is read off a server's answers: the value of a target, and what it costs."""

from __future__ import annotations

import difflib
import math
from typing import Any, Final

from chiasm.core.errors import MissingCapability, ModelError

READINGS: Final = {
    "prompt": "log-probability of the given answer, from prompt log-probabilities; one request, exact",
    "first": "log-probability of the answer's first token among the top k; one request; outside the top k the value is "
    "an upper bound",
    "samples": "share of sampled answers that agree; n requests, variance p(1 - p)/n",
    "similarity": "likeness of the model's answer to the explained one, from text alone; one request",
}
"""Name → what it gives, the requests that a value costs, and its variance."""


def given_answer(reply: dict[str, Any], answer: str) -> float:
    """Log-probability of an answer at the end of the prompt, by ``prompt_logprobs`` (an extension of vLLM).

    The answer's tokens are the fewest last ones that spell it, white space at its ends aside.

    Raises:
        MissingCapability: the server gives no such thing.
        ModelError: the last tokens do not spell the answer.
    """
    listed = reply.get("prompt_logprobs")
    if not isinstance(listed, list) or not listed:
        raise MissingCapability("The server gives no prompt_logprobs; use reading='first', 'samples' or 'similarity'.")
    total, text = 0.0, ""
    for entry in reversed(listed):
        if not isinstance(entry, dict) or len(entry) != 1:
            break
        (token,) = entry.values()
        if not isinstance(token, dict) or not isinstance(token.get("decoded_token"), str):
            break
        text = token["decoded_token"] + text
        total += _number(token.get("logprob"))
        if text.strip() == answer.strip():
            return total
        if len(text.strip()) > len(answer.strip()):
            break
    raise ModelError(f"The last tokens of the prompt do not spell the answer {answer!r}; use reading='first'.")


def first_tokens(reply: dict[str, Any]) -> dict[str, float]:
    """The top k first tokens with their log-probabilities.

    Raises:
        MissingCapability: the server gives none.
    """
    try:
        listed = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found: dict[str, float] = {}
        for entry in listed:  # several tokens may read the same
            value = _number(entry["logprob"])
            found[entry["token"]] = max(value, found.get(entry["token"], value))
    except (LookupError, TypeError):
        found = {}
    if not found:
        raise MissingCapability(
            "The server gives no log-probabilities; use reading='samples' or 'similarity', which need text alone."
        )
    return found


def bound_outside(top: dict[str, float]) -> float:
    """The highest log-probability that a token outside the top k can have: min(p_k, 1 − Σ p)."""
    left = max(1.0 - math.fsum(math.exp(value) for value in top.values()), 1e-12)
    return min([*top.values(), math.log(left)])


def plain(text: str | None) -> str:
    """An answer without case, white space and marks at its ends."""
    return (text or "").strip().strip(".,;:!?\"'").casefold()


def likeness(one: str | None, other: str) -> float:
    """Matching characters, 2M/T of Ratcliff and Obershelp, in [0, 1]."""
    return difflib.SequenceMatcher(None, plain(one), plain(other)).ratio()


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > 1e-3:
        raise ModelError(f"The server gave {value!r} as a log-probability.")
    return min(float(value), 0.0)
