"""One way into a model's insides, for every family, so that no explainer ever names a model class.

An explainer asks the adapter for a `Trace` of one prepared sample and works with parts, streams and players alone::

    adapter.require("gradients", by="Integrated Gradients")
    trace = adapter.trace(prepared, players, maskers, target)      # target: from adapter.resolve
    whole, nobody = trace.inputs(), trace.inputs(np.zeros(len(players), bool))
    run = trace.run({part: torch.lerp(nobody[part], whole[part], 0.5) for part in whole})
    slope = run.gradients().inputs                                  # part → Tensor[1, *shape of the input]
    values = {part: trace.to_players(part, ((whole[part] - nobody[part]) * slope[part][0])) for part in whole}

**Inputs.** ``trace.inputs(present)`` gives, for each part, the tensor that the model can be differentiated by: of a
picture the pixel tensor as the model takes it (``[3, H, W]``, tiles ``[tiles, 3, h, w]``, or the flat patches
``[patches, values]`` of Qwen-VL), of a text the embeddings of its own tokens ``[tokens, width]``. They are float32
whatever the model computes in. ``run`` takes them with or without a leading batch axis; what it is not given stays
whole. The model's own forward pass runs on them: pictures go through its own tower, texts are put in by a hook on its
embedding layer, and its own code merges the two.

**Value.** ``Run.value`` (``Tensor[batch]``) is the scalar of the game: the whole sample's inputs give ``v(N)``, inputs
of a coalition give ``v(S)`` wherever the masker keeps the number of tokens (all maskers of pictures, ``mask``, and
content maskers that keep the tokens in place). Elsewhere (``attention``, ``delete`` …) a hidden token is stood in for
by the embedding of the padding token in every coalition, which the model does attend to; ``trace.stand_ins`` names
those parts and ``trace.notes`` says it in words. Rows never mix, so ``value.sum()`` has the gradients of all rows.

**Streams** are the sequences of tokens that attention moves information in: ``language`` of decoders, ``fusion`` of
ViLT, ``vision``, ``question`` and ``answer`` of BLIP, ``vision`` (then ``pool``, SigLIP) and ``text`` of dual encoders.
A picture of a decoder is read by a tower of its own first, the stream ``vision:PART`` (and ``queries:PART``, BLIP-2).
``run(…, attentions=True).attentions`` lists the attention maps in order of computation, ``[batch, heads, query tokens,
key tokens]``; query and key stream differ where one stream reads another. A map that keeps tiles or windows of a
picture apart is block-diagonal. A contrast of two answers that need two passes adds ``language:against`` or
``answer:against`` with the same positions; the streams without that ending belong to the answer itself.

**Where things stand.** ``trace.slots[part]``: the stream that a part's tokens stand in, their positions, and ``cover``
(``[players, tokens]``), the share of a token that each player owns: patch area within the player's region, characters
of the token within the word (white space counts for nobody). ``trace.towers[part]``: for the pictures of decoders, how
the tokens of the main stream come from those of the tower, and where the patches stand there. ``trace.read_out``: the
positions that the answer is read from. What a part's tokens get in the main stream goes on to its patches by
``on_tower = found[trace.slots[part].positions] @ tower.merge`` and from there by the tower's own maps (streams
``tower.stream``, then ``tower.slots.stream`` where that differs) to
``tower.slots.to_players(on_tower[tower.slots.positions])``.

**Gradients.** ``run.gradients(attentions=True, hidden=True)`` differentiates ``value.sum()`` (or a scalar of yours) by
inputs, attention maps and hidden states in one backward pass. Use it rather than ``autograd.grad`` on
``AttentionMap.weights``: some models compute a map in pieces, and then the map as a whole is no part of the graph.
The graph goes with the first call unless ``keep=True``, and the activations with the ``Run``.

**Resolution.** ``to_players(part, relevance)`` sums what was found at the resolution of an input (its own shape, or
that shape with channels or width already summed) over each player: a pixel belongs to the player whose region it is in
(shared by area where the model resized it), a token to its words by ``cover``. What belongs to no player is left out.
``trace.slots[part].to_players`` does the same for one number a token of a stream; ``trace.layouts[part].to_picture``
gives a map of the picture that the model sees, for pictures.

**Rules of one's own.** ``run(…, scores=f)`` puts ``f(query stream, key stream, scores)`` between the attention scores
and their softmax (AtMan, knock-outs). Methods that change how a layer propagates (AttnLRP) may put hooks of their own
on ``trace.model.modules()``, or call ``run`` in a ``TorchFunctionMode``; with ``eager=True`` attention is a plain
softmax between two matrix products in every family.

Hooks, attention implementation and ``requires_grad`` of the weights are as before when ``run`` returns or raises. While
it runs they are not, so nothing else may use the model from another thread.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, MissingCapability
from chiasm.core.players import Players
from chiasm.core.target import Target
from chiasm.modalities.base import Masker
from chiasm.models.trace_record import Recorder, Scores, frozen, rescored
from chiasm.models.trace_run import AttentionMap, Gradients, ReadOut, Run, Slots, Tower, as_array, by_row

if TYPE_CHECKING:
    import torch

    from chiasm.models.base import Prepared
    from chiasm.models.trace_pictures import Layout

__all__ = ["AttentionMap", "Gradients", "ReadOut", "Run", "Slots", "Tower", "Trace"]


class Trace(ABC):
    """The insides of a model on one sample; see the module's text.

    Attributes:
        model: the ``torch.nn.Module``.
        players: the players.
        target: the resolved target.
        slots: part → where its tokens stand in the main stream.
        towers: part → the tower before it, where there is one.
        read_out: where the value is read from.
        stand_ins: parts whose inputs of a coalition do not give the game's value (see the module's text).
        notes: what a reader of an explanation must know, one sentence each.
        batch_size: rows of one pass with gradients that fit the memory, a rough estimate.
    """

    model: Any
    slots: dict[str, Slots]
    towers: dict[str, Tower]
    read_out: list[ReadOut]
    batch_size: int = 1

    def __init__(self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], target: Target) -> None:
        """Keep what is traced; families fill in the rest."""
        self.prepared, self.players, self.maskers, self.target = prepared, players, maskers, target
        self.slots, self.towers, self.read_out = {}, {}, []
        self.layouts: dict[str, Layout] = {}
        self.stand_ins: frozenset[str] = frozenset()
        self.notes: list[str] = []
        self._whole: dict[str, torch.Tensor] | None = None

    def inputs(self, present: NDArray[np.bool_] | None = None) -> dict[str, torch.Tensor]:
        """The inputs of a coalition, without a batch axis, detached, float32, on the model's device.

        Args:
            present: ``bool[players]``; ``None`` for the whole sample, all False for the baseline.

        Raises:
            InvalidInput: another number of players.
        """
        import torch

        if present is not None:
            present = np.asarray(present, bool)
            if present.shape != (len(self.players),):
                raise InvalidInput(f"The coalition has shape {list(present.shape)}; give bool[{len(self.players)}].")
        with torch.no_grad():
            if present is not None and not present.all():
                return self._make(self.players.split(present[None]))
            if self._whole is None:
                self._whole = self._make(None)
        return {part: tensor.clone() for part, tensor in self._whole.items()}

    def run(
        self,
        inputs: Mapping[str, torch.Tensor] | None = None,
        *,
        attentions: bool = False,
        hidden: bool = False,
        grad: bool = True,
        eager: bool = False,
        scores: Scores | None = None,
    ) -> Run:
        """One pass through the model.

        Args:
            inputs: part → ``Tensor[*shape]`` or ``Tensor[batch, *shape]``; parts left out stay whole. Tensors that
                require a gradient keep their graph, of others detached copies are the leaves.
            attentions: record attention maps.
            hidden: record hidden states.
            grad: build the graph.
            eager: compute attention step by step though no maps are recorded.
            scores: (query stream, key stream, ``Tensor[rows, heads, query tokens, key tokens]``) → scores of the same
                shape, called for each layer before its softmax; what a mask hides is hugely negative there and must
                stay so. Layers that keep tiles or windows apart call it for each of them.

        Raises:
            InvalidInput: an unknown part, or a tensor of another shape.
            ModelError: the model computes attention in a way that gives no maps.
        """
        import torch

        stepwise = eager or attentions or scores is not None
        recorder = Recorder(attentions=attentions, hidden=hidden, eager=stepwise, scores=scores)
        with torch.inference_mode(mode=False), torch.set_grad_enabled(grad), frozen(self.model):
            given = self._batch(inputs or {}, grad=grad)
            cast = {part: tensor.to(self.model.dtype) for part, tensor in given.items()}
            with self._listening(recorder), rescored(recorder):
                value = self._forward(cast, recorder)
            rows = len(value)
            maps = [AttentionMap(one.query, one.key, one.whole(one.pieces, rows)) for one in recorder.maps]
            states = {name: [by_row(state, rows) for state in held] for name, held in recorder.states.items()}
        return Run(value, given, maps, states, recorder)

    def rescaled(self, scale: float) -> Trace:
        """The same sample, players and target, with its pictures resized before the model's own processor reads them.

        A model of one input size scales them back: it sees the same picture with less detail, or no change.

        Args:
            scale: how many times as high and wide as the picture that the model sees.

        Raises:
            InvalidInput: not a positive number.
            MissingCapability: this family prepares no picture anew.
        """
        del scale
        raise MissingCapability("This model's pictures cannot be resized for a second look; a decoder's can.")

    def to_players(self, part: str, relevance: Any) -> NDArray[np.float64]:
        """Sum relevance at the resolution of a part's input over its players.

        Args:
            part: name of the part.
            relevance: of the shape of ``inputs()[part]``, or of that shape with channels (of flat patches, values of
                the channels) or width summed; tensor or array.

        Returns:
            ``float64[players of the part]``.

        Raises:
            InvalidInput: another shape.
        """
        values = as_array(relevance)
        if part in self.layouts:
            return self.layouts[part].to_players(values)
        tokens = len(self.slots[part].positions)
        if values.ndim == 2 and len(values) == tokens:
            values = values.sum(axis=1)
        return self.slots[part].to_players(values)

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Logits of hidden states of the main stream: the model's last norm and its output layer.

        Args:
            hidden: ``Tensor[…, width]`` as in ``Run.hidden``.

        Returns:
            ``Tensor[…, vocabulary]``.

        Raises:
            MissingCapability: the model reads no vocabulary off this stream.
        """
        del hidden
        raise MissingCapability(
            "This model scores no vocabulary at each position of its main stream; a decoder model does. Use a method "
            "that needs gradients or attentions."
        )

    def _batch(self, inputs: Mapping[str, torch.Tensor], *, grad: bool) -> dict[str, torch.Tensor]:
        """All inputs with the same batch axis."""
        whole = self._whole if self._whole is not None else self.inputs()
        unknown = sorted(set(inputs) - set(whole))
        if unknown:
            raise InvalidInput(f"There is no part {unknown[0]!r}; the sample has {', '.join(whole)}.")
        found = {}
        for part, own in whole.items():
            given = inputs.get(part, own).to(own.device, own.dtype)
            if given.shape != own.shape and given.shape[1:] != own.shape:
                raise InvalidInput(
                    f"The input of part {part!r} has shape {list(given.shape)}; give {list(own.shape)}, or that with "
                    f"a batch axis before it."
                )
            found[part] = given[None] if given.ndim == own.ndim else given
        rows = max(len(tensor) for tensor in found.values())
        for part, tensor in found.items():
            if len(tensor) not in (1, rows):
                raise InvalidInput(f"Part {part!r} has {len(tensor)} rows and another part has {rows}; give as many.")
            wide = tensor.expand(rows, *tensor.shape[1:])
            found[part] = wide if wide.requires_grad or not grad else wide.detach().requires_grad_()
        return found

    @abstractmethod
    def _make(self, present: Mapping[str, NDArray[np.bool_]] | None) -> dict[str, torch.Tensor]:
        """Inputs of one coalition (part → ``bool[1, players]``) or of the whole sample."""

    @abstractmethod
    def _listening(self, recorder: Recorder) -> Any:
        """The context in which the recorder hears attention maps and hidden states."""

    @abstractmethod
    def _forward(self, inputs: Mapping[str, torch.Tensor], recorder: Recorder) -> torch.Tensor:
        """The value of each row, from inputs in the model's number format."""
