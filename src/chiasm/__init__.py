"""Chiasm: what a multimodal model takes from each input, what only from their combination, and is that true?

Names are imported when first used (PEP 562), so that ``import chiasm`` needs neither torch nor transformers.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_WHERE = {
    "CharSpans": "chiasm.modalities.text",
    "Background": "chiasm.modalities.tabular_background",
    "Boxes": "chiasm.modalities.image",
    "ChiasmError": "chiasm.core.errors",
    "Explanation": "chiasm.core.explanation",
    "FunctionModel": "chiasm.models.function",
    "Game": "chiasm.core.game",
    "Masks": "chiasm.modalities.image",
    "Part": "chiasm.core.sample",
    "Players": "chiasm.core.players",
    "Sample": "chiasm.core.sample",
    "Target": "chiasm.core.target",
    "audit": "chiasm.audits.run",
    "benchmark": "chiasm.bench.run",
    "dataset": "chiasm.zoo",
    "estimate": "chiasm.estimators.estimate",
    "evaluate": "chiasm.metrics.evaluate",
    "explain": "chiasm.explainers.explain",
    "export": "chiasm.zoo.data.export",
    "load": "chiasm.models.hub",
    "make_game": "chiasm.models.games",
    "triples": "chiasm.estimators.higher",
}

__all__ = [*sorted(_WHERE), "__version__"]  # noqa: PLE0604 - names only, built from the table above

if TYPE_CHECKING:
    from chiasm.audits.run import audit as audit
    from chiasm.bench.run import benchmark as benchmark
    from chiasm.core.errors import ChiasmError as ChiasmError
    from chiasm.core.explanation import Explanation as Explanation
    from chiasm.core.game import Game as Game
    from chiasm.core.players import Players as Players
    from chiasm.core.sample import Part as Part
    from chiasm.core.sample import Sample as Sample
    from chiasm.core.target import Target as Target
    from chiasm.estimators.estimate import estimate as estimate
    from chiasm.estimators.higher import triples as triples
    from chiasm.explainers.explain import explain as explain
    from chiasm.metrics.evaluate import evaluate as evaluate
    from chiasm.modalities.image import Boxes as Boxes
    from chiasm.modalities.image import Masks as Masks
    from chiasm.modalities.tabular_background import Background as Background
    from chiasm.modalities.text import CharSpans as CharSpans
    from chiasm.models.function import FunctionModel as FunctionModel
    from chiasm.models.games import make_game as make_game
    from chiasm.models.hub import load as load
    from chiasm.zoo import dataset as dataset
    from chiasm.zoo.data.export import export as export


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'chiasm' has no attribute {name!r}; it has {', '.join(sorted(_WHERE))}")
    value = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
