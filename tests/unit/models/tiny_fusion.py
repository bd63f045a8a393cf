"""Tiny random ViLT and BLIP question-answering checkpoints, saved by plain transformers code."""

from __future__ import annotations

from pathlib import Path

from tiny_dual import SIDE, WORDS, shake

PATCH = 8
ANSWERS = ["yes", "no", "Red", "blue", "2", "left"]
WORD_PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "##s", "##ing", *WORDS, "what", "is", "yes", "no"]


def bert_tokenizer(limit: int = 20) -> object:
    """WordPiece with the special tokens of BERT, and BLIP's start token."""
    from transformers import BertTokenizer

    vocab = {word: index for index, word in enumerate(WORD_PIECES)}
    return BertTokenizer(vocab=vocab, bos_token="[DEC]", model_max_length=limit)  # noqa: S106 - no password


def save_vilt(folder: Path, *, max_image_length: int = -1, limit: int = 20) -> Path:
    """A ViLT model for 32-pixel pictures (shorter side) with patches of 8 pixels."""
    import torch
    from transformers import ViltConfig, ViltForQuestionAnswering, ViltProcessor
    from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

    torch.manual_seed(0)
    config = ViltConfig(
        vocab_size=len(WORD_PIECES),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=48,
        image_size=SIDE,
        patch_size=PATCH,
        max_position_embeddings=limit,
        max_image_length=max_image_length,
        num_labels=len(ANSWERS),
        id2label=dict(enumerate(ANSWERS)),
        label2id={answer: index for index, answer in enumerate(ANSWERS)},
    )
    model = ViltForQuestionAnswering(config).eval()
    shake(model)
    with torch.no_grad():
        model.vilt.embeddings.position_embeddings.normal_(std=0.3)
        model.vilt.embeddings.cls_token.normal_(std=0.3)
    model.save_pretrained(folder)
    processor = ViltImageProcessorPil(size={"shortest_edge": SIDE}, size_divisor=PATCH)
    ViltProcessor(image_processor=processor, tokenizer=bert_tokenizer(limit)).save_pretrained(folder)
    return folder


def save_blip(folder: Path) -> Path:
    """A BLIP model for 32-pixel pictures with patches of 8 pixels."""
    import torch
    from transformers import BlipConfig, BlipForQuestionAnswering, BlipProcessor
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    torch.manual_seed(0)
    shared = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    ids = {word: index for index, word in enumerate(WORD_PIECES)}
    config = BlipConfig(
        text_config={
            **shared,
            "vocab_size": len(WORD_PIECES),
            "encoder_hidden_size": 32,
            "max_position_embeddings": 20,
            "bos_token_id": ids["[DEC]"],
            "sep_token_id": ids["[SEP]"],
            "eos_token_id": ids["[SEP]"],
            "pad_token_id": ids["[PAD]"],
        },
        vision_config={**shared, "image_size": SIDE, "patch_size": PATCH},
    )
    model = BlipForQuestionAnswering(config).eval()
    shake(model, seed=1)
    model.save_pretrained(folder)
    processor = BlipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    BlipProcessor(image_processor=processor, tokenizer=bert_tokenizer()).save_pretrained(folder)
    return folder
