"""Picture → players: grids, superpixels, given boxes and masks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.modalities.base import Context, Placement
from chiasm.modalities.image_reading import Picture

#: ``int32[height, width]``: the player that owns each pixel, −1 where none does
LabelMap = NDArray[np.int32]
Rest = Literal["present", "player"]

KNOWN: Final[dict[str, str]] = {
    "grid:RxC": "R rows and C columns of rectangles",
    "grid:model": "the model's own patches or image tokens",
    "slic:N": "about N superpixels (SLIC), which follow the picture's edges",
}
"""Name → what it does."""

_SLIC_SIDE: Final = 512  # superpixels are found on a copy no larger than this: seconds become tenths of them


@runtime_checkable
class ImageSegmenter(Protocol):
    """Anything that cuts a picture into players; pass your own in place of a name."""

    def cut(self, content: Picture, context: Context) -> tuple[tuple[str, ...], LabelMap]:
        """Labels of the players, and ``int32[h, w]``: the player of each pixel, −1 where there is none."""
        ...


def image_segmenter(spec: Any) -> ImageSegmenter:
    """The segmenter that a word stands for; an object that is one already is given back.

    Raises:
        UnknownName: no segmenter has that name.
        InvalidInput: the name is right and its argument is not.
    """
    if isinstance(spec, ImageSegmenter) and not isinstance(spec, type):
        return spec
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no segmenter of pictures; give one of {', '.join(KNOWN)}, Boxes or Masks.")
    name, _, argument = spec.strip().lower().partition(":")
    if name == "grid":
        size = re.fullmatch(r"(\d{1,6})[x×](\d{1,6})", argument)
        if argument == "model":
            return ModelGrid()
        if size is None:
            raise InvalidInput(f"{spec!r} names no grid; write 'grid:7x7' (rows x columns) or 'grid:model'.")
        return Grid(int(size[1]), int(size[2]))
    if name == "slic":
        if not re.fullmatch(r"\d{1,9}", argument):
            raise InvalidInput(f"{spec!r} names no number of superpixels; write e.g. 'slic:50'.")
        return Slic(int(argument))
    raise UnknownName("image segmenter", spec, KNOWN)


def seen_points(placement: Placement, shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Where the centres of the seen picture's pixels lie in the raw picture.

    Args:
        placement: seen = raw · scale + offset.
        shape: (height, width) of the seen picture.

    Returns:
        x: ``float64[width]``, raw pixels; the centre of the first raw pixel is 0.5.
        y: ``float64[height]``.
    """
    height, width = shape
    x = (np.arange(width, dtype=np.float64) + 0.5 - placement.offset[0]) / placement.scale[0]
    y = (np.arange(height, dtype=np.float64) + 0.5 - placement.offset[1]) / placement.scale[1]
    return x, y


