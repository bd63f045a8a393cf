"""A real server of somebody else's: ``transformers serve`` with a model of the zoo. It gives text and nothing more."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

import chiasm as cx
from chiasm.core.errors import MissingCapability, ModelError
from chiasm.models.games import make_game
from chiasm.zoo import catalog

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = str(catalog.path("llava-shapes"))
    command = [str(Path(sys.executable).parent / "transformers"), "serve", folder, "--device", "cpu"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--dtype", "float32"]
    process = subprocess.Popen(
        command,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    for _ in range(600):
        try:
            httpx.get(f"http://127.0.0.1:{port}/health", timeout=1)
            break
        except httpx.HTTPError:
            assert process.poll() is None, "transformers serve has ended"
            time.sleep(0.1)
    yield f"http://127.0.0.1:{port}/v1", folder
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def test_a_server_of_text_alone(server):
    url, folder = server
    sample = cx.Sample(image=str(ROOT / "examples" / "scene.png"), text="What colour is the star?")

    def game(reading):
        model = cx.load(f"openai:{folder}", base_url=url, cache=False, reading=reading, retries=1)
        return make_game(model, sample, players="grid:2x2,words")

    match = game("similarity")
    assert match.prediction.answer == "purple"
    assert match.game.full() == 1.0
    assert match.game.empty() < 1.0
    with pytest.raises(MissingCapability, match="samples"):
        game("first")
    with pytest.raises(ModelError, match="prompt_logprobs"):
        game("prompt").game.full()
