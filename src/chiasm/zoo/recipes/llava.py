"""The zoo's `llava-shapes`: a real LLaVA of 1.4 million parameters that answers questions about coloured shapes."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.data.words import END, IMAGE, PAD, VOCABULARY, tokenizer
from chiasm.zoo.recipes.decoders import (
    Recipe,
    Seen,
    at_answers,
    chat_template,
    scaled_steps,
    with_pictures,
)
from chiasm.zoo.recipes.losses import attention_mask, draw_weights, scaled
from chiasm.zoo.recipes.packing import PackedBatches
from chiasm.zoo.recipes.pictures import PictureBatches
from chiasm.zoo.recipes.training import Plan

NAME: Final = "llava-shapes"
PATCH: Final = 16
SIDE: Final = 128
"""Width and height of the picture that the model sees, in pixels."""
GRID: Final = SIDE // PATCH
TOWER_STEPS: Final = 700
JOINT_STEPS: Final = 4000


def processor() -> Any:
    """The processor: pictures to 128 × 128 pixels without cropping, one image token for each of 64 patches."""
    from transformers import LlavaProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    pictures = CLIPImageProcessorPil(
        size={"height": SIDE, "width": SIDE},
        resample=3,
        do_resize=True,
        do_center_crop=False,
        do_normalize=True,
        do_convert_rgb=True,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return LlavaProcessor(
        image_processor=pictures,
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
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    ends = {"pad_token_id": VOCABULARY[PAD], "eos_token_id": VOCABULARY[END], "bos_token_id": None}
    tower = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=tower_layers,
        num_attention_heads=heads,
        image_size=SIDE,
        patch_size=PATCH,
        projection_dim=width,
    )
    language = LlamaConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        **ends,
    )
    config = LlavaConfig(
        vision_config=tower,
        text_config=language,
        image_token_index=VOCABULARY[IMAGE],
        image_seq_length=GRID**2,
        vision_feature_layer=-1,  # the usual -2 would leave the tower's last layer untrained
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        **ends,
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
    states = model.model.language_model(
        inputs_embeds=with_pictures(model.get_input_embeddings()(batch["ids"]), seen.images, 1),  # behind <user>
        attention_mask=attention_mask(batch["segments"], batch["hidden"]),
        position_ids=batch["positions"],
        use_cache=False,
    ).last_hidden_state
    return model.lm_head(at_answers(states, batch))


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: the vision tower with patch heads first, then everything, twelve questions packed for each picture.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    torch.manual_seed(seed)
    model = build()
    width = model.config.text_config.hidden_size
    tower, joint = scaled_steps(steps_scale, TOWER_STEPS, JOINT_STEPS)
    middle = model.model.language_model.layers[1:3]
    recipe = Recipe(NAME, model, processor(), model.model.vision_tower, middle, encode, logits)
    return recipe.plan(
        seed,
        (width, width),
        (tower, PictureBatches(SIDE, GRID, seed, tower)),
        (joint, PackedBatches(SIDE, GRID, seed, joint)),
    )
