"""Samples → a folder that other programs read: pictures with a JSONL file, or a Hugging Face data set.

The folder is written beside its place and moved there when it is whole, so that a crash leaves no half of one.
"""

from __future__ import annotations

import io
import json
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.core.sample import Part, Sample, Tag

Format = Literal["jsonl", "datasets"]

JSONL: Final = "data.jsonl"
IMAGES, MASKS = "images", "masks"
PART: Final = re.compile(r"(image|text)\d*")
"""Names of parts that a folder can hold."""

MARK: Final = ".chiasm-export.json"
"""The file that says which files an export wrote: a folder is replaced only if it holds these and no others."""

_AS_PNG: Final = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
_TYPES: Final[dict[type, str]] = {bool: "bool", int: "int64", float: "float64", str: "string"}


def export(samples: Iterable[Sample], folder: str | Path, format: Format = "jsonl", *, force: bool = False) -> Path:  # noqa: A002 - the word of the command line
    """Write samples to a folder that `chiasm.dataset` and other programs read.

    Both formats keep everything: pictures to the pixel, masks, boxes, spans, tags, answer and id.

    Args:
        samples: with parts of the kinds image and text, named ``image``, ``image2`` …, ``text``, ``text2`` …
        folder: where to; it must be new or empty, or ``force`` must be given.
        format: ``"jsonl"``: a line of ``data.jsonl`` for each sample with the fields ``image`` (path of its picture in
            ``images/``), ``text``, ``answer``, ``boxes``, ``words`` (character spans), ``masks`` (paths of 1-bit
            pictures in ``masks/``), ``tags`` and ``id``; those of a second picture are ``image2``, ``image2_boxes`` …
            ``"datasets"``: a Hugging Face data set with the same columns, to be read by ``datasets.load_from_disk``.
        force: replace an earlier export; a folder that holds any file beside those it wrote is never touched.

    Returns:
        The folder.

    Raises:
        InvalidInput: the folder holds something, ``format`` is none of these, there are no samples, or a sample
            holds what the folder could not.
        MissingDependency: ``format`` is ``"datasets"`` and that package is not installed.
    """
    if format not in _WRITERS:
        raise InvalidInput(f"format={format!r} is unknown; choose from {', '.join(_WRITERS)}.")
    place = check_place(folder, force=force)
    several = list(samples)
    if not several:
        raise InvalidInput("There are no samples to export.")
    for index, sample in enumerate(several):
        _check(sample, f"Sample {index}" + (f" ({sample.id})" if sample.id else ""))
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as beside:
        whole = Path(beside) / "new"
        _WRITERS[format](several, whole)
        (whole / MARK).write_text(json.dumps(sorted(_files(whole))) + "\n", encoding="utf-8")
        _put(whole, place, Path(beside) / "old")
    return Path(folder)


def field(part: str, what: str) -> str:
    """The name of a part's ``boxes``, ``words`` or ``masks``: the plain word, or ``image2_boxes``."""
    return what if part in ("image", "text") else f"{part}_{what}"


def check_place(folder: str | Path, *, force: bool = False) -> Path:
    """The folder in full, if an export may be written there.

    Raises:
        InvalidInput: it is a file, or holds something that must not be replaced.
    """
    place = Path(folder).expanduser().resolve()
    if place.exists() and not place.is_dir():
        raise InvalidInput(f"{str(place)!r} is a file; choose a folder.")
    found = _files(place) if place.exists() else set()
    if found and not _is_export(place, found):
        raise InvalidInput(f"The folder {str(place)!r} holds files that no export of Chiasm wrote; choose another one.")
    if found and not force:
        raise InvalidInput(
            f"The folder {str(place)!r} holds an earlier export; choose another one, or use force (--force)."
        )
    return place


def _files(folder: Path) -> set[str]:
    """All that is in a folder and is no folder, by path from there."""
    return {file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir()}


def _is_export(place: Path, found: set[str]) -> bool:
    """Whether all files are those that an export listed; one file of the user's own, and nothing may be replaced."""
    try:
        listed = json.loads((place / MARK).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(listed, list) and found <= {MARK, *map(str, listed)}


def _put(whole: Path, place: Path, aside: Path) -> None:
    """Move a folder to its place; what was there is moved aside first, and back if that fails."""
    if place.exists():
        place.rename(aside)
    try:
        whole.rename(place)
    except OSError:
        if aside.exists():
            aside.rename(place)
        raise


def _check(sample: Sample, what: str) -> None:
    for name, part in sample.parts.items():
        match = PART.fullmatch(name)
        if match is None or match[1] != part.kind:
            raise InvalidInput(
                f"{what} has the part {name!r} of kind {part.kind!r}; parts that can be exported are of kind image or "
                f"text and have such names: image, image2, text, text2."
            )
        if part.kind == "text" and (not isinstance(part.data, str) or name in sample.masks):
            raise InvalidInput(f"{what}: the part {name!r} must be a text without masks.")
    if not {"image", "text"} <= sample.parts.keys():
        raise InvalidInput(f"{what} has the parts {', '.join(sample.parts)}; the parts image and text are needed.")


def _picture(part: Part, what: str) -> tuple[bytes, str]:
    """The file of a picture and its suffix: as it is where it is a file, otherwise a PNG, which keeps every pixel."""
    data = part.data
    if isinstance(data, str | Path):
        path = Path(data)
        if not path.is_file():
            raise InvalidInput(f"{what}: there is no picture {str(path)!r}.")
        return path.read_bytes(), path.suffix.lower()
    if isinstance(data, np.ndarray) and data.dtype == np.uint8 and data.ndim in (2, 3):
        data = Image.fromarray(data)
    if not isinstance(data, Image.Image):
        found = f"an array {data.dtype}{list(data.shape)}" if isinstance(data, np.ndarray) else type(data).__name__
        raise InvalidInput(f"{what}: the picture is {found}; give a path, a Pillow image, or an array uint8[h, w, 3].")
    if data.mode not in _AS_PNG:
        raise InvalidInput(f"{what}: the picture has the mode {data.mode!r}; turn it into RGB first: .convert('RGB').")
    return _png(data), ".png"


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _mask_files(masks: NDArray[np.bool_]) -> list[bytes]:
    return [_png(Image.fromarray(mask)) for mask in masks]


def _tags(sample: Sample) -> dict[str, Tag]:
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in sample.tags.items()}


