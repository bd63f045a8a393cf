"""House rules of the package that a linter does not know (CONTRIBUTING)."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import chiasm

SOURCE = Path(chiasm.__file__).parent
LONGEST_MODULE = 400
LONGEST_FUNCTION = 60
#: rooms that may name kinds of parts; everything else works on parts and slices
KINDS_NAMED = {"modalities", "models", "zoo", "view", "cli", "testing"}
KINDS = {"image", "text"}
BROAD = {"Exception", "BaseException"}
#: where anything may be caught, because it is raised again after half-written files are cleared away
CLEANS_UP = "core/storage.py"
#: tokenizers raises ``Exception`` itself for a file that it cannot parse; it is turned into a typed error at once
TYPED_AT_ONCE = "models/compat.py"

Offences = Iterator[tuple[int, str]]
Rule = Callable[[str, str], Offences]


def long_module(path: str, source: str) -> Offences:
    """Modules of more lines than are read at once."""
    lines = len(source.splitlines())
    if lines > LONGEST_MODULE:
        yield 1, f"{lines} lines; at most {LONGEST_MODULE}"


def long_function(path: str, source: str) -> Offences:
    """Functions of more lines than are read at once, their docstrings not counted."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node) is not None else 0
            lines = node.end_lineno - node.lineno + 1 - docstring
            if lines > LONGEST_FUNCTION:
                yield node.lineno, f"{node.name} has {lines} lines without its docstring; at most {LONGEST_FUNCTION}"


def named_kind(path: str, source: str) -> Offences:
    """Code that knows images or texts where it should work on parts."""
    if path.partition("/")[0] in KINDS_NAMED:
        return
    tree = ast.parse(source)
    remarks = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings among them
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in remarks and node.value in KINDS:
            yield node.lineno, f"names {node.value!r}"


def broad_except(path: str, source: str) -> Offences:
    """Errors that are caught whatever they are."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ExceptHandler):
            broad = node.type is None or names(node.type) & BROAD
            raised_again = isinstance(node.body[-1], ast.Raise) and node.body[-1].exc is None
            typed = isinstance(node.body[-1], ast.Raise) and isinstance(node.body[-1].exc, ast.Call)
            if broad and not (path == CLEANS_UP and raised_again) and not (path == TYPED_AT_ONCE and typed):
                yield node.lineno, "catches everything"
        elif isinstance(node, ast.Call) and "suppress" in names(node.func) and names(*node.args) & BROAD:
            yield node.lineno, "suppresses everything"


def names(*nodes: ast.expr) -> set[str]:
    """Names in expressions: ``{"Exception", "OSError"}`` among those of ``(Exception, builtins.OSError)``."""
    return {getattr(n, "id", None) or getattr(n, "attr", "") for node in nodes for n in ast.walk(node)}


def assertion(path: str, source: str) -> Offences:
    """Checks that ``python -O`` leaves out."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert: raise a typed error"


RULES: list[Rule] = [long_module, long_function, named_kind, broad_except, assertion]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    found = []
    for file in sorted(SOURCE.rglob("*.py")):
        path = file.relative_to(SOURCE).as_posix()
        found += [f"{path}:{line}: {what}" for line, what in rule(path, file.read_text(encoding="utf-8"))]
    assert found == [], "\n".join([f"{rule.__doc__}", *found])


LINE = "    x = 1\n"
CATCH = "try:\n    f()\nexcept {}:\n    g()\n"
BROKEN = [
    (long_module, "core/x.py", "x = 1\n" * 401),
    (long_function, "core/x.py", "def f():\n" + LINE * 60),
    (long_function, "core/x.py", "class A:\n    async def f():\n" + f"    {LINE}" * 60),
    (named_kind, "core/x.py", "x = parts['image']"),
    (named_kind, "explainers/x.py", "def f(x):\n    return x == 'text'"),
    (named_kind, "__init__.py", "x = {'text': 1}"),
    (broad_except, "core/x.py", "try:\n    f()\nexcept:\n    pass"),
    (broad_except, "core/x.py", CATCH.format("Exception as error") + "    raise ValueError from error"),
    (broad_except, "core/x.py", CATCH.format("(OSError, builtins.BaseException)")),
    (broad_except, "core/x.py", CATCH.format("BaseException") + "    raise"),
    (broad_except, "core/storage.py", CATCH.format("BaseException")),
    (broad_except, "core/x.py", "with contextlib.suppress(Exception):\n    f()"),
    (assertion, "core/x.py", "def f(x):\n    assert x"),
]
KEPT = [
    (long_module, "core/x.py", "x = 1\n" * 400),
    (long_function, "core/x.py", "def f():\n    '''" + "\n" * 30 + "'''\n" + LINE * 59),
    (named_kind, "core/x.py", "def f():\n    '''image'''\n    return 'images'"),
    (named_kind, "modalities/x.py", "x = 'image'"),
    (broad_except, "core/x.py", CATCH.format("OSError")),
    (broad_except, "core/storage.py", CATCH.format("BaseException") + "    raise"),
    (assertion, "core/x.py", "if not x:\n    raise ValueError"),
]


def named(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize(("rule", "path", "source"), BROKEN, ids=named)
def test_a_broken_rule_is_seen(rule, path, source):
    assert len(list(rule(path, source))) == 1


@pytest.mark.parametrize(("rule", "path", "source"), KEPT, ids=named)
def test_a_kept_rule_is_not_reported(rule, path, source):
    assert list(rule(path, source)) == []
