"""What a model card says one may type works."""

from __future__ import annotations

import re

import pytest

from chiasm.zoo import catalog


@pytest.mark.parametrize("name", catalog.loadable())
def test_the_use_of_a_card_runs(name):
    card = (catalog.folder_of(name) / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert blocks
    for code in blocks:
        exec(compile(code, f"{name}/README.md", "exec"), {"__name__": "__main__"})  # noqa: S102 - that is the test
