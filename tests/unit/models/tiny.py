"""Tiny random models of every decoder family, written to a folder as plain transformers code would do it."""

# ruff: noqa: S106 - these tokens are no passwords

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    Blip2Config,
    Blip2ForConditionalGeneration,
    Blip2Processor,
    Blip2QFormerConfig,
    Blip2VisionConfig,
    CLIPVisionConfig,
    GemmaConfig,
    Idefics3Config,
    Idefics3ForConditionalGeneration,
    Idefics3Processor,
    InternVLConfig,
    InternVLForConditionalGeneration,
    InternVLVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    OPTConfig,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    PaliGemmaProcessor,
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SiglipVisionConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil

CORPUS = [
    "what colour is the car on the left of the blue house ?",
    "is there a red square above the green circle in the picture ?",
    "how many yellow triangles are there in this photo yes no one two three four",
    "user assistant Question: Answer: USER: ASSISTANT: describe the image please something",
]
LETTERS = [chr(c) for c in range(32, 127)]
COMMON = ["<pad>", "<s>", "</s>", "<unk>"]

LLAVA_CHAT = (
    "{% for m in messages %}USER: {% for c in m['content'] %}{% if c['type'] == 'image' %}<image>\n{% else %}"
    "{{ c['text'] }}{% endif %}{% endfor %}{% endfor %}{% if add_generation_prompt %} ASSISTANT:{% endif %}"
)
QWEN_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ c['text'] }}{% endif %}{% endfor %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
IDEFICS_CHAT = (
    "<|im_start|>{% for m in messages %}{{ m['role'] | capitalize }}"
    "{% if m['content'][0]['type'] == 'image' %}{{ ':' }}"
    "{% else %}{{ ': ' }}{% endif %}{% for c in m['content'] %}{% if c['type'] == 'text' %}{{ c['text'] }}"
    "{% elif c['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}<end_of_utterance>\n{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:' }}{% endif %}"
)
INTERN_CHAT = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}{% if c['type'] == 'image' %}"
    "<IMG_CONTEXT>\n{% else %}{{ c['text'] | trim }}{% endif %}{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_bpe(special: list[str], *, bos: bool = False, mask: bool = False, **named: str) -> PreTrainedTokenizerFast:
    """Byte-level BPE: tokens carry leading spaces (Qwen, Llama 3, OPT)."""
    special = [*COMMON, *(["<mask>"] if mask else []), *special]
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", core.token_to_id("<s>"))]
        )
    return wrap(core, mask=mask, **named)


def metaspace(special: list[str], *, bos: bool = True, mask: bool = False, **named: str) -> PreTrainedTokenizerFast:
    """SentencePiece-like: "▁" for spaces and one before the text (LLaVA, Gemma)."""
    special = [*COMMON, *(["<mask>"] if mask else []), *special]
    core = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True))
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Metaspace()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=[*LETTERS, "▁", "\n"], show_progress=False
    )
    core.train_from_iterator(CORPUS, trainer)
    if bos:
        core.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", core.token_to_id("<s>"))]
        )
    return wrap(core, mask=mask, **named)


def wrap(core: Tokenizer, *, mask: bool, **named: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        **({"mask_token": "<mask>"} if mask else {}),
        **({"extra_special_tokens": named} if named else {}),
        model_max_length=4096,
    )


