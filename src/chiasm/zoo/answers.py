"""What the zoo's decoders answer, by the plain documented path: chat template, processor, forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput, ModelError


class PlainProcessor:
    """Image processor and tokenizer as one, for models whose own processor cannot be built here.

    The processor of Qwen-VL holds a video processor, which needs torchvision. For pictures and text it does no more
    than this: flat patches, one image token for each square of merged patches, and the kinds of the tokens.

    Args:
        image_processor: gives ``image_grid_thw``, as that of Qwen-VL.
        tokenizer: with a chat template and an ``image_token``.
    """

    def __init__(self, image_processor: Any, tokenizer: Any) -> None:
        self.image_processor, self.tokenizer = image_processor, tokenizer

    def apply_chat_template(self, messages: list[dict[str, Any]], *, add_generation_prompt: bool = False) -> str:
        """The messages as one prompt, with one placeholder for each picture."""
        return str(
            self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=add_generation_prompt)
        )

    def __call__(
        self, *, text: Sequence[str], images: Sequence[Image.Image], return_tensors: str = "pt", padding: bool = True
    ) -> Any:
        """Inputs of the model.

        Args:
            text: prompts, together with one placeholder for each picture.
            images: pictures, in the order of their placeholders.
            return_tensors: as for a processor.
            padding: whether to pad prompts to one length.

        Returns:
            ``input_ids``, ``attention_mask``, ``mm_token_type_ids`` int64[prompts, tokens]; ``pixel_values`` and
            ``image_grid_thw``.

        Raises:
            InvalidInput: placeholders and pictures differ in number.
        """
        seen = self.image_processor(list(images), return_tensors=return_tensors)
        counts = (np.asarray(seen["image_grid_thw"]).prod(axis=1) // self.image_processor.merge_size**2).tolist()
        mark = self.tokenizer.image_token
        if sum(prompt.count(mark) for prompt in text) != len(counts):
            raise InvalidInput(f"The prompts must hold {mark!r} once for each of the {len(counts)} pictures.")
        left = iter(counts)
        expanded = []
        for prompt in text:
            first, *rest = prompt.split(mark)
            expanded.append(first + "".join(mark * next(left) + piece for piece in rest))
        inputs = self.tokenizer(expanded, return_tensors=return_tensors, padding=padding)
        inputs["mm_token_type_ids"] = (inputs["input_ids"] == self.tokenizer.convert_tokens_to_ids(mark)) * 1
        inputs.update(seen)
        return inputs

    def save_pretrained(self, folder: str | Path) -> None:
        """Write both parts as transformers would, the chat template with the tokenizer."""
        self.image_processor.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def load(folder: Path, device: str = "cpu") -> tuple[Any, Any]:
    """A decoder of the zoo and its processor, in float32.

    Args:
        folder: written by ``save_pretrained``.
        device: where the model goes.

    Raises:
        InvalidInput: the folder holds no model.
        ModelError: its own processor cannot be built here, and its parts cannot stand for it.
    """
    from chiasm.models import compat

    path = str(folder)
    with compat.readable_errors(path), compat.quiet():
        model = compat.transformers().AutoModelForImageTextToText.from_pretrained(path)
    processor, why = compat.load_processor(path)
    if processor is None:
        pictures, words = compat.load_image_processor(path), compat.load_tokenizer(path)
        if not hasattr(pictures, "merge_size"):
            raise ModelError(f"The model in {path!r} cannot be asked: {why}. Install what is missing.")
        processor = PlainProcessor(pictures, words)
    return model.to(device).eval(), processor


def chat_inputs(processor: Any, pictures: Sequence[Image.Image], texts: Sequence[str]) -> Any:
    """What the model gets: each question behind its picture, as a message of the user, padded at the left.

    Args:
        processor: the model's processor, or a `PlainProcessor`.
        pictures: one for each question.
        texts: questions.
    """
    prompts = [
        processor.apply_chat_template(
            [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}],
            add_generation_prompt=True,
        )
        for text in texts
    ]
    return processor(text=prompts, images=list(pictures), return_tensors="pt", padding=True)


def decoder_answers(
    model: Any, processor: Any, pictures: Sequence[Image.Image], texts: Sequence[str], batch: int = 25
) -> tuple[list[str], NDArray[np.float64]]:
    """The most probable next token over the whole vocabulary, and its probability, for each question.

    Args:
        model: decoder of the zoo.
        processor: its processor (see `load`).
        pictures: one for each question.
        texts: questions.
        batch: questions in one forward pass; as many fit the caches of a processor.

    Returns:
        Answers, and float64[questions].

    Raises:
        InvalidInput: pictures and questions differ in number, or there are none.
    """
    import torch

    if len(pictures) != len(texts) or not texts:
        raise InvalidInput(f"{len(pictures)} pictures and {len(texts)} questions: give one picture for each question.")
    words: list[str] = []
    chances: list[NDArray[np.float64]] = []
    for first in range(0, len(texts), batch):
        inputs = chat_inputs(processor, pictures[first : first + batch], texts[first : first + batch])
        with torch.inference_mode():
            logits = model(**inputs.to(model.device), logits_to_keep=1, use_cache=False).logits[:, -1]
            chance = logits.double().softmax(-1).max(-1)
        words += processor.tokenizer.convert_ids_to_tokens(chance.indices.tolist())
        chances.append(chance.values.cpu().numpy())
    return words, np.concatenate(chances)
