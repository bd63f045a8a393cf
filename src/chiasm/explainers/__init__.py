"""Explainers: methods that yield an explanation. Estimators are explainers too, see `chiasm.explainers.methods`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from chiasm.core.registry import Registry

if TYPE_CHECKING:
    from chiasm.explainers.base import Explainer

explainers: Registry[Explainer] = Registry("explainer", "chiasm.explainers")
explainers.register("occlusion", "chiasm.explainers.occlusion:OCCLUSION", "what is lost when one player is hidden")
explainers.register("keep-one-in", "chiasm.explainers.occlusion:KEEP_ONE_IN", "what one player alone gives")
explainers.register("rise", "chiasm.explainers.rise:RISE", "mean value under random masks that keep the player")
explainers.register(
    "rise-signed", "chiasm.explainers.rise:RISE_SIGNED", "the same, less the mean of masks that hide it"
)
explainers.register("lime", "chiasm.explainers.lime:LIME", "local linear model of all parts together")
explainers.register("kernelshap", "chiasm.explainers.kernelshap:KERNELSHAP", "Shapley values by weighted regression")
explainers.register("mm-shap", "chiasm.explainers.mm_shap:MM_SHAP", "Shapley values and each part's share of them")
explainers.register("emap", "chiasm.explainers.emap:EMAP", "occlusion of the closest game without interplay of parts")
explainers.register("dime", "chiasm.explainers.dime:DIME", "LIME of what parts give alone plus LIME of their interplay")
explainers.register("dime-unimodal", "chiasm.explainers.dime:DIME_UNIMODAL", "LIME of what the parts give alone")
explainers.register("dime-multimodal", "chiasm.explainers.dime:DIME_MULTIMODAL", "LIME of the interplay of parts")
explainers.register("eagle", "chiasm.explainers.eagle:EAGLE", "greedy order by sufficiency and necessity")
explainers.register("random", "chiasm.explainers.random:RANDOM", "random values: the floor for every metric")
