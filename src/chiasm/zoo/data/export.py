"""Samples → a folder that other programs read: pictures with a JSONL file, or a Hugging Face data set.

Nothing is written before every sample was found to be one that `chiasm.zoo.data.reading` gives back. Then all is
written beside its place (inside of it, where the folder exists) and moved there when it is whole.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from chiasm.core.content import digest
from chiasm.core.errors import InvalidInput, MissingDependency
from chiasm.core.sample import Sample, Tag
from chiasm.modalities.audio_reading import RATE, read_sound
from chiasm.zoo.data import fields
from chiasm.zoo.data.export_files import check_pixels, file_of, mask_files
from chiasm.zoo.data.fields import field

Format = Literal["jsonl", "datasets"]

JSONL: Final = "data.jsonl"
MASKS: Final = "masks"
_FOLDERS: Final = {"image": "images", "audio": "sounds"}
"""Kind of a part → the folder of its files."""
MARK: Final = ".chiasm-export.json"
"""The file that says which files an export wrote: a folder is replaced only if it holds these and no others."""

_TYPES: Final[dict[type, str]] = {bool: "bool", int: "int64", float: "float64", str: "string"}
_INTEGERS: Final = range(-(2**63), 2**63)
"""Whole numbers that every format, and every program that reads it, can hold."""
_WRITTEN: Final = re.compile(r"(image|text|audio)\d*")
"""Names of parts that a folder can be written with."""
_TRUTH: Final = {"text": "words", "image": "boxes", "audio": "times"}
"""Kind of a part → the field of its truth."""
_FEATURE: Final = "_type"
"""By this name Hugging Face's description of columns says what a column is; a tag cannot have it."""


def export(samples: Iterable[Sample], folder: str | Path, format: Format = "jsonl", *, force: bool = False) -> Path:  # noqa: A002 - the word of the command line
    """Write samples to a folder that `chiasm.dataset` and other programs read.

    Both formats keep everything: pictures to the pixel, masks, boxes, spans, tags, answer and id.

    Args:
        samples: with parts of the kinds image, text and audio, named ``image``, ``image2`` …, ``text``, ``audio`` …
        folder: where to; it must be new or empty, or ``force`` must be given.
        format: ``"jsonl"``: a line of ``data.jsonl`` for each sample with the fields ``image`` (path of its picture in
            ``images/``), ``text``, ``answer``, ``boxes``, ``words`` (character spans), ``masks`` (paths of 1-bit
            pictures in ``masks/``), ``tags`` and ``id``; those of a second picture are ``image2``, ``image2_boxes`` …;
            ``audio`` (path of a file in ``sounds/``, a WAV of what models are given where it was none) and
            ``audio_times`` (seconds).
            ``"datasets"``: a Hugging Face data set with the same columns, to be read by ``datasets.load_from_disk``; it
            takes no sounds.
        force: replace an earlier export; a folder that holds any file beside those it wrote is never touched.

    Returns:
        The folder.

    Raises:
        InvalidInput: the folder holds something, ``format`` is none of these, there are no samples, or a sample
            holds what the folder could not.
        MissingDependency: ``format`` is ``"datasets"`` and that package is not installed.
    """
    if not isinstance(format, str) or format not in _WRITERS:
        raise InvalidInput(f"format={format!r} is unknown; choose from {', '.join(_WRITERS)}.")
    place = check_place(folder, force=force)
    several = _listed(samples)
    for index, sample in enumerate(several):
        _check(sample, f"Sample {index}" + (f" ({sample.id!r})" if sample.id else ""))
    _check_ids(several)
    if format == "datasets":
        _library()
        _tag_types(several)
    with _beside(place) as aside:
        whole = Path(aside) / "new"
        _WRITERS[format](several, whole)
        (whole / MARK).write_text(json.dumps(sorted(_files(whole))) + "\n", encoding="utf-8")
        _fill(place, whole, Path(aside)) if place.exists() else whole.rename(place)
    return Path(folder)


def _beside(place: Path) -> tempfile.TemporaryDirectory[str]:
    """A folder for what is not whole yet, inside of the place where that exists.

    Raises:
        InvalidInput: none can be made there.
    """
    try:
        (outer := place if place.exists() else place.parent).mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryDirectory(dir=outer, prefix=".chiasm-")
    except OSError as error:
        raise InvalidInput(_cannot(place, error)) from error


def _cannot(place: Path, error: Exception) -> str:
    return f"The folder {str(place)!r} cannot be written: {getattr(error, 'strerror', error)}. Choose another one."


def _listed(samples: object) -> list[Sample]:
    """The samples, at least one."""
    if isinstance(samples, Sample) or not isinstance(samples, Iterable):
        raise InvalidInput(f"The samples are {samples!r}; give a list of them, e.g. [sample] or cx.dataset('shapes').")
    several = list(samples)
    if not several:
        raise InvalidInput("There are no samples to export.")
    for index, sample in enumerate(several):
        if not isinstance(sample, Sample):
            raise InvalidInput(
                f"Sample {index} is {sample!r}, a {type(sample).__name__}; make it a sample, e.g. "
                f"cx.Sample(image='photo.jpg', text='What is it?'), or read a folder by cx.dataset."
            )
    return several


