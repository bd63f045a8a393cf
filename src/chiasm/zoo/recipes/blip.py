"""The zoo's `blip-shapes`: a real BLIP of 1.3 million parameters that answers questions about shapes and digits.

Vision encoder, question encoder with cross-attention, answer decoder. No picture looks at a question, so twelve
questions share one picture exactly: they are packed in one row, each looking at itself and the picture alone.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor, nn

from chiasm.zoo.data.words import ASSISTANT, END, PAD, VOCABULARY
from chiasm.zoo.recipes.building import GRID, PATCH, SIDE, blocked, draw_weights, image_processor, scaled, scaled_steps
from chiasm.zoo.recipes.fusion import LONGEST, QuestionBatches, answered_loss, question_tokenizer, word_heads
from chiasm.zoo.recipes.losses import patch_heads, right_answers, tower_loss
from chiasm.zoo.recipes.pictures import PictureBatches
from chiasm.zoo.recipes.training import Measures, Phase, Plan

NAME: Final = "blip-shapes"
TOWER_STEPS: Final = 700
JOINT_STEPS: Final = 3000

REFERS: Final = (2, 3)
"""Layers of the question's encoder after which words say what they name."""

_DECODER_STD: Final = 0.09
"""The decoder's table of words is its read-out too: drawn as large as the others it would begin with huge logits."""


def processor() -> Any:
    """The processor: pictures to 128 × 128 pixels, ``<user>`` and ``</s>`` around the question."""
    from transformers import BlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    return BlipProcessor(image_processor(BlipImageProcessorPil), question_tokenizer(start=ASSISTANT))


def build(width: int = 112, tower_layers: int = 3, layers: int = 3, heads: int = 4) -> Any:
    """A BLIP with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of every hidden state.
        tower_layers: layers of the vision encoder.
        layers: layers of the question's encoder, and of the answer's decoder.
        heads: attention heads everywhere.

    Returns:
        A `BlipForQuestionAnswering` that begins an answer with ``<assistant>`` and ends it with ``</s>``.
    """
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipTextConfig, BlipVisionConfig

    vision = BlipVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=tower_layers,
        num_attention_heads=heads,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=width,
    )
    text = BlipTextConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=width,
        encoder_hidden_size=width,
        intermediate_size=3 * width // 2,
        projection_dim=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        max_position_embeddings=LONGEST,
        bos_token_id=VOCABULARY[ASSISTANT],
        eos_token_id=VOCABULARY[END],
        sep_token_id=VOCABULARY[END],
        pad_token_id=VOCABULARY[PAD],
    )
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=width, image_text_hidden_size=width)
    model = BlipForQuestionAnswering(config)
    draw_weights(model)
    for table in (
        model.text_decoder.bert.embeddings.word_embeddings,
        model.text_decoder.bert.embeddings.position_embeddings,
    ):
        nn.init.normal_(table.weight, std=_DECODER_STD)
    return model


def encode_pictures(model: Any, pixels: Tensor) -> Tensor:
    """Class token and patches, float[batch, 1 + grid², width], of pictures uint8[batch, side, side, 3]."""
    features: Tensor = model.vision_model(pixel_values=scaled(pixels)).last_hidden_state
    return features


def encode_questions(model: Any, batch: dict[str, Tensor], seen: Tensor) -> list[Tensor]:
    """States of the words of packed questions behind each layer, float[batch, tokens, width], embeddings first."""
    own = batch["segments"][:, :, None] == batch["segments"][:, None, :]
    mask = blocked(own & ~batch["hidden"][:, None, :])
    encoder = model.text_encoder
    behind = [encoder.embeddings(input_ids=batch["ids"], position_ids=batch["positions"])]
    for layer in encoder.encoder.layer:
        behind.append(layer(behind[-1], seen, attention_mask=mask))
    return behind


def _decoder_layer(layer: Any, states: Tensor, mask: Tensor, question: Tensor, question_mask: Tensor) -> Tensor:
    """One layer of the decoder; the library's own forgets the mask of what the cross-attention looks at."""
    states = layer.attention(states, attention_mask=mask)[0]
    read = layer.crossattention.self(states, encoder_hidden_states=question, encoder_attention_mask=question_mask)[0]
    result: Tensor = layer.feed_forward_chunk(layer.crossattention.output(read, states))
    return result


def answer_logits(model: Any, batch: dict[str, Tensor], question: Tensor) -> Tensor:
    """Logits float[batch, questions, 2, vocabulary] of each answer and its end, under teacher forcing."""
    words = batch["words"]
    rows, count = words.shape
    start = torch.full_like(words, VOCABULARY[ASSISTANT])
    ids = torch.stack([start, words], dim=2).flatten(1)
    steps = torch.arange(2, device=ids.device).repeat(count)
    numbers = torch.arange(1, count + 1, device=ids.device).repeat_interleave(2)
    allowed = (numbers[:, None] == numbers[None, :]) & (steps[:, None] >= steps[None, :])
    own = (numbers[None, :, None] == batch["segments"][:, None, :]) & ~batch["hidden"][:, None, :]
    mask, question_mask = blocked(allowed[None]), blocked(own)
    decoder = model.text_decoder
    states = decoder.bert.embeddings(input_ids=ids, position_ids=steps.expand(rows, -1))
    for layer in decoder.bert.encoder.layer:
        states = _decoder_layer(layer, states, mask, question, question_mask)
    logits: Tensor = decoder.cls(states)
    return logits.unflatten(1, (count, 2))


def _tower_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    return tower_loss(heads["patch"], batch, encode_pictures(model, batch["pixels"])[:, 1:])


def _joint_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    seen = encode_pictures(model, batch["pixels"])
    words = encode_questions(model, batch, seen)
    logits = answer_logits(model, batch, words[-1]).float()
    labels = torch.stack([batch["words"], torch.full_like(batch["words"], VOCABULARY[END])], dim=2)
    answers = F.cross_entropy(logits.flatten(0, 2), labels.flatten())
    read = [words[layer] for layer in REFERS]
    loss, measures = answered_loss(heads, batch, answers, patches=seen[:, 1:], words=batch, states=read)
    return loss, measures | right_answers(logits[:, :, 0].argmax(-1) == batch["words"], batch)


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: the vision encoder with patch heads first, then everything, twelve questions packed for each picture.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    torch.manual_seed(seed)
    model = build()
    width = model.config.text_config.hidden_size
    heads = nn.ModuleDict({"patch": patch_heads(width), "word": word_heads(width)})
    tower, joint = scaled_steps(steps_scale, TOWER_STEPS, JOINT_STEPS)
    phases = [
        Phase(
            name="tower",
            steps=tower,
            batches=PictureBatches(SIDE, GRID, seed, tower),
            loss=partial(_tower_loss, model, heads),
            parameters=[*model.vision_model.parameters(), *heads["patch"].parameters()],
            learning_rate=2e-3,
            muon=5.0,
        ),
        Phase(
            name="joint",
            steps=joint,
            batches=QuestionBatches(SIDE, GRID, seed, joint),
            loss=partial(_joint_loss, model, heads),
            parameters=[*model.parameters(), *heads.parameters()],
            learning_rate=1.5e-3,
        ),
    ]
    return Plan(NAME, seed, model, processor(), heads, phases)
