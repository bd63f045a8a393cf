from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Folder of a tiny model, built once for each set of options."""
    import tiny

    built: dict[Any, str] = {}

    def get(kind: str, **options: Any) -> str:
        key = (kind, *sorted(options.items()))
        if key not in built:
            torch.manual_seed(0)
            built[key] = tiny.BUILDERS[kind](tmp_path_factory.mktemp(kind), **options)
        return built[key]

    return get


@pytest.fixture(scope="session")
def adapter(folder: Callable[..., str]) -> Callable[..., Any]:
    """A tiny model loaded through the hub, once for each set of options."""
    from chiasm.models import hub

    loaded: dict[str, Any] = {}

    def get(kind: str, **options: Any) -> Any:
        path = folder(kind, **options)
        if path not in loaded:
            loaded[path] = hub.load(path, device="cpu", max_new_tokens=4)
        return loaded[path]

    return get


@pytest.fixture(scope="session")
def picture() -> np.ndarray:
    """A picture with colour everywhere, wider than high."""
    rng = np.random.default_rng(7)
    coarse = rng.integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((9, 9, 1), np.uint8)) // 2 + rng.integers(0, 100, (45, 63, 3), dtype=np.uint8)
