"""The rooms of the package may only look down the stairs."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import chiasm

SOURCE = Path(chiasm.__file__).parent

#: the rooms that everything above the metrics may use
BELOW = {"core", "statistics", "modalities", "estimators", "view", "zoo", "models", "explainers", "metrics"}
#: room → rooms it may import from (core → modalities, estimators, runs, statistics → view, zoo → models → explainers,
#: zoo above, serve → metrics → audits, bench → cli)
ALLOWED = {
    "core": set(),
    "modalities": {"core"},
    "estimators": {"core"},
    "view": {"core", "modalities"},
    "zoo": {"core", "modalities"},
    "zoo above": {"core", "modalities", "zoo", "models"},
    "models": {"core", "modalities", "zoo"},
    "explainers": {"core", "modalities", "estimators", "models"},
    "metrics": {"core", "modalities", "estimators", "models", "explainers"},
    "runs": {"core"},
    "statistics": {"core"},
    "serve": {"core", "modalities", "models"},
    "bench": {*BELOW, "runs"},
    "audits": {*BELOW, "runs"},
    "cli": {*BELOW, "runs", "serve", "bench", "audits"},
    "testing": {*BELOW, "runs"},
}
#: what `models` and all others may know of the zoo; the rest of it trains and measures models, and stands above them
ZOO = re.compile(r"zoo/(__init__\.py|catalog\.py|data/.+)")
#: the modules and folders of the rest
ABOVE = {path.stem for path in (SOURCE / "zoo").iterdir()} - {"__init__", "__pycache__", "catalog", "data", "weights"}
ZOO_ABOVE = re.compile(rf"chiasm\.zoo\.({'|'.join(sorted(ABOVE))})\b")
#: rooms that may import torch and transformers; everything else must work without them
TORCH = {"models", "explainers", "zoo", "zoo above"}
#: what core may import besides the standard library
CORE = {"numpy"}
#: files of core that may import more: the exchange format of a library is that library's
MORE = {"core/exchange.py": {"shapiq"}}
#: names the views as text, "chiasm.view.html:write_html", so that `Explanation.to_html` finds them by name
NAMES_VIEWS = "core/registry.py"
#: text that names a module, and an attribute of it or not: "chiasm.view.html:write_html"
NAME = re.compile(r"chiasm\.(\w+)(?:\.\w+)*(?::[\w.]*)?")
#: functions that import what they are told
IMPORTERS = {"import_module", "__import__", "find_spec"}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """Lines and modules that a file imports anywhere, inside functions too; imports for types only are left out.

    ``from chiasm import X`` imports the room X or the home of the public name X. Text that names a module of a room
    counts as importing it: that is how registries and ``import_module`` do it.
    """
    tree = ast.parse(source)
    skipped = {id(node) for block in ast.walk(tree) for child in unread(block) for node in ast.walk(child)}
    for node in ast.walk(tree):
        if id(node) not in skipped:
            yield from ((node.lineno, module) for module in modules(node))


def modules(node: ast.AST) -> list[str]:
    """The modules that one node of a syntax tree imports."""
    match node:
        case ast.Import(names=names):
            return [alias.name for alias in names]
        case ast.ImportFrom():
            return from_where(node)
        case ast.Call(func=function, args=[ast.Constant(value=str(text)), *_]) if name(function) in IMPORTERS:
            return [text]
        case ast.Constant(value=str(text)) if (found := NAME.fullmatch(text)) and found[1] in ALLOWED:
            return [text]
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]) if text.startswith("chiasm."):
            return ["chiasm.<computed>" if text == "chiasm." else f"{text}<computed>"]
    return []


def from_where(node: ast.ImportFrom) -> list[str]:
    """The modules behind ``from … import …``; an imported name may be a module itself."""
    module = "." * node.level + (node.module or "")
    if module == "chiasm":
        return [home(alias.name) for alias in node.names if alias.name != "__version__"]
    return [f"{module}.{alias.name}" for alias in node.names] if module.startswith("chiasm.") else [module]


def unread(node: ast.AST) -> list[ast.stmt]:
    """Statements that import nothing in a running program: those for types only, and docstrings."""
    match node:
        case ast.If(test=test, body=body) if name(test) == "TYPE_CHECKING":
            return body
        case ast.Expr(value=ast.Constant()):
            return [node]
    return []


def name(node: ast.AST) -> str:
    """``x`` of ``x`` and of ``a.b.x``."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def home(public: str) -> str:
    """The module behind ``from chiasm import public``."""
    return chiasm._WHERE.get(public, f"chiasm.{public}")


def room_of(path: str) -> str:
    """The room that a file belongs to."""
    room = path.partition("/")[0]
    return "zoo above" if room == "zoo" and not ZOO.fullmatch(path) else room


