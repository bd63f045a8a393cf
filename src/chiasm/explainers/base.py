"""What an explainer is: a subject in, an explanation out; and what all explainers of one kind share.

Write one of your own by the protocol `Explainer`, or start from `BlackBox` (values of the game alone, budget counted)
or `WhiteBox` (the model's insides, by ``subject.trace()``), which fill in the provenance. Register it by an entry point
of the group ``chiasm.explainers`` and check it with `chiasm.testing.check_explainer`.
"""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from chiasm.core.errors import BudgetTooSmall, InvalidInput, MissingCapability
from chiasm.core.explanation import Explanation, Prediction
from chiasm.core.game import Counts, Fixed, Game, ValueFunction
from chiasm.core.players import Players
from chiasm.core.provenance import Provenance
from chiasm.core.target import Target
from chiasm.estimators.choice import allowed_values, whole
from chiasm.estimators.limits import Budget
from chiasm.estimators.support import MOST_ENUMERATED

if TYPE_CHECKING:
    from chiasm.modalities.base import Masker
    from chiasm.models.base import Adapter, Prepared
    from chiasm.models.trace import Trace

Floats = NDArray[np.float64]
Kind = Literal["black-box", "white-box"]
#: what a method may cost: values, or a text for a time or for passes
Limit = int | str | Budget | None
#: more parts than this have no table of part values (2^P of them)
_MOST_PARTS = 10


@dataclass(eq=False)
class Subject:
    """What is explained: a game, and the model behind it if there is one.

    Attributes:
        game: values of coalitions of the players that are explained; black-box methods use nothing else.
        adapter: the model; ``None`` for a plain function of coalitions, as in `chiasm.estimate`.
        prepared: the sample as the model sees it.
        maskers: part → masker.
        target: the resolved target.
        prediction: the model's answer.
        provenance: what is known of model, target and masks; explainers add how.
    """

    game: Game
    adapter: Adapter | None = None
    prepared: Prepared | None = None
    maskers: Mapping[str, Masker] = field(default_factory=dict)
    target: Target | None = None
    prediction: Prediction | None = None
    provenance: Provenance | None = None

    @classmethod
    def of_function(
        cls, values: ValueFunction, parts: Mapping[str, int], *, fixed: Fixed | None = None, batch_size: int = 256
    ) -> Subject:
        """A plain function of coalitions ``bool[batch, n] -> float[batch]``, with the players of each part."""
        return cls(Game(values, Players.abstract(parts), fixed=fixed, batch_size=batch_size))

    @property
    def players(self) -> Players:
        """The players that are explained: those that are not held fixed."""
        return self.game.players

    @property
    def whole(self) -> NDArray[np.bool_]:
        """``bool[all players]``: who is present when every explained player is; players held absent are not."""
        return np.asarray(self.game.expand(np.ones((1, self.game.n), bool))[0])

    @property
    def none(self) -> NDArray[np.bool_]:
        """``bool[all players]``: who is present when no explained player is."""
        return np.asarray(self.game.expand(np.zeros((1, self.game.n), bool))[0])

    @property
    def free(self) -> NDArray[np.bool_]:
        """``bool[all players]``: who is explained. Values of all players become those wanted by ``values[free]``."""
        return self.whole & ~self.none

    @property
    def capabilities(self) -> frozenset[str]:
        """What methods may rely on; values always."""
        return frozenset({"values"}) if self.adapter is None else self.adapter.capabilities

    def require(self, *capabilities: str, by: str) -> None:
        """Refuse a method that needs what the model cannot give.

        Raises:
            MissingCapability: names what is missing and what would serve.
        """
        if self.adapter is not None:
            self.adapter.require(*capabilities, by=by)
        elif lacking := sorted(set(capabilities) - {"values"}):
            raise MissingCapability(
                f"{by} needs {', '.join(lacking)} of a model; a plain function of coalitions has values alone. Use a "
                f"black-box method (chiasm list explainers)."
            )

    def trace(self) -> Trace:
        """The model's insides on this sample, for ALL players, those held fixed included (see `whole`, `free`).

        Raises:
            MissingCapability: there is no model, or it is closed.
        """
        if self.adapter is None or self.prepared is None or self.target is None:
            raise MissingCapability("A plain function of coalitions has no insides; use a black-box method.")
        return self.adapter.trace(self.prepared, self.game.all_players, self.maskers, self.target)


