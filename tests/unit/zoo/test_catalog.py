"""The catalogue finds models, notices changed files, and the evaluation measures what it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from chiasm.core.errors import InvalidInput, ModelError, UnknownName
from chiasm.zoo import catalog, evaluate, llava_shapes, shapes

NAME = "llava-shapes"


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / NAME
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "config.json").write_text("{}")
    (folder / "README.md").write_text("card")
    catalog.record(tmp_path)
    return tmp_path


def test_whole_files_pass(root):
    catalog.verify(NAME, root)
    assert catalog.path(NAME, root) == root / NAME


@pytest.mark.parametrize("change", ["changed", "removed", "added"])
def test_files_unlike_the_release_fail_by_name(root, change):
    file = root / NAME / ("tokenizer.json" if change == "added" else "config.json")
    file.unlink() if change == "removed" else file.write_text("[]")
    with pytest.raises(ModelError, match=file.name):
        catalog.verify(NAME, root)


def test_a_changed_weight_file_fails(root):
    (root / NAME / "model.safetensors").write_bytes(b"weightz")
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        catalog.verify(NAME, root)


def test_the_card_may_change(root):
    (root / NAME / "README.md").write_text("better card")
    catalog.verify(NAME, root)


def test_missing_things_are_named(root, tmp_path):
    with pytest.raises(UnknownName, match="llava-shapes"):
        catalog.path("llava-shape", root)
    with pytest.raises(ModelError, match=r"chiasm\.zoo\.train"):
        catalog.path(NAME, tmp_path / "nowhere")
    (root / catalog.CHECKSUMS).unlink()
    with pytest.raises(ModelError, match="--write"):
        catalog.verify(NAME, root)


def test_the_models_that_ship_are_whole():
    catalog.verify(NAME)


def test_calibration_error_by_hand():
    confidence = np.array([0.9, 0.9, 0.9, 0.9, 0.3])
    right = np.array([True, True, True, False, False])
    assert evaluate.calibration_error(confidence, right) == pytest.approx((abs(3.6 - 3) + 0.3) / 5)
    assert evaluate.calibration_error(np.ones(3), np.ones(3, dtype=bool)) == 0


def test_the_asked_fraction_is_hidden():
    picture = shapes.samples(1, 0)[0]["image"].data
    masked = np.asarray(evaluate.hide_image(picture, 0.5, np.random.default_rng(0)))
    cells = (masked.reshape(4, 64, 4, 64, 3).std(axis=(1, 3)).max(axis=-1) == 0).sum()
    assert cells == 8
    assert evaluate.hide_text("Is there a star?", 0.5, np.random.default_rng(0)).count("<mask>") == 2
    assert evaluate.hide_text("Is there a star?", 1.0, np.random.default_rng(0)) == "<mask> <mask> <mask> <mask>"


def test_an_untrained_model_scores_low_and_the_card_takes_the_table(tmp_path):
    torch.manual_seed(0)
    model = llava_shapes.build(width=32, tower_layers=1, layers=1, heads=2).eval()
    rows = evaluate.evaluate(model, llava_shapes.processor(), shapes.samples(12, 2))
    assert [row.name for row in rows][:2] == ["nothing hidden", "25% of the image"]
    assert rows[0].accuracy["all"] < 0.5
    assert 0 <= rows[0].calibration_error <= 1
    card = tmp_path / "README.md"
    card.write_text((catalog.WEIGHTS / NAME / "README.md").read_text())
    for _ in range(2):  # a second time replaces the first
        evaluate.write_card(card, evaluate.table(rows))
    assert card.read_text().count("nothing hidden") == 1
    assert "## Licence" in card.read_text()
    card.write_text("no marks")
    with pytest.raises(InvalidInput, match="accuracy"):
        evaluate.write_card(card, "")


def test_nothing_to_evaluate_is_an_error():
    with pytest.raises(InvalidInput, match="samples"):
        evaluate.evaluate(None, None, [])
