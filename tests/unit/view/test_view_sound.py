"""Sounds on the page: every player is there once, the sound can be heard, figures fall back to bars."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from scipy.io import wavfile

from chiasm.core.explanation import Explanation
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.modalities.audio import AUDIO, RATE
from chiasm.modalities.base import Context
from chiasm.view.figure import write_picture
from chiasm.view.html import write_html


def told(segmenter, seconds=1.0):
    sound = (0.5 * np.sin(np.arange(round(RATE * seconds)) / 6)).astype(np.float32)
    players = AUDIO.segment("audio", sound, segmenter, Context())
    values = np.linspace(-1, 1, len(players))
    return Explanation(Players([players]), values, Provenance("m", "SV", versions={}, created="")), sound


@pytest.mark.parametrize(("segmenter", "tag"), [("segments:6", "rect"), ("cells:2x3", "path")])
def test_every_player_is_drawn_once_with_its_value(segmenter, tag, tmp_path):
    explanation, _ = told(segmenter)
    page = write_html(explanation, tmp_path / "a.html").read_text(encoding="utf-8")
    drawn = re.findall(rf'<{tag} class="player" data-part="audio" data-index="(\d)"[^>]*data-value="([^"]+)"', page)
    assert [int(index) for index, _ in drawn] == list(range(6))
    assert [float(value) for _, value in drawn] == pytest.approx(explanation.single)


def test_the_page_plays_the_sound_itself(tmp_path):
    explanation, sound = told("segments:4")
    page = write_html(explanation, tmp_path / "a.html").read_text(encoding="utf-8")
    (data,) = re.findall(r'src="data:audio/wav;base64,([^"]+)"', page)
    rate, heard = wavfile.read(io.BytesIO(base64.b64decode(data)))
    assert rate == RATE
    assert heard / 32767 == pytest.approx(sound, abs=1e-4)
    assert "media-src data:" in page


def test_long_sounds_are_drawn_and_not_held(tmp_path):
    page = write_html(told("segments:4", 31)[0], tmp_path / "a.html").read_text(encoding="utf-8")
    assert "<audio" not in page
    assert "Longer than 30 seconds" in page
    assert len(page) < 400_000


def test_figures_have_bars(tmp_path):
    assert write_picture(told("segments:4")[0], tmp_path / "a.png").stat().st_size > 5000