def check_place(folder: str | Path, *, force: bool = False) -> Path:
    """The folder in full, if an export may be written there.

    Raises:
        InvalidInput: it is a file or lies in one, cannot be a path, or holds something that must not be replaced.
    """
    if not isinstance(folder, str | os.PathLike) or not str(folder):
        raise InvalidInput(f"The folder is {folder!r}; give its path, e.g. 'shapes-500'.")
    try:
        place = fields.expanded(folder, "The folder").resolve()
        there = next(path for path in (place, *place.parents) if path.exists())
    except (OSError, ValueError) as error:  # too long, or with a null in it
        raise InvalidInput(_cannot(Path(folder), error)) from error
    if not there.is_dir():
        raise InvalidInput(f"{str(there)!r} is a file, so {str(place)!r} cannot be written; choose a folder.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InvalidInput(f"The folder {str(there)!r} must not be written in; choose another one than {str(place)!r}.")
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


def _fill(place: Path, whole: Path, aside: Path) -> None:
    """Put what ``whole`` holds into a folder that exists; what was there goes aside first, and back if that fails.

    The folder itself stays, for somebody may stand in it (``--out .``), or a disk be mounted there.
    """
    old = aside / "old"
    old.mkdir()
    moved: list[tuple[Path, Path]] = []
    try:
        for source, goal in ((place, old), (whole, place)):
            for entry in sorted(source.iterdir()):
                if entry != aside:
                    entry.rename(goal / entry.name)
                    moved.append((entry, goal / entry.name))
    except OSError:
        for origin, now in reversed(moved):
            now.rename(origin)
        raise


def _check(sample: Sample, what: str) -> None:
    """Everything of a sample is such that the reader gives it back.

    Raises:
        InvalidInput: something is not; the message names it and what to do.
    """
    for name, part in sample.parts.items():
        match = _WRITTEN.fullmatch(name)
        if match is None or match[1] != part.kind:
            raise InvalidInput(
                f"{what} has the part {name!r} of kind {part.kind!r}; parts that can be exported are of kind image, "
                f"text or audio and have such names: image, image2, text, text2, audio."
            )
        _CHECKS[part.kind](sample, name, what)
    if not {"image", "text"} <= sample.parts.keys() and all(part.kind != "audio" for part in sample.parts.values()):
        raise InvalidInput(f"{what} has the parts {', '.join(sample.parts)}; the parts image and text are needed.")
    for own, said in (("answer", sample.answer), ("id", sample.id)):
        if said is not None:
            fields.text(said, f"the {own}", what)
    for key, value in sample.tags.items():
        kept = fields.tag(fields.text(key, "the name of a tag", what), value, what)
        if isinstance(kept, int) and kept not in _INTEGERS:
            raise InvalidInput(f"{what}: the tag {key!r} is {kept}, more than 64 bits hold; write it as a text.")


def _check_ids(samples: list[Sample]) -> None:
    """No two samples that differ have one id.

    Raises:
        InvalidInput: two do.
    """
    first: dict[str, int] = {}
    for index, sample in enumerate(samples):
        other = first.setdefault(sample.id, index) if sample.id is not None else index
        if other != index and _content(samples[other]) != _content(sample):
            raise InvalidInput(
                f"Samples {other} and {index} differ, yet both have the id {sample.id!r}; give each an id of its own."
            )


def _content(sample: Sample) -> str:
    parts = {name: part.data if part.kind == "text" else file_of(part, name) for name, part in sample.parts.items()}
    return digest([parts, sample.answer, sample.truth, sample.masks, _tags(sample)])


def _check_text(sample: Sample, name: str, what: str) -> None:
    data = fields.text(sample.parts[name].data, f"the part {name!r}", what)
    if name in sample.masks:
        raise InvalidInput(f"{what}: the text {name!r} has masks, which no folder holds; leave them out.")
    if name in sample.truth:
        truth = np.asarray(sample.truth[name])
        if truth.size and truth.dtype.kind not in "iu":
            raise InvalidInput(
                f"{what}: truth of {name!r} is {truth.tolist()!r}, {truth.dtype}; give character spans int[k, 2]."
            )
        fields.spans(truth.tolist(), data, f"{what}, truth of {name!r}")


def _check_sound(sample: Sample, name: str, what: str) -> None:
    try:
        seconds = len(read_sound(sample.parts[name].data)) / RATE
    except InvalidInput as error:
        raise InvalidInput(f"{what}, the part {name!r}: {error}") from error
    if name in sample.masks:
        raise InvalidInput(f"{what}: the sound {name!r} has masks, which no folder holds; leave them out.")
    if name in sample.truth:
        fields.times(np.asarray(sample.truth[name]).tolist(), f"{what}, truth of {name!r}", seconds)


def _check_picture(sample: Sample, name: str, what: str) -> None:
    size = check_pixels(sample.parts[name], what)
    if name in sample.truth:
        truth = np.asarray(sample.truth[name])
        if not np.array_equal(fields.boxes(truth.tolist(), size, f"{what}, truth of {name!r}"), truth.reshape(-1, 4)):
            raise InvalidInput(f"{what}: truth of {name!r} is {truth.dtype}, which float64 cannot hold; round it.")
    if name in sample.masks:
        masks = np.asarray(sample.masks[name])
        if masks.dtype != np.bool_ or masks.shape[1:] != (size[1], size[0]):
            raise InvalidInput(
                f"{what}: the masks of {name!r} are {masks.dtype}{list(masks.shape)}, its picture has {size[0]} × "
                f"{size[1]} pixels; give masks bool[k, {size[1]}, {size[0]}], as the upright picture lies."
            )


def _tags(sample: Sample) -> dict[str, Tag]:
    return {name: fields.tag(name, value, "The sample") for name, value in sample.tags.items()}


def _plain(sample: Sample) -> dict[str, Any]:
    """The fields of a sample that need no file: texts, boxes, words, answer and id."""
    row: dict[str, Any] = {"id": sample.id}
    if list(sample.parts) != ["image", "text"]:  # a reader takes them so; only another order must be told
        row["parts"] = list(sample.parts)
    for name, part in sample.parts.items():
        if part.kind == "text":
            row[name] = part.data
        if name in sample.truth:
            row[field(name, _TRUTH[part.kind])] = np.asarray(sample.truth[name]).tolist()
    return {**row, "answer": sample.answer}


def _write_jsonl(samples: Sequence[Sample], folder: Path) -> None:
    folder.mkdir(parents=True)
    with (folder / JSONL).open("w", encoding="utf-8") as lines:
        for index, sample in enumerate(samples):
            row = {**_plain(sample), "tags": _tags(sample)}
            for name, part in sample.parts.items():
                stem = f"{index:06d}" if name == "image" else f"{index:06d}-{name}"
                if part.kind in _FOLDERS:
                    content, suffix = file_of(part, f"Sample {index}")
                    row[name] = f"{_FOLDERS[part.kind]}/{stem}{suffix}"
                    (folder / row[name]).parent.mkdir(exist_ok=True)
                    (folder / row[name]).write_bytes(content)
                if name in sample.masks:
                    (folder / MASKS).mkdir(exist_ok=True)
                    files = mask_files(sample.masks[name])
                    row[field(name, "masks")] = [f"{MASKS}/{stem}-{k}.png" for k in range(len(files))]
                    for path, content in zip(row[field(name, "masks")], files, strict=True):
                        (folder / path).write_bytes(content)
            lines.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def _library() -> Any:
    """The package ``datasets``."""
    try:
        import datasets
    except ImportError as error:
        raise MissingDependency("datasets", "writing a Hugging Face data set", "data") from error
    return datasets


def _write_datasets(samples: Sequence[Sample], folder: Path) -> None:
    datasets = _library()
    string = datasets.Value("string")
    features: dict[str, Any] = {"id": string}
    rows = []
    for index, sample in enumerate(samples):
        row = _plain(sample)
        for name, part in sample.parts.items():
            if part.kind == "audio":
                raise InvalidInput(f"Sample {index} has the sound {name!r}; use the format jsonl, which keeps sounds.")
            if part.kind == "image":
                row[name] = {"bytes": file_of(part, f"Sample {index}")[0], "path": None}
                features |= {name: datasets.Image(), field(name, "boxes"): [[datasets.Value("float64")]]}
                features[field(name, "masks")] = [datasets.Image()]
            else:
                features |= {name: string, field(name, "words"): [[datasets.Value("int64")]]}
            if name in sample.masks:
                files = mask_files(sample.masks[name])
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
        InvalidInput: a tag has values of several types, or a name that a column cannot have.
    """
    found: dict[str, str] = {}
    for index, sample in enumerate(samples):
        for name, value in _tags(sample).items():
            if name == _FEATURE:
                raise InvalidInput(f"Sample {index}: the format has another use for the tag {name!r}; rename it.")
            if "\0" in name:
                raise InvalidInput(f"Sample {index}: no column can be named {name!r}, with a NUL in it; rename it.")
            kind = _TYPES[type(value)]
            if found.setdefault(name, kind) != kind:
                raise InvalidInput(
                    f"Sample {index}: the tag {name!r} is {value!r}, a {type(value).__name__}; the values of a tag "
                    f"must be all texts, all whole numbers, all numbers or all true or false. Turn them into one "
                    f"kind, or use the format jsonl."
                )
    return found


#: kind of a part → how it is checked
_CHECKS: Final = {"text": _check_text, "image": _check_picture, "audio": _check_sound}
_WRITERS: Final = {"jsonl": _write_jsonl, "datasets": _write_datasets}
