"""Grad-CAM on transformers: hidden states weighed by their mean gradient."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.explainers.base import Floats, Found, Subject, WhiteBox
from chiasm.explainers.gradients import batches, noisy, notes_of, require_finite

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Gradients, Run, Slots, Trace

_AGAINST = ":against"
_NEEDS = ("gradients", "hidden_states")


def cam(
    states: torch.Tensor, gradients: torch.Tensor, tokens: Iterable[int], over: Iterable[int] | None = None
) -> torch.Tensor:
    """The class activation map before its relu: Σ_c w_c·A_tc, w_c the mean over tokens of ∂v/∂A_tc (eq. 1, 2).

    Args:
        states: ``Tensor[rows, tokens of the stream, channels]``.
        gradients: of the value by them.
        tokens: whose map is wanted.
        over: the tokens over which the gradient is averaged; by default those.

    Returns:
        ``Tensor[rows, len(tokens)]``.
    """
    kept = [int(token) for token in tokens]
    mean = kept if over is None else list(over)
    weights = gradients[:, mean].mean(dim=1, keepdim=True)
    found: torch.Tensor = (weights * states[:, kept]).sum(dim=-1)
    return found


def where_placed(trace: Trace, part: str, *, tower: bool) -> Slots:
    """The tokens of a part that stand somewhere in it: in its tower if there is one (and wanted), or the main stream.

    Raises:
        MissingCapability: they stand nowhere in it.
    """
    found = trace.towers[part].slots if tower and part in trace.towers else trace.slots[part]
    if len(trace.players[part]) and not found.cover.any():
        raise MissingCapability(
            f"The tokens that part {part!r} has in the stream {found.stream!r} lie nowhere in it, so no map of them "
            f"can be given to its players; use gradcam, or a method that differentiates by the input "
            f"(integrated-gradients)."
        )
    return found


def parallel(run: Run, stream: str) -> list[str]:
    """A stream and, of a contrast that needs two passes, its twin."""
    return [name for name in (stream, stream + _AGAINST) if name in run.hidden]


def last_live(trace: Trace, slopes: Gradients, streams: Sequence[str], positions: NDArray[np.int64]) -> int | None:
    """The last state in which tokens still have a way to the value, or ``None``.

    Where the value is read from one position, the others have no gradient in the last state; the position itself does
    not count, unless a part has no other token.
    """
    for among in (_unread(trace, streams, positions), positions):
        depth = max((len(slopes.hidden[name]) for name in streams), default=0)
        for layer in range(depth - 1, -1, -1):
            if len(among) and any(bool(slopes.hidden[n][layer][:, among.tolist()].any()) for n in streams):
                return layer
    return None


def _unread(trace: Trace, streams: Sequence[str], positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions that the value is not read from."""
    read = [one.positions for one in trace.read_out if one.stream in streams]
    return np.setdiff1d(positions, np.concatenate(read)) if read else positions


def _map(
    run: Run, slopes: Gradients, streams: Sequence[str], layer: int, slots: Slots, *, everyone: bool = False
) -> torch.Tensor:
    """Relu of the maps of parallel streams taken together, ``Tensor[rows, tokens of the part]``.

    Args:
        run: of the copies.
        slopes: by its hidden states.
        streams: from `parallel`.
        layer: which state.
        slots: of the part.
        everyone: average gradients over all tokens of the stream rather than the part's.
    """
    import torch

    maps = []
    for name in streams:
        states, slope = run.hidden[name][layer].detach().float(), slopes.hidden[name][layer].float()
        require_finite(slope, name)
        maps.append(cam(states, slope, slots.positions, range(states.shape[1]) if everyone else None))
    return torch.stack(maps).sum(dim=0).clamp(min=0)


