"""How much memory, and time of a processor, does an audit of many samples take?

``python benchmarks/audit_memory.py 1000 10000 100000``. Each number of samples is audited in a process of its own: a
function of two texts, whole parts alone, in this process, 200 resamples. Told are the peak of resident memory above
that of a process that has imported what audits need and audited ten samples, once when all samples are recorded and
once when all figures are worked out, and seconds of the processor.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import chiasm as cx


class Samples(Sequence[cx.Sample]):
    """Samples that are made when they are asked for."""

    def __init__(self, n: int) -> None:
        """Of so many samples."""
        self.n = n

    def __len__(self) -> int:
        """How many there are."""
        return self.n

    def __getitem__(self, k: int) -> cx.Sample:  # type: ignore[override] # no slices are needed
        """The sample with that number."""
        if not 0 <= k < self.n:
            raise IndexError(k)
        return cx.Sample(text="a cat" if k % 2 else "a dog", text2="hat" if k % 3 else "coat", id=f"s{k}")


def value(text: str, text2: str) -> float:
    """Of one sample."""
    return float(("cat" in text) * ("hat" in text2) + 0.1 * ("dog" in text))


def peak() -> float:
    """Peak of resident memory so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(n: int) -> str:
    """A line of the table."""
    model = cx.FunctionModel(value, ("text",), batch=False, fingerprint="cat-hat")
    with tempfile.TemporaryDirectory() as folder:
        small = cx.audit(model, Samples(10), folder=Path(folder) / "small", replicates=200)
        _ = small.findings
        before, start = peak(), time.process_time()
        found = cx.audit(model, Samples(n), folder=Path(folder) / "large", replicates=200)
        recorded, between = peak() - before, time.process_time()
        _ = found.findings
        done = time.process_time()
        if len(found.summary.table.rows) != n:
            raise RuntimeError(f"{len(found.failed)} samples failed.")
    return f"| {n:,} | {recorded:.0f} | {peak() - before:.0f} | {between - start:.1f} | {done - between:.1f} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure each number of samples in a process of its own."""
    parser = argparse.ArgumentParser(prog="python benchmarks/audit_memory.py", description=__doc__)
    parser.add_argument("samples", type=int, nargs="+")
    parser.add_argument("--here", action="store_true", help="measure in this process")
    told = parser.parse_args(arguments)
    if told.here:
        print(*map(measure, told.samples), sep="\n")
        return 0
    print(
        "| samples | MB, recording | MB, figures too | s, recording | s, figures |\n|--:|--:|--:|--:|--:|", flush=True
    )
    for n in told.samples:
        command = [sys.executable, __file__, str(n), "--here"]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"})  # noqa: S603 - this file
    return 0


if __name__ == "__main__":
    sys.exit(main())
