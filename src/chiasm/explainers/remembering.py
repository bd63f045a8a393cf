"""What a model's game remembers from earlier runs: its key in the value cache, and how to go on where that fails."""

from __future__ import annotations

from dataclasses import replace
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from chiasm.core.cache import CacheChoice, CachedValues, CacheError, ValueCache, chosen_folder
from chiasm.core.coalitions import Coalitions
from chiasm.core.content import NoContent, code_of, digest
from chiasm.core.game import Counts
from chiasm.core.provenance import Provenance, installed_versions
from chiasm.core.sample import Sample
from chiasm.modalities import modalities
from chiasm.modalities.base import Masker
from chiasm.models.base import Adapter
from chiasm.models.games import ModelGame, PartChoice, by_part

#: rooms whose code makes the values
_ROOMS = ("core", "modalities", "models")
#: packages that make none
_NO_PART = ("python", "chiasm", "shapiq")
#: how `chiasm.models.function.FunctionModel` begins a fingerprint that it made up itself
_MADE_UP = "function:"


def masker_objects(adapter: Adapter, sample: Sample, maskers: PartChoice) -> dict[str, Any]:
    """The maskers of all parts as the objects that they will be, so that they can be told by their content.

    Args:
        adapter: says which maskers it likes best.
        sample: the input.
        maskers: as `chiasm.models.games.make_game` takes them; the result can be given there in their place.

    Raises:
        UnknownName, InvalidInput: no such part or masker.
    """
    chosen = by_part(maskers, sample, "maskers")
    for name, part in sample.parts.items():
        if part.kind in modalities:  # else the adapter says what it takes
            modality = modalities.get(part.kind)
            usual = modality.masker(adapter.default_maskers.get(part.kind, modality.default_masker))
            given = chosen.get(name, usual.name)
            # a model's own masker may be an object, of which an explanation in a file has the name alone
            chosen[name] = usual if given == usual.name else modality.masker(given)
    return chosen


def game_key(adapter: Adapter, match: ModelGame, maskers: dict[str, Masker]) -> str:
    """Digest of everything that can change a value of a model's game.

    Which is: the contents of the parts as the model sees them, in their order; the players' geometry; the maskers with
    their parameters; the resolved target; the adapter and its fingerprint (weights, number format, processor); the
    kind of device; Chiasm's code and the versions of the packages that values go through. What is held fixed, the
    index, the estimator, its budget and its seed play no part: they choose among the same values.

    Raises:
        NoContent: a part of that cannot be told by its content; the message says which.
    """
    fingerprint = adapter.fingerprint
    if not fingerprint or (adapter.family == "function" and fingerprint.startswith(_MADE_UP)):
        raise NoContent(
            f"nobody can see whether {adapter.name!r} still computes what it did: give it a fingerprint of its own, "
            f"as FunctionModel(f, fingerprint='a text that changes with the function') does"
        )
    kind = type(adapter)
    device = getattr(adapter, "device", None) or getattr(getattr(adapter, "model", None), "device", None)
    made_by = {
        "code": code_of(*_ROOMS),
        "versions": {name: v for name, v in installed_versions().items() if name not in _NO_PART},
        "adapter": f"{kind.__module__}.{kind.__qualname__}",
        "fingerprint": fingerprint,
        "function": adapter.name if adapter.family == "function" else None,
        "device": str(device).partition(":")[0],
    }
    players = match.game.all_players
    parts = [
        [
            name,
            players[name].kind,
            _told(f"the content of part {name!r}", content),
            _told(f"what the model says of part {name!r}", match.prepared.contexts.get(name)),
            _geometry(players[name]),
            _told(f"the masker of part {name!r}", maskers[name]),
        ]
        for name, content in match.prepared.contents.items()
    ]
    return digest({"made by": made_by, "parts": parts, "target": _told("the target", match.target)})


def _told(what: str, thing: Any) -> str:
    try:
        return digest(thing)
    except NoContent as error:
        raise NoContent(f"{what}: {error}") from error


def _geometry(part: Any) -> str:
    """Where the players of a part are: their labels do not matter."""
    if part.geometry is None:
        raise NoContent(f"the players of part {part.part!r} do not say where they are (they have no geometry)")
    return _told(f"the players of part {part.part!r}", [len(part), part.geometry])


class Recall:
    """The memory of a model's game. Whatever is wrong with the file ends in a note and never in the run.

    Args:
        choice: where, see `chiasm.core.cache.chosen_folder`.

    Attributes:
        notes: what could not be remembered and why, for the provenance.

    Raises:
        InvalidInput: the choice is none.
    """

    def __init__(self, choice: CacheChoice) -> None:
        """Nothing is opened yet."""
        self._folder = chosen_folder(choice)
        self.notes: list[str] = []
        self._cache: ValueCache | None = None
        self._values: CachedValues | None = None
        self._writes = True

    def open(self, adapter: Adapter, match: ModelGame, maskers: dict[str, Masker]) -> None:
        """Say which game it is; before that, nothing is known."""
        if self._folder is None or adapter.own_memory:
            return
        try:
            key = game_key(adapter, match, maskers)
            players = match.game.all_players
            self._cache = ValueCache(self._folder)
            about = {
                "model": adapter.name,
                "adapter": adapter.family,
                "target": match.target.describe(),
                "players": {name: len(part) for name, part in players.parts.items()},
                "maskers": match.maskers,
            }
            self._values = self._cache.values(key, len(players), about)
        except NoContent as error:
            self.notes.append(f"values were not remembered: {error}")
        except CacheError as error:
            self.notes.append(f"values were not remembered: {error}")

    def get(self, coalitions: Coalitions) -> NDArray[np.float64]:
        """See `chiasm.core.game.Memory`; all NaN once the file has failed."""
        if self._values is not None:
            try:
                return self._values.get(coalitions)
            except CacheError as error:
                self._values, self._writes = None, False
                self.notes.append(f"values were not remembered: {error}")
        return np.full(len(coalitions), np.nan)

    def put(self, coalitions: Coalitions, values: NDArray[np.float64]) -> None:
        """See `chiasm.core.game.Memory`; nothing happens once the file has failed."""
        if self._values is not None and self._writes:
            try:
                self._values.put(coalitions, values)
            except CacheError as error:
                self._writes = False
                self.notes.append(f"new values were not remembered: {error}")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is held back, also after an error or an interruption, and close the file."""
        if self._values is not None and self._writes:
            try:
                self._values.flush()
            except CacheError as failure:
                if self._values.unwritten:  # else only the time of the last use is lost
                    self.notes.append(f"new values were not remembered: {failure}")
        if self._values is not None and self._values.damaged:
            self.notes.append(f"{self._values.damaged:,} damaged batches of values in the value cache were left out")
        if self._cache is not None:
            self._cache.close()

    def told(self, provenance: Provenance, counts: Counts, whence: str = "earlier runs") -> Provenance:
        """The provenance of a run, with what was remembered.

        Args:
            provenance: where every distinct value counts as computed.
            counts: of the game that has this memory.
            whence: where remembered values come from, in words.
        """
        notes = [*provenance.notes, *self.notes]
        if counts.cached:
            share = f"{counts.cached:,} of {counts.requested:,}" if counts.computed else f"all {counts.requested:,}"
            notes.append(f"{share} values were remembered from {whence}")
        cached = provenance.requested - counts.computed
        return replace(provenance, computed=counts.computed, cached=cached, passes=counts.passes, notes=notes)
