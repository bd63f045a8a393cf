"""Readings of texts alone: of sampled answers, or of the likeness of answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from chiasm.core.target import Target
from chiasm.models.remote.likeness import exact, measure_of, plain, score
from chiasm.models.remote.reading import LETTERS, Body, Reading, Settings, Value, lettered, options_of, texts


class Drawn(Reading):
    """Readings of several sampled answers."""

    of_text = True

    def bodies(self, body: Body, target: Target) -> list[Body]:
        """Each with a seed of its own."""
        del target
        draws, seed = self.settings.samples, self.settings.seed
        return [{**body, "temperature": 1, "seed": seed + k} for k in range(draws)]

    @property
    def drawn(self) -> bool:
        """By chance."""
        return True

    @property
    def told(self) -> list[Any]:
        """How many."""
        return [self.settings.samples]


class Samples(Drawn):
    """Share of sampled answers that agree."""

    scales = ("probability",)
    gives = "share of sampled answers that read as the answer does; a request a sample"
    variance = "p(1 - p)/(n + 2) at p = (k + 1/2)/(n + 1), where k of n samples agree"

    def read(self, replies: Sequence[Body], target: Target) -> Value:
        """The share; of a contrast the difference of two."""
        counts = [[exact(text, answer) for text in texts(replies)] for answer in self.answers(target)]
        shares = [math.fsum(one) / len(one) for one in counts]
        return Value(shares[0] - sum(shares[1:]), sum(share_variance(sum(one), len(one)) for one in counts))


class Votes(Drawn):
    """Forced choice by sampled letters; the options turn with each sample, so that no letter is at an advantage."""

    scales = ("probability",)
    gives = "share of sampled votes for the answer among lettered options, which turn; a request a sample"
    variance = Samples.variance
    takes_candidates = None

    def bodies(self, body: Body, target: Target) -> list[Body]:
        """Each with its own seed and order of options."""
        options = options_of(self.answers(target))
        drawn = super().bodies(body, target)
        return [{**lettered(one, _turned(options, k)), "max_tokens": 4} for k, one in enumerate(drawn)]

    def read(self, replies: Sequence[Body], target: Target) -> Value:
        """Votes for no option count for none."""
        answers = self.answers(target)
        options = options_of(answers)
        votes = [voted(text, _turned(options, k)) for k, text in enumerate(texts(replies))]
        counts = [votes.count(answers[0]), *([votes.count(target.against)] if target.against is not None else [])]
        shares = [count / len(votes) for count in counts]
        return Value(shares[0] - sum(shares[1:]), sum(share_variance(count, len(votes)) for count in counts))


class Similarity(Drawn):
    """Likeness of the model's text to the answer, by a measure."""

    scales = ("similarity",)
    gives = "likeness of the model's text to the answer, from text alone; 1 request, or one a sample"
    variance = "none but the server's own; of n > 1 samples their variance over n"

    def __init__(self, settings: Settings) -> None:
        """Find the measure."""
        super().__init__(settings)
        self.name, self._measure = measure_of(settings.measure)

    @property
    def told(self) -> list[Any]:
        """The measure's name and how many samples."""
        return [self.name, self.settings.samples]

    @property
    def drawn(self) -> bool:
        """A single answer is the greedy one."""
        return self.settings.samples > 1

    def bodies(self, body: Body, target: Target) -> list[Body]:
        """The greedy answer, or samples."""
        return super().bodies(body, target) if self.drawn else [body]

    def read(self, replies: Sequence[Body], target: Target) -> Value:
        """The mean over samples; of a contrast the mean difference."""
        first, *rest = ([score(self._measure, text, one) for text in texts(replies)] for one in self.answers(target))
        each = np.array(first) - sum((np.array(one) for one in rest), np.zeros(len(first)))
        return Value(float(each.mean()), float(each.var(ddof=1)) / len(each) if len(each) > 1 else 0.0)

    def notes(self, target: Target) -> list[str]:
        """Which measure."""
        del target
        return [f"measure of likeness: {self.name}"]


def voted(text: str, options: Sequence[str]) -> str | None:
    """The option that a vote is for: its letter first, or its words."""
    said = plain(text)
    for letter, option in zip(LETTERS, options, strict=False):
        small = letter.casefold()
        if said in (plain(option), small) or said.startswith((f"{small})", f"{small}.", f"{small}:")):
            return option
    return None


def share_variance(count: float, n: int) -> float:
    """Variance of a share of which ``count`` of n were seen: that of its posterior from Jeffreys' prior.

    p(1 − p)/n at the share itself would be 0 where all samples agree, which no sample of n can prove.
    """
    p = (count + 0.5) / (n + 1)
    return p * (1 - p) / (n + 2)


def _turned(options: Sequence[str], k: int) -> list[str]:
    turn = k % len(options)
    return [*options[turn:], *options[:turn]]
