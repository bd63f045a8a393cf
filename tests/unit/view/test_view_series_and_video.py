"""Series and videos on the page: every player has its value wherever it is drawn, figures fall back to bars."""

from __future__ import annotations

import re

import numpy as np
import pytest

from chiasm.core.explanation import Explanation
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.modalities import modalities
from chiasm.modalities.base import Context
from chiasm.view.figure import write_picture
from chiasm.view.html import write_html

CONTENTS = {
    "series": {"<b>a</b>": np.sin(np.arange(3000) / 40), "b": np.zeros(3000)},
    "video": np.random.default_rng(0).integers(0, 256, (20, 12, 16, 3), dtype=np.uint8),
}


def told(kind, segmenter):
    modality = modalities.get(kind)
    players = modality.segment(kind, modality.read(CONTENTS[kind]), segmenter, Context())
    values = np.linspace(-1, 1, len(players))
    return Explanation(Players([players]), values, Provenance("m", "SV", versions={}, created=""))


@pytest.mark.parametrize(
    ("kind", "segmenter", "drawn"),
    [
        ("series", "segments:5", 10),
        ("series", "channels", 2),
        ("series", "cells:4", 8),
        ("video", "frames:4", 16),
        ("video", "frames:2+grid:2x2", 64),
    ],
)
def test_every_player_has_its_value_wherever_it_is_drawn(kind, segmenter, drawn, tmp_path):
    explanation = told(kind, segmenter)
    page = write_html(explanation, tmp_path / "a.html").read_text(encoding="utf-8")
    found = re.findall(rf'class="player" data-part="{kind}" data-index="(\d+)"[^>]*data-value="([^"]+)"', page)
    assert len(found) == drawn
    assert {int(index) for index, _ in found} == set(range(len(explanation.single)))
    assert all(float(value) == pytest.approx(explanation.single[int(index)]) for index, value in found)
    assert "<b>a</b>" not in page
    assert len(page) < 500_000
    assert write_picture(explanation, tmp_path / "a.png").stat().st_size > 5000
