"""What differs between the families of decoder models, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chiasm.core.errors import ModelError
from chiasm.models.decoder_images import (
    IdeficsImages,
    InternImages,
    PicturePath,
    QwenImages,
    Reading,
    WholeImages,
    require_one,
)
from chiasm.models.decoder_prompt import Form, Order, blip2_form, chat_form, llava_form, paligemma_form


@dataclass(frozen=True)
class Family:
    """One family of decoder models.

    Attributes:
        name: its name in messages.
        pictures: how it takes pictures in.
        placeholder: attribute of the tokenizer that holds what stands for a picture in a prompt, and its usual value.
        mrope: positions have three axes that the model computes itself (Qwen-VL).
        first_position: position of the first token.
        typed: its mask depends on ``token_type_ids``: the prompt is read in both directions (PaliGemma).
        own_form: it has a prompt form of its own and no chat template.
    """

    name: str
    pictures: type[PicturePath]
    placeholder: tuple[str, str] = ("image_token", "<image>")
    mrope: bool = False
    first_position: int = 0
    typed: bool = False
    own_form: bool = False


_QWEN = ("image_token", "<|image_pad|>")

FAMILIES: dict[str, Family] = {
    "llava": Family("LLaVA", WholeImages),
    "qwen2_vl": Family("Qwen2-VL", QwenImages, _QWEN, mrope=True),
    "qwen2_5_vl": Family("Qwen2.5-VL", QwenImages, _QWEN, mrope=True),
    "qwen3_vl": Family("Qwen3-VL", QwenImages, _QWEN, mrope=True),
    "idefics3": Family("Idefics3", IdeficsImages),
    "smolvlm": Family("SmolVLM", IdeficsImages),
    "internvl": Family("InternVL", InternImages, ("context_image_token", "<IMG_CONTEXT>")),
    "paligemma": Family("PaliGemma", WholeImages, first_position=1, typed=True, own_form=True),
    "blip-2": Family("BLIP-2", WholeImages, own_form=True),
}
"""Model type of a configuration → family."""


def family_of(config: Any) -> Family:
    """The family of a model.

    Raises:
        ModelError: not a decoder family that is known here, or a variant of one that is not.
    """
    kind = config.model_type
    if kind not in FAMILIES:
        raise ModelError(
            f"Models of type {kind!r} are no decoder family that Chiasm knows: {', '.join(sorted(FAMILIES))}."
        )
    if kind == "llava" and config.vision_config.model_type == "pixtral":
        raise ModelError(
            "LLaVA with a Pixtral tower cuts pictures into rows of its own and is not supported; wrap the model in "
            "FunctionModel, or use a LLaVA with a CLIP or SigLIP tower."
        )
    if kind == "blip-2" and not config.use_decoder_only_language_model:
        raise ModelError(
            "This BLIP-2 has an encoder-decoder language model (T5), which is not supported; use a checkpoint with a "
            "decoder-only one, such as blip2-opt-2.7b."
        )
    return FAMILIES[kind]


def reading(config: Any, image_processor: Any, tokenizer: Any, settings: dict[str, Any]) -> Reading:
    """What a way of taking in pictures is made from."""
    return Reading(config, image_processor, tokenizer, settings, placeholder(family_of(config), tokenizer))


def placeholder(family: Family, tokenizer: Any) -> str:
    """What stands for a picture in the prompts of this model."""
    attribute, usual = family.placeholder
    return str(getattr(tokenizer, attribute, None) or usual)


def image_token_id(config: Any) -> int:
    """Id of the token that picture features replace."""
    found = getattr(config, "image_token_id", None)
    return int(found if found is not None else config.image_token_index)


def placeholder_ids(config: Any, family: Family, tokenizer: Any) -> list[int]:
    """Ids of the tokens that stand for pictures and videos, which a model must not be fed in an answer."""
    names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
    found = {getattr(config, name, None) for name in names}
    found.add(tokenizer.get_vocab().get(placeholder(family, tokenizer)))
    return sorted(k for k in found if isinstance(k, int) and k >= 0)


def form_of(
    config: Any, tokenizer: Any, template: str | None, order: Order, texts: Mapping[str, str]
) -> tuple[Form, bool | None]:
    """How this model writes the prompt of a sample, and whether special tokens are added (see `Prompter`).

    With a chat template, that; PaliGemma and BLIP-2 have documented forms of their own, and so has LLaVA 1.5.

    Raises:
        ModelError: no template and no documented form.
        InvalidInput: several pictures for BLIP-2, which was trained on one.
    """
    family = family_of(config)
    mark = placeholder(family, tokenizer)
    if config.model_type == "paligemma":
        return paligemma_form(mark, tokenizer.bos_token or "", order), False
    if config.model_type == "blip-2":
        require_one([name for name, kind in order if kind == "image"], family.name)
        return blip2_form(texts), True
    if template is not None:
        return chat_form(tokenizer, template, order), None
    if config.model_type == "llava":
        return llava_form(mark, order), None
    raise ModelError(
        f"This {family.name} checkpoint has no chat template, so its prompts cannot be written as it was trained. "
        f"Put the chat_template.jinja of the original model into its folder."
    )
