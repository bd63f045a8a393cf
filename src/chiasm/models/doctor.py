"""Whether an adapter tells the truth about its model: the checks behind ``chiasm doctor``.

An explanation is worth as much as the values it is made of. Each check states in words what was measured, what it
means, and, where it failed, what to do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions
from chiasm.core.errors import ChiasmError, InvalidInput
from chiasm.core.players import PartPlayers, Players, Regions, Spans
from chiasm.core.sample import Part, Sample
from chiasm.core.target import Target
from chiasm.modalities import modalities
from chiasm.modalities.base import ContentMasker, Masker
from chiasm.models.base import Adapter, Check, Prepared

#: players of one part that are masked one by one
_TRIED = 8
#: what a model, its processor or a masker may raise when an adapter feeds it wrongly; anything else is a bug here
_SICK = (ChiasmError, ArithmeticError, LookupError, RuntimeError, TypeError, ValueError)


@runtime_checkable
class ShowsMaskedInputs(Protocol):
    """An adapter that shows what it feeds its model. Optional; the only way to check maskers that work on tokens."""

    def masked_inputs(
        self, prepared: Prepared, players: Players, maskers: Mapping[str, Masker], coalitions: Coalitions
    ) -> dict[str, Any]:
        """What the model is fed of each part under ``bool[batch, players]``; parts may be left out.

        A part with a masker that works on contents: a list of ``batch`` contents. A part with a masker that works on
        tokens: a dictionary of ``ids`` (``int64[batch, tokens]``), ``attention`` (``bool[batch, tokens]``) and
        ``spans`` (``int64[tokens, 2]``, the characters of each position; −1, −1 for special and template tokens).
        """
        ...


@dataclass(frozen=True, eq=False)
class _Case:
    """An adapter with one sample, ready to be asked."""

    adapter: Adapter
    sample: Sample
    prepared: Prepared
    players: Players
    maskers: Mapping[str, Masker]
    target: Target
    tolerance: float

    def values(self, coalitions: Coalitions, batch_size: int | None = None) -> NDArray[np.float64]:
        """Values from a fresh value function, so that nothing is answered from memory."""
        function = self.adapter.values(self.prepared, self.players, self.maskers, self.target, batch_size)
        size = max(1, function.batch_size)
        pieces = [function(coalitions[k : k + size]) for k in range(0, len(coalitions), size)]
        return np.concatenate([np.asarray(piece, np.float64).reshape(-1) for piece in pieces])

    def everyone(self, rows: int = 1) -> Coalitions:
        """Coalitions of all players."""
        return np.ones((rows, len(self.players)), bool)

    def near(self, a: Any, b: Any) -> bool:
        """Whether numbers agree within the tolerance, relative above 1."""
        a, b = np.asarray(a), np.asarray(b)
        return a.shape == b.shape and bool((np.abs(a - b) <= self.tolerance * np.maximum(1.0, np.abs(b))).all())


def examine(
    adapter: Adapter,
    sample: Sample,
    segmenters: Mapping[str, Any] | None = None,
    maskers: Mapping[str, Any] | None = None,
    *,
    target: Target | None = None,
    tolerance: float | None = None,
) -> list[Check]:
    """Run every check on an adapter.

    Args:
        adapter: the adapter.
        sample: any sample that the model takes; more players and a less simple picture make sharper checks.
        segmenters: part → segmenter; parts left out get their modality's default.
        maskers: part → masker or its name; parts left out get what suits the model.
        target: what is explained; by default the adapter's own.
        tolerance: largest difference between two numbers that should be equal, relative above 1;
            by default 1e-4, and 0.02 for an adapter whose ``dtype`` is half precision.

    Returns:
        One `Check` a line of the table; a check that fails, or in which the model raises, is ``ok=False``.

    Raises:
        ChiasmError: the sample, target, segmenters or maskers cannot be used with this model at all.
    """
    prepared = adapter.prepare(sample)
    resolved, _ = adapter.resolve(prepared, target or adapter.default_target)
    players = prepared.players(segmenters or {})
    for name in maskers or {}:
        players[name]  # raises for unknown parts
    chosen: dict[str, Masker] = {}
    for name, part in sample.parts.items():
        modality = modalities.get(part.kind)
        default = adapter.default_maskers.get(part.kind, modality.default_masker)
        chosen[name] = modality.masker((maskers or {}).get(name, default))
    adapter.values(prepared, players, chosen, resolved, None)  # a masker that the model cannot carry out is refused
    if tolerance is None:
        half = str(getattr(adapter, "dtype", "")).endswith(("float16", "half"))
        tolerance = 0.02 if half else 1e-4
    case = _Case(adapter, sample, prepared, players, chosen, resolved, tolerance)
    checks = [
        _guarded("the full coalition is the plain forward pass", lambda name: _full(case, name)),
        _guarded("the empty coalition differs from the full one", lambda name: _empty(case, name)),
    ]
    for cut in players.parts:
        checks += _part_checks(case, cut)
    checks.append(_guarded("a batch gives what single coalitions give", lambda name: _batch(case, name)))
    checks.append(_guarded("asking twice gives the same value", lambda name: _twice(case, name)))
    return checks + _own_checks(adapter, sample)


def _part_checks(case: _Case, part: str) -> list[Check]:
    names = (
        f"masking a player of {part!r} changes that player alone",
        f"{part!r} reaches the model",
        f"{part!r} takes its own place in the model",
    )
    if not len(case.players[part]):
        return [Check(name, None, f"Part {part!r} has no players on this sample; give one that has.") for name in names]
    runs = (_alone, _reaches, _place)
    return [
        _guarded(name, lambda name, run=run: run(case, part, name))  # type: ignore[misc]
        for name, run in zip(names, runs, strict=True)
    ]


def _own_checks(adapter: Adapter, sample: Sample) -> list[Check]:
    try:
        return list(adapter.checks(sample))
    except _SICK as error:
        return [_failed(f"checks of the family {adapter.family!r}", _raised(error))]


def _guarded(name: str, run: Callable[[str], Check]) -> Check:
    """A check in which the patient dies is a check that failed, not the end of the visit."""
    try:
        return run(name)
    except _SICK as error:
        return _failed(name, _raised(error))


def _passed(name: str, detail: str) -> Check:
    return Check(name, ok=True, detail=detail)


def _failed(name: str, detail: str) -> Check:
    return Check(name, ok=False, detail=detail)


def _raised(error: BaseException) -> str:
    return f"The model raised {type(error).__name__}: {error}"


def _full(case: _Case, name: str) -> Check:
    plain = case.adapter.plain_value(case.prepared, case.target)
    full = float(case.values(case.everyone())[0])
    if plain is None:
        return Check(name, None, f"v(N) = {full:.6g}; this adapter has no other path to compare with.")
    numbers = f"v(N) = {full:.6g}, plain forward pass = {plain:.6g}"
    caveat = case.adapter.plain_caveat()
    if case.near(full, plain):
        return _passed(name, f"{numbers}. {caveat}".strip())
    advice = "Explanations would be of another model: compare pixel values, ids and masks of the two paths."
    return _failed(name, f"{numbers}: they differ by {abs(full - plain):.3g}. {advice}")


def _empty(case: _Case, name: str) -> Check:
    full, empty = case.values(np.vstack([case.everyone(), ~case.everyone()]))
    if full != empty:
        return _passed(name, f"v(N) = {full:.6g}, v(∅) = {empty:.6g}.")
    advice = "Hiding everything changes nothing: the maskers do not reach the model, or its answer is a constant."
    return _failed(name, f"v(N) = v(∅) = {full:.6g}. {advice}")


def _reaches(case: _Case, part: str, name: str) -> Check:
    without = case.everyone(2)
    without[1, case.players.slices[part]] = False
    full, rest = case.values(without)
    if full != rest:
        return _passed(name, f"v(N) = {full:.6g}, without {part!r} {rest:.6g}.")
    advice = (
        f"Hiding all of {part!r} changes nothing, to the last digit: the model does not read it, the adapter does not "
        f"pass it on, or the value is so coarse (a yes or no) that this sample cannot tell; try another sample."
    )
    return _failed(name, f"v(N) = {full:.6g} with and without it. {advice}")


def _place(case: _Case, part: str, name: str) -> Check:
    """v(half of one part hidden) against the plain path on a sample that has the hidden content to begin with."""
    kind = case.sample[part].kind
    modality = modalities.get(kind)
    masker = case.maskers[part]
    if not isinstance(masker, ContentMasker):
        masker = modality.masker(modality.default_masker)
    if not isinstance(masker, ContentMasker):
        return Check(name, None, f"Kind {kind!r} has no masker of contents to check with.")
    coalition = case.everyone()
    coalition[0, case.players.slices[part]][::2] = False
    own = coalition[:, case.players.slices[part]]
    hidden = masker.apply(case.prepared.contents[part], case.players[part], own)[0]
    parts: dict[str, Any] = {**case.sample.parts, part: Part(kind, hidden)}
    changed = Sample(**parts)
    try:
        prepared = case.adapter.prepare(changed)
    except InvalidInput as error:
        return Check(name, None, f"The masked content cannot be given to the model as an input of its own: {error}")
    if not _same(prepared.contents[part], hidden):
        return Check(name, None, "The model's processor changes a content that it has fitted before; not checkable.")
    # an adapter that spells an answer as suits a sample keeps the tokens there; both sides must be about the same ones
    spelled, other = (getattr(p.state, "answers", None) for p in (case.prepared, prepared))
    if isinstance(spelled, dict) and isinstance(other, dict):
        other.update(spelled)
    plain = case.adapter.plain_value(prepared, case.target)
    if plain is None:
        return Check(name, None, "This adapter has no plain path to compare with.")
    swapped = replace(case, maskers={**case.maskers, part: masker})
    value = float(swapped.values(coalition)[0])
    numbers = f"Half of {part!r} hidden: v = {value:.6g}, plain forward pass on the same = {plain:.6g}"
    if case.near(value, plain):
        return _passed(name, f"{numbers}.")
    advice = f"The coalition of {part!r} is applied to another part, or parts are fed in another order than given."
    return _failed(name, f"{numbers}: they differ by {abs(value - plain):.3g}. {advice}")


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.shape == b.shape and bool((a == b).all())
    return bool(a == b)


def _batch(case: _Case, name: str) -> Check:
    rng = np.random.default_rng(0)
    coalitions = np.vstack([case.everyone(), ~case.everyone(), rng.random((6, len(case.players))) < 0.5])
    together = case.values(coalitions)
    alone = np.concatenate([case.values(row[None], 1) for row in coalitions])
    backwards = case.values(coalitions[::-1])[::-1]
    if together.shape != alone.shape:
        return _failed(name, f"{len(coalitions)} coalitions in a batch gave {len(together)} values.")
    worst = max(float(np.abs(together - alone).max()), float(np.abs(backwards - alone).max()))
    if case.near(together, alone) and case.near(backwards, alone):
        return _passed(name, f"{len(coalitions)} coalitions: largest difference {worst:.2g}.")
    advice = (
        "A value depends on its neighbours in the batch: rows are mixed up, padding is attended to, or positions "
        "shift with padding. Use batch size 1 until it is mended."
    )
    return _failed(name, f"{len(coalitions)} coalitions: largest difference {worst:.3g}. {advice}")


def _twice(case: _Case, name: str) -> Check:
    coalitions = case.everyone(2)
    coalitions[1, ::2] = False
    first, second = case.values(coalitions), case.values(coalitions)
    worst = float(np.abs(first - second).max())
    if case.near(first, second):
        return _passed(name, f"Largest difference between two runs {worst:.2g}.")
    advice = "The model is random: dropout is on (call eval()), it samples, or it is remote; values would be noise."
    return _failed(name, f"Two runs on the same coalition differ by {worst:.3g}. {advice}")


def _alone(case: _Case, part: str, name: str) -> Check:
    """Players are hidden one by one, and whatever the model is fed may change at the hidden player's place alone."""
    own, masker = case.players[part], case.maskers[part]
    tried = np.unique(np.linspace(0, len(own) - 1, min(_TRIED, len(own))).round().astype(int))
    coalitions = case.everyone(len(tried) + 1)
    for row, player in enumerate(tried, start=1):
        coalitions[row, case.players.slices[part].start + player] = False
    shown = None
    if isinstance(case.adapter, ShowsMaskedInputs):
        shown = case.adapter.masked_inputs(case.prepared, case.players, case.maskers, coalitions).get(part)
    if shown is None and isinstance(masker, ContentMasker):
        shown = masker.apply(case.prepared.contents[part], own, coalitions[:, case.players.slices[part]])
    if shown is None:
        return Check(name, None, f"Masker {masker.name!r} works on tokens and this adapter does not show them.")
    if isinstance(shown, dict):
        found = [_tokens_changed(shown, own, row, player) for row, player in enumerate(tried, start=1)]
    else:
        if not _same(shown[0], case.prepared.contents[part]):
            return _failed(name, f"With all players present, masker {masker.name!r} still changes the content.")
        found = [content_changed(shown[0], shown[row], own, player) for row, player in enumerate(tried, start=1)]
    wrong = [(own.labels[player], problem) for player, problem in zip(tried, found, strict=True) if problem]
    if None in found:
        return Check(name, None, f"Players of part {part!r} have no geometry to check against.")
    if not wrong:
        return _passed(name, f"{len(tried)} of {len(own)} players masked one by one with {masker.name!r}.")
    label, problem = wrong[0]
    return _failed(
        name, f"{len(wrong)} of {len(tried)} players are wrong; player {label!r}: {problem}. Report this masker."
    )


