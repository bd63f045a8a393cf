"""Batches of decoder inputs: rows of tokens with encoded pictures in, logits out; and the store of encoded pictures."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import ModelError
from chiasm.models import compat
from chiasm.models.decoder_families import Family, image_token_id
from chiasm.models.decoder_images import PicturePath, Sight
from chiasm.models.weights import Chunks, auto_batch_size

#: one encoded picture: its features, and those of further layers where the model has them
Features = tuple[Any, ...]


@dataclass(frozen=True, eq=False)
class Row:
    """One input of a decoder.

    Attributes:
        ids: ``int64[tokens]`` of the prompt.
        visible: ``bool[tokens]``: which tokens may be attended to.
        pictures: the encoded pictures, in the order of their image tokens.
        sights: what they are encodings of.
    """

    ids: NDArray[np.int64]
    visible: NDArray[np.bool_]
    pictures: Sequence[Features]
    sights: Sequence[Sight]


class Forward:
    """The plain forward pass of a decoder model on rows of unequal length.

    Positions are those of the whole row whatever is hidden in it, and are always given: left to itself, a model
    would count on over hidden tokens in ``generate`` and not in ``forward``.

    Args:
        model: the model.
        family: its family.
        pad_id: id of the padding token.
    """

    def __init__(self, model: Any, family: Family, pad_id: int) -> None:
        """Check that the library can do what is needed."""
        compat.require_encoder_outputs(model)
        self.model, self.family, self.pad_id = model, family, pad_id
        self.image_id = image_token_id(model.config)
        self._positions: OrderedDict[bytes, Any] = OrderedDict()

    def logits(self, rows: Sequence[Row], suffix: Sequence[int], keep: int) -> Any:
        """Logits after the last tokens of each row.

        Args:
            rows: the batch.
            suffix: tokens appended to every row (the first tokens of an answer).
            keep: how many of the last positions to compute.

        Returns:
            ``float32[rows, keep, vocabulary]``.
        """
        import torch

        with torch.inference_mode():
            outputs = self.model(**self.inputs(rows, suffix), logits_to_keep=keep, use_cache=False)
            return outputs.logits.float()

    def attentions(self, row: Row) -> tuple[Any, ...]:
        """Attention maps of the language model on one row, one ``float32[heads, tokens, tokens]`` a layer.

        Raises:
            ModelError: the model gives none, even when it computes attention step by step.
        """
        import torch

        with torch.inference_mode(), compat.eager_attention(self.model):
            outputs = self.model(**self.inputs([row], ()), use_cache=False, output_attentions=True)
        language = getattr(outputs, "language_model_outputs", None)
        found = getattr(language if language is not None else outputs, "attentions", None)
        if not found or any(layer is None for layer in found):
            raise ModelError(
                f"{type(self.model).__name__} gave no attention maps although attention was computed eagerly; use a "
                f"method that needs values only."
            )
        return tuple(layer[0].float() for layer in found)

    def inputs(self, rows: Sequence[Row], suffix: Sequence[int]) -> dict[str, Any]:
        """Arguments of the model: rows padded at the left, so that all end at the same column."""
        import torch

        tail = np.asarray(suffix, np.int64)
        longest = max(len(row.ids) for row in rows)
        shape = (len(rows), longest + len(tail))
        ids, visible = np.full(shape, self.pad_id, np.int64), np.zeros(shape, np.int64)
        types = np.zeros(shape, np.int64)
        types[:, longest:] = 1
        for k, row in enumerate(rows):
            start = longest - len(row.ids)
            ids[k, start:longest], visible[k, start:longest] = row.ids, row.visible
        ids[:, longest:], visible[:, longest:] = tail, 1
        device = compat.device_of(self.model)
        arguments: dict[str, Any] = {
            "input_ids": torch.from_numpy(ids).to(device),
            "attention_mask": torch.from_numpy(visible).to(device),
            "position_ids": self._batch_positions(rows, tail, longest).to(device),
        }
        pictures = [picture for row in rows for picture in row.pictures]
        arguments["mm_encoder_outputs"] = compat.encoder_outputs(self.model, pictures)
        if self.family.typed:
            arguments["token_type_ids"] = torch.from_numpy(types).to(device)
        if not compat.has_default(self.model.forward, "pixel_values"):
            arguments["pixel_values"] = None
        return arguments

    def _batch_positions(self, rows: Sequence[Row], tail: NDArray[np.int64], longest: int) -> Any:
        import torch

        each = []
        for row in rows:
            whole = self.row_positions(row, tail)
            each.append(torch.nn.functional.pad(whole, (longest - len(row.ids), 0), value=self.family.first_position))
        return torch.stack(each, dim=-2)

    def row_positions(self, row: Row, tail: NDArray[np.int64]) -> Any:
        """Positions of a row and its suffix, ``int64[tokens]`` or, with three axes, ``int64[3, tokens]``."""
        import torch

        length = len(row.ids) + len(tail)
        if not self.family.mrope:
            key = length.to_bytes(4, "little")
        else:
            grids = np.array([sight.thw for sight in row.sights], np.int64)
            key = (row.ids == self.image_id).tobytes() + b"|" + grids.tobytes() + length.to_bytes(4, "little")
        if key not in self._positions:
            if len(self._positions) > 4096:
                self._positions.popitem(last=False)
            if self.family.mrope:
                self._positions[key] = self._mrope(np.concatenate([row.ids, tail]), row.sights, len(row.ids))
            else:
                self._positions[key] = torch.arange(length) + self.family.first_position
        return self._positions[key]

    def _mrope(self, ids: NDArray[np.int64], sights: Sequence[Sight], prompt: int) -> Any:
        """Positions by the model's own rule, from the whole row: nothing hidden, nothing padded."""
        import torch

        row = torch.from_numpy(ids)[None]
        kinds = (row == self.image_id).int()
        kinds[:, prompt:] = 0
        grids = torch.tensor([sight.thw for sight in sights], dtype=torch.long)
        found, _ = compat.core_model(self.model).get_rope_index(
            row, mm_token_type_ids=kinds, image_grid_thw=grids, attention_mask=torch.ones_like(row)
        )
        return found[:, 0]


