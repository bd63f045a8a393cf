"""To explain once more: with parts held absent, another seed, another sample or another model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from chiasm.core.errors import MissingCapability, UnknownName
from chiasm.core.explanation import Explanation
from chiasm.core.game import Fixed, Game
from chiasm.core.sample import Sample
from chiasm.core.target import Target
from chiasm.estimators import estimators
from chiasm.estimators.estimate import explain_game
from chiasm.explainers.explain import explain
from chiasm.models.base import Adapter
from chiasm.models.games import make_game

#: ``(adapter, sample, fixed, seed)`` → explanation: how a method of one's own explains once more
OwnExplain = Callable[[Any, Sample | None, Fixed, int], Explanation]


@dataclass(frozen=True, eq=False)
class Again:
    """Repeats one explanation under other circumstances; what is not said otherwise stays as it was.

    Attributes:
        explanation: what is repeated; its provenance names method, index, budget and seed.
        game: the game that was played, no player fixed; values that it remembers cost nothing.
        fixed: what was held present or absent.
        adapter, sample: ``None`` for a game without a model: then only ``fixed`` and ``seed`` can change.
        players, maskers: part → segmenter and masker.
        target: the resolved target: the answer explained is the same throughout.
        own: explains in place of Chiasm's own methods.
    """

    explanation: Explanation
    game: Game
    fixed: Fixed
    adapter: Adapter | None = None
    sample: Sample | None = None
    players: Mapping[str, Any] | None = None
    maskers: Mapping[str, Any] | None = None
    target: Target | None = None
    own: OwnExplain | None = None

    @property
    def seed(self) -> int:
        """Seed of the explanation."""
        return self.explanation.provenance.seed or 0

    def __call__(
        self,
        *,
        fixed: Fixed | None = None,
        seed: int | None = None,
        sample: Sample | None = None,
        adapter: Any = None,
    ) -> Explanation:
        """Explain once more.

        Args:
            fixed: parts or players held, besides those that were.
            seed: another seed.
            sample: another sample of the same parts.
            adapter: another model, or the same one changed.

        Raises:
            MissingCapability: nobody knows how to repeat the method, or there is no model to do it with.
        """
        told = self.explanation.provenance
        held = {**self.fixed, **(fixed or {})}
        seed = self.seed if seed is None else seed
        if self.own is not None:
            return self.own(adapter or self.adapter, sample or self.sample, held, seed)
        how: dict[str, Any] = {"method": told.method, "budget": told.budget, "seed": seed}
        if told.method in estimators:
            how["index"] = told.index  # other methods have an index of their own and take no other
        if sample is None and adapter is None and told.method in estimators:
            return explain_game(Game(self.game, self.game.players, fixed=held, scale=self.game.scale), **how)
        if self.adapter is None or self.sample is None:
            raise MissingCapability(
                f"{told.method!r} cannot be repeated on another sample or model: there is no model."
            )
        try:
            return explain(
                adapter or self.adapter,
                sample or self.sample,
                players=self.players,
                maskers=self.maskers,
                target=self.target,
                fixed=held,
                cache=False,  # the weights may be changed in place, which no fingerprint taken before can tell
                **how,
            )
        except UnknownName as error:
            if error.name != told.method:
                raise
            raise MissingCapability(
                f"Nobody knows how to explain by {told.method!r} once more; "
                f"give evaluate(…, explain={{{told.method!r}: f}})."
            ) from error

    def sizes(self, sample: Sample) -> dict[str, int]:
        """How many players each part of another sample would have, fixed ones included.

        Raises:
            MissingCapability: there is no model.
        """
        if self.adapter is None:
            raise MissingCapability("Without a model there is no other sample.")
        found = self.adapter.prepare(sample).players(dict(self.players or {}))
        return {name: len(part) for name, part in found.parts.items()}

    def full(self, sample: Sample) -> float:
        """The target on another sample, every player present.

        Raises:
            MissingCapability: there is no model.
        """
        if self.adapter is None:
            raise MissingCapability("Without a model there is no other sample.")
        match = make_game(
            self.adapter, sample, players=self.players, maskers=self.maskers, target=self.target, fixed=self.fixed
        )
        return match.game.full()