@runtime_checkable
class Explainer(Protocol):
    """A method that yields an explanation.

    Attributes:
        name: as in the registry.
        line: what it does, one line.
        kind: ``"black-box"`` (values of the game alone) or ``"white-box"``.
        needs: capabilities of the model that it relies on.
        cost: what it costs, in words: values of the game, or passes of the model.
        pairs: whether it gives values of pairs.
        signed: whether the sign of a value tells what raises the target from what lowers it. Without, larger means
            more important and zero means nothing.
        source: paper and equation.
        indices: the quantities it can give, the usual one first; an index of `chiasm.core.indices` or one of its own.
    """

    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def line(self) -> str: ...  # noqa: D102
    @property
    def kind(self) -> Kind: ...  # noqa: D102
    @property
    def needs(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def cost(self) -> str: ...  # noqa: D102
    @property
    def pairs(self) -> bool: ...  # noqa: D102
    @property
    def signed(self) -> bool: ...  # noqa: D102
    @property
    def source(self) -> str: ...  # noqa: D102
    @property
    def indices(self) -> tuple[str, ...]: ...  # noqa: D102

    def default_budget(self, game: Game) -> int | None:
        """Distinct values that it takes where nobody names a number; ``None`` for methods without a budget."""
        ...

    def explain(self, subject: Subject, *, index: str = "SII", budget: Limit = None, seed: int = 0) -> Explanation:
        """Explain.

        Args:
            subject: what is explained.
            index: the quantity wanted. ``"SII"``, the default everywhere, gives way where the method has another.
            budget: most new values of the game, or a time or passes; by default `default_budget`.
            seed: the same seed gives the same numbers.

        Raises:
            InvalidInput: an index that the method does not give.
            MissingCapability: the model lacks what it needs.
            BudgetTooSmall: the message says the least that is enough.
        """
        ...


@dataclass(frozen=True, eq=False)
class Found:
    """What a method found out about the free players; arrays as in `chiasm.core.explanation.Explanation`.

    Attributes:
        single, single_errors, pair, pair_errors: see there.
        notes: what a reader must know, one sentence each.
        extra: further figures that the method gives, as JSON types: LIME's R², MM-SHAP's shares …
    """

    single: Floats
    single_errors: Floats | None = None
    pair: Floats | None = None
    pair_errors: Floats | None = None
    notes: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def wanted_index(explainer: Explainer, index: str) -> str:
    """The quantity that a method gives when ``index`` is asked for.

    Raises:
        InvalidInput: it gives another.
    """
    known = {name.lower(): name for name in explainer.indices}
    if index.lower() in known:
        return known[index.lower()]
    if index.upper() == "SII" and explainer.indices:
        return explainer.indices[0]
    raise InvalidInput(
        f"The method {explainer.name!r} cannot give the index {index!r}; it gives {', '.join(explainer.indices)}."
    )


class Clock:
    """What a method spends between two moments: seconds, and values of a game.

    Args:
        game: the game whose counts are read.
    """

    def __init__(self, game: Game) -> None:
        """Start."""
        self._game, self._started, self._before = game, time.perf_counter(), replace(game.counts)

    def spent(self) -> dict[str, Any]:
        """Fields of a provenance: ``seconds``, ``requested``, ``cached``, ``computed`` …"""
        now = self._game.counts
        counted = {f.name: getattr(now, f.name) - getattr(self._before, f.name) for f in fields(Counts)}
        known = Provenance.__dataclass_fields__
        return {
            "seconds": time.perf_counter() - self._started,
            **{name: count for name, count in counted.items() if name in known},
        }


def told(
    subject: Subject,
    found: Found,
    *,
    by: Explainer,
    index: str,
    clock: Clock,
    seed: int,
    budget: int | None = None,
    part_values: dict[tuple[str, ...], float] | None = None,
) -> Explanation:
    """An explanation with its provenance filled in."""
    given = subject.provenance or Provenance(by.name, index)
    held = {
        who if isinstance(who, str) else f"{who[0]}[{who[1]}]": present for who, present in subject.game.fixed.items()
    }
    return Explanation(
        players=subject.players,
        single=found.single,
        single_errors=found.single_errors,
        pair=found.pair,
        pair_errors=found.pair_errors,
        part_values=part_values or {},
        prediction=subject.prediction,
        provenance=replace(
            given,
            method=by.name,
            signed=by.signed,
            index=index,
            fixed=held,
            budget=budget,
            seed=seed,
            notes=[*given.notes, *found.notes],
            extra=dict(found.extra),
            **clock.spent(),
        ),
    )


class BlackBox:
    """Base of methods that ask the game for values and nothing else: budget, values of whole parts, provenance.

    A subclass says what it is and implements `find` and `least`.
    """

    name: str = ""
    line: str = ""
    kind: Kind = "black-box"
    needs: tuple[str, ...] = ("values",)
    cost: str = ""
    pairs: bool = False
    signed: bool = True
    source: str = ""
    indices: tuple[str, ...] = ()

    def default_budget(self, game: Game) -> int | None:
        """1,024 values to 30 players, 2,048 beyond, never more than there are; values of whole parts included."""
        return max(min(1 << min(game.n, 30), 1024 if game.n <= 30 else 2048), self.least(game) + (1 << _parts(game)))

    @abstractmethod
    def least(self, game: Game) -> int:
        """The fewest distinct values that give an answer."""

    @abstractmethod
    def find(self, game: Game, index: str, budget: int, seed: int) -> Found:
        """Ask for at most ``budget`` new values, at least `least`, and answer."""

    def explain(self, subject: Subject, *, index: str = "SII", budget: Limit = None, seed: int = 0) -> Explanation:
        """See `Explainer.explain`. Values of whole parts count in the budget, and are left out where it is scarce."""
        wanted, seed = wanted_index(self, index), whole("seed", seed, 0)
        subject.require(*self.needs, by=self.name)
        game, clock = subject.game, Clock(subject.game)
        limit = Budget(values=self.default_budget(game)) if budget is None else Budget.parse(budget)
        begun = game.counts.computed
        allowed = allowed_values(game, self.name, limit, seed)
        tried = game.counts.computed - begun  # to learn how long a value takes
        least, parts = self.least(game), 1 << _parts(game)
        if allowed < least:
            raise BudgetTooSmall(
                f"The method {self.name!r} needs at least {least:,} values for {game.players}; the budget allows "
                f"{allowed:,}. Raise the budget or take larger players."
            )
        begun = game.counts.computed
        with game.allowance(allowed):
            fits = _parts(game) <= _MOST_PARTS and parts <= allowed // 2 and least + parts <= allowed
            part_values = game.part_values() if fits else {}
            left = allowed - (game.counts.computed - begun)
            if game.n <= MOST_ENUMERATED and allowed >= 1 << game.n:
                left = 1 << game.n  # every value is paid for, those of whole parts among them
            found = self.find(game, wanted, left, seed)
        notes = list(found.notes)
        if limit.values is None:
            notes.append(f"budget: {limit.describe()}, enough for {tried + allowed:,} values")
        if not part_values:
            notes.append("no values of whole parts: the budget has no room for them")
        return told(
            subject,
            replace(found, notes=tuple(notes)),
            by=self,
            index=wanted,
            clock=clock,
            seed=seed,
            budget=tried + allowed,
            part_values=part_values,
        )


class WhiteBox:
    """Base of methods that look inside the model; a subclass says what it is and implements `find`."""

    name: str = ""
    line: str = ""
    kind: Kind = "white-box"
    needs: tuple[str, ...] = ("gradients",)
    cost: str = ""
    pairs: bool = False
    signed: bool = True
    source: str = ""
    indices: tuple[str, ...] = ()

    def default_budget(self, game: Game) -> int | None:
        """None: no values of the game are asked for."""
        del game
        return None

    @abstractmethod
    def find(self, subject: Subject, index: str, seed: int) -> Found:
        """Answer for the free players (see `Subject.free`)."""

    def explain(self, subject: Subject, *, index: str = "SII", budget: Limit = None, seed: int = 0) -> Explanation:
        """See `Explainer.explain`; a budget of values has no meaning here and is not used."""
        del budget
        wanted, seed = wanted_index(self, index), whole("seed", seed, 0)
        subject.require(*self.needs, by=self.name)
        clock = Clock(subject.game)
        found = self.find(subject, wanted, seed)
        return told(subject, found, by=self, index=wanted, clock=clock, seed=seed)


def _parts(game: Game) -> int:
    """Parts that have players."""
    return sum(len(part) > 0 for part in game.players.parts.values())
