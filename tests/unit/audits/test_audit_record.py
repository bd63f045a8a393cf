"""What an audit keeps of each sample."""

from __future__ import annotations

import numpy as np

import chiasm as cx
from chiasm.audits.record import Plan, record


def test_pairs_that_never_meet_are_others_in_every_sample():
    """At a small budget some pairs have no value. A planted pair must not be among them in every sample alike."""

    def planted(samples):
        return [s["tabular"]["c8"] * ("last" in s["text"]) for s in samples]

    model = cx.FunctionModel(planted, fingerprint="planted")
    samples = [cx.Sample(tabular={f"c{k}": 1.0 for k in range(9)}, text="one two last") for _ in range(12)]
    found = [record(model, samples, k, Plan(budget=60))["units"]["tabular"]["positive"] for k in range(len(samples))]
    seen = np.array(found)[:, 8] > 0
    assert 0 < seen.sum() < len(samples)
    assert np.array(found)[:, :8].sum() == 0
