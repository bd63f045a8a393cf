"""The zoo's `idefics-shapes`: a real Idefics3 of 1.3 million parameters, whose connector shuffles pixels into depth."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.data.words import IMAGE, VOCABULARY, tokenizer
from chiasm.zoo.recipes.building import ENDS, draw_weights, image_processor, scaled, scaled_steps
from chiasm.zoo.recipes.decoders import Recipe, Seen, ViewBatches, answer_logits, chat_template, llama, view_of
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

    pictures = image_processor(
        Idefics3ImageProcessorPil,
        {"longest_edge": SIDE},
        mean=MEAN,
        max_image_size={"longest_edge": SIDE},
        do_image_splitting=False,
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
    from transformers import Idefics3Config, Idefics3ForConditionalGeneration

    tower = {
        "hidden_size": tower_width,
        "intermediate_size": 2 * tower_width,
        "num_hidden_layers": tower_layers,
        "num_attention_heads": heads,
        "image_size": SIDE,
        "patch_size": PATCH,
    }
    config = Idefics3Config(
        vision_config=tower,
        text_config=llama(width, layers, heads, special=len(_SPECIAL)),
        scale_factor=MERGE,
        image_token_id=VOCABULARY[IMAGE],
        tie_word_embeddings=False,
        **ENDS,
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
    return answer_logits(model, model.model.text_model, batch, seen, _FIRST)


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: the vision tower with patch heads first, then everything, twelve questions packed for each picture.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    torch.manual_seed(seed)
    model, own = build(), processor()
    tower, joint = scaled_steps(steps_scale, TOWER_STEPS, JOINT_STEPS)
    shown = ((view_of(own, SIDE, PATCH, MERGE), 1.0),)
    recipe = Recipe(NAME, model, own, model.model.vision_model, model.model.text_model.layers[1:3], encode, logits)
    return recipe.plan(
        ViewBatches(shown, seed, tower, packed=False, pictures=48), ViewBatches(shown, seed, joint, packed=True)
    )
