"""How often a dual encoder of the zoo prefers a true caption to hard negatives, whole and with parts hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.zoo.accuracy import ALL_TYPES, Hits, Row, amounts, calibration
from chiasm.zoo.accuracy import hide_image as hide_cells
from chiasm.zoo.data.captions import NEGATIVES, scene_and_captions
from chiasm.zoo.data.scenes import render
from chiasm.zoo.data.words import MASK

_BATCH: Final = 50


@dataclass(frozen=True)
class Compared:
    """Captions of some pictures, true ones and their hard negatives, as a model sees them.

    Attributes:
        kinds: ``str[texts]``, "true" or the kind of negative; the true caption is the first of each picture.
        owners: ``int64[texts]``, index of the picture.
        texts: ``str[texts]``, after hiding.
        scores: ``float64[texts]``, cosine with the picture.
        scale: by which the model multiplies cosines.
    """

    kinds: NDArray[np.str_]
    owners: NDArray[np.int64]
    texts: NDArray[np.str_]
    scores: NDArray[np.float64]
    scale: float

    def own(self, values: NDArray[Any]) -> NDArray[Any]:
        """Of each text's picture, the value of the true caption."""
        return np.asarray(values[self.kinds == "true"][self.owners])

    def rates(self) -> dict[str, float]:
        """Shares in which the true caption wins, as `caption_accuracy` gives them."""
        false = self.kinds != "true"
        # Equal texts have equal scores but for rounding.
        points = np.where(self.texts == self.own(self.texts), 0.5, self.own(self.scores) > self.scores)
        kinds = [kind for kind in NEGATIVES if (self.kinds == kind).any()]
        rates = {kind: float(points[self.kinds == kind].mean()) for kind in kinds}
        rates["two-way"] = float(np.mean(list(rates.values())))
        size = np.bincount(self.owners)
        lost = np.bincount(self.owners, weights=false & (points == 0)) > 0
        ties = 1 + np.bincount(self.owners, weights=false & (points == 0.5))
        rates["all"] = float(np.where(lost, 0.0, 1 / ties).mean())
        rates["all chance"] = float((1 / size).mean())
        return rates

    def hits(self, kinds: Sequence[str]) -> Hits:
        """Whether the true caption wins over each negative of some kinds, and the probability of the one that wins.

        The probability is the model's softmax over the two. Captions that hidden words made equal are left out.
        """
        chosen = np.isin(self.kinds, kinds) & (self.texts != self.own(self.texts))
        margin = self.scale * (self.own(self.scores) - self.scores)[chosen]
        return margin > 0, 1 / (1 + np.exp(-np.abs(margin)))


def load(folder: Path | str, device: str = "cpu") -> tuple[Any, Any]:
    """A saved CLIP or SigLIP and its processor."""
    from transformers import AutoModel, AutoProcessor

    return AutoModel.from_pretrained(folder).to(device).eval(), AutoProcessor.from_pretrained(folder)


