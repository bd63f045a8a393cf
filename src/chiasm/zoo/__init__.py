"""Small trained models that ship with the package, and the data sets with planted truth they were trained on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.registry import Registry

if TYPE_CHECKING:
    from chiasm.core.sample import Sample

#: name → function ``(n, seed, types=None, **options) -> list[Sample]``; other packages add theirs by entry points of
#: this group. A function without ``types`` has no question types to choose from.
datasets: Registry[Callable[..., Any]] = Registry("data set", "chiasm.datasets")
datasets.register(
    "shapes",
    "chiasm.zoo.data.sets:shapes",
    "coloured shapes on a plain field: what they are, how many, how they lie",
)
datasets.register("digits", "chiasm.zoo.data.sets:digits", "real handwritten digits: which is where, sums, parity")
datasets.register("photos", "chiasm.zoo.data.sets:photos", "shapes or digits, half each, on real photographs")
datasets.register(
    "prior",
    "chiasm.zoo.data.prior:samples",
    "the question or the picture alone predicts the answer as strongly as you say; PID known in bits",
)
datasets.register(
    "captions",
    "chiasm.zoo.data.captions:samples",
    "a true caption, and a false one: attributes changed or swapped, relations flipped",
)

SAMPLES: Final = 200
"""How many samples of a generated data set are drawn unless you say otherwise."""


def dataset(
    name: str | Path,
    n: int | None = None,
    seed: int | None = None,
    types: Sequence[str] | None = None,
    **options: Any,
) -> list[Sample]:
    """Samples of a data set with planted truth, or of a folder of your own.

    Args:
        name: a name that ``chiasm list datasets`` shows, with or without ``zoo:`` before it; or a folder: what
            `chiasm.export` wrote, pictures with a JSONL file, or a Hugging Face data set written by ``save_to_disk``.
            A folder that has the name of a data set is written ``./shapes``.
        n: how many samples, the first ones; `SAMPLES` of a generated data set and all of a folder if ``None``.
        seed: seed of a generated data set, 0 if ``None``.
        types: question types to draw from, for a generated data set; all if ``None``.
        **options: for **prior** those of `chiasm.zoo.data.prior.samples`; for a folder ``image``, ``text`` and
            ``answer``: the names of its columns if they are others, and ``split`` where it has several.

    Raises:
        UnknownName: there is no such data set or folder, or the data set has no such type.
        InvalidInput: ``n`` or ``seed`` is negative, ``types`` is empty, an option is unknown, or the folder's data
            cannot be used; the message names the line.
        MissingDependency: the folder is a Hugging Face data set and ``datasets`` is not installed.
    """
    given = str(name)
    known = given.removeprefix("zoo:")
    if known in datasets:
        return _generated(known, SAMPLES if n is None else n, 0 if seed is None else seed, types, options)
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if isinstance(name, Path) or any(mark in given for mark in "/\\~") or given.startswith("."):
            raise InvalidInput(f"There is no folder {given!r}; give a folder of data, or one of {', '.join(datasets)}.")
        raise UnknownName("data set or folder", given, datasets)
    for what, value in (("seed", seed), ("types", types)):
        if value is not None:
            raise InvalidInput(
                f"{what}={value!r} is for data sets that are generated; {given!r} is a folder: leave it out."
            )
    from chiasm.zoo.data import reading  # Pillow takes a moment to import, and nobody needs it to list names

    return reading.read(folder, n, **_allowed(given, options, reading.OPTIONS))


def _generated(name: str, n: int, seed: int, types: Sequence[str] | None, options: dict[str, Any]) -> list[Sample]:
    make = datasets.get(name)
    parameters = inspect.signature(make).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        extra = options
    else:
        extra = _allowed(name, options, [key for key in parameters if key not in ("n", "seed", "types")])
    for key, value in extra.items():
        if key in parameters and parameters[key].annotation in (float, "float") and not isinstance(value, int | float):
            raise InvalidInput(f"The option {key}={value!r} of the data set {name!r} must be a number.")
    if types is not None:
        if "types" not in parameters:
            raise InvalidInput(f"The data set {name!r} has no question types; leave types={types!r} out.")
        extra = {**extra, "types": types}
    made: list[Sample] = make(n, seed, **extra)
    return made


def _allowed(name: str, options: dict[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    unknown = sorted(options.keys() - set(allowed))
    if unknown:
        takes = f"takes {', '.join(allowed)}" if allowed else "takes none"
        raise InvalidInput(f"The data set {name!r} does not know the option {', '.join(unknown)}; it {takes}.")
    return options
