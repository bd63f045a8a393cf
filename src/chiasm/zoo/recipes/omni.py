"""The zoo's `omni-chimes`: a real Qwen2.5-Omni thinker of 0.7 million parameters for picture, sound and text."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor

from chiasm.zoo.data import chimes
from chiasm.zoo.recipes.building import blocked, draw_weights, scaled, scaled_steps
from chiasm.zoo.recipes.omni_batches import ChimeBatches
from chiasm.zoo.recipes.omni_parts import BINS, BINS_OUT, FRAMES, MERGE, NAMED, PATCH, SIDE, Parts, parts
from chiasm.zoo.recipes.training import Measures, Phase, Plan

NAME: Final = "omni-chimes"
STEPS: Final = 3000
PLACE_WEIGHT: Final = 0.5
"""Weight of what each token of a picture and of a sound knows of things in its place; without it counting stays put."""


def build(words: Any, width: int = 96, tower: int = 64, layers: int = 4, heads: int = 4) -> Any:
    """A `Qwen2_5OmniThinkerForConditionalGeneration` with fresh weights; draw them after `torch.manual_seed`."""
    from transformers import Qwen2_5OmniThinkerConfig, Qwen2_5OmniThinkerForConditionalGeneration

    ids = {name: words.convert_tokens_to_ids(token) for name, token in NAMED.items()}
    head = width // heads
    ends = {"pad_token_id": words.pad_token_id, "eos_token_id": words.eos_token_id, "bos_token_id": None}
    config = Qwen2_5OmniThinkerConfig(
        vision_config={
            "depth": 3,
            "hidden_size": tower,
            "intermediate_size": 2 * tower,
            "num_heads": heads,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "temporal_patch_size": FRAMES,
            "window_size": SIDE,
            "fullatt_block_indexes": [0, 1, 2],
            "out_hidden_size": width,
        },
        audio_config={
            "num_mel_bins": BINS,
            "encoder_layers": 2,
            "encoder_attention_heads": heads,
            "encoder_ffn_dim": 2 * tower,
            "d_model": tower,
            "max_source_positions": 50,
            "n_window": 50,
            "output_dim": width,
        },
        text_config={
            "vocab_size": len(words),
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": heads // 2,
            "max_position_embeddings": 512,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [head // 2 - 2 * (head // 6), head // 6, head // 6],
            },
            **ends,
        },
        image_token_id=ids["image_token"],
        audio_token_id=ids["audio_token"],
        video_token_id=ids["video_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        position_id_per_seconds=25,
        **ends,
    )
    model = Qwen2_5OmniThinkerForConditionalGeneration(config)
    draw_weights(model)
    return model


class _Loss:
    """Answers to packed questions, each behind its picture and its sound."""

    def __init__(self, model: Any, own: Parts, heads: Any) -> None:
        self.model, self.heads = model, heads
        words = own.tokenizer
        images, sounds = (SIDE // PATCH // MERGE) ** 2, BINS_OUT
        text = (
            f"<user><|vision_bos|>{'<|IMAGE|>' * images}<|vision_eos|><|audio_bos|>{'<|AUDIO|>' * sounds}<|audio_eos|>"
        )
        self.prefix = torch.tensor(words(text, add_special_tokens=False)["input_ids"])
        self.pictured = self.prefix == words.convert_tokens_to_ids(NAMED["image_token"])
        self.sounding = self.prefix == words.convert_tokens_to_ids(NAMED["audio_token"])
        grid = torch.tensor([[1, SIDE // PATCH, SIDE // PATCH]])
        ones = torch.ones(1, len(self.prefix), dtype=torch.long)
        lengths = torch.tensor([4 * BINS_OUT])
        self.places = model.get_rope_index(
            self.prefix[None], image_grid_thw=grid, attention_mask=ones, audio_seqlens=lengths
        )[0][:, 0]

    def __call__(self, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
        """Cross-entropy of each answer and its end."""
        model, count = self.model, len(batch["ids"])
        embed = model.get_input_embeddings()
        prefix = embed(self.prefix).expand(count, -1, -1).clone()
        grids = torch.tensor([[1, SIDE // PATCH, SIDE // PATCH]] * count)
        patches = self._patches(batch["pixels"], grids)
        prefix[:, self.pictured] = patches.to(prefix.dtype)
        mask = torch.ones(count, batch["features"].shape[-1], dtype=torch.long)
        sounds = model.get_audio_features(batch["features"], feature_attention_mask=mask).pooler_output
        sounds = torch.stack(list(sounds)) if isinstance(sounds, list | tuple) else sounds.reshape(count, BINS_OUT, -1)
        prefix[:, self.sounding] = sounds.to(prefix.dtype)
        first = len(self.prefix)
        behind = self.places.max() + 1 + batch["positions"]
        places = torch.cat([self.places[:, None].expand(-1, count, -1), behind.expand(3, -1, -1)], dim=-1)
        segments = F.pad(batch["segments"], (first, 0), value=0)
        allowed = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
        allowed &= torch.ones(segments.shape[1], segments.shape[1], dtype=torch.bool).tril()
        states = model.model.language_model(
            inputs_embeds=torch.cat([prefix, embed(batch["ids"])], dim=1),
            attention_mask=blocked(allowed),
            position_ids=places,
            use_cache=False,
        ).last_hidden_state
        rows = torch.arange(count)[:, None, None]
        logits = model.lm_head(states[rows, first + batch["asked"]]).float()
        loss = F.cross_entropy(logits.flatten(0, 2), batch["labels"].flatten())
        for name, states in (("shapes at", patches), ("beeps at", sounds)):
            placed = self.heads[name](states.float())[..., 0]
            loss = loss + PLACE_WEIGHT * F.binary_cross_entropy_with_logits(placed, batch[name])
        right = (logits[:, :, 0].argmax(-1) == batch["labels"][:, :, 0]).float()
        measures = {}
        for number, kind in enumerate(chimes.KINDS):
            asked = (batch["kinds"] == number).float()
            measures[kind] = ((right * asked).sum().detach(), asked.sum())
        return loss, measures

    def _patches(self, pixels: Tensor, grids: Tensor) -> Tensor:
        """Image tokens [pictures, tokens, width]: flat patches, those of one token together, as the processor cuts."""
        values = scaled(pixels)
        count, channels, side, _ = values.shape
        across = side // PATCH // MERGE
        squares = values.reshape(count, channels, across, MERGE, PATCH, across, MERGE, PATCH)
        squares = squares.permute(0, 2, 5, 3, 6, 1, 4, 7).unsqueeze(6).expand(*[-1] * 6, FRAMES, -1, -1)
        flat = squares.reshape(count * (across * MERGE) ** 2, -1)
        found = self.model.get_image_features(flat, image_grid_thw=grids).pooler_output
        return torch.stack(list(found)) if isinstance(found, list | tuple) else found.reshape(count, across**2, -1)


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: everything at once, four questions packed behind each picture and sound.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps.
    """
    torch.manual_seed(seed)
    own = parts()
    model = build(own.tokenizer)
    model.set_attn_implementation("eager")  # deterministic, and nothing is faster at this size
    width = model.config.text_config.hidden_size
    heads = torch.nn.ModuleDict({name: torch.nn.Linear(width, 1) for name in ("shapes at", "beeps at")})
    (steps,) = scaled_steps(steps_scale, STEPS)
    phase = Phase(
        name="joint",
        steps=steps,
        batches=ChimeBatches(own, seed, steps),
        loss=_Loss(model, own, heads),
        parameters=[*model.parameters(), *heads.parameters()],
        learning_rate=1.5e-3,
    )
    return Plan(NAME, seed, model, own, heads, [phase])
