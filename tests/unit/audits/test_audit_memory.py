"""What an audit holds of each sample is its record, not its contents."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence

import numpy as np

import chiasm as cx

SIDE = 100  # a picture is 30,000 bytes


class Pictures(Sequence[cx.Sample]):
    """Made when they are asked for."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, k):
        if not 0 <= k < self.n:
            raise IndexError(k)
        return cx.Sample(image=np.full((SIDE, SIDE, 3), k % 256, np.uint8), text="a", id=f"s{k}")


def peak(n: int, folder) -> int:
    model = cx.FunctionModel(
        lambda image, text: float(image.mean() * (1 + len(text))), ("image", "text"), batch=False, fingerprint="light"
    )
    tracemalloc.start()
    found = cx.audit(model, Pictures(n), folder=folder, replicates=100)
    _ = found.findings
    top = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(found.summary.table.rows) == n
    return top


def test_a_sample_more_costs_the_memory_of_its_record_alone(tmp_path):
    peak(4, tmp_path / "warm")  # what is imported late is no memory of samples
    few, many = (peak(n, tmp_path / str(n)) for n in (20, 100))
    assert (many - few) / 80 < SIDE * SIDE * 3 / 3
