"""What models that hear are fed: encoded sounds and pictures in the place of their tokens, rows of unequal length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.modalities.audio_reading import RATE, Sound
from chiasm.models import compat


@dataclass(frozen=True)
class Family:
    """One family of models that hear.

    Attributes:
        name: its name in messages.
        loader: class of transformers that loads it.
        kinds: the kinds of parts that it takes.
        image_token, audio_token: attribute of the tokenizer that holds what stands for one in a prompt, and its usual
            value.
        mrope: positions have three axes.
    """

    name: str
    loader: str
    kinds: tuple[str, ...]
    audio_token: tuple[str, str] = ("audio_token", "<|AUDIO|>")
    image_token: tuple[str, str] = ("image_token", "<|IMAGE|>")
    mrope: bool = False


_THINKER = Family("Qwen2.5-Omni", "Qwen2_5OmniThinkerForConditionalGeneration", ("image", "audio", "text"), mrope=True)
FAMILIES: dict[str, Family] = {
    "qwen2_audio": Family("Qwen2-Audio", "Qwen2AudioForConditionalGeneration", ("audio", "text")),
    "qwen2_5_omni": _THINKER,
    "qwen2_5_omni_thinker": _THINKER,
}
"""Model type of a configuration → family."""


@dataclass(frozen=True, eq=False)
class Medium:
    """An encoded sound or picture.

    Attributes:
        features: ``float[tokens, width]``: what replaces its tokens.
        size: (time, rows, columns) of a picture's patches, or the number of a sound's frames.
    """

    features: Any
    size: tuple[int, int, int] | int

    @property
    def nbytes(self) -> int:
        """Bytes, for the memory of what was encoded."""
        return int(self.features.numel() * self.features.element_size())


@dataclass(frozen=True, eq=False)
class Row:
    """One input: ``int64[tokens]`` of the prompt, and what replaces its placeholders, in their order."""

    ids: NDArray[np.int64]
    media: Sequence[Medium]


def listen(extractor: Any, sounds: Sequence[Sound]) -> tuple[Any, Any]:
    """What the feature extractor makes of sounds: ``float[b, bins, frames]`` and which frames count.

    Raises:
        InvalidInput: a sound is longer than the model hears.
    """
    most = int(getattr(extractor, "n_samples", 0) or 0)
    longest = max(len(sound) for sound in sounds)
    if most and longest > most:
        raise InvalidInput(
            f"The sound is {longest / RATE:.2f} seconds long and the model hears {most / RATE:.2f}; give a part of it."
        )
    made = extractor(
        list(sounds), sampling_rate=RATE, padding="max_length", return_attention_mask=True, return_tensors="pt"
    )
    return made["input_features"], made["attention_mask"]


def encode_sounds(model: Any, kind: str, extractor: Any, sounds: Sequence[Sound]) -> list[Medium]:
    """Sounds of one length through the model's audio tower."""
    import torch

    features, mask = listen(extractor, sounds)
    core = compat.core_of(model)
    device = compat.device_of(model)
    features, mask = features.to(device, core.audio_tower.dtype), mask.to(device)
    frames = int(mask[0].sum())
    with torch.inference_mode():
        if kind == "qwen2_audio":
            found = _qwen2_audio(core, features, mask)
        else:
            found = core.get_audio_features(features, feature_attention_mask=mask, return_dict=True).last_hidden_state
    found = found.reshape(len(sounds), -1, found.shape[-1])
    return [Medium(one, frames) for one in found]


def _qwen2_audio(core: Any, features: Any, mask: Any) -> Any:
    """The tower sees the frames that count, and what it makes of them is projected."""
    import torch

    seen, kept = core.audio_tower._get_feat_extract_output_lengths(mask.sum(-1))  # noqa: SLF001 - as the model itself
    places = torch.arange((features.shape[-1] - 2) // 2 + 1, device=features.device)
    blocked = (places[None] >= seen[:, None])[:, None, None].to(features.dtype) * torch.finfo(features.dtype).min
    states = core.audio_tower(features, attention_mask=blocked).last_hidden_state
    return core.multi_modal_projector(states)[:, : int(kept[0])]


class Forward:
    """The plain forward pass on rows of unequal length, padded at the left.

    Args:
        model: the model.
        family: its family.
        pad_id: id of the padding token.
        places: ids of the tokens that pictures and sounds replace.
    """

    def __init__(self, model: Any, family: Family, pad_id: int, places: Sequence[int]) -> None:
        """Nothing is computed."""
        self.model, self.family, self.pad_id, self.places = model, family, pad_id, list(places)

    def logits(self, rows: Sequence[Row], suffix: Sequence[int], keep: int) -> Any:
        """Logits after the last tokens of each row.

        Args:
            rows: the batch.
            suffix: tokens appended to every row (the first tokens of an answer).
            keep: how many of the last positions to compute.

        Returns:
            ``float32[rows, keep, vocabulary]``.
        """
        import torch

        core = compat.core_of(self.model)
        ids, visible = self._padded(rows, suffix)
        with torch.inference_mode():
            embedded = self.model.get_input_embeddings()(ids)
            place = torch.isin(ids, torch.tensor(self.places, device=ids.device))
            media = [medium for row in rows for medium in row.media]
            if media:
                features = torch.cat([medium.features for medium in media]).to(embedded.dtype)
                embedded = embedded.masked_scatter(place[..., None], features)
            states = core.language_model(
                inputs_embeds=embedded,
                attention_mask=visible,
                position_ids=self._positions(ids, visible, media),
                use_cache=False,
            ).last_hidden_state
            return self.model.lm_head(states[:, -keep:]).float()

    def _padded(self, rows: Sequence[Row], suffix: Sequence[int]) -> tuple[Any, Any]:
        import torch

        longest = max(len(row.ids) for row in rows)
        shape = (len(rows), longest + len(suffix))
        ids, visible = np.full(shape, self.pad_id, np.int64), np.zeros(shape, np.int64)
        for k, row in enumerate(rows):
            start = longest - len(row.ids)
            ids[k, start:longest], visible[k, start:] = row.ids, 1
        ids[:, longest:] = np.asarray(suffix, np.int64)
        device = compat.device_of(self.model)
        return torch.from_numpy(ids).to(device), torch.from_numpy(visible).to(device)

    def _positions(self, ids: Any, visible: Any, media: Sequence[Medium]) -> Any:
        """Positions as the model itself counts them: with three axes where it has them, else one by one."""
        import torch

        if not self.family.mrope:
            return (visible.cumsum(-1) - 1).clamp(min=0)
        grids = [medium.size for medium in media if isinstance(medium.size, tuple)]
        frames = [medium.size for medium in media if isinstance(medium.size, int)]
        positions, _ = compat.core_of(self.model).get_rope_index(
            ids,
            image_grid_thw=torch.tensor(grids, device=ids.device) if grids else None,
            attention_mask=visible,
            audio_seqlens=torch.tensor(frames, device=ids.device) if frames else None,
        )
        return positions