def wrong(path: str, source: str) -> list[str]:
    """What a file of the package imports and may not."""
    room = room_of(path)
    found = []
    for line, module in imports(source):
        head, other, *_ = [*re.split("[.:]", module), ""]
        if path == NAMES_VIEWS and other == "view" and ":" in module:
            fine = True
        elif head == "chiasm":  # `import chiasm` alone reaches every room
            fine = other in ALLOWED[room] | {room} and (room == "zoo above" or not ZOO_ABOVE.match(module))
        elif head in {"torch", "transformers"}:
            fine = room in TORCH
        else:
            fine = bool(head) and (room != "core" or head in sys.stdlib_module_names | CORE | MORE.get(path, set()))
        if not fine:
            found.append(f"{path}:{line}: {module}")
    return list(dict.fromkeys(found))


def files() -> list[Path]:
    return sorted(path for path in SOURCE.rglob("*.py") if path.parent != SOURCE)


def test_every_room_has_a_rule():
    assert {room_of(path.relative_to(SOURCE).as_posix()) for path in files()} == set(ALLOWED)


def test_nothing_lives_beside_the_rooms():
    """`chiasm/__init__.py` names what is public, `__main__.py` is ``python -m chiasm``; nothing else may hide there."""
    assert sorted(path.name for path in SOURCE.glob("*.py")) == ["__init__.py", "__main__.py"]


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(SOURCE)))
def test_import_order(path):
    assert wrong(path.relative_to(SOURCE).as_posix(), path.read_text(encoding="utf-8")) == []


REFUSED = {
    "from chiasm.models.hub import load": "estimators/x.py",
    "import chiasm.models.hub": "estimators/x.py",
    "import chiasm": "estimators/x.py",
    "import chiasm as cx": "view/x.py",
    "from chiasm import models": "estimators/x.py",
    "from chiasm import core, models": "zoo/data/x.py",
    "from chiasm import load": "estimators/x.py",
    "from chiasm.zoo.recipes.llava import plan": "zoo/data/x.py",
    "from chiasm.zoo.evaluate import main": "cli/x.py",
    "from chiasm.models.base import Adapter": "zoo/catalog.py",
    "from chiasm.zoo import evaluate": "cli/x.py",
    "from chiasm.zoo import recipes": "models/x.py",
    "from chiasm.zoo import accuracy": "zoo/data/x.py",
    "import_module(f'chiasm.models.{x}')": "core/x.py",
    "def f():\n    from chiasm.cli.main import app": "explainers/x.py",
    "from . import game": "core/x.py",
    "from .game import Game": "core/x.py",
    "import importlib\nimportlib.import_module('chiasm.models.hub')": "core/x.py",
    "from importlib import import_module\nimport_module('torch')": "estimators/x.py",
    "__import__('torch')": "view/x.py",
    "things.register('a', 'chiasm.view.html:write_html')": "estimators/__init__.py",
    "_WHERE = {'a': 'chiasm.models.hub'}": "core/x.py",
    "views.register('a', 'chiasm.cli.main:app')": "core/registry.py",
    "from chiasm.view.html import write_html": "core/registry.py",
    "import_module('chiasm.view.html')": "core/registry.py",
    "views.register('b', 'chiasm.view.html:write_html')": "core/game.py",
    "import_module(f'chiasm.{room}')": "core/x.py",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    pass\nelse:\n    import torch": "estimators/x.py",
    "import torch": "estimators/x.py",
    "def f():\n    import torch": "estimators/x.py",
    "from torch import nn": "core/x.py",
    "import transformers": "modalities/x.py",
    "import scipy": "core/x.py",
    "def f():\n    from PIL import Image": "core/x.py",
    "import shapiq": "core/game.py",
}
MAY = {
    "from chiasm.core.game import Game": "estimators/x.py",
    "from chiasm import core, Game, __version__": "estimators/x.py",
    "from chiasm import load, explain": "cli/x.py",
    "things.register('a', 'chiasm.estimators.exact:EXACT')": "estimators/__init__.py",
    "Registry('estimator', 'chiasm.estimators')": "estimators/__init__.py",
    "views.register('a', 'chiasm.view.html:write_html')": "core/registry.py",
    "SCHEMA = 'chiasm.explanation'": "core/storage.py",
    "'''chiasm.models.hub'''": "core/x.py",
    "import typing\nif typing.TYPE_CHECKING:\n    from chiasm.estimators.base import Estimator": "core/x.py",
    "import os.path, numpy.typing\nfrom collections.abc import Iterator": "core/x.py",
    "def f():\n    import shapiq": "core/exchange.py",
    "import scipy, shapiq": "estimators/x.py",
    "import torch": "models/x.py",
    "from chiasm.models import compat\nfrom chiasm.zoo.recipes.llava import plan": "zoo/x.py",
    "from chiasm.zoo.catalog import path\nfrom chiasm.zoo.data.scenes import SIDE": "cli/x.py",
}


@pytest.mark.parametrize(("source", "path"), REFUSED.items(), ids=list(REFUSED))
def test_the_rule_refuses(source, path):
    assert len(wrong(path, source)) == 1


@pytest.mark.parametrize(("source", "path"), MAY.items(), ids=list(MAY))
def test_the_rule_allows(source, path):
    assert wrong(path, source) == []
