"""What would the model answer without this part, without that pair? Asked once, when an explanation is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from chiasm.core.errors import BudgetSpent
from chiasm.core.explanation import Explanation, WhatIf
from chiasm.core.game import Fixed, Game
from chiasm.core.players import PlayerId
from chiasm.modalities.base import Masker
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame

Removed = tuple[str | PlayerId, ...]


def without_strongest(
    adapter: Adapter,
    match: ModelGame,
    maskers: Mapping[str, Masker],
    fixed: Fixed | None,
    found: Mapping[str, Explanation],
) -> dict[str, tuple[WhatIf, ...]]:
    """The model's answers without each part, and without what each method finds strongest.

    A pass or two for each distinct thing that is hidden, in one batch; the budget, which is of values, is not touched.

    Args:
        adapter: the model.
        match: its game on the sample.
        maskers: part → masker.
        fixed: what is held present or absent; that stays as it is.
        found: method → explanation.

    Returns:
        Method → answers; nothing for a model that writes none, or may be asked no more.
    """
    if "answers" not in adapter.capabilities:
        return {}
    game = Game(match.game, match.game.all_players, fixed=fixed)
    asked = {method: list(_removals(explanation)) for method, explanation in found.items()}
    every = list(dict.fromkeys(removed for several in asked.values() for removed in several))
    coalitions = np.ones((len(every), game.n), bool)
    for row, removed in zip(coalitions, every, strict=True):
        for one in removed:
            row[game.players.slices[one] if isinstance(one, str) else game.players.position(one)] = False
    try:
        answers = adapter.answers(match.prepared, game.all_players, maskers, game.expand(coalitions))
    except BudgetSpent:  # what was estimated stands without this
        return {}
    seen = {
        removed: WhatIf(removed, answer.answer, answer.probability)
        for removed, answer in zip(every, answers, strict=True)
    }
    return {method: tuple(seen[removed] for removed in several) for method, several in asked.items()}


def _removals(explanation: Explanation) -> Iterator[Removed]:
    """Each part, if there are several, then the strongest pair, or the strongest player where there are no pairs."""
    parts = [name for name, part in explanation.players.parts.items() if len(part)]
    if len(parts) > 1:
        yield from ((name,) for name in parts)
    if explanation.pair is not None and (pairs := explanation.top_pairs(1)):
        yield pairs[0].players
    elif np.isfinite(explanation.single).any():
        yield (explanation.top(1)[0].player,)
