"""What the zoo's fusion models answer, through their own processors: for the tables of `chiasm.zoo.evaluate`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Answers = tuple[list[str], NDArray[np.float64]]
"""The answer to each question, and its probability."""


def vilt_answers(
    model: Any, processor: Any, pictures: Sequence[Image.Image], texts: Sequence[str], batch: int = 50
) -> Answers:
    """The most probable label of the classifier (softmax over all), by the library's whole forward pass.

    Args:
        model: a `ViltForQuestionAnswering` in evaluation mode.
        processor: its processor.
        pictures: one for each question.
        texts: the questions.
        batch: questions at a time.
    """
    import torch

    words: list[str] = []
    chances: list[float] = []
    for first in range(0, len(texts), batch):
        chosen = slice(first, first + batch)
        inputs = processor(
            images=list(pictures[chosen]), text=list(texts[chosen]), return_tensors="pt", padding=True
        ).to(model.device)
        with torch.inference_mode():
            best = model(**inputs).logits.float().cpu().double().softmax(-1).max(-1)
        words += [str(model.config.id2label[label]) for label in best.indices.tolist()]
        chances += best.values.tolist()
    return words, np.array(chances, dtype=np.float64)


def blip_answers(
    model: Any, processor: Any, pictures: Sequence[Image.Image], texts: Sequence[str], batch: int = 50
) -> Answers:
    """The first word that the decoder would write, greedily over its whole vocabulary, and its probability.

    Questions of one length go together: the library's decoder would look at padding.

    Args:
        model: a `BlipForQuestionAnswering` in evaluation mode.
        processor: its processor.
        pictures: one for each question.
        texts: the questions.
        batch: questions at a time.
    """
    tokens = [processor.tokenizer(text)["input_ids"] for text in texts]
    lengths = np.array([len(row) for row in tokens])
    ids = np.zeros(len(texts), dtype=np.int64)
    chances = np.zeros(len(texts), dtype=np.float64)
    for length in np.unique(lengths):
        members = np.flatnonzero(lengths == length)
        for first in range(0, len(members), batch):
            chosen = members[first : first + batch]
            ids[chosen], chances[chosen] = _first_words(
                model, processor, [pictures[k] for k in chosen], [tokens[k] for k in chosen]
            )
    return [str(word) for word in processor.tokenizer.convert_ids_to_tokens(ids.tolist())], chances


def _first_words(
    model: Any, processor: Any, pictures: list[Image.Image], tokens: list[list[int]]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For questions of one length the decoder's best first token, and its probability."""
    import torch

    pixels = processor.image_processor(images=pictures, return_tensors="pt")["pixel_values"].to(model.device)
    ids = torch.tensor(tokens, device=model.device)
    start = ids.new_full((len(ids), 1), model.decoder_start_token_id)
    with torch.inference_mode():
        seen = model.vision_model(pixel_values=pixels).last_hidden_state
        question = model.text_encoder(input_ids=ids, encoder_hidden_states=seen).last_hidden_state
        logits = model.text_decoder(input_ids=start, encoder_hidden_states=question, use_cache=False).logits
        best = logits[:, -1].float().cpu().double().softmax(-1).max(-1)
    return best.indices.numpy(), best.values.numpy()


ANSWERS: Final[dict[str, Callable[..., Answers]]] = {
    "ViltForQuestionAnswering": vilt_answers,
    "BlipForQuestionAnswering": blip_answers,
}
"""Class of a model → how it answers."""
