"""What values of a model cost, in units of what one costs when nothing is shared: weights used, times tokens.

A pass takes about two operations for each weight and token; attention, embeddings and the last layer are left out. That
is close enough to tell a design that shares encodings from one that scatters coalitions, which is all it is for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chiasm.core.game import Costs


def weights_in(*modules: Any) -> int:
    """Weights of modules that every token passes through: all but tables of embeddings and last layers."""
    return sum(
        weight.numel()
        for module in modules
        for name, weight in module.named_parameters()
        if "embed_tokens" not in name and "token_embedding" not in name and "lm_head" not in name
    )


def relative(encode: Mapping[str, float], cell: float) -> Costs:
    """Costs in any unit → costs that sum to one where every part has a single coalition."""
    total = sum(encode.values()) + cell
    return Costs({part: cost / total for part, cost in encode.items()}, cell / total)
