"""An explanation inside a notebook cell: the same page, in a frame of its own. No widget extension is needed."""

from __future__ import annotations

import html
import importlib
from typing import Any

from chiasm.core.errors import MissingDependency
from chiasm.core.explanation import Explanation
from chiasm.view.html import render

HEIGHT = 760


def show(explanation: Explanation, height: int = HEIGHT) -> Any:
    """The page as an object that a notebook displays.

    Args:
        explanation: what to show.
        height: height of the frame in pixels.

    Returns:
        ``IPython.display.HTML``.

    Raises:
        MissingDependency: IPython is not installed.
    """
    try:
        display = importlib.import_module("IPython.display")
    except ImportError as error:
        raise MissingDependency("ipython", "showing an explanation in a notebook") from error
    return display.HTML(frame(explanation, height))


def frame(explanation: Explanation, height: int = HEIGHT) -> str:
    """The page in an ``<iframe>``: its style cannot leak into the notebook, nor the notebook's into it."""
    page = html.escape(render(explanation), quote=True)
    return (
        f'<div><iframe title="Explanation" sandbox="allow-scripts" srcdoc="{page}" '
        f'style="width:100%;height:{height}px;border:1px solid #dce0e5;border-radius:8px"></iframe></div>'
    )
