"""What lies behind the objects of a scene: a plain field, or a piece of a real photograph.

The photographs are those that come with scikit-image and scikit-learn; some are kept for the data sets alone.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput, MissingDependency

Split = Literal["training", "held out"]

PHOTOS: Final[dict[Split, tuple[str, ...]]] = {
    "training": (
        "skimage/astronaut.png",
        "skimage/brick.png",
        "skimage/camera.png",
        "skimage/chelsea.png",
        "skimage/coins.png",
        "skimage/grass.png",
        "skimage/hubble_deep_field.jpg",
        "skimage/ihc.png",
        "skimage/motorcycle_left.png",
        "skimage/retina.jpg",
        "sklearn/china.jpg",
    ),
    "held out": (
        "skimage/coffee.png",
        "skimage/gravel.png",
        "skimage/moon.png",
        "skimage/rocket.jpg",
        "sklearn/flower.jpg",
    ),
}
"""The photographs of each split."""

_INSTALLED_AS: Final = {"skimage": "scikit-image", "sklearn": "scikit-learn"}
_WIDEST: Final = 512
_SMALLEST_SHARE: Final = 0.5


def plain(rng: np.random.Generator) -> NDArray[np.uint8]:
    """A coarse field of light colours, uint8[4, 4, 3], to be stretched smoothly over the picture."""
    base = rng.integers(205, 236) + rng.integers(-8, 9, size=3)
    field = base + rng.integers(-8, 9, size=(4, 4, 1)) + rng.integers(-3, 4, size=(4, 4, 3))
    light: NDArray[np.uint8] = np.clip(field, 0, 255).astype(np.uint8)
    return light


def _folder(package: str) -> Path:
    """Where a package keeps its photographs.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        if package == "skimage":
            import skimage.data

            return Path(skimage.data.__file__).parent
        import sklearn.datasets

        return Path(sklearn.datasets.__file__).parent / "images"
    except ImportError as error:
        raise MissingDependency(_INSTALLED_AS[package], "pictures on photographs") from error


@cache
def _photo(name: str) -> Image.Image:
    """A photograph by its name in `PHOTOS`, as RGB.

    Raises:
        MissingDependency: the package it comes with is not installed.
        InvalidInput: that package is installed without it.
    """
    package, file = name.split("/")
    path = _folder(package) / file
    if not path.is_file():
        distribution = _INSTALLED_AS[package]
        raise InvalidInput(
            f"Pictures on photographs need {file}, which comes with {distribution}, and this installation of it has no "
            f"{path}. Run: pip install --force-reinstall '{distribution}'"
        )
    photo: Image.Image = Image.open(path).convert("RGB")
    photo.thumbnail((_WIDEST, _WIDEST))
    return photo


def photo(rng: np.random.Generator, split: Split, side: int) -> NDArray[np.uint8]:
    """A random square of a random photograph of that split, uint8[side, side, 3], perhaps mirrored.

    Raises:
        MissingDependency: scikit-image or scikit-learn is not installed.
        InvalidInput: it is installed without that photograph; the message says how to mend it.
    """
    whole = _photo(PHOTOS[split][int(rng.integers(len(PHOTOS[split])))])
    width = int(min(whole.size) * rng.uniform(_SMALLEST_SHARE, 1))
    left, top = (int(rng.integers(0, size - width + 1)) for size in whole.size)
    piece = whole.resize((side, side), Image.Resampling.BILINEAR, box=(left, top, left + width, top + width))
    if rng.random() < 0.5:
        piece = piece.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return np.asarray(piece)
