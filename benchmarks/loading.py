"""How long does a model of the zoo take to load, once torch is imported? ``python benchmarks/loading.py``.

Each model is loaded in a process of its own, after torch. Seconds by the clock, and of the processor in brackets: of
importing what transformers itself needs for any model (it imports its own modules late, and much of torch with them),
of the first load, with the modules of the architecture and the check of its checksums, and of a second one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence

from chiasm.zoo import catalog

CODE = """
import sys, time
import torch
import chiasm

def transformers():
    import transformers.modeling_utils, transformers.processing_utils

def model():
    chiasm.load("zoo:" + sys.argv[1])

for step in (transformers, model, model):
    wall, own = time.perf_counter(), time.process_time()
    step()
    print(f"{time.perf_counter() - wall:.2f} ({time.process_time() - own:.2f})")
"""


def seconds(name: str) -> list[str]:
    """What a fresh process says of its three steps."""
    done = subprocess.run(  # noqa: S603 - this interpreter, and the code above
        [sys.executable, "-c", CODE, name],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    return done.stdout.splitlines()


def main(arguments: Sequence[str] | None = None) -> int:
    """Load each model and print the table."""
    parser = argparse.ArgumentParser(prog="python benchmarks/loading.py", description=__doc__)
    parser.add_argument("models", nargs="*", default=catalog.loadable(), help="by default all that ship")
    options = parser.parse_args(arguments)
    sys.stdout.write("| model | transformers | first load | again |\n|---|--:|--:|--:|\n")
    for name in options.models:
        sys.stdout.write(f"| {name} | {' | '.join(seconds(name))} |\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
