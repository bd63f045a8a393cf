"""The wheel builds, and weights and scripts are in it as they are here. What it does when installed: `make wheel`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_wheel_holds_weights_and_scripts():
    pytest.importorskip("hatchling", reason="without it the build fetches it, and tests fetch nothing")
    environment = {**os.environ, "PYTHON": sys.executable}
    found = subprocess.run(
        ["sh", str(ROOT / "scripts" / "wheel.sh"), "--no-install"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "weights of" in found.stdout
