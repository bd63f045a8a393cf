"""What explainers that differentiate the model share: the ends of a path, batches that fit the memory, noise, players.

Everything goes through `chiasm.models.trace.Trace`: a part is a tensor that the model can be differentiated by (the
pixels as the model takes them, the embeddings of a text's tokens), whatever the model and whatever the modality. What
is found number by number is summed over each player by ``Trace.to_players``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import ModelError

if TYPE_CHECKING:
    import torch

    from chiasm.explainers.base import Subject
    from chiasm.models.trace import Trace

    Tensors = Mapping[str, torch.Tensor]

Floats = NDArray[np.float64]


def ends(subject: Subject, trace: Trace) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Part → input with all explained players present, and with none of them; players held fixed are in both alike."""
    return trace.inputs(subject.whole), trace.inputs(subject.none)


def batches(trace: Trace, rows: int) -> Iterator[slice]:
    """Stretches of rows that fit the memory."""
    for start in range(0, rows, trace.batch_size):
        yield slice(start, min(start + trace.batch_size, rows))


def slopes(trace: Trace, inputs: Tensors) -> tuple[NDArray[np.float64], dict[str, torch.Tensor]]:
    """Values and gradients by the inputs of one batch: ``float64[rows]`` and part → ``Tensor[rows, *shape]``.

    Raises:
        ModelError: a gradient is not finite.
    """
    run = trace.run(inputs)
    found = run.gradients().inputs
    for part, slope in found.items():
        require_finite(slope, part)
    return run.value.detach().cpu().double().numpy(), found


def require_finite(tensor: torch.Tensor, part: str) -> None:
    """Refuse a gradient that overflowed.

    Raises:
        ModelError: it did.
    """
    if not bool(tensor.isfinite().all()):
        raise ModelError(
            f"The gradient by part {part!r} is not finite: the model's number format overflows in the backward pass. "
            f"Load the model in bfloat16 or float32."
        )


def to_players(subject: Subject, trace: Trace, relevance: Tensors) -> Floats:
    """Relevance of the inputs' numbers, part → tensor of the input's shape → ``float64[explained players]``.

    The rule: the sum over what belongs to a player (a patch's pixels and channels, a word's tokens and their widths).
    What belongs to no player is left out.
    """
    values = np.concatenate([trace.to_players(part, relevance[part]) for part in trace.players.parts])
    return values[subject.free]


def noisy(inputs: Tensors, count: int, level: float, seed: int) -> dict[str, torch.Tensor]:
    """Copies of the inputs with normal noise, part → ``Tensor[count, *shape]``.

    Args:
        inputs: part → tensor.
        count: how many copies.
        level: standard deviation as a share of the part's range (largest less smallest number of its input).
        seed: the same seed gives the same noise on every device.
    """
    import torch

    generator = torch.Generator().manual_seed(seed)
    found = {}
    for part, tensor in inputs.items():
        size = level * (tensor.max() - tensor.min()) if tensor.numel() else 0.0
        noise = torch.randn((count, *tensor.shape), generator=generator).to(tensor.device, tensor.dtype)
        found[part] = tensor[None] + size * noise
    return found


def notes_of(trace: Trace, *more: str, baseline: bool = False) -> tuple[str, ...]:
    """Notes of the trace that bear on gradients (with a baseline: also how hidden tokens are stood in for), and more.

    What the trace says of attention maps and of tokens of the main stream has no bearing: gradients by the inputs go
    every way that the model goes.
    """
    return (*(note for note in trace.notes if baseline and "stood in for" in note), *more)
