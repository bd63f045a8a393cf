"""What a pass through a model leaves, and where things stand in its streams; see `chiasm.models.trace`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.models.trace_record import Recorder

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Slots:
    """Where the tokens of a part stand in a stream.

    Attributes:
        stream: name of the stream.
        positions: ``int64[tokens]``.
        cover: ``float64[players of the part, tokens]``: the share of each token that belongs to each player; a column
            sums to 1, or to less where some of the token is nobody's.
    """

    stream: str
    positions: NDArray[np.int64]
    cover: NDArray[np.float64]

    def to_players(self, relevance: Any) -> NDArray[np.float64]:
        """Relevance of these tokens ``float[tokens]`` → ``float64[players]``, each token shared by `cover`.

        Raises:
            InvalidInput: not one number a token.
        """
        values = as_array(relevance)
        if values.shape != self.positions.shape:
            raise InvalidInput(
                f"The relevance has shape {list(values.shape)}; the part has {len(self.positions)} tokens in "
                f"{self.stream!r}. Pick them first: relevance[slots.positions]."
            )
        return self.cover @ values


@dataclass(frozen=True, eq=False)
class Tower:
    """What a picture goes through before its tokens stand in the main stream.

    Attributes:
        stream: the stream whose tokens become the part's tokens of the main stream.
        merge: ``float64[tokens of the part in the main stream, tokens of this stream]``: rows sum to 1; the patches
            that are merged into one token count alike.
        slots: where the picture's patches stand (in ``stream``; or, BLIP-2, in the stream that it reads by attention).
    """

    stream: str
    merge: NDArray[np.float64]
    slots: Slots


@dataclass(frozen=True, eq=False)
class ReadOut:
    """Where the value is read from.

    Attributes:
        stream: name of the stream.
        positions: ``int64[k]``: the positions whose last states are read.
        tokens: ``int64[k]``: what is read there: the token, or class, whose score counts; empty where vectors are
            compared (dual encoders).
        sign: −1 for the answer that a contrast subtracts, else 1.
    """

    stream: str
    positions: NDArray[np.int64]
    tokens: NDArray[np.int64]
    sign: int = 1


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """What one layer attends to.

    Attributes:
        query: the stream that reads.
        key: the stream that is read, mostly the same.
        weights: ``Tensor[batch, heads, query tokens, key tokens]``, float, with graph; rows sum to 1.
    """

    query: str
    key: str
    weights: torch.Tensor


@dataclass(frozen=True, eq=False)
class Gradients:
    """Derivatives of a scalar; zero where it does not depend on something.

    Attributes:
        inputs: part → ``Tensor[batch, *shape of the input]``.
        attentions: one a map, of the shape of its weights; empty if not asked for.
        hidden: stream → one ``Tensor[batch, tokens, width]`` a state; empty if not asked for.
    """

    inputs: dict[str, torch.Tensor]
    attentions: list[torch.Tensor]
    hidden: dict[str, list[torch.Tensor]]


@dataclass(eq=False)
class Run:
    """What a pass through the model left.

    Attributes:
        value: ``Tensor[batch]``: the target, float32 (float64 in a float64 model), with graph.
        inputs: part → ``Tensor[batch, *shape]`` as the pass took them, the leaves of the graph (or what you gave, if
            that has a graph of its own).
        attentions: in order of computation; empty if not asked for.
        hidden: stream → ``Tensor[batch, tokens, width]`` before the first layer and after each, not normalised by the
            model's last norm; empty if not asked for.
    """

    value: torch.Tensor
    inputs: dict[str, torch.Tensor]
    attentions: list[AttentionMap] = field(default_factory=list)
    hidden: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    recorder: Recorder | None = field(default=None, repr=False)

    def gradients(
        self,
        scalar: torch.Tensor | None = None,
        *,
        inputs: bool = True,
        attentions: bool = False,
        hidden: bool = False,
        keep: bool = False,
    ) -> Gradients:
        """Differentiate in one backward pass.

        Args:
            scalar: what to differentiate; by default ``value.sum()``, which gives every row its own gradient.
            inputs: by the inputs.
            attentions: by the attention maps, which must have been recorded.
            hidden: by the hidden states, which must have been recorded.
            keep: keep the graph for another backward pass.

        Raises:
            InvalidInput: the run has no graph, or did not record what is asked for.
        """
        import torch

        with torch.inference_mode(mode=False), torch.enable_grad():
            scalar = self.value.sum() if scalar is None else scalar
        if not scalar.requires_grad:
            raise InvalidInput("This pass has no graph to differentiate; call trace.run with grad=True.")
        if (attentions and not self.attentions) or (hidden and not self.hidden):
            raise InvalidInput("This pass recorded no such thing; call trace.run with attentions=True or hidden=True.")
        maps = self.recorder.maps if attentions and self.recorder else []
        states = self.recorder.states if hidden and self.recorder else {}
        wanted = list(self.inputs.values()) if inputs else []
        wanted += [piece for one in maps for piece in one.pieces] + [s for held in states.values() for s in held]
        slope = _slopes(scalar, wanted, keep=keep)
        rows = len(self.value)
        return Gradients(
            {part: slope(tensor) for part, tensor in self.inputs.items()} if inputs else {},
            [one.whole([slope(piece) for piece in one.pieces], rows) for one in maps],
            {name: [by_row(slope(s), rows) for s in held] for name, held in states.items()},
        )


def _slopes(scalar: torch.Tensor, tensors: list[torch.Tensor], *, keep: bool) -> Callable[[torch.Tensor], torch.Tensor]:
    """The derivatives of a scalar by tensors, as a function of the tensor; zero where it does not depend on it."""
    import torch

    live = [tensor for tensor in tensors if tensor.requires_grad]
    with torch.inference_mode(mode=False):
        found = torch.autograd.grad(scalar, live, allow_unused=True, retain_graph=keep)
    slopes = dict(zip(map(id, live), found, strict=True))

    def slope(tensor: torch.Tensor) -> torch.Tensor:
        own = slopes.get(id(tensor))
        return torch.zeros_like(tensor) if own is None else own

    return slope


def as_array(values: Any) -> NDArray[np.float64]:
    """A tensor or array as ``float64``."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().double().numpy()  # some devices have no float64
    return np.asarray(values, np.float64)


def by_row(state: torch.Tensor, rows: int) -> torch.Tensor:
    """Hidden states of all tiles and windows, ``[rows, tokens, width]``."""
    return state if state.ndim == 3 and len(state) == rows else state.reshape(rows, -1, state.shape[-1])
