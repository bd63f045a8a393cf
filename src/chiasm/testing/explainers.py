"""Does an explainer keep its protocol, and does it see what there is to be seen?"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from chiasm.core.coalitions import Coalitions, keys
from chiasm.core.errors import BudgetTooSmall, ChiasmError, InvalidInput, MissingCapability
from chiasm.core.explanation import Explanation
from chiasm.core.game import Fixed
from chiasm.explainers.base import Explainer, Kind, Subject
from chiasm.testing.errors import ConformanceError
from chiasm.testing.games import KnownGame, SparsePolynomial, bilinear_sigmoid

#: makes the same subject anew: a game remembers values, and a second run must not live on the first
MakeSubject = Callable[[], Subject]

_PARTS = {"a": 4, "b": 3}
_ATTRIBUTES: dict[str, type] = {
    "name": str,
    "line": str,
    "kind": str,
    "needs": tuple,
    "cost": str,
    "pairs": bool,
    "signed": bool,
    "source": str,
    "indices": tuple,
}
#: what one player of the plain game weighs, against 0.1 of the others
_STRONG, _WEAK = 3.0, 0.1


def check_explainer(
    explainer: Explainer,
    *,
    subject: MakeSubject | None = None,
    seed: int = 0,
    budget: int | None = 256,
    control: bool = False,
) -> None:
    """Run an explainer through everything that Chiasm's own explainers must pass.

    Checked, by the name in the error: ``attributes``, ``unknown index refused``, ``players`` (free players only, in
    order), ``shapes``, ``finite``, ``symmetric``, ``zero diagonal``, ``errors``, ``pairs`` (given if and only if the
    explainer says so), ``provenance`` (name, index, seed, counted values), ``budget``, ``same seed``, ``saved`` (what
    is written can be read), and, of black-box methods, ``small budget refused``, ``one player``, ``one part``,
    ``three parts``, ``strong player first`` and, of signed ones, ``sign``. A method that looks inside a model must
    refuse a plain function (``plain function refused``).

    Args:
        explainer: what to check.
        subject: makes a subject to check on; by default games without a model. A white-box explainer needs one.
        seed: of games and runs.
        budget: values that it is allowed on each game.
        control: whether it is made to know nothing, as random values are: it need not find the strong player.

    Raises:
        ConformanceError: the first property that does not hold, with what was seen.
    """
    check = _Check(explainer, seed, budget, control)
    check.attributes()
    plain = set(explainer.needs) <= {"values"}
    if subject is None and not plain:
        raise InvalidInput(
            f"The explainer {explainer.name!r} needs {', '.join(explainer.needs)}: give check_explainer a function "
            f"that makes a subject with a model."
        )
    if not plain:
        check.plain_function_refused()
    if subject is not None:
        check.form(subject)
        check.saved(subject)
    if plain:
        check.abstract()


class _Counted:
    """A known game as a subject, with the distinct coalitions it was asked for."""

    def __init__(self, known: KnownGame, parts: dict[str, int], fixed: Fixed | None = None) -> None:
        self.known, self.seen = known, set[bytes]()
        self.subject = Subject.of_function(self._values, parts, fixed=fixed, batch_size=32)

    def _values(self, coalitions: Coalitions) -> NDArray[np.float64]:
        self.seen.update(keys(coalitions))
        return self.known.values(coalitions)


@dataclass
class _Check:
    explainer: Explainer
    seed: int
    budget: int | None
    control: bool

    def fail(self, name: str, detail: str) -> ConformanceError:
        """The error for a property that does not hold."""
        return ConformanceError(f"Explainer {getattr(self.explainer, 'name', self.explainer)!r}", name, detail)

    def attributes(self) -> None:
        """It says what it is."""
        for name, kind in _ATTRIBUTES.items():
            value = getattr(self.explainer, name, None)
            if not isinstance(value, kind) or (isinstance(value, str) and name != "source" and not value):
                raise self.fail("attributes", f"{name} is {value!r}; it must be a {kind.__name__} that says something")
        if self.explainer.kind not in get_args(Kind):
            raise self.fail("attributes", f"kind is {self.explainer.kind!r}; it must be {' or '.join(get_args(Kind))}")
        if not self.explainer.indices or not all(isinstance(i, str) for i in self.explainer.indices):
            raise self.fail("attributes", f"indices are {self.explainer.indices!r}; name at least one quantity")
        if re.search(r"[\s,+]", self.explainer.name) and not getattr(self.explainer, "rule", None):
            raise self.fail("attributes", f"the name {self.explainer.name!r} has blanks, commas or plus signs")

    def run(self, subject: Subject) -> Explanation:
        """One explanation."""
        return self.explain(subject, self.budget)

    def explain(self, subject: Subject, budget: int | None) -> Explanation:
        """One explanation at a budget, of the first quantity that the method gives."""
        first = self.explainer.indices[0]
        index = "WBII:0.3" if first == "WBII" else first
        return self.explainer.explain(subject, index=index, budget=budget, seed=self.seed)

    def plain_function_refused(self) -> None:
        """What needs a model's insides refuses a game without a model."""
        try:
            self.run(_Counted(bilinear_sigmoid(7, self.seed), _PARTS).subject)
        except MissingCapability:
            return
        raise self.fail("plain function refused", "a function of coalitions did not raise MissingCapability")

    def abstract(self) -> None:
        """All that can be checked without a model."""
        known = bilinear_sigmoid(7, self.seed)
        self.form(lambda: _Counted(known, _PARTS).subject)
        self.form_or_refusal("players", lambda: _Counted(known, _PARTS, {"a": True}).subject)
        self.form_or_refusal("players", lambda: _Counted(known, _PARTS, {("a", 1): False, ("b", 0): True}).subject)
        self.saved(_maker(known, _PARTS))
        self.counted(known)
        self.small_budget_refused(known)
        one, several = SparsePolynomial(1, {(0,): 2.0}), bilinear_sigmoid(6, self.seed)
        for name, game, parts in (
            ("one player", one, {"a": 1}),
            ("one part", several, {"a": 6}),
            ("three parts", several, {"a": 2, "b": 2, "c": 2}),
        ):
            self.form_or_refusal(name, _maker(game, parts))
        if not self.control:
            self.sees()

    def form_or_refusal(self, name: str, make: MakeSubject) -> None:
        """`form` on a subject that a method may refuse, in words; it must not fall over it."""
        try:
            self.form(make)
        except ConformanceError:
            raise
        except ChiasmError:
            return
        except (ArithmeticError, LookupError, ValueError, TypeError, np.linalg.LinAlgError) as error:
            raise self.fail(name, f"raised {type(error).__name__}: {error}") from error

    def form(self, make: MakeSubject) -> None:
        """Players, shapes, errors, pairs, provenance; the same numbers for the same seed; what is saved can be read."""
        subject = make()
        found = self.run(subject)
        self._unknown_index_refused(make())
        if list(found.players) != list(subject.players):
            raise self.fail("players", f"explains {list(found.players)} in place of {list(subject.players)}")
        self._arrays(found, len(subject.players))
        if (found.pair is not None) != self.explainer.pairs:
            raise self.fail("pairs", f"says pairs={self.explainer.pairs} and gives {'no' * (found.pair is None)} pairs")
        self._provenance(found, subject)
        again = self.run(make())
        for name in ("single", "single_errors", "pair", "pair_errors"):
            first, second = getattr(found, name), getattr(again, name)
            if first is not None and not np.array_equal(first, second, equal_nan=True):
                raise self.fail("same seed", f"{name} differ between two runs with seed {self.seed}")

    def _unknown_index_refused(self, subject: Subject) -> None:
        try:
            self.explainer.explain(subject, index="NOSUCH", budget=self.budget, seed=self.seed)
        except (InvalidInput, LookupError):
            return
        raise self.fail("unknown index refused", "index='NOSUCH' did not raise InvalidInput or UnknownName")

    def _arrays(self, found: Explanation, n: int) -> None:
        for name in ("single", "single_errors", "pair", "pair_errors"):
            array = getattr(found, name)
            if array is None:
                continue
            shape = (n,) if name.startswith("single") else (n, n)
            if array.shape != shape or array.dtype != np.float64:
                raise self.fail("shapes", f"{name} is {array.dtype}{array.shape}; it must be float64{shape}")
            if np.isinf(array).any() or (name == "single" and np.isnan(array).any()):
                raise self.fail("finite", f"{name} holds infinite values or NaN: {array}")
            if name.startswith("pair") and not np.allclose(array, array.T, rtol=1e-9, equal_nan=True):
                raise self.fail("symmetric", f"{name} is not a symmetric matrix")
            if name == "pair" and np.nan_to_num(np.diagonal(array), nan=1.0).any():
                raise self.fail("zero diagonal", f"pair has {np.diagonal(array)} on its diagonal")
            if name.endswith("errors") and (array < 0).any():
                raise self.fail("errors", f"{name} holds negative standard errors: {array.min()}")

    def _provenance(self, found: Explanation, subject: Subject) -> None:
        made, counts = found.provenance, subject.game.counts
        if not made.method:
            raise self.fail("provenance", "method is empty")
        if made.index.partition(":")[0] not in self.explainer.indices:
            raise self.fail("provenance", f"index is {made.index!r}; indices are {self.explainer.indices}")
        if made.signed is not self.explainer.signed:
            raise self.fail("provenance", f"signed is {made.signed}; the explainer says {self.explainer.signed}")
        if made.seed != self.seed:
            raise self.fail("provenance", f"seed is {made.seed!r}; {self.seed} was given")
        if made.computed != counts.computed:
            raise self.fail("provenance", f"computed is {made.computed}; the game computed {counts.computed}")
        if self.budget is not None and counts.computed > self.budget:
            raise self.fail("budget", f"{counts.computed} values were computed; {self.budget} were allowed")

    def saved(self, make: MakeSubject) -> None:
        """A round trip through a file keeps the values and the provenance."""
        found = self.run(make())
        with tempfile.TemporaryDirectory() as folder:
            again = Explanation.load(found.save(Path(folder) / "e.json"))
        if not np.array_equal(again.single, found.single) or again.provenance.extra != found.provenance.extra:
            raise self.fail("saved", "values or provenance.extra are not the same after saving and loading")

    def counted(self, known: KnownGame) -> None:
        """No value is asked for behind the game's back, and never more than allowed, at any budget."""
        for budget in (24, 40, 64):
            counted = _Counted(known, _PARTS)
            try:
                self.explain(counted.subject, budget)
            except BudgetTooSmall:
                continue
            if len(counted.seen) > budget:
                raise self.fail("budget", f"{len(counted.seen)} distinct values were computed; {budget} were allowed")

    def small_budget_refused(self, known: KnownGame) -> None:
        """A budget of 1 raises BudgetTooSmall, unless no value is asked for at all."""
        counted = _Counted(known, _PARTS)
        try:
            self.explain(counted.subject, 1)
        except BudgetTooSmall:
            return
        if counted.seen:
            raise self.fail("small budget refused", "a budget of 1 did not raise BudgetTooSmall")

    def sees(self) -> None:
        """Of an additive game, the strong player comes first, and of signed methods with the right sign."""
        for sign in (1.0, -1.0) if self.explainer.signed else (1.0,):
            for strong in range(7):
                known = SparsePolynomial(7, {(i,): sign * _STRONG if i == strong else _WEAK for i in range(7)})
                found = self.run(_Counted(known, _PARTS).subject).single
                if int(np.argmax(np.abs(found))) != strong:
                    raise self.fail("strong player first", f"player {strong} of an additive game is not first: {found}")
                if self.explainer.signed and np.sign(found[strong]) != sign:
                    raise self.fail("sign", f"a player of weight {sign * _STRONG} gets {found[strong]}")


def _maker(known: KnownGame, parts: dict[str, int]) -> MakeSubject:
    return lambda: _Counted(known, parts).subject
