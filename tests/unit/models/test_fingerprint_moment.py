"""A fingerprint tells what a model is, not what it did last."""

from __future__ import annotations

import pytest

import chiasm as cx


@pytest.mark.parametrize("name", ["qwen-shapes", "vilt-shapes"])
def test_the_fingerprint_is_the_same_before_and_after_use(name):
    """A tokenizer keeps the padding of its last call, which is no part of the model."""
    before = cx.load(f"zoo:{name}").fingerprint
    used = cx.load(f"zoo:{name}")
    cx.explain(used, cx.dataset("shapes", n=1)[0], method="random", players="grid:2x2,words")
    assert used.fingerprint == before
