"""Small trained models that ship with the package, and the data sets with planted truth they were trained on."""

from __future__ import annotations

import inspect
import numbers
import os
from collections.abc import Callable, Iterable, Sequence
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
datasets.register(
    "chimes",
    "chiasm.zoo.data.chimes:samples",
    "a picture of shapes, a sound of beeps, and a question about one, either or both",
)

SAMPLES: Final = 200
"""How many samples of a generated data set are drawn unless you say otherwise."""


def dataset(
    name: str | Path,
    n: int | None = None,
    seed: int | None = None,
    types: Iterable[str] | None = None,
    **options: Any,
) -> list[Sample]:
    """Samples of a data set with planted truth, or of a folder of your own.

    Args:
        name: a name that ``chiasm list datasets`` shows, with or without ``zoo:`` before it; or a file ``*.jsonl``,
            ``*.csv`` or ``*.parquet``; or a folder: what `chiasm.export` wrote, one with such a file, or a Hugging Face
            data set written by ``save_to_disk``. A folder that has the name of a data set is written ``./shapes``.
        n: how many samples, the first ones; `SAMPLES` of a generated data set and all of a folder if ``None``.
        seed: seed of a generated data set, 0 if ``None``.
        types: question types to draw from, for a generated data set; all if ``None``.
        **options: for **prior** those of `chiasm.zoo.data.prior.samples`; for a folder ``image``, ``text`` and
            ``answer``: the names of its columns if they are others, and ``split`` where it has several.

    Raises:
        UnknownName: there is no such data set or folder, or the data set has no such type.
        InvalidInput: ``name`` is no name or that of a model, ``n`` or ``seed`` no whole number from 0 on, ``types`` is
            empty or no list of names, an option is unknown or of the wrong kind, or the folder's data cannot be used;
            the message names the line.
        MissingDependency: the folder is a Hugging Face data set and ``datasets`` is not installed.
    """
    from chiasm.zoo.data.arguments import whole_number

    if not isinstance(name, str | os.PathLike) or not str(name):
        raise InvalidInput(f"The data set is {name!r}; give a name ({', '.join(datasets)}) or a folder of data.")
    given = str(name)
    known = given.removeprefix("zoo:")
    count = None if n is None else whole_number("n", n)
    if known in datasets:
        start = 0 if seed is None else whole_number("seed", seed)
        return _generated(known, SAMPLES if count is None else count, start, types, options)
    place = _place(name)
    for what, value in (("seed", seed), ("types", types)):
        if value is not None:
            raise InvalidInput(
                f"{what}={value!r} is for data sets that are generated; {given!r} is data of your own: leave it out."
            )
    from chiasm.zoo.data import reading  # Pillow takes a moment to import, and nobody needs it to list names

    return reading.read(place, count, **_allowed(given, options, reading.OPTIONS))


def _place(name: str | Path) -> Path:
    """The folder or file that is meant.

    Raises:
        InvalidInput: it is written as a path, and there is none; or it is the name of a model.
        UnknownName: it may be a name as well.
    """
    given = str(name)
    folder = Path(os.path.expanduser(given))  # noqa: PTH111 - this one leaves alone a home that is not known
    if os.path.isdir(folder) or os.path.isfile(folder):  # noqa: PTH112, PTH113 - do not raise for what no path can be
        return folder
    if isinstance(name, os.PathLike) or any(mark in given for mark in "/\\~") or given.startswith("."):
        raise InvalidInput(f"There is no folder or file {given!r}; give one of data, or one of {', '.join(datasets)}.")
    from chiasm.zoo import catalog

    model = given.removeprefix("zoo:")
    if model in catalog.MODELS or model in catalog.SHIPPED:
        raise InvalidInput(
            f"{given!r} is a model: chiasm.load({'zoo:' + model!r}). The data sets are {', '.join(datasets)}."
        )
    raise UnknownName("data set or folder", given, datasets)


def option_kinds(name: str) -> dict[str, frozenset[str]]:
    """The options of a data set or a folder, each with what it takes.

    Args:
        name: as `dataset` takes it.

    Returns:
        Option → some of ``"int"``, ``"float"``, ``"bool"``, ``"str"`` and ``"None"``, or nothing where the data set's
        function does not say.
    """
    known = name.removeprefix("zoo:")
    if known not in datasets:
        from chiasm.zoo.data.reading import OPTIONS

        return dict.fromkeys(OPTIONS, frozenset({"str", "None"}))
    parameters = inspect.signature(datasets.get(known)).parameters.values()
    return {
        parameter.name: _kinds(parameter.annotation)
        for parameter in parameters
        if parameter.name not in ("n", "seed", "types") and parameter.kind is not parameter.VAR_KEYWORD
    }


_KINDS: Final[dict[str, type]] = {"bool": bool, "int": numbers.Integral, "float": numbers.Real, "str": str}
_IN_WORDS: Final = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a text"}


def _kinds(annotation: Any) -> frozenset[str]:
    """The plain types that an annotation names, or nothing if it names any other."""
    written = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    found = frozenset(kind.strip() for kind in written.split("|"))
    return found if found <= {*_KINDS, "None"} else frozenset()


def _fits(value: object, kinds: frozenset[str]) -> bool:
    if value is None or isinstance(value, bool):  # to Python a truth value is a number
        return ("None" if value is None else "bool") in kinds
    return any(isinstance(value, _KINDS[kind]) for kind in kinds - {"None"})


def _generated(name: str, n: int, seed: int, types: Iterable[str] | None, options: dict[str, Any]) -> list[Sample]:
    make = datasets.get(name)
    parameters = inspect.signature(make).parameters
    kinds = option_kinds(name)
    if unknown := options.keys() - kinds.keys():
        from chiasm.zoo.data.reading import OPTIONS

        for option in sorted(unknown.intersection(OPTIONS)):
            raise InvalidInput(
                f"{option}={options[option]!r} is for folders of data; the data set {name!r} is generated: leave it "
                f"out."
            )
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        extra = options
    else:
        extra = _allowed(name, options, list(kinds))
    for key, value in extra.items():
        if kinds.get(key) and not _fits(value, kinds[key]):
            wanted = " or ".join(words for kind, words in _IN_WORDS.items() if kind in kinds[key])
            raise InvalidInput(f"The option {key}={value!r} of the data set {name!r} must be {wanted}.")
    if types is not None:
        from chiasm.zoo.data.arguments import type_names

        if "types" not in parameters:
            raise InvalidInput(f"The data set {name!r} has no question types; leave types={types!r} out.")
        extra = {**extra, "types": type_names(types)}
    made: list[Sample] = make(n, seed, **extra)
    return made


def _allowed(name: str, options: dict[str, Any], allowed: Sequence[str]) -> dict[str, Any]:
    unknown = sorted(options.keys() - set(allowed))
    if unknown:
        takes = f"takes {', '.join(allowed)}" if allowed else "takes none"
        raise InvalidInput(f"The data set {name!r} does not know the option {', '.join(unknown)}; it {takes}.")
    return options
