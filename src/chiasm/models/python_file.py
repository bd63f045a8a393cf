"""Models that a Python file holds, by name: ``python:FILE.py:NAME``."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.models.base import Adapter
from chiasm.models.function import FunctionModel

#: how such names begin
PREFIX = "python:"


def load_python(name: str, **options: Any) -> Adapter:
    """A function, or an adapter, from a Python file; the file is run, as ``python FILE.py`` runs it.

    Args:
        name: ``"python:FILE.py:NAME"``. What the file calls ``NAME`` is a function from samples to numbers, as
            `chiasm.FunctionModel` takes it, a ``FunctionModel`` or another adapter.
        **options: none; such a model is made as the file makes it.

    Returns:
        The model under the name that was given, so that other processes find it too.

    Raises:
        InvalidInput: not of that form, no such file, an option, or ``NAME`` is nothing that can be called.
        UnknownName: the file has nothing of that name.
    """
    path, colon, attribute = name.removeprefix(PREFIX).rpartition(":")
    if not colon or not path.endswith(".py") or not attribute.isidentifier():
        raise InvalidInput(f"{name!r} names no function of a file; write 'python:FILE.py:NAME'.")
    if options:
        raise InvalidInput(f"{name!r} takes no option {', '.join(options)}: its file makes the model; leave it out.")
    file = Path(path).expanduser().resolve()
    if not file.is_file():
        raise InvalidInput(f"There is no file {path!r}; write 'python:FILE.py:NAME'.")
    module = _run(file)
    found = getattr(module, attribute, None)
    if found is None:
        raise UnknownName(f"name in {path!r}", attribute, [one for one in vars(module) if not one.startswith("_")])
    if not isinstance(found, Adapter):
        if not callable(found):
            raise InvalidInput(
                f"{attribute!r} in {path!r} is {found!r}; it must be a function from samples to numbers."
            )
        found = FunctionModel(found)
    found.name = name
    return found


def _run(file: Path) -> Any:
    """The module that a file is; run once, and again when the file has changed."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
    name = f"chiasm_file_{file.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise InvalidInput(f"{str(file)!r} cannot be run as Python.")
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))  # as Python does: what lies beside a file can be imported by it
    module = importlib.util.module_from_spec(spec)
    with contextlib.ExitStack() as half:  # a file that fails leaves no half of a module behind
        sys.modules[name] = module
        half.callback(sys.modules.pop, name)
        spec.loader.exec_module(module)
        half.pop_all()
    return module
