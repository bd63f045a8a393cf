"""Listening to a model while it computes: attention maps and hidden states with their graph, embeddings put in.

Everything here is a context manager, so that a model is left as it was whatever happens.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from chiasm.core.errors import ModelError

if TYPE_CHECKING:
    import torch

#: under this name the library calls `_attend` in the place of its own attention functions
IMPLEMENTATION = "chiasm_traced"
_listening: ContextVar[Recorder | None] = ContextVar("_listening", default=None)
#: query stream, key stream, attention scores → attention scores
Scores = Callable[[str, str, "torch.Tensor"], "torch.Tensor"]


@dataclass(eq=False)
class Heard:
    """One attention map, in the pieces in which the model computed it.

    Attributes:
        query, key: its streams.
        module: which module computed it.
        pieces: ``[rows or windows, heads, query tokens, key tokens]`` each, part of the graph.
    """

    query: str
    key: str
    module: int
    pieces: list[torch.Tensor]

    def whole(self, pieces: Sequence[torch.Tensor], rows: int) -> torch.Tensor:
        """Pieces as ``[rows, heads, query tokens, key tokens]``; windows of one row stand along the diagonal."""
        import torch

        if len(pieces) == 1 and len(pieces[0]) == rows:
            return pieces[0]
        windows = [window for piece in pieces for window in piece]
        each = len(windows) // rows
        if each * rows != len(windows):
            raise ModelError(f"A layer gave {len(windows)} attention maps for {rows} rows; they cannot be shared out.")
        heads = windows[0].shape[0]
        blocks = [
            torch.stack([torch.block_diag(*[w[h] for w in windows[k : k + each]]) for h in range(heads)])
            for k in range(0, len(windows), each)
        ]
        return torch.stack(blocks)


@dataclass(eq=False)
class Recorder:
    """What is heard during one pass.

    Attributes:
        attentions, hidden: what to keep.
        eager: compute attention step by step.
        maps: attention maps in order of computation.
        states: stream → hidden states in order.
        streams: id of a module → streams (query, key) that its attention belongs to.
        names: other names of streams for the moment, e.g. ``{"vision": "vision:image"}``.
        scores: what to put between attention scores and softmax.
        current: the streams of the attention that is being computed.
    """

    attentions: bool
    hidden: bool
    eager: bool
    scores: Scores | None = None
    maps: list[Heard] = field(default_factory=list)
    states: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    streams: dict[int, tuple[str, str]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    current: tuple[str, str] | None = None

    def assign(self, modules: Any, query: str, key: str | None = None) -> None:
        """The attention of these modules belongs to these streams."""
        self.streams.update({id(module): (query, key or query) for module in modules})

    def begin(self, module: Any) -> None:
        """The attention of this module is about to be computed."""
        self.current = self.of(module)

    def of(self, module: Any) -> tuple[str, str] | None:
        """The streams that a module's attention belongs to, by their names of the moment."""
        found = self.streams.get(id(module))
        return None if found is None else (self.names.get(found[0], found[0]), self.names.get(found[1], found[1]))

    def hear(self, module: Any, weights: torch.Tensor | None) -> None:
        """Keep an attention map, ``[rows, heads, query tokens, key tokens]``.

        Raises:
            ModelError: there is none.
        """
        self.current = None
        streams = self.of(module)
        if not self.attentions or streams is None:
            return
        if weights is None:
            raise ModelError(
                f"{type(module).__name__} gave no attention map although attention is computed step by step; use a "
                f"method that needs gradients or values only."
            )
        last = self.maps[-1] if self.maps else None
        if last is not None and (last.module, last.query, last.key) == (id(module), *streams):
            last.pieces.append(weights)  # another window, or the next picture, of the same layer
        else:
            self.maps.append(Heard(*streams, id(module), [weights]))

    def keep(self, stream: str, state: torch.Tensor) -> None:
        """Keep a hidden state."""
        self.states.setdefault(self.names.get(stream, stream), []).append(state)


def _attend(module: Any, query: Any, key: Any, value: Any, attention_mask: Any = None, **options: Any) -> Any:
    """The module's own step-by-step attention, overheard.

    Raises:
        ModelError: its file has none.
    """
    own = getattr(sys.modules[type(module).__module__], "eager_attention_forward", None)
    if own is None:
        raise ModelError(f"{type(module).__name__} has no step-by-step attention; use a method that needs values only.")
    recorder = _listening.get()
    if recorder is not None:
        recorder.begin(module)
    output, weights = own(module, query, key, value, attention_mask, **options)
    if recorder is not None:
        recorder.hear(module, weights)
    return output, weights


@contextmanager
def rescored(recorder: Recorder) -> Iterator[None]:
    """What is fed to the softmax of attention goes through ``recorder.scores`` within this block."""
    if recorder.scores is None:
        yield
        return
    import torch
    from torch.overrides import TorchFunctionMode

    softmaxes = {torch.nn.functional.softmax, torch.softmax, torch.Tensor.softmax}

    class Rescore(TorchFunctionMode):  # type: ignore[misc] # torch is Any to mypy
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func in softmaxes and recorder.current is not None and recorder.scores is not None:
                (query, key), recorder.current = recorder.current, None
                args = (recorder.scores(query, key, args[0]), *args[1:])
            return func(*args, **(kwargs or {}))

    with Rescore():
        yield


