"""The zoo's `qwen-shapes`: a real Qwen3-VL of 1.5 million parameters, with pictures of several sizes and M-RoPE."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor

from chiasm.zoo.answers import PlainProcessor
from chiasm.zoo.data.words import VOCABULARY, tokenizer
from chiasm.zoo.recipes.building import ENDS, draw_weights, image_processor, scaled, scaled_steps
from chiasm.zoo.recipes.decoders import Recipe, Seen, ViewBatches, answer_logits, chat_template, view_of
from chiasm.zoo.recipes.training import Plan

NAME: Final = "qwen-shapes"
PATCH: Final = 8
MERGE: Final = 2
"""Patches across and down that become one image token."""
FRAMES: Final = 2
"""A picture counts as a film of two equal frames."""
SIDES: Final = {80: 0.15, 96: 0.15, 112: 0.7}
"""Widths of the square pictures that training shows, and how often. Larger pictures come down to the largest."""
TOWER_STEPS: Final = 600
JOINT_STEPS: Final = 3000

_SPECIAL: Final = {
    "vision_start_token": "<|vision_start|>",
    "vision_end_token": "<|vision_end|>",
    "image_token": "<|image_pad|>",
    "video_token": "<|video_pad|>",
}
_FIRST: Final = 2
"""Image tokens come behind ``<user>`` and ``<|vision_start|>``."""


def processor() -> PlainProcessor:
    """The processor: pictures of 6400 to 12544 pixels with sides of a multiple of 16, one image token for each square.

    It is made of the image processor and the tokenizer: Qwen's own would need torchvision, for films.
    """
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    words = tokenizer(**_SPECIAL)
    words.chat_template = chat_template("<|vision_start|><|image_pad|><|vision_end|>")
    pictures = image_processor(
        Qwen2VLImageProcessorPil,
        {"shortest_edge": min(SIDES) ** 2, "longest_edge": max(SIDES) ** 2},
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=FRAMES,
    )
    return PlainProcessor(pictures, words)


def build(width: int = 128, tower_width: int = 96, tower_layers: int = 4, layers: int = 4, heads: int = 4) -> Any:
    """A Qwen3-VL with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of the hidden states of the language model.
        tower_width: size of those of the vision tower.
        tower_layers: layers of the vision tower; the second also feeds the language model's first layer.
        layers: layers of the language model.
        heads: attention heads everywhere.

    Returns:
        A `Qwen3VLForConditionalGeneration`.
    """
    from transformers import Qwen3VLConfig, Qwen3VLForConditionalGeneration

    ids = {name: len(VOCABULARY) + number for number, name in enumerate(_SPECIAL)}
    head = width // heads
    sections = [head // 2 - 2 * (head // 6), head // 6, head // 6]  # time, height, width; half a head in all
    tower = {
        "depth": tower_layers,
        "hidden_size": tower_width,
        "intermediate_size": 2 * tower_width,
        "out_hidden_size": width,
        "num_heads": heads,
        "patch_size": PATCH,
        "spatial_merge_size": MERGE,
        "temporal_patch_size": FRAMES,
        "num_position_embeddings": (max(SIDES) // PATCH) ** 2,
        "deepstack_visual_indexes": [min(1, tower_layers - 1)],
    }
    language = {
        "vocab_size": len(VOCABULARY) + len(_SPECIAL),
        "hidden_size": width,
        "intermediate_size": 5 * width // 2,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": heads // 2,
        "head_dim": head,
        "max_position_embeddings": 512,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 10000.0,
            "mrope_section": sections,
            "mrope_interleaved": True,
        },
        **ENDS,
    }
    config = Qwen3VLConfig(
        vision_config=tower,
        text_config=language,
        image_token_id=ids["image_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_start_token"],
        vision_end_token_id=ids["vision_end_token"],
        tie_word_embeddings=False,
        **ENDS,
    )
    model = Qwen3VLForConditionalGeneration(config)
    draw_weights(model)
    return model


def encode(model: Any, batch: dict[str, Tensor]) -> Seen:
    """Patch features row by row and image tokens of the batch's ``pixels``."""
    values = scaled(batch["pixels"])
    count, channels, side, _ = values.shape
    across = side // PATCH // MERGE
    # The tower takes flat patches, those of one image token together.
    squares = values.reshape(count, channels, across, MERGE, PATCH, across, MERGE, PATCH)
    squares = squares.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6).expand(*[-1] * 6, FRAMES, -1, -1)
    flat = squares.reshape(count * (across * MERGE) ** 2, -1)
    grids = torch.tensor([[1, across * MERGE, across * MERGE]] * count, device=flat.device)
    found = model.model.visual(flat, grids)
    patches = found.last_hidden_state.reshape(count, across, across, MERGE, MERGE, -1).transpose(2, 3)
    images, *layers = (f.reshape(count, across**2, -1) for f in (found.pooler_output, *found.deepstack_features))
    return Seen(patches.reshape(count, (across * MERGE) ** 2, -1), images, tuple(layers))


def logits(model: Any, batch: dict[str, Tensor], seen: Seen) -> Tensor:
    """Logits [batch, questions, 2, vocabulary] at the tokens that predict each answer and its end."""
    pictured = torch.zeros_like(batch["ids"], dtype=torch.bool)
    pictured[:, _FIRST : _FIRST + seen.images.shape[1]] = True
    further = {"visual_pos_masks": pictured, "deepstack_visual_embeds": [f.flatten(0, 1) for f in seen.layers]}
    return answer_logits(model, model.model.language_model, batch, seen, _FIRST, **further)


def views(model: Any, processor: Any) -> tuple[tuple[Any, float], ...]:
    """Every size of pictures, with the positions that the model itself gives its prompt, and how often it is shown."""

    def positions(inputs: Any) -> Tensor:
        names = ("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask")
        return model.model.get_rope_index(**{name: inputs[name] for name in names})[0]

    return tuple((view_of(processor, side, PATCH, MERGE, positions), share) for side, share in SIDES.items())


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: the vision tower with patch heads first, then everything, twelve questions packed for each picture.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    torch.manual_seed(seed)
    model, own = build(), processor()
    tower, joint = scaled_steps(steps_scale, TOWER_STEPS, JOINT_STEPS)
    shown = views(model, own)
    recipe = Recipe(NAME, model, own, model.model.visual, model.model.language_model.layers[1:3], encode, logits)
    return recipe.plan(
        ViewBatches(shown, seed, tower, packed=False, pictures=48), ViewBatches(shown, seed, joint, packed=True)
    )
