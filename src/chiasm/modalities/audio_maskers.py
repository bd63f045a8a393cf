"""Maskers of sounds: what is heard where a player is absent.

Absent stretches become the baseline, with a fade of half a cosine within each absent stretch wherever it borders on
what is present: 5 ms, or a quarter of the shortest player if that is less. So hiding does not click, and what is
present is not touched. Absent cells of the spectrogram become those of the baseline's, and the sound is what the
spectrogram says by least squares. With everything present the sound is itself, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.content import digest
from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.core.players import PartPlayers, Regions, Spans
from chiasm.modalities.audio_reading import RATE, Sound, read_sound
from chiasm.modalities.audio_spectrum import sound_of, spectrum
from chiasm.modalities.base import ContentMasker, TokenMasker

KNOWN: Final[dict[str, str]] = {
    "silence": "nothing",
    "noise:SEED": "white noise as loud as the sound, the same for the same seed",
    "mean:SEED": "a steady noise with the sound's own mean spectrum, the same for the same seed",
    "sound:PATH": "another sound, repeated or cut to the same length",
}
"""Name → what is heard where a player is absent."""

FADE: Final = 0.005
"""Seconds of a fade."""
_STREAM: Final = 0x50D


@runtime_checkable
class _HasBaseline(Protocol):
    """An object that gives a baseline and so becomes a masker: `AnotherSound`, or your own."""

    @property
    def name(self) -> str: ...

    def baseline(self, content: Sound) -> Sound: ...


def audio_masker(spec: Any) -> ContentMasker:
    """The masker that a word such as ``"silence"`` stands for; an object that is one already is given back.

    Raises:
        UnknownName: no masker has that name.
        InvalidInput: the name is right and its argument is not, or the masker is one of tokens.
    """
    if isinstance(spec, TokenMasker):
        raise InvalidInput(f"The masker {spec.name!r} hides tokens of a text; a sound takes {', '.join(KNOWN)}.")
    if isinstance(spec, ContentMasker) and not isinstance(spec, type):
        return spec
    if isinstance(spec, _HasBaseline) and not isinstance(spec, type):
        return Mixed(spec.name, spec.baseline)
    if not isinstance(spec, str):
        raise InvalidInput(f"{spec!r} is no masker of sounds; give one of {', '.join(KNOWN)}, or AnotherSound.")
    spec = spec.strip()
    name, colon, argument = spec.partition(":")
    if name == "silence" and not colon:
        return Mixed(spec, silence)
    if name in {"noise", "mean"}:
        seed = argument or "0"
        if not seed.isdecimal():
            raise InvalidInput(f"{spec!r}: the seed {argument!r} is no whole number from 0 on.")
        return Mixed(spec, partial(white_noise if name == "noise" else mean_noise, seed=int(seed)))
    if name == "sound":
        if not argument:
            raise InvalidInput(f"{spec!r} names no file; write 'sound:PATH', or pass AnotherSound(sound).")
        return Mixed(spec, AnotherSound(argument).baseline)
    raise UnknownName("audio masker", spec, KNOWN)


def silence(content: Sound) -> Sound:
    """Zeros."""
    return np.zeros_like(content)


def white_noise(content: Sound, seed: int) -> Sound:
    """Normal noise with the root mean square of the sound, clipped to ±1."""
    rng = np.random.default_rng([_STREAM, seed])
    loud = float(np.sqrt(np.mean(content.astype(np.float64) ** 2)))
    return (loud * rng.standard_normal(len(content))).clip(-1, 1).astype(np.float32)


def mean_noise(content: Sound, seed: int) -> Sound:
    """Each bin of the spectrogram at its root mean square over time, with phases drawn by chance."""
    found = spectrum(content)
    rng = np.random.default_rng([_STREAM, seed])
    size = np.sqrt(np.mean(np.abs(found) ** 2, axis=1, keepdims=True))
    noise = sound_of((size * np.exp(2j * np.pi * rng.random(found.shape)))[None], len(content))[0]
    loud, own = (float(np.sqrt(np.mean(one.astype(np.float64) ** 2))) for one in (content, noise))
    return np.asarray((noise * (loud / own if own else 0.0)).clip(-1, 1), np.float32)


@dataclass(frozen=True, eq=False)
class AnotherSound:
    """Another sound as the baseline, repeated or cut to the same length.

    Attributes:
        sound: what `read_sound` takes.
    """

    sound: Any

    @property
    def name(self) -> str:
        """By its content."""
        return f"sound:{digest(read_sound(self.sound))[:12]}"

    @property
    def fingerprint(self) -> str:
        """The same: a path alone does not tell what the file holds."""
        return self.name

    def baseline(self, content: Sound) -> Sound:
        """The other sound at the length of the content."""
        found: Sound = np.resize(read_sound(self.sound), len(content))
        return found


@dataclass(frozen=True, eq=False)
class Mixed:
    """A masker that plays a baseline where players are absent; see the module.

    Attributes:
        name: the masker as it was asked for.
        fill: content → the baseline, as long; must depend on nothing else.
    """

    name: str
    fill: Callable[[Sound], Sound]

    def apply(self, content: Sound, players: PartPlayers, present: NDArray[np.bool_]) -> NDArray[np.float32]:
        """See `chiasm.modalities.base.ContentMasker`.

        Args:
            content: ``float32[samples]``.
            players: with `Spans` in samples, or `Regions` of bins × frames.
            present: ``bool[batch, players]``.

        Returns:
            ``float32[batch, samples]``.

        Raises:
            InvalidInput: players, content and coalitions do not fit together.
        """
        present = np.asarray(present, bool)
        if present.ndim != 2 or present.shape[1] != len(players):
            raise InvalidInput(f"present has shape {present.shape}; it must be (batch, {len(players)}).")
        found = np.repeat(content[None], len(present), axis=0)
        some = ~present.all(axis=1)
        if not some.any():
            return found
        baseline = self.fill(content)
        if isinstance(players.geometry, Spans):
            found[some] = _mixed(content, baseline, players.geometry.bounds, present[some])
        elif isinstance(players.geometry, Regions) and players.geometry.label_map.ndim == 2:
            found[some] = _mixed_cells(content, baseline, players.geometry.label_map, present[some])
        else:
            raise InvalidInput(f"The players of part {players.part!r} are no stretches of a sound and no cells.")
        return found


def _mixed(
    content: Sound, baseline: Sound, bounds: NDArray[np.int64], present: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Sounds with the absent stretches replaced, faded within."""
    from scipy.ndimage import distance_transform_edt

    if bounds.max() > len(content):
        raise InvalidInput(f"A player ends at sample {bounds.max()}, and the sound has {len(content)}.")
    fade = max(1.0, min(FADE * RATE, float((bounds[:, 1] - bounds[:, 0]).min()) / 4))
    found = np.empty((len(present), len(content)), np.float32)
    for row, own in zip(found, present, strict=True):
        hidden = np.zeros(len(content), bool)
        for start, end in bounds[~own]:
            hidden[start:end] = True
        if hidden.all():
            row[:] = baseline
            continue
        depth = distance_transform_edt(hidden)  # how deep in the absent stretch, in samples
        heard = 0.5 + 0.5 * np.cos(np.pi * np.minimum(depth / fade, 1.0))
        row[:] = np.where(hidden, heard * content + (1 - heard) * baseline, content)
    return found


def _mixed_cells(
    content: Sound, baseline: Sound, label_map: NDArray[np.int32], present: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Sounds whose spectrograms have the absent cells replaced."""
    own, other = spectrum(content), spectrum(baseline)
    if own.shape != label_map.shape:
        raise InvalidInput(f"The players are cut on {label_map.shape} bins × frames, and the sound has {own.shape}.")
    found = np.empty((len(present), len(content)), np.float32)
    for row, here in zip(found, present, strict=True):
        shown = np.append(here, True)[label_map]  # -1 is the added last entry
        row[:] = sound_of(np.where(shown, own, other)[None], len(content))[0]
    return found
