"""Sounds: reading, cutting, hiding. What is hidden is gone, what is present is untouched, cells add up."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.io import wavfile

import chiasm as cx
from chiasm.core.errors import InvalidInput, MissingDependency, UnknownName
from chiasm.core.players import Regions
from chiasm.modalities.audio import AUDIO, RATE, AnotherSound, WordSpans
from chiasm.modalities.audio_maskers import FADE
from chiasm.modalities.audio_spectrum import BINS, sound_of, spectrum
from chiasm.modalities.base import Context, Placement


def tone(hertz=440.0, seconds=1.0, rate=RATE):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def cut(content, segmenter="segments:8"):
    return AUDIO.segment("audio", content, segmenter, Context())


def hidden(content, players, *absent, masker="silence"):
    present = ~np.isin(np.arange(len(players)), absent)[None]
    return AUDIO.masker(masker).apply(content, players, present)[0]


# ---- reading


@pytest.mark.parametrize("kind", ["int16", "int32", "uint8", "float32", "float64"])
def test_every_common_wav_reads_alike(tmp_path, kind):
    wanted = tone()
    full = {"int16": 2**15 - 1, "int32": 2**31 - 1, "uint8": 127}.get(kind, 1)
    stored = (wanted.astype(float) * full + (128 if kind == "uint8" else 0)).round() if full > 1 else wanted
    wavfile.write(tmp_path / "a.wav", RATE, np.asarray(stored).astype(kind))
    found = AUDIO.read(tmp_path / "a.wav")
    assert found.dtype == np.float32
    assert found == pytest.approx(wanted, abs=0.01 if kind == "uint8" else 1e-4)


def test_channels_are_averaged_and_rates_brought_to_one():
    left, right = tone(rate=44100), np.zeros_like(tone(rate=44100))
    found = AUDIO.read((np.stack([left, right], axis=1), 44100))
    assert len(found) == pytest.approx(RATE, abs=1)
    assert found[500:-500] == pytest.approx(0.5 * tone()[500 : len(found) - 500], abs=0.01)
    assert AUDIO.read({"array": tone(rate=8000), "sampling_rate": 8000})[500:-500] == pytest.approx(
        tone()[500:-500], abs=0.01
    )
    file = io.BytesIO()
    wavfile.write(file, RATE, tone())
    assert np.array_equal(AUDIO.read({"bytes": file.getvalue(), "path": None}), tone())


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (np.zeros(0), "and not none"),
        (np.array([0.0, np.nan]), "no finite numbers"),
        (np.array([0.0, 3.0]), "reaches 3"),
        (np.zeros((40, 50)), "perhaps array.T"),
        (np.zeros(9, np.int64), "int16, int32"),
        ((np.zeros(9), "fast"), "The rate of the sound is 'fast'"),
        ((np.zeros(9), 8), "The rate of the sound is 8"),
        ("nothing.wav", "There is no file"),
        ({"x": 1}, "needs array and sampling_rate"),
        (b"RIFF0000", "cannot be read as WAV"),
        (b"RIFF", "cannot be read as WAV"),
        (b"", "is empty"),
        ([[0.1, 0.2], [0.3]], "several lengths"),
        (7, "is a int"),
    ],
)
def test_what_is_no_sound_is_refused(data, says):
    with pytest.raises(InvalidInput, match=says):
        AUDIO.read(data)


def test_other_formats_need_a_library(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "soundfile", None)
    (tmp_path / "a.flac").write_bytes(b"fLaC....")
    with pytest.raises(MissingDependency, match=r"chiasm\[audio\]"):
        AUDIO.read(tmp_path / "a.flac")


# ---- cutting


def test_stretches_cover_the_sound_once():
    for segmenter, count in (("segments:7", 7), ("seconds:0.3", 4), ("segments", 8), ("seconds", 4)):
        players = cut(tone(), segmenter)
        bounds = players.geometry.bounds
        assert len(players) == count
        assert (bounds[0, 0], bounds[-1, 1]) == (0, RATE)
        assert (bounds[1:, 0] == bounds[:-1, 1]).all()
        assert len(set(players.labels)) == count


@pytest.mark.parametrize(
    ("segmenter", "wanted"),
    [
        ("seconds:0.25", ("0.00–0.25 s", "0.25–0.50 s", "0.50–0.75 s", "0.75–1.00 s")),
        ("segments:2", ("0.0–0.5 s", "0.5–1.0 s")),
    ],
)
def test_labels_tell_the_times_as_they_are(segmenter, wanted):
    assert cut(tone(), segmenter).labels == wanted


def test_cells_are_a_partition_of_the_spectrogram():
    players = cut(tone(), "cells:4x5")
    assert isinstance(players.geometry, Regions)
    label_map = players.geometry.label_map
    assert label_map.shape == spectrum(tone()).shape
    assert label_map.shape[0] == BINS
    assert set(label_map.ravel()) == set(range(20))
    assert players.labels[0].startswith("0.0–")
    assert players.labels[-1].endswith("0.80–1.00 s")


def test_words_with_their_times():
    players = cut(tone(), WordSpans(["one", "two"], [[0.1, 0.3], [0.5, 0.9]]))
    assert players.geometry.bounds.tolist() == [[1600, 4800], [8000, 14400]]
    assert np.array_equal(hidden(tone(), players, 0, 1)[4800:8000], tone()[4800:8000])


@pytest.mark.parametrize(
    ("segmenter", "error", "says"),
    [
        ("words", UnknownName, "way to cut a sound"),
        ("segments:0", InvalidInput, "no number of 1"),
        ("segments:99999", InvalidInput, "no number of 1"),
        ("seconds:x", InvalidInput, "no number of seconds"),
        ("cells:4", InvalidInput, "cells:4x8"),
        ("cells:300x2", InvalidInput, "finer than a spectrogram"),
        (WordSpans(["a", "b"], [[0, 0.5], [0.4, 0.6]]), InvalidInput, "overlap"),
        (WordSpans(["a"], [[0, 0.5], [0.6, 0.7]]), InvalidInput, "1 words"),
        (3, InvalidInput, "is no way to cut"),
    ],
)
def test_cuts_that_cannot_be_are_refused(segmenter, error, says):
    with pytest.raises(error, match=says):
        cut(tone(), segmenter)


# ---- hiding


@pytest.mark.parametrize("segmenter", ["segments:8", "cells:4x8"])
@pytest.mark.parametrize("masker", ["silence", "noise:3", "mean:3", AnotherSound(tone(100.0))])
def test_all_present_is_the_sound_itself(segmenter, masker):
    players = cut(tone(), segmenter)
    assert np.array_equal(hidden(tone(), players, masker=masker), tone())


def test_a_hidden_stretch_is_silent_but_for_its_fades_and_nothing_else_changes():
    players = cut(tone())
    found, (start, end) = hidden(tone(), players, 3), players.geometry.bounds[3]
    outside = np.ones(RATE, bool)
    outside[start:end] = False
    assert np.array_equal(found[outside], tone()[outside])
    fade = round(FADE * RATE)
    assert (found[start + fade : end - fade] == 0).all()
    assert np.abs(np.diff(found)).max() < 1.05 * np.abs(np.diff(tone())).max()  # no click


def test_neighbours_that_are_hidden_together_leave_no_fade_between_them():
    players = cut(tone())
    found, bounds = hidden(tone(), players, 3, 4), players.geometry.bounds
    fade = round(FADE * RATE)
    assert (found[bounds[3, 0] + fade : bounds[4, 1] - fade] == 0).all()
    assert (hidden(tone(), players, *range(8)) == 0).all()


def test_a_hidden_cell_takes_its_band_and_leaves_the_others():
    low, high = tone(300.0), tone(5000.0)
    content = (low + high) / 2
    players = cut(content, "cells:2x1")
    assert players.labels == ("0.0–1.8 kHz, 0.00–1.00 s", "1.8–8.0 kHz, 0.00–1.00 s")
    inner = slice(1000, -1000)
    assert hidden(content, players, 1)[inner] == pytest.approx(low[inner] / 2, abs=2e-3)
    assert hidden(content, players, 0)[inner] == pytest.approx(high[inner] / 2, abs=2e-3)


def test_the_spectrogram_leads_back():
    content = np.random.default_rng(0).uniform(-1, 1, 3000).astype(np.float32)
    assert sound_of(spectrum(content)[None], 3000)[0] == pytest.approx(content, abs=1e-6)
    assert sound_of(spectrum(content[:100])[None], 100)[0] == pytest.approx(content[:100], abs=1e-6)


def test_noise_is_as_loud_as_the_sound_and_the_same_for_a_seed():
    content, players = tone(), cut(tone(), "segments:1")
    for masker in ("noise", "mean"):
        one, two, other = (hidden(content, players, 0, masker=f"{masker}:{seed}") for seed in (1, 1, 2))
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)
        assert np.sqrt(np.mean(one**2)) == pytest.approx(np.sqrt(np.mean(content**2)), rel=0.05)
    peak = np.abs(np.fft.rfft(hidden(content, players, 0, masker="mean:1"))).argmax()
    assert peak == pytest.approx(440, abs=40)


@pytest.mark.parametrize("masker", ["nothing", "noise:x", "sound", "sound:nothing.wav", "silence:3"])
def test_maskers_that_are_none_are_refused(masker):
    with pytest.raises((UnknownName, InvalidInput)):
        hidden(tone(), cut(tone()), 0, masker=masker)


# ---- truth, sorts, and the whole way


def test_overlap_with_truth_in_seconds():
    share = AUDIO.overlap(cut(tone(), "segments:4"), np.array([[0.25, 0.375], [0.3, 0.5], [0.9, 1.0]]), Placement())
    assert share.tolist() == pytest.approx([0, 1, 0, 0.4])
    cells = AUDIO.overlap(cut(tone(), "cells:3x4"), np.array([[0.25, 0.5]]), Placement())
    assert cells.reshape(3, 4)[:, 1] == pytest.approx(np.ones(3), abs=0.05)
    assert cells.reshape(3, 4)[:, 3].tolist() == [0, 0, 0]
    with pytest.raises(InvalidInput, match=r"does not lie in a sound of 1\.00 seconds"):
        AUDIO.overlap(cut(tone()), np.array([[0.5, 2.0]]), Placement())


def test_sorts_are_thirds():
    assert AUDIO.sorts(cut(tone(), "segments:3")) == ["beginning", "middle", "end"]


def test_energy_is_divided_among_stretches_as_it_is():
    """The energy of a sound is additive over stretches: their Shapley values are their own energies, but for 5 ms."""
    content = tone() * np.repeat([0.0, 1.0, 0.2, 0.6], RATE // 4)
    model = cx.FunctionModel(lambda samples: [float((s["audio"].astype(float) ** 2).sum()) for s in samples], ["audio"])
    found = cx.explain(model, cx.Sample(audio=content), players="segments:4", method="exact")
    energies = (content.astype(float) ** 2).reshape(4, -1).sum(1)
    assert found.values["audio"] == pytest.approx(energies, abs=0.02 * energies.sum())
