"""Sounds from files and arrays, in one form: one channel, 16,000 samples a second, numbers between −1 and 1."""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import InvalidInput, MissingDependency

#: a sound: ``float32[samples]``, one channel, `RATE` samples a second, within −1 to 1
Sound = NDArray[np.float32]

RATE: Final = 16_000
"""Samples a second: what speech encoders (Whisper and its kin) take."""
_LONGEST: Final = 3600 * RATE
#: full scale of the integer formats of WAV files
_FULL: Final = {"int16": 2.0**15, "int32": 2.0**31, "uint8": 2.0**7}


def read_sound(data: Any) -> Sound:
    """A sound as its one form; several channels become their mean, another rate is resampled.

    Args:
        data: the path of a WAV file (any other format needs ``soundfile``), the bytes of one, an array of samples at
            16,000 a second, a pair ``(array, rate)``, or a mapping with ``array`` and ``sampling_rate`` (or ``bytes``
            or ``path``), as Hugging Face ``datasets`` gives it. Arrays are float within −1 to 1, or integers of full
            scale; ``[samples]`` or ``[samples, channels]``.

    Raises:
        InvalidInput: what cannot be read, with the reason.
        MissingDependency: the file is no WAV file, and ``soundfile`` is not installed.
    """
    if isinstance(data, Mapping):
        return read_sound(_of_mapping(data))
    if isinstance(data, str | Path):
        samples, rate = _of_file(Path(data).expanduser())
    elif isinstance(data, bytes | bytearray):
        samples, rate = _decoded(io.BytesIO(bytes(data)), "given")
    elif isinstance(data, tuple) and len(data) == 2:
        samples, rate = _numbers(data[0]), data[1]
    elif isinstance(data, np.ndarray | list):
        samples, rate = _numbers(data), RATE
    else:
        raise InvalidInput(
            f"The sound is a {type(data).__name__}; give a path, an array of {RATE:,} samples a second, or (array, "
            f"rate)."
        )
    return _one_form(samples, rate)


def _of_mapping(data: Mapping[str, Any]) -> Any:
    if data.get("array") is not None:
        return _numbers(data["array"]), data.get("sampling_rate", RATE)
    for name in ("bytes", "path"):
        if data.get(name) is not None:
            return data[name]
    raise InvalidInput(f"The sound is a table of {', '.join(map(str, data))}; it needs array and sampling_rate.")


def _numbers(data: Any) -> NDArray[Any]:
    try:
        return np.asarray(data)
    except ValueError as error:  # rows of several lengths
        raise InvalidInput("The sound has channels of several lengths; give [samples, channels].") from error


def _of_file(path: Path) -> tuple[NDArray[Any], Any]:
    if not path.is_file():
        raise InvalidInput(f"There is no file {str(path)!r} (looked in {Path.cwd()}); check the path.")
    with path.open("rb") as file:
        return _decoded(file, repr(str(path)))


def _decoded(file: Any, what: str) -> tuple[NDArray[Any], Any]:
    """Samples and rate of a file; SciPy reads WAV, ``soundfile`` the rest."""
    from scipy.io import wavfile

    start = file.read(4)
    file.seek(0)
    if not start:
        raise InvalidInput(f"The sound {what} is empty, 0 bytes; check how it was written.")
    if start in (b"RIFF", b"RIFX", b"RF64"):
        try:
            rate, samples = wavfile.read(file)
        except (ValueError, EOFError, struct.error) as error:  # the last where the file breaks off in its head
            raise InvalidInput(f"The sound {what} cannot be read as WAV: {error}.") from error
        return samples, rate
    try:
        soundfile = importlib.import_module("soundfile")
    except ImportError as error:
        raise MissingDependency("soundfile", f"the sound {what}, which is no WAV file", "audio") from error
    try:
        samples, rate = soundfile.read(file, always_2d=False)
    except soundfile.LibsndfileError as error:
        raise InvalidInput(f"The sound {what} cannot be read: {error}.") from error
    return samples, rate


def _one_form(samples: NDArray[Any], rate: Any) -> Sound:
    if (
        isinstance(rate, bool)
        or not isinstance(rate, int | float | np.integer | np.floating)
        or not 1000 <= rate <= 1e6
    ):
        raise InvalidInput(f"The rate of the sound is {rate!r}; give samples a second, e.g. (array, 44100).")
    if samples.dtype.kind not in "iuf" or samples.ndim not in (1, 2) or samples.size == 0:
        raise InvalidInput(
            f"The sound is {samples.dtype}{list(samples.shape)}; give numbers [samples] or [samples, channels], and "
            f"not none."
        )
    if samples.ndim == 2 and samples.shape[1] > 32:
        raise InvalidInput(f"The sound has {samples.shape[1]} channels; give [samples, channels], perhaps array.T.")
    found = _floats(samples)
    if not np.isfinite(found).all():
        raise InvalidInput("The sound has samples that are no finite numbers; mend or cut them.")
    if np.abs(found).max() > 1.001:
        raise InvalidInput(
            f"The sound reaches {np.abs(found).max():.4g}; samples lie within −1 and 1: divide by the full scale."
        )
    if found.ndim == 2:
        found = found.mean(axis=1)
    if rate != RATE:
        found = _resampled(found, float(rate))
    if len(found) > _LONGEST:
        raise InvalidInput(
            f"The sound is {len(found) / RATE:,.0f} seconds long; give at most an hour, e.g. a part of it."
        )
    return np.clip(found, -1, 1).astype(np.float32)


def _floats(samples: NDArray[Any]) -> NDArray[np.float64]:
    """Samples within −1 to 1; unsigned bytes have their zero at 128."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float64)
    full = _FULL.get(samples.dtype.name)
    if full is None:
        raise InvalidInput(f"The sound has samples of {samples.dtype}; give int16, int32, uint8 or float.")
    return (samples.astype(np.float64) - (full if samples.dtype.kind == "u" else 0.0)) / full


def _resampled(samples: NDArray[np.float64], rate: float) -> NDArray[np.float64]:
    from fractions import Fraction

    from scipy.signal import resample_poly

    ratio = Fraction(RATE / rate).limit_denominator(2000)
    found: NDArray[np.float64] = resample_poly(samples, ratio.numerator, ratio.denominator)
    return found
