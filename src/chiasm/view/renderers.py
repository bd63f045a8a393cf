"""Drawings of parts by kind of modality: a new modality is drawn by one function.

A renderer is a function ``render(part, marks)``. It gets the `PartPlayers` of a part and, in their order, one
`chiasm.view.panels.Mark` per player (label, value, number, tint, hint …), and returns ``markupsafe.Markup``: the inside
of the part's panel, HTML or inline SVG, without scripts and without addresses outside the page. Returning ``None``
leaves the part to its geometry (areas of a picture, stretches of a text, bars).

What it must keep to:

- Text of the sample goes through ``Markup("<b>{}</b>").format(text)``, which escapes it. A plain ``str`` is escaped
  as a whole, so a forgotten ``Markup`` shows as source and never runs.
- The element of each player carries ``data-part`` and ``data-index`` (``mark.part``, ``mark.index``), and
  ``data-value`` where ``mark.known``.
- Colour is ``mark.tint`` on paper, or ``mark.fill`` with ``mark.opacity`` over a drawing; players without a value
  (``not mark.known``) have the class ``unknown``.

It is registered by kind, ``renderers.register("audio", "package.module:render")``, or by another package under the
entry-point group ``chiasm.renderers``. It needs no import of this package.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from chiasm.core.players import PartPlayers
from chiasm.core.registry import Registry

if TYPE_CHECKING:
    from chiasm.view.panels import Mark


class Renderer(Protocol):
    """Draws one part; see the module."""

    def __call__(self, part: PartPlayers, marks: Sequence[Mark]) -> str | None:
        """The inside of the part's panel, or ``None`` to leave it to the geometry."""


#: kind of modality → `Renderer`
renderers: Registry[Renderer] = Registry("renderer", "chiasm.renderers")
renderers.register("tabular", "chiasm.view.renderers_row:draw")
renderers.register("graph", "chiasm.view.renderers_graph:draw")
renderers.register("audio", "chiasm.view.renderers_sound:draw")
renderers.register("series", "chiasm.view.renderers_series:draw")
renderers.register("video", "chiasm.view.renderers_video:draw")


def draw_part(part: PartPlayers, marks: Sequence[Mark]) -> str | None:
    """What the renderer of a part's kind draws; ``None`` where there is none or it leaves the part to its geometry."""
    return renderers.get(part.kind)(part, marks) if part.kind in renderers else None
