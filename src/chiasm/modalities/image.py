"""The modality of pictures: content is ``uint8[height, width, 3]``, players are areas of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.core.players import PartPlayers, Regions
from chiasm.modalities import image_maskers, image_segmenters
from chiasm.modalities.base import ContentMasker, Context, Placement
from chiasm.modalities.image_maskers import AnotherImage, Composite, Inpaint, image_masker
from chiasm.modalities.image_reading import Picture, read_image
from chiasm.modalities.image_segmenters import Boxes, Grid, Masks, ModelGrid, Slic, box_mask, image_segmenter, raw_mask

__all__ = [
    "IMAGE",
    "AnotherImage",
    "Boxes",
    "Composite",
    "Grid",
    "ImageModality",
    "Inpaint",
    "Masks",
    "ModelGrid",
    "Slic",
]


@dataclass(frozen=True)
class ImageModality:
    """Pictures: grid, superpixels, boxes, masks; composite and inpainted baselines."""

    kind: str = "image"
    default_segmenter: str = "grid:4x4"
    default_masker: str = "mean"

    @property
    def segmenters(self) -> dict[str, str]:
        """Name of each way to cut → what it does, in a line."""
        return dict(image_segmenters.KNOWN)

    @property
    def maskers(self) -> dict[str, str]:
        """Name of each masker → what it does, in a line."""
        return dict(image_maskers.KNOWN)

    def read(self, data: Any) -> Picture:
        """A path, Pillow image or array → ``uint8[h, w, 3]``; see `chiasm.modalities.image_reading.read_image`.

        Raises:
            InvalidInput: what cannot be read, with the reason.
        """
        return read_image(data)

    def segment(self, part: str, content: Picture, segmenter: Any, context: Context) -> PartPlayers:
        """Cut a picture into players.

        Args:
            part: name of the part.
            content: the picture as the model sees it, ``uint8[h, w, 3]``.
            segmenter: ``"grid:7x7"``, ``"grid:model"``, ``"slic:50"``, `Boxes`, `Masks`, or an object with ``cut``.
            context: what the model's adapter knows of the part.

        Raises:
            UnknownName: no such segmenter.
            InvalidInput: the segmenter does not fit the picture.
        """
        labels, label_map = image_segmenter(segmenter).cut(content, context)
        return PartPlayers(part, self.kind, labels, Regions(label_map), content)

    def masker(self, spec: Any) -> ContentMasker:
        """The masker for ``"mean"``, ``"grey"``, ``"zero"``, ``"constant:R,G,B"``, ``"blur:R"``, ``"noise:SEED"``,
        ``"image:PATH"``, ``"inpaint"``, an `AnotherImage` or an object that is one.

        Raises:
            UnknownName: no such masker.
            InvalidInput: its argument cannot be used.
        """
        return image_masker(spec)

    def sorts(self, players: PartPlayers, lexicon: Mapping[str, Sequence[str]] | None = None) -> list[str]:
        """In which ninth of the picture the middle of each player lies, e.g. ``"top left"``, ``"middle"``."""
        del lexicon  # has words alone
        if not isinstance(players.geometry, Regions):
            return list(players.labels)
        label_map = players.geometry.label_map
        owned = label_map >= 0
        count = np.maximum(np.bincount(label_map[owned], minlength=len(players)), 1)
        middles = [
            np.bincount(label_map[owned], weights=places[owned], minlength=len(players)) / count / size
            for places, size in zip(np.indices(label_map.shape) + 0.5, label_map.shape, strict=True)
        ]
        rows, columns = ((3 * middle).astype(int).clip(0, 2).tolist() for middle in middles)
        return [_ninth(row, column) for row, column in zip(rows, columns, strict=True)]

    def overlap(self, players: PartPlayers, truth: NDArray[Any], placement: Placement) -> NDArray[np.float64]:
        """The share of each player's own pixels that the truth covers.

        Args:
            players: players with `Regions`.
            truth: boxes ``float[k, 4]`` (x0, y0, x1, y1; their union counts) or one mask ``bool[h, w]``, in pixels of
                the picture as given.
            placement: how the seen picture lies in the raw one.

        Returns:
            ``float64[players]`` in [0, 1].

        Raises:
            InvalidInput: truth of another shape, or players that are no areas.
        """
        if not isinstance(players.geometry, Regions):
            raise InvalidInput(f"The players of part {players.part!r} are no areas of a picture.")
        label_map = players.geometry.label_map
        shape = (label_map.shape[0], label_map.shape[1])
        covered = _covered(np.asarray(truth), placement, shape)
        owned = label_map >= 0
        count = np.bincount(label_map[owned], minlength=len(players))
        hit = np.bincount(label_map[owned & covered], minlength=len(players))
        return np.asarray(hit / np.maximum(count, 1), np.float64)


def _ninth(row: int, column: int) -> str:
    """The name of a ninth of a picture, counted from the top left."""
    vertical, horizontal = ("top", "", "bottom")[row], ("left", "", "right")[column]
    return f"{vertical} {horizontal}".strip() or "middle"


def _covered(truth: NDArray[Any], placement: Placement, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The seen pixels that the truth covers, ``bool[h, w]``."""
    if truth.size == 0:
        return np.zeros(shape, bool)
    if truth.dtype == np.bool_ and truth.ndim == 2:
        return raw_mask(truth, placement, shape)
    if truth.ndim != 2 or truth.shape[1] != 4 or not np.issubdtype(truth.dtype, np.number):
        raise InvalidInput(
            f"The truth of a picture is {truth.dtype}{list(truth.shape)}; give boxes float[k, 4] or a mask bool[h, w]."
        )
    covered = np.zeros(shape, bool)
    for box in truth.astype(np.float64):
        covered |= box_mask(box, placement, shape)
    return covered


IMAGE: Final = ImageModality()
