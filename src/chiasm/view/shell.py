"""What every page shares: its templates, and scripts that its security policy names by their hash."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from markupsafe import Markup


@dataclass(frozen=True)
class Script:
    """A script of this package inside a page.

    Attributes:
        source: its text; our own, hence not escaped.
        policy: the source expression of the content security policy that allows this very text and no other.
    """

    source: Markup
    policy: Markup


#: the scripts of pages that show explanations, one behind the other
EXPLANATION: Final = ("drawing.js", "choosing.js", "switches.js")


def script(*names: str) -> Script:
    """The scripts ``assets/NAME``, one behind the other, for the variable ``script`` of ``base.html``."""
    text = "\n".join(files("chiasm.view").joinpath("assets", name).read_text(encoding="utf-8") for name in names)
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Script(Markup(text), Markup(f"'sha256-{digest}'"))  # noqa: S704 - a file of this package


def embedded(data: Any) -> Markup:
    """Data as JSON for a ``<script type="application/json">`` block; no text in it can end the block."""
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", r"\u0026").replace("<", r"\u003c").replace(">", r"\u003e"))  # noqa: S704 - escaped
