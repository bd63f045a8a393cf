"""A folder of saved explanations as a gallery: a card for each, and behind it its page."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from chiasm.core.errors import InvalidInput, SchemaError
from chiasm.core.explanation import Explanation
from chiasm.core.players import Regions
from chiasm.view import raster
from chiasm.view.gallery import Item, write_gallery
from chiasm.view.html import write_html
from chiasm.view.panels import is_picture
from chiasm.view.renderers import renderers

#: where the pages of the explanations go, and what the gallery is called
PAGES: Final = "pages"
NAME: Final = "gallery.html"
#: side of a card's picture in pixels
SIDE: Final = 110


def write_folder(folder: str | Path, path: str | Path | None = None) -> Path:
    """Write a page for every explanation in a folder and below, and a gallery of them.

    Args:
        folder: holds files that ``Explanation.save`` wrote; other files are left alone.
        path: the gallery's file; by default ``gallery.html`` in the folder. The pages go beside it, into ``pages``.

    A file that is damaged gets a card that says so.

    Returns:
        The path of the gallery.

    Raises:
        InvalidInput: the folder holds no explanation, or the gallery's folder does not exist.
    """
    folder = Path(folder)
    gallery = folder / NAME if path is None else Path(path)
    found = list(_explanations(folder))
    if not found:
        raise InvalidInput(
            f"There is no saved explanation in {str(folder)!r}; make some: chiasm explain --out FILE.json."
        )
    if not gallery.parent.is_dir():
        raise InvalidInput(f"The folder {str(gallery.parent)!r} does not exist; make it first or choose another path.")
    (gallery.parent / PAGES).mkdir(exist_ok=True)
    items = []
    for name, one in found:
        if isinstance(one, SchemaError):
            items.append(Item(id=name, dataset="", model="", question=name, answer=str(one)))
            continue
        page = write_html(one, gallery.parent / PAGES / f"{name}.html")
        items.append(item(name, one, page.relative_to(gallery.parent).as_posix()))
    return write_gallery(items, gallery, f"{folder.resolve().name}: {len(items)} explanations", things="explanations")


def _explanations(folder: Path) -> Iterator[tuple[str, Explanation | SchemaError]]:
    """Explanations by their place in the folder, or why one is damaged; JSON files of other kinds are passed over."""
    for file in sorted(folder.rglob("*.json")):
        name = "-".join(file.relative_to(folder).with_suffix("").parts)
        try:
            yield name, Explanation.load(file)
        except SchemaError as error:
            if "no schema" not in str(error) and "not a saved explanation" not in str(error):
                yield name, error  # a damaged one is not to vanish


def item(name: str, explanation: Explanation, href: str | None) -> Item:
    """The card of an explanation."""
    prediction, provenance = explanation.prediction, explanation.provenance
    return Item(
        id=name,
        dataset=provenance.target,
        model=provenance.model or "",
        question=" ".join(str(p.content) for p in explanation.players.parts.values() if isinstance(p.content, str))
        or name,
        answer=prediction.answer if prediction is not None else "",
        thumbnail=thumbnail(explanation),
        numbers=key_numbers(explanation),
        tags={"method": provenance.method, "index": provenance.index},
        href=href,
    )


def key_numbers(explanation: Explanation) -> dict[str, float]:
    """What a gallery filters by: the effect of parts together, and the strongest pair, as far as they are known."""
    together = [value for parts, value in explanation.contributions.items() if len(parts) > 1]
    numbers = {"together": float(sum(together))} if together else {}
    if explanation.pair is not None and (pairs := explanation.top_pairs(1)):
        numbers["strongest pair"] = pairs[0].value
    return numbers


def thumbnail(explanation: Explanation) -> bytes | None:
    """The first picture among the parts, small, as a PNG file."""
    for part in explanation.players.parts.values():
        if isinstance(part.geometry, Regions) and is_picture(part, drawn=part.kind in renderers):
            height, width = part.geometry.label_map.shape
            picture = Image.fromarray(np.asarray(raster.pixels(part.content, (height, width))))
            picture.thumbnail((SIDE, SIDE))
            file = io.BytesIO()
            picture.save(file, "PNG")
            return file.getvalue()
    return None
