"""Starting is instant, and the heavy libraries are imported only when a model is."""

from __future__ import annotations

import subprocess
import sys

import chiasm as cx


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_import_needs_no_heavy_library():
    heavy = ["torch", "transformers", "scipy", "skimage", "matplotlib", "shapiq", "pandas", "pydantic"]
    loaded = run(f"import sys, chiasm; print([m for m in {heavy} if m in sys.modules])")
    assert loaded.strip() == "[]"


def test_help_needs_no_heavy_library():
    heavy = ["torch", "transformers", "scipy", "skimage", "matplotlib", "shapiq", "pandas"]
    loaded = run(
        "import sys\nfrom typer.testing import CliRunner\nfrom chiasm.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    assert loaded.strip() == "[]"


def test_every_public_name_resolves():
    for name in cx.__all__:
        assert getattr(cx, name) is not None
