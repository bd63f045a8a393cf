"""Does a modality keep its protocol?"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from chiasm.core.content import NoContent, digest
from chiasm.core.errors import ChiasmError, InvalidInput, UnknownName
from chiasm.core.explanation import Explanation
from chiasm.core.players import PartPlayers, Players, Regions, Spans
from chiasm.core.provenance import Provenance
from chiasm.core.sample import kind_of
from chiasm.modalities.base import ContentMasker, Context, DrawnMasker, Masker, Modality, Placement, TokenMasker
from chiasm.models.doctor import content_changed
from chiasm.testing.errors import ConformanceError

Coalitions = NDArray[np.bool_]

#: name of the part that is cut, and a name that nothing has
_PART: Final = "part"
_NOTHING: Final = "no such name"
#: players that are hidden one by one, and further coalitions drawn by chance
_ALONE, _DRAWN = 6, 6


def check_modality(
    modality: Modality,
    examples: Sequence[Any],
    *,
    wrong: Sequence[Any] = (),
    segmenters: Sequence[Any] | None = None,
    maskers: Sequence[Any] | None = None,
    truth: Sequence[ArrayLike] = (),
    seed: int = 0,
) -> None:
    """Run a modality through what every modality of Chiasm must pass.

    Checked, by the name in the error: ``kind`` (a part's name can say it), ``lists`` (what it lists has its defaults,
    with a line each), ``reads`` (the same twice; a content read again is itself; wrong input is refused in words),
    ``told by content`` (value caches know it), ``kept on file``; of every segmenter ``players`` (some; labels; each
    owns something, and nothing has two owners), ``same players`` (twice), ``subset``, ``refuses`` (names that do not
    exist); of every masker ``masker's name``, ``content untouched``, ``form`` (type, shape of arrays, names of
    entries), ``all present`` (the content itself), ``hides`` (with nothing present something changes), ``same result``
    (twice), ``batch`` (a row does not depend on the others), ``own elements`` (hiding a player leaves what others own),
    ``held present`` (players left out by `subset` stay), ``wrong coalitions`` (refused); and ``overlap`` (within 0 to
    1), ``sorts``.

    Maskers of tokens are checked for their name alone: only a model can carry them out.

    Args:
        modality: what to check.
        examples: what users may give as a part, each with some players and not equal to its own baseline.
        wrong: what must be refused when it is read; an ``object()`` always must.
        segmenters: which to try on every example; the default one without.
        maskers: which to try on every example; the default one without.
        truth: planted truths, as `chiasm.Sample` has them, for the first example.
        seed: of coalitions.

    Raises:
        ConformanceError: the first property that does not hold, with what was seen.
    """
    check = _Check(modality, seed)
    check.kind()
    check.lists()
    check.refuses_input(wrong)
    for number, data in enumerate(examples):
        content = check.reads(data)
        for segmenter in segmenters if segmenters is not None else [modality.default_segmenter]:
            players = check.players(content, segmenter)
            check.kept_on_file(players)
            if number == 0:
                check.overlap(players, truth)
            for masker in maskers if maskers is not None else [modality.default_masker]:
                check.masker(content, players, masker)


class _Check:
    def __init__(self, modality: Modality, seed: int) -> None:
        self.modality, self.seed = modality, seed

    def fail(self, name: str, detail: str) -> ConformanceError:
        """The error for a property that does not hold."""
        return ConformanceError(f"Modality {self.modality.kind!r}", name, detail)

    def kind(self) -> None:
        """The kind is what a part's name says."""
        kind = self.modality.kind
        if not kind.isidentifier() or kind_of(kind) != kind:
            raise self.fail("kind", f"{kind!r}: a part's name says its kind up to the first digit or underscore")

    def lists(self) -> None:
        """Lists for ``chiasm list``."""
        for what, default in (("segmenters", "default_segmenter"), ("maskers", "default_masker")):
            listed = getattr(self.modality, what, None)
            if not isinstance(listed, Mapping) or not all(line and isinstance(line, str) for line in listed.values()):
                raise self.fail("lists", f"{what} is {listed!r}; give name → what it does, in a line")
            preset = getattr(self.modality, default).partition(":")[0]
            if preset not in {name.partition(":")[0] for name in listed}:
                raise self.fail("lists", f"{default} is {preset!r} and {what} has {', '.join(listed)}")

    def refuses_input(self, wrong: Sequence[Any]) -> None:
        """Wrong input and names that there are not."""
        for data in (object(), *wrong):
            try:
                self.modality.read(data)
            except InvalidInput:
                continue
            raise self.fail("reads", f"{data!r} was read and is no {self.modality.kind}")
        for name, error in ((_NOTHING, UnknownName), (object(), InvalidInput)):
            try:
                self.modality.masker(name)
            except error:
                continue
            raise self.fail("refuses", f"there is a masker {name!r}")

    def reads(self, data: Any) -> Any:
        """The content: the same twice, and itself when it is read again."""
        content = self.modality.read(data)
        first = self.told(content)
        for again, what in ((data, "the same input"), (content, "the content itself")):
            if self.told(self.modality.read(again)) != first:
                raise self.fail("reads", f"{what} reads differently the second time: {_shown(again)}")
        return content

    def told(self, content: Any) -> str:
        """What a content is, by its digest."""
        try:
            return digest(content)
        except NoContent as error:
            raise self.fail("told by content", str(error)) from error

    def players(self, content: Any, segmenter: Any) -> PartPlayers:
        """Players of a content."""
        before = self.told(content)
        first, second = (self.modality.segment(_PART, content, segmenter, Context()) for _ in range(2))
        if self.told(content) != before:
            raise self.fail("content untouched", f"the segmenter {segmenter!r} changed the content")
        if (first.part, first.kind) != (_PART, self.modality.kind) or self.told(first.content) != before:
            raise self.fail("players", f"{segmenter!r}: part, kind and content of the players must be what was cut")
        if not first.labels or not all(isinstance(label, str) and label for label in first.labels):
            raise self.fail("players", f"{segmenter!r} gives the labels {first.labels!r}; each must be a text")
        self._geometry(first, segmenter)
        if first.labels != second.labels or self.told(first.geometry) != self.told(second.geometry):
            raise self.fail("same players", f"{segmenter!r} cuts differently the second time")
        kept = list(range(0, len(first), 2))
        if first.subset(kept).labels != tuple(first.labels[i] for i in kept):
            raise self.fail("subset", f"{segmenter!r}: the labels of a subset are others")
        self._sorts(first)
        for name, error in ((_NOTHING, UnknownName), (object(), InvalidInput)):
            try:
                self.modality.segment(_PART, content, name, Context())
            except error:
                continue
            raise self.fail("refuses", f"there is a segmenter {name!r}")
        return first

    def _geometry(self, players: PartPlayers, segmenter: Any) -> None:
        """Each player owns something and nothing has two owners."""
        where, n = players.geometry, len(players)
        if isinstance(where, Regions):
            found = set(np.unique(where.label_map).tolist())
            if where.label_map.dtype != np.int32 or not set(range(n)) <= found <= set(range(-1, n)):
                raise self.fail(
                    "players", f"{segmenter!r}: {where.label_map.dtype} owners {sorted(found)} of {n} players"
                )
        elif isinstance(where, Spans):
            bounds = where.bounds[np.argsort(where.bounds[:, 0], kind="stable")]
            if where.bounds.shape != (n, 2) or (bounds[:, 0] >= bounds[:, 1]).any() or bounds[0, 0] < 0:
                raise self.fail("players", f"{segmenter!r}: spans {where.bounds.tolist()} of {n} players")
            if (bounds[1:, 0] < bounds[:-1, 1]).any() or bounds[-1, 1] > len(players.content):
                raise self.fail("players", f"{segmenter!r}: spans overlap or pass the end: {where.bounds.tolist()}")

    def _sorts(self, players: PartPlayers) -> None:
        """A name for each player."""
        sorts = getattr(self.modality, "sorts", None)
        if sorts is None:
            return
        found = list(sorts(players, None))
        if len(found) != len(players) or not all(isinstance(sort, str) and sort for sort in found):
            raise self.fail("sorts", f"{found!r} for {len(players)} players; give a text for each")

    def kept_on_file(self, players: PartPlayers) -> None:
        """Content and geometry come back from a saved explanation."""
        e = Explanation(Players([players]), np.zeros(len(players)), provenance=Provenance("exact", "SII"))
        with tempfile.TemporaryDirectory() as folder:
            try:
                back = Explanation.load(e.save(Path(folder) / "e.json")).players[_PART]
            except ChiasmError as error:
                raise self.fail("kept on file", str(error)) from error
        for what in ("content", "geometry"):
            if self.told(getattr(back, what)) != self.told(getattr(players, what)):
                raise self.fail("kept on file", f"the {what} comes back as another: {_shown(getattr(back, what))}")

    def overlap(self, players: PartPlayers, truth: Sequence[ArrayLike]) -> None:
        """Shares of players that a truth covers."""
        for one in truth:
            share = self.modality.overlap(players, np.asarray(one), Placement())
            if share.shape != (len(players),) or share.dtype != np.float64 or share.min() < 0 or share.max() > 1:
                raise self.fail("overlap", f"{share!r} for {len(players)} players; float64 within 0 to 1 is needed")
        try:
            self.modality.overlap(players, np.array(["nonsense"]), Placement())
        except InvalidInput:
            return
        raise self.fail("overlap", "a truth of texts was taken")

    def masker(self, content: Any, players: PartPlayers, spec: Any) -> None:
        """Everything that is checked of a masker."""
        masker = self.modality.masker(spec)
        if isinstance(spec, str) and masker.name != spec:
            raise self.fail("masker's name", f"{spec!r} is called {masker.name!r}")
        if self.modality.masker(masker).name != masker.name or not masker.name:
            raise self.fail("masker's name", f"the masker {masker.name!r} given again is not taken for itself")
        for one in _ways(masker):
            self._laws(content, players, one)

    def _laws(self, content: Any, players: PartPlayers, masker: ContentMasker) -> None:
        name, whole = masker.name, self.told(content)
        present = self._coalitions(len(players))
        rows = list(masker.apply(content, players, present))
        told = [self.told(row) for row in rows]
        if self.told(content) != whole:
            raise self.fail("content untouched", f"the masker {name!r} changed the content")
        if len(rows) != len(present):
            raise self.fail("form", f"{name!r} gives {len(rows)} contents for {len(present)} coalitions")
        for row in rows:
            if _form(row) != _form(content):
                raise self.fail("form", f"{name!r} makes {_form(row)} of {_form(content)}")
        if told[0] != whole:
            raise self.fail("all present", f"{name!r} changes the content when all is present: {_shown(rows[0])}")
        if told[1] == whole:
            raise self.fail("hides", f"{name!r} with nothing present gives the content: {_shown(rows[1])}")
        self._again(content, players, masker, present, told)
        for i in range(min(len(players), _ALONE)):
            if changed := content_changed(content, rows[2 + i], players, i):
                raise self.fail("own elements", f"{name!r}, player {players.labels[i]!r} hidden: {changed}")
        self._held_present(content, players, masker, present, told)
        self._wrong_coalitions(content, players, masker)

    def _again(
        self, content: Any, players: PartPlayers, masker: ContentMasker, present: Coalitions, told: list[str]
    ) -> None:
        """The same contents a second time, together and one by one."""
        name = masker.name
        if [self.told(row) for row in masker.apply(content, players, present)] != told:
            raise self.fail("same result", f"{name!r} gives other contents the second time")
        single = [self.told(masker.apply(content, players, present[i : i + 1])[0]) for i in range(len(present))]
        if single != told:
            raise self.fail("batch", f"{name!r}: coalition {_differs(single, told)} depends on the others of its batch")

    def _coalitions(self, n: int) -> Coalitions:
        """All present, none, all but one, and some by chance."""
        rng = np.random.default_rng(self.seed)
        alone = ~np.eye(n, dtype=bool)[:_ALONE]
        return np.concatenate([np.ones((1, n), bool), np.zeros((1, n), bool), alone, rng.random((_DRAWN, n)) < 0.5])

    def _held_present(
        self, content: Any, players: PartPlayers, masker: ContentMasker, present: Coalitions, told: list[str]
    ) -> None:
        """Of a subset of the players the others are always present."""
        kept = list(range(0, len(players), 2))
        others = np.setdiff1d(np.arange(len(players)), kept)
        rows = [i for i, row in enumerate(present) if row[others].all()]
        found = masker.apply(content, players.subset(kept), present[np.ix_(rows, kept)])
        if [self.told(row) for row in found] != [told[i] for i in rows]:
            raise self.fail("held present", f"{masker.name!r} does not leave players present that a subset lacks")

    def _wrong_coalitions(self, content: Any, players: PartPlayers, masker: ContentMasker) -> None:
        for shape in ((len(players) + 1,), (1, len(players) + 1)):
            try:
                masker.apply(content, players, np.ones(shape, bool))
            except InvalidInput:
                continue
            raise self.fail("wrong coalitions", f"{masker.name!r} takes {shape} for {len(players)} players")


def _ways(masker: Masker) -> Iterator[ContentMasker]:
    """A masker, and its first and last draw where it is drawn; none of tokens."""
    if isinstance(masker, TokenMasker):
        return
    yield masker
    if isinstance(masker, DrawnMasker):
        yield masker.draw(masker.draws - 1)


def _form(content: Any) -> Any:
    """What must stay as it is: the type; of arrays number format and shape; of mappings the entries and their types."""
    if isinstance(content, np.ndarray):
        return content.dtype.name, content.shape
    if isinstance(content, Mapping):
        return [(name, _number_format(value)) for name, value in content.items()]
    return type(content).__name__


def _number_format(value: Any) -> str:
    """The type of an entry; arrays may grow and shrink: edges are dropped."""
    return str(value.dtype.name) if isinstance(value, np.ndarray) else type(value).__name__


def _differs(first: Sequence[str], second: Sequence[str]) -> int:
    return next(i for i, (a, b) in enumerate(zip(first, second, strict=True)) if a != b)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}…"
