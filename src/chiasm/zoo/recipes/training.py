"""The training loop of the zoo's models: phases of a fixed number of steps, whose data depend on the step alone."""

from __future__ import annotations

import copy
import json
import math
import os
import platform
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import PIL
import safetensors
import tokenizers
import torch
import transformers
from torch import Tensor

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.zoo.recipes.pictures import Batch

Measures = dict[str, tuple[Tensor, Tensor]]
"""Name → (hits, cases) of one batch, for the log."""

_LOG_EVERY: Final = 50
_STATE_EVERY: Final = 500
_DECAY: Final = 0.05
_READ_OUT: Final = ("embed", "lm_head", "classifier", "prediction", "visual_projection", "text_projection")
"""Marks in the names of matrices that Muon should leave alone: tables of embeddings, and what reads answers out."""
_LAST_RATE: Final = 0.02


@dataclass
class Phase:
    """One stretch of training.

    Attributes:
        name: for the log.
        steps: number of optimiser steps.
        batches: step → batch in numpy; must be picklable, for workers.
        loss: batch of tensors → loss and measures.
        parameters: what is trained.
        learning_rate: the peak; it warms up linearly and falls by a cosine.
        muon: Muon's learning rate as a multiple of AdamW's. Towers that read patches like 5; where words must find
            their objects, 5 stays on a plateau that 2 leaves.
        warm_up: steps of warm-up.
        keep: after which of its steps, counted from 1, `train` hands the model out as it is then.
    """

    name: str
    steps: int
    batches: Callable[[int], Batch]
    loss: Callable[[dict[str, Tensor]], tuple[Tensor, Measures]]
    parameters: list[Any]
    learning_rate: float
    muon: float = 2.0
    warm_up: int = 60
    keep: tuple[int, ...] = ()

    def rate(self, step: int) -> float:
        """Learning rate at a step."""
        cosine = 0.5 * (1 + math.cos(math.pi * step / self.steps))
        return self.learning_rate * min(1.0, (step + 1) / self.warm_up) * (_LAST_RATE + (1 - _LAST_RATE) * cosine)


@dataclass
class Plan:
    """A model and how it is trained.

    Attributes:
        name: the model's name in the zoo.
        seed: seed of weights and data.
        model: a transformers model.
        processor: its processor, saved beside it.
        heads: modules that only training needs.
        phases: in order.
    """

    name: str
    seed: int
    model: Any
    processor: Any
    heads: Any
    phases: list[Phase]


def _inner_matrices(model: Any) -> frozenset[int]:
    """Identities of the matrices between the layers of a model: all but tables of embeddings and read-outs."""
    return frozenset(
        id(weight)
        for name, weight in model.named_parameters()
        if weight.ndim == 2 and not any(mark in name for mark in _READ_OUT)
    )


class _Steps:
    """The batches of a phase from one step on, as the data set that torch's loader asks for."""

    def __init__(self, phase: Phase, start: int) -> None:
        self.batches, self.start, self.length = phase.batches, start, phase.steps - start

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        if not 0 <= index < self.length:
            raise IndexError(index)
        return self.batches(self.start + index)


def _as_made(batch: Batch) -> Batch:
    """Leaves a batch in numpy: arrays come through a pipe, tensors would need shared memory, scarce in containers."""
    return batch


def _feed(phase: Phase, start: int, workers: int) -> Iterator[Batch]:
    loader = torch.utils.data.DataLoader(
        _Steps(phase, start), batch_size=None, shuffle=False, num_workers=workers, collate_fn=_as_made
    )
    yield from loader