def _plain(sample: Sample) -> dict[str, Any]:
    """The fields of a sample that need no file: texts, boxes, words, answer and id."""
    fields: dict[str, Any] = {"id": sample.id}
    if list(sample.parts) != ["image", "text"]:  # a reader takes them so; only another order must be told
        fields["parts"] = list(sample.parts)
    for name, part in sample.parts.items():
        if part.kind == "text":
            fields[name] = part.data
        if name in sample.truth:
            fields[field(name, "words" if part.kind == "text" else "boxes")] = sample.truth[name].tolist()
    return {**fields, "answer": sample.answer}


def _write_jsonl(samples: Sequence[Sample], folder: Path) -> None:
    (folder / IMAGES).mkdir(parents=True)
    with (folder / JSONL).open("w", encoding="utf-8") as lines:
        for index, sample in enumerate(samples):
            row = {**_plain(sample), "tags": _tags(sample)}
            for name, part in sample.parts.items():
                stem = f"{index:06d}" if name == "image" else f"{index:06d}-{name}"
                if part.kind == "image":
                    content, suffix = _picture(part, f"Sample {index}")
                    row[name] = f"{IMAGES}/{stem}{suffix}"
                    (folder / row[name]).write_bytes(content)
                if name in sample.masks:
                    (folder / MASKS).mkdir(exist_ok=True)
                    files = _mask_files(sample.masks[name])
                    row[field(name, "masks")] = [f"{MASKS}/{stem}-{k}.png" for k in range(len(files))]
                    for path, content in zip(row[field(name, "masks")], files, strict=True):
                        (folder / path).write_bytes(content)
            try:
                text = json.dumps(row, ensure_ascii=False, allow_nan=False)
            except (TypeError, ValueError) as error:
                raise InvalidInput(f"Sample {index} holds something that JSON cannot: {error}.") from error
            lines.write(text + "\n")


def _write_datasets(samples: Sequence[Sample], folder: Path) -> None:
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "writing a Hugging Face data set", "data") from error
    string = datasets.Value("string")
    features: dict[str, Any] = {"id": string}
    rows = []
    for index, sample in enumerate(samples):
        row = _plain(sample)
        for name, part in sample.parts.items():
            if part.kind == "image":
                row[name] = {"bytes": _picture(part, f"Sample {index}")[0], "path": None}
                features |= {name: datasets.Image(), field(name, "boxes"): [[datasets.Value("float64")]]}
                features[field(name, "masks")] = [datasets.Image()]
            else:
                features |= {name: string, field(name, "words"): [[datasets.Value("int64")]]}
            if name in sample.masks:
                files = _mask_files(sample.masks[name])
                row[field(name, "masks")] = [{"bytes": content, "path": None} for content in files]
        rows.append({**row, "tags": _tags(sample)})
    features["answer"] = string
    if any("parts" in row for row in rows):
        features["parts"] = [string]
    if tags := _tag_types(samples):
        features["tags"] = {name: datasets.Value(kind) for name, kind in tags.items()}
    columns = {name: [row.get(name) for row in rows] for name in features}
    table = datasets.Dataset.from_dict(columns, features=datasets.Features(features))
    hidden = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        table.save_to_disk(str(folder))
    finally:
        if not hidden:
            datasets.enable_progress_bars()


def _tag_types(samples: Sequence[Sample]) -> dict[str, str]:
    """Each tag and the type of its values, in the words of the format.

    Raises:
        InvalidInput: a tag has values of several types, or of one that a column cannot have.
    """
    found: dict[str, str] = {}
    for index, sample in enumerate(samples):
        for name, value in _tags(sample).items():
            kind = _TYPES.get(type(value))
            if kind is None or found.setdefault(name, kind) != kind:
                raise InvalidInput(
                    f"Sample {index}: the tag {name!r} is {value!r}, a {type(value).__name__}; the values of a tag "
                    f"must be all texts, all whole numbers, all numbers or all true or false."
                )
    return found


_WRITERS: Final = {"jsonl": _write_jsonl, "datasets": _write_datasets}
