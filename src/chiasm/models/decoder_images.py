"""How decoder models take a picture in: whole, as flat patches (Qwen-VL), or as tiles (Idefics3, SmolVLM, InternVL).

Each way fits a picture (see ``pixels``), says by which tokens it stands in the prompt, and turns a batch of masked
versions of it into the tensors of the model's ``get_image_features``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput
from chiasm.modalities.base import Placement
from chiasm.models.pixels import Picture, fit, patch_grid, pixels, require_equal, run, watch

TINY = 1e-6
"""Stands in one pixel of a tile that is exactly zero, so that Idefics3 and SmolVLM do not take it for padding."""


@dataclass(frozen=True, eq=False)
class Sight:
    """A picture as a decoder model sees it.

    Attributes:
        seen: ``uint8[H, W, 3]``; players and masks live here.
        placement: how it lies in the picture as given.
        grid: (rows, columns) of the image tokens on it, or ``None`` where they do not tile it.
        tokens: how many image tokens it becomes.
        replacement: what stands for it in the prompt, image tokens with whatever goes around them.
        thw: (time, rows, columns) of its patches, for Qwen-VL.
    """

    seen: Picture
    placement: Placement
    grid: tuple[int, int] | None
    tokens: int
    replacement: str
    thw: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False)
class Reading:
    """What the ways of taking in a picture are made from.

    Attributes:
        config: configuration of the whole model.
        image_processor: Pillow-based image processor.
        tokenizer: the model's tokenizer.
        settings: settings of the processor, may be empty.
        image_token: the token that each image token is written as.
    """

    config: Any
    image_processor: Any
    tokenizer: Any
    settings: dict[str, Any]
    image_token: str


class PicturePath(ABC):
    """One way of taking pictures in."""

    def __init__(self, reading: Reading) -> None:
        """Keep what it is made from."""
        self.reading = reading
        self.processor = reading.image_processor

    def fit(self, content: Picture) -> Sight:
        """Bring a picture to the form the model works on.

        Raises:
            InvalidInput: the image processor refuses it.
            ModelError: our own tensors differ from the processor's.
        """
        from PIL import Image

        picture = Image.fromarray(np.ascontiguousarray(content))
        sight = self._fit(content, picture)
        own = self.tensors(sight, sight.seen[None], None)["pixel_values"].numpy()
        require_equal(self.processor, own, np.asarray(self.processed(picture)["pixel_values"]))
        return sight

    def processed(self, picture: Any) -> Any:
        """What the model's own image processor makes of a picture, from end to end."""
        return run(self.processor, picture)

    @abstractmethod
    def _fit(self, content: Picture, picture: Any) -> Sight: ...

    @abstractmethod
    def tensors(self, sight: Sight, batch: NDArray[np.uint8], device: Any) -> dict[str, Any]:
        """Arguments of ``get_image_features`` for masked versions ``uint8[b, H, W, 3]`` of a fitted picture."""


