"""What an audit says in words."""

from __future__ import annotations

import numpy as np

from chiasm.audits.findings import findings
from chiasm.audits.summary import summarise
from chiasm.audits.table import Table


def test_two_strata_that_are_each_others_rest_are_told_once():
    rng = np.random.default_rng(0)
    rows = [
        {
            "parts": ["image", "text"],
            "values": [0.0, 0.1, 0.1, (0.9 if k % 2 else 0.3) + rng.random() / 20],
            "answers": None,
            "reference": None,
            "background": None,
            "tags": {"kind": "odd" if k % 2 else "even"},
        }
        for k in range(60)
    ]
    found = [
        one.sentence for one in findings(summarise(Table(rows), replicates=300), (), ("m",)) if one.kind == "stratum"
    ]
    told = [sentence for sentence in found if "beyond their sum" in sentence]
    assert len(told) == 1
