"""From logits to the value of a target: which tokens to score, in how many passes, on which scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chiasm.core.errors import InvalidInput
from chiasm.core.target import Scale, Target


@dataclass(frozen=True)
class Ask:
    """Tokens of an answer that are scored, given those before them.

    Attributes:
        ids: all tokens of the answer.
        start: first scored token.
        stop: the token after the last.
    """

    ids: tuple[int, ...]
    start: int
    stop: int


@dataclass(frozen=True)
class Pass:
    """One forward pass that serves one or more answers.

    Attributes:
        suffix: tokens that follow the prompt.
        keep: how many of the last positions are needed.
        asks: index of each answer served, and the column of its first scored token among those kept.
    """

    suffix: tuple[int, ...]
    keep: int
    asks: tuple[tuple[int, int], ...]


def check_target(target: Target) -> None:
    """Refuse targets that a decoder does not have.

    Raises:
        InvalidInput: a scale of other families, or candidates.
    """
    if target.scale in {"similarity", "value"}:
        raise InvalidInput(
            f"A decoder has no {target.scale}; choose log_probability, probability or logit (similarity belongs to "
            f"dual encoders, value to functions)."
        )
    if target.candidates:
        raise InvalidInput(
            "A decoder scores answers over its whole vocabulary; leave candidates out, or give one of them as 'answer' "
            "and another as 'against'."
        )
    if target.token is not None and target.token < 0:
        raise InvalidInput(f"The token index is {target.token}; count the answer's tokens from 0.")


def ask_of(target: Target, answer: str, ids: Sequence[int]) -> Ask:
    """The tokens of an answer that a target scores.

    Raises:
        InvalidInput: the answer has no such token, or a logit is asked of several tokens.
    """
    if target.token is None:
        if target.scale == "logit" and len(ids) > 1:
            raise InvalidInput(
                f"{answer!r} has {len(ids)} tokens and a logit belongs to one; give token=0 … {len(ids) - 1}, or use "
                f"log_probability."
            )
        return Ask(tuple(ids), 0, len(ids))
    if target.token >= len(ids):
        raise InvalidInput(f"{answer!r} has {len(ids)} tokens (0 … {len(ids) - 1}); there is no token {target.token}.")
    return Ask(tuple(ids), target.token, target.token + 1)


def plan(asks: Sequence[Ask]) -> list[Pass]:
    """The fewest forward passes that give every asked token: answers with a common beginning share one.

    A causal model's logits do not depend on what comes later, so a pass with a longer suffix serves a shorter one.
    """
    passes: list[tuple[tuple[int, ...], list[int]]] = []
    for k in sorted(range(len(asks)), key=lambda k: -asks[k].stop):
        suffix = asks[k].ids[: asks[k].stop - 1]
        for longer, served in passes:
            if longer[: len(suffix)] == suffix:
                served.append(k)
                break
        else:
            passes.append((suffix, [k]))
    found = []
    for suffix, served in passes:
        first = min(asks[k].start for k in served)
        found.append(Pass(suffix, len(suffix) + 1 - first, tuple((k, asks[k].start - first) for k in served)))
    return found


def read(logits: Any, column: int, ask: Ask, scale: Scale) -> Any:
    """The value of one answer.

    Args:
        logits: ``float32[rows, keep, vocabulary]``.
        column: where the first scored token's logits stand.
        ask: the tokens.
        scale: ``log_probability`` (summed over tokens), ``probability`` (its exponential) or ``logit`` (one token).

    Returns:
        ``float32[rows]``.
    """
    import torch

    wanted = torch.tensor(ask.ids[ask.start : ask.stop], device=logits.device)
    block = logits[:, column : column + len(wanted)]
    scores = block if scale == "logit" else torch.log_softmax(block, dim=-1)
    total = scores.gather(-1, wanted.expand(len(block), -1)[..., None])[..., 0].sum(dim=1)
    return total.exp() if scale == "probability" else total
