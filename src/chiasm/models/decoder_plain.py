"""The plain documented path of decoder models, against which the doctor holds the adapter's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from chiasm.models import compat
from chiasm.models.decoder_images import never_zero

if TYPE_CHECKING:
    from chiasm.models.base import Prepared
    from chiasm.models.decoder import DecoderAdapter
    from chiasm.models.decoder_rows import State


def plain_logits(adapter: DecoderAdapter, prepared: Prepared, suffix: Sequence[int]) -> Any:
    """Logits of the model on the processor's own output for the whole sample, followed by given tokens.

    Returns:
        ``float32[1, tokens, vocabulary]``.
    """
    import torch

    inputs = plain_inputs(adapter, prepared)
    device = compat.device_of(adapter.model)
    tail = torch.tensor([list(suffix)], dtype=torch.long)
    fills = {"input_ids": tail, "attention_mask": torch.ones_like(tail), "token_type_ids": torch.ones_like(tail)}
    fills["mm_token_type_ids"] = torch.zeros_like(tail)
    for name, fill in fills.items():
        if name in inputs:
            inputs[name] = torch.cat([inputs[name], fill.to(inputs[name].dtype)], dim=1)
    if adapter.config.model_type in {"idefics3", "smolvlm"}:  # the library drops an all-zero picture as padding
        shape = inputs["pixel_values"].shape
        inputs["pixel_values"] = never_zero(inputs["pixel_values"].flatten(0, 1)).reshape(shape)
    moved = {name: tensor.to(device) for name, tensor in inputs.items()}
    dtype = adapter.model.dtype
    moved = {name: t.to(dtype) if t.is_floating_point() else t for name, t in moved.items()}
    with torch.inference_mode():
        return adapter.model(**moved).logits.float()


def plain_inputs(adapter: DecoderAdapter, prepared: Prepared) -> dict[str, Any]:
    """What the processor makes of the whole sample, as tensors with one row."""
    state: State = prepared.state
    processor, _ = compat.load_processor(adapter.path)
    found = _by_parts(adapter, state) if processor is None else _by_processor(adapter, prepared, processor)
    wanted = compat.parameters(adapter.model.forward) | {"input_ids", "attention_mask"}
    return {name: tensor for name, tensor in found.items() if name in wanted and name != "labels"}


def not_compared(adapter: DecoderAdapter) -> str:
    """Why the plain path is not the model's own processor, in words; ``""`` where it is.

    The pixels then come from the model's own image processor all the same, but the prompt is the adapter's own.
    """
    return compat.load_processor(adapter.path)[1]


def _by_processor(adapter: DecoderAdapter, prepared: Prepared, processor: Any) -> dict[str, Any]:
    from PIL import Image

    state: State = prepared.state
    pictures = {name: Image.fromarray(raw) for name, raw in state.raw.items()}
    texts = {name: prepared.contents[name] for name, kind in state.order if kind == "text"}
    if adapter.template is not None and not adapter.kind.own_form:
        content = [
            {"type": kind, kind: pictures[name] if kind == "image" else texts[name]} for name, kind in state.order
        ]
        return dict(
            processor.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=adapter.template,
                tokenize=True,
                add_generation_prompt=True,
                return_dict=True,
                return_tensors="pt",
            )
        )
    prompt = state.prompter.form(texts)
    if adapter.config.model_type == "paligemma":  # its processor adds the start token and the line feed itself
        prompt = state.prompter.placeholder * len(pictures) + " ".join(texts.values())
    return dict(processor(images=list(pictures.values()), text=prompt, return_tensors="pt"))


def _by_parts(adapter: DecoderAdapter, state: State) -> dict[str, Any]:
    """Image processor and tokenizer each by itself, where the processor that joins them cannot be built.

    The prompt is the adapter's own, so comparing the adapter's tokens with these says nothing (see `not_compared`).
    """
    import torch
    from PIL import Image

    found: dict[str, list[Any]] = {}
    for raw in state.raw.values():
        for name, array in adapter.pictures.processed(Image.fromarray(raw)).items():
            if isinstance(array, np.ndarray) and name not in {"rows", "cols", "num_patches"}:
                found.setdefault(name, []).append(torch.from_numpy(array))
    axis = 1 if adapter.config.model_type in {"idefics3", "smolvlm"} else 0
    tensors = {name: torch.cat(arrays, dim=axis) for name, arrays in found.items()}
    text = state.prompt.text
    ids = adapter.tokenizer(text, add_special_tokens=state.prompter.adds_special(text), return_tensors="pt")[
        "input_ids"
    ]
    tensors |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if adapter.kind.mrope:
        tensors["mm_token_type_ids"] = (ids == state.prompter.image_token_id).int()
    return tensors
