import numpy as np
import pytest

import chiasm as cx
from chiasm.core.errors import InvalidInput
from chiasm.metrics.baselines import over_baselines

PICTURE = np.zeros((8, 8, 3), np.uint8)
PICTURE[:4, :4] = 250


def brightness(image, text):
    return float(image.mean()) / 100 + 0.1 * len(text.split())


def test_a_baseline_that_shows_what_it_hides_has_another_score():
    """Where black is the baseline the white patch is all; where it is white the three black ones are."""
    model = cx.FunctionModel(brightness, kinds=("image", "text"), batch=False)
    sample = cx.Sample(image=PICTURE, text="two words")
    one = cx.explain(model, sample, method="exact", players="grid:2x2,words", maskers="zero,delete")
    baselines = {
        name: {"image": masker, "text": "delete"}
        for name, masker in {"black": "zero", "white": "constant:250,250,250"}.items()
    }
    found = over_baselines(model, sample, one, baselines, metrics=["insertion", "fidelity"], players="grid:2x2,words")
    assert found.values("exact SII", "fidelity")["black"] == pytest.approx(1)
    assert found.values("exact SII", "fidelity")["white"] < 0.5
    assert found.spread("exact SII", "insertion") > 0.1
    assert -1 <= found.rank_agreement("insertion") <= 1
    same = over_baselines(model, sample, one, {"a": baselines["black"], "b": baselines["black"]}, metrics=["insertion"])
    assert same.spread("exact SII", "insertion") == 0
    assert same.rank_agreement("insertion") == pytest.approx(1)
    with pytest.raises(InvalidInput, match="two baselines"):
        over_baselines(model, sample, one, {"black": "zero,delete"})