def content_changed(full: Any, masked: Any, own: PartPlayers, player: int) -> str | None:
    """What is wrong with a content in which one player is hidden: empty if nothing, ``None`` if it cannot be told."""
    if isinstance(own.geometry, Regions):
        return _elements_changed(full, masked, own.geometry.label_map, player)
    if isinstance(own.geometry, Spans) and isinstance(full, str):
        start, end = own.geometry.bounds[player].tolist()
        # a masker may tidy the spaces around what it takes out
        before, after, rest = ("".join(text.split()) for text in (full[:start], full[end:], str(masked)))
        kept = rest.startswith(before) and rest.endswith(after) and len(rest) >= len(before) + len(after)
        return "" if kept else f"the text around it changes: {masked!r}"
    return None


def _elements_changed(full: Any, masked: Any, label_map: NDArray[np.int32], player: int) -> str | None:
    """The same for contents whose elements are owned by players: pixels, columns of a row."""
    if isinstance(full, Mapping) and all(isinstance(value, str | float) for value in full.values()):
        owners = zip(full, label_map.tolist(), strict=True)
        changes = [name for name, owner in owners if owner != player and str(masked[name]) != str(full[name])]
        return f"{', '.join(changes)} outside it change" if changes else ""
    if not isinstance(full, np.ndarray) or full.shape[: label_map.ndim] != label_map.shape:
        return None  # its elements are not entries of the content: cells of a spectrogram, nodes and edges of a graph
    if np.shape(masked) != full.shape:
        return f"its shape changes from {full.shape} to {np.shape(masked)}"
    changed = masked != full
    changed = changed.any(axis=tuple(range(label_map.ndim, changed.ndim)))
    outside = int((changed & (label_map != player)).sum())
    what = "pixels" if label_map.ndim == 2 else "elements"
    return f"{outside} {what} outside it change" if outside else ""


def _tokens_changed(shown: Mapping[str, Any], own: PartPlayers, row: int, player: int) -> str | None:
    """The same for rows of tokens."""
    if not isinstance(own.geometry, Spans):
        return None
    ids, attention, spans = (np.asarray(shown[key]) for key in ("ids", "attention", "spans"))
    changed = (ids[row] != ids[0]) | (attention[row] != attention[0])
    start, end = own.geometry.bounds[player]
    inside = (spans[:, 0] >= 0) & (spans[:, 0] < end) & (spans[:, 1] > start)
    if (changed & ~inside).any():
        return f"tokens at positions {np.flatnonzero(changed & ~inside).tolist()} outside it change"
    return "" if changed.any() or not inside.any() else "none of its tokens changes"
