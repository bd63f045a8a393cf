"""The zoo's `llava-shapes`: a real LLaVA of 1.4 million parameters that answers questions about coloured shapes."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor

from chiasm.zoo.data.words import END, IMAGE, PAD, VOCABULARY, tokenizer
from chiasm.zoo.recipes.losses import attention_mask, draw_weights, patch_heads, patch_loss, place_loss, right_answers
from chiasm.zoo.recipes.packing import PackedBatches
from chiasm.zoo.recipes.pictures import PictureBatches
from chiasm.zoo.recipes.training import Measures, Phase, Plan

NAME: Final = "llava-shapes"
PATCH: Final = 16
SIDE: Final = 128
"""Width and height of the picture that the model sees, in pixels."""
GRID: Final = SIDE // PATCH
TOWER_STEPS: Final = 400
JOINT_STEPS: Final = 4000

_PATCH_WEIGHT: Final = 0.5
_PLACE_WEIGHT: Final = 1.5

_TEMPLATE: Final = (
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}<assistant> {% else %}<user>{% endif %}"
    "{% if message['content'] is string %}{{ ' ' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] in ['image', 'image_url'] %}<image>{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ ' ' + part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}</s>{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


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
        chat_template=_TEMPLATE,
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


def encode_pictures(model: Any, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """Patch features and image tokens of pictures uint8[batch, side, side, 3]; both are [batch, grid², width]."""
    scaled = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1
    patches = model.model.vision_tower(pixel_values=scaled).last_hidden_state[:, 1:]
    return patches, model.model.multi_modal_projector(patches)


def packed_logits(model: Any, batch: dict[str, Tensor], images: Tensor) -> Tensor:
    """Logits [batch, questions, 2, vocabulary] at the tokens that predict each answer and its end."""
    embedded = model.get_input_embeddings()(batch["ids"])
    first = 1 + images.shape[1]  # behind <user> and the image tokens
    embedded = torch.cat([embedded[:, :1], images.to(embedded.dtype), embedded[:, first:]], dim=1)
    states = model.model.language_model(
        inputs_embeds=embedded,
        attention_mask=attention_mask(batch["segments"], batch["hidden"]),
        position_ids=batch["positions"],
        use_cache=False,
    ).last_hidden_state
    rows = torch.arange(len(states), device=states.device)[:, None, None]
    return model.lm_head(states[rows, batch["asked"]])


def _tower_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    patches, _ = encode_pictures(model, batch["pixels"])
    loss, measures = patch_loss(heads, batch, patches)
    return loss + 2 * place_loss(heads["place"], batch, patches), measures


def _joint_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    patches, images = encode_pictures(model, batch["pixels"])
    logits = packed_logits(model, batch, images).float()
    answers = F.cross_entropy(logits.flatten(0, 2), batch["labels"].flatten())
    shown, measures = patch_loss(heads, batch, patches)
    place = place_loss(heads["token place"], batch, images)
    right = logits[:, :, 0].argmax(-1) == batch["labels"][:, :, 0]
    return answers + _PATCH_WEIGHT * shown + _PLACE_WEIGHT * place, measures | right_answers(right, batch)


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: the vision tower with patch heads first, then everything, twelve questions packed for each picture.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    torch.manual_seed(seed)
    model = build()
    # Eager attention has a deterministic backward pass on a GPU, and at this size nothing is faster.
    model.set_attn_implementation("eager")
    width = model.config.text_config.hidden_size
    heads = patch_heads(width, width)
    tower_steps, joint_steps = (max(1, round(steps * steps_scale)) for steps in (TOWER_STEPS, JOINT_STEPS))
    tower = Phase(
        name="tower",
        steps=tower_steps,
        batches=PictureBatches(SIDE, GRID, seed, tower_steps),
        loss=partial(_tower_loss, model, heads),
        parameters=[*model.model.vision_tower.parameters(), *heads.parameters()],
        learning_rate=2e-3,
    )
    joint = Phase(
        name="joint",
        steps=joint_steps,
        batches=PackedBatches(SIDE, GRID, seed, joint_steps),
        loss=partial(_joint_loss, model, heads),
        parameters=[*model.parameters(), *heads.parameters()],
        learning_rate=1.5e-3,
    )
    return Plan(NAME, seed, model, processor(), heads, [tower, joint])
