"""The zoo's `clip-captions`: a real CLIP of 1.1 million parameters that binds attributes and reads relations."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.recipes.building import draw_weights, image_processor
from chiasm.zoo.recipes.captioned import caption_tokenizer
from chiasm.zoo.recipes.contrastive import Tools, build_plan, softmax_loss, towers
from chiasm.zoo.recipes.training import Plan

NAME: Final = "clip-captions"
PROJECTION: Final = 192


def processor() -> Any:
    """The processor: pictures to 128 × 128 pixels without cropping, an end token behind every text."""
    from transformers import CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pictures = image_processor(CLIPImageProcessorPil, do_center_crop=False)
    return CLIPProcessor(image_processor=pictures, tokenizer=caption_tokenizer(attention_mask=True))


def build(width: int = 128, vision_layers: int = 4, text_layers: int = 3, heads: int = 4) -> Any:
    """A CLIP with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of every hidden state.
        vision_layers: layers of the vision tower.
        text_layers: layers of the text tower.
        heads: attention heads everywhere.

    Returns:
        A `CLIPModel`.
    """
    from transformers import CLIPConfig, CLIPModel

    text, vision = towers(width, vision_layers, text_layers, heads)
    length = {"projection_dim": PROJECTION}
    model = CLIPModel(CLIPConfig(text_config=text | length, vision_config=vision | length, **length))
    draw_weights(model)
    return model


def see(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Patch features [b, grid², width] where the last layer reads them, and vectors [b, projection]."""
    found = model.vision_model(pixel_values=pixels, output_hidden_states=True)
    return found.hidden_states[-2][:, 1:], model.visual_projection(found.pooler_output)


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: see `contrastive.build_plan`.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of each phase.
    """
    torch.manual_seed(seed)
    model = build()
    tools = Tools(processor(), see, softmax_loss, projection=PROJECTION, padded=None)
    return build_plan(NAME, seed, steps_scale, model, tools)
