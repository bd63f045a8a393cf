"""The models of the zoo: what they are, which of them ship with the package, and whether their files are whole.

``python -m chiasm.zoo.catalog --write`` records the checksums after a training; without ``--write`` it verifies them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chiasm.core.errors import InvalidInput, ModelError, UnknownName

WEIGHTS: Final = Path(__file__).parent / "weights"
CHECKSUMS: Final = "checksums.json"
ACCURACY: Final = "accuracy.json"
"""What ``python -m chiasm.zoo.evaluate NAME --card`` measured; it lies beside the weights."""
TRUSTED: Final = 0.9
"""Least accuracy on held-out data of a question type that may serve as planted truth for a model."""

_SHAPES: Final = ("colour", "shape", "size", "existence", "counting", "relation", "comparison")
_DIGITS: Final = ("naming", "place", "larger", "sum", "parity")
_CAPTIONS: Final = ("colour", "shape", "swap", "relation")
_CHIMES: Final = ("colour", "count", "pitch", "beeps", "either", "same")
_PRIOR: Final = ("unbiased", "expected", "against")
_GROWTH: Final = ("0030", "0060", "0100", "0170", "0280", "0450", "0700", "1000")
_ALL: Final = {"shapes": _SHAPES, "digits": _DIGITS, "photos": (*_SHAPES, *_DIGITS)}


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of a model.

    Attributes:
        line: what it is.
        types: data set → the question types (for captions, the kinds of negative) that it is measured on.
        checkpoints: names of the states of a training run, in its order; empty for a model of one state.
    """

    line: str
    types: dict[str, tuple[str, ...]]
    checkpoints: tuple[str, ...] = ()


ENTRIES: Final = {
    "llava-shapes": Entry("LLaVA (CLIP tower, Llama): shapes and digits, also on photographs", _ALL),
    "qwen-shapes": Entry("Qwen-VL (M-RoPE, dynamic resolution): shapes and digits, also on photographs", _ALL),
    "idefics-shapes": Entry("Idefics3 (SigLIP tower, pixel shuffle): shapes and digits, also on photographs", _ALL),
    "vilt-shapes": Entry("ViLT (single-stream fusion encoder): shapes and digits, also on photographs", _ALL),
    "blip-shapes": Entry("BLIP (question encoder with cross-attention): shapes and digits, also on photographs", _ALL),
    "clip-captions": Entry("CLIP (dual encoder): captions of shapes against hard negatives", {"captions": _CAPTIONS}),
    "siglip-captions": Entry(
        "SigLIP (dual encoder): captions of shapes against hard negatives", {"captions": _CAPTIONS}
    ),
    "omni-chimes": Entry("Qwen2.5-Omni (picture, sound and text): shapes and beeps", {"chimes": _CHIMES}),
    "prior-shortcut": Entry("LLaVA trained where the question alone gives the answer away", {"prior": _PRIOR}),
    "prior-grounded": Entry("LLaVA, its twin, trained where only the picture tells the answer", {"prior": _PRIOR}),
    "prior-growth": Entry("LLaVA in eight states of one training run", {"prior": _PRIOR}, _GROWTH),
}
"""Name → what the zoo plans or has; `SHIPPED` says what is here."""

SHIPPED: Final = (
    "llava-shapes",
    "qwen-shapes",
    "idefics-shapes",
    "vilt-shapes",
    "blip-shapes",
    "clip-captions",
    "siglip-captions",
    "omni-chimes",
    "prior-shortcut",
    "prior-grounded",
    "prior-growth",
)
"""The recipes whose weights lie in the package. After a training: add the name here, then ``--write``."""


def _states(name: str) -> tuple[str, ...]:
    return tuple(f"{name}-{checkpoint}" for checkpoint in ENTRIES[name].checkpoints) or (name,)


def _line(name: str, state: str) -> str:
    line, step = ENTRIES[name].line, state.removeprefix(name).removeprefix("-")
    return f"{line}: after step {int(step)}" if step else line


MODELS: Final = {state: _line(name, state) for name in SHIPPED for state in _states(name)}
"""Every name that ``chiasm.load("zoo:NAME")`` takes, with a line on each; each state of a training run is one."""

_LOADED: Final = {".json", ".jinja", ".safetensors"}
_UNREAD: Final = {ACCURACY}
# Training again would not help: the new files would differ from the recorded ones just as well.
_RELEASE: Final = (
    "Reinstall chiasm; or, if you trained or changed the files on purpose, record them: "
    "python -m chiasm.zoo.catalog --write"
)


def states(name: str) -> list[str]:
    """What can be loaded under a name: the name itself, or the checkpoints of a training run as ``name-checkpoint``.

    Raises:
        UnknownName: there is no such model.
    """
    found = _states(name) if name in ENTRIES else (name,)
    if not MODELS.keys() >= set(found):
        raise UnknownName("zoo model", name, MODELS)
    return list(found)


def loadable() -> list[str]:
    """Every name that ``chiasm.load("zoo:NAME")`` takes."""
    return list(MODELS)


def recipe_of(name: str) -> str:
    """The name of `ENTRIES` behind a model or a checkpoint, whether it ships or not.

    Raises:
        UnknownName: there is no such model.
    """
    for recipe in ENTRIES:
        if name == recipe or name in _states(recipe):
            return recipe
    raise UnknownName("zoo model", name, [state for recipe in ENTRIES for state in _states(recipe)])