class WholeImages(PicturePath):
    """One picture, one square of patches: LLaVA, PaliGemma, BLIP-2."""

    def _fit(self, content: Picture, picture: Any) -> Sight:
        del picture
        fitted = fit(self.processor, content, verify=False)
        grid = patch_grid(fitted.seen, self._patch_size())
        tokens = self._tokens(fitted.seen)
        return Sight(fitted.seen, fitted.placement, grid, tokens, self.reading.image_token * tokens)

    def _patch_size(self) -> int:
        return int(self.reading.config.vision_config.patch_size)

    def _tokens(self, seen: Picture) -> int:
        config, settings = self.reading.config, self.reading.settings
        if config.model_type == "blip-2":
            return int(config.num_query_tokens)
        patch = settings.get("patch_size") or self._patch_size()
        count = (seen.shape[0] // patch) * (seen.shape[1] // patch)
        if config.model_type == "paligemma":
            return int(getattr(self.processor, "image_seq_length", None) or count)
        # LLaVA: a tower with a class token gives one feature more; the 'default' strategy drops the first feature
        drops = settings.get("vision_feature_select_strategy") or config.vision_feature_select_strategy
        extra = settings.get("num_additional_image_tokens", 1 if drops == "default" else 0)
        return int(count + extra - (drops == "default"))

    def tensors(self, sight: Sight, batch: NDArray[np.uint8], device: Any) -> dict[str, Any]:
        """``pixel_values``: ``float32[b, 3, H, W]``."""
        del sight
        return {"pixel_values": pixels(self.processor, batch, device)}


class QwenImages(PicturePath):
    """Flat patches of a picture of any size, each image token a square of merged patches: Qwen2-VL, 2.5, 3."""

    def _fit(self, content: Picture, picture: Any) -> Sight:
        watched, calls = watch(self.processor, "resize")
        thw = run(watched, picture, do_rescale=False, do_normalize=False)["image_grid_thw"][0]
        seen = np.ascontiguousarray(np.moveaxis(calls[-1][1], 0, -1)) if calls else content
        rows, columns = int(thw[1]) // self.processor.merge_size, int(thw[2]) // self.processor.merge_size
        scale = (seen.shape[1] / content.shape[1], seen.shape[0] / content.shape[0])
        tokens = rows * columns
        sizes = (int(thw[0]), int(thw[1]), int(thw[2]))
        replacement = self.reading.image_token * tokens
        return Sight(seen, Placement(scale), (rows, columns), tokens, replacement, sizes)

    def tensors(self, sight: Sight, batch: NDArray[np.uint8], device: Any) -> dict[str, Any]:
        """``pixel_values``: ``float32[b · patches, 3 · frames · side²]``; ``image_grid_thw``: ``int64[b, 3]``."""
        import torch

        frames, side, merge = self.processor.temporal_patch_size, self.processor.patch_size, self.processor.merge_size
        values = pixels(self.processor, batch, device)
        b, channels, height, width = values.shape
        squares = values.reshape(
            b, channels, height // side // merge, merge, side, width // side // merge, merge, side
        ).permute(0, 2, 5, 3, 6, 1, 4, 7)
        squares = squares.unsqueeze(6).expand(-1, -1, -1, -1, -1, -1, frames, -1, -1)
        flat = squares.reshape(-1, channels * frames * side * side)
        thw = torch.tensor([sight.thw] * b, dtype=torch.long, device=flat.device)
        return {"pixel_values": flat, "image_grid_thw": thw}


class IdeficsImages(PicturePath):
    """Tiles of a large picture and, last, the whole picture made small: Idefics3, SmolVLM.

    The picture seen is the large one before it is cut, so the tiles are masked pixel by pixel. The small one is made
    from the masked large one, as the image processor does it.
    """

    def _fit(self, content: Picture, picture: Any) -> Sight:
        split = bool(self.processor.do_image_splitting)
        watched, calls = watch(self.processor, "split_images" if split else "resize")
        run(watched, picture, do_rescale=False, do_normalize=False)
        large = calls[-1][0] if split else calls[-1][1]
        rows, columns = (int(v) for v in calls[-1][1][1:]) if split else (0, 0)
        seen = np.ascontiguousarray(np.moveaxis(large, 0, -1))
        length, marks = self._length(), self.reading.tokenizer
        fake = getattr(marks, "fake_image_token", "<fake_token_around_image>")
        whole = getattr(marks, "global_image_token", "<global-img>")
        tile = self.reading.image_token * length
        lines = ["".join(f"{fake}<row_{r + 1}_col_{c + 1}>{tile}" for c in range(columns)) + "\n" for r in range(rows)]
        replacement = "".join(lines) + ("\n" if rows else "") + f"{fake}{whole}{tile}{fake}"
        side = math.isqrt(length)
        grid = (max(rows, 1) * side, max(columns, 1) * side) if side**2 == length else None
        scale = (seen.shape[1] / content.shape[1], seen.shape[0] / content.shape[0])
        return Sight(seen, Placement(scale), grid, (rows * columns + 1) * length, replacement)

    def _length(self) -> int:
        """Image tokens of one tile."""
        vision = self.reading.config.vision_config
        own = (vision.image_size // vision.patch_size) ** 2 // self.reading.config.scale_factor**2
        return int(self.reading.settings.get("image_seq_len") or own)

    def tensors(self, sight: Sight, batch: NDArray[np.uint8], device: Any) -> dict[str, Any]:
        """``pixel_values``: ``float32[b, tiles, 3, side, side]``."""
        del sight
        tiles = [self._tiles(picture) for picture in np.moveaxis(batch, -1, 1)]
        flat = pixels(self.processor, np.moveaxis(np.concatenate(tiles), 1, -1), device)
        return {"pixel_values": never_zero(flat).reshape(len(batch), -1, *flat.shape[1:])}

    def _tiles(self, large: NDArray[np.uint8]) -> NDArray[np.uint8]:
        if not self.processor.do_image_splitting:
            return large[None]
        size, resample = self.processor.max_image_size, self.processor.resample
        frames, _, _ = self.processor.split_images(np.ascontiguousarray(large), max_image_size=size, resample=resample)
        return np.stack(frames)


def never_zero(tiles: Any) -> Any:
    """Put `TINY` into one pixel of each tile ``[n, 3, h, w]`` that is exactly zero (in place).

    Idefics3 and SmolVLM take such a tile for padding and drop it, which a picture hidden behind one even colour may
    become. A zero that is no longer exact changes nothing else.
    """
    empty = (tiles == 0).flatten(1).all(dim=1)
    tiles[empty, 0, 0, 0] = TINY
    return tiles


class InternImages(PicturePath):
    """Tiles of a picture and, last, the whole of it made small: InternVL.

    The small picture is made from the picture as given, not from the large one that is cut. So where there is more
    than one tile, the picture seen is the picture as given, and the image processor runs on every masked version.
    """

    def processed(self, picture: Any) -> Any:
        """The processor of InternVL always cuts tiles, whatever its image processor says."""
        return run(self.processor, picture, crop_to_patches=True)

    def _fit(self, content: Picture, picture: Any) -> Sight:
        watched, calls = watch(self.processor, "resize")
        found = run(watched, picture, crop_to_patches=True, do_rescale=False, do_normalize=False)
        tiles = len(found["pixel_values"])
        if tiles == 1:
            seen, placed = np.ascontiguousarray(np.moveaxis(found["pixel_values"][0], 0, -1)), calls[-1][1].shape[-2:]
            scale = (placed[1] / content.shape[1], placed[0] / content.shape[0])
        else:
            seen, scale = content, (1.0, 1.0)
        side = found["pixel_values"][0].shape[-2:]
        large = calls[0][1].shape[-2:] if calls else side
        length = int(self.reading.settings.get("image_seq_length") or self.reading.config.image_seq_length)
        root = math.isqrt(length)
        grid = (large[0] // side[0] * root, large[1] // side[1] * root) if root**2 == length else None
        marks = self.reading.tokenizer
        tokens = length * tiles
        replacement = f"{marks.start_image_token}{self.reading.image_token * tokens}{marks.end_image_token}"
        return Sight(seen, Placement(scale), grid, tokens, replacement)

    def tensors(self, sight: Sight, batch: NDArray[np.uint8], device: Any) -> dict[str, Any]:
        """``pixel_values``: ``float32[b · tiles, 3, side, side]``."""
        from PIL import Image

        if sight.tokens == self._one_tile():
            return {"pixel_values": pixels(self.processor, batch, device)}
        given = [Image.fromarray(np.ascontiguousarray(picture)) for picture in batch]
        found = run(self.processor, given, crop_to_patches=True, do_rescale=False, do_normalize=False)
        return {"pixel_values": pixels(self.processor, np.moveaxis(np.stack(found["pixel_values"]), 1, -1), device)}

    def _one_tile(self) -> int:
        return int(self.reading.settings.get("image_seq_length") or self.reading.config.image_seq_length)


def require_one(names: list[str], family: str) -> None:
    """Refuse several pictures where a model was made for one.

    Raises:
        InvalidInput: more than one picture.
    """
    if len(names) > 1:
        raise InvalidInput(f"{family} takes one picture; the sample has {len(names)} ({', '.join(names)}).")
