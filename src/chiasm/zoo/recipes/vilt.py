"""The zoo's `vilt-shapes`: a real ViLT of a million parameters that answers questions about shapes and digits.

In ViLT patches look at words and words at patches, so no picture can be encoded once for several questions and a step
teaches little. Training therefore comes near in three phases: pictures alone through the lower layers; twelve questions
packed behind a picture that looks at none of them (and later at the first one); at last one question a sequence,
everything looking at everything, as the model will be used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor

from chiasm.zoo.data.phrases import ANSWERS
from chiasm.zoo.data.words import PAD, VOCABULARY
from chiasm.zoo.recipes.building import GRID, PATCH, SIDE, blocked, draw_weights, image_processor, scaled, scaled_steps
from chiasm.zoo.recipes.fusion import LONGEST, QuestionBatches, answered_loss, question_tokenizer, word_heads
from chiasm.zoo.recipes.losses import patch_heads, right_answers, tower_loss
from chiasm.zoo.recipes.pictures import IGNORED, PictureBatches
from chiasm.zoo.recipes.training import Measures, Phase, Plan

NAME: Final = "vilt-shapes"
PICTURE_STEPS: Final = 700
PACKED_STEPS: Final = 1500
JOINT_STEPS: Final = 500

SEES: Final = 3
"""Layers after which patches say what lies on them."""
REFERS: Final = (4, 5)
"""Layers after which words say what they name."""

_LEAK_FROM: Final = 0.5
"""Share of the packed phase after which every other picture looks at its first question."""


def processor() -> Any:
    """The processor: the shorter side of a picture to 128 pixels, ``<user>`` and ``</s>`` around the question."""
    from transformers import ViltProcessor
    from transformers.models.vilt.image_processing_pil_vilt import ViltImageProcessorPil

    pictures = image_processor(ViltImageProcessorPil, {"shortest_edge": SIDE}, size_divisor=PATCH)
    return ViltProcessor(pictures, question_tokenizer())


def build(width: int = 128, layers: int = 6, heads: int = 4) -> Any:
    """A ViLT with fresh weights; draw them after `torch.manual_seed`.

    Args:
        width: size of every hidden state.
        layers: layers of the encoder.
        heads: attention heads.

    Returns:
        A `ViltForQuestionAnswering` whose labels are `ANSWERS`.
    """
    from transformers import ViltConfig, ViltForQuestionAnswering

    config = ViltConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        image_size=SIDE,
        patch_size=PATCH,
        max_position_embeddings=LONGEST,
        max_image_length=-1,
        pad_token_id=VOCABULARY[PAD],
        id2label=dict(enumerate(ANSWERS)),
        label2id={answer: number for number, answer in enumerate(ANSWERS)},
    )
    model = ViltForQuestionAnswering(config)
    draw_weights(model)
    return model


def _image_embeds(model: Any, pixels: Tensor) -> Tensor:
    """What the library's forward pass embeds, without its draw of patches; the modality is not yet added.

    Args:
        model: the model.
        pixels: uint8[batch, side, side, 3].

    Returns:
        Class token and patches in reading order, float[batch, 1 + grid², width].
    """
    own = model.vilt.embeddings
    patches = own.patch_embeddings(scaled(pixels)).flatten(2).transpose(1, 2)
    return torch.cat([own.cls_token.expand(len(patches), -1, -1), patches], dim=1) + own.position_embeddings


def _with_modality(model: Any, states: Tensor, modality: int) -> Tensor:
    return states + model.vilt.embeddings.token_type_embeddings.weight[modality]


def _text_embeds(model: Any, ids: Tensor, positions: Tensor) -> Tensor:
    own = model.vilt.embeddings.text_embeddings
    # The library's own token types are as long as one text; packed rows are longer.
    embedded = own(input_ids=ids, position_ids=positions, token_type_ids=torch.zeros_like(ids))
    return _with_modality(model, embedded, 0)


@dataclass(frozen=True)
class States:
    """What a pass through the encoder gives to the losses.

    Attributes:
        seen: patches after `SEES` layers, float[rows, grid², width].
        referred: words after each of `REFERS` layers, float[rows, tokens, width].
        logits: of the answers, float[…, answers].
    """

    seen: Tensor
    referred: tuple[Tensor, ...]
    logits: Tensor


def _run(model: Any, states: Tensor, mask: Tensor | None, layers: int | None = None) -> list[Tensor]:
    """States behind each of the first layers under an additive mask; the first element is what goes in."""
    behind = [states]
    for layer in model.vilt.encoder.layer[:layers]:
        behind.append(layer(behind[-1], mask)[0])
    return behind


def _states(behind: list[Tensor], tokens: int, logits: Tensor) -> States:
    return States(behind[SEES][:, tokens + 1 :], tuple(behind[layer][:, :tokens] for layer in REFERS), logits)


def _read(model: Any, first: Tensor) -> Tensor:
    """Logits float[rows, answers] from final states float[rows, width] of the tokens that the pooler reads."""
    return model.classifier(model.vilt.pooler(model.vilt.layernorm(first)[:, None]))


def _packed_mask(segments: Tensor, hidden: Tensor, patches: int, leak: Tensor) -> Tensor:
    """Additive mask of rows of packed questions followed by the picture.

    Args:
        segments: int64[batch, tokens], number of each token's question.
        hidden: bool[batch, tokens], no token may look at it.
        patches: tokens of the picture.
        leak: int64[batch], the question that the picture looks at, 0 for none.
    """
    batch, tokens = segments.shape
    own = segments[:, :, None] == segments[:, None, :]
    seen = (segments == leak[:, None])[:, None, :].expand(batch, patches, tokens)
    text = torch.cat([own, seen], dim=1) & ~hidden[:, None, :]
    picture = torch.ones(batch, tokens + patches, patches, dtype=torch.bool, device=text.device)
    return blocked(torch.cat([text, picture], dim=2))


def packed_states(model: Any, batch: dict[str, Tensor], leak: Tensor) -> States:
    """Packed questions behind their picture; the logits are [batch, questions, answers].

    Args:
        model: the model.
        batch: of `QuestionBatches`.
        leak: int64[batch], the question that the picture looks at, 0 for none.
    """
    pictures = _with_modality(model, _image_embeds(model, batch["pixels"]), 1)
    states = torch.cat([_text_embeds(model, batch["ids"], batch["positions"]), pictures], dim=1)
    behind = _run(model, states, _packed_mask(batch["segments"], batch["hidden"], pictures.shape[1], leak))
    rows = torch.arange(len(states), device=states.device)[:, None]
    logits = _read(model, behind[-1][rows, batch["asked"]].flatten(0, 1)).view(*batch["asked"].shape, -1)
    return _states(behind, batch["ids"].shape[1], logits)


def unpacked(batch: dict[str, Tensor]) -> dict[str, Tensor]:
    """The questions of packed rows one by one.

    Returns:
        ``ids``, ``visible`` (not padding, and others may look at it) and the words' labels: [batch·questions, tokens].
    """
    questions, tokens = batch["asked"].shape[1], batch["ids"].shape[1]
    length = int(batch["positions"].max()) + 1
    places = batch["asked"][:, :, None] + torch.arange(length, device=batch["ids"].device)
    inside, places = places < tokens, places.clamp(max=tokens - 1)
    rows = torch.arange(len(places), device=places.device)[:, None, None]
    numbers = torch.arange(1, questions + 1, device=places.device)[None, :, None]
    own = inside & (batch["segments"][rows, places] == numbers)
    single = {
        "ids": batch["ids"][rows, places].masked_fill(~own, VOCABULARY[PAD]),
        "visible": own & ~batch["hidden"][rows, places],
        "word place": batch["word place"][rows, places],
    }
    for name in ("count", "word colour", "word form"):
        single[name] = batch[name][rows, places].masked_fill(~own, IGNORED)
    return {name: array.flatten(0, 1) for name, array in single.items()}


def joint_states(model: Any, pixels: Tensor, ids: Tensor, visible: Tensor) -> States:
    """One question a row and everything looking at everything: the model's own forward pass, patches in order.

    Args:
        model: the model.
        pixels: uint8[pictures, side, side, 3]; the same number of rows in turn belong to each.
        ids: int64[rows, tokens].
        visible: bool[rows, tokens].
    """
    pictures = _with_modality(model, _image_embeds(model, pixels), 1)
    pictures = pictures.repeat_interleave(len(ids) // len(pixels), dim=0)
    positions = torch.arange(ids.shape[1], device=ids.device).expand_as(ids)
    states = torch.cat([_text_embeds(model, ids, positions), pictures], dim=1)
    keys = torch.cat([visible, visible.new_ones(pictures.shape[:2])], dim=1)
    behind = _run(model, states, blocked(keys[:, None, :]))
    return _states(behind, ids.shape[1], _read(model, behind[-1][:, 0]))


def _picture_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    states = _with_modality(model, _image_embeds(model, batch["pixels"]), 1)
    return tower_loss(heads["patch"], batch, _run(model, states, None, SEES)[-1][:, 1:])


def _all_losses(
    heads: Any, batch: dict[str, Tensor], words: dict[str, Tensor], states: States
) -> tuple[Tensor, Measures]:
    answers = F.cross_entropy(states.logits.float().flatten(0, 1), batch["labels"].flatten())
    loss, measures = answered_loss(heads, batch, answers, patches=states.seen, words=words, states=states.referred)
    return loss, measures | right_answers(states.logits.argmax(-1) == batch["labels"], batch)


def _packed_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    return _all_losses(heads, batch, batch, packed_states(model, batch, batch["leak"]))


def _joint_loss(model: Any, heads: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Measures]:
    words = unpacked(batch)
    states = joint_states(model, batch["pixels"], words["ids"], words["visible"])
    shape = batch["asked"].shape
    # The picture's labels are there once; its states are much the same in each of its rows.
    first = replace(states, seen=states.seen.unflatten(0, shape)[:, 0], logits=states.logits.unflatten(0, shape))
    return _all_losses(heads, batch, words, first)


def plan(seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The recipe: pictures alone, then twelve packed questions a picture, then one question a sequence.

    Args:
        seed: of weights and data.
        steps_scale: multiplies the number of steps of all phases.
    """
    torch.manual_seed(seed)
    model = build()
    width = model.config.hidden_size
    heads = torch.nn.ModuleDict({"patch": patch_heads(width), "word": word_heads(width)})
    alone, packed, joint = scaled_steps(steps_scale, PICTURE_STEPS, PACKED_STEPS, JOINT_STEPS)
    everything = [*model.parameters(), *heads.parameters()]
    own = model.vilt.embeddings
    lower = [own.cls_token, own.position_embeddings, *own.patch_embeddings.parameters()]
    lower += [*own.token_type_embeddings.parameters(), *model.vilt.encoder.layer[:SEES].parameters()]
    phases = [
        Phase(
            name="pictures",
            steps=alone,
            batches=PictureBatches(SIDE, GRID, seed, alone),
            loss=partial(_picture_loss, model, heads),
            parameters=[*lower, *heads["patch"].parameters()],
            learning_rate=2e-3,
            muon=5.0,
        ),
        Phase(
            name="packed",
            steps=packed,
            batches=QuestionBatches(SIDE, GRID, seed, packed, leak_from=_LEAK_FROM),
            loss=partial(_packed_loss, model, heads),
            parameters=everything,
            learning_rate=1.5e-3,
        ),
        Phase(
            name="joint",
            steps=joint,
            batches=QuestionBatches(SIDE, GRID, seed, joint, phase=2, questions=3, grown=True),
            loss=partial(_joint_loss, model, heads),
            parameters=everything,
            learning_rate=7e-4,
        ),
    ]
    return Plan(NAME, seed, model, processor(), heads, phases)
