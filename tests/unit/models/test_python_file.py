"""Models that a Python file holds: found by name, run once, and refused in words."""

from __future__ import annotations

import sys

import pytest

import chiasm as cx
from chiasm.core.errors import InvalidInput, UnknownName

FILE = """
from dataclasses import dataclass
import chiasm as cx
import beside

RUNS = beside.RUNS
RUNS.append(1)

@dataclass
class Length:
    times: "float"

    def __call__(self, samples):
        return [self.times * len(s["text"]) for s in samples]

def length(samples):
    return Length(2.0)(samples)

model = cx.FunctionModel(Length(3.0), ["text"], fingerprint="three")
number = 7
"""


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "beside.py").write_text("RUNS = []\n")
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    yield path
    for name in [name for name in sys.modules if name == "beside" or name.startswith("chiasm_file_")]:
        del sys.modules[name]


def test_functions_and_models_of_a_file_are_loaded(file):
    model = cx.load(f"python:{file}:length")
    e = cx.explain(model, cx.Sample(text="ab cd"), method="exact")
    assert (e.full, e.empty) == (10.0, 0.0)
    assert e.provenance.model == f"python:{file}:length"
    other = cx.load(f"python:{file}:model")
    assert (other.name, other.fingerprint) == (f"python:{file}:model", "three")
    assert sys.modules["beside"].RUNS == [1]


def test_a_file_that_has_changed_is_run_again(file):
    cx.load(f"python:{file}:length")
    file.write_text(FILE.replace("Length(2.0)", "Length(5.0)"))
    e = cx.explain(cx.load(f"python:{file}:length"), cx.Sample(text="ab"), method="exact")
    assert e.full == 10.0


def test_what_a_file_raises_comes_out_and_leaves_nothing(file):
    file.write_text("x = 1 / 0\n")
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            cx.load(f"python:{file}:x")


def test_what_cannot_be_loaded_is_refused_in_words(file):
    with pytest.raises(UnknownName, match=r"Unknown name in .*mine.py' 'lenght'. Did you mean 'length'"):
        cx.load(f"python:{file}:lenght")
    with pytest.raises(InvalidInput, match=r"'number' in .* is 7; it must be a function"):
        cx.load(f"python:{file}:number")
    with pytest.raises(InvalidInput, match=r"There is no file 'nothing.py'"):
        cx.load("python:nothing.py:f")
    for name in ("python:mine.py", "python:mine:f", "python::f", f"python:{file}:a-b"):
        with pytest.raises(InvalidInput, match=r"write 'python:FILE.py:NAME'"):
            cx.load(name)
    with pytest.raises(InvalidInput, match="takes no option device"):
        cx.load(f"python:{file}:length", device="cpu")
