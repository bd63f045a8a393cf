"""Every code block of the README and the docs runs.

Blocks of a page run in order: ``python`` blocks in one process, ``bash`` blocks in a folder of their own that holds
copies of the example files. Blocks of other languages (``text``, ``yaml`` …) are shown, not run. A ``bash`` block that
installs something or clones a repository is the only exception, and is named here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\w+)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
#: first words of lines that set up a machine; they are what `make demo` and `make test` themselves do
SET_UP = ("git clone", "make ", "cd chiasm", "pip install", "python -m chiasm.zoo.train", "python benchmarks/")
#: a command that takes many minutes; its figures stand in the docs, so it is named there but not run here
LONG = ("python -m chiasm.zoo.planted", "python -m chiasm.zoo.evaluate")


def blocks(page: Path) -> list[tuple[str, str]]:
    found = []
    for indent, language, code in BLOCK.findall(page.read_text()):
        found.append((language, "\n".join(line.removeprefix(indent) for line in code.splitlines())))
    return found


def script(page: Path) -> str:
    """One shell script that runs the page's blocks in order; python blocks share a namespace, pickled nowhere."""
    python = "\n\n".join(code for language, code in blocks(page) if language == "python")
    Path("page.py").write_text(python)
    lines = []
    for language, code in blocks(page):
        if language in {"bash", "sh"}:
            lines += [line for line in code.splitlines() if not line.startswith((*SET_UP, *LONG))]
    if python:
        lines.append(f"{sys.executable} page.py")
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_code_blocks_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    (tmp_path / "out").mkdir()
    text = script(page)
    if not text.strip():
        return
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "COLUMNS": "120",
    }
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        capture_output=True,
        text=True,
        env=environment,
        timeout=600,
        check=False,
    )
    assert result.returncode == 0, f"{text}\n--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"


def test_every_block_names_its_language():
    for page in PAGES:
        fences = re.findall(r"^ *```(\w*)", page.read_text(), re.MULTILINE)
        assert all(fences[::2]), f"{page}: a code block without a language is not run by this test"
