"""The only file that knows library versions: what transformers and torch call things, and how that differs.

Everything here is a small function with one job, so that an upgrade of a library is a change of this file.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from chiasm.core.errors import InvalidInput, MissingDependency, ModelError


def transformers() -> Any:
    """The transformers module.

    Raises:
        MissingDependency: transformers or torch is not installed.
    """
    try:
        import torch  # noqa: F401 - transformers imports without it and fails much later, with riddles
        import transformers as module
    except ImportError as error:
        raise MissingDependency("transformers with torch", "running a model", "models") from error
    return module


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from printing progress bars, and warnings about fallbacks that we ask for."""
    from transformers.utils import logging as library

    logger = logging.getLogger("transformers")
    level, bars = logger.level, library.is_progress_bar_enabled()
    logger.setLevel(logging.ERROR)
    library.disable_progress_bar()
    try:
        yield
    finally:
        logger.setLevel(level)
        if bars:
            library.enable_progress_bar()


@contextmanager
def readable_errors(path: str) -> Iterator[None]:
    """Turn what ``from_pretrained`` raises for a missing, unreachable or damaged checkpoint into words.

    Raises:
        InvalidInput: nothing can be loaded from ``path``.
        ModelError: a file of the checkpoint is damaged.
    """
    try:
        yield
    except OSError as error:
        raise InvalidInput(
            f"No model can be loaded from {path!r}: {_first_line(error)} Give a folder written by save_pretrained, or "
            f"the id of a model on the hub (which needs a network, or the model in the local cache)."
        ) from error
    except _weight_errors() as error:
        raise ModelError(
            f"The weights in {path!r} (model.safetensors) are damaged or cut off: {_first_line(error)}. Copy or "
            f"download them again."
        ) from error


def _weight_errors() -> tuple[type[Exception], ...]:
    """What reading damaged weights raises."""
    from safetensors import SafetensorError

    return (SafetensorError,)


def _first_line(error: BaseException) -> str:
    """What an error says first, or else its type."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _damaged(path: str, names: Sequence[str]) -> str:
    """Which of the JSON files of a checkpoint cannot be read, in words."""
    for name in names:
        file = Path(path) / name
        if file.is_file():
            try:
                json.loads(file.read_text(encoding="utf-8"))
            except ValueError:  # no JSON, or no UTF-8
                return name
    return " or ".join(names)


def load_config(path: str) -> Any:
    """The configuration of a checkpoint (remote code is never run).

    Raises:
        InvalidInput: there is none, or this version of transformers does not know its model type.
    """
    transformers()  # says what to install, if need be
    with readable_errors(path), quiet():
        try:
            return transformers().AutoConfig.from_pretrained(path, trust_remote_code=False)
        except (ValueError, KeyError) as error:
            raise InvalidInput(
                f"The configuration in {path!r} cannot be read by transformers {transformers().__version__}: {error} "
                f"For a model that needs its own code, write a function and wrap it in FunctionModel."
            ) from error


def load_image_processor(path: str) -> Any:
    """The image processor of a checkpoint, always its Pillow version.

    transformers has two versions of each; they round differently. The Pillow one needs no torchvision and gives the
    same pixels on every machine, so values do not depend on what else is installed.

    Raises:
        InvalidInput: there is none.
    """
    with readable_errors(path), quiet():
        return transformers().AutoImageProcessor.from_pretrained(path, backend="pil", trust_remote_code=False)


def load_feature_extractor(path: str) -> Any:
    """The feature extractor of a checkpoint that hears.

    Raises:
        InvalidInput: there is none.
    """
    with readable_errors(path), quiet():
        return transformers().AutoFeatureExtractor.from_pretrained(path, trust_remote_code=False)


def load_tokenizer(path: str) -> Any:
    """The tokenizer of a checkpoint.

    Raises:
        InvalidInput: there is none.
        ModelError: its files are damaged, or of a version that the installed tokenizers cannot read.
    """
    with readable_errors(path), quiet():
        try:
            return transformers().AutoTokenizer.from_pretrained(path, trust_remote_code=False)
        except OSError:
            raise
        except Exception as error:  # tokenizers raises Exception itself for a file that it cannot parse
            name = _damaged(path, ("tokenizer.json", "tokenizer_config.json"))
            raise ModelError(
                f"The tokenizer in {path!r} cannot be read ({name}: {type(error).__name__}: {_first_line(error)}). "
                f"Copy or download {name} again, or write it anew with the tokenizer's save_pretrained."
            ) from error


def load_processor(path: str) -> tuple[Any | None, str]:
    """The whole processor, or ``None`` where this installation cannot build it.

    Some processors hold a video processor that needs torchvision, or need num2words; all that Chiasm needs of them is
    built by hand.

    Returns:
        The processor and ``""``, or ``None`` and the reason in words.

    Raises:
        InvalidInput, ModelError: the files of the processor are missing or damaged.
    """
    with readable_errors(path), quiet():
        try:
            found = transformers().AutoProcessor.from_pretrained(path, backend="pil", trust_remote_code=False)
        except (ImportError, ValueError) as error:
            if isinstance(error, ValueError) and "video processor" not in str(error).lower():
                raise
            lacking = [name for name in ("torchvision", "num2words") if importlib.util.find_spec(name) is None]
            why = f"{' and '.join(lacking)} missing" if lacking else _first_line(error)
            return None, f"this installation cannot build the model's own processor ({why})"
    if not hasattr(found, "tokenizer") or not hasattr(found, "image_processor"):
        return None, "the checkpoint names no processor that joins pictures and text"
    return found, ""


def load_processor_settings(path: str) -> dict[str, Any]:
    """What a checkpoint says of its processor: settings of ``processor_config.json`` and the chat template.

    Returns:
        The settings; ``chat_template`` is a string or missing. Empty where the checkpoint says nothing.
    """
    from transformers.processing_utils import ProcessorMixin

    with quiet():
        try:
            settings, _ = ProcessorMixin.get_processor_dict(path)
        except OSError:
            return {}
    template = settings.get("chat_template")
    if isinstance(template, Mapping):
        settings["chat_template"] = template.get("default")
    return dict(settings)


def core_model(model: Any) -> Any:
    """The module that merges pictures into the text: the model without its head, or the model itself."""
    return model.model if hasattr(getattr(model, "model", None), "get_image_features") else model


def core_of(model: Any) -> Any:
    """The module without its head."""
    return model.model


def accepts(function: Any, name: str) -> bool:
    """Whether a function names this argument in its signature."""
    return name in inspect.signature(function).parameters


def parameters(function: Any) -> set[str]:
    """The names of a function's arguments."""
    return set(inspect.signature(function).parameters)


