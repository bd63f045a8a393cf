"""The zoo's `idefics-shapes`: a real Idefics3 of 1.3 million parameters, whose connector shuffles pixels into depth."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.data.words import END, IMAGE, PAD, VOCABULARY, tokenizer
from chiasm.zoo.recipes.decoders import (
    Recipe,
    Seen,
    ViewBatches,
    at_answers,
    chat_template,
    scaled_steps,
    view_of,
    with_pictures,
)
from chiasm.zoo.recipes.losses import attention_mask, draw_weights, scaled
from chiasm.zoo.recipes.training import Plan

NAME: Final = "idefics-shapes"
PATCH: Final = 8
MERGE: Final = 2
"""Patches across and down that become one image token."""
SIDE: Final = 112
"""Width and height of the picture that the model sees, in pixels."""
MEAN: Final = 0.45
"""Subtracted from pixels. No even colour becomes exactly zero by it: Idefics3 takes such a picture for padding."""
TOWER_STEPS: Final = 600
JOINT_STEPS: Final = 3000

_SPECIAL: Final = {
    "fake_image_token": "<fake_token_around_image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}
_FIRST: Final = 3
"""Image tokens come behind ``<user>``, ``<fake_token_around_image>`` and ``<global-img>``."""


def processor() -> Any:
    """The processor: pictures to 112 × 112 pixels, uncut, one image token for each square of four patches."""
    from transformers import Idefics3Processor
    from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil

    pictures = Idefics3ImageProcessorPil(
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        do_image_splitting=False,
        resample=3,
        image_mean=[MEAN] * 3,
        image_std=[0.5] * 3,
    )
    return Idefics3Processor(
        image_processor=pictures,
        tokenizer=tokenizer(**_SPECIAL),
        image_seq_len=(SIDE // PATCH // MERGE) ** 2,
        chat_template=chat_template(IMAGE),
    )


def build(width: int = 128, tower_width: int = 96, tower_layers: int = 4, layers: int = 4, heads: int = 4) -> Any:
    """An Idefics3 with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of the hidden states of the language model.
        tower_width: size of those of the vision tower.
        tower_layers: layers of the vision tower.
        layers: layers of the language model.
        heads: attention heads everywhere.

    Returns:
        An `Idefics3ForConditionalGeneration`.
    """
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration, LlamaConfig

    ends = {"pad_token_id": VOCABULARY[PAD], "eos_token_id": VOCABULARY[END], "bos_token_id": None}
    tower = {
        "hidden_size": tower_width,
        "intermediate_size": 2 * tower_width,
        "num_hidden_layers": tower_layers,
        "num_attention_heads": heads,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    language = LlamaConfig(
        vocab_size=len(VOCABULARY) + len(_SPECIAL),
        hidden_size=width,
        intermediate_size=3 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        max_position_embeddings=512,
        tie_word_embeddings=False,
        **ends,
    )
    config = Idefics3Config(
        vision_config=tower,
        text_config=language,
        scale_factor=MERGE,
        image_token_id=VOCABULARY[IMAGE],
        tie_word_embeddings=False,
        **ends,
    )
    model = Idefics3ForConditionalGeneration(config)
    draw_weights(model)
    return model


def encode(model: Any, batch: dict[str, Tensor]) -> Seen:
    """Patch features and image tokens of the batch's ``pixels``."""
    values = scaled(batch["pixels"], MEAN)
    patches = model.model.vision_model(pixel_values=values).last_hidden_state
    return Seen(patches, model.model.connector(patches))


def logits(model: Any, batch: dict[str, Tensor], seen: Seen) -> Tensor:
    """Logits [batch, questions, 2, vocabulary] at the tokens that predict each answer and its end."""
    states = model.model.text_model(
        inputs_embeds=with_pictures(model.get_input_embeddings()(batch["ids"]), seen.images, _FIRST),
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
    model, own = build(), processor()
    widths = (model.config.vision_config.hidden_size, model.config.text_config.hidden_size)
    tower, joint = scaled_steps(steps_scale, TOWER_STEPS, JOINT_STEPS)
    shown = ((view_of(own, SIDE, PATCH, MERGE), 1.0),)
    recipe = Recipe(NAME, model, own, model.model.vision_model, model.model.text_model.layers[1:3], encode, logits)
    return recipe.plan(
        seed,
        widths,
        (tower, ViewBatches(shown, seed, tower, packed=False, pictures=48)),
        (joint, ViewBatches(shown, seed, joint, packed=True)),
    )
