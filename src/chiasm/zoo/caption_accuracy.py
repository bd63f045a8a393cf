"""How often a dual encoder of the zoo prefers a true caption to hard negatives, whole and with parts hidden."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.zoo.data.captions import NEGATIVES, scene_and_captions
from chiasm.zoo.data.scenes import SIDE, render
from chiasm.zoo.data.words import MASK

GRID: Final = 4
"""Cells across and down that are hidden, filled with the mean colour of the picture."""
_BATCH: Final = 200


def caption_accuracy(
    folder: Path | str,
    n: int,
    seed: int,
    hide_image: float = 0.0,
    hide_text: float = 0.0,
    *,
    device: str = "cpu",
) -> dict[str, float]:
    """Accuracy on the first ``n`` pictures of the captions data set with that seed.

    Args:
        folder: a saved CLIP or SigLIP with its processor.
        n: how many pictures.
        seed: seed of the data set, and of what is hidden.
        hide_image: share of the 4 × 4 cells of the picture that are filled with its mean colour.
        hide_text: share of a caption's words (rounded) that ``<mask>`` replaces, the same places in the true caption
            and in each of its negatives.
        device: where to run.

    Returns:
        Kind of negative → share of the pictures whose caption has such a negative in which the true caption is the
        more similar one (chance 0.5); ``"two-way"``: the mean of those; ``"all"``: share of the pictures in which it
        beats one negative of each kind it has at once (chance between 0.2 and 0.33); ``"all chance"``: that chance.
        Captions that hidden words leave equal share the point.

    Raises:
        InvalidInput: ``n`` or ``seed`` is negative or ``n`` is 0, or a share is not in 0 … 1.
    """
    if n < 1 or seed < 0 or not (0 <= hide_image <= 1 and 0 <= hide_text <= 1):
        raise InvalidInput(
            f"n must be positive, seed not negative and the hidden shares from 0 to 1; "
            f"got n={n}, seed={seed}, hide_image={hide_image}, hide_text={hide_text}."
        )
    rng = np.random.default_rng(np.random.SeedSequence([seed, n]))
    pictures, texts, kinds, owners = [], [], [], []
    for index in range(n):
        scene, _, true, others = scene_and_captions(index, seed)
        pictures.append(_hide_cells(render(scene), hide_image, rng))
        # The captions of a group have the same words but for those that decide, so the same places can be hidden.
        hidden = _places(len(true.text.split()), hide_text, rng)
        for kind, sentence in [("true", true), *others.items()]:
            texts.append(_hide_words(sentence.text, hidden))
            kinds.append(kind)
            owners.append(index)
    scores = similarities(folder, pictures, texts, owners, device)
    return _rates(np.array(kinds), np.array(owners), scores, np.array(texts))


def _rates(
    kinds: NDArray[np.str_], owners: NDArray[np.int64], scores: NDArray[np.float64], texts: NDArray[np.str_]
) -> dict[str, float]:
    first = np.flatnonzero(kinds == "true")  # one a picture, in order
    own = scores[first][owners]
    # Equal texts have equal scores but for rounding.
    points = np.where(texts == texts[first][owners], 0.5, (own > scores).astype(np.float64))
    rates = {kind: float(points[kinds == kind].mean()) for kind in NEGATIVES if (kinds == kind).any()}
    rates["two-way"] = float(np.mean(list(rates.values())))
    count = len(first)
    lost = np.zeros(count, dtype=bool)
    ties, size = np.ones(count), np.zeros(count)
    np.logical_or.at(lost, owners[(points == 0) & (kinds != "true")], True)  # noqa: FBT003 - the operand
    np.add.at(ties, owners[(points == 0.5) & (kinds != "true")], 1.0)
    np.add.at(size, owners, 1.0)
    rates["all"] = float(np.where(lost, 0.0, 1 / ties).mean())
    rates["all chance"] = float((1 / size).mean())
    return rates


def similarities(
    folder: Path | str, pictures: Sequence[Image.Image], texts: Sequence[str], owners: Sequence[int], device: str
) -> NDArray[np.float64]:
    """Cosine of each text with the picture it belongs to, float64[texts]; texts are padded to the model's length.

    Args:
        folder: a saved CLIP or SigLIP with its processor.
        pictures: the pictures.
        texts: the texts.
        owners: index of the picture of each text.
        device: where to run.
    """
    import torch
    from transformers import AutoModel, AutoProcessor

    model, processor = AutoModel.from_pretrained(folder).to(device).eval(), AutoProcessor.from_pretrained(folder)
    length = model.config.text_config.max_position_embeddings

    def unit(vectors: Any) -> NDArray[np.float64]:
        found = torch.nn.functional.normalize(vectors.pooler_output.double(), dim=-1).cpu().numpy()
        return np.asarray(found, np.float64)

    seen, read = [], []
    with torch.inference_mode():
        for start in range(0, len(pictures), _BATCH):
            inputs = processor(images=list(pictures[start : start + _BATCH]), return_tensors="pt")
            seen.append(unit(model.get_image_features(**inputs.to(device))))
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            inputs = processor(text=batch, padding="max_length", max_length=length, return_tensors="pt")
            read.append(unit(model.get_text_features(**inputs.to(device))))
    return np.asarray((np.concatenate(seen)[np.asarray(owners)] * np.concatenate(read)).sum(axis=1), np.float64)


def _hide_cells(picture: Image.Image, share: float, rng: np.random.Generator) -> Image.Image:
    """The picture with that share of its cells filled with its mean colour."""
    if not share:
        return picture
    kept = np.ones(GRID * GRID, dtype=np.uint8)
    kept[rng.permutation(GRID * GRID)[: round(share * GRID * GRID)]] = 0
    stencil = Image.fromarray(kept.reshape(GRID, GRID) * 255, "L").resize((SIDE, SIDE), Image.Resampling.NEAREST)
    red, green, blue = np.asarray(picture, dtype=np.float64).mean(axis=(0, 1)).round().astype(int).tolist()
    return Image.composite(picture, Image.new("RGB", picture.size, (red, green, blue)), stencil)


def _places(words: int, share: float, rng: np.random.Generator) -> frozenset[int]:
    return frozenset(rng.permutation(words)[: round(share * words)].tolist())


def _hide_words(text: str, places: frozenset[int]) -> str:
    return " ".join(MASK if k in places else word for k, word in enumerate(text.split()))
