"""Train a model of the zoo: ``python -m chiasm.zoo.train llava-shapes --out DIR``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from chiasm.zoo.recipes.training import Plan

MODELS: Final = {
    "llava-shapes": "llava:plan",
    "qwen-shapes": "qwen:plan",
    "idefics-shapes": "idefics:plan",
    "vilt-shapes": "vilt:plan",
    "blip-shapes": "blip:plan",
    "clip-captions": "clip:plan",
    "siglip-captions": "siglip:plan",
    "prior-shortcut": "prior:shortcut",
    "prior-grounded": "prior:grounded",
    "prior-growth": "prior:growth",
}
"""Name → ``module:function`` of a recipe in `chiasm.zoo.recipes`; the function takes ``(seed, steps_scale)``."""


def plan(name: str, seed: int = 0, steps_scale: float = 1.0) -> Plan:
    """The plan of a model with fresh weights.

    Args:
        name: a name of `MODELS`.
        seed: of weights and data.
        steps_scale: multiplies the number of steps.
    """
    module, function = MODELS[name].split(":")
    made: Plan = getattr(importlib.import_module(f"chiasm.zoo.recipes.{module}"), function)(seed, steps_scale)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, train, save."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.train", description=__doc__)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument(
        "--out", type=Path, help="folder of the model, checkpoints beside it (default: the package's own weights)"
    )
    parser.add_argument("--device", default="cpu", help="cpu, or cuda")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and data")
    parser.add_argument("--steps-scale", type=float, default=1.0, help="multiplies the number of steps")
    parser.add_argument("--workers", type=int, help="processes that make batches (default: 0 on cpu, up to 14 on cuda)")
    parser.add_argument("--threads", type=int, help="threads of torch on the cpu")
    parser.add_argument("--state", type=Path, help="file to keep the state in; an existing one is continued")
    options = parser.parse_args(arguments)
    # Read when CUDA starts; without it matrix products are not reproducible.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

    import torch

    from chiasm.zoo.recipes import training

    if options.threads:
        torch.set_num_threads(options.threads)
    workers = options.workers
    if workers is None:
        workers = max(0, min(14, (os.cpu_count() or 1) - 2)) if options.device.startswith("cuda") else 0
    recipe = plan(options.model, options.seed, options.steps_scale)
    out = options.out or Path(__file__).parent / "weights" / options.model

    def write(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def keep(step: int, early: Plan, report: dict[str, Any]) -> None:
        """Checkpoints along the way get folders beside that of the model."""
        folder = out.with_name(f"{out.name}-{step:04d}")
        training.save(early, report, folder)
        write(f"saved to {folder}")

    report = training.train(
        recipe, torch.device(options.device), workers=workers, state=options.state, write=write, keep=keep
    )
    # A model that is kept at its last step has been saved already.
    if recipe.phases[-1].steps not in recipe.phases[-1].keep:
        training.save(recipe, report, out)
        write(f"saved to {out} after {report['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
