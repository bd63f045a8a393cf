"""The browser of the page tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HOW = "run `sh scripts/chromium.sh`, which installs one, or set CHIASM_CHROMIUM to its path"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path. Without one its tests are skipped, or fail where CHIASM_BROWSER_TESTS=required (in CI)."""
    path = os.environ.get("CHIASM_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is not None and Path(path).exists():
        return path
    if os.environ.get("CHIASM_BROWSER_TESTS") == "required":
        pytest.fail(f"No Chromium found, and CHIASM_BROWSER_TESTS=required: {HOW}.")
    pytest.skip(f"No Chromium found: {HOW}; then `pytest -m browser`.")


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Any]:
    """A headless browser."""
    from playwright import sync_api

    flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]
    with sync_api.sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium, args=flags)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., Any]]:
    """Opens a page from disk; at the end nothing was reported to its console, and nothing asked of a network."""
    pages: list[Any] = []
    errors: list[str] = []
    requests: list[str] = []

    def get(path: Path, *, width: int = 1400, height: int = 900, scheme: str = "light", touch: bool = False) -> Any:
        view = {"width": width, "height": height}
        page = browser.new_page(viewport=view, color_scheme=scheme, has_touch=touch, reduced_motion="reduce")
        page.on("console", lambda message: errors.append(message.text))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(path.as_uri())
        pages.append(page)
        return page

    yield get
    for page in pages:
        page.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
