"""AttnLRP: relevance goes back layer by layer and is kept; rules for attention, norms and gates of transformers.

With the ε-rule at ε = 0, relevance of a linear layer's input is input × gradient. So the other rules can be put as
what the backward pass takes for the derivative, and relevance is read off as state × gradient in the end:

* softmax s of x: Taylor rule, R_i = x_i (R^s_i − s_i Σ_j R^s_j), which the plain derivative gives;
* a product of two things that both depend on the input (matrix product or element by element): half to each;
* a function of one number: f(x) = x·c with c = f(x)/x held fixed;
* a norm, or a division: what is divided by is held fixed.

Kept exactly but for biases, which take what is theirs, and softmax, whose Taylor expansion has a constant term.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from chiasm.explainers.base import Found, Subject, WhiteBox
from chiasm.explainers.gradients import notes_of
from chiasm.explainers.routing import AGAINST, require_placed

if TYPE_CHECKING:
    import torch

    from chiasm.models.trace import Trace

Floats = NDArray[np.float64]


def halved(product: Any) -> Any:
    """The same number; half its derivative goes back to what it was made of."""
    if product.requires_grad:
        product.register_hook(lambda slope: 0.5 * slope)
    return product


def held(function: Callable[..., Any], x: Any, *args: Any, **options: Any) -> Any:
    """f(x) as x times a constant; nothing flows where x is zero."""
    import torch

    slope = torch.where(x == 0, torch.zeros_like(x), function(x, *args, **options) / torch.where(x == 0, 1, x))
    return x * slope.detach()


def layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    """Layer norm with its deviation held fixed."""
    axes = tuple(range(-len(shape), 0))
    centred = x - x.mean(dim=axes, keepdim=True)
    found = centred * (centred.pow(2).mean(dim=axes, keepdim=True) + eps).rsqrt().detach()
    found = found if weight is None else found * weight
    return (found if bias is None else found + bias).contiguous()  # as the library's own


def propagation() -> Any:
    """A context in which the backward pass of what is computed follows the rules."""
    import torch
    from torch.nn import functional
    from torch.overrides import TorchFunctionMode

    tensor = torch.Tensor
    products = {torch.mul, tensor.mul, tensor.__mul__, tensor.__rmul__, torch.matmul, tensor.matmul}
    products |= {tensor.__matmul__, torch.bmm, tensor.bmm}
    quotients = {torch.div, tensor.div, torch.true_divide, tensor.__truediv__}
    single = {functional.silu, functional.gelu, torch.tanh, tensor.tanh, functional.mish}
    constants = {torch.rsqrt, tensor.rsqrt, torch.sigmoid, tensor.sigmoid}

    class Propagation(TorchFunctionMode):  # type: ignore[misc] # torch is Any to mypy
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            options = kwargs or {}
            if func is functional.layer_norm:
                return layer_norm(*args, **options)
            if func in single:
                return held(func, *args, **options)
            if func in constants:
                return func(*args, **options).detach()
            if func in products and _depends(args[0]) and _depends(args[1]):
                return halved(func(*args, **options))
            if func in quotients and _depends(args[1]):
                return func(args[0], args[1].detach(), **options)
            return func(*args, **options)

    return Propagation()


def _depends(x: Any) -> bool:
    """Whether something is a tensor that the input reaches."""
    return bool(getattr(x, "requires_grad", False))


class AttnLRP(WhiteBox):
    """Relevance of the value at the first states of the stream that a part's tokens stand in.

    ``provenance.extra`` has the value and how much of it was kept: the relevance of all tokens of those streams.
    A decoder's picture is explained at its tokens in the main stream, each standing for the patches it was made of;
    encoders' pictures at their patches. The tower before a main stream is not gone through.
    """

    name = "attn-lrp"
    line = "relevance handed back layer by layer, attention's softmax and products included"
    needs = ("gradients", "hidden_states")
    cost = "1 forward and backward pass"
    source = "Achtibat et al. 2024 (ICML), AttnLRP: ε-rule with ε = 0, propositions 3.1 to 3.4"
    indices = ("LRP",)

    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """See `WhiteBox`."""
        del index, seed
        trace = subject.trace()
        value, relevance = at_first_states(trace, trace.inputs(subject.whole))
        values = np.zeros(len(trace.players))
        for part, where in trace.players.slices.items():
            if where.stop == where.start:
                continue
            require_placed(trace, part)
            slots = trace.slots[part]
            streams = [name for name in (slots.stream, slots.stream + AGAINST) if name in relevance]
            found = np.sum([relevance[name][slots.positions] for name in streams], axis=0)
            values[where] = slots.to_players(found)
        ends = {slots.stream for slots in trace.slots.values()} | {read.stream for read in trace.read_out}
        kept = sum(float(found.sum()) for name, found in relevance.items() if name.removesuffix(AGAINST) in ends)
        notes = notes_of(trace, baseline=not subject.whole.all())
        return Found(values[subject.free], notes=notes, extra={"value": value, "kept": kept})


def at_first_states(trace: Trace, inputs: Mapping[str, torch.Tensor] | None = None) -> tuple[float, dict[str, Floats]]:
    """The value, and for each stream the relevance of its tokens before the first layer.

    A stream that another one reads has only what reached it; those of towers are not part of the sum.
    """
    with propagation():
        run = trace.run(inputs, hidden=True, eager=True)
    slopes = run.gradients(inputs=False, hidden=True).hidden
    relevance = {
        name: (states[0][0].detach().double() * slopes[name][0][0].double()).sum(dim=-1).cpu().numpy()
        for name, states in run.hidden.items()
    }
    return float(run.value.detach()[0]), relevance


ATTN_LRP = AttnLRP()