def has_default(function: Any, name: str) -> bool:
    """Whether a function can be called without this argument."""
    found = inspect.signature(function).parameters.get(name)
    return found is None or found.default is not inspect.Parameter.empty


def require_encoder_outputs(model: Any) -> None:
    """Refuse a library that cannot be given encoded pictures.

    Raises:
        ModelError: the forward of the model takes no ``mm_encoder_outputs``.
    """
    if not accepts(model.forward, "mm_encoder_outputs"):
        raise ModelError(
            f"{type(model).__name__} of transformers {transformers().__version__} cannot be given encoded pictures; "
            f"run: pip install 'transformers>=5.20'."
        )


def encode_images(model: Any, tensors: Mapping[str, Any], pictures: int) -> tuple[Any, ...]:
    """Run the vision side of a decoder model.

    Args:
        model: the whole model.
        tensors: what its ``get_image_features`` takes (``pixel_values`` …), for ``pictures`` pictures of one size.
        pictures: how many pictures that is.

    Returns:
        Tensors ``[pictures, image tokens, width]``: the features that replace the image tokens, then the deepstack
        features of the layers that have them (Qwen3-VL).
    """
    import torch

    outputs = core_model(model).get_image_features(**tensors, return_dict=True)
    features = [outputs.pooler_output, *(getattr(outputs, "deepstack_features", None) or [])]
    flat = [torch.cat(list(f), dim=0) if isinstance(f, list | tuple) else f for f in features]
    return tuple(f.reshape(pictures, -1, f.shape[-1]) for f in flat)


