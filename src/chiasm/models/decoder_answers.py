"""Answers of decoder models: the model's own, and how a given one is spelled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chiasm.core.errors import InvalidInput
from chiasm.models.decoder_forward import Forward, Row
from chiasm.models.decoder_scoring import Ask, read
from chiasm.models.tokens import continuations

ALTERNATIVES = 5
"""How many other answers of one token are listed with their probabilities."""


class Answerer:
    """Reads answers off a model.

    Args:
        forward: the model.
        tokenizer: its tokenizer.
        max_new_tokens: longest own answer.
        placeholders: tokens that stand for pictures or videos; they are never written in an answer.
    """

    def __init__(self, forward: Forward, tokenizer: Any, max_new_tokens: int, placeholders: Sequence[int] = ()) -> None:
        """Collect the end tokens."""
        self.placeholders = sorted(set(placeholders))
        self.forward, self.tokenizer, self.max_new_tokens = forward, tokenizer, max_new_tokens
        model = forward.model
        text = model.config.get_text_config()
        sources = (getattr(model, "generation_config", None), text, model.config, tokenizer)
        self.ends: set[int] = set()
        for source in sources:
            found = getattr(source, "eos_token_id", None)
            self.ends |= set(found) if isinstance(found, list | tuple) else {found} if isinstance(found, int) else set()

    def own(self, row: Row, room: int | None = None) -> tuple[str, tuple[int, ...], bool]:
        """The greedy answer, its tokens without the end token, and whether it ended by itself.

        The most probable next token is taken ``max_new_tokens`` times or until an end token, by the forward pass that
        also scores answers, so that generation settings of the checkpoint (sampling, penalties) play no part. Tokens
        that stand for pictures are passed over. White space at the answer's ends is stripped.

        Args:
            row: the whole sample.
            room: how many tokens the model has positions for behind the prompt; ``None`` without a limit.
        """
        return self.own_of_each([row], room)[0]

    def own_of_each(self, rows: Sequence[Row], room: int | None = None) -> list[tuple[str, tuple[int, ...], bool]]:
        """`own` of several rows; those that have written the same so far share a pass.

        Args:
            rows: prompts.
            room: how many tokens the model has positions for behind the longest prompt; ``None`` without a limit.
        """
        most = self.max_new_tokens if room is None else min(self.max_new_tokens, room)
        written: dict[tuple[int, ...], list[int]] = {(): list(range(len(rows)))}
        found: list[tuple[str, tuple[int, ...], bool]] = [("", (), False)] * len(rows)
        while written:
            longer: dict[tuple[int, ...], list[int]] = {}
            for ids, places in written.items():
                text = self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()
                for place, best in zip(places, self._best([rows[k] for k in places], ids), strict=True):
                    if best in self.ends or len(ids) == most:
                        found[place] = (text, ids, best in self.ends)
                    else:
                        longer.setdefault((*ids, best), []).append(place)
            written = longer
        return found

    def _best(self, rows: Sequence[Row], ids: Sequence[int]) -> list[int]:
        """The most probable next token of each row that is no placeholder."""
        logits = self.forward.logits(rows, ids, 1)[:, -1].clone()
        logits[:, [k for k in self.placeholders if k < logits.shape[1]]] = -float("inf")
        found: list[int] = logits.argmax(dim=1).tolist()
        return found

    def alternatives(self, row: Row, own: Sequence[int]) -> tuple[tuple[str, float], ...]:
        """Other answers with their probabilities, best first, where they compare with the model's own answer.

        Only an own answer of one token has some: each listed answer is of one token too, after which the model would
        most probably end. First tokens of longer answers are no answers and are left out, as are spellings that read
        the same as the own answer.

        Args:
            row: the whole sample.
            own: the tokens of the model's own answer, complete.
        """
        if len(own) != 1:
            return ()
        chances = self.forward.logits([row], (), 1)[0, -1].softmax(dim=-1)
        best = chances.topk(min(2 * ALTERNATIVES, len(chances)))
        left_out = {*self.ends, *self.placeholders, *own}
        seen = {self.tokenizer.decode(list(own), skip_special_tokens=True).strip()}
        found: list[tuple[str, float]] = []
        for chance, token in zip(best.values.tolist(), best.indices.tolist(), strict=True):
            text = self.tokenizer.decode([token], skip_special_tokens=True).strip()
            if token in left_out or not text or text in seen or len(found) == ALTERNATIVES:
                continue
            if self._best([row], [token])[0] in self.ends:
                seen.add(text)
                found.append((text, chance))
        return tuple(found)

    def ways(self, prompt: str, answer: str) -> list[list[int]]:
        """The ways to spell a given answer behind a prompt.

        Raises:
            InvalidInput: it cannot be written, or it holds a token that stands for a picture.
        """
        found = continuations(self.tokenizer, prompt, answer)
        for token in self.placeholders:
            if any(token in way for way in found):
                name = self.tokenizer.convert_ids_to_tokens(token)
                raise InvalidInput(f"The answer {answer!r} holds {name!r}, which stands for a picture; remove it.")
        return found

    def spell(self, row: Row, ways: Sequence[Sequence[int]]) -> tuple[int, ...]:
        """The tokens of a given answer: of the ways to spell it, the most probable on the whole sample."""
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
        return self.probabilities([row], ids)[0]

    def probabilities(self, rows: Sequence[Row], ids: Sequence[int]) -> list[float]:
        """Probability of the tokens of one answer behind each of several prompts, under teacher forcing."""
        logits = self.forward.logits(rows, ids[:-1], len(ids))
        found: list[float] = read(logits, 0, Ask(tuple(ids), 0, len(ids)), "probability").tolist()
        return found
