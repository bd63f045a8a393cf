"""A model with some of its weights drawn anew, from the answer downwards: for sanity checks of explanations."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from chiasm.core.errors import InvalidInput, MissingCapability

#: ``model.layers.3.mlp.fc1`` belongs to the layer ``model.layers.3``
_LAYER: Final = re.compile(r"^(.*?\.\d+)(\.|$)")


def layers(adapter: Any) -> list[str]:
    """The layers of an adapter's model, first the one nearest to the answer.

    A layer is a numbered block of a stack, or a module outside of every stack that has weights of its own. The order is
    that in which the model registers them, reversed: for a model with towers, head, then language model, then towers.

    Raises:
        MissingCapability: the adapter has no torch model.
    """
    return list(reversed(_weights(adapter)))


def _weights(adapter: Any) -> dict[str, list[Any]]:
    """Layer → its parameters, in the model's order; a parameter that two layers share belongs to the first."""
    model = getattr(adapter, "model", None)
    if model is None or not hasattr(model, "named_parameters"):
        raise MissingCapability(
            f"The weights of {getattr(adapter, 'name', adapter)!r} cannot be randomised: it wraps no torch model."
        )
    found: dict[str, list[Any]] = {}
    for name, parameter in model.named_parameters():
        block = _LAYER.match(name)
        found.setdefault(block[1] if block else name.rpartition(".")[0] or name, []).append(parameter)
    return found


@contextmanager
def randomised(adapter: Any, share: float = 1.0, seed: int = 0) -> Iterator[list[str]]:
    """Within this block the layers nearest to the answer have shuffled weights; afterwards they are as before.

    The entries of each weight are put in a random order, so that its distribution stays what it was. Explain within the
    block with no value cache: an adapter's fingerprint may have been taken before.

    Args:
        adapter: an adapter with a torch ``model``.
        share: of the layers, from the answer downwards; at least one layer, 1 for all.
        seed: of the orders.

    Yields:
        The names of the randomised layers.

    Raises:
        MissingCapability: the adapter has no torch model.
        InvalidInput: the share is not in (0, 1].
    """
    import torch

    if not 0 < share <= 1:
        raise InvalidInput(f"The share of layers to randomise is {share!r}; give a number above 0 and up to 1.")
    weights = _weights(adapter)
    names = list(reversed(weights))[: max(1, round(share * len(weights)))]
    chosen = [parameter for name in names for parameter in weights[name]]
    kept = [parameter.detach().clone() for parameter in chosen]
    generator = torch.Generator().manual_seed(seed)
    try:
        with torch.no_grad():
            for parameter in chosen:
                order = torch.randperm(parameter.numel(), generator=generator).to(parameter.device)
                parameter.copy_(parameter.reshape(-1)[order].reshape(parameter.shape))
        yield names
    finally:
        with torch.no_grad():
            for parameter, before in zip(chosen, kept, strict=True):
                parameter.copy_(before)
