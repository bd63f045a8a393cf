"""What recipes build models of: the format of pictures, image processors, first weights, attention masks."""

from __future__ import annotations

from typing import Any, Final

import torch
from torch import Tensor, nn

from chiasm.zoo.data.words import END, PAD, VOCABULARY

PATCH: Final = 16
SIDE: Final = 128
"""Width and height of the picture that most models of the zoo see, in pixels."""
GRID: Final = SIDE // PATCH

ENDS: Final = {"pad_token_id": VOCABULARY[PAD], "eos_token_id": VOCABULARY[END], "bos_token_id": None}
"""What a config must know of the vocabulary."""


def image_processor(kind: Any, size: dict[str, int] | None = None, *, mean: float = 0.5, **options: Any) -> Any:
    """An image processor that resizes as `pictures.shrink` does and scales as `scaled` does.

    Args:
        kind: its class.
        size: of the resized picture, in the words of that class; `SIDE` × `SIDE` by default.
        mean: subtracted from each channel.
        **options: whatever else the class takes.
    """
    size = size or {"height": SIDE, "width": SIDE}
    return kind(size=size, resample=3, image_mean=[mean] * 3, image_std=[0.5] * 3, **options)


def scaled(pixels: Tensor, mean: float = 0.5) -> Tensor:
    """Pixels uint8[batch, side, side, 3] as an image processor scales them: float32[batch, 3, side, side]."""
    return pixels.permute(0, 3, 1, 2).float() / (255 * 0.5) - mean / 0.5


def draw_weights(model: Any) -> None:
    """Larger weights than the library's: its 0.02 suits large models and leaves one of this size at a plateau."""
    for name, weight in model.named_parameters():
        if weight.ndim >= 4:
            nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
        elif weight.ndim >= 2 and "embed" in name:
            nn.init.normal_(weight, std=0.5 if "position" in name or "pos_embed" in name else 1.0)
        elif weight.ndim == 2:
            nn.init.normal_(weight, std=min(0.09, weight.shape[-1] ** -0.5))


def blocked(allowed: Tensor) -> Tensor:
    """Additive mask float[batch, 1, rows, columns] from bool[batch, rows, columns].

    Under autocast it has the precision of the scores that it is added to: a float32 mask would make the whole softmax
    float32, which costs a third of a step.
    """
    kind = allowed.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
    mask = torch.zeros(allowed.shape, device=allowed.device, dtype=dtype)
    return mask.masked_fill(~allowed, torch.finfo(dtype).min)[:, None]


def scaled_steps(steps_scale: float, *steps: int) -> list[int]:
    """Numbers of steps multiplied by a scale, at least one each."""
    return [max(1, round(number * steps_scale)) for number in steps]