def encoder_outputs(model: Any, pictures: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Encoded pictures in the form that ``forward(mm_encoder_outputs=…)`` takes.

    Args:
        model: the whole model.
        pictures: one entry a picture, in the order of the image tokens in the batch (row by row); each holds the
            tensors of `encode_images` without their first axis.
    """
    import torch
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    pooled: Any = [picture[0] for picture in pictures]
    kind = model.config.model_type
    if kind not in {"llava", "qwen2_vl", "qwen2_5_vl", "qwen3_vl"}:  # these want a list, the others one tensor
        pooled = torch.cat(pooled, dim=0)
    if kind == "smolvlm":  # older versions want tiles apart, newer ones take any shape
        pooled = pooled.reshape(-1, core_model(model).image_seq_len, pooled.shape[-1])
    if kind == "blip-2":
        from transformers.models.blip_2.modeling_blip_2 import BaseModelOutputWithVisionQformerOutputs

        return {"image": BaseModelOutputWithVisionQformerOutputs(pooler_output=pooled)}
    if len(pictures[0]) > 1:
        from transformers.models.qwen3_vl.modeling_qwen3_vl import BaseModelOutputWithDeepstackFeatures

        layers = [[picture[k] for picture in pictures] for k in range(1, len(pictures[0]))]
        return {"image": BaseModelOutputWithDeepstackFeatures(pooler_output=pooled, deepstack_features=layers)}
    return {"image": BaseModelOutputWithPooling(pooler_output=pooled)}


def language_part(model: Any) -> Any:
    """The module of a decoder model that reads tokens, pictures among them."""
    core = core_model(model)
    return core.language_model if hasattr(core, "language_model") else core.text_model


def causal_throughout(model: Any) -> bool:
    """Whether every layer of the language model attends to all that came before, and to nothing else.

    Only then do the keys and values of a prefix stay what they are whatever follows, and serve whatever follows.
    """
    text = model.config.get_text_config()
    kinds = set(getattr(text, "layer_types", None) or ["full_attention"])
    window = getattr(text, "sliding_window", None) if getattr(text, "use_sliding_window", True) else None
    return kinds == {"full_attention"} and window is None and getattr(text, "is_causal", True) is not False


def keys_and_values(model: Any, inputs: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    """What every layer of a decoder keeps of some rows for the tokens that follow.

    Args:
        model: the whole model.
        inputs: arguments of its forward pass.

    Returns:
        Keys and values of each layer, ``float[rows, heads, tokens, width]``.
    """
    from transformers import DynamicCache

    cache = DynamicCache()
    model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1)
    return [(layer.keys, layer.values) for layer in cache.layers]


def lent_prefix(prefixes: Sequence[Sequence[tuple[Any, Any]]], runs: Sequence[tuple[int, int, int]]) -> Any:
    """A cache that lends prefixes to the rows of one forward pass and keeps nothing of it.

    The keys and values of a layer are laid out row by row only while that layer runs, so that many rows behind a long
    prefix take the memory of one layer's copies and not of all.

    Args:
        prefixes: keys and values of each layer, ``float[heads, tokens, width]``, all of one length.
        runs: (first row, row after the last, which prefix), covering the rows in order.
    """
    from transformers.cache_utils import Cache, DynamicLayer

    class Lent(DynamicLayer):  # type: ignore[misc]  # the library is untyped
        def __init__(self, layer: int) -> None:
            super().__init__()
            self.keys, self.values = prefixes[0][layer]  # tells the length
            self.is_initialized, self.layer = True, layer

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            del args, kwargs
            return self.behind(0, key_states), self.behind(1, value_states)

        def behind(self, which: int, new: Any) -> Any:
            length = self.get_seq_length()
            rows, heads, tokens, width = new.shape
            both = new.new_empty(rows, heads, length + tokens, width)
            both[:, :, length:] = new
            for start, stop, prefix in runs:
                both[start:stop, :, :length] = prefixes[prefix][self.layer][which]
            return both

    return Cache(layers=[Lent(layer) for layer in range(len(prefixes[0]))])


def continuation(model: Any) -> Any:
    """What to call on tokens that follow a prefix and hold no picture: the model, or its language model (BLIP-2).

    BLIP-2 insists on a picture in every call.
    """
    return model.language_model if model.config.model_type == "blip-2" else model


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Within this block the model computes attention step by step, so that it can give its attention maps.

    With the fused kernels ``output_attentions=True`` gives an empty tuple and no error.
    """
    configs = [m.config for m in model.modules() if hasattr(m, "config") and hasattr(m, "set_attn_implementation")]
    before = {id(config): (config, config._attn_implementation) for config in configs}  # noqa: SLF001 - no public way
    with quiet():
        model.set_attn_implementation("eager")
    try:
        yield
    finally:
        for config, implementation in before.values():
            config._attn_implementation_internal = implementation  # noqa: SLF001 - restores each tower to its own


def is_dispatched(model: Any) -> bool:
    """Whether accelerate has spread the model over devices (then nobody may move it)."""
    return getattr(model, "hf_device_map", None) is not None


def device_of(model: Any) -> Any:
    """The device that inputs must be on."""
    return model.get_input_embeddings().weight.device if is_dispatched(model) else model.device