def box_mask(box: NDArray[np.float64], placement: Placement, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The seen pixels whose centre lies in a box of the raw picture, ``bool[height, width]``."""
    x, y = seen_points(placement, shape)
    x0, y0, x1, y1 = box
    return np.asarray(((y >= y0) & (y < y1))[:, None] & ((x >= x0) & (x < x1))[None, :])


def raw_mask(mask: NDArray[np.bool_], placement: Placement, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask of the raw picture at the centres of the seen pixels; false outside of it, ``bool[height, width]``."""
    x, y = (np.floor(points).astype(np.int64) for points in seen_points(placement, shape))
    inside_x, inside_y = (x >= 0) & (x < mask.shape[1]), (y >= 0) & (y < mask.shape[0])
    picked = mask[np.clip(y, 0, mask.shape[0] - 1)[:, None], np.clip(x, 0, mask.shape[1] - 1)[None, :]]
    return np.asarray(picked & inside_y[:, None] & inside_x[None, :])


def _edges(size: int, parts: int) -> NDArray[np.int64]:
    # Whole-number rounding: steps of at least one pixel, so no cell is ever empty.
    return (np.arange(parts + 1, dtype=np.int64) * size + parts // 2) // parts


@dataclass(frozen=True)
class Grid:
    """A grid of cells, row by row; labels ``"r2c3"`` are second row, third column.

    Attributes:
        rows: number of rows.
        columns: number of columns.

    Raises:
        InvalidInput: no cell.
    """

    rows: int
    columns: int

    def __post_init__(self) -> None:
        """Refuse an empty grid."""
        if self.rows < 1 or self.columns < 1:
            raise InvalidInput(f"A grid of {self.rows}x{self.columns} has no cell; both must be at least 1.")

    def cut(self, content: Picture, context: Context) -> tuple[tuple[str, ...], LabelMap]:
        """Labels and label map.

        Raises:
            InvalidInput: the grid is finer than the pixels.
        """
        del context
        height, width = content.shape[:2]
        if self.rows > height or self.columns > width:
            raise InvalidInput(
                f"A grid of {self.rows}x{self.columns} (rows x columns) is finer than the picture, which has "
                f"{height}x{width} pixels as the model sees it; take a coarser grid."
            )
        row = np.repeat(np.arange(self.rows), np.diff(_edges(height, self.rows)))
        column = np.repeat(np.arange(self.columns), np.diff(_edges(width, self.columns)))
        labels = tuple(f"r{r + 1}c{c + 1}" for r in range(self.rows) for c in range(self.columns))
        return labels, (row[:, None] * self.columns + column[None, :]).astype(np.int32)


@dataclass(frozen=True)
class ModelGrid:
    """The model's own patches (``Context.grid``), so that no player cuts through a patch."""

    def cut(self, content: Picture, context: Context) -> tuple[tuple[str, ...], LabelMap]:
        """Labels and label map.

        Raises:
            InvalidInput: the model has no grid of patches.
        """
        if context.grid is None:
            raise InvalidInput("This model tells of no grid of patches, so 'grid:model' has no size; write 'grid:7x7'.")
        return Grid(*context.grid).cut(content, context)


@dataclass(frozen=True)
class Slic:
    """SLIC superpixels (Achanta et al. 2012, scikit-image), numbered in reading order of their first pixel.

    Pictures larger than 512 pixels are segmented on a smaller copy. Where noise makes superpixels fall apart (fewer
    than half of those asked for), compactness is raised from 10 in steps to 1000. The result is deterministic.

    Attributes:
        segments: about how many superpixels; there are never more than pixels.

    Raises:
        InvalidInput: no segment asked for.
    """

    segments: int

    def __post_init__(self) -> None:
        """Refuse zero segments."""
        if self.segments < 1:
            raise InvalidInput(f"{self.segments} superpixels were asked for; it must be at least 1.")

    def cut(self, content: Picture, context: Context) -> tuple[tuple[str, ...], LabelMap]:
        """Labels and label map."""
        del context
        small, shape = _shrink(content), content.shape[:2]
        found = np.zeros(small.shape[:2], np.int64)
        if self.segments > 1 and found.size > 1:
            found = self._superpixels(small)
        rows, columns = (np.arange(shape[axis]) * found.shape[axis] // shape[axis] for axis in (0, 1))
        grown = found[rows[:, None], columns[None, :]]
        _, first, inverse = np.unique(grown, return_index=True, return_inverse=True)
        rank = np.empty(len(first), np.int32)
        rank[np.argsort(first)] = np.arange(len(first))
        return tuple(f"segment {i + 1}" for i in range(len(first))), rank[inverse].reshape(shape)

    def _superpixels(self, picture: Picture) -> NDArray[np.int64]:
        from skimage.segmentation import slic

        wanted = min(self.segments, picture.shape[0] * picture.shape[1])
        found = np.zeros(picture.shape[:2], np.int64)
        for compactness in (10.0, 100.0, 1000.0):
            found = np.asarray(
                slic(picture, n_segments=wanted, compactness=compactness, start_label=0, channel_axis=-1)
            )
            if len(np.unique(found)) * 2 >= wanted:
                break
        return found


def _shrink(content: Picture) -> Picture:
    height, width = content.shape[:2]
    factor = _SLIC_SIDE / max(height, width)
    if factor >= 1:
        return content
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(Image.fromarray(content).resize(size, Image.Resampling.BOX))


def _claim(
    masks: Sequence[NDArray[np.bool_]], names: Sequence[str], labels: tuple[str, ...] | None, rest: Rest
) -> tuple[tuple[str, ...], LabelMap]:
    """Give each pixel to the first mask that claims it."""
    label_map = np.full(masks[0].shape, -1, np.int32)
    shown = list(names) if labels is None else list(labels)
    for i, mask in enumerate(masks):
        own = mask & (label_map < 0)
        if not own.any():
            why = "earlier ones claim all its pixels" if mask.any() else "it lies outside the picture the model sees"
            raise InvalidInput(f"{names[i]} ({shown[i]!r}) has no pixel: {why}, or is smaller than one. Leave it out.")
        label_map[own] = i
    if rest == "player":
        if not (label_map < 0).any():
            raise InvalidInput("No pixel is left for a player 'rest'; take rest='present'.")
        label_map[label_map < 0] = len(masks)
        shown.append("rest")
    return tuple(shown), label_map


def _check(count: int, rest: str, labels: tuple[str, ...] | None, what: str) -> None:
    if count == 0:
        raise InvalidInput(f"There are no {what}; give at least one.")
    if rest not in {"present", "player"}:
        raise InvalidInput(
            f"rest is {rest!r}; it is 'present' (other pixels always stay) or 'player' (one more player)."
        )
    if labels is None:
        return
    taken = [*labels, *(["rest"] if rest == "player" else [])]
    if len(labels) != count or len(set(taken)) != len(taken):
        raise InvalidInput(f"The labels {list(labels)} must be {count} different names, one for each of the {what}.")


@dataclass(frozen=True)
class Boxes:
    """Given boxes as players. A pixel in two boxes belongs to the first.

    Attributes:
        boxes: (x0, y0, x1, y1) each, in pixels of the picture as given (not as the model resizes it); a pixel is in
            the box when its centre is.
        rest: pixels in no box are always ``"present"``, or one more ``"player"`` at the end, called ``"rest"``.
        labels: a name for each box; otherwise ``"box 1"`` and so on.

    Raises:
        InvalidInput: a box is not four finite numbers with x0 < x1 and y0 < y1, or the labels do not fit.
    """

    boxes: Sequence[Sequence[float]]
    rest: Rest = "present"
    labels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check the boxes, and freeze what was given as lists."""
        rows = tuple(tuple(float(v) for v in box) for box in self.boxes)
        for i, box in enumerate(rows):
            if len(box) != 4 or not np.isfinite(box).all() or box[0] >= box[2] or box[1] >= box[3]:
                raise InvalidInput(
                    f"Box {i + 1} is {box}; a box is (x0, y0, x1, y1) with x0 < x1 and y0 < y1, in pixels."
                )
        labels = None if self.labels is None else tuple(self.labels)
        _check(len(rows), self.rest, labels, "boxes")
        object.__setattr__(self, "boxes", rows)
        object.__setattr__(self, "labels", labels)

    def cut(self, content: Picture, context: Context) -> tuple[tuple[str, ...], LabelMap]:
        """Labels and label map.

        Raises:
            InvalidInput: a box has no pixel of its own in the picture that the model sees.
        """
        shape = (content.shape[0], content.shape[1])
        masks = [box_mask(np.array(box), context.placement, shape) for box in self.boxes]
        names = [f"box {i + 1}" for i in range(len(masks))]
        return _claim(masks, names, None if self.labels is None else tuple(self.labels), self.rest)


@dataclass(frozen=True, eq=False)
class Masks:
    """Given masks as players. A pixel in two masks belongs to the first.

    Attributes:
        masks: ``bool[k, h, w]`` or a list of ``bool[h, w]``, all of the size of the picture as given.
        rest: pixels in no mask are always ``"present"``, or one more ``"player"`` at the end, called ``"rest"``.
        labels: a name for each mask; otherwise ``"mask 1"`` and so on.

    Raises:
        InvalidInput: masks of other shapes or values, or labels that do not fit.
    """

    masks: ArrayLike
    rest: Rest = "present"
    labels: Sequence[str] | None = None

    def __post_init__(self) -> None:
        """Check the masks and keep them as one array."""
        if not isinstance(self.masks, np.ndarray) and len({np.shape(mask) for mask in list(self.masks)}) > 1:  # type: ignore[arg-type]
            raise InvalidInput(
                "The masks differ in shape; each must have the height and width of the picture as given."
            )
        stack = np.array(self.masks)
        if stack.size == 0 or stack.ndim != 3:
            raise InvalidInput(
                f"The masks have shape {stack.shape}; give bool[k, height, width] (one mask: mask[None])."
            )
        if stack.dtype != np.bool_ and not np.isin(stack, (0, 1)).all():
            raise InvalidInput("The masks hold other values than false and true; give booleans, e.g. by array > 0.")
        labels = None if self.labels is None else tuple(self.labels)
        _check(len(stack), self.rest, labels, "masks")
        object.__setattr__(self, "masks", stack.astype(bool))
        object.__setattr__(self, "labels", labels)

    def __repr__(self) -> str:
        """Sizes instead of pixels."""
        return f"Masks(bool{list(np.shape(self.masks))}, rest={self.rest!r})"

    def cut(self, content: Picture, context: Context) -> tuple[tuple[str, ...], LabelMap]:
        """Labels and label map.

        Raises:
            InvalidInput: a mask has no pixel of its own in the picture that the model sees, or the model sees the
                picture as given and the masks are of another size.
        """
        shape = (content.shape[0], content.shape[1])
        stack = np.asarray(self.masks)
        if context.placement == Placement() and stack.shape[1:] != shape:
            raise InvalidInput(
                f"The masks are {stack.shape[1]}x{stack.shape[2]} and the picture is {shape[0]}x{shape[1]} "
                f"(height x width); they must be equal."
            )
        masks = [raw_mask(mask, context.placement, shape) for mask in stack]
        names = [f"mask {i + 1}" for i in range(len(masks))]
        return _claim(masks, names, None if self.labels is None else tuple(self.labels), self.rest)
