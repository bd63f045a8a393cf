"""Training batches of pictures: scenes of every family, parts of them hidden, and what each patch shows.

A batch depends on the seed and its step number alone, so any number of workers makes the same data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.zoo.data.scenes import COLOURS, DIGITS, MOST, SHAPES, SIDE, Family, Item, Scene, draw_scene, render
from chiasm.zoo.recipes.hiding import draw_cells, hide_cells

Batch = dict[str, NDArray[Any]]

IGNORED: Final = -100
"""Label of what no loss should look at."""

_STREAM: Final = 0x7AA1
"""Keeps the random numbers of training apart from those of the data sets."""

_COLOURS: Final = list(COLOURS)
FORMS: Final = (*SHAPES, *DIGITS)
"""What a patch may show; label 0 is background, label k the k-th of these."""


@dataclass(frozen=True)
class Mix:
    """What scenes training draws.

    Attributes:
        digits: share of scenes of digits; the others are shapes.
        photos: share of scenes on a photograph.
        hidden: share of pictures with parts hidden.
        most: largest number of objects.
    """

    digits: float = 0.35
    photos: float = 0.2
    hidden: float = 0.5
    most: int = MOST


def generator(seed: int, phase: int, step: int) -> np.random.Generator:
    """Source of all chance of one training step."""
    return np.random.default_rng(np.random.SeedSequence([_STREAM, seed, phase, step]))


def ramp(fraction: float, start: float, end: float) -> float:
    """From 0 at ``start`` to 1 at ``end``."""
    return min(1.0, max(0.0, (fraction - start) / (end - start)))


def training_scene(rng: np.random.Generator, mix: Mix) -> tuple[Scene, Family]:
    """A random scene of the mix, and its family."""
    family: Family = "digits" if rng.random() < mix.digits else "shapes"
    return draw_scene(rng, mix.most, family=family, photo=rng.random() < mix.photos), family


def shrink(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    """The picture as the image processor resizes it: uint8[side, side, 3]."""
    return np.array(picture.resize((side, side), Image.Resampling.BICUBIC))


def object_labels(item: Item) -> tuple[int, int, tuple[float, float, float]]:
    """Colour and form of an object as labels from 1, and its centre (-1 … 1) and radius (as a share of 40 pixels)."""
    place = (item.x * 2 / SIDE - 1, item.y * 2 / SIDE - 1, item.radius / 40)
    return _COLOURS.index(item.colour) + 1, FORMS.index(item.shape) + 1, place


def patch_truth(scene: Scene, grid: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """For each patch what lies at its middle.

    Returns:
        Colour and form (`FORMS`), int64[grid²], 0 for background; and float32[grid², 3]: centre of the object, or of
        the patch where there is none, in -1 … 1, and its radius as a share of 40 pixels, 0 where there is none.
    """
    colour = np.zeros((grid, grid), dtype=np.int64)
    form = np.zeros((grid, grid), dtype=np.int64)
    middle = (np.arange(grid) + 0.5) * SIDE / grid
    place = np.zeros((grid, grid, 3), dtype=np.float32)
    place[..., :2] = np.stack(np.meshgrid(middle, middle), axis=-1) * 2 / SIDE - 1
    for item in scene.items:
        x0, y0, x1, y1 = item.box
        over = ((middle > x0) & (middle < x1))[None, :] & ((middle > y0) & (middle < y1))[:, None]
        colour[over], form[over], place[over] = object_labels(item)
    return colour.ravel(), form.ravel(), place.reshape(-1, 3)


def picture_row(
    scene: Scene, side: int, grid: int, hidden_share: float, rng: np.random.Generator
) -> dict[str, NDArray[Any]]:
    """One picture, perhaps with parts hidden, and its patch labels (none where the patch is hidden)."""
    picture = render(scene)
    colour, form, place = patch_truth(scene, grid)
    masked = rng.random() < hidden_share
    if masked:
        kept = draw_cells(rng, SIDE)
        picture = hide_cells(picture, kept, rng)
        middle = ((np.arange(grid) + 0.5) * SIDE / grid).astype(np.int64)
        shown = kept[np.ix_(middle, middle)].ravel()
        colour[~shown] = form[~shown] = IGNORED
    return {
        "pixels": shrink(picture, side),
        "colour": colour,
        "form": form,
        "place": place,
        "masked": np.array(masked),
    }


def stack(rows: list[dict[str, NDArray[Any]]]) -> Batch:
    """Rows as a batch."""
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


@dataclass(frozen=True)
class PictureBatches:
    """Batches of pictures with patch labels, to train a vision tower alone.

    Attributes:
        side: width and height in pixels of the resized picture.
        grid: cells across and down that are labelled.
        seed: seed of training.
        steps: length of the phase; the share of masked pictures grows along it.
        pictures: pictures in a batch.
        mix: what scenes are drawn.
    """

    side: int
    grid: int
    seed: int
    steps: int
    pictures: int = 96
    mix: Mix = Mix(hidden=0.3)

    def __call__(self, step: int) -> Batch:
        """The batch of that step."""
        rng = generator(self.seed, 0, step)
        share = self.mix.hidden * ramp(step / self.steps, 0.3, 0.7)
        scenes = [training_scene(rng, self.mix)[0] for _ in range(self.pictures)]
        return stack([picture_row(scene, self.side, self.grid, share, rng) for scene in scenes])