class _Optimiser:
    """Muon for the matrices inside the model, AdamW for everything else, under one learning rate.

    Muon orthogonalises the momentum of a matrix before it steps. On these models it learns in a third of AdamW's
    steps. Embeddings, convolutions, biases, norms and the heads that read out are not such matrices; biases and norms
    are not decayed either.
    """

    def __init__(self, phase: Phase, matrices: frozenset[int], device: torch.device) -> None:
        self.muon = phase.muon
        inner = [p for p in phase.parameters if id(p) in matrices]
        outer = [p for p in phase.parameters if id(p) not in matrices]
        groups = [
            {"params": [p for p in outer if p.ndim > 1], "weight_decay": _DECAY},
            {"params": [p for p in outer if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parts: list[Any] = [
            torch.optim.AdamW(groups, lr=phase.learning_rate, betas=(0.9, 0.98), fused=device.type == "cuda")
        ]
        if inner:
            # "match_rms_adamw" gives the steps AdamW's size, so that one learning rate can serve both.
            muon = torch.optim.Muon(inner, lr=phase.learning_rate, weight_decay=_DECAY, adjust_lr_fn="match_rms_adamw")
            self.parts.append(muon)

    def step(self, rate: float) -> None:
        """One step at that learning rate, then clear the gradients."""
        for part, factor in zip(self.parts, (1.0, self.muon), strict=False):
            for group in part.param_groups:
                group["lr"] = rate * factor
            part.step()
            part.zero_grad(set_to_none=True)

    def state_dict(self) -> list[dict[str, Any]]:
        """The state of both, to be kept."""
        return [part.state_dict() for part in self.parts]

    def load_state_dict(self, states: list[dict[str, Any]]) -> None:
        """Take up a kept state."""
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


@dataclass
class _Log:
    """Sums over the steps since the last line; they stay on the device, so that a step waits for nothing."""

    write: Callable[[str], None]
    lines: list[dict[str, Any]] = field(default_factory=list)
    sums: dict[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    def add(self, loss: Tensor, measures: Measures) -> None:
        for name, (hits, cases) in ({"loss": (loss.detach(), torch.ones_like(loss))} | measures).items():
            old = self.sums.get(name)
            self.sums[name] = (hits, cases) if old is None else (old[0] + hits, old[1] + cases)

    def flush(self, phase: str, step: int, seconds: float) -> None:
        line: dict[str, Any] = {"phase": phase, "step": step, "seconds": round(seconds, 1)}
        for name, (hits, cases) in self.sums.items():
            line[name] = round(float(hits) / float(cases), 4) if float(cases) else None
        self.sums = {}
        self.lines.append(line)
        self.write("  ".join(f"{name} {value}" for name, value in line.items()))


def train(
    plan: Plan,
    device: torch.device,
    *,
    workers: int = 0,
    state: Path | None = None,
    write: Callable[[str], None] = lambda _line: None,
    keep: Callable[[int, Plan, dict[str, Any]], None] = lambda _step, _plan, _report: None,
) -> dict[str, Any]:
    """Run all phases of a plan; afterwards ``plan.model`` is trained, in float32 on the CPU.

    Args:
        plan: what to train and how. Equal plans give equal weights on equal hardware and library versions.
        device: where to train.
        workers: processes that make batches; the data are the same for any number.
        state: file from which a broken-off training of the same plan goes on, and into which it is kept up to date.
        write: takes each line of the log.
        keep: takes what a phase keeps: the number of the step, the plan with a copy of the model as it is then, ready
            for `save`, and the report so far. What came before a state is not handed out again when that is continued.

    Returns:
        What `save` writes to ``training.json``.

    Raises:
        MissingDependency: this torch has no Muon.
        InvalidInput: the state is that of another plan.
    """
    if not hasattr(torch.optim, "Muon"):
        raise MissingDependency("torch>=2.9", f"training (torch {torch.__version__} is here, and has no Muon)")
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    modules = torch.nn.ModuleDict({"model": plan.model, "heads": plan.heads}).to(device).train()
    matrices, log, began = _inner_matrices(plan.model), _Log(write), time.monotonic()
    saved: dict[str, Any] | None = None
    if state is not None and state.exists():
        saved = torch.load(state, map_location=device, weights_only=True)
        _check_state(state, saved.get("plan"), plan)
        modules.load_state_dict(saved["modules"])
        log.lines, began = saved["lines"], began - saved["seconds"]
    for number, phase in enumerate(plan.phases):
        if saved is not None and number < saved["phase"]:
            continue
        optimiser, start = _Optimiser(phase, matrices, device), 0
        if saved is not None and number == saved["phase"]:
            optimiser.load_state_dict(saved["optimiser"])
            start = saved["step"]
        for step, batch in enumerate(_feed(phase, start, workers), start=start):
            log.add(*_step(phase, optimiser, step, batch, device))
            done = step + 1
            if done % _LOG_EVERY == 0 or done == phase.steps:
                log.flush(phase.name, done, time.monotonic() - began)
            if done in phase.keep:  # before the state is kept, so that no break loses a checkpoint
                early = _as_it_is(plan, done)
                report = _report(early, device, time.monotonic() - began, list(log.lines))
                keep(done, early, report | {"phase": phase.name, "step": done})
            if state is not None and (done % _STATE_EVERY == 0 or done == phase.steps):
                content = {"modules": modules.state_dict(), "optimiser": optimiser.state_dict()}
                content["plan"] = _identity(plan)
                content |= {"phase": number, "step": done, "lines": log.lines, "seconds": time.monotonic() - began}
                _keep(state, content)
    plan.model.float().cpu().eval()
    return _report(plan, device, time.monotonic() - began, log.lines)


def _identity(plan: Plan) -> dict[str, Any]:
    """What a state must share with the plan that goes on from it."""
    return {"model": plan.name, "seed": plan.seed, "steps": {phase.name: phase.steps for phase in plan.phases}}


def _check_state(state: Path, found: dict[str, Any] | None, plan: Plan) -> None:
    if found == _identity(plan):
        return

    def words(one: dict[str, Any]) -> str:
        return f"{one['model']} with seed {one['seed']} and steps {one['steps']}"

    kept = words(found) if found else "a training that it does not name"
    raise InvalidInput(
        f"The state in {state} is of {kept}; this is {words(_identity(plan))}. Give the model, --seed and "
        f"--steps-scale that it is of, or another --state, or remove the file to begin anew."
    )


def _step(
    phase: Phase, optimiser: _Optimiser, step: int, batch: Batch, device: torch.device
) -> tuple[Tensor, Measures]:
    tensors = {name: torch.from_numpy(array).to(device, non_blocking=True) for name, array in batch.items()}
    with torch.autocast(device.type, torch.bfloat16):
        loss, measures = phase.loss(tensors)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(phase.parameters, 1.0)
    optimiser.step(phase.rate(step))
    return loss, measures


def _as_it_is(plan: Plan, step: int) -> Plan:
    """The plan with a copy of its model, in float32 on the CPU; its name ends in the step."""
    # A copy, because `save` rounds to half precision and back, which would change the rest of the training.
    model = copy.deepcopy(plan.model).float().cpu().eval()
    return replace(plan, name=f"{plan.name}-{step:04d}", model=model)


def _keep(state: Path, content: dict[str, Any]) -> None:
    """Write the state beside the file first, so that a crash leaves the old one whole."""
    state.parent.mkdir(parents=True, exist_ok=True)
    fresh = state.with_name(f"{state.name}.new")
    torch.save(content, fresh)
    fresh.replace(state)


def _report(plan: Plan, device: torch.device, seconds: float, lines: list[dict[str, Any]]) -> dict[str, Any]:
    packages = (torch, transformers, tokenizers, safetensors, np, PIL)
    return {
        "model": plan.name,
        "seed": plan.seed,
        "parameters": sum(weight.numel() for weight in plan.model.parameters()),
        "steps": _identity(plan)["steps"],
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.processor() or "cpu",
        "threads": torch.get_num_threads(),
        "processors": os.cpu_count(),
        "seconds": round(seconds, 1),
        "versions": {"python": platform.python_version()}
        | {package.__name__: str(package.__version__) for package in packages},
        "curve": lines,
    }


def save(plan: Plan, report: dict[str, Any], folder: Path) -> None:
    """Write weights in half precision, processor and ``training.json`` by plain ``save_pretrained``.

    Args:
        plan: a trained plan; its model stays in float32.
        report: what `train` returned.
        folder: created if missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plan.model.half().save_pretrained(folder)
    plan.model.float()
    plan.processor.save_pretrained(folder)
    # Half precision is for the file alone: whoever loads it should compute in float32 without asking for it.
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for part in (config, config.get("text_config", {}), config.get("vision_config", {})):
        if "dtype" in part:
            part["dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    text = json.dumps(report, indent=1) + "\n"
    (folder / "training.json").write_text(text, encoding="utf-8")
