"""The rooms of the package may only look down the stairs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "chiasm"

#: room → rooms it may import from (DESIGN: core → modalities, estimators, runs, view → models → explainers → … → cli)
ALLOWED = {
    "core": set(),
    "modalities": {"core"},
    "estimators": {"core"},
    "view": {"core"},
    "zoo": {"core"},
    "models": {"core", "modalities", "zoo"},
    "explainers": {"core", "modalities", "estimators", "models"},
    "cli": {"core", "modalities", "estimators", "view", "zoo", "models", "explainers"},
    "testing": {"core", "modalities", "estimators", "view", "zoo", "models", "explainers"},
}
#: rooms that may import torch; everything else must work without it
TORCH = {"models", "explainers", "zoo"}


def imports(path: Path) -> list[str]:
    """Modules that a file imports anywhere, inside functions too; imports for types only are left out."""
    tree = ast.parse(path.read_text())
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    found = []
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
    return found


def files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def test_every_room_has_a_rule():
    rooms = {path.relative_to(SOURCE).parts[0] for path in files()}
    assert rooms == set(ALLOWED)


@pytest.mark.parametrize("path", files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_import_order(path):
    name = str(path.relative_to(SOURCE))
    room = path.relative_to(SOURCE).parts[0]
    for module in imports(path):
        head, *rest = module.split(".")
        if head == "chiasm" and rest and rest[0] in ALLOWED:
            allowed = ALLOWED[room] | {room}
            assert rest[0] in allowed, f"{name} imports {module}"
        if head in {"torch", "transformers"}:
            assert room in TORCH, f"{name} imports {module}"
