"""Tiny random CLIP and SigLIP checkpoints, saved by plain transformers code."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WORDS = [
    "a",
    "the",
    "photo",
    "of",
    "red",
    "green",
    "blue",
    "square",
    "circle",
    "on",
    "left",
    "right",
    "two",
    "three",
    "cat",
    "dog",
    "something",
    ".",
    ",",
    "?",
]
SIDE, PATCH = 32, 8


def picture(height: int = 40, width: int = 50, seed: int = 0) -> np.ndarray:
    """A smooth coloured picture, so that resizing and blurring keep something of it."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 256, (5, 6, 3)).astype(np.uint8)
    from PIL import Image

    return np.asarray(Image.fromarray(low).resize((width, height)))


def shake(model: object, seed: int = 0) -> None:
    """Redraw the weights larger: at their usual size a random model barely looks at its input."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():  # type: ignore[attr-defined]
            if weight.ndim >= 2:
                std = 0.5 if "embedding" in name else weight[0].numel() ** -0.5
                weight.copy_(torch.randn(weight.shape, generator=generator) * std)


def clip_tokenizer(*, pad: str = "<|endoftext|>", end_last: bool = True, limit: int = 64) -> object:
    """Byte-level BPE as CLIP has it; ``end_last``: the end token has the highest id, as in OpenAI's vocabulary."""
    from tokenizers import pre_tokenizers
    from transformers import CLIPTokenizer

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*letters, *(letter + "</w>" for letter in letters), "re", "red</w>", "ca", "cat</w>"]
    extra = ["<|startoftext|>", "<|endoftext|>"]
    words = [*pieces, *extra] if end_last else ["[x]", "[y]", "[z]", *extra, *pieces]
    if pad not in words:
        words.insert(0, pad)
    vocab = {word: index for index, word in enumerate(words)}
    merges = [("r", "e"), ("re", "d</w>"), ("c", "a"), ("ca", "t</w>")]
    return CLIPTokenizer(vocab=vocab, merges=merges, pad_token=pad, model_max_length=limit)


def save_clip(
    folder: Path, *, legacy: bool = False, pad: str = "<|endoftext|>", crop: bool = True, attention: str = "sdpa"
) -> Path:
    """A CLIP model; ``legacy``: its configuration names 2 as the end token, as OpenAI's checkpoints do."""
    import torch
    from transformers import CLIPConfig, CLIPModel, CLIPProcessor
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    tokenizer = clip_tokenizer(pad=pad, end_last=legacy)
    config = CLIPConfig(
        text_config={
            "vocab_size": len(tokenizer),  # type: ignore[arg-type]
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": 64,
            "eos_token_id": 2 if legacy else tokenizer.eos_token_id,  # type: ignore[attr-defined]
            "bos_token_id": tokenizer.bos_token_id,  # type: ignore[attr-defined]
            "pad_token_id": tokenizer.pad_token_id,  # type: ignore[attr-defined]
        },
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        projection_dim=16,
        attn_implementation=attention,
    )
    model = CLIPModel(config).eval()
    shake(model)
    processor = CLIPImageProcessorPil(
        size={"shortest_edge": SIDE} if crop else {"height": SIDE, "width": SIDE},
        do_center_crop=crop,
        crop_size={"height": SIDE, "width": SIDE},
    )
    model.save_pretrained(folder)
    CLIPProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder


def siglip_tokenizer(*, limit: int = 16, mask_padding: bool = False) -> object:
    """Words, an end token, padding with the end token, no attention mask: SigLIP's conventions on a fast tokenizer."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocab = {word: index for index, word in enumerate(["<unk>", "</s>", *WORDS])}
    inner = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))  # noqa: S106 - no password
    inner.normalizer = normalizers.Lowercase()
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=inner,
        unk_token="<unk>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        pad_token="</s>",  # noqa: S106
        model_max_length=limit,
        model_input_names=["input_ids", "attention_mask"] if mask_padding else ["input_ids"],
    )


def save_siglip(folder: Path, *, mask_padding: bool = False) -> Path:
    """A SigLIP model; ``mask_padding``: with a tokenizer that returns an attention mask."""
    import torch
    from transformers import SiglipConfig, SiglipModel, SiglipProcessor
    from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

    torch.manual_seed(0)
    tokenizer = siglip_tokenizer(mask_padding=mask_padding)
    shared = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = SiglipConfig(
        text_config={**shared, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32},  # type: ignore[arg-type]
        vision_config={**shared, "image_size": SIDE, "patch_size": PATCH},
    )
    model = SiglipModel(config).eval()
    shake(model)
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-1.5)
    model.save_pretrained(folder)
    processor = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    SiglipProcessor(image_processor=processor, tokenizer=tokenizer).save_pretrained(folder)
    return folder
