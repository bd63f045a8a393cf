"""Losses that every recipe shares: what each patch shows, read by heads that are thrown away, and the answers."""

from __future__ import annotations

from typing import Any, Final

import torch
import torch.nn.functional as F  # noqa: N812 - the library's own convention
from torch import Tensor, nn

from chiasm.zoo.data.scenes import COLOURS
from chiasm.zoo.recipes.packing import TYPES
from chiasm.zoo.recipes.pictures import FORMS, IGNORED
from chiasm.zoo.recipes.training import Measures

_NAMED_PLACE: Final = 4.0
"""Weight of an error of place at a token, relative to the cross-entropy of colour and form."""
_BACKGROUND: Final = 0.25
"""Weight of a patch without an object."""


def patch_heads(width: int, token_width: int | None = None) -> Any:
    """Heads that read colour, form and place of the object on a patch.

    Args:
        width: of the vision tower's features.
        token_width: of the image tokens that the language model gets; none if ``None``.
    """
    heads = {
        "colour": nn.Linear(width, len(COLOURS) + 1),
        "form": nn.Linear(width, len(FORMS) + 1),
        "place": nn.Linear(width, 3),
    }
    if token_width is not None:
        heads["token place"] = nn.Linear(token_width, 3)
    return nn.ModuleDict(heads)


def patch_loss(heads: Any, batch: dict[str, Tensor], patches: Tensor) -> tuple[Tensor, Measures]:
    """Cross-entropy of colour and form; background counts a quarter, hidden patches not at all."""
    loss = torch.zeros((), device=patches.device)
    measures: Measures = {}
    for name in ("colour", "form"):
        logits, labels = heads[name](patches).flatten(0, 1).float(), batch[name].flatten()
        weight = torch.ones(logits.shape[1], device=logits.device)
        weight[0] = _BACKGROUND
        loss = loss + F.cross_entropy(logits, labels, weight, ignore_index=IGNORED)
        objects = labels > 0
        measures[f"patch {name}"] = (((logits.argmax(-1) == labels) & objects).sum(), objects.sum())
    return loss, measures


def place_loss(head: Any, batch: dict[str, Tensor], features: Tensor, grid: str = "") -> Tensor:
    """Mean squared error of centre and radius that each visible patch predicts.

    Relations hang on it: without such a loss on the image tokens, no position reaches the language model.

    Args:
        head: features → centre and radius.
        batch: with labels of ``place`` and ``colour``.
        features: [pictures, patches, width].
        grid: prefix of the names of those labels, for features that lie on another grid than the patches.
    """
    error = (head(features).float() - batch[f"{grid}place"]).square().mean(-1)
    shown = (batch[f"{grid}colour"] != IGNORED).float()
    return (error * shown).sum() / shown.sum().clamp(min=1)


def named_heads(width: int, layers: int) -> Any:
    """Heads that read an object at the token that fully names it, one set for each layer of the language model.

    Args:
        width: of the language model's states.
        layers: how many of its layers are read.
    """
    return nn.ModuleList(patch_heads(width) for _ in range(layers))


def named_loss(heads: Any, batch: dict[str, Tensor], states: list[Tensor]) -> tuple[Tensor, Measures]:
    """Colour, form and place of each object at the token that fully names it, in the mean over layers.

    It teaches the language model to look up what a word stands for, long before an answer could.

    Args:
        heads: of `named_heads`.
        batch: with what `packing.named_objects` gives.
        states: [pictures, tokens, width] behind each of the layers that are read.
    """
    loss = torch.zeros((), device=batch["ids"].device)
    if not len(batch["named_at"]):
        return loss, {}
    rows, tokens = batch["named_at"].unbind(-1)
    error = loss
    for head, layer in zip(heads, states, strict=True):
        named = layer[rows, tokens]
        loss = loss + F.cross_entropy(head["colour"](named).float(), batch["named_colour"])
        loss = loss + F.cross_entropy(head["form"](named).float(), batch["named_form"])
        error = (head["place"](named).float() - batch["named_place"]).square().mean()
        loss = loss + _NAMED_PLACE * error
    return loss / len(states), {"named error": (error.detach(), torch.ones_like(error))}


def right_answers(right: Tensor, batch: dict[str, Tensor]) -> Measures:
    """Accuracy by type of question where nothing is hidden, and over all where something is.

    Args:
        right: whether each answer is right, bool[pictures, questions].
        batch: with ``whole``, ``masked`` and ``kinds``.
    """
    measures: Measures = {}
    clean = batch["whole"] & ~batch["masked"][:, None]
    for number, kind in enumerate(TYPES):
        chosen = clean & (batch["kinds"] == number)
        measures[kind] = ((right & chosen).sum(), chosen.sum())
    measures["masked"] = ((right & ~clean).sum(), (~clean).sum())
    return measures


def attention_mask(segments: Tensor, hidden: Tensor) -> Tensor:
    """Additive mask float[batch, 1, length, length] of packed rows: causal, each question with the prefix alone."""
    length = segments.shape[1]
    allowed = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == 0)
    allowed &= torch.ones(length, length, dtype=torch.bool, device=segments.device).tril()
    allowed &= ~hidden[:, None, :]
    blocked = torch.finfo(torch.float32).min
    return torch.zeros(allowed.shape, device=segments.device).masked_fill(~allowed, blocked)[:, None]


def scaled(pixels: Tensor, mean: float = 0.5, deviation: float = 0.5) -> Tensor:
    """Pixels uint8[batch, side, side, 3] as an image processor scales them: float32[batch, 3, side, side]."""
    return pixels.permute(0, 3, 1, 2).float() / (255 * deviation) - mean / deviation


def draw_weights(model: Any) -> None:
    """Larger weights than the library's: its 0.02 suits large models and leaves one of this size at a plateau."""
    for name, weight in model.named_parameters():
        if weight.ndim >= 4:
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif weight.ndim >= 2 and "embed" in name:
            nn.init.normal_(weight, std=0.5 if "position" in name or "pos_embed" in name else 1.0)
        elif weight.ndim == 2:
            nn.init.normal_(weight, std=min(0.09, weight.shape[-1] ** -0.5))
