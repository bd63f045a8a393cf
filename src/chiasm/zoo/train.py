"""Train a model of the zoo: ``python -m chiasm.zoo.train llava-shapes --out DIR``."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

MODELS: Final = {"llava-shapes": "chiasm.zoo.recipes.llava"}
"""Name → module with ``plan(seed, steps_scale)``."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line, train, save."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.train", description=__doc__)
    parser.add_argument("model", choices=sorted(MODELS))
    parser.add_argument("--out", type=Path, help="folder for the model (default: the package's own weights)")
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
    plan = importlib.import_module(MODELS[options.model]).plan(options.seed, options.steps_scale)
    out = options.out or Path(__file__).parent / "weights" / options.model

    def write(line: str) -> None:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()

    report = training.train(plan, torch.device(options.device), workers=workers, state=options.state, write=write)
    training.save(plan, report, out)
    write(f"saved to {out} after {report['seconds']} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
