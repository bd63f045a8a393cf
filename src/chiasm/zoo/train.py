"""Train a model of the zoo: ``python -m chiasm.zoo.train llava-shapes --out DIR``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chiasm.core.errors import ChiasmError, InvalidInput

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
    "omni-chimes": "omni:plan",
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


def folders_of(recipe: Plan, out: Path) -> dict[Path, str]:
    """Every folder that a training saves to → the name of what it saves there; checkpoints lie beside the model.

    Args:
        recipe: the plan.
        out: folder of the model.
    """
    steps = sorted({step for phase in recipe.phases for step in phase.keep})
    folders = {_beside(out, step): f"{recipe.name}-{step:04d}" for step in steps}
    # A model that is kept at its last step has been saved by then.
    return folders if _kept_at_last(recipe) else folders | {out: recipe.name}


def _kept_at_last(recipe: Plan) -> bool:
    return recipe.phases[-1].steps in recipe.phases[-1].keep


def _beside(out: Path, step: int) -> Path:
    return out.with_name(f"{out.name}-{step:04d}")


def check_folders(folders: Mapping[Path, str]) -> None:
    """Refuse, before hours of training, folders that could not take a model or hold something else.

    Args:
        folders: see `folders_of`.

    Raises:
        InvalidInput: one is a file, cannot be written, or holds files that are not an earlier model of that name.
    """
    for folder, name in folders.items():
        check_writable(folder)
        if folder.is_dir() and any(folder.iterdir()):
            report = folder / "training.json"
            held = json.loads(report.read_text(encoding="utf-8")).get("model") if report.is_file() else None
            if held != name:
                what = f"the model {held}" if held else "files that no training of the zoo wrote"
                raise InvalidInput(f"{folder} holds {what}, not {name}. Give an --out that is empty or does not exist.")


def check_writable(folder: Path) -> None:
    """Refuse a folder that is a file or cannot be written, or made.

    Raises:
        InvalidInput: so it is.
    """
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir():
        raise InvalidInput(f"{there} is a file; give a folder that can be made or written.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidInput(f"{there} cannot be written; give another folder, or the right to write there.")


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
    out = (options.out or Path(__file__).parent / "weights" / options.model).absolute()

    def write(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    def keep(step: int, early: Plan, report: dict[str, Any]) -> None:
        training.save(early, report, _beside(out, step))
        write(f"saved to {_beside(out, step)}")

    try:
        check_folders(folders_of(recipe, out))
        if options.state:
            check_writable(options.state.absolute().parent)
        report = training.train(
            recipe, torch.device(options.device), workers=workers, state=options.state, write=write, keep=keep
        )
    except ChiasmError as error:
        parser.error(str(error))
    if not _kept_at_last(recipe):
        training.save(recipe, report, out)
        write(f"saved to {out} after {report['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
