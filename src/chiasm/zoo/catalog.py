"""The models that ship with the package: their names, their folders, and whether their files are whole.

``python -m chiasm.zoo.catalog --write`` records the checksums after a training; without ``--write`` it verifies them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from chiasm.core.errors import ModelError, UnknownName

WEIGHTS: Final = Path(__file__).parent / "weights"
CHECKSUMS: Final = "checksums.json"

MODELS: Final = {"llava-shapes": "LLaVA of 1.4 million parameters: colour, shape, existence and counting of shapes"}
"""Names of the models, with a line on each."""

_LOADED: Final = {".json", ".jinja", ".safetensors"}


def path(name: str, root: Path = WEIGHTS) -> Path:
    """Folder of a model, ready for ``from_pretrained``; its files are those that were released.

    Args:
        name: a name of `MODELS`.
        root: where the weights lie.

    Raises:
        UnknownName: there is no such model.
        ModelError: its weights are not installed, or differ from the release.
    """
    verify(name, root)  # a few milliseconds for a few megabytes, and no answer from a damaged file
    return folder_of(name, root)


def folder_of(name: str, root: Path = WEIGHTS) -> Path:
    """Folder of a model, whatever state its files are in.

    Raises:
        UnknownName: there is no such model.
        ModelError: its weights are not installed.
    """
    if name not in MODELS:
        raise UnknownName("zoo model", name, MODELS)
    folder = root / name
    if not (folder / "model.safetensors").exists():
        raise ModelError(f"The weights of {name!r} are not in {folder}. Run: python -m chiasm.zoo.train {name}")
    return folder


def checksums(name: str, root: Path = WEIGHTS) -> dict[str, str]:
    """SHA-256 of each file that loading the model reads, as the files are now.

    Raises:
        UnknownName: there is no such model.
        ModelError: its weights are not installed.
    """
    files = sorted(file for file in folder_of(name, root).iterdir() if file.suffix in _LOADED)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def verify(name: str, root: Path = WEIGHTS) -> None:
    """Check that a model's files are those that were released.

    Raises:
        UnknownName: there is no such model.
        ModelError: a file is missing, added or changed, or no checksums were recorded.
    """
    found = checksums(name, root)
    listing = root / CHECKSUMS
    released = json.loads(listing.read_text(encoding="utf-8")).get(name) if listing.exists() else None
    if released is None:
        raise ModelError(f"{listing} has no checksums of {name!r}. Run: python -m chiasm.zoo.catalog --write")
    wrong = sorted(file for file in found.keys() | released.keys() if found.get(file) != released.get(file))
    if wrong:
        raise ModelError(
            f"Files of {name!r} differ from the release: {', '.join(wrong)}. Reinstall chiasm, or train again."
        )


def record(root: Path = WEIGHTS) -> dict[str, dict[str, str]]:
    """Write the checksums of every model as its files are now.

    Raises:
        ModelError: the weights of a model are missing.
    """
    listing = {name: checksums(name, root) for name in sorted(MODELS)}
    (root / CHECKSUMS).write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    return listing


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify all models, or record their checksums."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.catalog", description=__doc__)
    parser.add_argument("--write", action="store_true", help="record the files as they are now")
    if parser.parse_args(arguments).write:
        record()
    for name in MODELS:
        verify(name)
        sys.stdout.write(f"{name}: whole\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
