"""Metrics: an explanation and the game it speaks of in; scores out."""

from __future__ import annotations

from chiasm.core.registry import Registry
from chiasm.metrics.base import Metric

#: what is registered is an instance; it says of itself what it is (`chiasm.metrics.base.About`)
metrics: Registry[Metric] = Registry("metric", "chiasm.metrics")
for _name, _target in {
    "f_syn": "synergy:F_SYN",
    "f_syn_signed": "synergy:F_SYN_SIGNED",
    "f_syn_mid": "synergy:F_SYN_MID",
    "f_syn_exact": "synergy:F_SYN_EXACT",
    "insertion": "curves:INSERTION",
    "deletion": "curves:DELETION",
    "srg": "curves:SRG",
    "fidelity": "fidelity:FIDELITY",
    "predictive_synergy": "fidelity:PREDICTIVE_SYNERGY",
    "infidelity": "fidelity:INFIDELITY",
    "pointing_game": "localisation:POINTING_GAME",
    "energy": "localisation:ENERGY",
    "relevance_mass": "localisation:RELEVANCE_MASS",
    "relevance_rank": "localisation:RELEVANCE_RANK",
    "iou": "localisation:IOU",
    "pair_localisation": "localisation:PAIR_LOCALISATION",
    "agreement": "agreement:AGREEMENT",
    "shares": "shares:SHARES",
    "sparseness": "shares:SPARSENESS",
    "complexity": "shares:COMPLEXITY",
    "influence": "influence:INFLUENCE",
    "stability": "stability:STABILITY",
    "randomised_weights": "sanity:RANDOMISED_WEIGHTS",
    "randomised_labels": "sanity:RANDOMISED_LABELS",
}.items():
    metrics.register(_name, f"{__name__}.{_target}")

#: what is measured if nothing is asked for: all that needs no further explanation, short of the costly reference
DEFAULT = (
    "f_syn",
    "f_syn_signed",
    "f_syn_mid",
    "insertion",
    "deletion",
    "srg",
    "fidelity",
    "predictive_synergy",
    "pointing_game",
    "energy",
    "pair_localisation",
    "agreement",
    "shares",
    "sparseness",
)
