"""The zoo's `siglip-captions`: a real SigLIP of 1.1 million parameters that judges each caption on its own."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.data.words import END, PAD, VOCABULARY
from chiasm.zoo.recipes.captioned import PATCH, PIXELS, TOKENS, caption_tokenizer
from chiasm.zoo.recipes.contrastive import Tools, build_plan, sigmoid_loss
from chiasm.zoo.recipes.losses import draw_weights
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

    pictures = SiglipImageProcessorPil(
        size={"height": PIXELS, "width": PIXELS},
        resample=3,
        do_resize=True,
        do_normalize=True,
        do_convert_rgb=True,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return SiglipProcessor(image_processor=pictures, tokenizer=caption_tokenizer(attention_mask=False))


def build(
    width: int = 128, vision_layers: int = 3, text_layers: int = 3, heads: int = 4, projection: int | None = None
) -> Any:
    """A SigLIP with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of every hidden state, and of the picture's vector, which SigLIP does not project.
        vision_layers: layers of the vision tower, besides the pooling head, which is one more.
        text_layers: layers of the text tower.
        heads: attention heads everywhere.
        projection: size of the text's vector, which must be the picture's; ``width`` if ``None``.

    Returns:
        A `SiglipModel`.
    """
    from transformers import SiglipConfig, SiglipModel

    shared = {"hidden_size": width, "intermediate_size": 2 * width, "num_attention_heads": heads}
    text = {
        "vocab_size": len(VOCABULARY),
        "num_hidden_layers": text_layers,
        "max_position_embeddings": TOKENS,
        "pad_token_id": VOCABULARY[PAD],
        "bos_token_id": None,
        "eos_token_id": VOCABULARY[END],
        "projection_size": projection or width,
    }
    vision = {"num_hidden_layers": vision_layers, "image_size": PIXELS, "patch_size": PATCH}
    model = SiglipModel(SiglipConfig(text_config=shared | text, vision_config=shared | vision))
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
