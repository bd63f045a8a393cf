"""All readings by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chiasm.core.errors import UnknownName
from chiasm.models.remote.reading import Reading, Settings
from chiasm.models.remote.readings_drawn import Samples, Similarity, Votes
from chiasm.models.remote.readings_log import Choice, First, Forced, Prompt

READINGS: Final[Mapping[str, type[Reading]]] = {
    "prompt": Prompt,
    "forced": Forced,
    "first": First,
    "choice": Choice,
    "samples": Samples,
    "votes": Votes,
    "similarity": Similarity,
}
"""Name → reading."""


def reading_of(name: str, settings: Settings) -> Reading:
    """The reading of a name.

    Raises:
        UnknownName: there is none.
    """
    if name not in READINGS:
        raise UnknownName("reading", name, READINGS)
    return READINGS[name](settings)
