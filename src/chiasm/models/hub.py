"""Models by name: a folder, an id on the Hugging Face hub, ``zoo:NAME``, or a function of a Python file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from chiasm.core.errors import InvalidInput
from chiasm.core.registry import Registry
from chiasm.models.base import Adapter

#: model type of a configuration → adapter class; other packages add theirs by entry points of this group
models: Registry[Any] = Registry("model type", "chiasm.models")

_DECODER = "chiasm.models.decoder:DecoderAdapter"
_HEARS = "chiasm.models.audio_decoder:AudioDecoderAdapter"
_DUAL = "chiasm.models.dual_encoder:DualEncoderAdapter"
models.register("llava", _DECODER, "LLaVA", family="decoder")
models.register("qwen2_vl", _DECODER, "Qwen2-VL", family="decoder")
models.register("qwen2_5_vl", _DECODER, "Qwen2.5-VL", family="decoder")
models.register("qwen3_vl", _DECODER, "Qwen3-VL", family="decoder")
models.register("idefics3", _DECODER, "Idefics3", family="decoder")
models.register("smolvlm", _DECODER, "SmolVLM", family="decoder")
models.register("internvl", _DECODER, "InternVL", family="decoder")
models.register("paligemma", _DECODER, "PaliGemma", family="decoder")
models.register("blip-2", _DECODER, "BLIP-2 with a decoder-only language model", family="decoder")
models.register("qwen2_audio", _HEARS, "Qwen2-Audio", family="decoder with audio")
models.register("qwen2_5_omni", _HEARS, "Qwen2.5-Omni: pictures, sounds and text", family="decoder with audio")
models.register("qwen2_5_omni_thinker", _HEARS, "the thinker of Qwen2.5-Omni", family="decoder with audio")
models.register("clip", _DUAL, "CLIP", family="dual encoder")
models.register("siglip", _DUAL, "SigLIP", family="dual encoder")
models.register("vilt", "chiasm.models.fusion:ViltAdapter", "ViLT question answering", family="fusion encoder")
models.register("blip", "chiasm.models.fusion:BlipAdapter", "BLIP question answering", family="fusion encoder")


_GIVE: Final = "give 'zoo:NAME', a folder, an id on the Hugging Face hub, or 'python:FILE.py:NAME'"


def load(name: str | Path, **options: Any) -> Adapter:
    """A model, ready to be explained.

    Args:
        name: ``"zoo:llava-shapes"``, a folder written by ``save_pretrained``, an id on the Hugging Face hub,
            ``"python:FILE.py:NAME"`` (a function or `chiasm.FunctionModel` that a file makes; the file is run), or
            ``"openai:NAME"`` (a model behind an API).
        **options: for every model ``device`` (``"cpu"``, ``"cuda"`` …; a GPU if there is one, by default) and ``dtype``
            (``"float32"``, ``"bfloat16"``, ``"float16"``, ``"auto"``; float32 on a CPU and auto on a GPU, by default);
            further ones as the adapter takes them, e.g. ``max_new_tokens`` for decoders.

    Raises:
        InvalidInput: ``name`` is no name, there is no such model, no adapter for its type, or an option is wrong.
        UnknownName: the zoo has no model of that name.
        ModelError: the model cannot be explained rightly, e.g. because weights are missing.
        MissingDependency: torch or transformers is not installed.
    """
    if not isinstance(name, str | os.PathLike):
        raise InvalidInput(f"The model is {name!r}, a {type(name).__name__}; {_GIVE}.")
    given = str(name)
    if given.startswith("openai:"):
        from chiasm.models.remote.adapter import RemoteAdapter

        return RemoteAdapter(given, **options)
    if given.startswith("python:"):
        from chiasm.models.python_file import load_python

        return load_python(given, **options)
    path = _place(given)
    from chiasm.models import compat

    config = compat.load_config(path)
    kind = str(config.model_type)
    if kind not in models:
        raise InvalidInput(
            f"{given!r} is a model of type {kind!r}, for which Chiasm has no adapter. It has adapters for "
            f"{', '.join(models)}. Any model can be explained as a function: wrap it in chiasm.FunctionModel."
        )
    adapter: Adapter = models.get(kind).from_pretrained(path, name=given, **options)
    return adapter


def _place(name: str) -> str:
    """The folder or hub id behind a name.

    Raises:
        InvalidInput: the name looks like a folder and there is none, the folder holds no model, ``zoo:`` is missing,
            or it is that of a data set.
    """
    if not name.strip():
        raise InvalidInput(f"The model's name is empty; {_GIVE}.")
    from chiasm.zoo import catalog, datasets

    scheme, colon, rest = name.partition(":")
    if colon and scheme == "zoo":
        if rest in datasets:
            raise InvalidInput(f"{name!r} is a data set; its samples are chiasm.dataset({rest!r}).")
        return str(catalog.path(rest))
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise InvalidInput(f"The folder {name!r} holds no config.json; give a folder written by save_pretrained.")
        return str(folder)
    if name in catalog.MODELS or name in catalog.SHIPPED:
        raise InvalidInput(f"There is no folder {name!r}. Did you mean {'zoo:' + name!r}?")
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InvalidInput(f"There is no folder {name!r}; give a folder written by save_pretrained, or a hub id.")
    return name
