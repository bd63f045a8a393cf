"""Where the numbers of a picture's input tensor, and the tokens made of it, lie in the picture that the model sees.

A model takes a picture as one rectangle, as flat patches (Qwen-VL), or as tiles of which one may be the whole picture
made small. All three are tiles here: rectangles of pixels, each with the box of the seen picture that it shows. What
is found pixel by pixel goes back to the seen picture (by area, where a tile is not at the picture's scale) and is
summed there over the players' regions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.core.players import PartPlayers, Regions
from chiasm.models.decoder_images import TINY, IdeficsImages, InternImages, PicturePath, QwenImages, Sight

Floats = NDArray[np.float64]
#: top, left, bottom, right in pixels of the seen picture
Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Layout:
    """How an input tensor lies in the seen picture.

    Attributes:
        shape: of the input, without a batch axis.
        boxes: what each tile shows.
        sides: (height, width) of a tile in its own pixels.
        players: the part's players.
        label_map: ``int32[H, W]`` of the seen picture, −1 for no player.
        flat: (frames, side, merge) of flat patches, or ``None``.
    """

    shape: tuple[int, ...]
    boxes: tuple[Box, ...]
    sides: tuple[int, int]
    players: PartPlayers
    label_map: NDArray[np.int32]
    flat: tuple[int, int, int] | None = None

    def to_players(self, relevance: Floats) -> Floats:
        """Relevance of the input's shape, or with its channels summed → ``float64[players]``.

        Raises:
            InvalidInput: another shape.
        """
        seen = self.to_picture(relevance)
        own = self.label_map >= 0
        return np.bincount(self.label_map[own], seen[own], len(self.players)).astype(np.float64)

    def to_picture(self, relevance: Floats) -> Floats:
        """Relevance of the input's shape, or with its channels summed → ``float64[H, W]`` of the seen picture.

        The sum stays what it is.

        Raises:
            InvalidInput: another shape.
        """
        height, width = self.label_map.shape
        found = np.zeros((height, width))
        for tile, (top, left, bottom, right) in zip(self._tiles(relevance), self.boxes, strict=True):
            rows = overlaps(top, bottom, tile.shape[0], height)
            columns = overlaps(left, right, tile.shape[1], width)
            found += rows.T @ tile @ columns
        return found

    def _tiles(self, relevance: Floats) -> Floats:
        """``float64[tiles, height, width]``, channels summed."""
        if self.flat is not None:
            return self._unflattened(relevance)
        values = relevance
        if values.shape == self.shape:
            values = values.sum(axis=-3)
        if values.shape != (*self.shape[:-3], *self.shape[-2:]):
            raise self._misshapen(relevance)
        return values.reshape(-1, *self.sides)

    def _unflattened(self, relevance: Floats) -> Floats:
        """The order of Qwen-VL's flat patches undone; frames (copies of one picture) are summed."""
        frames, side, merge = self.flat or (1, 1, 1)
        patches, values = self.shape
        bare = frames * side**2
        if relevance.shape not in {(patches, values), (patches, bare)}:
            raise self._misshapen(relevance)
        height, width = self.sides
        blocks = relevance.reshape(
            height // side // merge, width // side // merge, merge, merge, -1, frames, side, side
        ).sum(axis=(4, 5))
        return np.ascontiguousarray(blocks.transpose(0, 2, 4, 1, 3, 5)).reshape(1, height, width)

    def _misshapen(self, relevance: Floats) -> InvalidInput:
        return InvalidInput(
            f"The relevance of part {self.players.part!r} has shape {list(relevance.shape)}; give that of its input, "
            f"{list(self.shape)}, or that with the channels summed."
        )

    def cover(self, grid: tuple[int, int]) -> Floats:
        """The share of each cell that each player owns, ``float64[players, tiles · rows · columns]``.

        Args:
            grid: (rows, columns) of cells on each tile; cells of a whole number of the tile's pixels, what is left
                over at the right and the bottom belongs to none (as a convolution reads it).
        """
        shares = []
        for top, left, bottom, right in self.boxes:
            cut = [side // cells * cells / side for side, cells in zip(self.sides, grid, strict=True)]
            rows = overlaps(top, top + (bottom - top) * cut[0], grid[0], self.label_map.shape[0])
            columns = overlaps(left, left + (right - left) * cut[1], grid[1], self.label_map.shape[1])
            shares.append(self._shares(rows, columns))
        return np.concatenate(shares, axis=1)

    def _shares(self, rows: Floats, columns: Floats) -> Floats:
        """From the share of each cell's height and width on each pixel, ``float64[players, cells]``."""
        count, width = len(self.players), self.label_map.shape[1]
        found = np.zeros((count, len(rows) * len(columns)))
        for r, share in enumerate(rows):
            here = np.flatnonzero(share)
            owners = self.label_map[here]  # [pixel rows of the cells, width]
            known = owners >= 0
            weights = np.broadcast_to(share[here, None], owners.shape)[known]
            places = owners * width + np.arange(width)
            by_column = np.bincount(places[known], weights, count * width).reshape(count, width)
            found[:, r * len(columns) : (r + 1) * len(columns)] = by_column @ columns.T
        return found


def overlaps(start: float, stop: float, cells: int, pixels: int) -> Floats:
    """The share of each cell of a line that lies on each pixel.

    Args:
        start: where the line of cells begins, in pixels.
        stop: where it ends.
        cells: into how many equal cells it is cut.
        pixels: how many pixels there are.

    Returns:
        ``float64[cells, pixels]``; rows sum to 1 where the line lies within the pixels.
    """
    edges = np.linspace(start, stop, cells + 1)
    low = np.maximum(edges[:-1, None], np.arange(pixels)[None])
    high = np.minimum(edges[1:, None], np.arange(1, pixels + 1)[None])
    shares: Floats = np.maximum(high - low, 0) / max((stop - start) / cells, 1e-12)
    shares[shares < 1e-9] = 0
    return shares


def regions(players: PartPlayers) -> NDArray[np.int32]:
    """The player of each pixel of the seen picture.

    Raises:
        InvalidInput: the players are no regions of a picture.
    """
    if not isinstance(players.geometry, Regions):
        raise InvalidInput(f"The players of part {players.part!r} are no regions of its picture; cut it into a grid.")
    return players.geometry.label_map


def resized(content: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    """A picture ``scale`` times as high and wide, averaged where it gets smaller.

    Raises:
        InvalidInput: the scale is no positive number, or leaves less than a pixel.
    """
    from PIL import Image

    if not (math.isfinite(scale) and scale * min(content.shape[:2]) >= 1):
        raise InvalidInput(f"The scale of a picture of {content.shape[0]} × {content.shape[1]} pixels is {scale}.")
    height, width = (max(round(scale * side), 1) for side in content.shape[:2])
    return np.asarray(Image.fromarray(content).resize((width, height), Image.Resampling.BICUBIC))


def moved(players: PartPlayers, content: NDArray[np.uint8]) -> PartPlayers:
    """The same regions on the same picture at another size, each pixel that of the nearest one."""
    labels = regions(players)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(content.shape[:2], labels.shape, strict=True)
    )
    return replace(players, geometry=Regions(labels[np.ix_(rows, columns)]), content=content)


def whole_layout(players: PartPlayers, shape: Sequence[int]) -> Layout:
    """One picture in one rectangle, ``[3, H, W]``."""
    labels = regions(players)
    height, width = labels.shape
    return Layout(tuple(shape), ((0, 0, height, width),), (height, width), players, labels)


def layout_of(path: PicturePath, sight: Sight, players: PartPlayers, shape: Sequence[int]) -> Layout:
    """How a decoder's input of a picture lies in the seen picture.

    Args:
        path: how the model takes pictures in.
        sight: the picture.
        players: its players.
        shape: of the input, without a batch axis.
    """
    labels = regions(players)
    height, width = labels.shape
    whole: Box = (0, 0, height, width)
    if isinstance(path, QwenImages):
        processor = path.processor
        flat = (processor.temporal_patch_size, processor.patch_size, processor.merge_size)
        return Layout(tuple(shape), (whole,), (height, width), players, labels, flat)
    tiles = shape[0] if len(shape) == 4 else 1
    boxes: list[Box] = []
    if tiles > 1 and sight.grid is not None:
        root = math.isqrt(sight.tokens // tiles)
        rows, columns = sight.grid[0] // root, sight.grid[1] // root
        high, wide = height / rows, width / columns
        boxes = [(r * high, c * wide, (r + 1) * high, (c + 1) * wide) for r in range(rows) for c in range(columns)]
    boxes += [whole] * (tiles - len(boxes))  # the last tile is the whole picture made small
    return Layout(tuple(shape), tuple(boxes), (shape[-2], shape[-1]), players, labels)


def token_grid(sight: Sight, tiles: int) -> tuple[int, int] | None:
    """(rows, columns) of a picture's image tokens on each of its tiles; ``None`` where they do not tile it."""
    if tiles > 1 or sight.grid is None:
        root = math.isqrt(sight.tokens // tiles)
        return (root, root) if root**2 * tiles == sight.tokens and sight.grid is not None else None
    return sight.grid


def arguments(path: PicturePath, sight: Sight, pixels: Any) -> dict[str, Any]:
    """Inputs of one part, ``Tensor[batch, *shape]``, as arguments of ``get_image_features``."""
    import torch

    if isinstance(path, QwenImages):
        grid = torch.tensor([sight.thw] * len(pixels), dtype=torch.long, device=pixels.device)
        return {"pixel_values": pixels.flatten(0, 1), "image_grid_thw": grid}
    if isinstance(path, IdeficsImages):  # drops a tile that is zero throughout
        lift = torch.zeros_like(pixels)
        lift[..., 0, 0, 0] = TINY * (pixels.detach() == 0).flatten(2).all(dim=2)
        return {"pixel_values": pixels + lift}
    if isinstance(path, InternImages):
        return {"pixel_values": pixels.flatten(0, 1)}
    return {"pixel_values": pixels}


def bare(path: PicturePath, tensors: dict[str, Any]) -> Any:
    """The input of one picture without a batch axis, from what ``PicturePath.tensors`` makes of it."""
    found = tensors["pixel_values"]
    if isinstance(path, InternImages | QwenImages):
        return found  # tiles, or patches, are its first axis
    return found[0]


def merged(tower: tuple[int, int], tokens: tuple[int, int], tiles: int, order: int | None) -> tuple[Floats, Any]:
    """How patches of a tower become image tokens.

    Args:
        tower: (rows, columns) of patches on a tile.
        tokens: (rows, columns) of image tokens on a tile.
        tiles: how many tiles.
        order: side of the squares by which the tower orders its patches (Qwen-VL), ``None`` for reading order.

    Returns:
        ``float64[tiles · tokens, tiles · patches]``, rows sum to 1; and the reading-order patch that stands at each
        place of the tower, ``int64[tiles · patches]``.
    """
    rows, columns = tower
    high, wide = rows // tokens[0], columns // tokens[1]
    r, c = np.divmod(np.arange(rows * columns), columns)
    one = np.zeros((tokens[0] * tokens[1], rows * columns))
    inside = (r // high < tokens[0]) & (c // wide < tokens[1])
    one[((r // high) * tokens[1] + c // wide)[inside], np.arange(rows * columns)[inside]] = 1
    one /= np.maximum(one.sum(axis=1, keepdims=True), 1)
    place = np.arange(rows * columns)
    if order is not None:
        squares = place.reshape(rows // order, order, columns // order, order)
        place = np.ascontiguousarray(squares.transpose(0, 2, 1, 3)).ravel()
    places = (np.arange(tiles)[:, None] * (rows * columns) + place).ravel()
    whole: Floats = np.kron(np.eye(tiles), one[:, place]).astype(np.float64)
    return whole, places
