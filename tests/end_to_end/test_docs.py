"""Every code block of the README, of CONTRIBUTING and of the docs runs, as a reader would run it.

The blocks of a page run in the order in which they stand, in a folder that holds a copy of ``examples/`` and nothing
else:

* ``python`` blocks share one namespace;
* ``bash`` blocks run with ``bash -euo pipefail``;
* ``yaml`` blocks are written to the file that their first line names (``# a.yaml``), which a later block must use;
* ``text`` and ``toml`` blocks are shown, not run.

What is left out is named in `SET_UP` and `LONG`. One page alone: ``python tests/end_to_end/test_docs.py PAGE`` runs it
in the current folder.
"""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import chiasm

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^\1```[ ]*$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"# (\S+\.ya?ml)$")
RUN, SHOWN = {"python", "bash", "yaml"}, {"text", "toml"}

#: lines of bash blocks that set up a machine: `make test` has done that when it comes here
SET_UP = {
    "git clone URL-OF-THIS-REPOSITORY chiasm",
    "cd chiasm",
    "make demo",
    ". .venv/bin/activate",
    "pip install '.[models,shapiq]'",
}
#: commands that take many minutes; their figures stand in the docs, so they are named there
LONG = {
    "python -m chiasm.zoo.evaluate",
    "python -m chiasm.zoo.evaluate llava-shapes",
    "python -m chiasm.zoo.evaluate llava-shapes --folder out/llava-shapes",
    "python -m chiasm.zoo.prior_report",
    "python -m chiasm.zoo.train llava-shapes --out out/llava-shapes --state out/llava.state",
    "python benchmarks/planted.py llava-shapes qwen-shapes idefics-shapes --exact --results out/planted.jsonl --n 34",
}


class Block(NamedTuple):
    """A code block: its language, its lines, and the line of the page on which they begin."""

    language: str
    code: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = []
    for match in BLOCK.finditer(text):
        indent, language, code = match.groups()
        lines = [line.removeprefix(indent) for line in code.splitlines()]
        found.append(Block(language, "\n".join(lines), text.count("\n", 0, match.start(3)) + 1))
    return found


def commands(block: Block) -> str:
    """A bash block without the lines that are not run here."""
    return "\n".join(line for line in block.code.splitlines() if line.strip() not in SET_UP | LONG).strip()


def run(page: Path) -> None:
    """Run the blocks of a page in this process and this folder; raises at the first one that fails."""
    names: dict[str, Any] = {"__name__": "__main__"}
    unused: set[str] = set()
    for block in blocks(page):
        unused = {name for name in unused if name not in block.code}
        if block.language == "python":
            # As many empty lines before it as stand before it on the page: a traceback names the page and its line.
            source = ast.parse("\n" * (block.line - 1) + block.code, str(page))
            exec(compile(source, str(page), "exec"), names)  # noqa: S102 - that is what the test is for
        elif block.language == "bash" and commands(block):
            shell = ["bash", "-euo", "pipefail", "-c", commands(block)]
            if code := subprocess.run(shell, check=False, stdin=subprocess.DEVNULL).returncode:
                raise SystemExit(f"{page}, line {block.line}: the bash block exits with {code}")
        elif block.language == "yaml":
            named = NAMED.match(block.code.partition("\n")[0])
            if named is None:
                raise SystemExit(
                    f"{page}, line {block.line}: the first line of a yaml block names its file, '# a.yaml'"
                )
            Path(named[1]).write_text(block.code + "\n", encoding="utf-8")
            unused.add(named[1])
        elif block.language not in RUN | SHOWN:
            raise SystemExit(f"{page}, line {block.line}: do not know how to run {block.language or 'no language'!r}")
    if unused:
        raise SystemExit(f"{page} shows {', '.join(sorted(unused))} and never uses it")


def has_work(page: Path) -> bool:
    return any(b.language not in {"bash", *SHOWN} or (b.language == "bash" and commands(b)) for b in blocks(page))


def in_a_process(page: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a page in a process of its own, in a folder that holds the examples and nothing else."""
    shutil.copytree(ROOT / "examples", folder / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, __file__, str(page)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path, "COLUMNS": "120", "PYTHONUNBUFFERED": "1"},
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize(
    "page", [page for page in PAGES if has_work(page)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_code_blocks_run(page, tmp_path):
    result = in_a_process(page, tmp_path)
    assert result.returncode == 0, f"--- stdout\n{result.stdout}\n--- stderr\n{result.stderr}"


def fenced(language: str, code: str) -> str:
    return f"```{language}\n{code}\n```\n"


FAILING = {
    "python": fenced("python", "assert 1 == 2"),
    "python-name-of-a-later-block": fenced("python", "print(later)") + fenced("python", "later = 1"),
    "bash": fenced("bash", "ls there-is-no-such-file"),
    "bash-not-the-last-command": fenced("bash", "false\ntrue"),
    "bash-in-a-pipe": fenced("bash", "false | true"),
    "bash-unset-variable": fenced("bash", "echo $THERE_IS_NO_SUCH_VARIABLE"),
    "bash-folder-that-is-not-made": fenced("bash", "chiasm view out/star.json"),
    "bash-file-of-a-later-block": fenced("bash", "cat made.txt") + fenced("python", "open('made.txt', 'w').close()"),
    "bash-set-up-with-another-ending": fenced("bash", "make demo-of-something-else"),
    "yaml-without-a-name": fenced("yaml", "a: 1") + fenced("bash", "true"),
    "yaml-that-no-block-uses": fenced("yaml", "# a.yaml\na: 1"),
    "yaml-used-before-it-stands": fenced("bash", "cat a.yaml") + fenced("yaml", "# a.yaml\na: 1"),
    "yaml-that-its-user-refuses": fenced("yaml", "# a.yaml\nno_such_field: 1")
    + fenced("bash", "chiasm explain --spec a.yaml"),
    "no-language": fenced("", "a = 1"),
    "unknown-language": fenced("shell", "true"),
}


PASSING = (
    fenced("python", "import pathlib\nword = 'two'\npathlib.Path('one').write_text(word)")
    + fenced("bash", "make demo\ngrep two one > three")
    + "- in a list\n\n  ```python\n  assert pathlib.Path('three').read_text().strip() == word\n  ```\n"
    + fenced("yaml", "# four.yaml\na: 1")
    + fenced("bash", "grep 'a: 1' four.yaml && test -s examples/scene.png")
    + fenced("text", "shown")
)


@pytest.mark.parametrize("text", FAILING.values(), ids=FAILING)
def test_the_runner_fails_on_a_failing_block(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# A page\n\n{fenced('bash', 'true')}\n{text}")
    folder = tmp_path / "folder"
    folder.mkdir()
    result = in_a_process(page, folder)
    assert result.returncode != 0, f"{text}\n--- stdout\n{result.stdout}"
    assert str(page) in result.stderr, "the message names the page"


def test_the_runner_runs_blocks_in_their_order(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PASSING)
    folder = tmp_path / "folder"
    folder.mkdir()
    result = in_a_process(page, folder)
    assert result.returncode == 0, result.stderr
    assert {file.name for file in folder.iterdir()} == {"examples", "one", "three", "four.yaml"}


def test_exceptions_are_needed():
    lines = {line.strip() for page in PAGES for block in blocks(page) for line in block.code.splitlines()}
    assert lines >= SET_UP | LONG


def test_fences_are_closed():
    for page in PAGES:
        fences = re.findall(r"^ *```.*$", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(page)), f"{page}: a code block is not closed, or closed elsewhere"


def test_programs_that_are_named_exist():
    """Commands that no block runs, in blocks and in the text: their scripts and modules are there."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for script in re.findall(r"python (\S+\.py)", text):
            assert (ROOT / script).is_file(), f"{page}: {script}"
        for module in re.findall(r"python -m (chiasm[\w.]*)", text):
            assert importlib.util.find_spec(module), f"{page}: {module}"


def test_each_object_is_documented_in_one_place():
    pages = (ROOT / "docs").rglob("*.md")
    documented = [name for page in pages for name in re.findall(r"^::: (\S+)$", page.read_text(), re.MULTILINE)]
    twice = {
        name
        for k, name in enumerate(documented)
        for other in documented[:k] + documented[k + 1 :]
        if inside(name, other)
    }
    assert not twice


def inside(name: str, other: str) -> bool:
    return name == other or name.startswith(f"{other}.")


def test_every_public_name_is_in_the_reference():
    table = (ROOT / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\[`(\w+)`\]\[chiasm\.[\w.]+\]", table))
    assert linked == set(chiasm.__all__) - {"__version__"}


if __name__ == "__main__":
    sys.path[0] = str(Path.cwd())
    run(Path(sys.argv[1]))