@contextmanager
def step_by_step(model: Any, recorder: Recorder) -> Iterator[None]:
    """Attention of all modules that ask the library for a function is `_attend` within this block.

    Belongs in ``compat``: it knows the library's two registries. The masks are those of its step-by-step attention.
    """
    if not recorder.eager:
        yield
        return
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import eager_mask

    AttentionInterface.register(IMPLEMENTATION, _attend)
    AttentionMaskInterface.register(IMPLEMENTATION, eager_mask)
    configs = {id(m.config): m.config for m in model.modules() if hasattr(m, "config")}
    configs = {k: c for k, c in configs.items() if hasattr(c, "_attn_implementation_internal")}
    before = {k: c._attn_implementation_internal for k, c in configs.items()}  # noqa: SLF001 - no public way
    token = _listening.set(recorder)
    try:
        for config in configs.values():
            config._attn_implementation_internal = IMPLEMENTATION  # noqa: SLF001
        yield
    finally:
        _listening.reset(token)
        for k, config in configs.items():
            config._attn_implementation_internal = before[k]  # noqa: SLF001


@contextmanager
def overheard(modules: Sequence[Any], recorder: Recorder) -> Iterator[None]:
    """Attention maps that modules give as the second of their results (models older than the library's interface)."""

    def before(module: Any, _: Any) -> None:
        recorder.begin(module)

    def after(module: Any, _: Any, output: Any) -> None:
        recorder.hear(module, output[1] if isinstance(output, tuple) and len(output) > 1 else None)

    with ExitStack() as stack:
        for module in modules if recorder.eager else ():
            stack.callback(module.register_forward_pre_hook(before).remove)
            stack.callback(module.register_forward_hook(after).remove)
        yield


@contextmanager
def states_of(stream: str, layers: Sequence[Any], recorder: Recorder) -> Iterator[None]:
    """Hidden states before the first and after each of these layers."""

    def before(_: Any, args: Any, kwargs: Any) -> None:
        recorder.keep(stream, args[0] if args else kwargs["hidden_states"])

    def after(_module: Any, _args: Any, output: Any) -> None:
        recorder.keep(stream, output[0] if isinstance(output, tuple) else output)

    with ExitStack() as stack:
        if recorder.hidden and layers:
            stack.callback(layers[0].register_forward_pre_hook(before, with_kwargs=True).remove)
            for layer in layers:
                stack.callback(layer.register_forward_hook(after).remove)
        yield


@contextmanager
def pooled_by_heads(module: Any, recorder: Recorder) -> Iterator[None]:
    """A ``torch.nn.MultiheadAttention`` that computes step by step: torch gives the heads' mean, off the graph."""
    if not recorder.eager:
        yield
        return

    def forward(query: Any, key: Any, value: Any, **_: Any) -> Any:
        recorder.begin(module)
        output, weights = _by_heads(module, query, key, value)
        recorder.hear(module, weights)
        return output, weights

    module.forward = forward
    try:
        yield
    finally:
        del module.forward


def _by_heads(module: Any, query: Any, key: Any, value: Any) -> tuple[Any, Any]:
    """What ``torch.nn.functional.multi_head_attention_forward`` computes, without masks; batch first."""
    import torch

    weights, biases = module.in_proj_weight.chunk(3), module.in_proj_bias.chunk(3)
    rows, heads = query.shape[0], module.num_heads
    q, k, v = (
        torch.nn.functional.linear(x, w, b).reshape(rows, x.shape[1], heads, -1).transpose(1, 2)
        for x, w, b in zip((query, key, value), weights, biases, strict=True)
    )
    attention = torch.softmax(torch.matmul(q, k.transpose(-1, -2)) * q.shape[-1] ** -0.5, dim=-1)
    mixed = torch.matmul(attention, v).transpose(1, 2).flatten(2)
    return module.out_proj(mixed), attention


@contextmanager
def frozen(model: Any) -> Iterator[None]:
    """Weights require no gradient within this block."""
    trained = [p for p in model.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(requires_grad=True)


@contextmanager
def embedded(layer: Any, positions: Any, rows: torch.Tensor, shape: tuple[int, int]) -> Iterator[None]:
    """The embedding layer gives these rows at these positions within this block.

    Args:
        layer: the embedding layer.
        positions: ``int64[k]``.
        rows: ``Tensor[batch, k, width]``.
        shape: (batch, tokens) of the ids whose embeddings are meant.

    Raises:
        ModelError: the model never asked the layer for them.
    """
    import torch

    calls = 0

    def hook(_module: Any, _args: Any, output: Any) -> Any:
        nonlocal calls
        if tuple(output.shape[:-1]) != shape:
            return None
        calls += 1
        where = torch.as_tensor(positions, device=output.device)
        return output.index_copy(1, where, rows.to(output.device, output.dtype))

    handle = layer.register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()
    if not calls:
        raise ModelError(f"The model embedded no text of shape {list(shape)} by {type(layer).__name__}.")


def layers_of(module: Any, count: int) -> list[Any]:
    """The layers of a stack: the first list of that many modules within a module.

    Raises:
        ModelError: there is none.
    """
    import torch

    for child in module.modules():
        if isinstance(child, torch.nn.ModuleList) and len(child) == count:
            return list(child)
    raise ModelError(f"{type(module).__name__} has no list of {count} layers; its hidden states cannot be read.")
