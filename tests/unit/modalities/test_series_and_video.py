"""Time series and videos: reading, cutting, hiding; planted stretches are found."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import chiasm as cx
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.modalities.base import Context, Placement
from chiasm.modalities.series import SERIES
from chiasm.modalities.video import VIDEO

WAVES = {"a": np.arange(12.0), "b": np.arange(12.0)[::-1] ** 2}


def cut(modality, content, segmenter):
    return modality.segment("part", modality.read(content), segmenter, Context())


def hidden(modality, content, segmenter, *absent, masker):
    players = cut(modality, content, segmenter)
    present = ~np.isin(np.arange(len(players)), absent)[None]
    return modality.masker(masker).apply(modality.read(content), players, present)[0]


# ---- series


def test_a_series_reads_alike_from_everything(tmp_path):
    table = pd.DataFrame(WAVES)
    table.to_csv(tmp_path / "s.csv", index=False)
    table.to_parquet(tmp_path / "s.parquet")
    for data in (WAVES, table, tmp_path / "s.csv", tmp_path / "s.parquet"):
        found = SERIES.read(data)
        assert {name: values.tolist() for name, values in found.items()} == {n: v.tolist() for n, v in WAVES.items()}
    np.save(tmp_path / "s.npy", table.to_numpy())
    assert list(SERIES.read(tmp_path / "s.npy")) == ["c0", "c1"]
    assert SERIES.read([1, 2, 3])["c0"].dtype == np.float64
    assert list(SERIES.read(table["a"])) == ["a"]


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ("nothing.csv", "There is no file"),
        ([[1, 2], [3]], "rows of several lengths"),
        ({"a": [1, np.nan]}, "not finite"),
        ({"a": [1, 2], "b": [1]}, "give channels of one length"),
        ({"a": ["x"]}, "give numbers"),
        ({}, "give channels"),
        ({1: [1, 2], "1": [3, 4]}, "Two channels are named '1'"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "more than one column 'a'"),
        (np.zeros((2, 2, 2)), "give an array"),
    ],
)
def test_what_is_no_series_is_refused(data, says):
    with pytest.raises(InvalidInput, match=says):
        SERIES.read(data)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("s.csv", "1.0,2.0\n3.0,4.0\n", "first line of .* is numbers"),
        ("s.csv", ",a\n0,1.5\n1,2.5\n", "index=False"),
        ("s.npy", "", "cannot be read"),
    ],
)
def test_files_whose_first_row_or_names_would_be_lost_are_refused(name, text, says, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InvalidInput, match=says):
        SERIES.read(tmp_path / name)


def test_stretches_channels_and_cells():
    assert cut(SERIES, WAVES, "segments:3").labels == ("0–3", "4–7", "8–11")
    assert cut(SERIES, WAVES, "channels").labels == ("a", "b")
    cells = cut(SERIES, WAVES, "cells:2")
    assert cells.labels == ("a 0–5", "a 6–11", "b 0–5", "b 6–11")
    assert cells.geometry.label_map[:, 1].tolist() == [2] * 6 + [3] * 6
    for wrong, error in (("days", UnknownName), ("segments:0", InvalidInput), ("segments:13", InvalidInput)):
        with pytest.raises(error):
            cut(SERIES, WAVES, wrong)


@pytest.mark.parametrize(
    ("masker", "wanted"),
    [
        ("mean", [0, 1, 2, 3] + [5.5] * 4 + [8, 9, 10, 11]),
        ("zero", [0, 1, 2, 3, 0, 0, 0, 0, 8, 9, 10, 11]),
        ("linear", list(range(12))),
    ],
)
def test_a_hidden_stretch_becomes_its_baseline(masker, wanted):
    assert hidden(SERIES, WAVES, "segments:3", 1, masker=masker)["a"].tolist() == wanted


def test_a_line_goes_on_at_the_ends_and_noise_has_the_channels_spread():
    found = hidden(SERIES, WAVES, "segments:3", 0, 2, masker="linear")["a"]
    assert found.tolist() == [4] * 4 + [4, 5, 6, 7] + [7] * 4
    long = {"a": np.random.default_rng(0).normal(3, 2, 4000)}
    noise = hidden(SERIES, long, "channels", 0, masker="noise:1")["a"]
    assert (noise.mean(), noise.std()) == (pytest.approx(3, abs=0.2), pytest.approx(2, abs=0.1))
    assert np.array_equal(noise, hidden(SERIES, long, "channels", 0, masker="noise:1")["a"])


def test_shapley_values_of_a_sum_are_what_stretches_add_to_the_mean():
    model = cx.FunctionModel(lambda batch: [float(s["series"]["a"].sum()) for s in batch], ["series"], name="sum")
    found = cx.explain(model, cx.Sample(series=WAVES), players="segments:3", method="exact")
    assert found.single == pytest.approx([(k - 5.5) * 4 for k in (1.5, 5.5, 9.5)])


def test_truth_of_a_series():
    share = SERIES.overlap(cut(SERIES, WAVES, "segments:3"), np.array([[2, 8]]), Placement())
    assert share.tolist() == [0.5, 1, 0]
    with pytest.raises(InvalidInput, match="series of 12 steps"):
        SERIES.overlap(cut(SERIES, WAVES, "channels"), np.array([[2, 13]]), Placement())


# ---- video


def clip(frames=6, high=8, wide=10):
    return np.random.default_rng(0).integers(0, 256, (frames, high, wide, 3), dtype=np.uint8)


def test_a_video_reads_alike_from_everything(tmp_path):
    wanted = clip()
    pictures = [Image.fromarray(frame) for frame in wanted]
    for k, picture in enumerate(pictures):
        picture.save(tmp_path / f"{k}.png")
    assert np.array_equal(VIDEO.read(tmp_path), wanted)
    assert np.array_equal(VIDEO.read(pictures), wanted)
    pictures[0].save(tmp_path / "all.webp", save_all=True, append_images=pictures[1:], lossless=True)
    assert np.array_equal(VIDEO.read(tmp_path / "all.webp"), wanted)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (3, "is a int"),
        ([], "is a list"),
        ("nothing.gif", "There is no file"),
        ([np.zeros((2, 2, 3), np.uint8), np.zeros((3, 2, 3), np.uint8)], "have 2 sizes"),
        (__file__, "take its frames out first"),
    ],
)
def test_what_is_no_video_is_refused(data, says):
    with pytest.raises(InvalidInput, match=says):
        VIDEO.read(data)


def test_blocks_of_a_video():
    assert cut(VIDEO, clip(), "frames:2").labels == ("frames 0–2", "frames 3–5")
    assert cut(VIDEO, clip(), "frames").labels[1] == "frame 1"
    assert cut(VIDEO, clip(), "grid:1x2").labels == ("r1c1", "r1c2")
    both = cut(VIDEO, clip(), "frames:2+grid:2x2")
    assert both.labels[5] == "frames 3–5 r1c2"
    assert (np.bincount(both.geometry.label_map.ravel()) == 3 * 4 * 5).all()
    assert len(cut(VIDEO, clip(), VIDEO.default_segmenter)) == 6
    for wrong, error in (
        ("scenes", UnknownName),
        ("frames:2+", UnknownName),
        ("frames:2grid:2x2", UnknownName),
        ("frames:0", InvalidInput),
        ("grid:9x9", InvalidInput),
    ):
        with pytest.raises(error):
            cut(VIDEO, clip(), wrong)


def test_a_frozen_place_shows_the_frame_before():
    content = clip()
    found = hidden(VIDEO, content, "frames", 0, 3, 4, masker="freeze")
    assert np.array_equal(found, content[[1, 1, 2, 2, 2, 5]])
    assert (hidden(VIDEO, content, "frames", *range(6), masker="freeze") == 128).all()
    half = hidden(VIDEO, content, "frames:2+grid:1x2", 3, masker="freeze")
    assert np.array_equal(half[3:, :, 5:], np.repeat(content[2:3, :, 5:], 3, axis=0))
    assert np.array_equal(half[:, :, :5], content[:, :, :5])


def test_other_baselines_of_a_video():
    content = clip()
    mean = hidden(VIDEO, content, "frames:2", 0, masker="mean")
    assert np.abs(mean[0, 0, 0].astype(float) - content.reshape(-1, 3).mean(0)).max() < 1
    assert (hidden(VIDEO, content, "frames:2", 0, masker="grey")[0] == 128).all()
    assert hidden(VIDEO, content, "frames:2", 0, masker="blur:50")[0].std() < content[0].std() / 3
    for wrong, error in (("black", UnknownName), ("blur:x", InvalidInput), ("mean:3", InvalidInput)):
        with pytest.raises(error):
            VIDEO.masker(wrong)


def test_the_planted_block_of_a_video_is_found():
    content = np.zeros((6, 8, 8, 3), np.uint8)
    content[2:4, :4, 4:] = 255
    model = cx.FunctionModel(lambda batch: [float((s["video"] > 200).mean()) for s in batch], ["video"], name="bright")
    found = cx.explain(model, cx.Sample(video=content), players="frames:3+grid:2x2", method="exact", maskers="grey")
    values = found.single
    assert values.argmax() == 5
    assert values[5] == pytest.approx(2 * 4 * 4 / (6 * 8 * 8))
    assert np.delete(values, 5) == pytest.approx(np.zeros(11))
    share = VIDEO.overlap(found.players["video"], np.array([[2, 4, 4, 0, 8, 4]]), Placement())
    assert share.tolist() == [0] * 5 + [1] + [0] * 6


@pytest.mark.parametrize("box", [[0, -1, 0, 0, 10, 8], [0, 7, 0, 0, 10, 8], [3, 2, 0, 0, 10, 8], [0, 6, 0, 0, -1, 8]])
def test_truth_outside_of_a_video_is_refused(box):
    with pytest.raises(InvalidInput, match="video of 6 frames of 10 × 8"):
        VIDEO.overlap(cut(VIDEO, clip(), "frames:2"), np.array([box]), Placement())
