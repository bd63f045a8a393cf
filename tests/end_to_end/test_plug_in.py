"""A modality of another package: found by its entry points, explained, stored and drawn, with nothing changed here.

`tests/plug_in` is a folder as pip would make one: a package and its ``.dist-info``. On the search path it is installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PLUG_IN = Path(__file__).parents[1] / "plug_in"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(PLUG_IN), "OMP_NUM_THREADS": "1"}

#: three parts, two of them of the new kind: the tune matters only where the text asks for it, and only its last note
PROGRAM = """
import sys
import numpy as np
import chiasm as cx
from chiasm.modalities import modalities
from chiasm.testing import check_modality

check_modality(
    modalities.get("melody"),
    ["C4 E4 G4 - C5", "F#3 A3"],
    wrong=["H4", "", 7],
    segmenters=["notes", "bars"],
    truth=[[0, 4]],
)

def asked(samples):
    return [
        10.0 * (s["melody"][-1] == 60) * ("end" in s["text"]) + (s["melody_second"] >= 0).sum() for s in samples
    ]

model = cx.FunctionModel(asked, ["melody", "text"])
sample = cx.Sample(melody="C4 E4 G4 C5", melody_second="A3 - B3", text="how does it end")
e = cx.explain(model, sample, method="exact", players="melody_second=bars")
e.save(sys.argv[1])
cx.Explanation.load(sys.argv[1]).to_html(sys.argv[2])
print(e.provenance.to_dict()["maskers"], len(e.players))
"""


@pytest.fixture(scope="module")
def explained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("melody")
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder / "tune.json"), str(folder / "tune.html")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert found.returncode == 0, found.stderr
    assert found.stdout == "{'melody': 'silence', 'melody_second': 'silence', 'text': 'delete'} 9\n"
    return folder


def test_values_are_those_of_the_planted_function(explained):
    """The last note and the word "end" share 10; the other melody's bar has its two notes."""
    from chiasm import Explanation

    e = Explanation.load(explained / "tune.json")  # here, where nobody knows of melodies
    np.testing.assert_allclose(e.values["melody"], [0, 0, 0, 5], atol=1e-9)
    np.testing.assert_allclose(e.values["text"], [0, 0, 0, 5], atol=1e-9)
    np.testing.assert_allclose(e.values["melody_second"], [2], atol=1e-9)
    wanted = np.zeros((4, 4))
    wanted[3, 3] = 10
    np.testing.assert_allclose(e.interactions["melody", "text"], wanted, atol=1e-9)
    assert e.contributions["melody", "text"] == pytest.approx(10)


def test_the_command_lists_what_it_brings():
    command = [sys.executable, "-m", "chiasm", "list", "segmenters", "--json"]
    rows = json.loads(subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=True).stdout)
    assert {row["name"] for row in rows if row["kind"] == "melody"} == {"notes", "bars"}


@pytest.mark.browser
def test_the_page_draws_it_and_pointing_at_a_word_lights_its_notes(explained, open_page):
    page = open_page(explained / "tune.html")
    assert page.locator('figure[data-panel="melody"] ellipse').count() == 4
    assert page.locator('figure[data-panel="melody_second"] ellipse').count() == 3
    page.hover('.stretch[data-part="text"][data-index="3"]')
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    shades = page.eval_on_selector_all(
        'figure[data-panel="melody"] ellipse', "all => all.map(e => Number(getComputedStyle(e).fillOpacity))"
    )
    assert shades == pytest.approx([0, 0, 0, 0.66], abs=0.01)