class PictureStore:
    """Encoded pictures, each encoded once and the least recently used forgotten when they take too many bytes.

    Args:
        model: the model.
        path: how it takes pictures in.
        most_bytes: how much to remember.

    Attributes:
        encoded: how many pictures were run through the vision tower so far.
    """

    def __init__(self, model: Any, path: PicturePath, most_bytes: int) -> None:
        """Start empty."""
        self.model, self.path, self.most_bytes = model, path, most_bytes
        self.encoded = 0
        self._kept: OrderedDict[Hashable, Features] = OrderedDict()
        self._bytes = 0
        self._chunks: Chunks | None = None

    def get(
        self, sight: Sight, keys: Sequence[Hashable], make: Callable[[list[int]], NDArray[np.uint8]]
    ) -> list[Features]:
        """Encodings of masked versions of a picture.

        Args:
            sight: the picture.
            keys: a name for each version; equal names are equal pictures.
            make: positions in ``keys`` → those versions, ``uint8[b, H, W, 3]``.
        """
        here: dict[Hashable, Features] = {}
        missing: dict[Hashable, int] = {}
        for k, key in enumerate(keys):
            if key in self._kept:
                self._kept.move_to_end(key)
                here[key] = self._kept[key]
            else:
                missing.setdefault(key, k)
        names, places = list(missing), list(missing.values())
        if names:
            chunks = self._sized(sight)

            def work(piece: slice) -> None:
                found = self._encode(sight, make(places[piece]))
                here.update(zip(names[piece], found, strict=True))

            chunks.run(len(names), work)
            self._remember({name: here[name] for name in names})
        return [here[key] for key in keys]

    def _sized(self, sight: Sight) -> Chunks:
        if self._chunks is None:
            width = getattr(self.model.config.vision_config, "hidden_size", 1024)
            area = sight.seen.shape[0] * sight.seen.shape[1]
            row = patches(self.model, sight) * width * 64 + area * 24  # floats of a wide layer
            self._chunks = Chunks(auto_batch_size(compat.device_of(self.model), row))
        return self._chunks

    def _encode(self, sight: Sight, batch: NDArray[np.uint8]) -> list[Features]:
        import torch

        tensors = self.path.tensors(sight, batch, compat.device_of(self.model))
        dtype = self.model.dtype
        tensors = {name: t.to(dtype) if t.is_floating_point() else t for name, t in tensors.items()}
        with torch.inference_mode():
            layers = compat.encode_images(self.model, tensors, len(batch))
        if layers[0].shape[1] != sight.tokens:
            raise ModelError(
                f"The model makes {layers[0].shape[1]} features of a picture that has {sight.tokens} image tokens in "
                f"the prompt; the settings of processor and model do not belong together."
            )
        self.encoded += len(batch)
        return [tuple(layer[k] for layer in layers) for k in range(len(batch))]

    def _remember(self, found: dict[Hashable, Features]) -> None:
        for name, features in found.items():
            self._kept[name] = features
            self._bytes += _size(features)
        while self._bytes > self.most_bytes and self._kept:
            _, dropped = self._kept.popitem(last=False)
            self._bytes -= _size(dropped)


def patches(model: Any, sight: Sight) -> int:
    """About how many patches of a picture the vision tower reads."""
    side = getattr(model.config.vision_config, "patch_size", 14)
    side = side[0] if isinstance(side, list | tuple) else side
    area = sight.seen.shape[0] * sight.seen.shape[1]
    return int(max(area // max(int(side), 1) ** 2, sight.tokens))


def _size(features: Features) -> int:
    return sum(layer.numel() * layer.element_size() for layer in features)
