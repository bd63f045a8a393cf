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
explainers.register("attention", "chiasm.explainers.attention:RAW_ATTENTION", "attention in the last layer")
explainers.register("rollout", "chiasm.explainers.rollout:ROLLOUT", "attention of all layers multiplied")
explainers.register("chefer", "chiasm.explainers.chefer:CHEFER", "attention × its positive gradient, rolled out")
explainers.register("tam", "chiasm.explainers.tam:TAM", "the answer's score at every position, less earlier tokens'")
explainers.register(
    "msea-arc",
    "chiasm.explainers.msea_arc:MSEA_ARC",
    "the answer's score over sizes of the picture, less unlike earlier tokens'",
)
explainers.register(
    "glimpse", "chiasm.explainers.glimpse:GLIMPSE", "as chefer; heads, layers and answer tokens weighted"
)
explainers.register("attn-lrp", "chiasm.explainers.attn_lrp:ATTN_LRP", "relevance handed back layer by layer")
explainers.register("atman", "chiasm.explainers.atman:ATMAN", "what is lost when attention to a player is turned down")
explainers.register("attention-knockout", "chiasm.explainers.atman:KNOCKOUT", "the same, turned off altogether")
explainers.register(
    "integrated-gradients",
    "chiasm.explainers.integrated_gradients:INTEGRATED_GRADIENTS",
    "gradients along the path from the baseline",
)
explainers.register("input-gradient", "chiasm.explainers.input_gradient:INPUT_GRADIENT", "input times gradient")
explainers.register("smoothgrad", "chiasm.explainers.smoothgrad:SMOOTHGRAD", "size of the gradient over noisy copies")
explainers.register(
    "smoothgrad-input", "chiasm.explainers.smoothgrad:SMOOTHGRAD_INPUT", "input times gradient over noisy copies"
)
explainers.register("gradcam", "chiasm.explainers.gradcam:GRADCAM", "hidden states weighed by their mean gradient")
explainers.register("llava-cam", "chiasm.explainers.gradcam:LLAVA_CAM", "Grad-CAM of the shared stream, noisy copies")
explainers.register("exclip", "chiasm.explainers.exclip:EXCLIP", "pairs by integrated Jacobians of both towers")
