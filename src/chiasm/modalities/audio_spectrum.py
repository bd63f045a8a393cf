"""The spectrogram that cells of a sound are cut on, and the way back: exact where nothing is changed."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from chiasm.modalities.audio_reading import Sound

WINDOW: Final = 512
"""Samples of a Hann window: 32 ms."""
HOP: Final = 128
BINS: Final = WINDOW // 2 + 1
"""Bins of frequency, 0 to 8 kHz."""


def _transform() -> Any:
    from scipy.signal import ShortTimeFFT
    from scipy.signal.windows import hann

    return ShortTimeFFT(hann(WINDOW, sym=False), HOP, fs=1.0)


def _padded(content: Sound) -> NDArray[np.float64]:
    """A sound of at least one window: shorter ones end in silence."""
    return np.pad(content.astype(np.float64), (0, max(0, WINDOW - len(content))))


def spectrum(content: Sound) -> NDArray[np.complex128]:
    """Short-time Fourier transform, ``complex128[BINS, frames]``."""
    found: NDArray[np.complex128] = _transform().stft(_padded(content))
    return found


def sound_of(spectra: NDArray[np.complex128], length: int) -> Sound:
    """Sounds of spectrograms ``complex128[batch, BINS, frames]``: ``float32[batch, length]``, by least squares."""
    found = _transform().istft(spectra, k1=max(length, WINDOW), f_axis=-2, t_axis=-1)
    return np.asarray(found[:, :length].real.clip(-1, 1), np.float32)


def frames_of(length: int) -> int:
    """Frames of the spectrogram of a sound of so many samples."""
    found: int = _transform().p_num(max(length, WINDOW))
    return found
