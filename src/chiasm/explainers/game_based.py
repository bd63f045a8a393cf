"""Every estimator as an explainer: one wrapper for all of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chiasm.core.explanation import Explanation
from chiasm.core.game import Game
from chiasm.estimators import estimators
from chiasm.estimators.base import Estimate
from chiasm.estimators.choice import budget_for, parse_method
from chiasm.estimators.estimate import explain_game
from chiasm.estimators.limits import Tolerance
from chiasm.explainers.base import Kind, Limit, Subject

#: estimator → where it comes from; an estimator of another package says it in its own summary
_SOURCES = {
    "auto": "the estimator that fits players and budget (docs: choose a method)",
    "exact": "Grabisch & Roubens 1999, by enumeration",
    "permutation": "Castro, Gómez & Tejada 2009; circular orders: ours",
    "gp": "Gaussian-process surrogate, ours",
    "crossed": "Gaussian-process surrogate on a grid of masks, ours",
    "crossed-sampling": "covariances on grids of masks, ours",
    "kernelshap-iq": "Fumagalli et al. 2024, by shapiq",
    "svarm-iq": "Kolpaczki et al. 2024, by shapiq",
    "shap-iq": "Fumagalli et al. 2023, by shapiq",
    "permutation-shapiq": "Tsai, Yeh & Ravikumar 2023, by shapiq",
    "proxyspex": "Butler et al. 2025, by shapiq",
    "proxyshap": "boosted trees and residuals, by shapiq",
    "multishap": "MultiSHAP, with correct weights",
    "fixlip": "Baniecki et al. 2025 (FIxLIP)",
}


@dataclass(frozen=True)
class GameBased:
    """An estimator as an explainer: single and pair values of an index of the game.

    Attributes:
        estimator: its name, ``"auto"``, or either with an index: ``"exact-bii"``.
        tolerance: when to stop before the budget is spent.
        on_estimate: called with each estimate.
    """

    estimator: str = "auto"
    tolerance: float | str | Tolerance | None = None
    on_estimate: Callable[[Estimate], None] | None = None

    @property
    def name(self) -> str:
        """The estimator's name."""
        return self.estimator

    @property
    def _bare(self) -> str:
        return parse_method(self.estimator, "SII")[0]

    @property
    def line(self) -> str:
        """The estimator's line."""
        name = self._bare
        return "the estimator that fits players and budget" if name == "auto" else estimators.entries()[name].summary

    @property
    def kind(self) -> Kind:
        """Values of the game alone."""
        return "black-box"

    @property
    def needs(self) -> tuple[str, ...]:
        """Values."""
        return ("values",)

    @property
    def cost(self) -> str:
        """What it costs, in words."""
        return "2^n values" if self._bare == "exact" else "the budget, in distinct values"

    @property
    def pairs(self) -> bool:
        """All of them give pairs."""
        return True

    @property
    def signed(self) -> bool:
        """All indices are signed."""
        return True

    @property
    def source(self) -> str:
        """Where it comes from."""
        return _SOURCES.get(self._bare, "")

    @property
    def indices(self) -> tuple[str, ...]:
        """The indices that it estimates (``"WBII"`` stands for every ``WBII:p``); the name's own, if it has one."""
        name, carried = parse_method(self.estimator, "SII")
        if self.estimator != name:
            return (carried.name,)
        return estimators.get("exact").indices if name == "auto" else estimators.get(name).indices

    def default_budget(self, game: Game) -> int | None:
        """See `chiasm.estimators.choice.budget_for`."""
        return budget_for(game, self.estimator)

    def explain(self, subject: Subject, *, index: str = "SII", budget: Limit = None, seed: int = 0) -> Explanation:
        """See `chiasm.explainers.base.Explainer.explain` and `chiasm.estimators.estimate.explain_game`."""
        return explain_game(
            subject.game,
            index=index,
            method=self.estimator,
            budget=budget,
            tolerance=self.tolerance,
            seed=seed,
            provenance=subject.provenance,
            prediction=subject.prediction,
            on_estimate=self.on_estimate,
        )
