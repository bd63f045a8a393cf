"""Loading weights, telling models apart by their content, and fitting batches into memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

from chiasm.core.errors import InvalidInput, ModelError
from chiasm.models import compat

DTYPES = ("float32", "bfloat16", "float16", "auto")
"""Number formats that a model can be loaded in; ``auto`` is the one that it was saved in."""

#: tensors up to this many bytes are hashed whole, larger ones by a strided sample of as many bytes
SAMPLE_BYTES = 1 << 20


def choose_device(device: str | None) -> Any:
    """The device asked for, or the first GPU, or the processor.

    Raises:
        InvalidInput: torch does not know that device, or this machine has none.
    """
    import torch

    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise InvalidInput(f"Unknown device {device!r}; use 'cpu', 'cuda' or 'cuda:1' … ({error})") from error
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise InvalidInput(f"The device {device!r} was asked for and this machine has no usable GPU; use 'cpu'.")
    return chosen


def choose_dtype(dtype: str | None, device: Any) -> Any:
    """The number format asked for; by default float32 on the processor and the saved one on a GPU.

    Raises:
        InvalidInput: not one of `DTYPES`.
    """
    import torch

    name = dtype or ("float32" if device.type == "cpu" else "auto")
    if name not in DTYPES:
        raise InvalidInput(f"Unknown dtype {dtype!r}; choose one of {', '.join(DTYPES)}.")
    return name if name == "auto" else getattr(torch, name)


def load_model(
    path: str,
    auto_class: str,
    device: str | None = None,
    dtype: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
) -> Any:
    """A model, ready for inference.

    Args:
        path: local folder or hub id.
        auto_class: name of a class of transformers that loads it, e.g. ``"AutoModelForImageTextToText"``.
        device: where it goes; the first GPU, or the processor, if ``None``.
        dtype: one of `DTYPES`; float32 on the processor and ``auto`` on a GPU, if ``None``.
        device_map: hand the model to accelerate, which spreads it over devices; ``device`` must be ``None`` then.

    Raises:
        InvalidInput: nothing can be loaded from the path, or an option is wrong.
        ModelError: weights are missing in the checkpoint, so that parts of the model would be random.
    """
    if device_map is not None and device is not None:
        raise InvalidInput(f"Give device={device!r} or device_map={device_map!r}, not both.")
    where = choose_device(device)
    loader = getattr(compat.transformers(), auto_class)
    options: dict[str, Any] = {"dtype": choose_dtype(dtype, where), "trust_remote_code": False}
    if device_map is not None:
        options["device_map"] = device_map
    with compat.readable_errors(path), compat.quiet():
        model, info = loader.from_pretrained(path, output_loading_info=True, **options)
    missing = sorted(info.get("missing_keys", ()))
    if missing:
        raise ModelError(
            f"{path!r} lacks {len(missing)} weights of {type(model).__name__} (e.g. {missing[0]!r}); they would be "
            f"random numbers. Load the folder of the whole model, or save it again with save_pretrained."
        )
    if not compat.is_dispatched(model):
        model = model.to(where)
    return model.eval()


def fingerprint(model: Any, *settings: Any) -> str:
    """Hash of everything that can change a value: weights, configuration, and further settings.

    Tensors up to 1 MiB are hashed whole. Of a larger one a strided sample of 1 MiB, spread evenly from its first
    to its last element, is hashed with its shape and dtype, so that a model of many gigabytes takes seconds.

    Args:
        model: a torch module with a ``config``.
        *settings: JSON-like values or strings (processor settings, tokenizer, chat template).

    Returns:
        32 hexadecimal digits.
    """
    import torch

    digest = hashlib.blake2b(digest_size=16)
    with torch.inference_mode():
        for name, tensor in sorted(model.state_dict().items()):
            digest.update(f"{name}:{tuple(tensor.shape)}:{tensor.dtype};".encode())
            digest.update(_sample(tensor))
    digest.update(_canonical(_without_paths(model.config.to_dict())))
    for setting in settings:
        digest.update(_canonical(setting))
    return digest.hexdigest()


def words_of(backend: Any) -> dict[str, Any]:
    """What a tokenizer of the library tokenizers is, for a fingerprint: without what its last call left in it."""
    return {**json.loads(backend.to_str()), "padding": None, "truncation": None}


def _sample(tensor: Any) -> bytes:
    import torch

    flat = tensor.detach().reshape(-1)
    most = max(SAMPLE_BYTES // max(tensor.element_size(), 1), 1)
    if flat.numel() > most:
        index = torch.linspace(0, flat.numel() - 1, most, dtype=torch.float64).long()
        flat = flat[index.to(flat.device)]
    return bytes(flat.cpu().contiguous().view(torch.uint8).numpy().tobytes()) if flat.numel() else b""


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _without_paths(value: Any) -> Any:
    """A configuration without what says where it came from or how fast it runs rather than what it computes."""
    if isinstance(value, Mapping):
        left_out = {"_name_or_path", "name_or_path", "transformers_version", "_attn_implementation_autoset"}
        return {key: _without_paths(item) for key, item in value.items() if key not in left_out}
    return [_without_paths(item) for item in value] if isinstance(value, list | tuple) else value


def auto_batch_size(device: Any, bytes_per_row: int, on_cpu: int = 64, most: int = 512) -> int:
    """A batch size that fits the memory.

    Args:
        device: where the model runs.
        bytes_per_row: estimate of the memory that one row needs at the peak.
        on_cpu: size on the processor, where larger batches bring nothing.
        most: never more than this.

    Returns:
        At least 1. On a GPU the rows take at most half of the memory that is free now.
    """
    import torch

    if device.type != "cuda":
        return max(1, min(on_cpu, (2 << 30) // max(bytes_per_row, 1)))
    free, _ = torch.cuda.mem_get_info(device)
    return max(1, min(most, int(free // 2) // max(bytes_per_row, 1)))


class Chunks:
    """Runs work in pieces and makes the pieces smaller when a GPU runs out of memory.

    Args:
        size: rows of a piece at first; it is halved, for good, at every `torch.cuda.OutOfMemoryError`.
    """

    def __init__(self, size: int) -> None:
        """Remember the size."""
        self.size = size

    def run(self, rows: int, work: Callable[[slice], Any]) -> list[Any]:
        """Results of ``work`` on consecutive slices that cover ``rows`` rows.

        Raises:
            ModelError: even one row does not fit.
        """
        import torch

        results: list[Any] = []
        start = 0
        while start < rows:
            piece = slice(start, min(start + self.size, rows))
            try:
                results.append(work(piece))
            except torch.cuda.OutOfMemoryError as error:
                if self.size == 1:
                    raise ModelError(
                        "The GPU has no memory left for a single row; load the model with dtype='bfloat16', use a "
                        "smaller picture, or free the GPU."
                    ) from error
                self.size = max(1, min(self.size, rows) // 2)
                torch.cuda.empty_cache()
                continue
            start = piece.stop
        return results
