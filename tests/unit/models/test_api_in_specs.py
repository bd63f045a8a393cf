"""A model behind an API in a benchmark's spec and in an audit."""

from __future__ import annotations

import json

import pytest
import yaml
from api_help import Toy
from typer.testing import CliRunner

import chiasm as cx
from chiasm.cli.main import app

RUNNER = CliRunner()


@pytest.fixture
def toy():
    made = Toy({"What": 1.0, "image?": -0.7, "colour": 0.6, "many": 0.8, "yellow": -1.2})
    yield made
    made.close()


def test_a_benchmark_asks_an_api_and_pays_once(toy, tmp_path):
    options = {"base_url": toy.url, "reading": "first", "cache": str(tmp_path / "answers"), "check": False}
    spec = {
        "name": "remote",
        "models": [{"load": "openai:toy", "name": "toy", "options": options}],
        "datasets": [{"load": "zoo:shapes", "name": "shapes", "n": 1}],
        "explainers": ["occlusion"],
        "metrics": ["srg"],
        "players": "grid:2x2,words",
        "scale": "probability",
    }
    file = tmp_path / "remote.yaml"
    file.write_text(yaml.safe_dump(spec))
    ran = RUNNER.invoke(app, ["bench", "run", str(file), "--out", str(tmp_path / "run")])
    assert ran.exit_code == 0, ran.output
    sent = [json.dumps(body) for body in toy.bodies]
    assert len(sent) == len(set(sent))
    again = RUNNER.invoke(app, ["bench", "run", str(file), "--out", str(tmp_path / "other")])
    assert again.exit_code == 0, again.output
    assert len(toy.bodies) == len(sent), "another run finds every answer remembered"


def test_an_audit_asks_an_api(toy, tmp_path):
    options = {"base_url": toy.url, "reading": "first", "cache": False, "check": False}
    data = [cx.Sample(image=sample["image"].data, text=sample["text"].data, id=f"s{k}", answer="red")
            for k, sample in enumerate(cx.dataset("shapes", n=3, seed=1))]  # fmt: skip
    found = cx.audit("openai:toy", data, folder=tmp_path / "audit", model_options=options, replicates=100)
    assert toy.bodies
    assert len(found.cells) == 3
    assert found.failed.empty