class GradCam(WhiteBox):
    """relu(Σ_c w_c·A_tc) for each token of a part, w_c the mean over the part's tokens of ∂v/∂A_tc.

    A are the hidden states of the stream in which the part's tokens stand: of a picture that is read by a tower of its
    own, in that tower. The state is the last in which they still have a way to the value. A player gets the sum over
    its tokens, by ``Slots.to_players``. Each part has weights of its own, so sizes are comparable within a part only.
    """

    name = "gradcam"
    line = "hidden states of a part weighed by their mean gradient"
    needs = _NEEDS
    cost = "1 forward and 1 backward pass"
    signed = False
    source = "Selvaraju et al. 2017, Grad-CAM (arXiv 1610.02391), eq. 1–2"
    indices = ("gradcam",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox.find`."""
        del index, seed
        trace = subject.trace()
        placed = {part: where_placed(trace, part, tower=True) for part in trace.players.parts}
        run = trace.run(trace.inputs(subject.whole), hidden=True)
        slopes = run.gradients(inputs=False, hidden=True)
        values, layers, dead = [], {}, []
        for part, slots in placed.items():
            streams = parallel(run, slots.stream)
            layer = last_live(trace, slopes, streams, slots.positions)
            if layer is None:
                dead.append(f"no hidden state of part {part!r} has a gradient; its values are 0")
                values.append(np.zeros(len(trace.players[part])))
                continue
            found = _map(run, slopes, streams, layer, slots)
            values.append(slots.to_players(found[0]))
            layers[part] = f"{slots.stream} {layer} of {len(run.hidden[slots.stream]) - 1}"
        note = "states of " + ", ".join(f"{part!r}: {layer}" for part, layer in layers.items())
        return Found(
            np.concatenate(values)[subject.free],
            notes=notes_of(trace, note, "sizes are comparable within a part only", *dead),
            extra={"layers": layers},
        )


class LlavaCam(WhiteBox):
    """Grad-CAM on the states of the stream in which all parts stand, averaged over noisy copies of the inputs.

    The channel weight is the mean of the gradient over all tokens of the stream, one for all parts; relu follows for
    each copy. The maps of all states that have a gradient at the parts' tokens are averaged.

    Args:
        copies: noisy copies.
        level: standard deviation of the noise as a share of the range of a part's input.

    Raises:
        InvalidInput: no copies, or a negative level.
    """

    name = "llava-cam"
    line = "Grad-CAM where all parts stand in one stream, averaged over noisy copies"
    needs = _NEEDS
    signed = False
    source = "Zhang et al. 2024, From redundancy to relevance (arXiv 2406.06579), section 3"
    indices = ("llava-cam",)

    def __init__(self, copies: int = 8, level: float = 0.1) -> None:
        """Check the numbers."""
        if copies < 1 or level < 0:
            raise InvalidInput(f"LLaVA-CAM has {copies} copies and level {level}; give ≥ 1 and ≥ 0.")
        self.copies, self.level = copies, level
        self.cost = f"{copies} forward and backward passes"

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox.find`."""
        del index
        trace = subject.trace()
        shared = self._shared(trace)
        inputs = trace.inputs(subject.whole)
        total: Floats = np.zeros(len(trace.players))
        for batch in batches(trace, self.copies):
            copies = noisy(inputs, batch.stop - batch.start, self.level, seed * self.copies + batch.start)
            run = trace.run(copies, hidden=True)
            total += self._maps(trace, run, shared)
        note = f"noise of {self.level:.0%} of each part's range, {self.copies} copies"
        return Found((total / self.copies)[subject.free], notes=notes_of(trace, note))

    def _shared(self, trace: Trace) -> str:
        """The one stream in which every part's tokens stand.

        Raises:
            MissingCapability: there is none, or a part's tokens lie nowhere in the part.
        """
        streams = {where_placed(trace, part, tower=False).stream for part in trace.players.parts}
        if len(streams) > 1:
            raise MissingCapability(
                f"LLaVA-CAM reads the states of one stream in which all parts stand; in this model they stand in "
                f"{', '.join(sorted(streams))}. Use gradcam, which takes each part in its own stream."
            )
        return streams.pop()

    def _maps(self, trace: Trace, run: Run, stream: str) -> Floats:
        """Maps of a batch summed over copies, for all players."""
        slopes = run.gradients(inputs=False, hidden=True)
        streams = parallel(run, stream)
        positions = np.concatenate([slots.positions for slots in trace.slots.values()])
        last = last_live(trace, slopes, streams, positions)
        total = np.zeros(len(trace.players))
        for layer in range((-1 if last is None else last) + 1):
            for part, where in trace.players.slices.items():
                slots = trace.slots[part]
                total[where] += slots.to_players(_map(run, slopes, streams, layer, slots, everyone=True).sum(dim=0))
        return total / max((last or 0) + 1, 1)


GRADCAM = GradCam()
LLAVA_CAM = LlavaCam()
