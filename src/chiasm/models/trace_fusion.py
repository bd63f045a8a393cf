"""The insides of fusion encoders: ViLT (one stream of words and patches) and BLIP (picture → question → answer)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from chiasm.core.errors import InvalidInput
from chiasm.core.players import Players
from chiasm.core.target import Target
from chiasm.modalities.base import Masker
from chiasm.models.trace import ReadOut
from chiasm.models.trace_decoder import stack_bytes
from chiasm.models.trace_pair import PairTrace, on_scale
from chiasm.models.trace_record import Recorder, embedded, overheard, states_of
from chiasm.models.weights import auto_batch_size

if TYPE_CHECKING:
    from chiasm.models.base import Prepared
    from chiasm.models.fusion_blip import BlipAdapter
    from chiasm.models.fusion_vilt import ViltAdapter

FUSION, VISION, QUESTION, ANSWER = "fusion", "vision", "question", "answer"


def require_answer(target: Target) -> None:
    """Refuse a target that names no answer yet.

    Raises:
        InvalidInput: it has none.
    """
    if target.answer is None:
        raise InvalidInput("The target has no answer yet; pass it through resolve first.")


class ViltTrace(PairTrace):
    """ViLT: the stream ``fusion`` holds start token, words, end token, the picture's class token, patches."""

    def __init__(
        self,
        adapter: ViltAdapter,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
    ) -> None:
        """Find out where everything stands."""
        require_answer(target)
        self.embedding = adapter.model.get_input_embeddings()
        super().__init__(adapter, prepared, players, maskers, target)
        self.vilt = adapter
        tokens = len(self.encoded.ids)
        self.place(FUSION, tokens + 1, FUSION)
        for k, answer in enumerate(a for a in (target.answer, target.against) if a is not None):
            read = np.array([adapter.label(answer)], np.int64)
            self.read_out.append(ReadOut(FUSION, np.zeros(1, np.int64), read, -1 if k else 1))
        length = tokens + 1 + self.slots[self.image].cover.shape[1]
        self.batch_size = auto_batch_size(
            adapter.device, stack_bytes(self.model.config, length, adapter.dtype.itemsize), on_cpu=8
        )

    @contextmanager
    def _listening(self, recorder: Recorder) -> Iterator[None]:
        """See `Trace`."""
        layers = list(self.model.vilt.encoder.layer)
        inner = [layer.attention.attention for layer in layers]
        recorder.assign(inner, FUSION)
        with overheard(inner, recorder), states_of(FUSION, layers, recorder):
            yield

    def _forward(self, inputs: Mapping[str, Any], recorder: Recorder) -> Any:
        """See `Trace`."""
        import torch

        rows = len(inputs[self.image])
        ids, attention = self.collated(rows)
        patches = self.vilt.image_embeds(inputs[self.image])
        with embedded(self.embedding, self.own.positions, inputs[self.text], tuple(ids.shape)):
            mask = attention.new_ones(patches.shape[:2])
            logits = self.model(
                input_ids=ids,
                attention_mask=attention,
                image_embeds=patches,
                pixel_mask=mask,
                output_attentions=recorder.attentions,
            ).logits
        table = logits if logits.dtype == torch.float64 else logits.float()
        if self.target.scale != "logit":
            table = table.log_softmax(dim=-1)
        found = [table[:, int(read.tokens[0])] for read in self.read_out]
        return on_scale(found[0], found[1] if len(found) > 1 else None, self.target.scale)


class BlipTrace(PairTrace):
    """BLIP: ``vision`` is read by ``question``, and ``question`` by ``answer``, from which the tokens are scored."""

    def __init__(
        self,
        adapter: BlipAdapter,
        prepared: Prepared,
        players: Players,
        maskers: Mapping[str, Masker],
        target: Target,
    ) -> None:
        """Find out where everything stands."""
        require_answer(target)
        self.embedding = adapter.model.text_encoder.get_input_embeddings()
        super().__init__(adapter, prepared, players, maskers, target)
        self.blip = adapter
        self.place(VISION, 1, QUESTION)
        self.answers = [adapter.answer_ids(answer) for answer in (target.answer, target.against) if answer is not None]
        for k, ids in enumerate(self.answers):
            places = np.arange(len(ids)) if target.token is None else np.array([target.token])
            stream = f"{ANSWER}:against" if k else ANSWER
            self.read_out.append(ReadOut(stream, places, np.array(ids, np.int64)[places], -1 if k else 1))
        size = adapter.dtype.itemsize
        config = self.model.config
        need = stack_bytes(config.vision_config, 1 + self.slots[self.image].cover.shape[1], size)
        need += 3 * stack_bytes(config.text_config, len(self.encoded.ids), size)
        self.batch_size = auto_batch_size(adapter.device, need, on_cpu=8)

    @contextmanager
    def _listening(self, recorder: Recorder) -> Iterator[None]:
        """See `Trace`."""
        towers = {
            VISION: self.model.vision_model.encoder.layers,
            QUESTION: self.model.text_encoder.encoder.layer,
            ANSWER: self.model.text_decoder.bert.encoder.layer,
        }
        inner = [layer.self_attn for layer in towers[VISION]]
        recorder.assign(inner, VISION)
        for stream, reads in ((QUESTION, VISION), (ANSWER, QUESTION)):
            for layer in towers[stream]:
                recorder.assign([layer.attention.self], stream)
                recorder.assign([layer.crossattention.self], stream, reads)
                inner += [layer.attention.self, layer.crossattention.self]
        with ExitStack() as stack:
            stack.enter_context(overheard(inner, recorder))
            for stream, layers in towers.items():
                stack.enter_context(states_of(stream, list(layers), recorder))
            yield

    def _forward(self, inputs: Mapping[str, Any], recorder: Recorder) -> Any:
        """See `Trace`."""
        import torch

        seen = self.blip.see(inputs[self.image])
        ids, attention = self.collated(len(seen))
        with embedded(self.embedding, self.own.positions, inputs[self.text], tuple(ids.shape)):
            question = self.model.text_encoder(
                input_ids=ids,
                attention_mask=attention,
                encoder_hidden_states=seen,
                encoder_attention_mask=attention.new_ones(seen.shape[:2]),
            ).last_hidden_state
        found = []
        for answer, read in zip(self.answers, self.read_out, strict=True):
            recorder.names = {ANSWER: read.stream}
            logits = self.blip._decode(answer, question)  # noqa: SLF001 - one family
            table = logits if logits.dtype == torch.float64 else logits.float()
            if self.target.scale != "logit":
                table = table.log_softmax(dim=-1)
            found.append(sum(table[:, int(p), int(t)] for p, t in zip(read.positions, read.tokens, strict=True)))
        return on_scale(found[0], found[1] if len(found) > 1 else None, self.target.scale)
