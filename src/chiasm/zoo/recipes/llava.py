"""The zoo's `llava-shapes`: a real LLaVA of 1.4 million parameters that answers questions about coloured shapes."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.data.words import IMAGE, VOCABULARY, tokenizer
from chiasm.zoo.recipes.building import ENDS, GRID, PATCH, SIDE, draw_weights, image_processor, scaled, scaled_steps
from chiasm.zoo.recipes.decoders import Recipe, Seen, answer_logits, chat_template, llama
from chiasm.zoo.recipes.packing import PackedBatches
from chiasm.zoo.recipes.pictures import PictureBatches
from chiasm.zoo.recipes.training import Plan

NAME: Final = "llava-shapes"
TOWER_STEPS: Final = 700
JOINT_STEPS: Final = 4000


def processor() -> Any:
    """The processor: pictures to 128 × 128 pixels without cropping, one image token for each of 64 patches."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    return LlavaProcessor(
        image_processor=image_processor(CLIPImageProcessorPil, do_center_crop=False),
        tokenizer=tokenizer(),
        patch_size=PATCH,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,  # the tower's class token, which "default" drops again
        image_token=IMAGE,
        chat_template=chat_template(IMAGE),
    )


def build(width: int = 128, tower_layers: int = 3, layers: int = 4, heads: int = 4) -> Any:
    """A LLaVA with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of every hidden state.
        tower_layers: layers of the vision tower.
        layers: layers of the language model.
        heads: attention heads everywhere.

    Returns:
        A `LlavaForConditionalGeneration`.
    """
    from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration

    tower = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=tower_layers,
        num_attention_heads=heads,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=width,
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=llama(width, layers, heads),
        image_token_index=VOCABULARY[IMAGE],
        image_seq_length=GRID**2,
        vision_feature_layer=-1,  # the usual -2 would leave the tower's last layer untrained
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        **ENDS,
    )
    model = LlavaForConditionalGeneration(config)
    draw_weights(model)
    return model


def encode(model: Any, batch: dict[str, Tensor]) -> Seen:
    """Patch features and image tokens, both [batch, grid², width], of the batch's ``pixels``."""
    patches = model.model.vision_tower(pixel_values=scaled(batch["pixels"])).last_hidden_state[:, 1:]
    return Seen(patches, model.model.multi_modal_projector(patches))


def logits(model: Any, batch: dict[str, Tensor], seen: Seen) -> Tensor:
    """Logits [batch, questions, 2, vocabulary] at the tokens that predict each answer and its end."""
    return answer_logits(model, model.model.language_model, batch, seen, first=1)  # behind <user>


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: the vision tower with patch heads first, then everything, twelve questions packed for each picture.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    torch.manual_seed(seed)
    model = build()
    tower, joint = scaled_steps(steps_scale, TOWER_STEPS, JOINT_STEPS)
    middle = model.model.language_model.layers[1:3]
    recipe = Recipe(NAME, model, processor(), model.model.vision_tower, middle, encode, logits)
    return recipe.plan(PictureBatches(SIDE, GRID, seed, tower), PackedBatches(SIDE, GRID, seed, joint))
