"""Pages in headless Chromium: nothing overflows at any width, nothing is reported to the console, pictures appear."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "view"))

import samples

from chiasm.view.html import render

pytestmark = pytest.mark.browser
WIDTHS = (360, 400, 1400)

#: measures every page in a frame of its own; boxes inside areas that scroll by themselves may be wider than the page
HARNESS = """<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="found"></pre><script>
const frames = [...document.querySelectorAll("iframe")];
function measure(frame) {
  const page = frame.contentDocument, width = frame.clientWidth;
  const wide = [...page.body.querySelectorAll("*")].filter(e => {
    const box = e.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 1 || box.left < -1) && !e.closest(".scroll, svg svg, defs");
  });
  return {name: frame.name, width, scroll: page.documentElement.scrollWidth,
          wide: wide.map(e => e.outerHTML.slice(0, 120)), text: page.body.innerText.length};
}
onload = () => { document.getElementById("found").textContent = JSON.stringify(frames.map(measure)); };
</script>"""


def browse(chromium: str, page: Path, profile: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page from disk, with no network at all."""
    return subprocess.run(
        [
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
            "--disable-sync", "--disable-dev-shm-usage", "--host-resolver-rules=MAP * ~NOTFOUND", "--hide-scrollbars",
            "--enable-logging=stderr", "--log-level=0", f"--user-data-dir={profile}", *options, page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )  # fmt: skip


def test_no_page_overflows_at_any_width(chromium, tmp_path):
    pages = {"shapes": samples.shapes(), **samples.odd()}
    frames = [
        f'<iframe name="{name}" style="border:0;width:{width}px;height:900px" '
        f'srcdoc="{html.escape(render(explanation))}"></iframe>'
        for name, explanation in pages.items()
        for width in WIDTHS
    ]
    harness = tmp_path / "harness.html"
    harness.write_text(HARNESS.replace("<script>", f"{''.join(frames)}<script>", 1), encoding="utf-8", errors="replace")
    done = browse(chromium, harness, tmp_path / "profile", "--dump-dom")
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text, done.stderr[-2000:]
    found = json.loads(html.unescape(text[1]))
    assert len(found) == len(pages) * len(WIDTHS)
    for page in found:
        assert page["scroll"] <= page["width"], page
        assert page["wide"] == [], page
        assert page["text"] > 200, page
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]


def test_the_page_shows_its_picture_and_its_tint(chromium, tmp_path):
    page = tmp_path / "page.html"
    page.write_text(render(samples.shapes()), encoding="utf-8")
    shot = tmp_path / "page.png"
    done = browse(chromium, page, tmp_path / "profile", "--window-size=1400,2400", f"--screenshot={shot}")
    assert "CONSOLE" not in done.stderr, done.stderr[-2000:]
    picture = np.asarray(Image.open(shot).convert("RGB")).astype(int)
    near = {
        name: int((np.abs(picture - colour).max(-1) <= 6).sum())
        for name, colour in {"red circle": (205, 45, 45), "strongest tint": (229, 139, 74)}.items()
    }
    assert near["red circle"] > 800  # the picture as the model saw it
    assert near["strongest tint"] > 2000  # the strongest patch: orange over grey
