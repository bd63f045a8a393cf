"""Explanations on disk: JSON with a schema version for what people read, npz beside it for large arrays.

Written atomically (a temporary file in the same folder, then a rename), so that a crash leaves the old file or the
new one and never half of one. A newer reader reads older files; the schema's major number changes when it cannot.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, SchemaError
from chiasm.core.explanation import Explanation, Prediction, WhatIf
from chiasm.core.players import Geometry, PartPlayers, Players, Regions, Spans
from chiasm.core.provenance import Provenance

SCHEMA = "chiasm.explanation"
VERSION = (1, 2)


def write_atomic(path: Path, data: bytes) -> None:
    """Replace a file's content in one step.

    Raises:
        InvalidInput: the folder does not exist.
    """
    if not path.parent.is_dir():
        raise InvalidInput(f"The folder {str(path.parent)!r} does not exist; make it first or choose another path.")
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o666 & ~umask)  # mkstemp makes files private; a result is an ordinary file
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _arrays_path(path: Path) -> Path:
    return path.with_suffix(".npz")


def save(explanation: Explanation, path: Path) -> Path:
    """Write an explanation as ``path`` (``.json``) and its arrays as ``.npz`` beside it."""
    if path.suffix != ".json":
        raise InvalidInput(f"Save an explanation under a name that ends in .json; got {path.name!r}.")
    arrays: dict[str, NDArray[Any]] = {}
    for name in ("pair", "pair_errors"):
        if (array := getattr(explanation, name)) is not None:
            arrays[name] = array
    prediction = explanation.prediction
    data: dict[str, Any] = {
        "schema": SCHEMA,
        "version": list(VERSION),
        "arrays": _arrays_path(path).name,
        "prediction": None
        if prediction is None
        else {**vars(prediction), "alternatives": list(prediction.alternatives)},
        "what_if": [{**vars(one), "removed": list(one.removed)} for one in explanation.what_if],
        "efficiency_gap": explanation.efficiency_gap,
        "contributions": [[list(parts), value] for parts, value in explanation.contributions.items()],
        "part_values": [[list(parts), value] for parts, value in explanation.part_values.items()],
        "parts": [_part_to_dict(part, explanation, arrays) for part in explanation.players.parts.values()],
        "provenance": explanation.provenance.to_dict(),
    }
    raw = _archive(arrays)
    # Two files cannot be replaced in one step: the digest tells a reader when a crash fell between them.
    data["digest"] = hashlib.sha256(raw).hexdigest()
    text = _encode(data)  # everything that can fail fails before the old files are touched
    write_atomic(_arrays_path(path), raw)
    write_atomic(path, text)
    return path


def _archive(arrays: dict[str, NDArray[Any]]) -> bytes:
    for name, array in arrays.items():
        if array.dtype.hasobject:
            raise InvalidInput(
                f"Cannot save {name!r}: a content must be a text, a numeric array, or a mapping of names to numbers, "
                f"texts and numeric arrays; not {array.dtype}."
            )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    return buffer.getvalue()


def _encode(data: dict[str, Any]) -> bytes:
    """Strict JSON: numpy scalars become numbers, NaN becomes null."""
    try:
        return json.dumps(_plain(data), indent=1, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:
        raise InvalidInput(f"The explanation holds something that JSON cannot: {error}.") from error


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _floats(values: list[float | None]) -> NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values], np.float64)


def _part_to_dict(part: PartPlayers, explanation: Explanation, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "name": part.part,
        "kind": part.kind,
        "labels": list(part.labels),
        "values": explanation.values[part.part].tolist(),
    }
    if explanation.standard_errors is not None:
        data["standard_errors"] = explanation.standard_errors[part.part].tolist()
    if isinstance(part.geometry, Regions):
        arrays[f"regions/{part.part}"] = part.geometry.label_map
    elif isinstance(part.geometry, Spans):
        data["spans"] = part.geometry.bounds.tolist()
    if isinstance(part.content, str):
        data["content"] = part.content
    elif isinstance(part.content, Mapping):
        data["content"], data["content_arrays"] = _mapping_to_dict(part.part, part.content, arrays)
    elif part.content is not None:
        arrays[f"content/{part.part}"] = np.asarray(part.content)
    return data


def _mapping_to_dict(
    part: str, content: Mapping[Any, Any], arrays: dict[str, NDArray[Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """A content that is a mapping: what people read, and for each entry that is an array its name in the archive."""
    names: dict[str, str] = {}
    for place, (key, value) in enumerate(content.items()):
        if not isinstance(key, str):
            raise InvalidInput(f"Cannot save part {part!r}: its content has the key {key!r}; keys must be texts.")
        if isinstance(value, np.ndarray):
            names[key] = f"content/{part}/{place}"
            arrays[names[key]] = value
    return {key: None if key in names else value for key, value in content.items()}, names


def load(path: Path) -> Explanation:
    """Read what `save` wrote."""
    data = _read_json(path)
    try:
        major, arrays_name = int(data["version"][0]), str(data["arrays"])
        if major > VERSION[0]:
            raise SchemaError(f"{str(path)!r} has format {major}; this version reads {VERSION[0]}: upgrade chiasm.")
        beside = _arrays_path(path)  # both files may have been renamed together
        archive = beside if beside.is_file() else path.parent / arrays_name
        return _explanation(data, _read_arrays(archive, data.get("digest")))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, SchemaError):
            raise
        raise SchemaError(f"{str(path)!r} is damaged: {type(error).__name__}: {error}. Make it again.") from error


def _read_json(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidInput(f"There is no file {str(path)!r}.") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise SchemaError(
            f"{str(path)!r} is not a saved explanation: {error}. Give the .json file that chiasm explain "
            f"--out FILE.json (or Explanation.save) wrote."
        ) from error
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        raise SchemaError(f"{str(path)!r} is JSON but not a saved explanation (no schema {SCHEMA!r}).")
    return data


def _read_arrays(path: Path, digest: str | None) -> dict[str, NDArray[Any]]:
    if not path.is_file():
        raise SchemaError(f"{str(path)!r} is missing: keep the .npz file beside its .json file.")
    raw = path.read_bytes()
    if digest is not None and hashlib.sha256(raw).hexdigest() != digest:
        raise SchemaError(f"{str(path)!r} is damaged or belongs to another explanation than the .json beside it.")
    try:
        with np.load(io.BytesIO(raw), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, EOFError, OSError) as error:
        raise SchemaError(f"{str(path)!r} is damaged: {error}.") from error


def _explanation(data: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Explanation:
    parts = data["parts"]
    errors = [part.get("standard_errors") for part in parts]
    prediction = data["prediction"]
    return Explanation(
        players=Players([_part_from_dict(part, arrays) for part in parts]),
        single=np.concatenate([_floats(part["values"]) for part in parts]),
        single_errors=None if errors[0] is None else np.concatenate([_floats(e or []) for e in errors]),
        pair=arrays.get("pair"),
        pair_errors=arrays.get("pair_errors"),
        part_values={tuple(names): value for names, value in data["part_values"]},
        prediction=None if prediction is None else _prediction(prediction),
        what_if=tuple(_what_if(one) for one in data.get("what_if", ())),  # files of version 1.0 have none
        provenance=Provenance.from_dict(data["provenance"]),
    )


def _what_if(data: dict[str, Any]) -> WhatIf:
    removed = tuple(one if isinstance(one, str) else (str(one[0]), int(one[1])) for one in data["removed"])
    return WhatIf(removed, data["answer"], data["probability"])


def _prediction(data: dict[str, Any]) -> Prediction:
    return Prediction(**{**data, "alternatives": tuple((answer, p) for answer, p in data["alternatives"])})


def _part_from_dict(data: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> PartPlayers:
    name = data["name"]
    geometry: Geometry | None = None
    if f"regions/{name}" in arrays:
        geometry = Regions(arrays[f"regions/{name}"])
    elif "spans" in data:
        geometry = Spans(np.asarray(data["spans"], np.int64).reshape(-1, 2))
    content = data.get("content", arrays.get(f"content/{name}"))
    if isinstance(content, dict):
        content = _mapping_from_dict(content, data["content_arrays"], arrays)
    return PartPlayers(name, data["kind"], tuple(data["labels"]), geometry, content)


def _mapping_from_dict(
    content: dict[str, Any], names: dict[str, str], arrays: dict[str, NDArray[Any]]
) -> dict[str, Any]:
    """The other way round; a number that JSON cannot hold was written as null and is NaN."""
    return {
        key: arrays[names[key]] if key in names else math.nan if value is None else value
        for key, value in content.items()
    }
