"""From values of single players to values of pairs, by a rule that has a name. Nothing is measured by it.

A method without pairs says nothing about pairs. Metrics and views that need pairs may be given lifted ones, to compare
methods or as a floor for those that do measure interaction; the explanation then carries the rule's name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.explainers.base import Explainer, Floats, Kind, Limit, Subject


def product(a: Floats, b: Floats, total: float) -> Floats:
    """Product over the sum of all absolute values: both must matter, and push the same way for a positive pair."""
    return np.asarray(a * b / total if total else a * b, np.float64)


def both(a: Floats, b: Floats, total: float) -> Floats:
    """Sum: what an additive model gives for showing both."""
    del total
    return np.asarray(a + b, np.float64)


def least(a: Floats, b: Floats, total: float) -> Floats:
    """The weaker of two values of one sign, 0 of two signs: the pair is as strong as its weaker player."""
    del total
    return np.asarray(np.where(np.sign(a) == np.sign(b), np.sign(a) * np.minimum(np.abs(a), np.abs(b)), 0.0))


Rule = Callable[[Floats, Floats, float], Floats]
RULES: dict[str, Rule] = {"product": product, "sum": both, "least": least}


def lift(explanation: Explanation, rule: str) -> Explanation:
    """The same explanation with values of the pairs across parts, by a rule; pairs within a part are NaN.

    Args:
        explanation: one without pairs.
        rule: ``"product"``, ``"sum"`` or ``"least"``, see `RULES`.

    Raises:
        UnknownName: no such rule.
        InvalidInput: the explanation has pairs of its own.
    """
    if rule not in RULES:
        raise UnknownName("rule", rule, RULES)
    made = explanation.provenance
    if explanation.pair is not None:
        raise InvalidInput(f"The method {made.method!r} gives pairs of its own; nothing is to be lifted.")
    single, n = explanation.single, len(explanation.players)
    pair = RULES[rule](single[:, None], single[None, :], float(np.abs(single).sum()))
    slices = list(explanation.players.slices.values())
    if sum(s.stop > s.start for s in slices) > 1:
        for where in slices:
            pair[where, where] = np.nan
    np.fill_diagonal(pair, 0.0)
    words = (RULES[rule].__doc__ or "").split("\n")[0].rstrip(".")
    note = f"pairs were not measured: the rule {rule!r} makes them from single values ({words})"
    return Explanation(
        players=explanation.players,
        single=single,
        single_errors=explanation.single_errors,
        pair=pair.reshape(n, n),
        part_values=explanation.part_values,
        prediction=explanation.prediction,
        provenance=replace(made, method=f"{made.method}+{rule}", notes=[*made.notes, note]),
    )


@dataclass(frozen=True, eq=False)
class Lifted:
    """A unary explainer with a rule: ``"lime+product"``.

    Attributes:
        inner: the explainer.
        rule: name of the rule.

    Raises:
        UnknownName: no such rule.
    """

    inner: Explainer
    rule: str

    def __post_init__(self) -> None:
        """Check the rule's name."""
        if self.rule not in RULES:
            raise UnknownName("rule", self.rule, RULES)

    @property
    def name(self) -> str:
        """Both names."""
        return f"{self.inner.name}+{self.rule}"

    @property
    def line(self) -> str:
        """What it does."""
        return f"{self.inner.line}; pairs by the rule {self.rule!r}"

    @property
    def kind(self) -> Kind:
        """As the explainer."""
        return self.inner.kind

    @property
    def needs(self) -> tuple[str, ...]:
        """As the explainer."""
        return self.inner.needs

    @property
    def cost(self) -> str:
        """As the explainer."""
        return self.inner.cost

    @property
    def pairs(self) -> bool:
        """By the rule."""
        return True

    @property
    def signed(self) -> bool:
        """As the explainer."""
        return self.inner.signed

    @property
    def source(self) -> str:
        """As the explainer."""
        return self.inner.source

    @property
    def indices(self) -> tuple[str, ...]:
        """As the explainer."""
        return self.inner.indices

    def default_budget(self, game: Game) -> int | None:
        """As the explainer."""
        return self.inner.default_budget(game)

    def explain(self, subject: Subject, *, index: str = "SII", budget: Limit = None, seed: int = 0) -> Explanation:
        """Explain, then lift."""
        return lift(self.inner.explain(subject, index=index, budget=budget, seed=seed), self.rule)
