"""What `omni-chimes` hears, sees and reads through: feature extractor, image processor, tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chiasm.modalities.audio_reading import RATE
from chiasm.zoo.data import chimes
from chiasm.zoo.data.scenes import COLOURS
from chiasm.zoo.recipes.building import image_processor

SIDE, PATCH, MERGE, FRAMES = 64, 8, 2, 2
BINS: Final = 32
"""Mel bins of a sound."""

_PLAIN: Final = ("<pad>", "<unk>", "<mask>", "</s>", "<user>", "<assistant>")
NAMED: Final = {
    "image_token": "<|IMAGE|>",
    "audio_token": "<|AUDIO|>",
    "video_token": "<|VIDEO|>",
    "vision_bos_token": "<|vision_bos|>",
    "vision_eos_token": "<|vision_eos|>",
    "audio_bos_token": "<|audio_bos|>",
    "audio_eos_token": "<|audio_eos|>",
}
_TEMPLATE: Final = (
    "{% for message in messages %}<user>{% if message['content'] is string %} {{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<|vision_bos|><|IMAGE|><|vision_eos|>"
    "{% elif part['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>"
    "{% elif part['type'] == 'text' %} {{ part['text'] }}{% endif %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
BINS_OUT: Final = 25
"""Tokens of a second of sound."""


def tokenizer() -> Any:
    """One token a word of the questions and answers; lower case, punctuation apart, exact offsets."""
    from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {*COLOURS, *chimes.NUMBERS, *chimes.PITCHES, "yes", "no", "?", ".", ","}
    for phrases in chimes.PHRASES.values():
        words |= {word for phrase in phrases for word in phrase.lower().replace("?", " ").split()}
    special = [*_PLAIN, *NAMED.values()]
    vocabulary = {word: number for number, word in enumerate([*special, *sorted(words)])}
    fast = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))  # noqa: S106 - no password
    fast.normalizer = normalizers.Lowercase()
    fast.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Punctuation()])
    fast.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    found = PreTrainedTokenizerFast(
        tokenizer_object=fast,
        pad_token="<pad>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        mask_token="<mask>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        padding_side="left",
        model_max_length=512,
        extra_special_tokens=NAMED,
    )
    found.chat_template = _TEMPLATE
    return found


@dataclass
class Parts:
    """Image processor, feature extractor and tokenizer: what is saved beside the model.

    Qwen's own processor holds a video processor too, which needs torchvision.
    """

    image_processor: Any
    feature_extractor: Any
    tokenizer: Any

    def save_pretrained(self, folder: str | Path) -> None:
        """Write them as transformers would. Both extractors want ``preprocessor_config.json``: it holds both."""
        self.tokenizer.save_pretrained(folder)
        both = {**self.feature_extractor.to_dict(), **self.image_processor.to_dict()}
        kept = {
            name: value for name, value in both.items() if isinstance(value, str | int | float | bool | list | dict)
        }
        path = Path(folder) / "preprocessor_config.json"
        path.write_text(json.dumps(kept, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def parts() -> Parts:
    """Pictures of 64 × 64 pixels, a second of sound as 100 frames of 32 bins, and the words."""
    from transformers import WhisperFeatureExtractor
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    pictures = image_processor(
        Qwen2VLImageProcessorPil,
        {"shortest_edge": SIDE**2, "longest_edge": SIDE**2},
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=FRAMES,
    )
    sounds = WhisperFeatureExtractor(feature_size=BINS, chunk_length=1, sampling_rate=RATE)
    return Parts(pictures, sounds, tokenizer())
