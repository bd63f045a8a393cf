"""Many samples on one page, to be filtered: only what is in sight is drawn, so that thousands stay smooth."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

from chiasm.core.errors import InvalidInput
from chiasm.core.storage import write_atomic
from chiasm.view.html import templates
from chiasm.view.shell import embedded, script

#: a tag of more values than this is no filter but a name; the search field finds it
MOST_OPTIONS = 60
_SIGNATURES = {b"\x89PNG": "image/png", b"\xff\xd8": "image/jpeg", b"RIFF": "image/webp", b"GIF8": "image/gif"}


@dataclass(frozen=True)
class Item:
    """One sample.

    Attributes:
        id, dataset, model: which one, of what, asked of whom.
        question, answer, reference: what was asked, answered, and held to be right (``None`` where unknown).
        correct: whether the answer is right; ``None`` where unknown.
        thumbnail: a small picture as a PNG, JPEG, WebP or GIF file.
        numbers: name → value, e.g. ``{"synergy": 0.3, "explainer disagreement": 0.1}``; each is a filter at its median.
        tags: name → value; each is a filter.
        href: the sample's own page, relative to the gallery.
    """

    id: str
    dataset: str
    model: str
    question: str
    answer: str
    reference: str | None = None
    correct: bool | None = None
    thumbnail: bytes | None = None
    numbers: dict[str, float] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    href: str | None = None


@dataclass(frozen=True)
class Filter:
    """A drop-down list; options are pairs of value and text."""

    name: str
    label: str
    options: list[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Numbers about all samples: what they are, names of the columns, and rows, the name of each first."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def write_gallery(
    items: Sequence[Item], path: str | Path, title: str, tables: Sequence[Table] = (), things: str = "samples"
) -> Path:
    """Write a gallery as one self-contained page, atomically.

    Args:
        items: the samples, in the order they are shown.
        path: the file to write.
        title: its heading.
        tables: what stands above the samples.
        things: what its cards are of, in the plural.

    Returns:
        The path.

    Raises:
        InvalidInput: a thumbnail is of no known format, an address leaves the folder, or the folder does not exist.
    """
    path = Path(path)
    middles = _middles(items)
    page = (
        templates()
        .get_template("gallery.html")
        .render(
            title=title,
            tables=tables,
            things=things,
            items=embedded([_entry(item) for item in items]),
            middles=embedded(middles),
            filters=_filters(items, middles),
            script=script("gallery.js"),
        )
    )
    write_atomic(path, page.encode("utf-8", "replace"))
    return path


def _entry(item: Item) -> dict[str, Any]:
    return {
        "id": item.id,
        "dataset": item.dataset,
        "model": item.model,
        "question": item.question,
        "answer": item.answer,
        "reference": item.reference,
        "correct": item.correct,
        "thumbnail": None if item.thumbnail is None else _uri(item),
        "numbers": {name: value if math.isfinite(value) else None for name, value in item.numbers.items()},
        "tags": item.tags,
        "href": None if item.href is None else _relative(item),
    }


def _uri(item: Item) -> str:
    data = item.thumbnail or b""
    kind = next((kind for start, kind in _SIGNATURES.items() if data.startswith(start)), None)
    if kind is None:
        raise InvalidInput(f"The thumbnail of {item.id!r} is not a PNG, JPEG, WebP or GIF file.")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _relative(item: Item) -> str:
    href = item.href or ""
    parts = urlsplit(href.strip())
    steps = href.replace("\\", "/").split("/")
    if parts.scheme or parts.netloc or href.startswith(("/", "\\")) or ".." in steps:
        raise InvalidInput(
            f"The address {href!r} of {item.id!r} must be of a file in or below the gallery's folder, e.g. "
            f"samples/7.html."
        )
    return href


def _middles(items: Iterable[Item]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for item in items:
        for name, value in item.numbers.items():
            if math.isfinite(value):
                found.setdefault(name, []).append(value)
    return {name: median(values) for name, values in found.items()}


def _filters(items: Sequence[Item], middles: dict[str, float]) -> list[Filter]:
    def same(values: Iterable[str]) -> list[tuple[str, str]]:
        return [(value, value) for value in sorted(set(values))]

    verdicts = [("correct", "correct"), ("wrong", "wrong")] if any(i.correct is not None for i in items) else []
    tags = sorted({name for item in items for name in item.tags})
    found = [
        Filter("dataset:", "Data set", same(item.dataset for item in items)),
        Filter("model:", "Model", same(item.model for item in items)),
        Filter("verdict:", "Answer", verdicts),
        *(
            Filter(f"number:{name}", name, [("high", f"high (≥ {m:.3g})"), ("low", f"low (< {m:.3g})")])
            for name, m in middles.items()
        ),
        *(Filter(f"tag:{name}", name, same(i.tags[name] for i in items if name in i.tags)) for name in tags),
    ]
    return [f for f in found if 1 < len(f.options) <= MOST_OPTIONS]
