"""The insides of dual encoders: two towers, ``vision`` and ``text``, that meet in a product of vectors.

SigLIP's vision tower ends in a stream of one token of its own, ``pool``, that reads all patches.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from chiasm.core.players import Players
from chiasm.core.target import Target
from chiasm.modalities.base import Masker
from chiasm.models.trace import ReadOut
from chiasm.models.trace_decoder import stack_bytes
from chiasm.models.trace_pair import PairTrace, on_scale
from chiasm.models.trace_record import Recorder, embedded, pooled_by_heads, states_of, step_by_step
from chiasm.models.weights import auto_batch_size

if TYPE_CHECKING:
    from chiasm.models.base import Prepared
    from chiasm.models.dual_encoder import DualEncoderAdapter

VISION, TEXT, POOL = "vision", "text", "pool"


class DualTrace(PairTrace):
    """CLIP and SigLIP; see `chiasm.models.trace.Trace`."""

    def __init__(
        self,
        adapter: DualEncoderAdapter,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
    ) -> None:
        """Find out where everything stands."""
        self.embedding = adapter.model.text_model.get_input_embeddings()
        super().__init__(adapter, prepared, players, maskers, target)
        self.dual = adapter
        self.sigmoid = adapter.model.config.model_type == "siglip"
        self.place(VISION, 0 if self.sigmoid else 1, TEXT)
        first, none = np.zeros(1, np.int64), np.zeros(0, np.int64)
        ids = self.collated(1)[0][0].cpu().numpy()
        last = len(ids) - 1 if self.sigmoid else adapter._end_position(ids)  # noqa: SLF001 - one family
        self.read_out = [
            ReadOut(POOL if self.sigmoid else VISION, first, none),
            ReadOut(TEXT, np.array([last], np.int64), none),
        ]
        self.others = list(dict.fromkeys([*target.candidates, *([target.against] if target.against else [])]))
        self.vectors = adapter.text_vectors(self.others) if self.others else None
        size = adapter.dtype.itemsize
        need = stack_bytes(adapter.model.config.vision_config, 1 + self.slots[self.image].cover.shape[1], size)
        need += stack_bytes(adapter.model.config.text_config, len(ids), size)
        self.batch_size = auto_batch_size(adapter.device, need, on_cpu=8)

    @contextmanager
    def _listening(self, recorder: Recorder) -> Iterator[None]:
        """See `Trace`."""
        vision, text = self.model.vision_model, self.model.text_model
        recorder.assign(vision.modules(), VISION)
        recorder.assign(text.modules(), TEXT)
        head = getattr(getattr(vision, "head", None), "attention", None)
        with ExitStack() as stack:
            stack.enter_context(step_by_step(self.model, recorder))
            if head is not None:
                recorder.assign([head], POOL, VISION)
                stack.enter_context(pooled_by_heads(head, recorder))
                stack.enter_context(states_of(POOL, [head], recorder))
            for stream, tower in ((VISION, vision), (TEXT, text)):
                stack.enter_context(states_of(stream, list(tower.encoder.layers), recorder))
            yield

    def _forward(self, inputs: Mapping[str, Any], recorder: Recorder) -> Any:
        """See `Trace`."""
        del recorder
        picture = unit(self.model.get_image_features(pixel_values=inputs[self.image]))
        ids, attention = self.collated(len(picture))
        with embedded(self.embedding, self.own.positions, inputs[self.text], tuple(ids.shape)):
            text = unit(self.model.get_text_features(input_ids=ids, attention_mask=attention))
        return self._on_scale(picture, (picture * text).sum(dim=-1))

    def _on_scale(self, picture: Any, own: Any) -> Any:
        """What `DualEncoderAdapter.on_scale` does, with a graph."""
        import torch

        cosines = {"": own}
        if self.vectors is not None:
            others = picture @ torch.as_tensor(self.vectors, dtype=picture.dtype, device=picture.device).T
            cosines |= dict(zip(self.others, others.unbind(dim=-1), strict=True))
        target = self.target
        if target.scale != "similarity":
            scale = self.model.logit_scale.detach().to(picture.dtype).exp()
            shift = self.model.logit_bias.detach().to(picture.dtype) if self.sigmoid else 0.0
            cosines = {name: cosine * scale + shift for name, cosine in cosines.items()}
        if target.scale in {"probability", "log_probability"}:
            if self.sigmoid:
                cosines = {name: torch.nn.functional.logsigmoid(logit) for name, logit in cosines.items()}
            else:
                names = ["", *target.candidates]
                table = torch.stack([cosines[name] for name in names], dim=-1).log_softmax(dim=-1)
                cosines = dict(zip(names, table.unbind(dim=-1), strict=True))
        other = None if target.against is None else cosines[target.against]
        return on_scale(cosines[""], other, target.scale)


def unit(features: Any) -> Any:
    """What a tower gives → unit vectors, at least float32."""
    import torch

    vectors = getattr(features, "pooler_output", features)  # before transformers 5 the tensor itself
    vectors = vectors if vectors.dtype == torch.float64 else vectors.float()
    return vectors / vectors.norm(p=2, dim=-1, keepdim=True)
