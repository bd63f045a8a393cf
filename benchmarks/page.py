"""How large the page of an explanation is, and how fast it answers a pointer, in headless Chromium.

    python benchmarks/page.py

Time: of the processor, on the page's own thread, until all is recoloured, laid out and painted; mean of 30 words.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from playwright.sync_api import sync_playwright

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "unit" / "view"))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "end_to_end"))

import samples
from pointer_cost import milliseconds_of_cpu

from chiasm.view.html import write_html

SIZES = ((4, 5), (7, 10), (14, 40), (24, 200))


def main() -> None:
    """Print a line for each size."""
    with sync_playwright() as play, tempfile.TemporaryDirectory() as folder:
        browser = play.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for side, words in SIZES:
            text = " ".join(f"word{k}" for k in range(words))
            e = samples.of_parts([samples.picture_part(side, side), samples.text_part(text)])
            e.pair_errors = np.abs(e.pair) / 3
            path = write_html(e, Path(folder) / "page.html")
            page = browser.new_page(viewport={"width": 1400, "height": 900})
            page.goto(path.as_uri())
            spent = milliseconds_of_cpu(page)
            size = path.stat().st_size / 1e6
            print(f"{side**2:4} patches x {words:3} words  {size:5.2f} MB  {spent:5.1f} ms a pointer")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
