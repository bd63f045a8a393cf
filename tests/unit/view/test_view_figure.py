"""Figures of every odd case, without pyplot."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
import samples
from PIL import Image

from chiasm.core.errors import InvalidInput
from chiasm.view.figure import draw, write_picture, write_png

ODD = samples.odd()
#: drawing is slow; those whose drawing differs only in words are left to the page's tests
DRAWN = sorted(
    set(ODD) - {"no prediction", "no probability", "another answer", "no errors", "very small", "zeros", "long text"}
)


@pytest.mark.parametrize("name", DRAWN)
def test_every_odd_explanation_can_be_drawn(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure = draw(ODD[name])
        figure.canvas.draw()
    assert figure.axes


def texts(figure):
    figure.canvas.draw()
    return " ".join(t.get_text() for axes in figure.axes for t in [*axes.texts, *axes.get_yticklabels(), axes.title])


def test_the_figure_shows_the_numbers():
    e = samples.shapes()
    figure = draw(e)
    seen = texts(figure)
    for text in ("+1.09", "+1.67", "+0.83", "+0.61", "+0.74", "circle", "patch 2,1"):
        assert text in seen
    assert "98" in figure.get_suptitle()
    assert "permutation" in figure.get_supxlabel()
    matrix = next(a for a in figure.axes if a.get_title(loc="left").startswith("Interactions"))
    assert np.array_equal(matrix.images[0].get_array(), e.interactions["image", "text"])


def test_axes_name_the_unit():
    target = {"scale": "probability"}
    figure = draw(samples.shapes(provenance=samples.provenance(target_spec=target)))
    labels = {axes.get_ylabel() for axes in figure.axes}
    assert {"value (probability)", "interaction (probability)"} <= labels


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_ending_chooses_the_format(tmp_path, ending):
    path = write_picture(ODD["hostile"], tmp_path / f"figure{ending}")
    head = path.read_bytes()[:8]
    assert head.startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])
    if ending == ".png":
        assert Image.open(path).width > 1200
    assert len(list(tmp_path.iterdir())) == 1


def test_other_endings_are_refused(tmp_path):
    with pytest.raises(InvalidInput, match=r"'figure.gif'.*\.png, \.svg, \.pdf"):
        write_png(samples.shapes(), tmp_path / "figure.gif")


def test_pyplot_is_not_imported():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import samples; from chiasm.view.figure import draw;"
        "draw(samples.abstract({'a': 2})); sys.exit('matplotlib.pyplot' in sys.modules)"
    )
    folder = str(samples.__file__).rsplit("/", 1)[0]
    assert subprocess.run([sys.executable, "-c", code, folder], check=False).returncode == 0
