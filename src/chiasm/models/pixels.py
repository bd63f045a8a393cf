"""The picture path: from a picture as given to the picture a model sees, and from that to its input tensor.

A picture is first *fitted*: brought to the model's own resolution by the steps of its own image processor, up to but
not including rescaling and normalisation. Players and masks live on the fitted picture, so hiding a pixel hides that
pixel and nothing else. What is left, rescaling and normalisation, works on every pixel alone and is done here for a
whole batch at once.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.modalities.base import Placement

Picture = NDArray[np.uint8]
"""``uint8[height, width, 3]``."""

TOLERANCE = 1e-4
"""Largest difference in normalised pixels between our path and the processor's own."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """A picture as a model sees it.

    Attributes:
        seen: ``uint8[H, W, 3]`` at the model's resolution.
        placement: how it lies in the picture as given.
    """

    seen: Picture
    placement: Placement


def fit(image_processor: Any, content: Picture, *, verify: bool = True) -> Fitted:
    """Bring a picture to the model's resolution by its image processor's own steps.

    This is for processors that make one picture of one picture (resize, pad to a square, centre crop): CLIP, SigLIP,
    BLIP, ViLT, LLaVA, PaliGemma. Those that cut tiles or flat patches have their own ways in ``decoder_images``.

    Args:
        image_processor: a Pillow-based image processor of transformers.
        content: ``uint8[h, w, 3]``.
        verify: compare what `pixels` makes of the result with the processor run from end to end.

    Raises:
        InvalidInput: the processor refuses the picture.
        ModelError: the processor does more to a picture than the steps that are known here.
    """
    from PIL import Image

    watched, calls = watch(image_processor, "resize")
    picture = Image.fromarray(np.ascontiguousarray(content))
    raw = run(watched, picture, do_rescale=False, do_normalize=False)["pixel_values"][0]
    if raw.dtype != np.uint8 or raw.ndim != 3 or raw.shape[0] != 3:
        raise ModelError(
            f"{type(image_processor).__name__} gives {raw.dtype}{list(raw.shape)} before normalisation where "
            f"uint8[3, height, width] is expected; its pictures cannot be masked pixel by pixel."
        )
    seen = np.ascontiguousarray(np.moveaxis(raw, 0, -1))
    if verify:
        own = pixels(image_processor, seen[None])[0].numpy()
        require_equal(image_processor, own, run(image_processor, picture)["pixel_values"][0])
    sizes = [(before.shape[-2:], after.shape[-2:]) for before, after in calls]
    return Fitted(seen, _placement(content.shape[:2], sizes, seen.shape[:2]))


def watch(image_processor: Any, method: str) -> tuple[Any, list[tuple[Any, Any]]]:
    """A copy of an image processor that writes down the first argument and the result of one of its methods."""
    watched = copy.copy(image_processor)
    calls: list[tuple[Any, Any]] = []
    original = getattr(image_processor, method)

    def recording(image: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(image, *args, **kwargs)
        calls.append((image, result))
        return result

    setattr(watched, method, recording)
    return watched, calls


def run(image_processor: Any, picture: Any, **options: Any) -> Any:
    """Call an image processor; what it refuses becomes words.

    Raises:
        InvalidInput: the processor refuses the picture.
    """
    try:
        return image_processor(images=picture, return_tensors="np", **options)
    except ValueError as error:
        raise InvalidInput(f"{type(image_processor).__name__} refuses the picture: {error}") from error


def _placement(
    given: tuple[int, ...], sizes: list[tuple[tuple[int, int], tuple[int, int]]], seen: tuple[int, ...]
) -> Placement:
    """Scale and offset, from the sizes before and after resizing and the final one.

    A processor that pads to a square does so before it resizes, a centre crop comes after. Both round down the
    half of the difference.
    """
    before, after = sizes[-1] if sizes else (given, given)
    scale = [after[k] / before[k] for k in (0, 1)]
    padded = [(before[k] - given[k]) // 2 for k in (0, 1)]
    cropped = [(after[k] - seen[k]) // 2 for k in (0, 1)]
    offset = [padded[k] * scale[k] - cropped[k] for k in (0, 1)]
    return Placement((scale[1], scale[0]), (offset[1], offset[0]))


def require_equal(image_processor: Any, own: NDArray[Any], theirs: NDArray[Any]) -> None:
    """Compare our input tensor of a picture with the processor's own.

    Raises:
        ModelError: they differ by more than `TOLERANCE`.
    """
    if own.shape != theirs.shape or np.abs(own - theirs).max() > TOLERANCE:
        raise ModelError(
            f"{type(image_processor).__name__} does something to pictures besides resizing, cropping, rescaling and "
            f"normalising; masked pictures would differ from what the model expects."
        )


def affine(image_processor: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Rescaling and normalisation as one step, ``float32[3]`` each: value = level · factor + shift."""
    factor, shift = np.ones(3), np.zeros(3)
    if getattr(image_processor, "do_rescale", True):
        factor = factor * float(image_processor.rescale_factor)
    if getattr(image_processor, "do_normalize", True):
        mean = np.broadcast_to(np.asarray(image_processor.image_mean, np.float64), 3)
        std = np.broadcast_to(np.asarray(image_processor.image_std, np.float64), 3)
        factor, shift = factor / std, (shift - mean) / std
    return factor.astype(np.float32), shift.astype(np.float32)


def pixels(image_processor: Any, batch: NDArray[np.uint8], device: Any = None) -> Any:
    """Rescale and normalise fitted pictures as the image processor would.

    Args:
        image_processor: the model's own.
        batch: ``uint8[b, H, W, 3]``, all of one size.
        device: where the result goes; the bytes travel, not the floats.

    Returns:
        ``float32[b, 3, H, W]`` tensor, within 1e-5 of the processor's own output.
    """
    import torch

    factor, shift = (torch.from_numpy(v).to(device or "cpu").view(1, 3, 1, 1) for v in affine(image_processor))
    levels = torch.from_numpy(np.ascontiguousarray(batch)).to(device or "cpu").permute(0, 3, 1, 2)
    return levels.to(torch.float32, memory_format=torch.contiguous_format).mul_(factor).add_(shift)


def patch_grid(seen: Picture, patch_size: int) -> tuple[int, int] | None:
    """(rows, columns) of square patches on a fitted picture; ``None`` where they do not tile it."""
    height, width = seen.shape[:2]
    whole = height % patch_size == 0 and width % patch_size == 0
    return (height // patch_size, width // patch_size) if whole else None
