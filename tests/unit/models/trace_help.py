"""Short ways for the tests of traces, whatever the family."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from chiasm.modalities import modalities


class Traced:
    """A sample traced in a model, with the game's value function beside it."""

    def __init__(self, adapter: Any, sample: Any, target: Any = None, **options: Any) -> None:
        chosen = {"image": options.pop("image", "mean"), "text": options.pop("text", "attention")}
        cut = {"image": options.pop("grid", "grid:2x2"), "text": options.pop("cut", "words")}
        assert not options
        parts = sample.parts.items()
        self.adapter = adapter
        self.prepared = adapter.prepare(sample)
        self.target = adapter.resolve(self.prepared, target or adapter.default_target)[0]
        self.players = self.prepared.players({name: cut[part.kind] for name, part in parts})
        self.maskers = {name: modalities.get(part.kind).masker(chosen[part.kind]) for name, part in parts}
        self.trace = adapter.trace(self.prepared, self.players, self.maskers, self.target)

    def game(self, coalition: np.ndarray) -> float:
        values = self.adapter.values(self.prepared, self.players, self.maskers, self.target, None)
        return float(values(coalition[None])[0])

    def value(self, coalition: np.ndarray | None = None) -> float:
        return self.trace.run(self.trace.inputs(coalition), grad=False).value.item()

    def some(self, seed: int = 0) -> np.ndarray:
        return np.random.default_rng(seed).random(len(self.players)) < 0.5


def slope_along(trace: Any, inputs: dict[str, Any], direction: dict[str, Any], step: float) -> tuple[float, float]:
    """The derivative of the value along a direction: by gradients, and by differences."""
    run = trace.run(inputs)
    slopes = run.gradients().inputs
    analytic = sum(float((slopes[part][0] * direction[part]).sum()) for part in direction)

    def at(t: float) -> float:
        moved = {part: inputs[part] + t * direction.get(part, 0) for part in inputs}
        return trace.run(moved, grad=False).value.item()

    return analytic, (at(step) - at(-step)) / (2 * step)


def random_direction(tensor: Any, seed: int = 0) -> Any:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
    return (found / found.norm()).to(tensor.dtype)


def state_of(model: Any) -> dict[str, Any]:
    """What a trace must leave as it was."""
    return {
        "hooks": [(name, len(m._forward_hooks), len(m._forward_pre_hooks)) for name, m in model.named_modules()],
        "forwards": [name for name, m in model.named_modules() if "forward" in vars(m)],
        "attention": [m.config._attn_implementation for m in model.modules() if hasattr(m, "config")],
        "trained": [p.requires_grad for p in model.parameters()],
        "embedding": model.get_input_embeddings() if not hasattr(model, "text_model") else None,
    }


def completeness(trace: Any, steps: int = 64) -> tuple[float, float]:
    """The sum of Integrated Gradients (midpoint rule), and the difference of values that it must be."""
    whole, nobody = trace.inputs(), trace.inputs(np.zeros(len(trace.players), bool))
    shares = (torch.arange(steps, dtype=torch.float64) + 0.5) / steps
    total = 0.0
    for piece in shares.split(16):
        path = {}
        for part, tensor in whole.items():
            t = piece.to(tensor.dtype).reshape(-1, *[1] * tensor.ndim)
            path[part] = nobody[part] + t * (tensor - nobody[part])
        slopes = trace.run(path).gradients().inputs
        total += sum(float((slopes[part].sum(dim=0) * (whole[part] - nobody[part])).sum()) for part in whole) / steps
    ends = [trace.run(one, grad=False).value.item() for one in (whole, nobody)]
    return total, ends[0] - ends[1]
