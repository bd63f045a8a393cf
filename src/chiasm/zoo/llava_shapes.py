"""The zoo's `llava-shapes`: a real LLaVA of 1.4 million parameters that answers questions about coloured shapes."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor, nn

from chiasm.zoo.packing import IGNORED, Geometry, PackedBatches, PictureBatches
from chiasm.zoo.questions import KINDS
from chiasm.zoo.scenes import COLOURS, SHAPES
from chiasm.zoo.training import Measures, Phase, Plan
from chiasm.zoo.words import END, IMAGE, PAD, VOCABULARY, tokenizer

NAME: Final = "llava-shapes"
PATCH: Final = 16
GEOMETRY: Final = Geometry(side=128, grid=8)
TOWER_STEPS: Final = 1000
JOINT_STEPS: Final = 7000

_PATCH_WEIGHT: Final = 0.5
_CENTRE_WEIGHT: Final = 1.0

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
        size={"height": GEOMETRY.side, "width": GEOMETRY.side},
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
        image_size=GEOMETRY.side,
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
        image_seq_length=GEOMETRY.grid**2,
        vision_feature_layer=-1,  # the usual -2 would leave the tower's last layer untrained
        vision_feature_select_strategy="default",
        tie_word_embeddings=False,
        **ends,
    )
    model = LlavaForConditionalGeneration(config)
    _draw_weights(model)
    return model


def _draw_weights(model: Any) -> None:
    """Larger weights than the library's: its 0.02 suits large models and leaves one of this size at a plateau."""
    for name, weight in model.named_parameters():
        if "patch_embedding" in name:
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif weight.ndim == 2 and "embed" in name:
            nn.init.normal_(weight, std=0.5 if "position" in name else 1.0)
        elif weight.ndim == 2:
            nn.init.normal_(weight, std=min(0.09, weight.shape[-1] ** -0.5))


def attention_mask(segments: Tensor, hidden: Tensor) -> Tensor:
    """Additive mask float[batch, 1, length, length] of packed rows: causal, each question with the prefix alone."""
    length = segments.shape[1]
    allowed = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
    allowed &= torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    allowed &= ~hidden[:, None, :]
    blocked = torch.finfo(torch.float32).min
    return torch.zeros(allowed.shape, device=segments.device).masked_fill(~allowed, blocked)[:, None]


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


def _heads(width: int) -> Any:
    """Heads that read a patch's colour, shape and object centre in training, and are thrown away after it."""
    return nn.ModuleDict(
        {
            "colour": nn.Linear(width, len(COLOURS) + 1),
            "shape": nn.Linear(width, len(SHAPES) + 1),
            "tower centre": nn.Linear(width, 2),
            "token centre": nn.Linear(width, 2),
        }
    )


def _patch_loss(heads: Any, batch: dict[str, Tensor], patches: Tensor) -> tuple[Tensor, Measures]:
    """Cross-entropy of patch colour and shape; background counts a quarter, hidden patches not at all."""
    loss = torch.zeros((), device=patches.device)
    measures: Measures = {}
    for name in ("colour", "shape"):
        logits, labels = heads[name](patches).flatten(0, 1).float(), batch[name].flatten()
        weight = torch.ones(logits.shape[1], device=logits.device)
        weight[0] = 0.25
        loss = loss + F.cross_entropy(logits, labels, weight, ignore_index=IGNORED)
        objects = labels > 0
        measures[f"patch {name}"] = (((logits.argmax(-1) == labels) & objects).sum(), objects.sum())
    return loss, measures


def _centre_loss(head: Any, batch: dict[str, Tensor], features: Tensor) -> Tensor:
    """Mean squared error of the centre that each visible patch predicts."""
    error = (head(features).float() - batch["centre"]).square().mean(-1)
    shown = (batch["colour"] != IGNORED).float()
    return (error * shown).sum() / shown.sum().clamp(min=1)


def _tower_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    patches, _ = encode_pictures(model, batch["pixels"])
    loss, measures = _patch_loss(heads, batch, patches)
    return loss + 2 * _centre_loss(heads["tower centre"], batch, patches), measures


def _joint_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    patches, images = encode_pictures(model, batch["pixels"])
    logits = packed_logits(model, batch, images).float()
    answers = F.cross_entropy(logits.flatten(0, 2), batch["labels"].flatten())
    patch_loss, measures = _patch_loss(heads, batch, patches)
    centre = _centre_loss(heads["token centre"], batch, images)
    right = logits[:, :, 0].argmax(-1) == batch["labels"][:, :, 0]
    clean = batch["whole"] & ~batch["masked"][:, None]
    for number, kind in enumerate(KINDS):
        chosen = clean & (batch["kinds"] == number)
        measures[kind] = ((right & chosen).sum(), chosen.sum())
    measures["masked"] = ((right & ~clean).sum(), (~clean).sum())
    return answers + _PATCH_WEIGHT * patch_loss + _CENTRE_WEIGHT * centre, measures


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: the vision tower with patch heads first, then everything, twelve questions packed for each image.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of both phases.
    """
    torch.manual_seed(seed)
    model = build()
    # Eager attention has a deterministic backward pass on a GPU, and at this size nothing is faster.
    model.set_attn_implementation("eager")
    heads = _heads(model.config.text_config.hidden_size)
    tower_steps, joint_steps = (max(1, round(steps * steps_scale)) for steps in (TOWER_STEPS, JOINT_STEPS))
    tower = Phase(
        name="tower",
        steps=tower_steps,
        batches=PictureBatches(GEOMETRY, seed, tower_steps),
        loss=partial(_tower_loss, model, heads),
        parameters=[*model.model.vision_tower.parameters(), *heads.parameters()],
        learning_rate=2e-3,
    )
    joint = Phase(
        name="joint",
        steps=joint_steps,
        batches=PackedBatches(GEOMETRY, seed, joint_steps),
        loss=partial(_joint_loss, model, heads),
        parameters=[*model.parameters(), *heads.parameters()],
        learning_rate=1.5e-3,
    )
    return Plan(NAME, seed, model, processor(), heads, [tower, joint])