def compare(loaded: tuple[Any, Any], n: int, seed: int, *, hide_image: float = 0.0, hide_text: float = 0.0) -> Compared:
    """Compare the first ``n`` pictures of the captions data set with their captions.

    Args:
        loaded: what `load` gave.
        n: how many pictures.
        seed: seed of the data set, and of what is hidden.
        hide_image: share of the 4 × 4 cells of the picture that are filled with its mean colour.
        hide_text: share of a caption's words (rounded) that ``<mask>`` replaces, the same places in the true caption
            and in each of its negatives.

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
        picture = render(scene)
        pictures.append(hide_cells(picture, hide_image, rng) if hide_image else picture)
        # The captions of a group have the same words but for those that decide, so the same places can be hidden.
        hidden = _places(len(true.text.split()), hide_text, rng)
        for kind, sentence in [("true", true), *others.items()]:
            texts.append(_hide_words(sentence.text, hidden))
            kinds.append(kind)
            owners.append(index)
    scores = similarities(loaded, pictures, texts, owners)
    scale = float(loaded[0].logit_scale.detach().float().exp())
    return Compared(np.array(kinds), np.array(owners), np.array(texts), scores, scale)


def caption_accuracy(
    loaded: tuple[Any, Any], n: int, seed: int, *, hide_image: float = 0.0, hide_text: float = 0.0
) -> dict[str, float]:
    """Accuracy on the first ``n`` pictures of the captions data set with that seed; arguments as of `compare`.

    Returns:
        Kind of negative → share of the pictures whose caption has such a negative in which the true caption is the
        more similar one (chance 0.5); ``"two-way"``: the mean of those; ``"all"``: share of the pictures in which it
        beats one negative of each kind it has at once (chance between 0.2 and 0.33); ``"all chance"``: that chance.
        Captions that hidden words leave equal share the point.

    Raises:
        InvalidInput: ``n`` or ``seed`` is negative or ``n`` is 0, or a share is not in 0 … 1.
    """
    return compare(loaded, n, seed, hide_image=hide_image, hide_text=hide_text).rates()


def by_chance(kinds: Sequence[str], seeds: Sequence[int]) -> dict[str, list[float]]:
    """What is right without a model by kind of negative and seed: one of two captions, so a half."""
    return {kind: [0.5] * len(seeds) for kind in kinds}


def caption_rows(
    loaded: tuple[Any, Any], kinds: Sequence[str], n: int, seeds: Sequence[int]
) -> tuple[dict[str, list[float]], list[Row]]:
    """Accuracy by kind of negative and seed, and accuracy and calibration by amount of masking.

    Args:
        loaded: what `load` gave.
        kinds: kinds of negative.
        n: pictures of each seed.
        seeds: of the data.
    """
    rows: list[Row] = []
    whole: dict[str, list[float]] = {}
    for what, of_image, of_text in amounts():
        found = [compare(loaded, n, seed, hide_image=of_image, hide_text=of_text) for seed in seeds]
        rates = [one.rates() for one in found]
        shares = {kind: [one[kind] for one in rates if kind in one] for kind in kinds}
        shares = {kind: several for kind, several in shares.items() if several}
        right, chance = (np.concatenate(parts) for parts in zip(*(one.hits(kinds) for one in found), strict=True))
        told = {ALL_TYPES: calibration(right, chance)} if len(right) else {}
        rows.append(Row(what, {kind: float(np.mean(several)) for kind, several in shares.items()}, told))
        whole = whole or shares
    return whole, rows


def similarities(
    loaded: tuple[Any, Any], pictures: Sequence[Image.Image], texts: Sequence[str], owners: Sequence[int]
) -> NDArray[np.float64]:
    """Cosine of each text with the picture it belongs to, float64[texts]; texts are padded to the model's length.

    Args:
        loaded: what `load` gave.
        pictures: the pictures.
        texts: the texts.
        owners: index of the picture of each text.
    """
    import torch

    model, processor = loaded
    length = model.config.text_config.max_position_embeddings

    def unit(vectors: Any) -> NDArray[np.float64]:
        found = torch.nn.functional.normalize(vectors.pooler_output.double(), dim=-1).cpu().numpy()
        return np.asarray(found, np.float64)

    seen, read = [], []
    with torch.inference_mode():
        for start in range(0, len(pictures), _BATCH):
            inputs = processor(images=list(pictures[start : start + _BATCH]), return_tensors="pt")
            seen.append(unit(model.get_image_features(**inputs.to(model.device))))
        for start in range(0, len(texts), _BATCH):
            batch = list(texts[start : start + _BATCH])
            inputs = processor(text=batch, padding="max_length", max_length=length, return_tensors="pt")
            read.append(unit(model.get_text_features(**inputs.to(model.device))))
    return np.asarray((np.concatenate(seen)[np.asarray(owners)] * np.concatenate(read)).sum(axis=1), np.float64)


def _places(words: int, share: float, rng: np.random.Generator) -> frozenset[int]:
    return frozenset(rng.permutation(words)[: round(share * words)].tolist())


def _hide_words(text: str, places: frozenset[int]) -> str:
    return " ".join(MASK if k in places else word for k, word in enumerate(text.split()))
