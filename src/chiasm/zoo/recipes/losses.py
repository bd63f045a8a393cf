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

PATCH_WEIGHT: Final = 0.5
PLACE_WEIGHT: Final = 1.5
NAMED_WEIGHT: Final = 0.5
"""Weights of what patches show, of places, and of what words name, relative to the answers."""
NAMED_PLACE: Final = 4.0
"""Weight of an error of place at a word, relative to the cross-entropy of colour and form."""
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


def tower_loss(heads: Any, batch: dict[str, Tensor], patches: Tensor) -> tuple[Tensor, Measures]:
    """What a vision tower learns alone: what each patch shows (heads of `patch_heads`), and where its object lies."""
    loss, measures = patch_loss(heads, batch, patches)
    return loss + 2 * place_loss(heads["place"], batch, patches), measures


def label_loss(head: Any, states: Tensor, labels: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Cross-entropy in the mean over the states that have a label, 0 if none has; and how many of how many are right.

    Args:
        head: states → logits.
        states: float[…, width].
        labels: int64[…], `IGNORED` for none.
    """
    known = labels != IGNORED
    logits, wanted, cases = head(states[known]).float(), labels[known], known.sum()
    loss = F.cross_entropy(logits, wanted, reduction="sum") / cases.clamp(min=1)
    return loss, ((logits.argmax(-1) == wanted).sum(), cases)


def named_loss(heads: Any, batch: dict[str, Tensor], states: list[Tensor]) -> tuple[Tensor, Measures]:
    """Colour, form and place of each object at the token that fully names it, in the mean over layers.

    It teaches the language model to look up what a word stands for, long before an answer could.

    Args:
        heads: for each layer those of `patch_heads`.
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
        for name in ("colour", "form"):
            loss = loss + label_loss(head[name], named, batch[f"named_{name}"])[0]
        error = (head["place"](named).float() - batch["named_place"]).square().mean()
        loss = loss + NAMED_PLACE * error
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
