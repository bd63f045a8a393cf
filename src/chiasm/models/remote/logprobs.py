"""Log-probabilities out of a server's answers, and bounds where it gives the k likeliest tokens alone."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from chiasm.core.errors import MissingCapability, ModelError

#: a log-probability and whether it is an upper bound of it
Log = tuple[float, bool]


def given_answer(reply: dict[str, Any], answer: str) -> float:
    """Log-probability of an answer at the end of the prompt, by ``prompt_logprobs`` (an extension of vLLM).

    The answer's tokens are the fewest last ones that spell it, white space aside (some servers list tokens without).

    Raises:
        MissingCapability: the server gives no such thing.
        ModelError: the last tokens do not spell the answer.
    """
    listed = reply.get("prompt_logprobs")
    if not isinstance(listed, list) or not listed:
        raise MissingCapability(
            "The server gives no prompt_logprobs; use reading='forced', 'first', 'samples' or 'similarity'."
        )
    total, text = 0.0, ""
    for entry in reversed(listed):
        if not isinstance(entry, dict) or len(entry) != 1:
            break
        (token,) = entry.values()
        if not isinstance(token, dict) or not isinstance(token.get("decoded_token"), str):
            break
        text = token["decoded_token"] + text
        total += number(token.get("logprob"))
        if squeezed(text) == squeezed(answer):
            return total
        if len(squeezed(text)) > len(squeezed(answer)):
            break
    raise ModelError(f"The last tokens of the prompt do not spell the answer {answer!r}; use reading='forced'.")


def top_tokens(reply: dict[str, Any]) -> dict[str, float]:
    """The k likeliest first tokens with their log-probabilities.

    Raises:
        MissingCapability: the server gives none.
    """
    try:
        listed = reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        found: dict[str, float] = {}
        for entry in listed:  # several tokens may read the same
            value, token = number(entry["logprob"]), str(entry["token"])
            found[token] = max(value, found.get(token, value))
    except (LookupError, TypeError):
        found = {}
    if not found:
        raise MissingCapability(
            "The server gives no log-probabilities (or lists none for an answer that ends at once); use "
            "reading='samples', 'votes' or 'similarity', which need text alone."
        )
    return found


def written_tokens(reply: dict[str, Any]) -> list[str]:
    """The tokens that the model wrote, as texts; none where the server does not list them."""
    try:
        return [str(entry["token"]) for entry in reply["choices"][0]["logprobs"]["content"]]
    except (LookupError, TypeError):
        return []


def chance(reply: dict[str, Any]) -> float | None:
    """Probability of the answer that the model wrote, where its tokens have log-probabilities."""
    try:
        listed = reply["choices"][0]["logprobs"]["content"]
        return min(1.0, math.exp(math.fsum(number(entry["logprob"]) for entry in listed))) if listed else None
    except (LookupError, TypeError):
        return None


def beginning(top: dict[str, float], answer: str) -> Log:
    """Log-probability that the first token begins an answer, the k likeliest tokens given."""
    found = [value for token, value in top.items() if begins(token, answer)]
    return (min(0.0, float(np.logaddexp.reduce(found))), False) if found else (bound_outside(top), True)


def one_token(top: dict[str, float], token: str) -> Log:
    """Log-probability of one token, white space at its ends aside."""
    found = [value for text, value in top.items() if squeezed(text) == squeezed(token)]
    return (max(found), False) if found else (bound_outside(top), True)


def squeezed(text: str) -> str:
    """A text without its white space."""
    return "".join(text.split())


def begins(token: str, answer: str) -> bool:
    """Whether an answer begins with a token, white space aside."""
    return bool(squeezed(token)) and squeezed(answer).startswith(squeezed(token))


def bound_outside(top: dict[str, float]) -> float:
    """The highest log-probability that a token outside the top k can have: min(p_k, 1 − Σ p)."""
    left = max(1.0 - math.fsum(math.exp(value) for value in top.values()), 1e-12)
    return min([*top.values(), math.log(left)])


def number(value: Any) -> float:
    """A log-probability, checked.

    Raises:
        ModelError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value > 1e-3:
        raise ModelError(f"The server gave {value!r} as a log-probability.")
    return min(float(value), 0.0)
