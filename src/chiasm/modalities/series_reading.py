"""Time series from files, arrays and tables, in one form: channel → numbers at equal steps of time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput

#: a series: channel → ``float64[time]``, all of one length
Series = dict[str, NDArray[np.float64]]

_TAKES: Final = (
    "an array [time] or [time, channels], a table of channel to numbers, a pandas DataFrame, or a file .csv (with a "
    "heading), .npy or .parquet"
)
_MOST: Final = 10_000_000


def read_series(data: Any) -> Series:
    """A series as its one form.

    Args:
        data: an array or list ``[time]`` or ``[time, channels]`` (channels are called ``c0``, ``c1`` …), a mapping of
            channel to numbers, a pandas ``Series`` or ``DataFrame``, or the path of a ``.csv``, ``.npy`` or
            ``.parquet`` file.

    Raises:
        InvalidInput: what cannot be read, with the reason.
    """
    if isinstance(data, str | Path):
        data = _of_file(Path(data).expanduser())
    if hasattr(data, "to_frame") and not hasattr(data, "columns"):
        data = data.to_frame()
    if hasattr(data, "columns") and hasattr(data, "to_numpy"):
        data = _of_table(data)
    if not isinstance(data, Mapping):
        data = _of_array(data)
    return _checked(data)


def _of_table(table: Any) -> dict[str, Any]:
    names = [str(name) for name in table.columns]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InvalidInput(f"The table has more than one column {twice!r}; give every channel a name of its own.")
    return {name: table.iloc[:, k].to_numpy() for k, name in enumerate(names)}


def _of_file(path: Path) -> Any:
    if not path.is_file():
        raise InvalidInput(f"There is no file {str(path)!r} (looked in {Path.cwd()}); check the path.")
    import pandas as pd

    try:
        match path.suffix.lower():
            case ".npy":
                return np.load(path, allow_pickle=False)
            case ".csv":
                return _with_names(pd.read_csv(path), path)
            case ".parquet":
                return pd.read_parquet(path)
    except (ValueError, OSError, EOFError) as error:
        raise InvalidInput(f"The series {str(path)!r} cannot be read: {error}.") from error
    raise InvalidInput(f"The series {str(path)!r} is of no kind that can be read; give {_TAKES}.")


def _with_names(table: Any, path: Path) -> Any:
    """The table, unless its heading is a row of numbers, which would be lost, or a column of row numbers came along."""
    names = [str(name) for name in table.columns]
    if all(_is_number(name) for name in names):
        raise InvalidInput(f"The first line of {str(path)!r} is numbers; put the names of the channels above them.")
    unnamed = [name for name in names if name.startswith("Unnamed: ")]
    if unnamed:
        raise InvalidInput(
            f"{str(path)!r} has a column without a name ({unnamed[0]}), perhaps the row numbers that pandas writes; "
            f"write it by to_csv(…, index=False), or name the column."
        )
    return table


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _of_array(data: Any) -> dict[str, Any]:
    try:
        array = np.asarray(data)
    except ValueError as error:  # rows of several lengths
        raise InvalidInput(f"The series has rows of several lengths; give {_TAKES}.") from error
    if array.dtype.kind not in "iufb" or array.ndim not in (1, 2):
        raise InvalidInput(f"The series is a {type(data).__name__}; give {_TAKES}.")
    columns = array[:, None] if array.ndim == 1 else array
    return {f"c{k}": columns[:, k] for k in range(columns.shape[1])}


def _checked(data: Mapping[Any, Any]) -> Series:
    found: Series = {}
    for name, values in data.items():
        if str(name) in found:
            raise InvalidInput(f"Two channels are named {str(name)!r}; give every channel a name of its own.")
        array = np.asarray(values)
        if array.dtype.kind not in "iufb" or array.ndim != 1:
            raise InvalidInput(f"Channel {name!r} is {array.dtype}{list(array.shape)}; give numbers [time].")
        if not np.isfinite(array).all():
            raise InvalidInput(f"Channel {name!r} has numbers that are not finite; fill or cut them.")
        found[str(name)] = array.astype(np.float64)
    lengths = {len(values) for values in found.values()}
    if len(lengths) != 1 or not next(iter(lengths)):
        raise InvalidInput(f"The channels have {sorted(lengths)} numbers; give channels of one length, at least 1.")
    if len(found) * next(iter(lengths)) > _MOST:
        raise InvalidInput(f"The series has more than {_MOST:,} numbers; give a part of it, or fewer steps.")
    return found


def as_array(content: Series) -> NDArray[np.float64]:
    """``float64[time, channels]``."""
    return np.stack(list(content.values()), axis=1)
