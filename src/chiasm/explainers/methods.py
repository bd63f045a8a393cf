"""Methods by name: explainers, estimators, and either with a rule that lifts its values to pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from chiasm.core.errors import InvalidInput, UnknownName
from chiasm.estimators import estimators
from chiasm.estimators.base import Estimate
from chiasm.estimators.choice import check_method, whole
from chiasm.estimators.limits import Budget, Tolerance
from chiasm.explainers import explainers
from chiasm.explainers.base import Explainer, Limit, wanted_index
from chiasm.explainers.game_based import GameBased
from chiasm.explainers.lifting import Lifted

#: marks a rule that lifts: ``"lime+product"``
_LIFT = "+"


def find_explainer(method: str) -> Explainer:
    """The explainer behind a method's name.

    Args:
        method: an explainer (``"lime"``), an estimator (``"gp"``, ``"auto"``), an estimator with its index
            (``"exact-bii"``), or one of these with a rule that lifts its values to pairs (``"lime+product"``).

    Raises:
        UnknownName: no such method or rule.
    """
    head, plus, rule = method.rpartition(_LIFT)
    if plus and head:
        return Lifted(find_explainer(head), rule)
    if _is_estimator(method):  # first: another package cannot take over an estimator's name
        return GameBased(method)
    if method in explainers:
        return explainers.get(method)
    raise UnknownName("method", method, names())


def _is_estimator(method: str) -> bool:
    """Whether a name is an estimator's, with an index or without."""
    if method == "auto" or method in estimators:
        return True
    head, dash, _ = method.rpartition("-")
    return bool(dash) and (head == "auto" or head in estimators)


def names() -> list[str]:
    """Every method that can be asked for by its bare name, sorted."""
    return sorted({"auto", *estimators, *explainers})


def method_names(method: str | Sequence[str]) -> list[str]:
    """``"lime,gp"`` or a list → the methods, each once.

    Raises:
        InvalidInput: none, or one twice.
    """
    given = [name.strip() for name in method.split(",")] if isinstance(method, str) else list(method)
    found = [name for name in given if name]
    if not found or len(set(found)) != len(found):
        raise InvalidInput(f"The methods are {method!r}; name at least one, and each once, e.g. 'gp,lime'.")
    return found


def check_explainer_choice(
    method: str, index: str, budget: Limit, seed: int, tolerance: float | str | Tolerance | None = None
) -> None:
    """Refuse what cannot work, before a model is loaded or run.

    Raises:
        UnknownName: no such method or index.
        InvalidInput: an index that the method does not give, or a budget, seed or tolerance that is none.
    """
    explainer = find_explainer(method)
    if isinstance(explainer, GameBased):
        check_method(method, index, budget, seed, tolerance)
        return
    if isinstance(explainer, Lifted) and isinstance(explainer.inner, GameBased):
        raise InvalidInput(f"{explainer.inner.name!r} gives pairs of its own; leave '+{explainer.rule}' out.")
    wanted_index(explainer, index)
    whole("seed", seed, 0)
    if budget is not None:
        Budget.parse(budget)
    if tolerance is not None:
        raise InvalidInput(
            f"The method {method!r} does not stop at a tolerance; leave tolerance={tolerance!r} out, or take an "
            f"estimator with standard errors (gp, permutation)."
        )


def with_tolerance(
    explainer: Explainer,
    tolerance: float | str | Tolerance | None,
    on_estimate: Callable[[Estimate], None] | None = None,
) -> Explainer:
    """An estimator that stops early and tells its estimates; any other explainer as it is."""
    if isinstance(explainer, GameBased):
        return replace(explainer, tolerance=tolerance, on_estimate=on_estimate)
    return explainer
