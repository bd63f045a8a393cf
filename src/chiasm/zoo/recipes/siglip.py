"""The zoo's `siglip-captions`: a real SigLIP of 1.1 million parameters that judges each caption on its own."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.recipes.building import draw_weights, image_processor
from chiasm.zoo.recipes.captioned import TOKENS, caption_tokenizer
from chiasm.zoo.recipes.contrastive import Tools, build_plan, sigmoid_loss, towers
from chiasm.zoo.recipes.training import Plan

NAME: Final = "siglip-captions"
_LOGIT_SCALE: Final = 2.3
"""Logarithm of the factor that cosines are multiplied with at first: that of the SigLIP paper (10)."""


def processor() -> Any:
    """The processor: pictures to 128 × 128 pixels, texts with an end token and no attention mask.

    As with every SigLIP, texts must be padded to full length (``padding="max_length"``): the last position is read.
    """
    from transformers import SiglipProcessor
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    pictures = image_processor(SiglipImageProcessorPil)
    return SiglipProcessor(image_processor=pictures, tokenizer=caption_tokenizer(attention_mask=False))


def build(width: int = 128, vision_layers: int = 3, text_layers: int = 3, heads: int = 4) -> Any:
    """A SigLIP with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of every hidden state, and of the picture's vector, which SigLIP does not project.
        vision_layers: layers of the vision tower, besides the pooling head, which is one more.
        text_layers: layers of the text tower.
        heads: attention heads everywhere.

    Returns:
        A `SiglipModel`.
    """
    from transformers import SiglipConfig, SiglipModel

    text, vision = towers(width, vision_layers, text_layers, heads)
    model = SiglipModel(SiglipConfig(text_config=text | {"projection_size": width}, vision_config=vision))
    draw_weights(model)
    with torch.no_grad():
        model.logit_scale.fill_(_LOGIT_SCALE)
    return model


def see(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Patch features [b, grid², width], which the pooling head reads, and vectors [b, width]."""
    found = model.vision_model(pixel_values=pixels)
    return found.last_hidden_state, found.pooler_output


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: see `contrastive.build_plan`.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of each phase.
    """
    torch.manual_seed(seed)
    model = build()
    width = model.config.vision_config.hidden_size
    tools = Tools(processor(), see, sigmoid_loss, projection=width, padded=TOKENS)
    return build_plan(NAME, seed, steps_scale, model, tools)