def lively(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    """Weights large enough that every pixel and word changes the answer."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.ndim >= 2:
                fan_in = p[0].numel()
                scale = 0.5 if "embed" in name or "query_tokens" in name or "position" in name else 1.4 * fan_in**-0.5
                p.copy_(torch.randn(p.shape, generator=generator) * scale)
    return model.eval()


def save(folder: Path, model: torch.nn.Module, *parts: object, template: str | None = None, seed: int = 0) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lively(model, seed).save_pretrained(folder)
        for part in parts:
            part.save_pretrained(folder)
    if template is not None:
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return str(folder)


def ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    return {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }


def llama(tokenizer: PreTrainedTokenizerFast, **more: object) -> LlamaConfig:
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        **ids(tokenizer),
        **more,
    )


def llava(folder: Path, *, crop: bool = False, pad: bool = False, mask: bool = True, template: bool = True) -> str:
    tokenizer = metaspace(["<image>"], mask=mask, image_token="<image>")
    size = {"shortest_edge": 32} if crop else {"height": 32, "width": 32}
    if pad:
        from transformers.models.llava.image_processing_pil_llava import LlavaImageProcessorPil as Images
    else:
        Images = CLIPImageProcessorPil
    more = {"do_pad": True} if pad else {}
    images = Images(size=size, do_center_crop=crop or pad, crop_size={"height": 32, "width": 32}, **more)
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=32,
        patch_size=8,
        projection_dim=32,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=llama(tokenizer),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=16,
        vision_feature_layer=-2,
    )
    processor = LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=8,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=LLAVA_CHAT if template else None,
    )
    return save(folder, LlavaForConditionalGeneration(config), processor)


def qwen_parts(patch: int = 8) -> tuple[PreTrainedTokenizerFast, Qwen2VLImageProcessorPil, dict[str, object]]:
    special = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    tokenizer = byte_bpe(special, image_token="<|image_pad|>", video_token="<|video_pad|>")
    images = Qwen2VLImageProcessorPil(
        patch_size=patch, merge_size=2, temporal_patch_size=2, size={"shortest_edge": 32 * 32, "longest_edge": 64 * 64}
    )
    names = {
        "image_token_id": "<|image_pad|>",
        "video_token_id": "<|video_pad|>",
        "vision_start_token_id": "<|vision_start|>",
        "vision_end_token_id": "<|vision_end|>",
    }
    return tokenizer, images, {key: tokenizer.convert_tokens_to_ids(name) for key, name in names.items()}


def qwen_text(tokenizer: PreTrainedTokenizerFast, section: list[int]) -> dict[str, object]:
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "rope_parameters": {"rope_type": "default", "mrope_section": section, "rope_theta": 10000.0},
        **ids(tokenizer),
    }


def qwen2_vl(folder: Path) -> str:
    tokenizer, images, special = qwen_parts()
    vision = {
        "depth": 2,
        "embed_dim": 32,
        "hidden_size": 32,
        "num_heads": 2,
        "mlp_ratio": 2,
        "patch_size": 8,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
    }
    config = Qwen2VLConfig(vision_config=vision, text_config=qwen_text(tokenizer, [2, 3, 3]), **special)
    return save(folder, Qwen2VLForConditionalGeneration(config), tokenizer, images, template=QWEN_CHAT)


def qwen2_5_vl(folder: Path) -> str:
    tokenizer, images, special = qwen_parts()
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "num_heads": 2,
        "patch_size": 8,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "window_size": 32,
        "fullatt_block_indexes": [1],
    }
    config = Qwen2_5_VLConfig(vision_config=vision, text_config=qwen_text(tokenizer, [2, 3, 3]), **special)
    return save(folder, Qwen2_5_VLForConditionalGeneration(config), tokenizer, images, template=QWEN_CHAT)


def qwen3_vl(folder: Path) -> str:
    tokenizer, images, special = qwen_parts()
    vision = {
        "depth": 3,
        "hidden_size": 32,
        "intermediate_size": 48,
        "out_hidden_size": 32,
        "num_heads": 2,
        "patch_size": 8,
        "spatial_merge_size": 2,
        "temporal_patch_size": 2,
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    text = {**qwen_text(tokenizer, [2, 3, 3]), "head_dim": 16, "num_hidden_layers": 3}
    config = Qwen3VLConfig(vision_config=vision, text_config=text, **special)
    return save(folder, Qwen3VLForConditionalGeneration(config), tokenizer, images, template=QWEN_CHAT)


def idefics_parts(
    kind: type[Idefics3ImageProcessorPil | SmolVLMImageProcessorPil], *, split: bool
) -> tuple[PreTrainedTokenizerFast, object]:
    tiles = [f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4)]
    special = ["<|im_start|>", "<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>", *tiles]
    tokenizer = byte_bpe(special, bos=kind is Idefics3ImageProcessorPil)
    images = kind(size={"longest_edge": 64}, max_image_size={"longest_edge": 32}, do_image_splitting=split)
    return tokenizer, images


IDEFICS_VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 32,
    "patch_size": 8,
}


def idefics3(folder: Path, *, split: bool = True, plain: bool = False) -> str:
    tokenizer, images = idefics_parts(Idefics3ImageProcessorPil, split=split)
    if plain:
        images.do_normalize = False  # a black picture is then exactly zero
    text = llama(tokenizer)
    config = Idefics3Config(
        vision_config=IDEFICS_VISION,
        text_config=text,
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    processor = Idefics3Processor(
        image_processor=images, tokenizer=tokenizer, image_seq_len=4, chat_template=IDEFICS_CHAT
    )
    return save(folder, Idefics3ForConditionalGeneration(config), processor)


def smolvlm(folder: Path, *, split: bool = True) -> str:
    tokenizer, images = idefics_parts(SmolVLMImageProcessorPil, split=split)
    config = SmolVLMConfig(
        vision_config=IDEFICS_VISION,
        text_config=llama(tokenizer),
        scale_factor=2,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        pad_token_id=tokenizer.pad_token_id,
    )
    return save(folder, SmolVLMForConditionalGeneration(config), tokenizer, images, template=IDEFICS_CHAT)


def internvl(folder: Path, *, most: int = 4) -> str:
    special = ["<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>", "<video>"]
    tokenizer = byte_bpe(
        special,
        start_image_token="<img>",
        end_image_token="</img>",
        context_image_token="<IMG_CONTEXT>",
        video_token="<video>",
    )
    images = GotOcr2ImageProcessorPil(size={"height": 32, "width": 32}, min_patches=1, max_patches=most)
    vision = InternVLVisionConfig(
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=[32, 32],
        patch_size=[8, 8],
    )
    text = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        **ids(tokenizer),
    )
    config = InternVLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        image_seq_length=4,
    )
    return save(folder, InternVLForConditionalGeneration(config), tokenizer, images, template=INTERN_CHAT)


def paligemma(folder: Path) -> str:
    tokenizer = metaspace(["<image>"], mask=True, image_token="<image>")
    images = SiglipImageProcessorPil(size={"height": 32, "width": 32})
    images.image_seq_length = 16
    processor = PaliGemmaProcessor(image_processor=images, tokenizer=tokenizer)
    vision = SiglipVisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    text = GemmaConfig(
        vocab_size=len(processor.tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        **ids(tokenizer),
    )
    config = PaliGemmaConfig(
        vision_config=vision,
        text_config=text,
        projection_dim=32,
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return save(folder, PaliGemmaForConditionalGeneration(config), processor)


def blip2(folder: Path) -> str:
    tokenizer = byte_bpe([], bos=True)
    images = BlipImageProcessorPil(size={"height": 32, "width": 32})
    processor = Blip2Processor(image_processor=images, tokenizer=tokenizer, num_query_tokens=4)
    vision = Blip2VisionConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=8
    )
    former = Blip2QFormerConfig(
        vocab_size=30,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        encoder_hidden_size=32,
        cross_attention_frequency=1,
    )
    text = OPTConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        ffn_dim=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=512,
        word_embed_proj_dim=32,
        **ids(tokenizer),
    )
    config = Blip2Config(
        vision_config=vision.to_dict(),
        qformer_config=former.to_dict(),
        text_config=text.to_dict(),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return save(folder, Blip2ForConditionalGeneration(config), processor)


BUILDERS = {
    "llava": llava,
    "qwen2_vl": qwen2_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen3_vl": qwen3_vl,
    "idefics3": idefics3,
    "smolvlm": smolvlm,
    "internvl": internvl,
    "paligemma": paligemma,
    "blip-2": blip2,
}
