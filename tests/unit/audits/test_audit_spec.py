"""Audits from YAML and the command line, and the pages of the samples behind their findings."""

from __future__ import annotations

import re

import pytest
import yaml
from typer.testing import CliRunner

import chiasm as cx
from chiasm.audits.pages import telling, write_pages
from chiasm.audits.record import Plan
from chiasm.audits.spec import AuditSpec
from chiasm.cli.main import app
from chiasm.core.errors import InvalidInput

RUNNER = CliRunner()


def test_a_file_and_the_command_line_are_one_description(tmp_path):
    spec = {"model": "zoo:prior-shortcut", "data": "prior", "samples": 30, "by": "type", "fail_if": "accuracy<0.1"}
    (tmp_path / "audit.yaml").write_text(yaml.safe_dump(spec))
    command = ["audit", "--spec", str(tmp_path / "audit.yaml"), "-n", "12", "-o", str(tmp_path / "a.json"), "--quiet"]
    found = RUNNER.invoke(app, command, env={"COLUMNS": "300"})
    assert found.exit_code == 0, found.output
    assert "ok: accuracy<0.1" in found.output
    written = yaml.safe_load((tmp_path / "a.json").read_text())
    assert written["samples"] == 12


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"model": "m"}, "data is missing"),
        ({"model": "m", "data": "d", "sample": 3}, "there is no field 'sample', did you mean 'samples'"),
        ({"model": "m", "data": "d", "budget": -1}, "budget: Input should be greater than or equal to 0"),
    ],
)
def test_mistakes_are_told(fields, says):
    with pytest.raises(InvalidInput, match=says):
        AuditSpec.parse(fields, "it")
    with pytest.raises(InvalidInput, match="leave base_url out"):
        _ = AuditSpec.parse({"model": "zoo:x", "data": "d", "base_url": "http://x"}, "it").model_options


def test_the_samples_behind_the_findings_have_pages_and_the_report_links_them(tmp_path):
    model = cx.FunctionModel(
        lambda batch: [float(("cat" in s["text"]) * ("hat" in s["text2"])) for s in batch], ("text",)
    )
    words = ["a cat", "a dog"]
    data = [
        cx.Sample(text=words[k % 2], text2=["hat", "coat"][k // 2 % 2], tags={"kind": words[k % 2]}, id=f"s{k}")
        for k in range(48)
    ]
    found = cx.audit(model, data, folder=tmp_path / "run", plan=Plan(), replicates=300)
    names = telling(found, 3)
    assert len(names) == len(set(names)) == 3
    pages = write_pages(found, model, data, Plan(), tmp_path / "a-samples", most=3)
    assert list(pages) == names
    from chiasm.audits.report import write

    page = write(found, tmp_path / "a.html", pages).read_text(encoding="utf-8")
    links = re.findall(r'<a href="(a-samples/[^"]+)"><bdi>([^<]+)', page)
    assert {name for _, name in links} == set(names)
    for href, _ in links:
        assert "What mattered" in (tmp_path / href).read_text(encoding="utf-8")
