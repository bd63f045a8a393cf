"""Answers of decoder models: the model's own, and how a given one is spelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chiasm.models.decoder_forward import Forward, Row
from chiasm.models.decoder_scoring import Ask, read
from chiasm.models.tokens import continuations

ALTERNATIVES = 5
"""How many first tokens are listed with their probabilities."""


class Answerer:
    """Reads answers off a model.

    Args:
        forward: the model.
        tokenizer: its tokenizer.
        max_new_tokens: longest own answer.
    """

    def __init__(self, forward: Forward, tokenizer: Any, max_new_tokens: int) -> None:
        """Collect the end tokens."""
        self.forward, self.tokenizer, self.max_new_tokens = forward, tokenizer, max_new_tokens
        model = forward.model
        text = model.config.get_text_config()
        sources = (getattr(model, "generation_config", None), text, model.config, tokenizer)
        self.ends: set[int] = set()
        for source in sources:
            found = getattr(source, "eos_token_id", None)
            self.ends |= set(found) if isinstance(found, list | tuple) else {found} if isinstance(found, int) else set()

    def own(self, row: Row) -> tuple[str, tuple[int, ...]]:
        """The greedy answer and its tokens, without the end token; white space at its ends is stripped.

        The most probable next token is taken ``max_new_tokens`` times or until an end token, by the forward pass that
        also scores answers, so that generation settings of the checkpoint (sampling, penalties) play no part.
        """
        ids: list[int] = []
        for _ in range(self.max_new_tokens):
            best = int(self.forward.logits([row], ids, 1)[0, -1].argmax())
            if best in self.ends:
                break
            ids.append(best)
        return self.tokenizer.decode(ids, skip_special_tokens=True).strip(), tuple(ids)

    def first_tokens(self, row: Row) -> tuple[tuple[str, float], ...]:
        """The most probable first tokens with their probabilities, best first."""
        chances = self.forward.logits([row], (), 1)[0, -1].softmax(dim=-1)
        best = chances.topk(min(ALTERNATIVES, len(chances)))
        return tuple(
            (self.tokenizer.decode([int(token)]).strip() or repr(self.tokenizer.decode([int(token)])), float(chance))
            for chance, token in zip(best.values, best.indices, strict=True)
        )

    def spell(self, row: Row, prompt: str, answer: str) -> tuple[int, ...]:
        """The tokens of a given answer: of the ways to spell it, the most probable on the whole sample."""
        ways = continuations(self.tokenizer, prompt, answer)
        if len(ways) == 1:
            return tuple(ways[0])
        scores = [self.log_probability(row, ids) for ids in ways]
        return tuple(ways[scores.index(max(scores))])

    def log_probability(self, row: Row, ids: Sequence[int]) -> float:
        """Log-probability of the tokens of an answer under teacher forcing."""
        logits = self.forward.logits([row], ids[:-1], len(ids))
        return float(read(logits, 0, Ask(tuple(ids), 0, len(ids)), "log_probability")[0])

    def probability(self, row: Row, ids: Sequence[int]) -> float:
        """Probability of the tokens of an answer under teacher forcing."""
        logits = self.forward.logits([row], ids[:-1], len(ids))
        return float(read(logits, 0, Ask(tuple(ids), 0, len(ids)), "probability")[0])
