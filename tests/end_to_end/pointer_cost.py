"""What a pointer costs on a page, in time of the processor: other work on the machine makes no difference."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

POINTERS = 30
MEASURE = """async (n) => {
  for (const word of [...document.querySelectorAll('.stretch[data-part="text"]')].slice(0, n)) {
    word.dispatchEvent(new PointerEvent('pointerover', {bubbles: true, pointerType: 'mouse'}));
    await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  }
}"""


def milliseconds_of_cpu(page: Page) -> float:
    """What one pointer costs the page's own thread: script, style, layout and paint. The page is open and at rest."""
    words = min(POINTERS, page.locator('.stretch[data-part="text"]').count())
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def spent() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return float(next(one["value"] for one in metrics if one["name"] == "TaskDuration"))

    page.evaluate(MEASURE, 3)  # the first ones compile
    before = spent()
    page.evaluate(MEASURE, words)
    return 1000 * (spent() - before) / words
