"""The main job on real models and real pixels: the shipped model, a photograph, and a checkpoint made elsewhere."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import chiasm as cx
from chiasm.zoo import catalog

ROOT = Path(__file__).parents[2]
SCENE = ROOT / "examples" / "scene.png"
CHIASM = Path(sys.executable).parent / "chiasm"


def chiasm(*arguments: str, cwd: Path) -> str:
    result = subprocess.run([CHIASM, *arguments], cwd=cwd, capture_output=True, text=True, check=False, timeout=300)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def model():
    return cx.load("zoo:llava-shapes")


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A photograph that ships with scikit-image."""
    from skimage import data

    path = tmp_path_factory.mktemp("photo") / "astronaut.jpg"
    Image.fromarray(data.astronaut()).save(path)
    return path


def test_demo_command(tmp_path):
    said = chiasm(
        "explain", "--model", "zoo:llava-shapes", "--image", str(SCENE), "--text", "What colour is the star?",
        "--players", "grid:4x4,words", "--budget", "512", "--out", "demo.html", "--out", "demo.json", cwd=tmp_path,
    )  # fmt: skip
    assert "purple" in said
    assert "purple" in (tmp_path / "demo.html").read_text()
    saved = json.loads((tmp_path / "demo.json").read_text())
    assert saved["prediction"]["answer"] == "purple"
    assert saved["provenance"]["computed"] <= 512


def test_photograph(model, photograph):
    e = cx.explain(
        model, cx.Sample(image=photograph, text="What colour is the circle?"), players="grid:3x3,words", budget=400
    )
    assert e.players["image"].content.shape == (128, 128, 3)
    assert e.prediction is not None
    assert e.prediction.answer
    assert np.isfinite(e.single).all()
    assert not any("unknown to the tokenizer" in note for note in e.provenance.notes)
    odd = cx.explain(model, cx.Sample(image=photograph, text="Who is it?"), players="grid:2x2,words", method="exact")
    assert any("'Who'" in note and "unknown to the tokenizer" in note for note in odd.provenance.notes)
    assert e.full == pytest.approx(np.log(e.prediction.probability), abs=1e-4)


def test_checkpoint_saved_by_plain_transformers(model, tmp_path):
    """A checkpoint elsewhere, saved without Chiasm, gives the same explanation by the same path."""
    code = (
        "import sys; from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        "a, b = sys.argv[1:]\n"
        "AutoModelForImageTextToText.from_pretrained(a).save_pretrained(b)\n"
        "AutoProcessor.from_pretrained(a).save_pretrained(b)\n"
        "assert 'chiasm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code, catalog.path("llava-shapes"), tmp_path], check=True, timeout=300)
    sample = cx.Sample(image=SCENE, text="What colour is the star?")
    ours = cx.explain(model, sample, players="grid:2x2,words", method="exact")
    theirs = cx.explain(cx.load(str(tmp_path)), sample, players="grid:2x2,words", method="exact")
    np.testing.assert_allclose(theirs.pair, ours.pair, atol=1e-5)
    assert theirs.prediction.answer == ours.prediction.answer == "purple"


def test_explanation_finds_what_was_planted(model):
    """The star decides its own colour: its patches lead, and the word "star" works with them."""
    from chiasm.modalities import modalities
    from chiasm.models.games import make_game

    truth = {"image": [[80.5, 90.4, 149.5, 155.9]], "text": [[19, 23]]}
    sample = cx.Sample(image=SCENE, text="What colour is the star?", truth=truth)
    target = cx.Target("probability")
    match = make_game(model, sample, players="grid:3x3,words", target=target)
    e = cx.explain(model, sample, players="grid:3x3,words", target=target, budget=512)
    placement = match.prepared.contexts["image"].placement
    on = modalities.get("image").overlap(e.players["image"], sample.truth["image"], placement)
    assert e.values["image"].argmax() == on.argmax()
    strongest = e.top_pairs(1)[0]
    assert strongest.players == (("image", on.argmax()), ("text", 4))
    assert strongest.value > 3 * strongest.error > 0
    assert abs(e.efficiency_gap) < 0.02 * (e.full - e.empty)  # a surrogate: close, not by construction


def test_fixed_text_leaves_only_image_players(model):
    sample = cx.Sample(image=SCENE, text="What colour is the star?")
    e = cx.explain(model, sample, players="grid:2x2,words", fixed={"text": True}, method="exact")
    assert len(e.players) == 4
    assert e.full == pytest.approx(np.log(e.prediction.probability), abs=1e-4)


def test_doctor_on_the_shipped_model(tmp_path):
    assert "0 failed" in chiasm("doctor", "zoo:llava-shapes", cwd=tmp_path)
