"""The modalities that Chiasm knows. A new one is one file and one line here (or an entry point of another package)."""

from __future__ import annotations

from chiasm.core.registry import Registry
from chiasm.modalities.base import Modality

modalities: Registry[Modality] = Registry("modality", "chiasm.modalities")
modalities.register("image", "chiasm.modalities.image:IMAGE", "pictures: grid, superpixels, masks, boxes")
modalities.register("text", "chiasm.modalities.text:TEXT", "text: tokens, words, phrases, sentences, character spans")
modalities.register(
    "tabular", "chiasm.modalities.tabular:TABULAR", "rows of tables: columns, one-hot families, groups; backgrounds"
)
modalities.register("audio", "chiasm.modalities.audio:AUDIO", "sounds: segments, seconds, spectrogram cells, words")
modalities.register(
    "graph", "chiasm.modalities.graph:GRAPH", "graphs: nodes, edges, components, communities, subgraphs"
)
modalities.register("series", "chiasm.modalities.series:SERIES", "time series: stretches, channels, cells")
modalities.register("video", "chiasm.modalities.video:VIDEO", "videos: stretches of frames × regions")