def path(name: str, root: Path = WEIGHTS) -> Path:
    """Folder of a model, ready for ``from_pretrained``; its files are those that were released.

    Args:
        name: a name of `MODELS`, with or without ``zoo:`` before it.
        root: where the weights lie.

    Raises:
        UnknownName: there is no such model.
        InvalidInput: the name is that of a training run, which is several models.
        ModelError: its weights are not installed, or differ from the release.
    """
    name = name.removeprefix("zoo:")
    verify(name, root)  # a few milliseconds for a few megabytes, and no answer from a damaged file
    return folder_of(name, root)


def folder_of(name: str, root: Path = WEIGHTS) -> Path:
    """Folder of a model, whatever state its files are in.

    Raises:
        UnknownName: there is no such model.
        InvalidInput: the name is that of a training run, which is several models.
        ModelError: its weights are not installed.
    """
    if name not in MODELS:
        several = states(name)
        raise InvalidInput(f"{name!r} is {len(several)} models, the states of one run; choose: {', '.join(several)}.")
    folder = root / name
    if not (folder / "model.safetensors").exists():
        again = f"Reinstall chiasm, or run: python -m chiasm.zoo.train {recipe_of(name)}"
        raise ModelError(f"The weights of {name!r} are not in {folder}. {again}")
    return folder


def checksums(name: str, root: Path = WEIGHTS) -> dict[str, str]:
    """SHA-256 of each file that loading the model reads, as the files are now.

    Raises:
        UnknownName: there is no such model.
        ModelError: its weights are not installed.
    """
    folder = folder_of(name, root)
    files = sorted(file for file in folder.iterdir() if file.suffix in _LOADED and file.name not in _UNREAD)
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
        raise ModelError(f"{listing} has no checksums of {name!r}. {_RELEASE}")
    wrong = sorted(file for file in found.keys() | released.keys() if found.get(file) != released.get(file))
    if wrong:
        raise ModelError(f"Files of {name!r} differ from the release: {', '.join(wrong)}. {_RELEASE}")


def record(root: Path = WEIGHTS) -> dict[str, dict[str, str]]:
    """Write the checksums of every model as its files are now.

    Raises:
        ModelError: the weights of a model are missing.
    """
    listing = {name: checksums(name, root) for name in sorted(loadable())}
    (root / CHECKSUMS).write_text(json.dumps(listing, indent=1) + "\n", encoding="utf-8")
    return listing


def accuracy(name: str, root: Path = WEIGHTS) -> dict[str, Any]:
    """What was measured of a model and lies beside its weights (`chiasm.zoo.accuracy.Report`, as JSON).

    Raises:
        UnknownName: there is no such model.
        ModelError: nothing was measured, or the weights have changed since.
    """
    return read_accuracy(name, folder_of(name, root))


def again(name: str) -> str:
    """What to do where the accuracy of a model is not known."""
    return f"Run: python -m chiasm.zoo.evaluate {name} --card"


def read_accuracy(name: str, folder: Path) -> dict[str, Any]:
    """What lies beside the weights in a folder, as `accuracy` gives it.

    Raises:
        ModelError: nothing was measured, the file is damaged, or the weights have changed since.
    """
    file = folder / ACCURACY
    if not file.exists():
        raise ModelError(f"The accuracy of {name!r} is not known: {folder} has no {ACCURACY}. {again(name)}")
    try:
        found: Any = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"{file} is not JSON: {error}. {again(name)}") from error
    for key, kind in (("weights", str), ("accuracy", dict)):
        if not isinstance(found, dict) or not isinstance(found.get(key), kind):
            raise ModelError(f"{file} does not say the {key}, as what was measured does. {again(name)}")
    if found["weights"] != weights_checksum(folder):
        raise ModelError(
            f"The accuracy of {name!r} was measured with other weights than those in {folder}. {again(name)}"
        )
    whole: dict[str, Any] = found
    return whole


def weights_checksum(folder: Path) -> str:
    """SHA-256 of the weights in a folder."""
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def known_types(name: str, data: str | None = None, root: Path = WEIGHTS) -> tuple[str, ...]:
    """The question types that a model knows: right in at least `TRUSTED` of held-out samples, mean over the seeds.

    Only these may serve as planted truth for the model. The types of **prior** count together or not at all.

    Args:
        name: a name of `MODELS`, with or without ``zoo:`` before it.
        data: the data set; by default a type counts by the first data set that has it (shapes and digits on plain
            backgrounds, before photographs).
        root: where the weights lie.

    Raises:
        UnknownName: there is no such model, or it was not measured on that data set.
        ModelError: nothing was measured, or the weights have changed since.
    """
    name = name.removeprefix("zoo:")
    measured: dict[str, dict[str, list[float]]] = accuracy(name, root)["accuracy"]
    if data is not None and data not in measured:
        raise UnknownName(f"data set of {name!r}", data, measured)
    chosen = [data] if data is not None else list(measured)
    first: dict[str, list[float]] = {}
    for one in chosen:
        first = measured[one] | first
    known = {kind for kind, found in first.items() if sum(found) / len(found) >= TRUSTED}
    if not known.issuperset(_PRIOR):
        # A model that is right only where language is need not have looked: its planted object decides nothing.
        known -= set(_PRIOR)
    return tuple(dict.fromkeys(kind for one in chosen for kind in measured[one] if kind in known))


def main(arguments: Sequence[str] | None = None) -> int:
    """Verify all models, or record their checksums."""
    parser = argparse.ArgumentParser(prog="python -m chiasm.zoo.catalog", description=__doc__)
    parser.add_argument("--write", action="store_true", help="record the files as they are now")
    options = parser.parse_args(arguments)
    try:
        if options.write:
            record()
        for name in loadable():
            verify(name)
            sys.stdout.write(f"{name}: whole\n")
    except ModelError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
